"""Left and right: twins do not share a place, and does the animal face the other way? (ours)

A keypoint and its twin look alike, so both often have their best peak on the same limb. The pair is chosen together: two
different peaks with the best sum, where standing nearer than in the exemplars costs something. Whether all sides are exchanged
the chosen places cannot tell, since they were chosen with the names; a mirrored copy of the exemplars can.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.matching.peaks import top_peaks, value_at
from kinmark.engine.matching.run import MatchRun

Floats = NDArray[np.float64]
CANDIDATES = 4
CROWDED = 0.1
"""Similarity that two twins on one place cost."""
NEAR_SHARE = 0.6
"""Twins nearer than this share of their distance in the exemplar are crowded."""


def separate_twins(run: MatchRun, maps: Tensor, xy: Tensor) -> Tensor:
    """`[K, 2]` xy_feature with every pair of twins chosen together.

    Args:
        maps: `[K, h, w]` fused, -inf where a keypoint is unknown.
        xy: `[K, 2]` where each keypoint alone would go; pairs that win nothing together stay there.
    """
    known = run.bank.known.any(dim=0)
    apart = _apart(run)
    result = xy.clone()
    found = top_peaks(maps, k=CANDIDATES, radius_cells=max(1, run.plan.nms_cells))
    for left, right in run.inputs.schema.pairs:
        if not (bool(known[left]) and bool(known[right])) or not np.isfinite(apart[left]):
            continue
        near = NEAR_SHARE * float(apart[left])
        if torch.linalg.vector_norm(xy[left] - xy[right]) >= near or near <= 0:
            continue
        pair = _best_pair(maps[[left, right]], torch.stack([xy[left], xy[right]]), found.xy[[left, right]], near)
        result[left], result[right] = pair[0], pair[1]
    return result


def mirrored_lead(run: MatchRun) -> float:
    """By how much the best mirrored variant of a bank that has both beats the best unmirrored one (score of the pose)."""
    mirrored = torch.tensor([v.flip for v in run.bank.variants])
    return float(run.poses.score[mirrored].max() - run.poses.score[~mirrored].max())


def _best_pair(maps: Tensor, own: Tensor, peaks: Tensor, near: float) -> Tensor:
    """`[2, 2]`: the two places with the best sum of `maps` `[2, h, w]`; candidates are all peaks of either."""
    places = torch.cat([own, peaks.flatten(0, 1)])
    here = [value_at(maps[side : side + 1].expand(len(places), -1, -1), places) for side in (0, 1)]
    distance = torch.linalg.vector_norm(places[:, None] - places[None], dim=-1)
    crowd = (1 - distance / near).clamp(min=0)
    score = here[0][:, None] + here[1][None] - CROWDED * crowd
    best = int(torch.where(torch.isfinite(score), score, torch.full_like(score, -1e9)).argmax())
    return torch.stack([places[best // len(places)], places[best % len(places)]])


def _apart(run: MatchRun) -> Floats:
    """`[K]` cells: how far each keypoint lies from its twin, the median over the exemplars that show both."""
    flip = list(run.inputs.schema.flip_index)
    offsets = run.offsets_cells.double().numpy()
    both = (run.bank.known & run.bank.known[:, flip]).numpy()
    distance = np.where(both, np.linalg.norm(offsets - offsets[:, flip], axis=-1), np.nan)
    result = np.full(len(flip), np.nan)
    seen = both.any(axis=0)
    result[seen] = np.nanmedian(distance[:, seen], axis=0)
    return result
