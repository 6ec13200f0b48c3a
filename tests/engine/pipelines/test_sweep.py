"""The whole chain on the toy pipeline: settings choose themselves, every target gets an answer, bad input is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinmark.engine.api import Exemplar, ImageInput, MatchRequest, MatchSettings, ProposeRequest, Target, TargetFailure
from kinmark.engine.domain.errors import OperationCancelled, UserInputError
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.pipelines.pairwise import match_points
from kinmark.engine.pipelines.registry import choose_settings, propose_keypoints
from kinmark.engine.session import EngineSession

SCHEMA = KeypointSchema(("nose", "tail", "left", "right"), (), ((2, 3),))
SHAPE = np.array([[22.0, 0], [-22, 0], [0, -9], [0, 9]])


def draw(path: Path, centre: tuple[float, float], angle: float) -> np.ndarray:
    """An arrow-like animal on a fixed floor; returns its keypoints."""
    floor = np.random.default_rng(0).normal(150, 60, (144, 192))
    image = cv2.GaussianBlur(floor, (0, 0), 2).astype(np.float32)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = SHAPE @ turn.T + centre
    body = np.array([[24, 0], [8, 8], [-20, 3], [-20, -3], [8, -8]]) @ turn.T + centre
    cv2.fillPoly(image, [body.round().astype(np.int32)], 30.0, cv2.LINE_AA)
    for index, value in ((0, 230.0), (2, 80.0), (3, 110.0)):
        cv2.circle(image, tuple(points[index].round().astype(int)), 3, value, -1, cv2.LINE_AA)
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
    return points + 0.5


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ImageInput], list[np.ndarray]]:
    folder = tmp_path_factory.mktemp("arena")
    generator = np.random.default_rng(3)
    images, points = [], []
    for index in range(7):
        path = folder / f"{index}.png"
        centre = tuple(generator.uniform([36, 36], [156, 108]))
        points.append(draw(path, centre, generator.uniform(0, 6.28)))  # type: ignore[arg-type]
        images.append(ImageInput(str(index), path))
    return images, points


def exemplar(image: ImageInput, points: np.ndarray) -> Exemplar:
    return Exemplar(image, InstanceKeypoints(points, np.full(4, 2)))


@pytest.fixture(scope="module")
def backbone_dir(toy_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy model with the descriptor alone in the fusion slot (its random features match nothing)."""
    import json
    import shutil

    folder = tmp_path_factory.mktemp("models") / "toy-fused"
    shutil.copytree(toy_pipeline_dir, folder)
    card = {"input_wh": [128, 128], "fusion": {"descriptor": "dense_sift", "weight": 1.0, "cells_wh": [40, 40]}}
    (folder / "kinmark.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def request(scene: tuple[list[ImageInput], list[np.ndarray]], backbone: Path, count: int) -> ProposeRequest:
    images, points = scene
    exemplars = tuple(exemplar(images[i], points[i]) for i in range(count))
    targets = tuple(Target(image) for image in images[count:])
    return ProposeRequest("r", "mouse", SCHEMA, exemplars, targets, backbone=str(backbone), prompt="empty")


def errors(answers: list[InstanceProposal], points: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(
        [
            [np.hypot(k.x - p[0], k.y - p[1]) / 44 for k, p in zip(a.keypoints, points[int(a.image_id)], strict=True)]
            for a in answers
        ]
    )


@pytest.mark.parametrize("count", [1, 3])
def test_turned_animals_of_a_fixed_camera(toy_session: EngineSession, scene, backbone_dir: Path, count: int) -> None:
    asked = request(scene, backbone_dir, count)
    progress = Progress()
    answers = list(propose_keypoints(toy_session, asked, progress=progress))
    assert [a.image_id for a in answers] == [t.image.image_id for t in asked.targets]
    assert all(isinstance(a, InstanceProposal) for a in answers)
    plan = answers[0].spec.settings["plan"]
    assert plan["rotations"] == 8 and answers[0].spec.settings["fixed_camera"]
    distances = errors(answers, scene[1])
    assert np.median(distances) < 0.1 and (distances < 0.2).mean() > 0.7
    assert all(0 <= k.confidence <= 1 and np.isfinite(k.signals.cycle) for a in answers for k in a.keypoints)
    assert progress.snapshot().done == len(answers)


def test_upright_animals_of_a_fixed_camera(toy_session: EngineSession, backbone_dir: Path, tmp_path: Path) -> None:
    """All look the same way, so the targets are asked for mirrored copies; the scene's priors do not fit that question."""
    generator = np.random.default_rng(5)
    images, points = [], []
    for index in range(9):
        path = tmp_path / f"{index}.png"
        points.append(draw(path, tuple(generator.uniform([36, 36], [156, 108])), generator.uniform(-0.2, 0.2)))  # type: ignore[arg-type]
        images.append(ImageInput(str(index), path))
    asked = request((images, points), backbone_dir, 1)
    answers = list(propose_keypoints(toy_session, asked))
    assert all(isinstance(a, InstanceProposal) for a in answers) and len(answers) == 8
    plan = answers[0].spec.settings["plan"]
    assert answers[0].spec.settings["fixed_camera"] and plan["rotations"] == 1 and not plan["flip"]
    assert np.median(errors(answers, points)) < 0.1


def test_an_animal_that_faces_the_other_way(toy_session: EngineSession, backbone_dir: Path, tmp_path: Path) -> None:
    """One exemplar looks right; the two of four targets that look left are mirrored, left and right keep their names."""
    images, points = [], []
    for index in range(5):
        path = tmp_path / f"{index}.png"
        xy = draw(path, (90.0 + 4 * index, 70.0), 0.05 * index)
        if index % 2:
            picture = cv2.imread(str(path))
            cv2.imwrite(str(path), np.ascontiguousarray(picture[:, ::-1]))
            xy = np.stack([picture.shape[1] - xy[:, 0], xy[:, 1]], axis=1)[[0, 1, 3, 2]]
        images.append(ImageInput(str(index), path))
        points.append(xy)
    asked = replace(
        request((images, points), backbone_dir, 1), settings=MatchSettings(rotations=1, stages=1, location=0)
    )
    answers = list(propose_keypoints(toy_session, asked))
    assert [a.spec.settings["plan"]["flip"] for a in answers] == [True, False, True, False]
    assert np.median(errors(answers, points)) < 0.1
    fixed = replace(asked, settings=replace(asked.settings, flip=False))
    assert not any(a.spec.settings["plan"]["flip"] for a in propose_keypoints(toy_session, fixed))


def test_choice_is_reused_and_equal(toy_session: EngineSession, scene, backbone_dir: Path) -> None:
    asked = request(scene, backbone_dir, 4)
    choice = choose_settings(toy_session, asked)
    assert choice.exemplars == 4 and len(choice.table) > 5 and choice.settings.method is not None
    decided = replace(asked, settings=choice.settings, targets=asked.targets[:1])
    first, again = (next(iter(propose_keypoints(toy_session, decided))) for _ in range(2))
    assert isinstance(first, InstanceProposal) and isinstance(again, InstanceProposal)
    assert repr(first.keypoints) == repr(again.keypoints) and first.spec.fingerprint() == again.spec.fingerprint()


def test_three_exemplars_hold_nothing_out(toy_session: EngineSession, scene, backbone_dir: Path) -> None:
    choice = choose_settings(toy_session, request(scene, backbone_dir, 3))
    assert choice.exemplars == 3 and not choice.table and choice.settings.method is not None and choice.reason


def test_given_settings_stay(toy_session: EngineSession, scene, backbone_dir: Path) -> None:
    asked = replace(request(scene, backbone_dir, 2), settings=MatchSettings(rotations=4, stages=1, method="nn"))
    choice = choose_settings(toy_session, asked)
    assert (choice.settings.rotations, choice.settings.stages, choice.settings.method) == (4, 1, "nn")


def test_box_restricts(toy_session: EngineSession, scene, backbone_dir: Path) -> None:
    images, _ = scene
    box = (96.0, 0.0, 192.0, 144.0)
    mask = np.zeros((144, 192), bool)
    mask[:, :96] = True
    asked = request(scene, backbone_dir, 1)
    for target in (Target(images[3], box=box), Target(images[3], mask=MaskRLE.encode(mask))):
        for stages in (1, 2):
            settings = MatchSettings(stages=stages, method="nn", rotations=1)
            answer = next(iter(propose_keypoints(toy_session, replace(asked, targets=(target,), settings=settings))))
            assert isinstance(answer, InstanceProposal)
            xs = np.array([k.x for k in answer.keypoints])
            assert ((xs > 90) if target.box else (xs < 102)).all()


def test_absent_keypoints_of_the_exemplar_are_not_proposed(
    toy_session: EngineSession, scene, backbone_dir: Path
) -> None:
    images, points = scene
    xy = points[0].copy()
    xy[3] = np.nan
    one = Exemplar(images[0], InstanceKeypoints(xy, np.array([2, 2, 2, 0])))
    asked = replace(request(scene, backbone_dir, 1), exemplars=(one,), targets=(Target(images[1]),))
    answer = next(iter(propose_keypoints(toy_session, asked)))
    assert isinstance(answer, InstanceProposal)
    assert [k.name for k in answer.keypoints] == ["nose", "tail", "left"]


def test_unreadable_target_does_not_stop_the_sweep(
    toy_session: EngineSession,
    scene,
    backbone_dir: Path,
    tmp_path: Path,
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    asked = request(scene, backbone_dir, 2)
    asked = replace(asked, targets=(Target(ImageInput("broken", broken)), asked.targets[0]))
    first, second = propose_keypoints(toy_session, asked)
    assert isinstance(first, TargetFailure) and "broken.png" in str(first.error)
    assert isinstance(second, InstanceProposal)


def test_bad_input_is_named(toy_session: EngineSession, scene, backbone_dir: Path) -> None:
    asked = request(scene, backbone_dir, 1)
    nothing = Exemplar(scene[0][0], InstanceKeypoints(np.full((4, 2), np.nan), np.zeros(4, int)))
    with pytest.raises(UserInputError, match="nothing to find"):
        list(propose_keypoints(toy_session, replace(asked, exemplars=(nothing,))))
    short = Exemplar(scene[0][0], InstanceKeypoints(np.zeros((2, 2)), np.full(2, 2)))
    with pytest.raises(UserInputError, match="has 2 keypoints"):
        list(propose_keypoints(toy_session, replace(asked, exemplars=(short,))))
    with pytest.raises(UserInputError, match="4 or 8"):
        list(propose_keypoints(toy_session, replace(asked, settings=MatchSettings(rotations=5))))
    token = CancelToken()
    token.cancel()
    with pytest.raises(OperationCancelled):
        list(propose_keypoints(toy_session, asked, cancel=token))


def test_free_points_with_maps(toy_session: EngineSession, scene, backbone_dir: Path) -> None:
    images, points = scene
    asked = MatchRequest(
        "m",
        images[0],
        points[0],
        Target(images[0]),
        backbone=str(backbone_dir),
        prompt="empty",
        settings=MatchSettings(method="nn"),
    )
    result = match_points(toy_session, asked)
    # A photo matched with itself: every point finds itself.
    assert np.abs(result.points_xy_image - points[0]).max() < 5
    assert len(result.maps) == 4 and result.maps[0].values.shape == (40, 40)
    matrix = result.maps[0].xy_matrix
    assert matrix is not None
    row, column = np.unravel_index(result.maps[0].values.argmax(), (40, 40))
    place = matrix[:, :2] @ [column, row] + matrix[:, 2]
    assert np.abs(place - points[0][0]).max() < 5
    with pytest.raises(UserInputError, match="no point"):
        match_points(toy_session, replace(asked, points_xy_image=np.zeros((0, 2))))


def test_visibility_values_are_the_glossary(toy_session: EngineSession, scene, backbone_dir: Path) -> None:
    answer = next(iter(propose_keypoints(toy_session, request(scene, backbone_dir, 1))))
    assert isinstance(answer, InstanceProposal)
    assert {k.visibility for k in answer.keypoints} <= set(Visibility)


def test_a_cut_and_enlarged_photo_is_matched_at_its_size(
    toy_session: EngineSession, scene, backbone_dir: Path, tmp_path: Path
) -> None:
    images, points = scene
    picture = cv2.imread(str(images[0].path))
    x, y = (int(v) for v in np.clip(points[0].mean(axis=0) - [50, 38], 0, [92, 68]))
    cut = picture[y : y + 76, x : x + 100]
    moving = [images[0]]
    for index, (tone, photo) in enumerate(((20, cut), (60, cut[2:, 3:]))):
        path = tmp_path / f"{index}.png"
        cv2.imwrite(str(path), np.clip(photo.astype(int) + tone, 0, 255).astype(np.uint8))
        moving.append(ImageInput(str(index), path))
    fixed = {"method": "nn", "rotations": 1, "flip": False, "fuse": "mean", "fusion_weight": 1.0}
    asked = replace(request(scene, backbone_dir, 1), targets=tuple(Target(m) for m in moving[1:]))
    errors_at: dict[int, list[float]] = {}
    for sizes in (1, 3):
        settings = MatchSettings(stages=1, shape=1.0, location=0.0, sizes=sizes, **fixed)
        for answer, shift in zip(
            propose_keypoints(toy_session, replace(asked, settings=settings)), ((x, y), (x + 3, y + 2)), strict=True
        ):
            assert isinstance(answer, InstanceProposal) and answer.spec.settings["plan"]["sizes"] == sizes
            found = np.array([[k.x, k.y] for k in answer.keypoints])
            errors_at.setdefault(sizes, []).append(float(np.linalg.norm(found - (points[0] - shift), axis=1).mean()))
    assert max(errors_at[3]) < 4 and np.mean(errors_at[3]) <= np.mean(errors_at[1])
    with pytest.raises(UserInputError, match="one or three sizes"):
        list(propose_keypoints(toy_session, replace(asked, settings=replace(settings, sizes=2))))


def test_a_keypoint_names_the_exemplar_that_it_resembles(toy_session: EngineSession, scene, backbone_dir: Path) -> None:
    """The same picture under another name: every keypoint comes from its twin among the exemplars."""
    images, _ = scene
    for twin in (0, 2):
        asked = replace(request(scene, backbone_dir, 3), targets=(Target(ImageInput("copy", images[twin].path)),))
        [answer] = list(propose_keypoints(toy_session, asked))
        assert isinstance(answer, InstanceProposal)
        assert [k.source for k in answer.keypoints] == [str(twin)] * 4
        assert set(answer.exemplar_ids) == {"0", "1", "2"}
