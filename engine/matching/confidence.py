"""From raw signals to "expected precision" (methods/confidence.md): small logistic models as plain numbers.

Two models: `correct` (the keypoint lies within 0.1 box of the truth) and `present` (it is in the picture at all). A prior
fitted on rendered scenes ships in `resources/calibration/keypoints.json`; `fit_calibration` makes a project's own from its
accept / move / reject record, shrunk towards the prior so that thirty decisions do not overrule thousands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinmark.engine.backbones.registry import fitted_for
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.proposals import KeypointSignals
from kinmark.engine.domain.texts import said
from kinmark.engine.paths import resources_dir
from kinmark.engine.requests import MINIMUM_DECISIONS, Calibration, DecisionRecord

FEATURES = (
    "peak",
    "margin",
    "agreement",
    "shape",
    "twin",
    "cycle",
    "pose",
    "contrast",
    "raw",
    "usual",
    "outside",
    "beyond",
    "fit",
    "support",
    "shown",
    "crowded",
    "beyond_support",
    "head",
    "cells",
    "spread",
    "stray",
    "apart",
    "moved",
    "strain",
    "whole",
)
"""Models fitted on fewer of them use the first ones, so that what a project has stored stays valid."""
PRIOR_STRENGTH = 20.0
BY_KEYPOINT = "by_keypoint"
KEYPOINT_SPREAD = 1.0
"""Log-odds by which keypoints of one category are expected to differ from each other in presence."""
NEWTON_STEPS = 12
CORRECT_WITHIN = 0.1
CLIP = 4.0
Floats = NDArray[np.float64]


def signal_vector(signals: KeypointSignals) -> Floats:
    """`[F]` features of one keypoint. Of the first eight what is unknown stands at a neutral value, of the others at NaN,
    which a model reads as its own mean."""

    def known(value: float, otherwise: float) -> float:
        return float(value) if np.isfinite(value) else otherwise

    pose, peak = known(signals.pose, 0.3), known(signals.peak, 0.0)
    beyond = max(signals.outside, 0.0) if np.isfinite(signals.outside) else float("nan")
    return np.array(
        [
            peak,
            min(known(signals.margin, 0.1), 0.5),
            known(signals.agreement, 0.5),
            np.log(0.02 + min(known(signals.shape, 0.1), 2.0)),
            np.clip(known(signals.twin_margin, 0.05), -0.5, 0.5),
            np.log(0.02 + min(known(signals.cycle, 0.2), 2.0)),
            pose,
            peak - pose,
            signals.raw,
            signals.usual,
            signals.outside,
            beyond,
            np.log(0.02 + signals.fit),
            signals.support,
            signals.shown,
            signals.crowded,
            beyond * signals.support,
            signals.head,
            signals.cells,
            np.log(0.005 + signals.spread),
            np.log(0.02 + min(signals.stray, 2.0)),
            np.log(0.02 + min(signals.apart, 2.0)),
            np.log(0.02 + min(signals.moved, 2.0)),
            np.log(0.02 + signals.strain),
            signals.whole,
        ]
    )


def signal_matrix(signals: Sequence[KeypointSignals]) -> Floats:
    """`[N, F]`."""
    return np.stack([signal_vector(s) for s in signals]) if signals else np.zeros((0, len(FEATURES)))


@lru_cache(maxsize=1)
def _priors() -> dict[str, Any]:
    path = resources_dir() / "calibration" / "keypoints.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # A missing resource must not stop proposals; the fallback is deliberately cautious.
        plain = {
            "mean": [0.0] * 8,
            "scale": [1.0] * 8,
            "coefficients": [2.0, 2.0, 1.0, -0.5, 1.0, -0.5, 0.0, 0.0],
            "intercept": -2.0,
        }
        return {"default": {"correct": plain, "present": {**plain, "intercept": 0.0}}}


def prior_calibration(backbone: str) -> Calibration:
    """The shipped prior of a backbone, or the general one."""
    priors = _priors()
    return Calibration("prior", 0, priors.get(fitted_for(backbone), priors["default"]))


def probability(model: dict[str, Any], features: Floats) -> Floats:
    """`[N]` of `[N, F]` under one logistic model (`mean`, `scale`, `coefficients`, `intercept`, then `steps`)."""
    z = _standardised(features, model["mean"], model["scale"])
    logit = z @ np.asarray(model["coefficients"]) + model["intercept"]
    raw = 1 / (1 + np.exp(-logit))
    if "steps_x" in model:
        raw = np.interp(raw, model["steps_x"], model["steps_y"])
    return raw


def _standardised(features: Floats, mean: ArrayLike, scale: ArrayLike) -> Floats:
    """As many columns as the model knows, in units of their spread; unknown values are average."""
    mean, scale = np.asarray(mean, np.float64), np.asarray(scale, np.float64)
    return np.clip(np.nan_to_num((features[:, : len(mean)] - mean) / scale, nan=0.0), -CLIP, CLIP)


def judge(
    calibration: Calibration, signals: Sequence[KeypointSignals], names: Sequence[str] = ()
) -> tuple[Floats, Floats]:
    """Expected precision and probability of presence, each `[N]` in 0..1; `names` of the keypoints, where a project knows them."""
    features = signal_matrix(signals)
    data = calibration.data if "correct" in calibration.data else prior_calibration("default").data
    correct = probability(data["correct"], features)
    if "present" not in data:
        return correct, np.ones(len(features))
    return correct, _shifted(probability(data["present"], features), data["present"].get(BY_KEYPOINT, {}), names)


def _shifted(probabilities: Floats, offsets: dict[str, float], names: Sequence[str]) -> Floats:
    """Log-odds moved by what is known of each keypoint."""
    if not offsets or not names:
        return probabilities
    p = np.clip(probabilities, 1e-4, 1 - 1e-4)
    return 1 / (1 + np.exp(-(np.log(p / (1 - p)) + np.array([offsets.get(name, 0.0) for name in names]))))


def keypoint_offsets(raw: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> dict[str, float]:
    """{name: log-odds} that single keypoints differ by from one model of all, shrunk towards none (a normal prior).

    Args:
        raw: `[N]` probabilities by the common model; labels: `[N]` 0 or 1; names: `[N]`.
    """
    p, y = np.clip(np.asarray(raw, np.float64), 1e-3, 1 - 1e-3), np.asarray(labels, np.float64)
    logit, of = np.log(p / (1 - p)), np.asarray(names)
    found = {}
    for name in sorted(set(names) - {""}):
        own, offset = of == name, 0.0
        for _ in range(NEWTON_STEPS):
            q = 1 / (1 + np.exp(-(logit[own] + offset)))
            slope = (y[own] - q).sum() - offset / KEYPOINT_SPREAD**2
            offset += float(slope / ((q * (1 - q)).sum() + 1 / KEYPOINT_SPREAD**2))
        found[name] = float(np.clip(offset, -CLIP, CLIP))
    return found


def fit_logistic(
    features: ArrayLike, labels: ArrayLike, prior: dict[str, Any] | None = None, *, strength: float = 1.0
) -> dict[str, Any]:
    """A logistic model of `[N, F]` features and `[N]` 0/1 labels, isotonic steps on top when there is data for them.

    Args:
        prior: shrink towards this model (its standardisation is kept); None = towards zero.
        strength: weight of the shrinkage.
    """
    from scipy.optimize import minimize

    x, y = np.asarray(features, np.float64), np.asarray(labels, np.float64)
    if prior is None:
        mean, scale = _mean_and_spread(x)
        start = np.zeros(x.shape[1] + 1)
    else:
        mean, scale = np.asarray(prior["mean"]), np.asarray(prior["scale"])
        start = np.array([*prior["coefficients"], prior["intercept"]], np.float64)
    z = _standardised(x, mean, scale)
    # The intercept (how often things are right here) may move freely, the slopes less so.
    stiffness = np.r_[np.full(z.shape[1], strength), strength * (0.05 if prior is not None else 0.0)]

    def loss(w: Floats) -> tuple[float, Floats]:
        logit = z @ w[:-1] + w[-1]
        value = np.logaddexp(0, logit).sum() - (y * logit).sum() + 0.5 * (stiffness * (w - start) ** 2).sum()
        error = 1 / (1 + np.exp(-logit)) - y
        return float(value), np.r_[z.T @ error, error.sum()] + stiffness * (w - start)

    solved = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return {
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "coefficients": solved[:-1].tolist(),
        "intercept": float(solved[-1]),
    }


def _mean_and_spread(features: Floats) -> tuple[Floats, Floats]:
    """Of every column's known values; a column that is never known stays out (spread 1 about 0, always average)."""
    known = np.isfinite(features)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, features, 0.0)
    mean = filled.sum(axis=0) / count
    spread = np.sqrt((np.where(known, features - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(known.any(axis=0), np.maximum(spread, 1e-3), 1.0)


def add_isotonic_steps(
    model: dict[str, Any], features: ArrayLike, labels: ArrayLike, *, minimum: int = 200, raw: ArrayLike | None = None
) -> dict[str, Any]:
    """Monotone correction of a logistic model; unchanged with fewer than `minimum`.

    Args:
        raw: `[N]` probabilities of models that did not see these labels (see `out_of_fold`); None = the model's own, which
            flatter themselves a little.
    """
    x, y = np.asarray(features, np.float64), np.asarray(labels, np.float64)
    if len(y) < minimum:
        return model
    from sklearn.isotonic import IsotonicRegression

    plain = {k: v for k, v in model.items() if not k.startswith("steps")}
    seen = probability(plain, x) if raw is None else np.asarray(raw, np.float64)
    fitted = IsotonicRegression(y_min=0.01, y_max=0.99, out_of_bounds="clip").fit(seen, y)
    grid = np.linspace(0, 1, 21)
    return {**plain, "steps_x": grid.round(4).tolist(), "steps_y": fitted.predict(grid).round(5).tolist()}


def out_of_fold(features: ArrayLike, labels: ArrayLike, groups: ArrayLike, *, strength: float = 1.0) -> Floats:
    """`[N]` probabilities of every sample by a logistic model of the other groups (kinds of things, collections)."""
    x, y, g = np.asarray(features, np.float64), np.asarray(labels, np.float64), np.asarray(groups)
    raw = np.zeros(len(y))
    for group in np.unique(g):
        own = g == group
        raw[own] = probability(fit_logistic(x[~own], y[~own], strength=strength), x[own])
    return raw


def fit_calibration(records: Sequence[DecisionRecord], *, backbone: str = "embedded") -> Calibration:
    """A project's own calibration from its decisions about proposed keypoints.

    Args:
        records: `correct` = accepted and not moved by more than 0.1 box; for a proposed absence, that it was right.

    Raises:
        UserInputError: fewer than `MINIMUM_DECISIONS`.
    """
    if len(records) < MINIMUM_DECISIONS:
        raise UserInputError(
            said("A confidence model of your own needs {0} decisions, there are {1}.", MINIMUM_DECISIONS, len(records)),
            "Review some more proposals; until then the shipped model is used.",
        )
    prior = prior_calibration(backbone)
    features = signal_matrix([r.signals for r in records])
    placed = np.array([r.visibility > 0 for r in records])
    right = np.array([r.correct for r in records])
    data: dict[str, Any] = dict(prior.data)
    if placed.sum() >= MINIMUM_DECISIONS:
        own = fit_logistic(features[placed], right[placed], prior.data["correct"], strength=PRIOR_STRENGTH)
        data["correct"] = add_isotonic_steps(own, features[placed], right[placed])
    # Where the decision itself does not say, a wrong place says nothing about presence; a confirmed place or absence does.
    said_there = np.array([r.there is not None for r in records])
    tells = said_there | right | ~placed
    there = np.where(said_there, [bool(r.there) for r in records], np.where(placed, right, ~right))
    names = np.array([r.keypoint for r in records])
    if "present" in prior.data and 5 <= int((~there[tells]).sum()) < int(tells.sum()):
        own = fit_logistic(features[tells], there[tells], prior.data["present"], strength=PRIOR_STRENGTH)
        offsets = keypoint_offsets(probability(own, features[tells]), there[tells], names[tells].tolist())
        data["present"] = {**own, BY_KEYPOINT: offsets}
    return Calibration("project", len(records), data)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 10) -> float:
    """ECE: mean over equal-width bins of |mean confidence - share correct|, weighted by the bins' sizes."""
    p, y = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    if not len(p):
        return float("nan")
    number = np.minimum((p * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(p[number == b].mean() - y[number == b].mean()) * (number == b).mean()
            for b in range(bins)
            if (number == b).any()
        )
    )


def reliability(confidence: ArrayLike, correct: ArrayLike, bins: int = 10) -> list[tuple[float, float, int]]:
    """Rows of a reliability diagram: (mean confidence, share correct, count) of every filled bin."""
    p, y = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    number = np.minimum((p * bins).astype(int), bins - 1)
    return [
        (float(p[number == b].mean()), float(y[number == b].mean()), int((number == b).sum()))
        for b in range(bins)
        if (number == b).any()
    ]


def threshold_for_precision(confidence: ArrayLike, correct: ArrayLike, precision: float) -> float:
    """Lowest confidence above which at least `precision` of the given decisions were right; 1.01 when there is none."""
    p, y = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    order = np.argsort(-p)
    share = np.cumsum(y[order]) / np.arange(1, len(y) + 1)
    good = np.flatnonzero(share >= precision)
    return float(p[order][good[-1]]) if len(good) else 1.01


def auroc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve (rank statistic, ties count half); NaN when one class is missing."""
    s, y = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if y.all() or not y.any():
        return float("nan")
    from scipy.stats import rankdata

    ranks = rankdata(s)
    return float((ranks[y].sum() - y.sum() * (y.sum() + 1) / 2) / (y.sum() * (~y).sum()))
