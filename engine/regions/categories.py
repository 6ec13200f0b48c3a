"""Which of several categories a photo shows, from deep cells of labelled photos: each cell speaks for the category it fits best.

Every cell of a photo is compared with the cells inside the labelled instances of all categories (whitened by the collection,
which takes what all its photos share out of the cosine). What a category's best cell is better than that of every other one,
weighed by how much the network's head answers there, is the category's share (after Boiman et al. 2008, image-to-class
distances without a classifier). So two things in different places both have a share, and one thing gives all of it to its own.

With one label a category few cells are known. Photos of the collection that leave no doubt lend theirs, once; where hardly any
photo is free of doubt, the categories cannot be told apart well, nothing is lent, and only what has no share at all is left out.

Arrays only; the cells come from `kinmark.engine.features.efficientnet.NaturalFeatures.deep`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.geometry import Box

FloatArray = NDArray[np.float32]

KEPT, SHRINKAGE = 192, 1.0
"""Dimensions after whitening, and what is added to their variances (in means)."""
CLEAR, LENDERS = 0.2, 3
"""A photo leaves no doubt when the second category has at most this part of the first one's share; so many lend their cells."""
HERE, HERE_IN_DOUBT = 0.1, 0.03
"""A category is taken for there from this part of the largest share on; the second where categories are hard to tell apart."""
PLAIN, TOLD_APART = 0.3, 0.6
"""Categories can be told apart where the second category has at most the first in at least the second part of the photos."""


@dataclass(frozen=True)
class PhotoCells:
    """Deep cells of one photo: `unit` `[P, C]` float32 rows of norm 1, `weights` `[P]` of sum 1, `grid_hw` with P = h * w."""

    unit: FloatArray
    weights: FloatArray
    grid_hw: tuple[int, int]

    @staticmethod
    def of(last: FloatArray, answer: FloatArray) -> PhotoCells:
        """From the last block `[C, h, w]` and the head's squared answer `[h, w]`."""
        rows = last.reshape(len(last), -1).T.astype(np.float32)
        weights = answer.ravel().astype(np.float32) + 1e-9
        length = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return PhotoCells(rows / length, weights / weights.sum(), (last.shape[1], last.shape[2]))

    def inside(self, box: Box, image_wh: tuple[int, int]) -> NDArray[np.bool_]:
        """`[P]`: cells that lie in the box by half at least, in any case the one that does most."""
        covered = np.outer(
            *(
                _covered(n, box[k] / side, box[k + 2] / side)
                for n, k, side in zip(self.grid_hw, (1, 0), image_wh[::-1], strict=True)
            )
        ).ravel()
        return np.asarray(covered >= min(0.5, float(covered.max())))


def _covered(cells: int, low: float, high: float) -> NDArray[np.float64]:
    """Which part of each of `cells` corner-aligned cells lies between two places (0..1 of the side)."""
    if cells == 1:
        return np.ones(1)
    edges = np.concatenate([[0.0], (np.arange(cells - 1) + 0.5) / (cells - 1), [1.0]])
    overlap = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
    return np.asarray(overlap / np.diff(edges))


@dataclass(frozen=True)
class Whitening:
    """`mean` `[C]` and `turn` `[C, D]`: cells on the leading directions of a collection, each brought to like spread."""

    mean: FloatArray
    turn: FloatArray

    @staticmethod
    def fit(photos: Sequence[PhotoCells]) -> Whitening:
        """From the cells of some photos (at least one)."""
        rows = np.concatenate([p.unit for p in photos])
        mean = rows.mean(axis=0)
        values, directions = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
        kept = np.maximum(values[::-1][:KEPT], 0)
        turn = directions[:, ::-1][:, :KEPT] / np.sqrt(kept + SHRINKAGE * max(float(kept.mean()), 1e-12))
        return Whitening(mean.astype(np.float32), turn.astype(np.float32))

    def of(self, unit: FloatArray) -> FloatArray:
        """`[P, C]` -> `[P, D]`, rows of norm 1."""
        rows = (unit - self.mean) @ self.turn
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)


class CategoryCells:
    """What the labelled instances of several categories (two at least) look like, ready to be compared with photos.

    Attributes:
        here_from: part of the largest share from which on a category is taken for there.
    """

    def __init__(self, labelled: Sequence[Sequence[FloatArray]], collection: Sequence[PhotoCells]) -> None:
        """`labelled`: per category cells `[P, C]` of its instances (unit rows); `collection`: photos without labels."""
        seen = [
            *collection,
            *(PhotoCells(r, np.ones(len(r), np.float32), (1, len(r))) for rows in labelled for r in rows),
        ]
        self._whitening = Whitening.fit(seen)
        self._known = [self._whitening.of(np.concatenate(list(rows))) for rows in labelled]
        self.here_from = HERE
        self._learn(collection)

    def shares(self, photo: PhotoCells) -> FloatArray:
        """`[K]`: how much of the photo speaks for each category more than for every other one."""
        return self._shares(photo)[0]

    def here(self, shares: FloatArray) -> NDArray[np.bool_]:
        """`[K]`: which categories are taken for there; all of them where nothing speaks for any."""
        return np.asarray(shares >= self.here_from * shares.max())

    def _shares(self, photo: PhotoCells) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Shares `[K]`, the lead of each category at each cell `[K, P]`, whitened cells `[P, D]`."""
        cells = self._whitening.of(photo.unit)
        best = np.stack([(cells @ known.T).max(axis=1) for known in self._known])
        rivals = np.stack([np.delete(best, k, axis=0).max(axis=0) for k in range(len(best))])
        lead = best - rivals
        return (np.clip(lead, 0, None) @ photo.weights).astype(np.float32), lead, cells

    def _learn(self, collection: Sequence[PhotoCells]) -> None:
        """Take the cells of photos that leave no doubt in, or be careful where there is doubt in most."""
        if not collection:
            return
        doubts = []
        lenders: list[list[tuple[float, FloatArray]]] = [[] for _ in self._known]
        for photo in collection:
            shares, lead, cells = self._shares(photo)
            first, second = np.argsort(-shares)[:2]
            doubts.append(float(shares[second] / max(float(shares[first]), 1e-9)))
            strong = (lead[first] > 0) & (photo.weights >= np.median(photo.weights))
            if doubts[-1] <= CLEAR and strong.any():
                lenders[first].append((doubts[-1], cells[strong]))
        if np.mean(np.array(doubts) <= PLAIN) < TOLD_APART:
            self.here_from = HERE_IN_DOUBT
            return
        for number, found in enumerate(lenders):
            chosen = [cells for _, cells in sorted(found, key=lambda item: item[0])[:LENDERS]]
            self._known[number] = np.concatenate([self._known[number], *chosen])
