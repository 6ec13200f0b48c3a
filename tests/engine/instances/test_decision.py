"""Score, negatives and calibration of the "is it here" decision."""

from __future__ import annotations

import numpy as np
import pytest

from kinmark.engine.api import Calibration
from kinmark.engine.instances.decision import (
    RegionLikeness,
    against_negatives,
    confidence_of,
    fit_instance_calibration,
    region_score,
    sigmoid,
)


def test_more_alike_scores_higher_and_unknown_parts_are_ordinary():
    low, high = RegionLikeness(0.3, 0.1), RegionLikeness(0.9, 0.4)
    assert region_score(high) > region_score(low)
    assert region_score(RegionLikeness(0.9, 0.4, float("nan"))) == region_score(high)
    alike, other = RegionLikeness(0.7, 0.1, thing=0.7), RegionLikeness(0.7, 0.1, thing=0.3)
    assert region_score(other) < region_score(RegionLikeness(0.7, 0.1)) < region_score(alike)


def test_negatives_only_pull_down_what_resembles_them_more():
    assert against_negatives(1.0, []) == 1.0
    assert against_negatives(1.0, [0.5]) == 1.0
    assert against_negatives(1.0, [0.5, 2.0]) < 0.0


def test_calibration_fits_the_record_and_keeps_the_prior_below_eight():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, 400)
    confirmed = rng.random(400) < 1 / (1 + np.exp(-(2 * scores - 1)))
    fitted = fit_instance_calibration(scores, confirmed)
    assert fitted.kind == "project" and fitted.decisions == 400
    assert fitted.data["instance_slope"] == pytest.approx(2, abs=0.5)
    assert fitted.data["instance_bias"] == pytest.approx(-1, abs=0.4)
    predicted = [confidence_of(s, fitted) for s in scores]
    assert np.mean(predicted) == pytest.approx(confirmed.mean(), abs=0.02)
    few = fit_instance_calibration(scores[:7], confirmed[:7])
    assert few.kind == "prior" and confidence_of(0.7, few) == sigmoid(0.7)
    assert fit_instance_calibration(scores, -scores > 0).kind == "prior"
    assert confidence_of(1.0, Calibration("project", 30, {})) == sigmoid(1.0)


def test_few_decisions_move_the_confidence_a_little_and_denials_alone_lower_it():
    scores = np.linspace(-0.5, 1.5, 10)
    denied = fit_instance_calibration(scores, [False] * 10)
    assert denied.kind == "project"
    assert 0.02 < confidence_of(0.5, denied) < 0.35 < confidence_of(0.5)
    more = fit_instance_calibration(np.tile(scores, 5), [False] * 50)
    assert confidence_of(0.5, more) < confidence_of(0.5, denied)
    mixed = fit_instance_calibration(scores, scores > 0.5)
    assert confidence_of(1.5, mixed) > 0.6 > 0.45 > confidence_of(-0.5, mixed)


def test_sigmoid_does_not_overflow():
    assert sigmoid(-1000) == pytest.approx(0) and sigmoid(1000) == pytest.approx(1)
