"""Calibration: learns what predicts correctness, stays with the prior without data, and its measures are right."""

from __future__ import annotations

import numpy as np
import pytest

from kinmark.engine.api import DecisionRecord
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.proposals import KeypointSignals
from kinmark.engine.matching import confidence as c


def records(count: int, seed: int = 0) -> list[DecisionRecord]:
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        peak = generator.uniform(0, 1)
        correct = bool(generator.random() < 1 / (1 + np.exp(-8 * (peak - 0.5))))
        signals = KeypointSignals(peak, generator.uniform(0, 0.1), 0.1, 0.5, float("nan"), 0.1, pose=0.3)
        made.append(DecisionRecord(signals, correct, 2))
    return made


def test_own_calibration_beats_chance_and_is_calibrated() -> None:
    fitted = c.fit_calibration(records(600))
    held = records(600, seed=1)
    sure, _ = c.judge(fitted, [r.signals for r in held])
    right = [r.correct for r in held]
    assert fitted.kind == "project" and c.auroc(sure, right) > 0.8
    assert c.expected_calibration_error(sure, right) < 0.08


def test_each_keypoint_learns_how_often_it_is_there() -> None:
    """Two keypoints with the same evidence: one was there on all photos, the other was proposed and is not in the picture."""
    signals = KeypointSignals(0.6, 0.05, 0.1, 0.5, float("nan"), 0.1, pose=0.3)
    made = []
    for _ in range(30):
        made.append(DecisionRecord(signals, True, 2, "nose", True))
        made.append(DecisionRecord(signals, False, 2, "tail", False))
    fitted = c.fit_calibration(made)
    _, present = c.judge(fitted, [signals] * 3, ("nose", "tail", "unseen"))
    assert present[0] > 0.8 > 0.2 > present[1]
    assert present[1] < present[2] < present[0]


def test_offsets_of_keypoints_are_shrunk_towards_none() -> None:
    few = c.keypoint_offsets([0.9] * 2, [0, 0], ["a", "a"])["a"]
    many = c.keypoint_offsets([0.9] * 40, [0] * 40, ["a"] * 40)["a"]
    assert many < few < 0
    assert c.keypoint_offsets([0.75] * 400, [1, 1, 1, 0] * 100, ["a"] * 400)["a"] == pytest.approx(0.0, abs=0.02)


def test_few_decisions_are_refused() -> None:
    with pytest.raises(UserInputError, match="30 decisions"):
        c.fit_calibration(records(10))


def test_unknown_signals_are_neutral() -> None:
    nan = float("nan")
    vector = c.signal_vector(KeypointSignals(nan, nan))
    assert np.isfinite(vector[:8]).all() and len(vector) == len(c.FEATURES)
    sure, present = c.judge(c.prior_calibration("no such backbone"), [KeypointSignals(0.5, 0.1)])
    assert 0 <= sure[0] <= 1 and 0 <= present[0] <= 1


def test_measures() -> None:
    assert c.expected_calibration_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0.0)
    assert c.expected_calibration_error([0.9] * 10, [False] * 10) == pytest.approx(0.9)
    assert c.auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75
    assert np.isnan(c.auroc([0.1], [True]))
    assert c.threshold_for_precision([0.9, 0.8, 0.7, 0.6], [True, True, False, True], 0.95) == 0.8
    assert c.reliability([0.05, 0.95, 0.95], [False, True, False])[1] == (0.95, 0.5, 2)


def test_steps_of_unseen_groups_know_that_a_new_group_is_harder() -> None:
    """Each group has a sign of its own: a model of the others is no better than chance there, and its steps say so."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 200)
    signs = np.eye(4)[groups] * rng.normal(size=(800, 1))
    right = signs.sum(axis=1) + 0.3 * rng.normal(size=800) > 0
    model = c.fit_logistic(signs, right)
    blind = c.out_of_fold(signs, right, groups)
    assert c.auroc(c.probability(model, signs), right) > 0.9 and abs(c.auroc(blind, right) - 0.5) < 0.15
    own = c.probability(c.add_isotonic_steps(model, signs, right), signs)
    modest = c.probability(c.add_isotonic_steps(model, signs, right, raw=blind), signs)
    assert own.max() > 0.95 and modest.max() < 0.8


def test_isotonic_steps_are_monotone() -> None:
    held = records(500)
    features = c.signal_matrix([r.signals for r in held])
    right = np.array([r.correct for r in held])
    model = c.add_isotonic_steps(c.fit_logistic(features, right), features, right)
    assert (np.diff(model["steps_y"]) >= 0).all()
