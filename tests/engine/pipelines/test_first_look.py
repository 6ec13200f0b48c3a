"""The first look: the same cells as an uncompressed search, stored once, healed, bounded, and honest about bad photos."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.api import (
    FIRST_LOOK,
    EngineConfig,
    Exemplar,
    ImageInput,
    MatchSettings,
    ProposeRequest,
    Target,
    TargetFailure,
)
from kinmark.engine.domain.errors import OperationCancelled
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.features.packed import INDEX, MAPS, PackedMaps
from kinmark.engine.features.small_maps import FOLDER, SmallMaps, trim
from kinmark.engine.matching.bank import WHOLE
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.reader import FeatureReader
from kinmark.engine.pipelines.first_look import FIT_PHOTOS
from kinmark.engine.pipelines.registry import choose_settings, propose_keypoints
from kinmark.engine.pipelines.sweep import open_matcher
from kinmark.engine.session import EngineSession
from tests.engine.pipelines.test_sweep import SCHEMA, draw

COUNT = FIT_PHOTOS + 2


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[ImageInput, np.ndarray]]:
    folder = tmp_path_factory.mktemp("many")
    generator = np.random.default_rng(4)
    made = []
    for index in range(COUNT):
        path = folder / f"{index}.png"
        centre = tuple(generator.uniform([36, 36], [156, 108]))
        made.append((ImageInput(str(index), path), draw(path, centre, generator.uniform(-0.2, 0.2))))  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def backbone(toy_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "toy-fused"
    shutil.copytree(toy_pipeline_dir, folder)
    card = {
        "input_wh": [128, 128],
        "fusion": {"descriptor": "dense_sift", "weight": 0.9, "cells_wh": [40, 40], "kernel_width": 0.1},
    }
    (folder / "kinmark.json").write_text(json.dumps(card), encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def session(cache: Path) -> EngineSession:
    return EngineSession(EngineConfig(device="cpu", cache_dir=cache))


@pytest.fixture
def request_(photos: list[tuple[ImageInput, np.ndarray]], backbone: str) -> ProposeRequest:
    (image, points), *others = photos
    return ProposeRequest(
        "r",
        "arrow",
        SCHEMA,
        (Exemplar(image, InstanceKeypoints(points, np.full(4, 2))),),
        tuple(Target(other) for other, _ in others),
        MatchSettings(pipeline=FIRST_LOOK),
        backbone,
    )


def looked(session: EngineSession, request: ProposeRequest, **more: object) -> list[InstanceProposal]:
    answers = list(propose_keypoints(session, request, **more))  # type: ignore[arg-type]
    assert all(isinstance(a, InstanceProposal) for a in answers)
    return answers  # type: ignore[return-value]


def test_it_finds_the_cells_of_a_full_search_and_mostly_the_right_ones(
    session: EngineSession, request_: ProposeRequest, photos: list[tuple[ImageInput, np.ndarray]]
) -> None:
    choice = choose_settings(session, request_)
    assert choice.settings.pipeline == FIRST_LOOK
    answers = looked(session, request_)
    assert [a.image_id for a in answers] == [t.image.image_id for t in request_.targets]
    matcher = open_matcher(session, request_, None)
    plan = Plan(whiten=0.0, fusion_weight=0.9, shape=0.0)
    bank = matcher.bank(WHOLE, plan)
    near, right = [], []
    for answer, target, (_, truth) in zip(answers, request_.targets, photos[1:], strict=True):
        parts = matcher.reader.read([matcher.reader.whole(target.image)], 0.9)[0]
        best = matcher.similarities(bank, parts, plan, WHOLE)[0].flatten(1).argmax(dim=1)
        width = parts.cells_wh[0]
        plain = parts.to_image(torch.stack([best % width, best // width], dim=-1).double().numpy())
        found = np.array([[k.x, k.y] for k in answer.keypoints])
        cell = np.linalg.norm(parts.to_image([1.0, 0.0]) - parts.to_image([0.0, 0.0]))
        near.append(np.linalg.norm(found - plain, axis=1) <= 1.5 * cell)
        right.append(np.linalg.norm(found - truth, axis=1) <= 6)
        assert all(0 <= k.confidence <= 1 for k in answer.keypoints) and answer.spec.method == FIRST_LOOK
    assert np.mean(near) > 0.9
    assert np.mean(right) > 0.6


def test_a_second_look_reads_no_features(
    session: EngineSession, request_: ProposeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = looked(session, request_)
    again = EngineSession(session.config)
    first = request_.targets[0].image.image_id
    read: list[str] = []
    original = FeatureReader.read

    def counted(reader: FeatureReader, views: list, *rest: object) -> list:
        read.extend(view.image.image_id for view in views)
        return original(reader, views, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(FeatureReader, "read", counted)
    after = looked(again, request_)
    assert set(read) <= {"0", first}  # the exemplar, and one photo of the grid
    assert [[(k.x, k.y) for k in a.keypoints] for a in after] == [[(k.x, k.y) for k in a.keypoints] for a in before]


@pytest.mark.parametrize("damage", ["index", "maps", "one part ahead"])
def test_damaged_small_maps_are_made_again(
    session: EngineSession, request_: ProposeRequest, cache: Path, damage: str
) -> None:
    before = looked(session, request_)
    index = sorted((cache / FOLDER).rglob(INDEX))[0]
    if damage == "index":
        index.write_text("{", encoding="utf-8")
    elif damage == "maps":
        index.with_name(MAPS).write_bytes(b"short")
    else:  # killed between the two parts of an append
        data = json.loads(index.read_text(encoding="utf-8"))
        index.write_text(json.dumps({**data, "image_ids": data["image_ids"][:5]}), encoding="utf-8")
    after = looked(EngineSession(session.config), request_)
    assert [[(k.x, k.y) for k in a.keypoints] for a in after] == [[(k.x, k.y) for k in a.keypoints] for a in before]


def test_bad_photos_are_named_and_regions_are_matched_the_ordinary_way(
    session: EngineSession, request_: ProposeRequest, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.png"
    whole = request_.targets[0].image.path.read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    inside = Target(request_.targets[1].image, box=(0.0, 0.0, 190.0, 140.0))
    targets = (
        Target(ImageInput("gone", tmp_path / "gone.png")),
        inside,
        Target(ImageInput("cut", cut)),
        *request_.targets[2:],
    )
    answers = list(propose_keypoints(session, ProposeRequest(**{**vars(request_), "targets": targets})))
    assert [a.image_id for a in answers] == [t.image.image_id for t in targets]
    assert isinstance(answers[0], TargetFailure) and isinstance(answers[2], TargetFailure)
    assert isinstance(answers[1], InstanceProposal) and answers[1].spec.method == "match"
    assert all(isinstance(a, InstanceProposal) and a.spec.method == FIRST_LOOK for a in answers[3:])


def test_few_photos_and_no_cache_leave_nothing_behind(request_: ProposeRequest, tmp_path: Path) -> None:
    few = ProposeRequest(**{**vars(request_), "targets": request_.targets[:2]})
    looked(EngineSession(EngineConfig(device="cpu", cache_dir=tmp_path / "few")), few)
    assert not (tmp_path / "few" / FOLDER).exists()
    looked(EngineSession(EngineConfig(device="cpu", cache_dir=tmp_path / "none", cache_bytes=0)), few)
    assert not (tmp_path / "none").exists()


def test_it_can_be_cancelled(session: EngineSession, request_: ProposeRequest) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(OperationCancelled):
        looked(session, request_, cancel=token)


def test_the_recipes_used_least_recently_go_first(
    session: EngineSession, request_: ProposeRequest, cache: Path
) -> None:
    looked(session, request_)
    root = cache / FOLDER
    old = root / "old"
    old.mkdir()
    (old / "maps").write_bytes(b"x" * 1000)
    os.utime(old, (1, 1))
    current = next(p for p in root.iterdir() if p != old)
    left = trim(root, sum(f.stat().st_size for f in root.rglob("*") if f.is_file()) - 1)
    assert not old.exists() and current.exists()
    assert left == sum(f.stat().st_size for f in current.rglob("*") if f.is_file())


def test_two_writers_do_not_mix_their_photos(session: EngineSession, request_: ProposeRequest, cache: Path) -> None:
    looked(session, request_)
    folder = next((cache / FOLDER).rglob(INDEX)).parent.parent
    cells = tuple(int(v) for v in folder.name.split("x"))
    names = [p.name for p in folder.iterdir() if p.is_dir()]
    stores = {name: PackedMaps.open(folder / name) for name in names}
    one, two = (SmallMaps.open(folder, cells, {n: s.basis for n, s in stores.items()}) for _ in range(2))  # type: ignore[arg-type]
    maps = {n: [torch.randn(len(s.basis.vectors), cells[1], cells[0])] for n, s in stores.items()}
    one.add(["new-1"], maps)
    two.add(["new-2"], maps)
    two.add(["new-1"], maps)
    assert list(two.rows)[-2:] == ["new-1", "new-2"] and len(two.rows) == len(stores[names[0]]) + 2
