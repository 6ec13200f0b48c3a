"""Instances put together from shapes: boxes, outlines, skeletons and points that a file joins by a group number.

Nothing overwrites anything: a group that holds two boxes, two skeletons or shapes of several labels is several instances, and
the report says so. Outlines of one label are the parts of one instance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.dataset import DatasetKeypoint, Report
from kinmark.projects.formats.outlines import outline_extra


@dataclass
class Shape:
    """One shape of a file: exactly one of `box`, `mask`, `keypoints` (a skeleton) or `point` (a named point)."""

    category: str
    where: str
    box: Box | None = None
    mask: MaskRLE | None = None
    ring: list[float] | None = None
    keypoints: dict[str, DatasetKeypoint] | None = None
    point: DatasetKeypoint | None = None
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Part:
    """One instance in the making. `rings`: its outline as drawn, None once a part of it was no polygon."""

    category: str
    where: str
    keypoints: dict[str, DatasetKeypoint] = field(default_factory=dict)
    box: Box | None = None
    mask: MaskRLE | None = None
    rings: list[list[float]] | None = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    has_skeleton: bool = False

    @property
    def extent(self) -> Box | None:
        """Its box, else that of its mask, else None."""
        if self.box is not None:
            return self.box
        return self.mask.box if self.mask is not None and self.mask.area else None

    @property
    def extra(self) -> dict[str, object]:
        """What a `DatasetInstance` keeps of the outline."""
        return outline_extra(self.rings, self.mask) if self.mask is not None and self.rings else {}

    def take(self, shape: Shape) -> None:
        """Add a shape for which there is room."""
        self.fields = {**shape.fields, **self.fields}
        if shape.box is not None:
            self.box = shape.box
        elif shape.mask is not None:
            if self.mask is not None:
                merged = self.mask.decode() | shape.mask.decode()
                self.mask = MaskRLE.encode(merged)
            else:
                self.mask = shape.mask
            self.rings = [*self.rings, shape.ring] if self.rings is not None and shape.ring is not None else None
        elif shape.keypoints is not None:
            self.keypoints, self.has_skeleton = {**shape.keypoints, **self.keypoints}, True


def assemble(shapes: list[Shape], where: str, report: Report) -> list[Part]:
    """The instances of one group, in the order of their first shapes; `shapes` without named points."""
    parts: list[Part] = []
    for category in dict.fromkeys(s.category for s in shapes):
        parts += _of_one_label([s for s in shapes if s.category == category], category)
    if len(parts) > 1:
        labels = ", ".join(f'"{part.category}"' for part in parts)
        report.add(
            "changed",
            where,
            said("the group holds {0} objects ({1}); each is an instance of its own", len(parts), labels),
        )
    return parts


def _of_one_label(shapes: list[Shape], category: str) -> list[Part]:
    boxes = [s for s in shapes if s.box is not None]
    skeletons = [s for s in shapes if s.keypoints is not None]
    masks = [s for s in shapes if s.mask is not None]
    leading, others = (boxes, skeletons) if len(boxes) >= len(skeletons) else (skeletons, boxes)
    parts = [Part(category, s.where) for s in leading] or [Part(category, shapes[0].where)]
    for part, shape in zip(parts, leading, strict=False):
        part.take(shape)
    for shape in others:
        free = [p for p in parts if (p.box is None if shape.box is not None else not p.has_skeleton)]
        _nearest(free, _extent(shape)).take(shape)
    for shape in masks:
        _nearest(parts, _extent(shape)).take(shape)
    return parts


def _extent(shape: Shape) -> Box | None:
    if shape.box is not None:
        return shape.box
    if shape.mask is not None:
        return shape.mask.box
    return _points_box((shape.keypoints or {}).values())


def _points_box(keypoints: Iterable[DatasetKeypoint]) -> Box | None:
    points = [(k.x, k.y) for k in keypoints if k.x is not None and k.y is not None]
    if not points:
        return None
    xy = np.asarray(points, dtype=np.float64)
    (x0, y0), (x1, y1) = xy.min(axis=0), xy.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _nearest(parts: list[Part], extent: Box | None) -> Part:
    """The part that shares most with `extent`, else the one whose centre is nearest."""
    if len(parts) == 1 or extent is None:
        return parts[0]

    def order(part: Part) -> tuple[float, float]:
        own = part.extent or _points_box(part.keypoints.values())
        if own is None:
            return 0.0, float("inf")
        shared = max(0.0, min(own[2], extent[2]) - max(own[0], extent[0])) * max(
            0.0, min(own[3], extent[3]) - max(own[1], extent[1])
        )
        dx, dy = own[0] + own[2] - extent[0] - extent[2], own[1] + own[3] - extent[1] - extent[3]
        return -shared, dx * dx + dy * dy

    return min(parts, key=order)


def give_points(points: list[tuple[str, Shape]], parts: list[Part], category: str, where: str, report: Report) -> None:
    """Put the named points of one group onto its instances (`parts`, which grows when a name is taken already).

    With several instances a point belongs to the one that it lies in (the largest of those), else to the nearest.
    """
    several = len(parts) > 1
    for name, shape in points:
        if shape.point is None:
            continue
        owner = _owner(parts, shape.point) if parts else None
        if several and owner is not None:
            report.count("changed", "point of a group of several objects", shape.where, "given to the one it lies in")
        _put(name, shape, owner, parts, category, where, report)


def give_loose_points(
    points: list[tuple[str, Shape]], parts: list[Part], category: str, where: str, report: Report
) -> None:
    """Put points without a group onto the instances of the photo: the only one, or the only one that they lie in."""
    regions = [p for p in parts if p.extent is not None]
    labels = list(dict.fromkeys(p.category for p in regions))
    fallback = labels[0] if len(labels) == 1 else category
    alone: list[Part] = []
    for name, shape in points:
        if shape.point is None:
            continue
        inside = [p for p in regions if _holds(p, shape.point)]
        owner = parts[0] if len(parts) == 1 and not alone else inside[0] if len(inside) == 1 else None
        if owner is not None and len(parts) > 1:
            report.count("changed", "point without a group", shape.where, "given to the only object that it lies in")
        elif owner is None and regions:
            report.count(
                "flagged", "point without a group", shape.where, "it lies in no object or in several: kept apart"
            )
        if owner is not None:
            _put(name, shape, owner, parts, fallback, where, report)
        else:
            _put(name, shape, alone[-1] if alone else None, alone, fallback, where, report)
    parts += alone


def _holds(part: Part, point: DatasetKeypoint) -> bool:
    extent = part.extent
    return (
        extent is not None
        and point.x is not None
        and point.y is not None
        and extent[0] <= point.x <= extent[2]
        and extent[1] <= point.y <= extent[3]
    )


def _owner(parts: list[Part], point: DatasetKeypoint) -> Part:
    def area(part: Part) -> float:
        box = part.extent
        return (box[2] - box[0]) * (box[3] - box[1]) if box is not None else 0.0

    inside = [p for p in parts if _holds(p, point)]
    return max(inside, key=area) if inside else _nearest(parts, _points_box([point]))


def _put(
    name: str, shape: Shape, owner: Part | None, parts: list[Part], category: str, where: str, report: Report
) -> None:
    if shape.point is None:
        return
    if owner is not None and name in owner.keypoints:
        free = [p for p in parts if p.category == owner.category and p.extent is None and name not in p.keypoints]
        report.add(
            "changed", shape.where, said('a second point "{0}" of the same instance; it begins another one', name)
        )
        category, owner = owner.category, free[0] if free else None
    if owner is None:
        owner = Part(category, where)
        parts.append(owner)
    owner.keypoints[name] = shape.point
    owner.fields = {**shape.fields, **owner.fields}
