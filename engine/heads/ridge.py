"""Linear heads in closed form: ridge regression from a cell's features to "this keypoint is here".

The normal equations of several exemplars are sums of what each contributes, so a further label costs its own contribution
and one Cholesky factorisation; taking it back subtracts nothing, it just leaves the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RIDGE = 3e-4
"""Added to the diagonal per cell, for features of unit length."""
TARGET_SIGMA = 1.0
DENIED_WITHIN = 0.05
"""A rejected place speaks for the cells where a head that was right there would answer with more than this."""
"""Of the Gaussian about a keypoint that a head is to answer with, cells."""


@dataclass(frozen=True)
class Contribution:
    """What the views of one exemplar add to the normal equations: `gram` `[C + 1, C + 1]`, `moments` `[C + 1, K]`, float64."""

    gram: Tensor
    moments: Tensor
    cells: int
    known: Tensor


def contribution(maps: Sequence[Tensor], cells_xy: Sequence[Tensor], known: Tensor) -> Contribution:
    """Of views of one exemplar.

    Args:
        maps: `[C, h, w]` each, unit length per cell.
        cells_xy: `[K, 2]` each, xy_feature of the keypoints in that view.
        known: `[K]` bool: shown, or known not to be there (a NaN place): then it is nowhere in the view.
    """
    channels = maps[0].shape[0]
    gram = torch.zeros(channels + 1, channels + 1, dtype=torch.float64)
    moments = torch.zeros(channels + 1, len(known), dtype=torch.float64)
    count = 0
    for features, xy in zip(maps, cells_xy, strict=True):
        flat = features.flatten(1).T
        rows = torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
        wanted = (
            gaussians(xy, features.shape[-1], features.shape[-2], TARGET_SIGMA).nan_to_num(0.0).flatten(1).T * known
        )
        gram += (rows.T @ rows).double()
        moments += (rows.T @ wanted).double()
        count += len(rows)
    return Contribution(gram, moments, count, known)


def denial(maps: Sequence[Tensor], cells_xy: Sequence[Tensor], keypoint: int, count: int) -> Contribution:
    """What a rejected place adds: near it, and only there, the head of that keypoint is to answer with nothing.

    Args:
        maps: `[C, h, w]` each, unit length per cell.
        cells_xy: `[2]` each, xy_feature of the place in that view.
        keypoint: index; count: of all keypoints.
    """
    channels = maps[0].shape[0]
    gram = torch.zeros(channels + 1, channels + 1, dtype=torch.float64)
    cells = 0
    for features, xy in zip(maps, cells_xy, strict=True):
        near = gaussians(xy[None], features.shape[-1], features.shape[-2], TARGET_SIGMA)[0].flatten() > DENIED_WITHIN
        flat = features.flatten(1).T[near]
        rows = torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
        gram += (rows.T @ rows).double()
        cells += len(rows)
    known = torch.zeros(count, dtype=torch.bool)
    known[keypoint] = True
    return Contribution(gram, torch.zeros(channels + 1, count, dtype=torch.float64), cells, known)


def gaussians(xy: Tensor, width: int, height: int, sigma: float) -> Tensor:
    """`[K, h, w]`: 1 at each point (xy_feature), falling off with `sigma` cells."""
    xs, ys = torch.arange(width, dtype=torch.float32), torch.arange(height, dtype=torch.float32)
    gx = torch.exp(-((xs - xy[:, 0:1].float()) ** 2) / (2 * sigma**2))
    gy = torch.exp(-((ys - xy[:, 1:2].float()) ** 2) / (2 * sigma**2))
    return gy[:, :, None] * gx[:, None, :]


def solve(contributions: Sequence[Contribution]) -> Tensor:
    """`[C + 1, K]` float32 weights and bias; zero for a keypoint that no exemplar shows.

    A keypoint is fitted on the exemplars that show it or are known to lack it: on the others nobody has said where it is not.
    """
    shown = torch.stack([c.moments.any(dim=0) for c in contributions]).any(dim=0)
    known = torch.stack([c.known & shown for c in contributions])
    weights = torch.zeros(contributions[0].moments.shape, dtype=torch.float32)
    patterns: dict[tuple[bool, ...], list[int]] = {}
    for k in range(known.shape[1]):
        patterns.setdefault(tuple(known[:, k].tolist()), []).append(k)
    for pattern, members in patterns.items():
        own = [c for c, use in zip(contributions, pattern, strict=True) if use]
        if not own:
            continue
        gram = torch.stack([c.gram for c in own]).sum(dim=0)
        moments = torch.stack([c.moments[:, members] for c in own]).sum(dim=0)
        gram.diagonal().add_(RIDGE * sum(c.cells for c in own))
        # Batched torch.linalg.solve crashes in some CPU builds (oneMKL DLASWP); Cholesky does not.
        weights[:, members] = torch.cholesky_solve(moments, torch.linalg.cholesky(gram)).float()
    return weights


def apply(weights: Tensor, maps: Tensor) -> Tensor:
    """`[B, K, h, w]` answers of the heads on maps `[B, C, h, w]`."""
    answers = weights[:-1].T @ maps.flatten(2) + weights[-1][:, None]
    return answers.unflatten(2, maps.shape[-2:])
