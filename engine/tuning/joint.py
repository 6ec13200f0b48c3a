"""The loss of tuning through what a proposal is chosen by: whitened features, exemplars joined, a common shape.

Thread: the engine thread. SD4Match (methods/prompts.md) teaches every pair for itself on the plain score. A proposal joins the maps
of all exemplars after whitening, and the exemplars' shape forbids what lies far off; a prompt that only tells keypoints
from such places gains nothing there. Here the other views of a step are the exemplars of each view, with the plan that
the exemplars chose; place and turn of the shape are the true ones. Not done: weights of the exemplars by their pose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from kinmark.engine.features.fusion import kernel_scores
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.run import SHAPE_UNIT
from kinmark.engine.matching.sampling import l2_normalise, sample_features
from kinmark.engine.matching.votes import shape_penalty
from kinmark.engine.matching.whitening import Whitener, fit_whitener
from kinmark.engine.tuning.loss import cross_entropy_of_maps
from kinmark.engine.tuning.material import Key
from kinmark.engine.tuning.options import TuningOptions

CELLS_PER_VIEW = 400


class Views(Protocol):
    """What the loss asks of the views of a job (`kinmark.engine.tuning.run.TuningRun`)."""

    options: TuningOptions

    @property
    def kernel_width(self) -> float:
        """Of the second descriptor's scores (0 = plain cosine)."""
        ...

    def described(self, key: Key) -> Tensor | None:
        """Second-descriptor map `[C, h, w]` of a view, None without a fusion slot."""
        ...

    def points(self, key: Key, cells_wh: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Keypoints `[K, 2]` of a view in cells, and which are seen `[K]`."""
        ...

    def length_cells(self, key: Key, cells_wh: tuple[int, int]) -> float:
        """Longer side of the instance's box in cells."""
        ...


@dataclass
class JointScore:
    """How the proposals of these instances score a place, differentiable.

    Attributes:
        plans: of every instance (by index), as chosen for its category.
        whiteners: of the diffusion maps and of the second descriptor, fixed for the whole job; None = plain cosine.
    """

    plans: Mapping[int, Plan]
    whiteners: tuple[Whitener | None, Whitener | None] = (None, None)

    @property
    def crop(self) -> bool:
        """Whether most instances are matched in crops."""
        return float(np.median([plan.stages for plan in self.plans.values()])) > 1.5

    @property
    def crop_margin(self) -> float:
        """Of these crops."""
        return max(plan.crop_margin for plan in self.plans.values())

    def fit(self, run: Views, maps: Sequence[Tensor], keys: Sequence[Key]) -> None:
        """Statistics of ordinary cells from `maps` `[C, h, w]` of plain views, under the prompt that learning starts from."""
        strength = max(plan.whiten for plan in self.plans.values())
        if strength <= 0:
            return
        generator = torch.Generator().manual_seed(0)
        described = [run.described(key) for key in keys]
        kept = [d for d in described if d is not None]
        first = fit_whitener(torch.cat([_some_cells(m, generator) for m in maps]), strength=strength)
        second = fit_whitener(torch.cat([_some_cells(d, generator) for d in kept]), strength=strength) if kept else None
        self.whiteners = (first, second)

    def loss(self, run: Views, maps: Tensor, keys: Sequence[Key], groups: Sequence[tuple[list[int], int]]) -> Tensor:
        """Cross-entropy of the joined maps, mean over targets with a point.

        Args:
            maps: `[n, C, h, w]` of the views `keys`.
            groups: (sources, target) as places in `keys`.
        """
        height, width = (int(n) for n in maps.shape[-2:])
        points = [run.points(key, (width, height)) for key in keys]
        xy = torch.from_numpy(np.stack([p for p, _ in points])).to(maps.device)
        seen = torch.from_numpy(np.stack([v for _, v in points])).to(maps.device)
        losses = []
        for sources, target in groups:
            shared = seen[sources] & seen[target]
            if not shared.any():
                continue
            plan = self.plans[keys[target][0]]
            scores = self._scores(run, maps, keys, xy, sources, target, plan)
            if plan.shape > 0:
                penalty = self._penalty(run, keys, xy, shared, sources, target, plan, (width, height))
                scores = scores - plan.shape * SHAPE_UNIT * penalty.to(scores)
            known = seen[sources]
            joined = _joined(scores, known, plan.fuse)
            valid = seen[target] & known.any(dim=0)
            losses.append(cross_entropy_of_maps(joined[None], xy[target][None], valid[None], run.options.loss))
        return torch.stack(losses).mean() if losses else maps.sum() * 0.0

    def _scores(
        self, run: Views, maps: Tensor, keys: Sequence[Key], xy: Tensor, sources: list[int], target: int, plan: Plan
    ) -> Tensor:
        """`[S, K, h, w]` of every source's keypoints over the target's cells."""
        diffusion = _cosines(maps[sources], maps[target], xy[sources], self.whiteners[0] if plan.whiten > 0 else None)
        described = [run.described(keys[n]) for n in (*sources, target)]
        kept = [d.to(maps.device) for d in described if d is not None]
        if len(kept) < len(described) or plan.fusion_weight <= 0:
            return diffusion
        size = torch.tensor([maps.shape[-1], maps.shape[-2]]) - 1
        ratio = (torch.tensor([kept[0].shape[-1], kept[0].shape[-2]]) - 1) / size.clamp(min=1)
        with torch.no_grad():
            places = xy[sources] * ratio.to(xy)
            scores = _cosines(torch.stack(kept[:-1]), kept[-1], places, self.whiteners[1] if plan.whiten > 0 else None)
            if plan.whiten <= 0 and run.kernel_width > 0:
                scores = kernel_scores(scores, run.kernel_width)
            if scores.shape[-2:] != diffusion.shape[-2:]:
                scores = interpolate(scores, size=diffusion.shape[-2:], mode="bilinear", align_corners=True)
        return (1 - plan.fusion_weight) * diffusion + plan.fusion_weight * scores

    def _penalty(
        self,
        run: Views,
        keys: Sequence[Key],
        xy: Tensor,
        shared: Tensor,
        sources: list[int],
        target: int,
        plan: Plan,
        cells_wh: tuple[int, int],
    ) -> Tensor:
        """`[S, K, h, w]`: what leaving each source's shape costs, laid where the keypoints both show are in the target."""
        expected, sigmas = torch.zeros(xy[sources].shape), torch.ones(len(sources))
        for number, source in enumerate(sources):
            both = shared[number] if shared[number].any() else torch.ones_like(shared[number])
            offset = xy[target][both].mean(dim=0) - xy[source][both].mean(dim=0)
            expected[number] = (xy[source] + offset).cpu()
            sigmas[number] = max(1.0, run.length_cells(keys[source], cells_wh) * plan.slack)
        return shape_penalty(expected, cells_wh, sigma_cells=sigmas)


def _joined(scores: Tensor, known: Tensor, fuse: str) -> Tensor:
    """`[S, K, h, w]` to `[K, h, w]` over the sources that show the keypoint (0 where none does)."""
    mask = known[..., None, None]
    if fuse == "max":
        highest = torch.where(mask, scores, torch.full_like(scores, -1e4)).amax(dim=0)
        return torch.where(mask.any(dim=0), highest, torch.zeros_like(highest))
    return torch.where(mask, scores, torch.zeros_like(scores)).sum(dim=0) / mask.sum(dim=0).clamp(min=1)


def _cosines(sources: Tensor, target: Tensor, xy: Tensor, whitener: Whitener | None) -> Tensor:
    """`[S, K, h, w]` of points `xy` `[S, K, 2]` (cells of `sources` `[S, C, hs, ws]`) over `target` `[C, h, w]`.

    As the matching does it: read, then L2-normalised, then whitened.
    """
    queries = l2_normalise(sample_features(sources, xy))
    cells = l2_normalise(target.flatten(1).T)
    if whitener is not None:
        on_device = Whitener(whitener.mean.to(cells), whitener.projection.to(cells))
        queries, cells = on_device(queries), on_device(cells)
    return (queries @ cells.T).unflatten(-1, target.shape[-2:])


def _some_cells(maps: Tensor, generator: torch.Generator) -> Tensor:
    """`[400, C]` of `[C, h, w]` at random places."""
    cells = maps.detach().cpu().flatten(1)
    return cells[:, torch.randint(cells.shape[1], (CELLS_PER_VIEW,), generator=generator)].T
