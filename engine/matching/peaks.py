"""Distinct peaks of similarity maps, their heights and margins (methods/matching.md)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class PeakSet:
    """Top-k peaks per map: `xy` `[N, k, 2]` xy_feature (sub-cell), `score` `[N, k]`, -inf where fewer exist."""

    xy: Tensor
    score: Tensor

    @property
    def margin(self) -> Tensor:
        """`[N]`: best minus second best; the best itself above zero where there is no second."""
        second = self.score[:, 1] if self.score.shape[1] > 1 else torch.full_like(self.score[:, 0], float("-inf"))
        return torch.where(torch.isfinite(second), self.score[:, 0] - second, self.score[:, 0].clamp(min=0))


def top_peaks(maps: Tensor, *, k: int = 3, radius_cells: int = 2, refine: bool = True) -> PeakSet:
    """Local maxima at least `radius_cells` apart, best first.

    A cell is a peak when it holds the maximum of its (2r+1)^2 neighbourhood: one max-pool for all maps, no loop over
    keypoints. Plateaus of equal values can give touching peaks; similarities are floats, ties there are harmless.

    Args:
        maps: `[N, h, w]`; -inf = outside the region.
        refine: move each peak by a parabola through its neighbours (at most half a cell).
    """
    _count, height, width = maps.shape
    k = max(1, k)
    pooled = max_within(maps, radius_cells)
    peaks = torch.where((maps >= pooled) & torch.isfinite(maps), maps, torch.full_like(maps, float("-inf")))
    score, index = peaks.flatten(1).topk(min(k, height * width), dim=1)
    xy = torch.stack([index % width, index // width], dim=-1).to(maps.dtype)
    if refine:
        xy = xy + parabola_offset(maps, xy)
    if score.shape[1] < k:
        missing = k - score.shape[1]
        score = functional.pad(score, (0, missing), value=float("-inf"))
        xy = functional.pad(xy, (0, 0, 0, missing))
    return PeakSet(xy, score)


def max_within(maps: Tensor, radius_cells: int) -> Tensor:
    """`[..., h, w]`: the largest value within so many cells in x and in y (a square window, cut at the border).

    The same as max pooling with stride 1, but doubling the window step by step: about log2 instead of the square of the
    window's side in comparisons (on one core up to fifty times faster for the windows of the pose votes).
    """
    return _running_max(_running_max(maps, radius_cells, -1), radius_cells, -2) if radius_cells > 0 else maps


def _running_max(maps: Tensor, radius: int, dim: int) -> Tensor:
    """Largest value within `radius` along `dim` (-1 or -2)."""
    border = (radius, radius) if dim == -1 else (0, 0, radius, radius)
    best, size, have = functional.pad(maps, border, value=float("-inf")), 2 * radius + 1, 1
    while have < size:
        step = min(have, size - have)
        count = best.shape[dim] - step
        best = torch.maximum(best.narrow(dim, 0, count), best.narrow(dim, step, count))
        have += step
    return best


def parabola_offset(maps: Tensor, xy_cell: Tensor) -> Tensor:
    """Sub-cell offset `[N, k, 2]` within +-0.5 of the parabola through the neighbours in x and in y."""
    _, height, width = maps.shape
    column, row = xy_cell[..., 0].long(), xy_cell[..., 1].long()
    batch = torch.arange(len(maps), device=maps.device)[:, None].expand_as(column)

    def value(dx: int, dy: int) -> Tensor:
        return maps[batch, (row + dy).clamp(0, height - 1), (column + dx).clamp(0, width - 1)]

    def offset(low: Tensor, middle: Tensor, high: Tensor, inside: Tensor) -> Tensor:
        bend = low - 2 * middle + high
        usable = inside & torch.isfinite(low) & torch.isfinite(high) & torch.isfinite(middle) & (bend < -1e-9)
        step = 0.5 * (low - high) / torch.where(usable, bend, torch.ones_like(bend))
        return torch.where(usable, step, torch.zeros_like(step)).clamp(-0.5, 0.5)

    middle = value(0, 0)
    dx = offset(value(-1, 0), middle, value(1, 0), (column > 0) & (column < width - 1))
    dy = offset(value(0, -1), middle, value(0, 1), (row > 0) & (row < height - 1))
    return torch.stack([dx, dy], dim=-1)


def value_at(maps: Tensor, xy_feature: Tensor) -> Tensor:
    """`[N]`: the value of map n at the cell nearest to `xy_feature[n]` (-inf cells stay -inf)."""
    _, height, width = maps.shape
    column = xy_feature[:, 0].round().long().clamp(0, width - 1)
    row = xy_feature[:, 1].round().long().clamp(0, height - 1)
    return maps[torch.arange(len(maps), device=maps.device), row, column]
