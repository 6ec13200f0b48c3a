"""How alike the places of two instances are: whether both are one thing (our form of COCO's object keypoint similarity).

Kinmark's categories have no measured spread per keypoint, so one reach serves all: with `d_k` the distance of the keypoint k
of both instances and L the longer side of the larger one,

    S = mean over the keypoints that both show of exp(-d_k^2 / (2 (0.1 L)^2))

A thing whose ends were exchanged (a tube taken for its mirror image) is the same thing, though no name lies where it lay:
U is the same with every keypoint of one compared to the nearest of the other, whatever its name, the smaller of both ways
round. The similarity of places is the larger of S and U; without a common keypoint it is the boxes' intersection over union.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kinmark.engine.domain.geometry import Box, FloatArray, box_iou, box_of_points, longer_side
from kinmark.engine.domain.keypoints import InstanceKeypoints

REACH = 0.1
"""Keypoints so far apart (longer sides) count 0.61."""
SAME_FROM = 0.5
"""Similarity from which two places are one thing."""


def extent(instance: InstanceKeypoints) -> Box | None:
    """The given box joined with the extent of the placed keypoints (xy_image); None with neither."""
    points = np.asarray(instance.xy_image, np.float64)[instance.labelled]
    boxes = [] if instance.box is None else [instance.box]
    if len(points):
        boxes.append(box_of_points(points))
    if not boxes:
        return None
    low, high = np.min([b[:2] for b in boxes], axis=0), np.max([b[2:] for b in boxes], axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def named_similarity(first: FloatArray, second: FloatArray, length: float) -> float:
    """S of points `[K, 2]` (NaN = not shown); NaN where no keypoint is shown by both."""
    both = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    if not both.any():
        return float("nan")
    return float(_closeness(np.linalg.norm(first[both] - second[both], axis=1), length).mean())


def unnamed_similarity(first: FloatArray, second: FloatArray, length: float) -> float:
    """U of points `[K, 2]` and `[J, 2]` (NaN = not shown); NaN where one shows none."""
    a, b = first[np.isfinite(first).all(axis=1)], second[np.isfinite(second).all(axis=1)]
    if not len(a) or not len(b):
        return float("nan")
    close = _closeness(np.linalg.norm(a[:, None] - b[None], axis=-1), length)
    return float(min(close.max(axis=1).mean(), close.max(axis=0).mean()))


def _closeness(distance: FloatArray, length: float) -> FloatArray:
    return np.exp(-((distance / max(REACH * length, 1e-9)) ** 2) / 2)


def place_similarity(first: InstanceKeypoints, second: InstanceKeypoints, *, lone_length: float = 1.0) -> float:
    """0..1, see above; keypoints of both in the same schema's order.

    Args:
        lone_length: pixels that stand for the longer side where both are one point without a box.
    """
    box_a, box_b = extent(first), extent(second)
    if box_a is None or box_b is None:
        return 0.0
    length = max(longer_side(box_a), longer_side(box_b))
    if length < 2.0:
        length = lone_length
    a, b = placed_points(first), placed_points(second)
    named = named_similarity(a, b, length)
    if not np.isfinite(named):
        return box_iou(box_a, box_b)
    return max(named, unnamed_similarity(a, b, length))


def claimed(instance: InstanceKeypoints, others: Sequence[InstanceKeypoints], length: float) -> float:
    """0..1: how much of an instance the others explain together: S with every keypoint compared to the nearest of its name.

    An instance made of the head of one and the tail of its neighbour is explained by both, though it is like neither.
    """
    own = placed_points(instance)
    shown = np.isfinite(own[:, 0])
    if not others or not shown.any():
        return 0.0
    apart = np.stack([np.linalg.norm(own - placed_points(other), axis=1) for other in others])[:, shown]
    return float(_closeness(np.nan_to_num(apart, nan=np.inf).min(axis=0), length).mean())


def placed_points(instance: InstanceKeypoints) -> FloatArray:
    """`[K, 2]` xy_image, NaN where not placed."""
    return np.where(instance.labelled[:, None], np.asarray(instance.xy_image, np.float64), np.nan)


def is_taken(instance: InstanceKeypoints, taken: Iterable[InstanceKeypoints], *, lone_length: float = 1.0) -> bool:
    """Whether the instance lies where one of the others does."""
    return any(place_similarity(instance, other, lone_length=lone_length) >= SAME_FROM for other in taken)
