"""Several drawn beetles in a photo through the real engine: all are found, nobody twice, and nobody where nobody is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinmark.engine.api import EngineConfig, Exemplar, ImageInput, MatchSettings, ProposeRequest, Rival, Target
from kinmark.engine.domain.alike import place_similarity
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.matching.several import BAR
from kinmark.engine.matching.several_bar import HIGHEST
from kinmark.engine.matching.taken import proposed_keypoints
from kinmark.engine.pipelines.registry import propose_keypoints
from kinmark.engine.pipelines.sweep import open_seeker, prepare_proposals
from kinmark.engine.session import EngineSession

SCHEMA = KeypointSchema(("nose", "tail", "back", "claw"))
SHAPE = np.array([[44.0, 0], [-44, 0], [-12, 6], [26, -24]])
SETTINGS = MatchSettings("nn", 1, 1, False, 0.5, "mean", 0.0, 1.0)
SIZE = (480, 360)
Place = tuple[float, float, float]


def draw(path: Path, beetles: Sequence[Place], seed: int, *, side: int = 1) -> list[np.ndarray]:
    """Beetles (x, y, angle) on a speckled floor, each with a claw on one side only; their keypoints in xy_image.

    side: 1 or -1 for their mirror image.
    """
    floor = np.random.default_rng(seed).normal(150, 25, (SIZE[1], SIZE[0], 3))
    image = cv2.GaussianBlur(floor, (0, 0), 3).astype(np.float32)
    found = []
    for x, y, angle in beetles:
        found.append(paint(image, x, y, angle, side))
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
    return found


def paint(image: np.ndarray, x: float, y: float, angle: float, side: int) -> np.ndarray:
    """One beetle; its keypoints."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (SHAPE * [1, side]) @ turn.T + [x, y]
    cv2.ellipse(image, (round(x), round(y)), (44, 18), float(np.rad2deg(angle)), 0, 360, (40, 60, 40), -1)
    joint = (np.array([14.0, -10 * side]) @ turn.T + [x, y]).round().astype(int).tolist()
    cv2.line(image, joint, points[3].round().astype(int).tolist(), (30, 30, 160), 7, cv2.LINE_AA)
    for index, colour in ((0, (230, 230, 60)), (1, (60, 60, 200)), (2, (200, 120, 60)), (3, (40, 200, 250))):
        cv2.circle(image, tuple(points[index].round().astype(int).tolist()), 6, colour, -1, cv2.LINE_AA)
    return points + 0.5


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> EngineSession:
    return EngineSession(EngineConfig(cache_dir=tmp_path_factory.mktemp("cache"), device="cpu"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exemplar, ...]:
    """Two beetles labelled in one photo."""
    path = tmp_path_factory.mktemp("labelled") / "two.png"
    truth = draw(path, [(120, 120, 0.1), (340, 230, -0.1)], 1)
    return tuple(Exemplar(ImageInput("0", path), InstanceKeypoints(xy, np.full(4, 2))) for xy in truth)


def ask(
    session: EngineSession, exemplars: tuple[Exemplar, ...], target: Target, **more: object
) -> list[InstanceProposal]:
    request = ProposeRequest("r", "beetle", SCHEMA, exemplars, (target,), SETTINGS, **more)  # type: ignore[arg-type]
    answers = list(propose_keypoints(session, request))
    assert all(isinstance(a, InstanceProposal) for a in answers)
    return answers  # type: ignore[return-value]


def found_of(answers: list[InstanceProposal], truth: list[np.ndarray]) -> list[int]:
    """For every proposal the beetle that it lies on, -1 for none."""
    result = []
    for answer in answers:
        own = proposed_keypoints(SCHEMA, answer)
        likeness = [place_similarity(own, InstanceKeypoints(xy, np.full(4, 2))) for xy in truth]
        result.append(int(np.argmax(likeness)) if max(likeness) >= 0.5 else -1)
    return result


THREE = [(110.0, 90.0, 0.0), (330.0, 110.0, 0.2), (220.0, 270.0, -0.2)]


def test_all_of_three_are_found_once_and_not_again(session: EngineSession, labelled: tuple, tmp_path: Path) -> None:
    truth = draw(tmp_path / "three.png", THREE, 2)
    target = Target(ImageInput("1", tmp_path / "three.png"), limit=10)
    answers = ask(session, labelled, target)
    assert sorted(found_of(answers, truth)) == [0, 1, 2]
    assert [a.index for a in answers] == [0, 1, 2] and {a.image_id for a in answers} == {"1"}
    known = [proposed_keypoints(SCHEMA, a) for a in answers]
    rest = ask(session, labelled, replace(target, taken=tuple(known[:2])))
    assert found_of(rest, truth) == [found_of(answers, truth)[2]]
    assert ask(session, labelled, replace(target, taken=tuple(known))) == []
    assert len(ask(session, labelled, replace(target, limit=2))) == 2


def test_one_with_limit_one_beside_a_labelled_one(session: EngineSession, labelled: tuple, tmp_path: Path) -> None:
    truth = draw(tmp_path / "two.png", THREE[:2], 3)
    taken = (InstanceKeypoints(truth[0], np.full(4, 2)),)
    answers = ask(session, labelled, Target(ImageInput("2", tmp_path / "two.png"), taken=taken))
    assert found_of(answers, truth) == [1]


def test_one_exemplar_finds_one_and_no_more(session: EngineSession, labelled: tuple, tmp_path: Path) -> None:
    truth = draw(tmp_path / "one.png", THREE[2:], 4)
    answers = ask(session, labelled[:1], Target(ImageInput("3", tmp_path / "one.png"), limit=20))
    assert found_of(answers, truth) == [0]


def test_cut_by_the_border_and_overlapping(session: EngineSession, labelled: tuple, tmp_path: Path) -> None:
    truth = draw(tmp_path / "crowd.png", [(18.0, 90.0, 0.0), (250.0, 200.0, 0.0), (275.0, 228.0, 0.35)], 5)
    answers = ask(session, labelled, Target(ImageInput("4", tmp_path / "crowd.png"), limit=20))
    found = found_of(answers, truth)
    assert {1, 2} <= set(found) and -1 not in found and len(found) == len(set(found))


def test_a_box_restricts(session: EngineSession, labelled: tuple, tmp_path: Path) -> None:
    truth = draw(tmp_path / "boxed.png", THREE, 6)
    box = (0.0, 0.0, 480.0, 180.0)
    answers = ask(session, labelled, Target(ImageInput("5", tmp_path / "boxed.png"), box=box, limit=20))
    assert sorted(found_of(answers, truth)) == [0, 1]


def test_left_and_right_individuals_are_not_exchanged(session: EngineSession, tmp_path: Path) -> None:
    exemplars = []
    for number, side in enumerate((1, -1)):
        [xy] = draw(tmp_path / f"side{number}.png", [(200.0, 150.0, 0.1)], 7 + number, side=side)
        exemplars.append(
            (Exemplar(ImageInput(f"6{number}", tmp_path / f"side{number}.png"), InstanceKeypoints(xy, np.full(4, 2))),)
        )
    image = np.full((SIZE[1], SIZE[0], 3), 150, np.float32)
    truth = [paint(image, 110, 120, 0.0, 1), paint(image, 340, 230, 0.1, -1)]
    cv2.imwrite(str(tmp_path / "both.png"), image.astype(np.uint8))
    for own, other in ((0, 1), (1, 0)):
        rival = Rival("other", SCHEMA, exemplars[other])
        for limit in (1, 10):
            target = Target(ImageInput("7", tmp_path / "both.png"), limit=limit)
            assert found_of(ask(session, exemplars[own], target, rivals=(rival,)), truth) == [own]


def test_the_bar_is_learned_from_photos_that_are_labelled_completely(
    session: EngineSession, labelled: tuple, tmp_path: Path
) -> None:
    """Where all are labelled nothing comes near an individual; where one was left out and called background, it does."""
    truth = draw(tmp_path / "three.png", THREE, 9)
    third = tuple(
        Exemplar(ImageInput("9", tmp_path / "three.png"), InstanceKeypoints(xy, np.full(4, 2))) for xy in truth
    )
    request = ProposeRequest("r", "beetle", SCHEMA, (*labelled, *third), (), SETTINGS)
    bars = {}
    for name, exemplars, complete in (
        ("nothing said", third, ()),
        ("all labelled", third, ("9",)),
        ("one left out", third[:2], ("9",)),
        ("elsewhere", third, ("77",)),
    ):
        prepared = prepare_proposals(session, replace(request, exemplars=(*labelled, *exemplars), complete=complete))
        seeker = open_seeker(prepared.matcher, prepared.request, prepared.plan, prepared.heads, session.heads, None)
        assert seeker is not None
        bars[name] = seeker.bar
    assert bars["nothing said"] == bars["elsewhere"] == BAR
    assert bars["all labelled"] < BAR < bars["one left out"] <= HIGHEST


def test_one_that_faces_the_other_way_is_found_beside_one_that_does_not(
    session: EngineSession, labelled: tuple, tmp_path: Path
) -> None:
    image = np.full((SIZE[1], SIZE[0], 3), 150, np.float32)
    truth = [paint(image, 110, 120, 0.0, 1), paint(image, 340, 230, np.pi - 0.1, -1)]
    cv2.imwrite(str(tmp_path / "both.png"), image.astype(np.uint8))
    target = Target(ImageInput("8", tmp_path / "both.png"), limit=10)
    settings = replace(SETTINGS, mirror_targets=True)
    answers = list(propose_keypoints(session, ProposeRequest("r", "beetle", SCHEMA, labelled, (target,), settings)))
    assert all(isinstance(a, InstanceProposal) for a in answers)
    assert sorted(found_of(answers, truth)) == [0, 1]  # type: ignore[arg-type]
    mirrored = next(a for a, beetle in zip(answers, found_of(answers, truth), strict=True) if beetle == 1)  # type: ignore[arg-type]
    assert np.linalg.norm(proposed_keypoints(SCHEMA, mirrored).xy_image - truth[1], axis=1).max() < 15  # type: ignore[arg-type]


def test_a_thing_of_one_keypoint(session: EngineSession, tmp_path: Path) -> None:
    schema = KeypointSchema(("claw",))
    labels = draw(tmp_path / "label.png", [(120, 120, 0.1), (340, 230, -0.1)], 11)
    truth = draw(tmp_path / "many.png", THREE, 12)
    exemplars = tuple(
        Exemplar(ImageInput("a", tmp_path / "label.png"), InstanceKeypoints(xy[3:], np.array([2]))) for xy in labels
    )
    target = Target(ImageInput("b", tmp_path / "many.png"), limit=10)
    answers = list(propose_keypoints(session, ProposeRequest("r", "claw", schema, exemplars, (target,), SETTINGS)))
    assert answers and all(isinstance(a, InstanceProposal) for a in answers)
    places = np.array([[a.keypoints[0].x, a.keypoints[0].y] for a in answers])  # type: ignore[union-attr]
    apart = np.linalg.norm(places[:, None] - np.array([xy[3] for xy in truth])[None], axis=-1)
    assert (apart.min(axis=1) < 12).mean() >= 0.5 and len(set(apart.argmin(axis=1))) >= 2
