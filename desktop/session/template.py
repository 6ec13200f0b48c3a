"""The shape that "drop whole template" puts down: the mean of the labelled instances, else a plain arrangement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.domain.geometry import FloatArray
from projects.store.rows import CategoryRow, InstanceRow


def template_points(category: CategoryRow, instances: Sequence[InstanceRow]) -> FloatArray:
    """`[K, 2]` about the origin, longer side 2.

    Each instance is centred and scaled by its extent before averaging; keypoints never labelled lie on an ellipse.
    """
    count = len(category.definitions)
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
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) - np.pi / 2
    result = np.stack([0.7 * np.cos(angles), 0.9 * np.sin(angles)], axis=1)
    if shapes:
        stack = np.stack(shapes)
        seen = np.isfinite(stack).all(axis=(0, 2)) | np.isfinite(stack).any(axis=(0, 2))
        if seen.any():
            result[seen] = np.nanmean(stack[:, seen], axis=0)
    return result
