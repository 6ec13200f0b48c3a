"""Settings chosen by held-out photos: what is held out, what counts as better, and where a box is a crop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kinmark.engine.api import Exemplar, ImageInput, MatchSettings, Target
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.matching.plan.plan import Plan, apply_settings
from kinmark.engine.matching.predict import Matcher
from kinmark.engine.pipelines import choice as auto
from kinmark.engine.pipelines.choice import Trial, _Chooser, default_plan, exemplar_photos

SCHEMA = KeypointSchema(("a", "b"), (), ())


def exemplar(photo: str, xy: list[list[float]]) -> Exemplar:
    return Exemplar(ImageInput(photo, Path(f"{photo}.jpg")), InstanceKeypoints(np.array(xy), np.full(2, 2)))


LEFT, RIGHT = [[10.0, 10.0], [10.0, 30.0]], [[80.0, 10.0], [80.0, 30.0]]
EXEMPLARS = (exemplar("one", LEFT), exemplar("two", LEFT), exemplar("two", RIGHT), exemplar("three", LEFT))


class FakeMatcher:
    """Finds the right one of the two on photo "two", and remembers what was left out."""

    def __init__(self) -> None:
        self.exemplars, self.schema, self.asked = EXEMPLARS, SCHEMA, []
        self.context, self.reader = SimpleNamespace(scene=None, weight_is_open=False), SimpleNamespace(card_weight=0.0)

    def predict(self, target: Target, plan: Plan, *, without: frozenset[int] = frozenset()) -> SimpleNamespace:
        self.asked.append((target.image.image_id, without))
        xy = RIGHT if target.image.image_id == "two" else LEFT
        return SimpleNamespace(xy_image=np.array(xy) + 1.0, known=np.array([True, True]))


def chooser() -> _Chooser:
    return _Chooser(FakeMatcher(), MatchSettings(), [], None, None)  # type: ignore[arg-type]


def test_exemplars_are_held_out_by_photo():
    assert exemplar_photos(EXEMPLARS) == [(0,), (1, 2), (3,)]


def test_another_animal_of_the_same_photo_is_left_out_too_and_counts_as_found():
    own = chooser()
    trial = own._measure(Plan())
    assert own.matcher.asked == [("one", frozenset({0})), ("two", frozenset({1, 2})), ("three", frozenset({3}))]  # type: ignore[attr-defined]
    assert len(trial.soft) == 3 and trial.pck == 1.0 and (trial.soft > 0.7).all()


@pytest.mark.parametrize(
    ("gains", "better"),
    [
        ([0.2, 0.18, 0.22, 0.2, 0.19], True),
        ([0.05, 0.04, 0.06, 0.05, 0.05], False),  # less than what photos differ by anyway
        ([0.9, -0.1, 0.02, -0.05, 0.0], False),  # one lucky photo
        ([0.3], False),
        ([], False),
    ],
)
def test_a_setting_changes_only_beyond_the_noise_between_photos(gains, better):
    start = Trial(Plan(), np.full(len(gains), 0.3), 0.3, 1.0)
    changed = Trial(Plan(fuse="mean"), start.soft + gains, 0.3, 1.0)
    assert chooser()._better(changed, start) is better


def test_trials_look_at_as_many_sizes_as_the_plan_would(monkeypatch):
    monkeypatch.setattr(auto, "ask_sizes", lambda _m, plan, *_: replace(plan, sizes=3 if plan.stages == 2 else 1))
    own = chooser()
    assert own._sized(Plan(stages=2)).sizes == 3 and own._sized(Plan(stages=1, sizes=3)).sizes == 1


@pytest.mark.parametrize(("settings", "crop"), [(MatchSettings(), True), (MatchSettings(stages=1), False)])
def test_a_box_is_matched_in_a_crop_unless_one_stage_is_asked_for(monkeypatch, settings, crop):
    large = exemplar("large", [[5.0, 5.0], [95.0, 95.0]])  # fills its photo, so one stage serves
    reader = SimpleNamespace(card_weight=0.0, size_wh=lambda _: (100, 100))
    context = SimpleNamespace(scene=None, weight_is_open=False)
    matcher = Matcher(reader, SCHEMA, (large,), context)  # type: ignore[arg-type]
    plan = default_plan(matcher, settings)
    assert plan.stages == 1 and plan.crop_boxes is crop
    assert apply_settings(Plan(), plan.to_settings()) == plan, "a stored choice brings it back"
    monkeypatch.setattr(Matcher, "_second_stage", lambda *_: "crop")
    monkeypatch.setattr(Matcher, "bank", lambda *_: None)
    monkeypatch.setattr(Matcher, "whole_views", lambda *_: [])
    monkeypatch.setattr(Matcher, "_best_view", lambda *_: "whole")
    monkeypatch.setattr("kinmark.engine.matching.predict.read_keypoints", lambda run: run)
    boxed = Target(large.image, box=(10.0, 10.0, 60.0, 60.0))
    assert matcher.predict(boxed, plan) == ("crop" if crop else "whole")
    assert matcher.predict(Target(large.image), plan) == "whole"
