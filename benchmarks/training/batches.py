"""Training batches: groups of views of one category, with the correspondences between them (NumPy only).

A batch is `groups` x `views` pictures. A group has one category; its views come in couples of one identity: either two
warps of one scene (every pixel corresponds) or two scenes of the identity. Any two views of a group correspond through
keypoints and surface points. A group that is asked for its *object* (no prompt) corresponds inside its couples only;
one that is asked for its *parts* (a word) corresponds across identities. Sets of textures give warps alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.training.render_sets import RenderedSet, open_set
from benchmarks.training.views import KEYPOINT_SLOTS, POINT_SLOTS, apply_homography

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Batch:
    """`images` [B, V, V, 3] uint8; `rows` [(set, row)] per picture; `category` [B] and `bodies` [B, 3] numbers;
    `identity` [B]; `owner` [B, 32, 32] int8; `points` [B, 128, 2] and `visible` [B, 128].

    Queries, per target picture: `query_image` [B, M], `query_xy` and `target_xy` [B, M, 2] pixels, `query_kind` [B, M]
    (0 none, 1 semantic, 2 warp). `parts` [B] whether the picture's group is asked for parts.
    """

    rows: NDArray[np.int64]
    category: NDArray[np.int64]
    bodies: NDArray[np.int64]
    identity: NDArray[np.int64]
    owner: NDArray[np.int8]
    points: Floats
    visible: NDArray[np.bool_]
    query_image: NDArray[np.int64]
    query_xy: Floats
    target_xy: Floats
    query_kind: NDArray[np.int8]
    parts: NDArray[np.bool_]


class BatchSource:
    """Draws batches from rendered sets; `refresh()` takes in scenes that were rendered meanwhile."""

    def __init__(
        self, folders: list[Path], *, size: int, groups: int, views: int, queries: int = 80, parts: float = 0.65
    ) -> None:
        """`size` pixels of the views, `groups` x `views` pictures a batch (views even), queries per target picture,
        share of groups asked for parts."""
        self.folders, self.size, self.groups, self.views, self.queries = folders, size, groups, views, queries
        self.parts = parts
        self.refresh()

    def refresh(self) -> None:
        """Rebuild the index category -> identity -> scenes."""
        self.sets: list[RenderedSet] = [open_set(f) for f in self.folders]
        self.index: dict[int, dict[int, list[tuple[int, int]]]] = {}
        for s, one in enumerate(self.sets):
            for i, (_, identity, category, *_rest) in enumerate(one.meta[: one.done].tolist()):
                self.index.setdefault(category, {}).setdefault(identity, []).append((s, i))
        self.names = sorted(c for c, who in self.index.items() if len(who) >= self.views // 2)
        self.weight = np.array([len(self.index[c]) for c in self.names], float) ** 0.7
        self.weight /= self.weight.sum()

    @property
    def scenes(self) -> int:
        """Number of scenes in the index."""
        return sum(one.done for one in self.sets)

    def draw(self, rng: np.random.Generator) -> Batch:
        """One batch."""
        rows, group_of, parts = [], [], []
        picked = rng.choice(len(self.names), self.groups, p=self.weight, replace=len(self.names) < self.groups)
        for g, n in enumerate(picked):
            people = self.index[self.names[n]]
            parts += [bool(rng.random() < self.parts)] * self.views
            for identity in rng.choice(list(people), self.views // 2, replace=False):
                rows += self._couple(people[int(identity)], rng)
                group_of += [g, g]
        r = np.array(rows, np.int64)
        return self._assemble(r, np.array(group_of), np.array(parts), rng)

    def _couple(self, scenes: list[tuple[int, int]], rng: np.random.Generator) -> list[tuple[int, int]]:
        if len(scenes) == 1 or rng.random() < 0.5:
            s, i = scenes[int(rng.integers(len(scenes)))]
            return [(s, 2 * i), (s, 2 * i + 1)]
        a, b = rng.choice(len(scenes), 2, replace=False)
        return [(scenes[k][0], 2 * scenes[k][1] + int(rng.integers(2))) for k in (a, b)]

    def _assemble(
        self, rows: NDArray[np.int64], group_of: NDArray[np.int64], parts: NDArray[np.bool_], rng: np.random.Generator
    ) -> Batch:
        def take(name: str) -> NDArray[np.generic]:
            return np.stack([getattr(self.sets[s], name)[r] for s, r in rows])

        meta = np.stack([self.sets[s].meta[r // 2] for s, r in rows])
        points, visible = take("points").astype(np.float32), take("visible").astype(bool)
        warp = take("warp").astype(np.float32)
        b, m = len(rows), self.queries
        source, kind = np.zeros((b, m), np.int64), np.zeros((b, m), np.int8)
        qxy, txy = np.zeros((b, m, 2), np.float32), np.zeros((b, m, 2), np.float32)
        for j in range(b):
            partner = j ^ 1
            warped = bool(rows[j][0] == rows[partner][0] and rows[j][1] // 2 == rows[partner][1] // 2)
            n = 0
            if warped:
                n = m // 2
                p, q = self._warp_points(warp[partner], warp[j], n, rng)
                n = len(p)
                source[j, :n], qxy[j, :n], txy[j, :n], kind[j, :n] = partner, p, q, 2
            group = np.nonzero(group_of == group_of[j])[0] if parts[j] else np.array(sorted((j, partner)))
            who, slot = self._semantic(j, group, visible, m - n, rng)
            end = n + len(who)
            source[j, n:end], qxy[j, n:end], txy[j, n:end] = who, points[who, slot], points[j, slot]
            kind[j, n:end] = 1
        return Batch(
            rows,
            meta[:, 2],
            meta[:, 2:],
            meta[:, 1],
            take("owner").astype(np.int8),
            points,
            visible,
            source,
            qxy,
            txy,
            kind,
            parts,
        )

    def _semantic(
        self, j: int, group: NDArray[np.int64], visible: NDArray[np.bool_], count: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        others = group[group != j]
        both = visible[others] & visible[j]
        weight = np.where(np.arange(POINT_SLOTS) < KEYPOINT_SLOTS, 3.0, 1.0) * both
        flat = weight.reshape(-1)
        possible = int((flat > 0).sum())
        if not possible:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        pick = rng.choice(flat.size, min(count, possible), replace=False, p=flat / flat.sum())
        return others[pick // POINT_SLOTS], pick % POINT_SLOTS

    def _warp_points(self, a: Floats, b: Floats, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        p = rng.uniform(0, self.size, (3 * count, 2)).astype(np.float32)
        q = apply_homography((b @ np.linalg.inv(a)).astype(np.float32), p)
        keep = np.nonzero((q >= 0).all(1) & (q < self.size).all(1))[0][:count]
        return p[keep], q[keep]
