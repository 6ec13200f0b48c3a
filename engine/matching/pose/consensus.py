"""Where the whole shape lies when its size is free: a similarity transform that most keypoints agree on (ours).

The pose votes of `pose` place an exemplar at its own size. Photos are also taken from nearer and farther, and cut; then a
keypoint that no longer is in the picture still has a best peak somewhere. Two peaks of two keypoints fix size, turn and
place of an exemplar; the hypothesis whose expected places are best supported by *all* similarity maps says which keypoints
lie outside the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from kinmark.engine.matching.peaks import max_within, top_peaks
from kinmark.engine.matching.run import MatchRun

Floats = NDArray[np.float64]
VARIANTS = 4
"""Variants (exemplar, direction) that are asked, best poses first."""
PEAKS = 3
PEAK_RADIUS = 3
SLACK = 0.06
"""How far a keypoint may stray from its expected place at no cost, share of the instance's longer side."""
MAX_SLACK_CELLS = 6
FAR_BELOW = -1.0
SHORTEST = 0.15
"""Two keypoints nearer than this share of the longer side say too little about size and turn."""
MAX_TURN = 0.7
SCALES = (0.35, 3.0)
SIZE_COST, SIZE_SIGMA = 0.015, 0.35
"""Score that an unusual size costs: `SIZE_COST * (log(size) / SIZE_SIGMA)^2`."""
PSEUDO_POINTS = 6.0
"""Support is a mean over the points inside, shrunk as if so many more had none: few points are easily supported."""
SOFTNESS = 0.03
"""Score difference that makes one hypothesis one e times as likely as another."""


@dataclass(frozen=True)
class Consensus:
    """Best hypothesis of every variant that was asked (H of them).

    Attributes:
        expected: `[H, K, 2]` xy_image, NaN where that exemplar does not show the keypoint.
        share: `[H]` how likely each is, sums to 1.
        length: `[H]` longer side of the instance, image pixels.
        support: mean similarity above average at the expected places of the likeliest one.
        exemplar: `[H]` index of its exemplar.
    """

    expected: Floats
    share: Floats
    length: Floats
    support: float
    exemplar: NDArray[np.int64]

    def outside(self, image_wh: tuple[int, int]) -> Floats:
        """`[K]` how far each expected place lies outside the picture (inside: negative), share of the longer side,
        mean over the hypotheses, within -0.5..0.5; NaN where nothing is expected."""
        width, height = image_wh
        x, y = self.expected[..., 0], self.expected[..., 1]
        beyond = np.maximum(np.maximum(-x, x - width), np.maximum(-y, y - height)) / self.length[:, None]
        return self._mean(np.clip(beyond, -0.5, 0.5))

    def stray(self, xy_image: Floats) -> Floats:
        """`[K]` distance of points `[K, 2]` from their expected places, share of the longer side, mean, at most 1."""
        distance = np.linalg.norm(self.expected - xy_image, axis=-1) / self.length[:, None]
        return self._mean(np.minimum(distance, 1.0))

    def _mean(self, values: Floats) -> Floats:
        known = np.isfinite(values)
        weight = self.share[:, None] * known
        total = weight.sum(axis=0)
        mean = (np.where(known, values, 0.0) * weight).sum(axis=0) / np.maximum(total, 1e-12)
        return np.where(total > 1e-12, mean, np.nan)


@dataclass(frozen=True)
class _Evidence:
    """Maps of the target: `maps` `[K, h, w]`, `inside` the picture, widened on demand; `peaks` `[K, P, 2]` xy_image;
    `order` `[K]`: whose place in the shape each keypoint takes."""

    run: MatchRun
    maps: torch.Tensor
    inside: torch.Tensor
    peaks: Floats
    order: list[int]

    def widened(self, cells: int, cache: dict[int, NDArray[np.float32]]) -> NDArray[np.float32]:
        """`[K, h, w]`: the best value within so many cells."""
        if cells not in cache:
            wide = max_within(self.maps, cells)
            # A chance place counts as much as one outside the picture: nothing. Else shapes would shrink into the picture.
            mean = (wide * self.inside).sum((1, 2), keepdim=True) / self.inside.sum((1, 2), keepdim=True).clamp(min=1)
            cache[cells] = (wide - mean).numpy()
        return cache[cells]


def raw_maps(run: MatchRun) -> torch.Tensor:
    """`[K, h, w]`: mean similarity over the variants by how well their poses fit, without any shape; -inf outside."""
    gap = run.poses.score - run.poses.score.max()
    weight = torch.softmax(gap / run.plan.evidence, dim=0)[:, None] * run.bank.known
    weight = weight / weight.sum(dim=0).clamp(min=1e-9)
    finite = torch.isfinite(run.sims)
    mean = (torch.where(finite, run.sims, torch.zeros_like(run.sims)) * weight[..., None, None]).sum(dim=0)
    return torch.where(finite.all(dim=0), mean, torch.full_like(mean, float("-inf")))


def find_consensus(run: MatchRun, *, exchanged: bool = False) -> Consensus | None:
    """The consensus of one target, or None where keypoints form no common shape or too few are labelled.

    Args:
        exchanged: ask how well the shape fits when left and right trade names in it.
    """
    if run.plan.shape <= 0:
        return None
    order = list(run.inputs.schema.flip_index) if exchanged else list(range(run.bank.known.shape[1]))
    maps = raw_maps(run)
    finite = torch.isfinite(maps)
    safe = torch.where(finite, maps, torch.full_like(maps, FAR_BELOW))
    found = top_peaks(safe, k=PEAKS, radius_cells=PEAK_RADIUS)
    evidence = _Evidence(run, safe, finite, run.parts.to_image(found.xy.double().numpy()), order)
    cache: dict[int, NDArray[np.float32]] = {}
    asked = run.poses.score.argsort(descending=True)[:VARIANTS].tolist()
    best = [h for h in (_best_hypothesis(evidence, variant, cache) for variant in asked) if h is not None]
    if not best:
        return None
    score = np.array([h.score for h in best])
    share = np.exp((score - score.max()) / SOFTNESS)
    return Consensus(
        np.stack([h.expected for h in best]),
        share / share.sum(),
        np.array([h.length for h in best]),
        float(score.max()),
        np.array([h.exemplar for h in best]),
    )


@dataclass(frozen=True)
class _Hypothesis:
    score: float
    expected: Floats
    length: float
    exemplar: int


def _best_hypothesis(evidence: _Evidence, variant: int, cache: dict[int, NDArray[np.float32]]) -> _Hypothesis | None:
    """Every pair of keypoints and of their peaks proposes a transform of the variant's shape; the best supported one."""
    run = evidence.run
    known = (run.bank.known[variant] & run.bank.known[variant][evidence.order]).numpy()
    cell = float(np.linalg.norm(run.parts.to_image([1.0, 0.0]) - run.parts.to_image([0.0, 0.0])))
    shape = run.offsets_cells[variant].double().numpy()[evidence.order] * _cell_aspect(run)
    length = float(run.length_cells[variant]) * cell
    complex_shape = shape[:, 0] + 1j * shape[:, 1]
    peaks = evidence.peaks[..., 0] + 1j * evidence.peaks[..., 1]
    factor, shift = _transforms(complex_shape, peaks, np.flatnonzero(known), length)
    if not len(factor):
        return None
    placed = factor[:, None] * complex_shape + shift[:, None]
    expected = np.stack([placed.real, placed.imag], axis=-1)
    size = np.abs(factor)
    score = _support(evidence, expected, known, SLACK * length * size / cell, cache)
    score -= SIZE_COST * (np.log(size) / SIZE_SIGMA) ** 2
    best = int(score.argmax())
    found = np.where(known[:, None], expected[best], np.nan)
    return _Hypothesis(float(score[best]), found, length * float(size[best]), run.bank.variants[variant].exemplar)


def _cell_aspect(run: MatchRun) -> Floats:
    """`[2]`: image pixels per cell in x and y (whole photos may be squashed)."""
    origin = run.parts.to_image([0.0, 0.0])
    return np.array(
        [
            np.linalg.norm(run.parts.to_image([1.0, 0.0]) - origin),
            np.linalg.norm(run.parts.to_image([0.0, 1.0]) - origin),
        ]
    )


def _transforms(shape: NDArray, peaks: NDArray, labelled: NDArray[np.int64], length: float) -> tuple[NDArray, NDArray]:
    """Factor and shift (complex: `z -> factor * z + shift`) of every pair of keypoints at every pair of their peaks."""
    pairs = np.array(
        [(i, j) for i, j in combinations(labelled, 2) if abs(shape[j] - shape[i]) > SHORTEST * length]
    ).reshape(-1, 2)
    if not len(pairs):
        return np.zeros(0, complex), np.zeros(0, complex)
    count = peaks.shape[1]
    first, second = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
    start = peaks[pairs[:, 0]][:, first.ravel()]
    end = peaks[pairs[:, 1]][:, second.ravel()]
    factor = (end - start) / (shape[pairs[:, 1]] - shape[pairs[:, 0]])[:, None]
    shift = start - factor * shape[pairs[:, 0]][:, None]
    size = np.abs(factor)
    usable = (size > SCALES[0]) & (size < SCALES[1]) & (np.abs(np.angle(factor)) < MAX_TURN)
    return factor[usable], shift[usable]


def _support(
    evidence: _Evidence,
    expected: Floats,
    known: NDArray[np.bool_],
    slack_cells: Floats,
    cache: dict[int, NDArray[np.float32]],
) -> Floats:
    """`[N]`: mean over the keypoints of the widened map at their expected places `[N, K, 2]`; outside counts 0."""
    parts = evidence.run.parts
    width, height = parts.image_wh
    inside = known & (expected >= 0).all(axis=-1) & (expected <= np.array([width, height])).all(axis=-1)
    cells = np.rint(parts.to_cells(expected)).astype(int)
    column = cells[..., 0].clip(0, parts.cells_wh[0] - 1)
    row = cells[..., 1].clip(0, parts.cells_wh[1] - 1)
    values = np.zeros(inside.shape)
    rounded = np.clip(np.rint(slack_cells).astype(int), 0, MAX_SLACK_CELLS)
    keypoint = np.arange(expected.shape[1])[None]
    for slack in np.unique(rounded):
        at = rounded == slack
        values[at] = evidence.widened(int(slack), cache)[keypoint, row[at], column[at]]
    return np.where(inside, values, 0.0).sum(axis=1) / (inside.sum(axis=1) + PSEUDO_POINTS)
