"""Is a keypoint in the picture at all? Further evidence for that, gathered once per proposal (issue of confidence; ours).

A keypoint that is not there still has a best peak. What tells: the shape puts it outside the picture, the peak is lower than
what this keypoint reaches between exemplars, another keypoint claims the same place with more right, and exemplars that
are laid out alike do not show it either.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.peaks import value_at
from kinmark.engine.matching.pose.consensus import Consensus, find_consensus, raw_maps
from kinmark.engine.matching.run import MatchInputs, MatchRun

Floats = NDArray[np.float64]
PSEUDO_COUNT = 0.5
COMPARED_VARIANTS = 8


def with_presence(inputs: MatchInputs, raw: RawKeypoints) -> RawKeypoints:
    """The same keypoints with the signals `raw`, `usual`, `outside`, `fit`, `support`, `shown` and `crowded`."""
    run = raw.run
    if run is None:
        return raw
    consensus = find_consensus(run)
    count = len(raw.signals)
    nothing = np.full(count, np.nan)
    cells = torch.from_numpy(run.parts.to_cells(np.nan_to_num(raw.xy_image))).float()
    similarity = value_at(raw_maps(run), cells).double().numpy()
    similarity = np.where(np.isfinite(similarity) & raw.known, similarity, np.nan)
    usual = similarity - usual_similarity(inputs, run)
    outside = nothing if consensus is None else consensus.outside(run.parts.image_wh)
    fit = nothing if consensus is None else consensus.stray(raw.xy_image)
    support = float("nan") if consensus is None else consensus.support
    shown = shown_share(run, consensus)
    crowded = crowding(raw, similarity)
    signals = tuple(
        replace(
            s,
            raw=float(similarity[k]),
            usual=float(usual[k]),
            outside=float(outside[k]),
            fit=float(fit[k]),
            support=support,
            shown=float(shown[k]),
            crowded=float(crowded[k]),
        )
        for k, s in enumerate(raw.signals)
    )
    return replace(raw, signals=signals)


def usual_similarity(inputs: MatchInputs, run: MatchRun) -> Floats:
    """`[K]`: similarity of each keypoint's vectors between different exemplars (best direction), mean over the pairs;
    NaN where fewer than two exemplars show it."""
    bank, plan = run.bank, run.plan
    upright: dict[int, int] = {}
    for index, variant in enumerate(bank.variants):
        if variant.turn == 0 and not variant.flip:
            upright.setdefault(variant.exemplar, index)
    count = bank.known.shape[1]
    if len(upright) < 2:
        return np.full(count, np.nan)
    order = run.poses.score.argsort(descending=True)[:COMPARED_VARIANTS].tolist()
    fixed = list(upright.values())
    total = torch.zeros(len(order), len(fixed), count)
    for name, weight in inputs.context.part_weights(plan).items():
        if name not in bank.queries:
            continue
        whitener = inputs.context.whitener(run.frame, name, plan)
        total += weight * torch.einsum(
            "akc,bkc->abk", whitener(bank.queries[name][order]), whitener(bank.queries[name][fixed])
        )
    asked = torch.tensor([bank.variants[i].exemplar for i in order])
    other = asked[:, None] != torch.tensor(list(upright))[None]
    use = other[..., None] & bank.known[order][:, None] & bank.known[fixed][None]
    best = torch.where(use, total, torch.full_like(total, float("-inf"))).amax(dim=0).double().numpy()
    known = np.isfinite(best)
    return np.where(
        known.any(axis=0), np.where(known, best, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan
    )


def shown_share(run: MatchRun, consensus: Consensus | None) -> Floats:
    """`[K]` 0..1: share of exemplars that show the keypoint, those whose pose fits counting more; shrunk towards 1."""
    known = run.bank.known.double().numpy()
    if consensus is None:
        gap = (run.poses.score - run.poses.score.max()) / run.plan.evidence
        weight = torch.softmax(gap, dim=0).double().numpy()
    else:
        weight = np.zeros(len(known))
        for index, variant in enumerate(run.bank.variants):
            weight[index] = consensus.share[consensus.exemplar == variant.exemplar].sum()
        weight /= max(float(weight.sum()), 1e-12)
    exemplars = len({v.exemplar for v in run.bank.variants})
    # Half by how alike they are, half by plain counting: with few exemplars the weights rest on one or two.
    mixed = 0.5 * (weight[:, None] * known).sum(axis=0) + 0.5 * known.mean(axis=0)
    return (mixed * exemplars + PSEUDO_COUNT) / (exemplars + PSEUDO_COUNT)


def crowding(raw: RawKeypoints, similarity: Floats) -> Floats:
    """`[K]` 0..1: how much nearer another, better matching keypoint lies than in the best exemplar (0 = not at all)."""
    run = raw.run
    count = len(raw.signals)
    if run is None:
        return np.zeros(count)
    best = run.poses.best
    shape = run.offsets_cells[best].double().numpy()
    found = run.parts.to_cells(np.nan_to_num(raw.xy_image))
    apart = np.linalg.norm(shape[:, None] - shape[None], axis=-1)
    now = np.linalg.norm(found[:, None] - found[None], axis=-1)
    both = run.bank.known[best].numpy() & raw.known
    score = np.nan_to_num(similarity, nan=-1.0)
    rival = both[:, None] & both[None] & (score[None] > score[:, None]) & (apart > 0)
    nearness = np.where(rival, 1 - now / np.maximum(apart, 1e-6), 0.0)
    return np.clip(nearness.max(axis=1, initial=0.0), 0.0, 1.0)
