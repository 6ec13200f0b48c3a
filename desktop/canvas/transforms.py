"""Whole-instance gestures as pure functions: move, turn, scale, mirror."""

from __future__ import annotations

import numpy as np

from kinmark.desktop.canvas.content import InstanceContent
from kinmark.desktop.canvas.intents import MoveInstance
from kinmark.engine.domain.geometry import Box, Similarity


def instance_centre(instance: InstanceContent) -> tuple[float, float] | None:
    """Middle of the drawn keypoints' extent, else of the box, else None."""
    if len(instance.names) and instance.drawn.any():
        points = instance.xy_image[instance.drawn]
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        return float(middle[0]), float(middle[1])
    if instance.box is not None:
        x0, y0, x1, y1 = instance.box
        return (x0 + x1) / 2, (y0 + y1) / 2
    return None


def moved_box(box: Box | None, similarity: Similarity) -> Box | None:
    """Axis-aligned box around the moved middle, scaled but not turned (turning would only grow it)."""
    if box is None:
        return None
    x0, y0, x1, y1 = box
    cx, cy = similarity.apply(((x0 + x1) / 2, (y0 + y1) / 2))
    w, h = (x1 - x0) * similarity.scale / 2, (y1 - y0) * similarity.scale / 2
    return float(cx - w), float(cy - h), float(cx + w), float(cy + h)


def shifted_instance(instance: InstanceContent, dx: float, dy: float) -> MoveInstance:
    """The instance moved by (dx, dy) image pixels."""
    shift = Similarity(shift=(dx, dy))
    return MoveInstance(instance.key, shift.apply(instance.xy_image), moved_box(instance.box, shift))


def turned_instance(instance: InstanceContent, *, angle_deg: float = 0.0, scale: float = 1.0) -> MoveInstance | None:
    """The instance turned and scaled about its middle; None when it has none."""
    centre = instance_centre(instance)
    if centre is None:
        return None
    turn = Similarity(scale, float(np.deg2rad(angle_deg)))
    back = np.asarray(centre) - turn.apply(centre)
    turn = Similarity(turn.scale, turn.angle_rad, (float(back[0]), float(back[1])))
    return MoveInstance(instance.key, turn.apply(instance.xy_image), moved_box(instance.box, turn))


def scrolled_instance(instance: InstanceContent | None, steps: float, *, scale: bool) -> MoveInstance | None:
    """The instance as the wheel leaves it after `steps`: scaled, or turned; None when there is nothing to do."""
    if instance is None or not steps:
        return None
    return turned_instance(instance, scale=1.04**steps) if scale else turned_instance(instance, angle_deg=3.0 * steps)
