"""Where all keypoints are together: a Gaussian over shapes, and its maximum under the maps of evidence.

Regularised landmark mean-shift (Saragih, Lucey & Cohn 2011): every keypoint's map, looked at through a window that narrows
from round to round, gives a place and how sure it is; the shape that explains all of them best moves the windows. The shape
is a Gaussian process over displacements from the mean shape: free to move, turn and scale as a whole, smooth between
neighbours, a little free alone, and free in the directions in which the exemplars themselves differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
SHIFT, TURN, SCALE, SHEAR = 0.15, 0.3, 0.25, 0.1
"""Standard deviations of the whole shape's freedom, longer sides (radians for the turn)."""
SMOOTH, REACH, ALONE = 0.05, 0.25, 0.04
"""Of the smooth part, over which distance it is smooth, and of each keypoint alone; longer sides."""
WINDOWS = (0.2, 0.15, 0.1, 0.08, 0.06)
"""Standard deviations of the windows, longer sides."""
EVIDENCE = 1.25
"""Log-evidence of one standard deviation of a map."""


@dataclass(frozen=True)
class ShapeModel:
    """Gaussian over shapes: `mean` `[K, 2]`, `covariance` `[2K, 2K]` (all x, then all y), `unit` = a longer side; one frame."""

    mean: Floats
    covariance: Floats
    unit: float
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class ShapeFit:
    """The best shape under the evidence.

    Attributes:
        xy: `[K, 2]`; spread: `[K]` standard deviation of each place given everything, in longer sides.
        others_xy: `[K, 2]` where the other keypoints put each one; others_spread: `[K]` how surely, longer sides.
        strain: squared distance of the shape from the mean shape per degree of freedom (1 = usual).
        support: mean over the keypoints of the map's value at the place, in standard deviations.
    """

    xy: Floats
    spread: Floats
    others_xy: Floats
    others_spread: Floats
    strain: float
    support: float


def shape_model(aligned: Floats, mean: Floats, unit: float) -> ShapeModel:
    """From exemplars in the frame.

    Args:
        aligned: `[E, K, 2]`, each fitted to the mean, NaN where not labelled.
        mean: `[K, 2]` their mean.
        unit: longer side of the instance in the frame.
    """
    count = len(mean)
    known = np.asarray(np.isfinite(aligned[..., 0]).any(axis=0))
    places = (mean - mean[known].mean(axis=0)) / unit
    apart = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    near = SMOOTH**2 * np.exp(-apart / (2 * REACH**2)) + ALONE**2 * np.eye(count)
    covariance = np.zeros((2 * count, 2 * count))
    covariance[:count, :count] = covariance[count:, count:] = near
    one, zero = np.ones(count), np.zeros(count)
    x, y = places.T
    for direction, deviation in (
        (np.r_[one, zero], SHIFT),
        (np.r_[zero, one], SHIFT),
        (np.r_[-y, x], TURN),
        (np.r_[x, y], SCALE),
        (np.r_[x, -y], SHEAR),
        (np.r_[y, x], SHEAR),
    ):
        covariance += deviation**2 * np.outer(direction, direction)
    if len(aligned) > 1:
        differences = np.nan_to_num((aligned - mean) / unit)
        rows = np.concatenate([differences[..., 0], differences[..., 1]], axis=1)
        covariance += rows.T @ rows / len(rows)
    return ShapeModel(mean, covariance * unit**2, unit, known)


def fit_shape(
    evidence: Tensor, model: ShapeModel, *, windows: Sequence[float] = WINDOWS, start: Floats | None = None
) -> ShapeFit:
    """The shape that the maps and the model agree on.

    Args:
        evidence: `[K, h, w]` in standard deviations of each map, on the model's frame (cells); -inf is allowed.
        start: `[K, 2]` where to begin; None = the mean shape.
    """
    index = np.flatnonzero(model.known)
    count, (height, width) = len(index), evidence.shape[-2:]
    both = np.r_[index, index + len(model.mean)]
    prior = model.covariance[np.ix_(both, both)]
    mean = np.r_[model.mean[index, 0], model.mean[index, 1]]
    begin = model.mean if start is None else start
    current = np.r_[begin[index, 0], begin[index, 1]]
    xs, ys = torch.arange(width, dtype=torch.float32), torch.arange(height, dtype=torch.float32)
    maps = EVIDENCE * evidence[index]
    seen, noise = current, np.ones(2 * count)
    for window in windows:
        sigma = max(window * model.unit, 1.0)
        gx = -((xs - torch.from_numpy(current[:count]).float()[:, None]) ** 2) / (2 * sigma**2)
        gy = -((ys - torch.from_numpy(current[count:]).float()[:, None]) ** 2) / (2 * sigma**2)
        share = torch.softmax((maps + gy[:, :, None] + gx[:, None, :]).flatten(1), dim=1).reshape(maps.shape)
        in_x, in_y = share.sum(dim=1), share.sum(dim=2)
        x, y = in_x @ xs, in_y @ ys
        variance = ((in_x * (xs - x[:, None]) ** 2).sum(1) + (in_y * (ys - y[:, None]) ** 2).sum(1)) / 2
        # What the window itself contributes to the sureness is taken out again.
        own = 1 / np.maximum(1 / (variance.double().numpy() + 0.3) - 1 / sigma**2, 1 / (25 * sigma**2))
        noise, seen = np.r_[own, own], np.r_[x.double().numpy(), y.double().numpy()]
        gain = np.linalg.solve(prior + np.diag(noise), prior).T
        current = mean + gain @ (seen - mean)
    return _describe(maps, model, index, prior, mean, seen, noise, current)


def _describe(
    maps: Tensor,
    model: ShapeModel,
    index: NDArray[np.int64],
    prior: Floats,
    mean: Floats,
    seen: Floats,
    noise: Floats,
    current: Floats,
) -> ShapeFit:
    count, total = len(index), len(model.mean)
    inverse = np.linalg.inv(prior + np.diag(noise))
    pull = inverse @ (seen - mean)
    posterior = np.diag(prior - prior @ inverse @ prior)
    xy, others = model.mean.copy(), model.mean.copy()
    spread, others_spread = np.full(total, np.nan), np.full(total, np.nan)
    xy[index] = np.stack([current[:count], current[count:]], axis=1)
    for row, k in enumerate(index):
        # Leave one out in closed form (Rasmussen & Williams 2006, section 5.4.2), x and y together.
        pair = [row, row + count]
        block = np.linalg.inv(inverse[np.ix_(pair, pair)])
        others[k] = seen[pair] - block @ pull[pair]
        others_spread[k] = np.sqrt(max((np.trace(block) - noise[pair].sum()) / 2, 0.0)) / model.unit
        spread[k] = np.sqrt(max(posterior[pair].sum() / 2, 0.0)) / model.unit
    height, width = maps.shape[-2:]
    column = torch.from_numpy(xy[index, 0]).round().long().clamp(0, width - 1)
    row_at = torch.from_numpy(xy[index, 1]).round().long().clamp(0, height - 1)
    values = maps[torch.arange(count), row_at, column]
    strain = float((current - mean) @ np.linalg.solve(prior, current - mean)) / (2 * count)
    return ShapeFit(xy, spread, others, others_spread, strain, float(values.mean()) / EVIDENCE)
