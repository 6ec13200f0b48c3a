"""Per-point optimisation through the engine's door: proposals, kept point prompts, restrictions, failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.api import Exemplar, ImageInput, OptimiseRequest, Target, TargetFailure
from kinmark.engine.domain.errors import OperationCancelled, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.pipelines import optimised as optimise
from kinmark.engine.pipelines.optimised import optimise_point
from kinmark.engine.prompts.files import list_prompts
from kinmark.engine.session import EngineSession
from tests.support.labelled import SCHEMA

QUICK = {"steps": 3, "restarts": 2, "target_crops": 5}


@pytest.fixture
def request_(labelled: tuple[Exemplar, ...], toy_pipeline_dir: Path, tmp_path: Path) -> OptimiseRequest:
    targets = tuple(Target(e.image) for e in labelled[1:3])
    return OptimiseRequest(
        "o1",
        labelled[0],
        SCHEMA,
        (0, 3),
        targets,
        "cat",
        str(toy_pipeline_dir),
        {**QUICK, "keep_in": str(tmp_path / "prompts")},
    )


def test_proposals_hold_the_asked_keypoints_only(toy_session: EngineSession, request_: OptimiseRequest) -> None:
    progress = Progress()
    found = list(optimise_point(toy_session, request_, progress=progress))
    assert [p.image_id for p in found] == [t.image.image_id for t in request_.targets]
    for proposal, exemplar in zip(found, request_.targets, strict=True):
        width, height = toy_session.source.size_wh(exemplar.image)
        assert [k.name for k in proposal.keypoints] == ["nose", "tail"]
        assert proposal.spec.method == "optimise" and proposal.exemplar_ids == ("photo0",)
        for keypoint in proposal.keypoints:
            assert 0 <= keypoint.x <= width and 0 <= keypoint.y <= height and 0 <= keypoint.confidence <= 1
            assert keypoint.peaks[0].score >= keypoint.peaks[-1].score > 0
    snapshot = progress.snapshot()
    assert snapshot.done == snapshot.total == 3 * 2 + 2 * 2


def test_the_embedding_is_optimised_once_and_kept(
    toy_session: EngineSession, request_: OptimiseRequest, tmp_path: Path, monkeypatch
) -> None:
    first = list(optimise_point(toy_session, request_))
    cards = [card for _, card in list_prompts([tmp_path / "prompts"])]
    assert sorted(card.settings["keypoint"] for card in cards) == ["nose", "tail"]
    calls = []
    original = optimise.optimise_embedding
    monkeypatch.setattr(optimise, "optimise_embedding", lambda *a, **k: calls.append(1) or original(*a, **k))
    again = list(optimise_point(toy_session, request_))
    assert not calls
    assert [(k.x, k.y) for p in again for k in p.keypoints] == [(k.x, k.y) for p in first for k in p.keypoints]
    moved = replace(request_.exemplar.keypoints, xy_image=request_.exemplar.keypoints.xy_image + 3)
    other = replace(request_, exemplar=replace(request_.exemplar, keypoints=moved), keypoints=(0,))
    list(optimise_point(toy_session, replace(other, options={**request_.options, "reuse": "any"})))
    assert not calls
    list(optimise_point(toy_session, other))
    assert len(calls) == 1


def test_the_answer_stays_inside_the_box(toy_session: EngineSession, request_: OptimiseRequest) -> None:
    box = (10.0, 8.0, 30.0, 30.0)
    for view in ("whole", "crop"):
        request = replace(
            request_, targets=(replace(request_.targets[0], box=box),), options={**request_.options, "view": view}
        )
        (proposal,) = optimise_point(toy_session, request)
        for keypoint in proposal.keypoints:
            assert 9 <= keypoint.x <= 31 and 7 <= keypoint.y <= 31


def test_an_unreadable_target_does_not_stop_the_others(
    toy_session: EngineSession, request_: OptimiseRequest, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    broken = Target(ImageInput("broken", tmp_path / "broken.png"))
    found = list(optimise_point(toy_session, replace(request_, targets=(broken, request_.targets[0]))))
    assert isinstance(found[0], TargetFailure) and found[1].image_id == "photo1"


def test_cancel_and_refusals(toy_session: EngineSession, request_: OptimiseRequest) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(OperationCancelled):
        list(optimise_point(toy_session, request_, cancel=token))
    keypoints = request_.exemplar.keypoints
    hidden = replace(keypoints, visibility=np.array([0, 2, 2, 2]), xy_image=keypoints.xy_image.copy())
    with pytest.raises(UserInputError, match="'nose' is not labelled"):
        list(optimise_point(toy_session, replace(request_, exemplar=replace(request_.exemplar, keypoints=hidden))))
    with pytest.raises(UserInputError, match="no option 'speed'"):
        list(optimise_point(toy_session, replace(request_, options={"speed": 2})))
