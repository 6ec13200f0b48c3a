"""Is it here? One score per found region, its calibrated confidence, and the threshold under which the answer is no.

The score is a log-odds: a weighted sum of how alike region and reference are by colour, local patches, attention and the deep
cells of a network that knows photographs. Its prior weights lie between fits on rendered identities with same-class
distractors (`benchmarks/instances.py`) and on real ones (named cats, grocery articles);
a project's own confirm / deny record rescales it (Platt 1999) once there are enough decisions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinmark.engine.requests import Calibration

MIN_DECISIONS = 8
SLOPE_SPREAD, BIAS_SPREAD = 0.5, 1.5
"""How far a project's own slope and bias usually lie from the prior's 1 and 0: few decisions move the confidence a little."""
DEFAULT_THRESHOLD = 0.5
NEGATIVE_PULL = 1.5
ORDINARY_ATTENTION = 0.63
"""Mean attention over found regions of any kind: what a search without attention is taken to have."""
ORDINARY_THING = 0.47
"""The same of the likeness of deep cells: what is taken where the network's weights are not installed."""


@dataclass(frozen=True)
class ScoreWeights:
    """Log-odds per unit of each likeness; `bias` makes them a probability where half of the photos show the thing."""

    colour: float = 5.0
    local: float = 3.0
    attention: float = 4.0
    thing: float = 4.0
    bias: float = -3.85


@dataclass(frozen=True)
class RegionLikeness:
    """How alike a found region and the reference are: each about 0..1; NaN when not computed.

    `attention` is the mean of the attention map over the region: the map of a photo without the thing peaks on many places,
    so that whatever region is cut out of it holds little of it. `thing`: `kinmark.engine.instances.evidence.thing_likeness`.
    """

    colour: float
    local: float
    attention: float = float("nan")
    thing: float = float("nan")


def region_score(likeness: RegionLikeness, weights: ScoreWeights | None = None) -> float:
    """Log-odds that the region shows the instance; parts that were not computed count as ordinary."""
    weights = weights or ScoreWeights()
    total = weights.bias
    for value, weight, ordinary in (
        (likeness.colour, weights.colour, 0.0),
        (likeness.local, weights.local, 0.0),
        (likeness.attention, weights.attention, ORDINARY_ATTENTION),
        (likeness.thing, weights.thing, ORDINARY_THING),
    ):
        total += weight * (value - ordinary if math.isfinite(value) else 0.0)
    return total


def against_negatives(score: float, negatives: Sequence[float]) -> float:
    """Score after denials: pulled down by as much as the region looks more like a denied one than like the reference."""
    if not negatives:
        return score
    return score - NEGATIVE_PULL * max(0.0, max(negatives) - score)


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)) without overflow."""
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def confidence_of(score: float, calibration: Calibration | None = None) -> float:
    """Expected precision of a region with this score; the prior's sigmoid without a usable calibration."""
    if calibration is None or "instance_slope" not in calibration.data:
        return sigmoid(score)
    return sigmoid(calibration.data["instance_slope"] * score + calibration.data["instance_bias"])


def fit_instance_calibration(scores: Sequence[float], confirmed: Sequence[bool]) -> Calibration:
    """Platt scaling of a project's own decisions, with Platt's softened targets and a normal prior around the shipped score.

    The prior makes a fit of few decisions safe, also of denials alone: they lower the confidence of what scores like them. Below
    MIN_DECISIONS the shipped score stays. So it does where the slope is not positive (confirmed things score lower than
    denied ones: the score is useless here), rather than turning the ranking round.
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(confirmed, dtype=bool)
    positive, negative = int(y.sum()), int((~y).sum())
    if len(s) < MIN_DECISIONS:
        return Calibration("prior", len(s))
    target = np.where(y, (positive + 1) / (positive + 2), 1 / (negative + 2))
    start = np.array([1.0, 0.0])
    precision = np.array([1 / SLOPE_SPREAD**2, 1 / BIAS_SPREAD**2])
    place = start
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(place[0] * s + place[1], -30, 30)))
        gradient = np.array([((p - target) * s).sum(), (p - target).sum()]) + precision * (place - start)
        w = np.maximum(p * (1 - p), 1e-9)
        hessian = np.array([[(w * s * s).sum(), (w * s).sum()], [(w * s).sum(), w.sum()]]) + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        place = place - step
        if float(np.abs(step).max()) < 1e-8:
            break
    if place[0] <= 0:
        return Calibration("prior", len(s))
    return Calibration("project", len(s), {"instance_slope": float(place[0]), "instance_bias": float(place[1])})
