"""A run: one view matched with one bank, and what can be read from it without another look.

Below the evidence and the choice of sides, which read runs; the matcher, which makes them, is above both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.matching.bank import ExemplarBank, crop_side, square_about
from kinmark.engine.matching.plan.context import MatchContext
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.reader import FeatureReader, ViewParts
from kinmark.engine.matching.votes import PoseHypotheses, shape_penalty
from kinmark.engine.requests import Exemplar, Target

SHAPE_UNIT = 0.3
"""Similarity that the shape may cost a keypoint at most, at weight 1."""


@dataclass
class MatchInputs:
    """What is matched, and with which features: set once for all targets and plans."""

    reader: FeatureReader
    schema: KeypointSchema
    exemplars: Sequence[Exemplar]
    context: MatchContext


@dataclass(frozen=True)
class MatchRun:
    """Everything about one view matched with one bank; `sims` `[V, K, h, w]` with priors, `votes` `[V, h, w]`."""

    inputs: MatchInputs
    bank: ExemplarBank
    parts: ViewParts
    target: Target
    plan: Plan
    frame: str
    sims: Tensor
    votes: Tensor
    poses: PoseHypotheses
    offsets_cells: Tensor
    length_cells: Tensor

    def places(self, margin: float, count: int) -> list[tuple[NDArray[np.float64], float]]:
        """Up to `count` distinct places (centre in xy_image, side of the crop) where the instance may be."""
        order = self.poses.score.argsort(descending=True).tolist()
        found: list[tuple[NDArray[np.float64], float]] = []
        for v in order:
            centre = self.parts.to_image(self.poses.centre[v].double().numpy())
            side = self._side(v, margin)
            if all(np.linalg.norm(centre - c) > 0.35 * max(side, s) for c, s in found):
                found.append((centre, side))
            if len(found) == count:
                break
        return found

    def _side(self, variant: int, margin: float) -> float:
        exemplar = self.bank.exemplars[self.bank.variants[variant].exemplar]
        source = np.asarray(self.inputs.reader.size_wh(exemplar.image), float)
        ratio = float(np.sqrt(np.prod(np.asarray(self.parts.image_wh) / source)))
        return crop_side(exemplar, margin) * ratio

    def fused(self) -> Tensor:
        """`[K, h, w]`: the maps of all variants joined, each with its shape and the score of its pose."""
        maps = torch.where(self.bank.known[..., None, None], self.sims, torch.full_like(self.sims, float("-inf")))
        gap = self.poses.score - self.poses.score.max()
        if self.plan.shape > 0:
            expected = self.poses.centre[:, None] + self.offsets_cells.float()
            sigma = (self.length_cells.float() * self.plan.slack).clamp(min=1.0)
            maps = maps - self.plan.shape * SHAPE_UNIT * shape_penalty(expected, self.parts.cells_wh, sigma_cells=sigma)
            maps = maps + self.plan.shape * gap[:, None, None, None]
        if self.plan.fuse == "max":
            return maps.amax(dim=0)
        share = torch.softmax(gap / self.plan.evidence, dim=0)[:, None, None, None]
        known = self.bank.known[..., None, None]
        total = (share * known).sum(0)
        mean = torch.where(known, maps * share, torch.zeros_like(maps)).sum(0) / total.clamp(min=1e-9)
        return torch.where(total > 0, mean, torch.full_like(mean, float("-inf")))

    def box_image(self) -> Box:
        """Where the best pose puts the instance (xy_image), square of the exemplar's longer side."""
        best = self.poses.best
        centre = self.parts.to_image(self.poses.centre[best].double().numpy())
        per_cell = np.linalg.norm(self.parts.to_image([1.0, 0.0]) - self.parts.to_image([0.0, 0.0]))
        return square_about(centre, float(self.length_cells[best]) * float(per_cell))


def best_run(runs: Sequence[MatchRun]) -> MatchRun:
    """The one whose best pose fits best; the first of equals."""
    return max(runs, key=lambda run: float(run.poses.score.max()))
