"""Positions and raw signals of every keypoint from the fused maps (methods/matching.md: what makes the confidence)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.proposals import KeypointSignals, Peak
from kinmark.engine.matching.peaks import top_peaks, value_at
from kinmark.engine.matching.pose.sides import separate_twins
from kinmark.engine.matching.run import MatchRun
from kinmark.engine.matching.selection import kernel_soft_argmax, soft_argmax

AGREEMENT_RADIUS = 0.1


@dataclass(frozen=True)
class RawKeypoints:
    """What matching found in one target, before any confidence.

    Attributes:
        xy_image: `[K, 2]`, NaN where no exemplar shows the keypoint.
        signals: per keypoint; `peaks`: candidates per keypoint, best first.
        known: `[K]` bool.
        box: where the best pose puts the instance; `pose_score` its mean similarity; `exemplar` its index.
        swap_gain: how much better (score of the pose) the exemplars fit mirrored, with left and right exchanged; 0 unknown
            (see `facing.predict_facing`).
        alone_xy_image: `[K, 2]` where each keypoint would be without regard to its twin.
    """

    xy_image: NDArray[np.float64]
    signals: tuple[KeypointSignals, ...]
    peaks: tuple[tuple[Peak, ...], ...]
    known: NDArray[np.bool_]
    box: Box
    pose_score: float
    exemplar: int
    swap_gain: float = 0.0
    run: MatchRun | None = None
    alone_xy_image: NDArray[np.float64] | None = None


def positions(maps: Tensor, method: str, *, temperature: float, sigma_cells: float) -> Tensor:
    """`[K, h, w]` -> `[K, 2]` xy_feature; nn and bilinear get the sub-cell parabola of the fused map."""
    if method == "softargmax":
        return soft_argmax(maps, temperature=temperature)
    if method == "kernel_softargmax":
        return kernel_soft_argmax(maps, temperature=temperature, sigma_cells=sigma_cells)
    return top_peaks(maps, k=1, radius_cells=1).xy[:, 0]


def read_keypoints(run: MatchRun) -> RawKeypoints:
    """Positions and evidence of a run, from the maps of all its variants joined."""
    return gather_evidence(run, run.fused())


def gather_evidence(run: MatchRun, fused: Tensor) -> RawKeypoints:
    """Read positions, peaks and signals from `[K, h, w]`."""
    plan, parts = run.plan, run.parts
    known = run.bank.known.any(dim=0)
    safe = torch.where(torch.isfinite(fused).any(-1).any(-1)[:, None, None], fused, torch.zeros_like(fused))
    xy = positions(safe, plan.method, temperature=plan.temperature, sigma_cells=plan.sigma_cells)
    alone, xy = xy, separate_twins(run, safe, xy)
    found = top_peaks(safe, k=max(2, plan.top_k), radius_cells=plan.nms_cells)
    best = run.poses.best
    length = float(run.length_cells[best])
    agreement = _agreement(run, xy, length)
    expected = run.poses.centre[best] + run.offsets_cells[best].float()
    stray = torch.linalg.vector_norm(xy - expected, dim=-1) / max(length, 1e-6)
    twin = _twins(run, safe, xy)
    xy_image = parts.to_image(xy.double().numpy())
    xy_image[~known.numpy()] = np.nan
    peaks_image = parts.to_image(found.xy.double().numpy())
    alone_image = parts.to_image(alone.double().numpy())
    alone_image[~known.numpy()] = np.nan
    margin = found.margin
    signals, peaks = [], []
    for k in range(len(xy)):
        shape = float(stray[k]) if bool(run.bank.known[best, k]) else float("nan")
        signals.append(
            KeypointSignals(
                peak=float(found.score[k, 0]),
                margin=float(margin[k]),
                agreement=float(agreement[k]),
                twin_margin=float(twin[k]),
                shape=shape,
                pose=float(run.poses.score[best]),
            )
        )
        peaks.append(
            tuple(
                Peak(float(peaks_image[k, i, 0]), float(peaks_image[k, i, 1]), float(found.score[k, i]))
                for i in range(min(plan.top_k, found.score.shape[1]))
                if bool(torch.isfinite(found.score[k, i]))
            )
        )
    return RawKeypoints(
        xy_image,
        tuple(signals),
        tuple(peaks),
        known.numpy(),
        run.box_image(),
        float(run.poses.score[best]),
        run.bank.variants[best].exemplar,
        0.0,
        run,
        alone_image,
    )


def _agreement(run: MatchRun, xy: Tensor, length: float) -> Tensor:
    """`[K]`: share of exemplars whose own best peak (over their directions) lies near the joint answer."""
    groups: dict[int, list[int]] = {}
    for index, variant in enumerate(run.bank.variants):
        groups.setdefault(variant.exemplar, []).append(index)
    near = torch.zeros(len(xy))
    total = torch.zeros(len(xy))
    width = run.sims.shape[-1]
    for members in groups.values():
        # The direction that fits this exemplar best speaks for it.
        v = members[int(run.poses.score[members].argmax())]
        index = run.sims[v].flatten(1).argmax(dim=1)
        own = torch.stack([index % width, index // width], dim=-1).float()
        use = run.bank.known[v]
        near += use * (torch.linalg.vector_norm(own - xy, dim=-1) <= max(1.0, AGREEMENT_RADIUS * length))
        total += use
    return torch.where(total > 0, near / total.clamp(min=1), torch.full_like(near, float("nan")))


def _twins(run: MatchRun, fused: Tensor, xy: Tensor) -> Tensor:
    """`[K]`: margin of each keypoint over its left/right twin at the same place, NaN without one."""
    flip = torch.tensor(run.inputs.schema.flip_index)
    own = value_at(fused, xy)
    twin_here = value_at(fused[flip], xy)
    has_twin = flip != torch.arange(len(flip))
    return torch.where(has_twin, own - twin_here, torch.full_like(own, float("nan")))
