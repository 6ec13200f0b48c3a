"""Masks and polygons: exact edge rings of a mask, and polygons from files to masks within safe bounds.

Rings run along pixel *edges* in xy_image, so drawing them again gives the same mask (methods/formats.md#coco); rings traced through
pixel centres, as cv2.findContours gives, lose the border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said

MAX_POINTS = 200_000
"""Points of one instance's polygons; a photo's outline has a few thousand."""
MAX_OUTLINE_PX = 4_000_000
"""Length of all outlines of one instance: pycocotools' time and memory grow with it."""

Ring = NDArray[np.float64]


def mask_rings(mask: NDArray[np.bool_]) -> tuple[list[Ring], list[Ring]]:
    """Outer rings and holes of a boolean `[H, W]`, each `[N, 2]` corner points in xy_image.

    Foreground is 4-connected; outer rings run with the foreground on their right (clockwise on screen), holes against.
    """
    steps = _edge_steps(np.asarray(mask, dtype=bool))
    outer: list[Ring] = []
    holes: list[Ring] = []
    while steps:
        ring = _follow(steps)
        area = _signed_area(ring)
        (outer if area > 0 else holes).append(ring)
    return outer, holes


def _edge_steps(mask: NDArray[np.bool_]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Unit steps along the border: start corner -> possible directions, foreground on the right-hand side."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (
        (inside & ~padded[:-2, 1:-1], (0, 0), (1, 0)),  # top edge, walked to the right
        (inside & ~padded[1:-1, 2:], (1, 0), (0, 1)),  # right edge, walked down
        (inside & ~padded[2:, 1:-1], (1, 1), (-1, 0)),  # bottom edge, walked to the left
        (inside & ~padded[1:-1, :-2], (0, 1), (0, -1)),  # left edge, walked up
    )
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for edge, (dx, dy), direction in sides:
        ys, xs = np.nonzero(edge)
        for x, y in zip((xs + dx).tolist(), (ys + dy).tolist(), strict=True):
            steps.setdefault((x, y), []).append(direction)
    return steps


def _follow(steps: dict[tuple[int, int], list[tuple[int, int]]]) -> Ring:
    """Take one closed ring out of `steps`; corners only."""
    start = next(iter(steps))
    point, heading, corners = start, (0, 0), []
    while True:
        choices = steps[point]
        # Where two pixels touch at a corner, turning right keeps them apart (4-connected foreground).
        right = (-heading[1], heading[0])
        direction = right if right in choices and len(choices) > 1 else choices[0]
        choices.remove(direction)
        if not choices:
            del steps[point]
        if direction != heading:
            corners.append(point)
        heading = direction
        point = (point[0] + direction[0], point[1] + direction[1])
        if point == start and (point not in steps or _closes(steps, point, heading)):
            break
    first, second = corners[0], corners[1] if len(corners) > 1 else corners[0]
    if _direction(first, second) == heading:  # the walk began in the middle of a straight edge
        corners = corners[1:]
    return np.asarray(corners, dtype=np.float64)


def _closes(
    steps: dict[tuple[int, int], list[tuple[int, int]]], point: tuple[int, int], heading: tuple[int, int]
) -> bool:
    """Whether a ring that came back to a touching corner ends there (its right turn was the step it began with)."""
    return (-heading[1], heading[0]) not in steps[point]


def _direction(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return int(np.sign(b[0] - a[0])), int(np.sign(b[1] - a[1]))


def _signed_area(ring: Ring) -> float:
    """Positive for rings that run clockwise on screen (y down)."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def exact_polygons(mask: MaskRLE) -> list[list[float]] | None:
    """COCO polygons that draw exactly this mask, or None when it has holes (COCO polygons cannot say them)."""
    outer, holes = mask_rings(mask.decode())
    if holes or not outer:
        return None
    polygons = [[float(v) for v in ring.reshape(-1)] for ring in outer]
    return polygons if polygons_to_mask(polygons, mask.height, mask.width).counts == mask.counts else None


def polygons_to_mask(polygons: list[list[float]], height: int, width: int) -> MaskRLE:
    """Union of flat `[x0, y0, x1, y1, ...]` rings (each >= 6 numbers, checked by the caller) drawn by pycocotools.

    Rings that reach more than one image side beyond the border are cut there first: the C code's time and memory grow
    with the outline's length, so that a vertex a million pixels away must not reach it.

    Raises:
        ValueError: the outlines are longer than MAX_OUTLINE_PX even so.
    """
    margin = max(height, width)
    rings = [clip_ring(np.asarray(p, dtype=np.float64).reshape(-1, 2), width, height, margin) for p in polygons]
    length = sum(float(np.abs(ring - np.roll(ring, 1, axis=0)).sum()) for ring in rings)
    if length > MAX_OUTLINE_PX:
        raise ValueError(said("the outline is {0} pixels long; the limit is {1}", f"{length:.0f}", MAX_OUTLINE_PX))
    flat = [ring.reshape(-1).tolist() for ring in rings if len(ring) >= 3]
    if not flat:
        return MaskRLE.encode(np.zeros((height, width), dtype=bool))
    merged = coco_mask.merge(coco_mask.frPyObjects(flat, height, width))
    return MaskRLE(height, width, merged["counts"].decode("ascii"))


def reaches_far_outside(polygons: list[list[float]], mask: MaskRLE) -> bool:
    """Whether `polygons_to_mask` had to cut these rings (then they should not be handed on as they are)."""
    margin = max(mask.height, mask.width)
    low, high = -margin, np.array([mask.width + margin, mask.height + margin])
    rings = [np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in polygons]
    return any(bool((ring < low).any() or (ring > high).any()) for ring in rings)


def clip_ring(ring: Ring, width: int, height: int, margin: float = 0.0) -> Ring:
    """Sutherland-Hodgman against the image grown by `margin`; rings that lie inside come back unchanged."""
    low, right, bottom = -float(margin), width + float(margin), height + float(margin)
    for axis, limit, keep_low in ((0, low, False), (0, right, True), (1, low, False), (1, bottom, True)):
        if not len(ring):
            break
        inside = ring[:, axis] <= limit if keep_low else ring[:, axis] >= limit
        if inside.all():
            continue
        ring = _clip_side(ring, inside, axis, limit)
    return ring


def _clip_side(ring: Ring, inside: NDArray[np.bool_], axis: int, limit: float) -> Ring:
    before, was_inside = np.roll(ring, 1, axis=0), np.roll(inside, 1)
    crosses = inside != was_inside
    step = np.where(crosses, ring[:, axis] - before[:, axis], 1.0)
    crossing = before + ((limit - before[:, axis]) / step)[:, None] * (ring - before)
    crossing[:, axis] = limit
    # Each vertex gives at most two points: where its edge crosses the border, then itself.
    both = np.stack([crossing, ring], axis=1).reshape(-1, 2)
    return both[np.stack([crosses, inside], axis=1).reshape(-1)]
