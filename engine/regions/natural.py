"""Individuals through a network that has seen photographs: deep cells of a photo, and how well two photos' cells agree.

A photo is seen at two sizes. Its cells are the last block's vectors (stride 32); how strongly the network's head answers there
says how much a cell is about a *thing*: ground and sky answer weakly (squared, it is the weight of the cell's vote). One
vector per photo (generalised mean of the head, Radenovic et al. 2018) is what the vector index holds.

Arrays only; the network itself is `kinmark.engine.features.efficientnet.NaturalFeatures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

SIDES = (321, 449)
"""Sides of a square of the photo's area at which it is seen; queries vote with the first size, targets answer with both."""
POWER = 3.0
"""Of the generalised mean: between the mean (1) and the maximum."""
KEPT, SHRINKAGE, MOST_CELLS = 192, 1.0, 20_000
"""Dimensions after whitening with the collection's own cells, what is added to their variances (in means), cells that teach it."""
ORDINARY_PERCENTILE = 93


class DeepNetwork(Protocol):
    """What is asked of the network: see `NaturalFeatures`."""

    @property
    def kinds(self) -> FloatArray:
        """`[K, D]` directions of the head in which kinds of things differ."""
        ...

    def deep(self, rgb: NDArray[np.uint8], side: int) -> tuple[FloatArray, FloatArray]:
        """(last block `[C, h, w]`, head `[K, h, w]`) of uint8 RGB, seen as large as a square of this side."""
        ...


@dataclass(frozen=True)
class NaturalCells:
    """Deep cells of one photo.

    Attributes:
        cells: `[P, C]` float16, unit rows of the last block; the first `queries` are of the first size.
        weights: `[P]` float32 >= 0: squared answer of the head, times the foreground where one is given.
        pooled: `[1280]` float32 of norm 1: generalised mean of the head over the photo or its foreground.
        queries: how many cells the first size has.
    """

    cells: NDArray[np.float16]
    weights: FloatArray
    pooled: FloatArray
    queries: int


def generalised_mean(head: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """Unit vector `[C]` of a head's map `[C, h, w]` >= 0 under weights `[h, w]` (None or all zero = equal)."""
    flat = np.maximum(head.reshape(len(head), -1), 0).astype(np.float64) ** POWER
    share = np.ones(flat.shape[1]) if weights is None or weights.sum() <= 0 else weights.ravel().astype(np.float64)
    mean = (flat @ share / share.sum()) ** (1 / POWER)
    return (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)


@dataclass(frozen=True)
class NaturalHead:
    """The head's map of a photo `[K, h, w]` and the few directions `[K, D]` in which it is kept: for the vector index."""

    head: FloatArray
    kinds: FloatArray

    @classmethod
    def of(cls, network: DeepNetwork, rgb: NDArray[np.uint8]) -> NaturalHead:
        """Of uint8 RGB `[H, W, 3]`, one forward pass."""
        return cls(network.deep(rgb, SIDES[0])[1], network.kinds)

    def pooled(self, weights: FloatArray) -> FloatArray:
        """Generalised mean `[D]` over a region, `weights` `[h, w]` >= 0 on any grid over the photo."""
        share = cv2.resize(weights.astype(np.float32), self.head.shape[:0:-1], interpolation=cv2.INTER_AREA)
        return generalised_mean(self.head, share) @ self.kinds


def natural_cells(network: DeepNetwork, rgb: NDArray[np.uint8], foreground: FloatArray | None = None) -> NaturalCells:
    """Cells of uint8 RGB `[H, W, 3]`; `foreground` `[h, w]` >= 0 on any grid over the photo."""
    cells, weights, pooled = [], [], []
    for side in SIDES:
        last, head = network.deep(rgb, side)
        share = None
        if foreground is not None:
            share = cv2.resize(foreground.astype(np.float32), last.shape[:0:-1], interpolation=cv2.INTER_AREA)
        rows = last.reshape(len(last), -1).T
        answer = (head.reshape(len(head), -1) ** 2).sum(axis=0)
        cells.append(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
        weights.append(answer if share is None else answer * share.ravel())
        pooled.append(generalised_mean(head, share))
    joined = np.concatenate(weights).astype(np.float32)
    mean = pooled[0] + pooled[1]
    unit = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return NaturalCells(np.concatenate(cells).astype(np.float16), joined, unit, len(cells[0]))


def whitened(photos: Sequence[NaturalCells]) -> list[FloatArray]:
    """Every photo's cells `[P, D]` on the leading directions of all cells of the collection, each brought to like spread.

    What all photos of a collection share (a kind of animal, a shelf) counts less, what tells them apart counts more.
    """
    everything = np.concatenate([p.cells for p in photos])
    sample = everything[:: max(1, len(everything) // MOST_CELLS)].astype(np.float32)
    mean = sample.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(sample - mean, rowvar=False))
    kept = values[::-1][:KEPT]
    turn = directions[:, ::-1][:, :KEPT] / np.sqrt(np.maximum(kept, 0) + SHRINKAGE * max(float(kept.mean()), 1e-12))
    found = []
    for photo in photos:
        rows = ((photo.cells.astype(np.float32) - mean) @ turn).astype(np.float32)
        found.append(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
    return found


def natural_votes(photos: Sequence[NaturalCells]) -> NDArray[np.float64]:
    """`[N, N]`: excess of each query's cells (row) in each photo (column) over what they find in most photos, by weight."""
    count = len(photos)
    rows = whitened(photos)
    targets = np.ascontiguousarray(np.concatenate(rows).T)
    starts = np.cumsum([0, *(len(r) for r in rows[:-1])])
    votes = np.zeros((count, count))
    for number, photo in enumerate(photos):
        best = np.maximum.reduceat(rows[number][: photo.queries] @ targets, starts, axis=1)
        best[:, number] = np.nan
        ordinary = np.nanpercentile(best, ORDINARY_PERCENTILE, axis=1, keepdims=True)
        excess = np.maximum(np.nan_to_num(best - ordinary, nan=0.0), 0)
        excess[:, number] = 0
        weights = photo.weights[: photo.queries].astype(np.float64)
        votes[number] = weights @ excess / max(float(weights.sum()), 1e-9)
    return votes
