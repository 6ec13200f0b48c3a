"""Hit-testing as functions on arrays: no window, no scene. All positions are viewport pixels unless named xy_image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kinmark.desktop.canvas.content import CanvasContent
from kinmark.engine.domain.geometry import Box, FloatArray, apply_affine, as_points

POINT_RADIUS_PX = 11.0
HANDLE_RADIUS_PX = 8.0


@dataclass(frozen=True)
class PointHit:
    """Keypoint `index` of instance `key` lies `distance_px` from the cursor."""

    key: str
    index: int
    distance_px: float


@dataclass(frozen=True)
class BoxHit:
    """A box is under the cursor: `handle` 0..7 clockwise from the top-left corner, or -1 for its border/inside."""

    key: str
    handle: int


def nearest_point(*, points: ArrayLike, cursor: ArrayLike, radius_px: float) -> tuple[int, float] | None:
    """Index of the nearest of `[N, 2]` points (NaN rows ignored) and its distance, or None beyond `radius_px`."""
    array = as_points(points).reshape(-1, 2)
    if not len(array):
        return None
    distance = np.hypot(*(array - as_points(cursor)).T)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    index = int(distance.argmin())
    return (index, float(distance[index])) if distance[index] <= radius_px else None


def hit_point(
    *, content: CanvasContent, matrix: FloatArray, cursor: ArrayLike, radius_px: float = POINT_RADIUS_PX
) -> PointHit | None:
    """The keypoint under the cursor; the focused one wins a tie, then the selected instance, then the nearest.

    Args:
        content: what is drawn.
        matrix: `[2, 3]` affine from xy_image to viewport pixels.
        cursor: (x, y) in viewport pixels.
        radius_px: how near the cursor must be.
    """
    best: PointHit | None = None
    best_rank = np.inf
    for instance in content.instances:
        points = (
            np.where(instance.drawn[:, None], instance.xy_image, np.nan) if len(instance.names) else np.zeros((0, 2))
        )
        found = nearest_point(points=apply_affine(matrix, points), cursor=cursor, radius_px=radius_px)
        if found is None:
            continue
        index, distance = found
        rank = distance
        if instance.key == content.selected:
            rank -= 4.0
            if content.focused is not None and instance.drawn[content.focused]:
                focused = apply_affine(matrix, instance.xy_image[content.focused])
                gap = float(np.hypot(*(focused - as_points(cursor))))
                if gap <= radius_px and gap <= distance + 4.0:
                    index, distance, rank = content.focused, gap, gap - 8.0
        if rank < best_rank:
            best, best_rank = PointHit(instance.key, index, distance), rank
    return best


def box_handles(box: Box) -> FloatArray:
    """`[8, 2]` handle positions clockwise from the top-left corner, in the box's own frame."""
    x0, y0, x1, y1 = box
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([(x0, y0), (cx, y0), (x1, y0), (x1, cy), (x1, y1), (cx, y1), (x0, y1), (x0, cy)], dtype=np.float64)


def drag_box_handle(box: Box, handle: int, xy_image: ArrayLike) -> Box:
    """`box` with `handle` (0..7) moved to `xy_image`; sides that cross are swapped."""
    x, y = (float(v) for v in as_points(xy_image))
    x0, y0, x1, y1 = box
    if handle in (0, 6, 7):
        x0 = x
    if handle in (2, 3, 4):
        x1 = x
    if handle in (0, 1, 2):
        y0 = y
    if handle in (4, 5, 6):
        y1 = y
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def hit_box(*, content: CanvasContent, matrix: FloatArray, cursor: ArrayLike) -> BoxHit | None:
    """A handle of the selected box, else the smallest box whose border is within 6 px of the cursor."""
    selected = content.selected_instance
    if selected is not None and selected.box is not None:
        handles = apply_affine(matrix, box_handles(selected.box))
        found = nearest_point(points=handles, cursor=cursor, radius_px=HANDLE_RADIUS_PX)
        if found is not None:
            return BoxHit(selected.key, found[0])
    hits: list[tuple[float, str]] = []
    x, y = (float(v) for v in as_points(cursor))
    for instance in content.instances:
        if instance.box is None:
            continue
        (x0, y0), (x1, y1) = apply_affine(matrix, np.array(instance.box).reshape(2, 2))
        inside = x0 - 6 <= x <= x1 + 6 and y0 - 6 <= y <= y1 + 6
        border = min(abs(x - x0), abs(x - x1), abs(y - y0), abs(y - y1)) <= 6
        if inside and border:
            hits.append(((x1 - x0) * (y1 - y0), instance.key))
    return BoxHit(min(hits)[1], -1) if hits else None


def instances_at(*, content: CanvasContent, xy_image: ArrayLike) -> tuple[str, ...]:
    """Keys of the instances whose mask, box or keypoint extent holds the point, smallest first."""
    x, y = (float(v) for v in as_points(xy_image))
    found: list[tuple[float, str]] = []
    for instance in content.instances:
        if instance.mask is not None:
            x0, y0, x1, y1 = instance.mask.box
            if x0 <= x < x1 and y0 <= y < y1 and instance.mask.decode()[int(y), int(x)]:
                found.append((float(instance.mask.area), instance.key))
                continue
        box = instance.box
        if box is None and len(instance.names) and instance.drawn.any():
            points = instance.xy_image[instance.drawn]
            low, high = points.min(axis=0), points.max(axis=0)
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        if box is not None and box[0] <= x <= box[2] and box[1] <= y <= box[3]:
            found.append(((box[2] - box[0]) * (box[3] - box[1]), instance.key))
    return tuple(key for _, key in sorted(found))


def nearest_edge(*, polygon: ArrayLike, cursor: ArrayLike, radius_px: float) -> tuple[int, FloatArray] | None:
    """Edge (index of its first vertex, closest point `[2]`) of the closed `[N, 2]` polygon under the cursor, or None."""
    points = as_points(polygon).reshape(-1, 2)
    if len(points) < 2:
        return None
    start, end, target = points, np.roll(points, -1, axis=0), as_points(cursor)
    direction = end - start
    length2 = np.maximum((direction**2).sum(axis=1), 1e-12)
    t = np.clip(((target - start) * direction).sum(axis=1) / length2, 0, 1)
    foot = start + t[:, None] * direction
    distance = np.hypot(*(foot - target).T)
    index = int(distance.argmin())
    return (index, foot[index]) if distance[index] <= radius_px else None


def place_labels(
    *,
    anchors: FloatArray,
    sizes: FloatArray,
    priority: ArrayLike,
    obstacles: FloatArray,
    offset_px: float = 9.0,
    bounds_wh: tuple[float, float] | None = None,
) -> list[FloatArray | None]:
    """Top-left corners of name labels that overlap neither each other nor points, within `bounds_wh`; None = hidden.

    Args:
        anchors: `[N, 2]` points that are named; sizes: `[N, 2]` label sizes; obstacles: `[M, 2]` other points.
        priority: `[N]`, higher is placed first (the focused keypoint, then the hovered one, then the rest).
    """
    placed: list[tuple[float, float, float, float]] = []
    result: list[FloatArray | None] = [None] * len(anchors)
    for i in np.argsort(-np.asarray(priority, dtype=np.float64), kind="stable"):
        w, h = sizes[i]
        x, y = anchors[i]
        for dx, dy in ((offset_px, -h / 2), (-offset_px - w, -h / 2), (-w / 2, -offset_px - h), (-w / 2, offset_px)):
            rect = (x + dx, y + dy, x + dx + w, y + dy + h)
            if bounds_wh is not None and (min(rect[:2]) < 0 or rect[2] > bounds_wh[0] or rect[3] > bounds_wh[1]):
                continue
            if any(rect[0] < b[2] and b[0] < rect[2] and rect[1] < b[3] and b[1] < rect[3] for b in placed):
                continue
            if len(obstacles) and np.any(
                (obstacles[:, 0] > rect[0] - 3)
                & (obstacles[:, 0] < rect[2] + 3)
                & (obstacles[:, 1] > rect[1] - 3)
                & (obstacles[:, 1] < rect[3] + 3)
            ):
                continue
            placed.append(rect)
            result[int(i)] = np.array(rect[:2])
            break
    return result
