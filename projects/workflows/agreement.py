"""How well two people agree on the photos that both labelled: matched instances, PCK, OKS and mask overlap.

Distances are in pixels of xy_image. L of PCK is the longer side of the first person's box (else mask, else keypoints' extent);
OKS is COCO's: exp(-d^2 / (2 s^2 k^2)) with s^2 the area of the first person's mask (else of the box) and k twice the sigma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kinmark.engine.domain.geometry import Box, longer_side
from kinmark.engine.domain.masks import mask_iou
from kinmark.projects.formats.coco_write import instance_box
from kinmark.projects.formats.dataset import DatasetInstance
from kinmark.projects.formats.schemas import suggested_sigmas
from kinmark.projects.store.rows import CategoryRow

ALPHAS = (0.05, 0.1, 0.2)
SAME_AT_LEAST = 0.3
"""Two instances of a photo are taken for the same thing from this likeness on (0..1, see `likeness`)."""
_REACH = 0.1
"""Keypoints a tenth of the size apart count 0.61 in `likeness`."""


def likeness(a: DatasetInstance, b: DatasetInstance) -> float:
    """0..1: the better of the boxes' IoU and the mean closeness of common keypoints; 2 for the same identity name."""
    if a.category != b.category:
        return 0.0
    if a.identity and a.identity == b.identity:
        return 2.0
    box_a, box_b = instance_box(a), instance_box(b)
    best = _iou(box_a, box_b) if box_a is not None and box_b is not None else 0.0
    distances = _distances(a, b)
    if distances and box_a is not None:
        scale = max(longer_side(box_a), 1e-6) * _REACH
        best = max(best, float(np.mean([math.exp(-((d / scale) ** 2) / 2) for d in distances.values()])))
    return best


def match_instances(first: list[DatasetInstance], second: list[DatasetInstance]) -> list[tuple[int, int]]:
    """Pairs (index in `first`, index in `second`), each at most once, the most alike first."""
    scores = [(likeness(a, b), i, j) for i, a in enumerate(first) for j, b in enumerate(second)]
    pairs: list[tuple[int, int]] = []
    used: tuple[set[int], set[int]] = (set(), set())
    for score, i, j in sorted(scores, key=lambda s: (-s[0], s[1], s[2])):
        if score < SAME_AT_LEAST:
            break
        if i not in used[0] and j not in used[1]:
            pairs.append((i, j))
            used[0].add(i)
            used[1].add(j)
    return pairs


def _iou(a: Box, b: Box) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / whole if whole > 0 else 0.0


def _distances(a: DatasetInstance, b: DatasetInstance) -> dict[str, float]:
    """Of the keypoints that both placed."""
    result = {}
    for name, own in a.keypoints.items():
        other = b.keypoints.get(name)
        if other is None or own.x is None or own.y is None or other.x is None or other.y is None:
            continue
        result[name] = math.hypot(own.x - other.x, own.y - other.y)
    return result


@dataclass
class _Table:
    """Figures of one keypoint, or of all."""

    px: list[float] = field(default_factory=list)
    relative: list[float] = field(default_factory=list)
    one_absent: int = 0

    def to_json(self) -> dict[str, Any]:
        count = len(self.px)
        shares = {f"pck@{a:g}": float(np.mean([d <= a for d in self.relative])) if count else None for a in ALPHAS}
        return {
            "both_placed": count,
            "one_placed_other_absent": self.one_absent,
            "mean_px": float(np.mean(self.px)) if count else None,
            "median_px": float(np.median(self.px)) if count else None,
            **shares,
        }


class Agreement:
    """Collects pairs of instances (first person, second person) photo by photo."""

    def __init__(self) -> None:
        self._keypoints: dict[str, dict[str, _Table]] = {}
        self._all = _Table()
        self._oks: list[float] = []
        self._ious: list[float] = []
        self._pairs = self._photos = 0
        self._alone = [0, 0]

    def add_photo(
        self,
        first: list[DatasetInstance],
        second: list[DatasetInstance],
        pairs: list[tuple[int, int]],
        categories: dict[str, CategoryRow],
    ) -> None:
        """One photo that both labelled, with its matched instances."""
        self._photos += 1
        self._alone[0] += len(first) - len(pairs)
        self._alone[1] += len(second) - len(pairs)
        for i, j in pairs:
            self._add_pair(first[i], second[j], categories.get(first[i].category))

    def _add_pair(self, a: DatasetInstance, b: DatasetInstance, category: CategoryRow | None) -> None:
        self._pairs += 1
        if a.mask is not None and b.mask is not None:
            self._ious.append(mask_iou(a.mask.decode(), b.mask.decode()))
        box = instance_box(a)
        if box is None:
            return
        tables = self._keypoints.setdefault(a.category, {})
        names = category.schema.names if category is not None else tuple(a.keypoints)
        for name in names:
            if name in a.keypoints and name in b.keypoints:
                table = tables.setdefault(name, _Table())
                placed = (a.keypoints[name].x is not None) + (b.keypoints[name].x is not None)
                table.one_absent += placed == 1
                self._all.one_absent += placed == 1
        distances = _distances(a, b)
        side = max(longer_side(box), 1e-6)
        for name, distance in distances.items():
            for table in (tables.setdefault(name, _Table()), self._all):
                table.px.append(distance)
                table.relative.append(distance / side)
        if distances:
            self._oks.append(_oks(a, box, distances, category))

    def to_json(self) -> dict[str, Any]:
        """All figures; None where there is nothing to measure."""
        return {
            "photos": self._photos,
            "pairs": self._pairs,
            "only_first": self._alone[0],
            "only_second": self._alone[1],
            **self._all.to_json(),
            "oks": float(np.mean(self._oks)) if self._oks else None,
            "mask_iou": float(np.mean(self._ious)) if self._ious else None,
            "masks": len(self._ious),
            "keypoints": {
                category: {name: table.to_json() for name, table in tables.items()}
                for category, tables in self._keypoints.items()
            },
            "protocol": "L = longer side of the first person's box; OKS with the category's sigmas (else 0.05)",
        }


def _oks(a: DatasetInstance, box: Box, distances: dict[str, float], category: CategoryRow | None) -> float:
    area = float(a.mask.area) if a.mask is not None and a.mask.area else (box[2] - box[0]) * (box[3] - box[1])
    area = max(area, 1.0)
    sigmas: dict[str, float] = {}
    if category is not None:
        own = category.extra.get("sigmas", ())
        sigmas = dict(zip(category.schema.names, suggested_sigmas(category.schema, tuple(own)), strict=True))
    values = [
        math.exp(-(d**2) / (2 * area * (2 * max(sigmas.get(name, 0.05), 1e-6)) ** 2)) for name, d in distances.items()
    ]
    return float(np.mean(values))
