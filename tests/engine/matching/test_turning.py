"""Whether exemplars are turned or only face the other way decides if they are rotated or mirrored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kinmark.engine.api import Exemplar, ImageInput, MatchSettings
from kinmark.engine.domain.geometry import Similarity
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.matching import refine
from kinmark.engine.matching.bank import Variant
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.facing import (
    CLEARLY_BETTER,
    inner_points,
    mirrored_gains,
    predict_facing,
    with_inner_points,
)
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.pipelines import choice as auto
from kinmark.engine.pipelines.choice import _turn
from kinmark.engine.pipelines.sweep import swap_probability

SHAPE = np.array([[0.0, 0.0], [40.0, -6.0], [80.0, 0.0], [10.0, 40.0], [70.0, 42.0], [95.0, -25.0]])


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.5, -1.2])
def test_a_turned_shape_is_turned(angle):
    found, mirrored = _turn(SHAPE, Similarity(1.7, angle, (30.0, 9.0)).apply(SHAPE))
    assert not mirrored and found == pytest.approx(angle)


def test_a_shape_that_faces_the_other_way_is_mirrored_and_upright():
    found, mirrored = _turn(SHAPE, SHAPE * np.array([-1.0, 1.0]) + [120.0, 4.0])
    assert mirrored and found == pytest.approx(0.0, abs=1e-9)


def _labelled(angles: list[float]) -> SimpleNamespace:
    shapes = [Similarity(1.0, angle, (100.0, 90.0)).apply(SHAPE) for angle in angles]
    exemplars = [
        Exemplar(ImageInput(str(n), Path(f"{n}.jpg")), InstanceKeypoints(xy, np.full(len(xy), 2)))
        for n, xy in enumerate(shapes)
    ]
    return SimpleNamespace(exemplars=exemplars)


def test_many_upright_exemplars_speak_for_the_other_photos():
    alike = [0.1, -0.1] * 4
    assert auto.all_upright(_labelled(alike))
    assert not auto.all_upright(_labelled(alike[:7])), "so few may be chance"
    assert not auto.all_upright(_labelled([*alike[:7], 1.6])), "one lies turned, so will others"
    one_photo = _labelled(alike)
    one_photo.exemplars = [replace(e, image=one_photo.exemplars[0].image) for e in one_photo.exemplars]
    assert not auto.all_upright(one_photo)


def _decision(monkeypatch, turned: list[Variant], gains: list[float], settings: MatchSettings | None = None) -> Plan:
    monkeypatch.setattr(auto, "_best_variants", lambda *_: turned)
    monkeypatch.setattr(auto, "mirrored_gains", lambda *_: np.array(gains))
    matcher = SimpleNamespace(context=SimpleNamespace(scene=None))
    images = [ImageInput(str(n), Path(f"{n}.jpg")) for n in range(12)]
    return auto._ask_targets(matcher, Plan(), settings or MatchSettings(), images, None)[0]


UPRIGHT = [Variant(0)] * 12
BOTH_WAYS = [0.09, -0.12, -0.08] * 4


def test_targets_that_face_both_ways_bring_mirrored_copies(monkeypatch):
    assert _decision(monkeypatch, UPRIGHT, BOTH_WAYS) == Plan(flip=True)


def test_a_little_better_is_chance(monkeypatch):
    assert _decision(monkeypatch, UPRIGHT, [0.03, -0.04, 0.02] * 4) == Plan()


def test_one_odd_target_brings_none(monkeypatch):
    assert _decision(monkeypatch, UPRIGHT, [0.2, *[-0.05] * 11]) == Plan()


def test_targets_turned_all_ways_are_not_asked_for_mirrored_copies(monkeypatch):
    turned = [Variant(0, turn=k % 8) for k in range(12)]
    assert _decision(monkeypatch, turned, BOTH_WAYS) == Plan(rotations=8)


def test_what_the_request_decides_is_not_asked(monkeypatch):
    settings = MatchSettings(rotations=1, flip=False)
    assert _decision(monkeypatch, [Variant(0, turn=4)] * 12, BOTH_WAYS, settings) == Plan()


def test_inside_of_an_exemplar_is_covered():
    keypoints = InstanceKeypoints(SHAPE * 3 + 40, np.full(6, 2))
    points = inner_points(Exemplar(ImageInput("a", Path("a.png")), keypoints))
    assert 60 < len(points) < 140
    assert (points.min(axis=0) > SHAPE.min(axis=0) * 3 + 40).all() and (
        points.max(axis=0) < SHAPE.max(axis=0) * 3 + 40
    ).all()


@pytest.mark.parametrize("xy", [[[5.0, 5.0]], [[5.0, 5.0], [90.0, 5.0]]])
def test_a_point_and_a_line_have_no_inside(xy):
    exemplar = Exemplar(ImageInput("a", Path("a.png")), InstanceKeypoints(np.array(xy), np.full(len(xy), 2)))
    matcher = auto.Matcher(None, None, (exemplar,), None)  # type: ignore[arg-type]
    assert len(mirrored_gains(matcher, Plan(), [], None)) == 0
    assert with_inner_points(matcher) is None


def test_many_exemplars_ask_with_a_few():
    matcher = auto.Matcher(None, None, tuple(range(10)), None, {"kept": "bank"})  # type: ignore[arg-type]
    asking = auto._asking(matcher)
    assert asking.exemplars == (0, 3, 6, 9) and asking._banks == {}
    few = auto.Matcher(None, None, (1, 2), None)  # type: ignore[arg-type]
    assert auto._asking(few) is few


class OneTarget:
    """Answers with the plan it was asked with."""

    def predict(self, _target, plan: Plan) -> RawKeypoints:
        answer = RawKeypoints(SHAPE, (), (), np.ones(6, bool), (0.0, 0.0, 1.0, 1.0), 0.5, 0)
        return replace(answer, run=SimpleNamespace(plan=plan))


@pytest.mark.parametrize(
    ("plan", "gain", "mirrored", "swap_gain"),
    [
        (Plan(mirror_targets=True), CLEARLY_BETTER + 0.1, True, -CLEARLY_BETTER - 0.1),
        (Plan(mirror_targets=True), 0.01, False, 0.01),
        (Plan(mirror_targets=False), CLEARLY_BETTER + 0.1, False, CLEARLY_BETTER + 0.1),
        (Plan(flip=True), 0.2, True, -0.2),  # the better facing was taken already
        (Plan(flip=True), -0.2, True, -0.2),
    ],
)
def test_a_target_is_mirrored_only_where_that_is_clearly_better(monkeypatch, plan, gain, mirrored, swap_gain):
    monkeypatch.setattr("kinmark.engine.matching.facing.mirrored_gain", lambda _matcher, _run: gain)
    answer = predict_facing(OneTarget(), None, plan)  # type: ignore[arg-type]
    assert answer.run.plan.flip is mirrored and answer.swap_gain == pytest.approx(swap_gain)


def test_sides_look_exchanged_where_the_other_facing_fits_better():
    assert swap_probability(0.2) > 0.95 and swap_probability(0.0) < 0.2 and swap_probability(-0.3) < 1e-3


@pytest.mark.parametrize(
    ("answers", "often", "asked"),
    [
        ([False] * 6, False, 5),  # the sixth alone could not make a third of them
        ([True, True, False, False, False, False], True, 2),
        ([False, True, False, False, True, False], True, 5),
        ([None, None, None, None, None, True], True, 6),
        ([None, None, False, False, False, False], False, 5),
        ([True, False, False, False, False, False], False, 6),
        ([None] * 6, False, 6),
        ([], False, 0),
    ],
)
def test_photos_are_asked_whether_they_show_it_turned_until_that_is_certain(monkeypatch, answers, often, asked):
    waiting = list(answers)
    monkeypatch.setattr(refine, "_lies_turned", lambda *_: waiting.pop(0))
    targets = [None] * len(answers)
    assert refine.often_turned(None, None, targets, Plan(), 0.3) is often  # type: ignore[arg-type]
    assert len(answers) - len(waiting) == asked
    known = [a for a in answers if a is not None]
    assert often == (bool(known) and np.mean(known) >= 0.3)
