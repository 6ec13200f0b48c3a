"""A first guess at an instance's outline from its keypoints alone: rounded limbs along its skeleton."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.alike import extent, placed_points
from kinmark.engine.domain.geometry import FloatArray, longer_side
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema

THICKNESS = 0.06
"""Half the width of a limb, longer sides."""
LONE_SHARE = 0.05
"""The same of one point without a box, shorter sides of the photo."""


def limb_edges(
    points: FloatArray, known: NDArray[np.bool_], edges: Sequence[tuple[int, int]] = ()
) -> list[tuple[int, int]]:
    """Edges between known points `[K, 2]`: the given ones, where they join all of them; else the shortest tree."""
    own = [(a, b) for a, b in edges if known[a] and known[b]]
    if len(_reached(own)) == int(known.sum()) > 1:
        return own
    index = np.flatnonzero(known)
    if len(index) < 2:
        return []
    apart = np.linalg.norm(points[index][:, None] - points[index][None], axis=-1)
    inside = np.zeros(len(index), dtype=bool)
    inside[0] = True
    nearest, joined = apart[0].copy(), np.zeros(len(index), dtype=np.int64)
    tree = []
    for _ in range(len(index) - 1):
        new = int(np.where(inside, np.inf, nearest).argmin())
        tree.append((int(index[joined[new]]), int(index[new])))
        inside[new] = True
        closer = apart[new] < nearest
        nearest, joined = np.where(closer, apart[new], nearest), np.where(closer, new, joined)
    return tree


def _reached(edges: Sequence[tuple[int, int]]) -> set[int]:
    """Points in one piece with the first edge."""
    reached = set(edges[0]) if edges else set()
    while True:
        more = {k for a, b in edges if a in reached or b in reached for k in (a, b)}
        if more <= reached:
            return reached
        reached |= more


def limb_mask(
    instance: InstanceKeypoints,
    schema: KeypointSchema,
    size_wh: tuple[int, int],
    others: Iterable[InstanceKeypoints] = (),
) -> NDArray[np.bool_]:
    """`[H, W]`: within half a limb's width of the skeleton, and nearer to it than to those of `others` (each in its own size).

    Raises:
        ValueError: no keypoint is placed.
    """
    own = _distance(instance, schema, size_wh)
    if own is None:
        raise ValueError("an instance without a placed keypoint has no limbs")
    mask = own <= 1.0
    for other in others:
        away = _distance(other, schema, size_wh)
        if away is not None:
            mask &= own <= away
    return mask


def _distance(instance: InstanceKeypoints, schema: KeypointSchema, size_wh: tuple[int, int]) -> FloatArray | None:
    """`[H, W]` distance of every pixel's centre to the skeleton in half limbs; None without a placed keypoint."""
    points = placed_points(instance)
    known = np.isfinite(points[:, 0])
    box = extent(instance)
    if not known.any() or box is None:
        return None
    radius = max(THICKNESS * longer_side(box), 1.0) if longer_side(box) >= 2.0 else LONE_SHARE * min(size_wh)
    width, height = size_wh
    xs, ys = np.arange(width)[None] + 0.5, np.arange(height)[:, None] + 0.5
    nearest = np.full((height, width), np.inf)
    edges = limb_edges(points, known, schema.edges) or [(int(k), int(k)) for k in np.flatnonzero(known)]
    for a, b in edges:
        (ax, ay), (dx, dy) = points[a], points[b] - points[a]
        along = np.clip(((xs - ax) * dx + (ys - ay) * dy) / max(dx * dx + dy * dy, 1e-9), 0.0, 1.0)
        np.minimum(nearest, np.hypot(xs - ax - along * dx, ys - ay - along * dy), out=nearest)
    return nearest / radius
