"""PCK: the share of keypoints within alpha * L (methods/evaluation.md). NumPy only; who chooses L and the frame is `protocols`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

ALPHAS = (0.05, 0.1, 0.15)
Boolean = NDArray[np.bool_]


def hits(
    predicted: ArrayLike, truth: ArrayLike, length: float, alphas: Sequence[float] = ALPHAS, *, strict: bool = False
) -> Boolean:
    """Whether each point lies within alpha * length.

    Args:
        predicted, truth: `[N, 2]` in one common frame; a NaN prediction is a miss.
        length: L of that pair in the same frame.
        strict: `<` instead of `<=` (GeoAware-SC).

    Returns:
        `[A, N]` bool.
    """
    distance = np.linalg.norm(np.asarray(predicted, np.float64) - np.asarray(truth, np.float64), axis=-1)
    limit = np.asarray(alphas, np.float64)[:, None] * float(length)
    with np.errstate(invalid="ignore"):
        return (distance[None] < limit) if strict else (distance[None] <= limit)


@dataclass(frozen=True)
class PairResult:
    """One evaluated pair: `hits` `[A, N]` bool for its N points, its category and a name for the report."""

    category: str
    hits: Boolean
    name: str = ""


@dataclass(frozen=True)
class PckScore:
    """PCK at every alpha, averaged in both ways, with 95 % bootstrap intervals over pairs.

    Attributes:
        per_image: mean over pairs of the share of correct points (what SD4Match reports).
        per_point: all points pooled (DIFT's headline).
        per_image_interval, per_point_interval: `(low, high)` per alpha.
    """

    alphas: tuple[float, ...]
    pairs: int
    points: int
    per_image: tuple[float, ...]
    per_point: tuple[float, ...]
    per_image_interval: tuple[tuple[float, float], ...] = ()
    per_point_interval: tuple[tuple[float, float], ...] = ()


def score_pairs(
    results: Sequence[PairResult], alphas: Sequence[float] = ALPHAS, *, bootstrap: int = 1000, seed: int = 0
) -> PckScore:
    """PCK of a list of pairs. Pairs without points are left out of both averages (their image PCK would be NaN)."""
    counted = [r for r in results if r.hits.shape[1]]
    if not counted:
        nan = tuple(float("nan") for _ in alphas)
        return PckScore(tuple(alphas), 0, 0, nan, nan)
    correct = np.array([r.hits.sum(axis=1) for r in counted], dtype=np.float64)
    points = np.array([r.hits.shape[1] for r in counted], dtype=np.float64)
    share = correct / points[:, None]
    image_bounds: tuple[tuple[float, float], ...] = ()
    point_bounds: tuple[tuple[float, float], ...] = ()
    if bootstrap:
        draw = np.random.default_rng(seed).integers(0, len(counted), size=(bootstrap, len(counted)))
        image_bounds = _interval(share[draw].mean(axis=1))
        point_bounds = _interval(correct[draw].sum(axis=1) / points[draw].sum(axis=1)[:, None])
    return PckScore(
        tuple(alphas),
        len(counted),
        int(points.sum()),
        tuple(share.mean(axis=0).tolist()),
        tuple((correct.sum(axis=0) / points.sum()).tolist()),
        image_bounds,
        point_bounds,
    )


def score_categories(
    results: Sequence[PairResult], alphas: Sequence[float] = ALPHAS, *, bootstrap: int = 0, seed: int = 0
) -> dict[str, PckScore]:
    """`score_pairs` per category, sorted by name."""
    names = sorted({r.category for r in results})
    return {
        name: score_pairs([r for r in results if r.category == name], alphas, bootstrap=bootstrap, seed=seed)
        for name in names
    }


def _interval(samples: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))
