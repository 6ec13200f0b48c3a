"""Measures of masks and rankings, each by the name of its protocol (methods/evaluation.md). NumPy only.

Masks are boolean `[H, W]`; scores and labels are `[N]`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

BoolMask = NDArray[np.bool_]


def overlap(prediction: BoolMask, truth: BoolMask) -> tuple[int, int, int]:
    """(intersection, union, target area) in pixels; a 0/255 mask counts as true/false."""
    if prediction.shape != truth.shape:
        raise ValueError(f"masks differ in size: {prediction.shape} and {truth.shape}")
    p, t = prediction.astype(bool), truth.astype(bool)
    return int((p & t).sum()), int((p | t).sum()), int(t.sum())


def pooled_iou(overlaps: Iterable[tuple[int, int, int]]) -> float:
    """Sum of intersections / sum of unions: PerMIS over the whole set, PerSeg over one object's images; 0 when empty."""
    rows = list(overlaps)
    return sum(r[0] for r in rows) / (sum(r[1] for r in rows) + 1e-10)


def pooled_accuracy(overlaps: Iterable[tuple[int, int, int]]) -> float:
    """PerSAM's mAcc of one object: sum of intersections / sum of target areas."""
    rows = list(overlaps)
    return sum(r[0] for r in rows) / (sum(r[2] for r in rows) + 1e-10)


def boundary(mask: BoolMask, distance: int) -> BoolMask:
    """Pixels of the mask within `distance` of its edge: mask minus `distance` erosions (3x3, the border counts as outside)."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    return mask.astype(bool) & ~eroded.astype(bool)


def boundary_distance(size_hw: tuple[int, int], share: float = 0.02) -> int:
    """`d = round(0.02 * diagonal)`, at least 1 (Cheng et al. 2021)."""
    return max(1, round(share * math.hypot(*size_hw)))


def boundary_iou(prediction: BoolMask, truth: BoolMask, distance: int | None = None) -> float:
    """Boundary IoU: IoU of the two boundaries; 1 when both masks are empty."""
    d = boundary_distance(truth.shape) if distance is None else distance
    inter, union, _ = overlap(boundary(prediction, d), boundary(truth, d))
    return inter / union if union else 1.0


def jaccard(prediction: BoolMask, truth: BoolMask) -> float:
    """DAVIS J: intersection over union, 1 when both are empty."""
    inter, union, _ = overlap(prediction, truth)
    return inter / union if union else 1.0


def _contour(mask: BoolMask) -> BoolMask:
    """Pixels whose right, lower or lower-right neighbour differs (the boundary map DAVIS uses)."""
    m = mask.astype(bool)
    padded = np.pad(m, ((0, 1), (0, 1)), mode="edge")
    return (m != padded[:-1, 1:]) | (m != padded[1:, :-1]) | (m != padded[1:, 1:])


def contour_f(prediction: BoolMask, truth: BoolMask, tolerance: float = 0.008) -> float:
    """DAVIS F: harmonic mean of contour precision and recall within ceil(0.008 * diagonal) pixels; 1 when both empty."""
    radius = math.ceil(tolerance * math.hypot(*truth.shape))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    p, t = _contour(prediction), _contour(truth)
    if not p.any() and not t.any():
        return 1.0
    if not p.any() or not t.any():
        return 0.0
    near_t = cv2.dilate(t.astype(np.uint8), disk).astype(bool)
    near_p = cv2.dilate(p.astype(np.uint8), disk).astype(bool)
    precision, recall = float((p & near_t).sum() / p.sum()), float((t & near_p).sum() / t.sum())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def average_precision(
    labels: Sequence[bool] | NDArray[np.bool_], scores: Sequence[float] | NDArray[np.float64]
) -> float:
    """Area under precision-recall as a step sum (equal to scikit-learn's `average_precision_score`); NaN without positives.

    Equal scores form one threshold, so a constant scorer gets the share of positives, not a lucky order.
    """
    y, s = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=np.float64)
    positives = int(y.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    ends = np.append(np.nonzero(np.diff(s))[0], len(s) - 1)
    hits = np.cumsum(y)[ends]
    precision, recall = hits / (ends + 1), hits / positives
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))


def hit_at(labels: Sequence[bool] | NDArray[np.bool_], scores: Sequence[float] | NDArray[np.float64], k: int) -> bool:
    """Whether any of the `k` best is relevant (Recall@k of one query)."""
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:k]
    return bool(np.asarray(labels, dtype=bool)[order].any())


def area_under_roc(labels: Sequence[bool] | NDArray[np.bool_], scores: Sequence[float] | NDArray[np.float64]) -> float:
    """Probability that a positive scores above a negative (ties half); NaN when one kind is missing."""
    y, s = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=np.float64)
    positive, negative = s[y], s[~y]
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).mean() / (2 * len(negative)))


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; NaN for fewer than two values."""
    array = np.asarray([v for v in values if math.isfinite(v)], dtype=np.float64)
    return float(array.std(ddof=1) / math.sqrt(len(array))) if len(array) > 1 else float("nan")
