"""Where the keypoints of an instance should lie by its other keypoints, learned from the other instances' layouts.

A layout fits another by a similarity transform, also mirrored (`kinmark.engine.pipelines.label_check` judges what comes out).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
REFERENCES = 24
"""Other instances that are asked at most."""
TRIM_GAIN = 0.3
"""A point is left out of a fit when the mean square residual of the rest falls below this share."""


def layout_residuals(
    points: Floats, lengths: Floats, asked: Floats | None = None, only: Sequence[int] | None = None
) -> tuple[Floats, Floats]:
    """How far each label lies from where its fellows put it.

    Args:
        points: `[N, K, 2]`, NaN where absent; `lengths` `[N]` longer side of each box.
        asked: the labels to judge when they differ from `points` (exchanged sides), same shape.
        only: the keypoints to judge; None = all.

    Returns:
        `[N, K]` residual relative to the length (smallest over the other instances, median of the three best) and
        `[N, K, 2]` expected position; NaN where fewer than three common neighbours exist.
    """
    asked = points if asked is None else asked
    count, keypoints = points.shape[:2]
    residual = np.full((count, keypoints), np.nan)
    expected = np.full((count, keypoints, 2), np.nan)
    # Complex numbers make a similarity one multiplication; each instance is centred, so that sums keep their precision.
    own = points[..., 0] + 1j * points[..., 1]
    own = own - np.nan_to_num(_mean(own))[:, None]
    shapes = np.stack([own, -own.conj()], axis=1)  # [N, 2, K]: as it is, and mirrored
    chosen = np.arange(0, count, max(1, count // REFERENCES))
    judged = np.arange(keypoints) if only is None else np.asarray(only)
    for row in range(count):
        others = chosen[chosen != row]
        target = asked[row, :, 0] + 1j * asked[row, :, 1]
        known = np.isfinite(target.real)
        if not len(others) or known.sum() < 4:
            continue
        centre = target[known].mean()
        source = shapes[others].reshape(-1, keypoints)  # [J, K]
        places, misfit = _places(source, target - centre, known, judged)
        for column, k in enumerate(judged):
            if not known[k]:
                continue
            ranked = np.argsort(misfit[:, column])
            # Those whose other keypoints fit best are the ones that may speak.
            best = ranked[np.isfinite(misfit[ranked, column])][:3]
            if len(best):
                speak = places[best, column] + centre
                residual[row, k] = np.median(np.abs(speak - target[k])) / lengths[row]
                expected[row, k] = np.median(speak.real), np.median(speak.imag)
    return residual, expected


def _mean(values: Complexes) -> Complexes:
    known = np.isfinite(values.real)
    return np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _places(
    source: Complexes, target: Complexes, known: NDArray[np.bool_], judged: NDArray[np.int64]
) -> tuple[Complexes, Floats]:
    """Where each of J instances puts each of the `judged` keypoints, by the *other* common keypoints.

    Args:
        source: `[J, K]` keypoints as x + iy, NaN where absent; `target` `[K]` likewise, labelled where `known`.

    Returns:
        `[J, judged]` places in the frame of `target`, and `[J, judged]` median distance of the common keypoints (NaN where fewer
        than three are common). Up to two common keypoints that fit far worse than the rest (wrong labels, too) are left
        out of each fit, as long as three remain.
    """
    common = np.isfinite(source.real) & known
    use = np.repeat(common[:, None, :], len(judged), axis=1)  # [J, judged, K]
    use[:, np.arange(len(judged)), judged] = False
    counts_for = use.copy()
    z = np.where(common, source, 0)[:, None, :]
    w = np.where(known, target, 0)[None, None, :]
    for _ in range(2):
        cost = fit_cost(z, w, use)
        # The point whose absence helps most: residuals of the full fit are smeared over all points.
        without = _costs_without(z, w, use)
        worst = without.argmin(axis=-1)
        least = np.take_along_axis(without, worst[..., None], axis=-1)[..., 0]
        drop = (use.sum(axis=-1) > 3) & (least <= TRIM_GAIN * cost)
        if not drop.any():
            break
        j, k = np.nonzero(drop)
        use[j, k, worst[j, k]] = False
    turn, shift = _fits(z, w, use)
    gaps = np.where(counts_for, np.abs(turn[..., None] * z + shift[..., None] - w), np.nan)
    enough = (counts_for.sum(axis=-1) >= 3) & common[:, judged]
    misfit = np.full(enough.shape, np.nan)
    misfit[enough] = np.nanmedian(gaps[enough], axis=-1)
    return turn * np.where(common, source, 0)[:, judged] + shift, misfit


def _sums(z: Complexes, w: Complexes, use: NDArray[np.bool_]) -> tuple[Any, ...]:
    """n, sum z, sum w, sum |z|^2, sum |w|^2, sum conj(z) w over the last axis."""
    return (
        use.sum(-1).astype(np.float64),
        (z * use).sum(-1),
        (w * use).sum(-1),
        (np.abs(z) ** 2 * use).sum(-1),
        (np.abs(w) ** 2 * use).sum(-1),
        (z.conj() * w * use).sum(-1),
    )


def _fits(z: Complexes, w: Complexes, use: NDArray[np.bool_]) -> tuple[Complexes, Complexes]:
    """Least-squares `w = turn * z + shift` over the last axis; a pure shift where the points coincide."""
    n, sz, sw, zz, _, zw = _sums(z, w, use)
    n = np.maximum(n, 1)
    spread = zz - np.abs(sz) ** 2 / n
    turn = np.where(spread > 1e-12, (zw - sz.conj() * sw / n) / np.maximum(spread, 1e-12), 1.0)
    return turn, (sw - turn * sz) / n


def _mean_square(n: Any, sz: Any, sw: Any, zz: Any, ww: Any, zw: Any) -> Floats:
    n = np.maximum(n, 1)
    spread = np.maximum(zz - np.abs(sz) ** 2 / n, 1e-12)
    left = ww - np.abs(sw) ** 2 / n - np.abs(zw - sz.conj() * sw / n) ** 2 / spread
    return np.maximum(left, 0.0) / n


def fit_cost(z: Complexes, w: Complexes, use: NDArray[np.bool_]) -> Floats:
    """Mean square residual of the best similarity over the last axis."""
    return _mean_square(*_sums(z, w, use))


def _costs_without(z: Complexes, w: Complexes, use: NDArray[np.bool_]) -> Floats:
    """`fit_cost` with one point left out, for each point; infinite for points that are not used."""
    n, sz, sw, zz, ww, zw = (s[..., None] for s in _sums(z, w, use))
    cost = _mean_square(n - 1, sz - z, sw - w, zz - np.abs(z) ** 2, ww - np.abs(w) ** 2, zw - z.conj() * w)
    return np.where(use, cost, np.inf)
