"""Mask outlines: boolean masks to closed polygons along pixel borders (no Qt), and to painter paths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF
from PySide6.QtGui import QPainterPath, QPolygonF

from kinmark.engine.domain.geometry import FloatArray, continuous_to_pixel, index_to_continuous

MAX_SIDE = 640


def trace_borders(mask: NDArray[np.bool_]) -> list[FloatArray]:
    """Closed polygons `[N, 2]` along the pixel borders of boolean `[H, W]`, corners only, in corner-origin pixels.

    Each border step keeps the inside on its right; holes come out as polygons of their own (fill with the odd-even rule).
    """
    padded = np.pad(mask, 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    inside = padded[1:-1, 1:-1]
    for neighbour, start, end in (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    ):
        ys, xs = np.nonzero(inside & ~neighbour)
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            steps.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    polygons: list[FloatArray] = []
    while steps:
        first = next(iter(steps))
        ring = [first]
        here = first
        while True:
            ends = steps[here]
            following = ends.pop()
            if not ends:
                del steps[here]
            if following == first:
                break
            ring.append(following)
            here = following
        polygons.append(_corners_only(np.array(ring, dtype=np.float64)))
    return polygons


def _corners_only(ring: FloatArray) -> FloatArray:
    before, after = np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0)
    keep = ((ring - before) != (after - ring)).any(axis=1)
    return ring[keep]


def mask_path(mask: NDArray[np.bool_], max_side: int = MAX_SIDE) -> QPainterPath:
    """Outline of boolean `[H, W]` in xy_image, traced at `max_side` at most (a screen shows no more)."""
    height, width = mask.shape
    factor = max(1, -(-max(height, width) // max_side))
    small = mask[factor // 2 :: factor, factor // 2 :: factor] if factor > 1 else mask
    if small.size == 0:
        small, factor = mask, 1
    path = QPainterPath()
    for ring in trace_borders(small):
        scaled = np.minimum(ring * factor, (width, height))
        path.addPolygon(QPolygonF([QPointF(x, y) for x, y in scaled.tolist()]))
        path.closeSubpath()
    return path


def fill_polygon(polygon: FloatArray, image_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Boolean `[H, W]`: pixels whose centre lies inside the closed `[N, 2]` xy_image polygon (odd-even rule)."""
    width, height = image_wh
    mask = np.zeros((height, width), dtype=bool)
    points = np.asarray(polygon, dtype=np.float64)
    if len(points) < 3:
        return mask
    low = continuous_to_pixel(points.min(axis=0), image_wh)
    high = continuous_to_pixel(points.max(axis=0), image_wh)
    columns = np.arange(low[0], high[0] + 1)
    start, end = points, np.roll(points, -1, axis=0)
    for row in range(int(low[1]), int(high[1]) + 1):
        centres = index_to_continuous(np.stack([columns, np.full_like(columns, row)], axis=-1))
        y = centres[0, 1]
        crosses = (start[:, 1] <= y) != (end[:, 1] <= y)
        if not crosses.any():
            continue
        a, b = start[crosses], end[crosses]
        xs = np.sort(a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]))
        inside = np.searchsorted(xs, centres[:, 0], side="right") % 2 == 1
        mask[row, low[0] : high[0] + 1] = inside
    return mask


def stamp_disc(mask: NDArray[np.bool_], centre_xy: tuple[float, float], radius: float, value: bool) -> None:
    """Set the pixels of `mask` `[H, W]` whose centres lie within `radius` of `centre_xy` (xy_image), in place."""
    height, width = mask.shape
    x, y = centre_xy
    x0, x1 = max(0, int(x - radius)), min(width, int(x + radius) + 2)
    y0, y1 = max(0, int(y - radius)), min(height, int(y + radius) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    ys, xs = np.mgrid[y0:y1, x0:x1]
    offset = index_to_continuous(np.stack([xs, ys], axis=-1)) - (x, y)
    disc = (offset**2).sum(axis=-1) <= radius**2
    mask[y0:y1, x0:x1][disc] = value


def stamp_stroke(
    mask: NDArray[np.bool_], start: tuple[float, float], end: tuple[float, float], radius: float, value: bool
) -> None:
    """Discs along the segment, close enough to leave no gap (in place)."""
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    count = max(1, int(np.ceil(length / max(radius * 0.5, 0.5))))
    for t in np.linspace(0, 1, count + 1):
        stamp_disc(mask, (start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t), radius, value)
