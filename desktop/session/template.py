"""The shape that "drop whole template" puts down: the mean of the labelled instances, else the category's layout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinmark.desktop.session.templates import TEMPLATES
from kinmark.engine.domain.geometry import FloatArray
from kinmark.projects.store.rows import CategoryRow, InstanceRow


def layout_key(category_id: int) -> str:
    """Name of the project's setting with the places that were arranged by hand: {definition id: [x, y]} in a unit square."""
    return f"schema.layout.{category_id}"


def template_points(category: CategoryRow, instances: Sequence[InstanceRow], kept: object = None) -> FloatArray:
    """`[K, 2]` about the origin, longer side about 2.

    Each instance is centred and scaled by its extent before averaging. Keypoints never labelled lie where the layout has
    them: `kept` (the setting `layout_key`), else the template with the same names, else an ellipse.
    """
    shapes = []
    for instance in instances:
        points = instance.aligned(category.definition_ids).xy_image
        known = np.isfinite(points).all(axis=1)
        if known.sum() < 2:
            continue
        low, high = points[known].min(axis=0), points[known].max(axis=0)
        side = float((high - low).max())
        if side > 0:
            shapes.append((points - (low + high) / 2) / (side / 2))
    result = _layout(category, kept)
    if shapes:
        stack = np.stack(shapes)
        seen = np.isfinite(stack).any(axis=(0, 2))
        if seen.any():
            result[seen] = np.nanmean(stack[:, seen], axis=0)
    return result


def _layout(category: CategoryRow, kept: object) -> FloatArray:
    count = len(category.definitions)
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) - np.pi / 2
    result = np.stack([0.7 * np.cos(angles), 0.9 * np.sin(angles)], axis=1)
    names = [d.name for d in category.definitions]
    places: dict[str, tuple[float, float]] = {}
    for template in TEMPLATES:
        if names and template.layout and set(names) <= set(template.schema.names):
            places = dict(zip(template.schema.names, template.layout, strict=True))
            break
    if isinstance(kept, dict):
        places |= {
            d.name: (float(xy[0]), float(xy[1]))
            for d in category.definitions
            if isinstance(xy := kept.get(str(d.id)), list | tuple) and len(xy) == 2
        }
    for index, name in enumerate(names):
        if name in places:
            result[index] = 2.0 * np.array(places[name]) - 1.0
    return result


def dropped_points(points: np.ndarray, xy: tuple[float, float], size_wh: tuple[int, int]) -> np.ndarray:
    """`[K, 2]` xy_image of a shape (`template_points`) dropped at `xy`; near the photo's edge the whole shape moves inside."""
    size = np.asarray(size_wh, dtype=np.float64)
    placed = points * (0.35 * min(size_wh)) + xy
    placed += np.maximum(-placed.min(axis=0), 0) - np.maximum(placed.max(axis=0) - size, 0)
    return np.clip(placed, 0, size)
