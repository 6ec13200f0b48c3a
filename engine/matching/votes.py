"""Joint choice: where a whole exemplar fits best, and what that says about each keypoint (methods/matching.md, ours).

A variant votes for the centre of the instance: every keypoint's map, widened by the slack of the shape, is shifted by the
keypoint's offset and summed (a star model). The best centre of each variant is its pose hypothesis.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kinmark.engine.matching.peaks import max_within, top_peaks

MAX_CELLS = 24_000_000
"""Cells of all maps that are voted on at once (variants are taken in groups beyond it)."""


@dataclass(frozen=True)
class PoseHypotheses:
    """Best centre of every variant: `centre` `[V, 2]` xy_feature, `score` `[V]` mean similarity over the shape."""

    centre: Tensor
    score: Tensor

    @property
    def best(self) -> int:
        """Index of the best variant."""
        return int(self.score.argmax())


def pose_votes(sims: Tensor, known: Tensor, offsets_cells: Tensor, *, slack_cells: int) -> Tensor:
    """`[V, h, w]`: how well each variant fits when its centre lies on each cell.

    Args:
        sims: `[V, K, h, w]`; -inf outside a region counts as far below average.
        known: `[V, K]` bool.
        offsets_cells: `[V, K, 2]` of each keypoint from the centre.
        slack_cells: how far a keypoint may stray at no cost.
    """
    variants, _count, height, width = sims.shape
    step = max(1, MAX_CELLS // max(1, sims[0].numel()))
    rounds = [
        _votes(sims[i : i + step], known[i : i + step], offsets_cells[i : i + step], slack_cells)
        for i in range(0, variants, step)
    ]
    return torch.cat(rounds).reshape(variants, height, width)


def _votes(sims: Tensor, known: Tensor, offsets_cells: Tensor, slack_cells: int) -> Tensor:
    variants, count, height, width = sims.shape
    finite = torch.isfinite(sims)
    values = torch.where(finite, sims, torch.zeros_like(sims))
    mean = values.sum((-2, -1), keepdim=True) / finite.sum((-2, -1), keepdim=True).clamp(min=1)
    # Missing evidence (outside the picture) counts as average, outside the asked region as clearly worse.
    values = torch.where(finite, values - mean, torch.full_like(values, -0.5))
    values = max_within(values, slack_cells)
    rows = torch.arange(height)[:, None] + offsets_cells[..., 1].round().long()[..., None, None]
    columns = torch.arange(width)[None, :] + offsets_cells[..., 0].round().long()[..., None, None]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    moved = values.flatten(2).gather(2, index.flatten(2)).reshape(variants, count, height, width)
    use = inside & known[..., None, None]
    return torch.where(use, moved, torch.zeros_like(moved)).sum(1) / known.sum(1).clamp(min=1)[:, None, None]


def best_poses(votes: Tensor) -> PoseHypotheses:
    """The best centre of every variant, sub-cell, from `[V, h, w]`."""
    peaks = top_peaks(votes, k=1, radius_cells=1)
    return PoseHypotheses(peaks.xy[:, 0], peaks.score[:, 0])


def shape_penalty(expected_cells: Tensor, cells_wh: tuple[int, int], *, sigma_cells: Tensor) -> Tensor:
    """`[V, K, h, w]` in 0..1: 0 where the shape puts the keypoint, towards 1 far from it (bounded: evidence may win).

    Args:
        expected_cells: `[V, K, 2]`.
        sigma_cells: `[V]`.
    """
    width, height = cells_wh
    xs, ys = torch.arange(width, dtype=torch.float32), torch.arange(height, dtype=torch.float32)
    scale = (2 * sigma_cells**2)[:, None, None]
    gx = torch.exp(-((xs - expected_cells[..., 0:1].float()) ** 2) / scale)
    gy = torch.exp(-((ys - expected_cells[..., 1:2].float()) ** 2) / scale)
    return 1 - gy[..., :, None] * gx[..., None, :]
