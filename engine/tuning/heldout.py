"""Figures on held-out photos: PCK@0.1 and its form without steps, before and after, with intervals over photos."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.requests import HeldOutFigures

ALPHA = 0.1


@dataclass(frozen=True)
class HeldOut:
    """Distances to the truth on held-out images as shares of L (longer side of the target's box): `errors` one array per
    target instance; figures are pooled by point."""

    errors: tuple[NDArray[np.float64], ...]

    @property
    def hits(self) -> tuple[NDArray[np.bool_], ...]:
        """Which points are right at 0.1, per target instance."""
        return tuple(e <= ALPHA for e in self.errors)

    @property
    def nearness(self) -> tuple[NDArray[np.float64], ...]:
        """1 / (1 + (error / 0.1)^2) of every point, per target instance."""
        return tuple(1 / (1 + (e / ALPHA) ** 2) for e in self.errors)

    @property
    def pck(self) -> float:
        """PCK@0.1: share of right points over all (NaN without any)."""
        return _pooled(self.hits)

    @property
    def soft(self) -> float:
        """Mean nearness: what PCK counts, without its steps, so that few photos tell prompts apart (NaN without any)."""
        return _pooled(self.nearness)


def _pooled(values: tuple[NDArray, ...]) -> float:
    pooled = np.concatenate(values) if values else np.zeros(0)
    return float(pooled.mean()) if len(pooled) else math.nan


def intervals(
    before: HeldOut, after: HeldOut, *, soft: bool = False, samples: int = 2000
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over target images of before, after and their paired difference: of PCK, or of `soft`."""
    rng = np.random.default_rng(0)
    old, new = (before.nearness, after.nearness) if soft else (before.hits, after.hits)
    sums = np.array([[b.sum(), a.sum(), len(b)] for b, a in zip(old, new, strict=True)], np.float64)
    if not len(sums) or not sums[:, 2].sum():
        nan = (math.nan, math.nan)
        return {"before": nan, "after": nan, "gain": nan}
    drawn = sums[rng.integers(0, len(sums), (samples, len(sums)))].sum(axis=1)
    drawn = drawn[drawn[:, 2] > 0]
    shares = drawn[:, :2] / drawn[:, 2:]
    table = {"before": shares[:, 0], "after": shares[:, 1], "gain": shares[:, 1] - shares[:, 0]}
    return {k: tuple(float(q) for q in np.percentile(v, [2.5, 97.5])) for k, v in table.items()}  # type: ignore[misc]


def figures(before: HeldOut, after: HeldOut) -> HeldOutFigures:
    """Both measured on the same images, as they are reported."""
    pck, soft = intervals(before, after), intervals(before, after, soft=True)
    return HeldOutFigures(
        before.pck, after.pck, pck["before"], pck["after"], pck["gain"], before.soft, after.soft, soft["gain"]
    )


def gain_beyond_noise(before: HeldOut, after: HeldOut, errors: float) -> float:
    """How far the gain in `soft` lies above so many standard errors of its mean over images (NaN below two images).

    Points of one image succeed and fail together, so images are the trials, and of one alone nobody knows the error.
    """
    pairs = zip(before.nearness, after.nearness, strict=True)
    by_image = np.array([float((a - b).mean()) for b, a in pairs if len(b)])
    if len(by_image) < 2:
        return math.nan
    error = float(by_image.std(ddof=1) / np.sqrt(len(by_image)))
    return after.soft - before.soft - errors * error
