"""Errors planted into a COCO keypoint file, and how many of them a list of findings names (`kinmark benchmark check`).

Five kinds, as they happen at a desk: a keypoint somewhere else, the sides of a whole instance exchanged, those of one pair,
a mask that belongs to another place, one instance labelled twice.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

KINDS = ("displaced", "all sides", "one pair", "mask", "duplicate")
SHIFT = (0.25, 0.6)
"""Displacement of a keypoint, relative to the longer side of the box."""
MASK_SHIFT = (0.3, 0.9)
JITTER = 0.02
LEAST_GAP = 0.1
"""Exchanging two keypoints that lie closer than this share of the box is no error anybody could see."""


@dataclass
class Planted:
    """`data` is the damaged COCO file; the sets name what is wrong: (annotation id, keypoint) or annotation id."""

    data: dict[str, Any]
    displaced: set[tuple[int, int]] = field(default_factory=set)
    swapped: set[tuple[int, int]] = field(default_factory=set)
    whole: set[int] = field(default_factory=set)
    pairs: set[int] = field(default_factory=set)
    masks: set[int] = field(default_factory=set)
    duplicates: dict[int, int] = field(default_factory=dict)
    """Copy -> original."""

    def of_kind(self, kind: str) -> set[Any]:
        """The planted units of one of `KINDS`."""
        sets: dict[str, set[Any]] = {
            "displaced": self.displaced,
            "all sides": self.whole,
            "one pair": self.pairs,
            "mask": self.masks,
            "duplicate": set(self.duplicates),
        }
        return sets[kind]


def _points(annotation: dict[str, Any]) -> np.ndarray:
    return np.array(annotation["keypoints"], dtype=np.float64).reshape(-1, 3)


def _store(annotation: dict[str, Any], points: np.ndarray) -> None:
    annotation["keypoints"] = [round(float(v), 2) for v in points.ravel()]


def _length(annotation: dict[str, Any]) -> float:
    return float(max(annotation["bbox"][2:]))


def plant(data: dict[str, Any], shares: dict[str, float], seed: int) -> Planted:
    """Damage a share of the keypoints ("displaced") or of the instances (all other `KINDS`); no instance has two errors.

    Args:
        data: COCO file as read by `json`; left as it is.
        shares: kind to share; kinds that are missing are not planted.
        seed: the same seed plants the same errors.
    """
    generator = np.random.default_rng(seed)
    planted = Planted(copy.deepcopy(data))
    sizes = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    flips = {c["id"]: [(a - 1, b - 1) for a, b in c.get("flip_pairs", [])] for c in data["categories"]}
    annotations = list(planted.data["annotations"])
    free = list(generator.permutation(len(annotations)))
    for kind in ("all sides", "one pair", "mask", "duplicate"):
        wanted = round(shares.get(kind, 0.0) * len(annotations))
        for index in list(free):
            if wanted == 0:
                break
            annotation = annotations[index]
            if _damage_instance(kind, annotation, flips[annotation["category_id"]], sizes, planted, generator):
                free.remove(index)
                wanted -= 1
    places = [(index, k) for index in free for k in np.flatnonzero(_points(annotations[index])[:, 2] > 0)]
    total = sum(int((_points(a)[:, 2] > 0).sum()) for a in annotations)
    generator.shuffle(places)
    for index, k in places[: round(shares.get("displaced", 0.0) * total)]:
        annotation = annotations[index]
        _displace(annotation, k, sizes[annotation["image_id"]], generator)
        planted.displaced.add((annotation["id"], int(k)))
    return planted


def _displace(annotation: dict[str, Any], k: int, size_wh: tuple[int, int], generator: np.random.Generator) -> None:
    points = _points(annotation)
    for _ in range(100):
        angle, length = generator.uniform(0, 2 * np.pi), generator.uniform(*SHIFT) * _length(annotation)
        place = points[k, :2] + length * np.array([np.cos(angle), np.sin(angle)])
        if (place >= 0).all() and (place <= size_wh).all():
            points[k, :2] = place
            break
    _store(annotation, points)


def _damage_instance(
    kind: str,
    annotation: dict[str, Any],
    pairs: list[tuple[int, int]],
    sizes: dict[int, tuple[int, int]],
    planted: Planted,
    generator: np.random.Generator,
) -> bool:
    """Whether the instance could be damaged in that way."""
    if kind == "mask":
        return _move_mask(annotation, sizes[annotation["image_id"]], planted, generator)
    if kind == "duplicate":
        twin = copy.deepcopy(annotation)
        twin["id"] = 1_000_000 + annotation["id"]
        points = _points(twin)
        points[:, :2] += generator.normal(0, JITTER * _length(annotation), (len(points), 2)) * (points[:, 2:] > 0)
        _store(twin, points)
        planted.data["annotations"].append(twin)
        planted.duplicates[twin["id"]] = annotation["id"]
        return True
    points = _points(annotation)
    apart = [
        (a, b)
        for a, b in pairs
        if points[a, 2] > 0
        and points[b, 2] > 0
        and np.linalg.norm(points[a, :2] - points[b, :2]) >= LEAST_GAP * _length(annotation)
    ]
    if not apart or (kind == "all sides" and len(apart) < 2):
        return False
    chosen = pairs if kind == "all sides" else [apart[int(generator.integers(len(apart)))]]
    for a, b in chosen:
        points[[a, b]] = points[[b, a]]
        planted.swapped |= {(annotation["id"], a), (annotation["id"], b)}
    _store(annotation, points)
    (planted.whole if kind == "all sides" else planted.pairs).add(annotation["id"])
    return True


def _move_mask(
    annotation: dict[str, Any], size_wh: tuple[int, int], planted: Planted, generator: np.random.Generator
) -> bool:
    rle = annotation["segmentation"]
    mask = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode()})
    angle, length = generator.uniform(0, 2 * np.pi), generator.uniform(*MASK_SHIFT) * _length(annotation)
    dx, dy = (round(length * f) for f in (np.cos(angle), np.sin(angle)))
    rows, columns = np.nonzero(mask)
    rows, columns = rows + dy, columns + dx
    inside = (rows >= 0) & (rows < size_wh[1]) & (columns >= 0) & (columns < size_wh[0])
    if inside.mean() < 0.3:
        return False
    moved = np.zeros_like(mask)
    moved[rows[inside], columns[inside]] = 1
    encoded = coco_mask.encode(np.asfortranarray(moved))
    annotation["segmentation"] = {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}
    planted.masks.add(annotation["id"])
    return True


@dataclass
class Score:
    """Counts of one kind; precision is None when nothing was reported, recall None when nothing was planted."""

    reported: int = 0
    right: int = 0
    planted: int = 0
    found: int = 0

    @property
    def precision(self) -> float | None:
        """Share of the reports that name a planted error."""
        return self.right / self.reported if self.reported else None

    @property
    def recall(self) -> float | None:
        """Share of the planted errors that were reported."""
        return self.found / self.planted if self.planted else None

    def add(self, reported: Iterable[Any], right: Iterable[Any], planted: Iterable[Any], found: Iterable[Any]) -> None:
        """Count sets of units."""
        self.reported += len(set(reported))
        self.right += len(set(right))
        self.planted += len(set(planted))
        self.found += len(set(found))
