"""The frame of the heads: every exemplar turned, moved and scaled so that its keypoints lie on those of one of them.

In this frame a keypoint is nearly always in the same place, so a linear head has to learn little, and what the shape says
about the others is a plain Gaussian. The frame is that of the first exemplar that is complete enough: a further label leaves
it as it is, so what was made of the earlier ones stays valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.domain.geometry import Similarity, apply_affine, fit_similarity
from engine.features.efficientnet import input_side
from engine.requests import Exemplar

Floats = NDArray[np.float64]
FILL = 0.7
"""Share of the frame that the shape fills; the rest is for turned views and for what the shape lacks."""
LEAST_SIDE, LARGEST_SIDE = 193, 385
COMPLETE_ENOUGH = 0.6
LONE_SHARE = 0.25
"""One keypoint alone has no size: it is taken for a thing of so large a share of its photo."""


@dataclass(frozen=True)
class HeadFrame:
    """Square network input of `side` pixels.

    Attributes:
        points: `[K, 2]` xy_input where the reference exemplar's keypoints lie, NaN for those it lacks.
        unit: pixels of the frame that a longer side of the instance measures.
        key: 16 hex digits of everything above.
    """

    side: int
    points: Floats
    unit: float

    @property
    def known(self) -> NDArray[np.bool_]:
        """`[K]` bool: the reference shows it."""
        return np.asarray(np.isfinite(self.points).all(axis=1))

    @property
    def key(self) -> str:
        """Names the frame."""
        facts = (self.side, np.round(self.points, 3).tobytes(), round(self.unit, 3))
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def labelled_points(exemplar: Exemplar) -> Floats:
    """`[K, 2]` xy_image, NaN where not labelled."""
    xy = np.asarray(exemplar.keypoints.xy_image, np.float64)
    return np.where(exemplar.keypoints.labelled[:, None], xy, np.nan)


def instance_length(exemplar: Exemplar, image_wh: tuple[int, int]) -> float:
    """Longer side of box and keypoints in image pixels; of a lone point a share of the photo."""
    points = labelled_points(exemplar)
    points = points[np.isfinite(points[:, 0])]
    low, high = points.min(axis=0), points.max(axis=0)
    box = exemplar.keypoints.box
    if box is not None:
        low, high = np.minimum(low, box[:2]), np.maximum(high, box[2:])
    length = float((high - low).max())
    return length if length >= 2.0 else LONE_SHARE * min(image_wh)


def make_frame(exemplars: Sequence[Exemplar], sizes_wh: Sequence[tuple[int, int]]) -> HeadFrame:
    """The frame of the first exemplar that shows nearly as many keypoints as the most complete one.

    Args:
        exemplars: with at least one labelled keypoint each.
        sizes_wh: of their images.
    """
    counts = [int(e.keypoints.labelled.sum()) for e in exemplars]
    index = next(i for i, n in enumerate(counts) if n >= COMPLETE_ENOUGH * max(counts))
    exemplar, points = exemplars[index], labelled_points(exemplars[index])
    length = instance_length(exemplar, sizes_wh[index])
    side = int(np.clip(input_side(length / FILL), LEAST_SIDE, LARGEST_SIDE))
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    unit = FILL * (side - 1)
    return HeadFrame(side, (points - (low + high) / 2) * (unit / length) + (side - 1) / 2, unit)


def into_frame(frame: HeadFrame, exemplar: Exemplar, image_wh: tuple[int, int]) -> Similarity:
    """From xy_image to the frame, by the keypoints that exemplar and reference share (by size and centre with fewer than two)."""
    points = labelled_points(exemplar)
    both = np.isfinite(points[:, 0]) & frame.known
    if both.sum() >= 2:
        return fit_similarity(points[both], frame.points[both])
    scale = frame.unit / instance_length(exemplar, image_wh)
    here = points[both][0] if both.any() else np.nanmean(points, axis=0)
    there = frame.points[both][0] if both.any() else np.full(2, (frame.side - 1) / 2)
    shift = there - scale * here
    return Similarity(scale, 0.0, (float(shift[0]), float(shift[1])))


def about_centre(frame: HeadFrame, *, degrees: float, scale: float, shift: tuple[float, float]) -> Floats:
    """`[2, 3]` affine that turns, scales and moves (share of the side) the frame about its centre."""
    centre = np.full(2, (frame.side - 1) / 2)
    turned = Similarity(scale, float(np.deg2rad(degrees)))
    moved = centre - turned.apply(centre) + np.asarray(shift) * frame.side
    return np.concatenate([turned.matrix[:, :2], moved[:, None]], axis=1)


def compose(outer: Floats, inner: Floats) -> Floats:
    """`[2, 3]`: the affine that applies `inner` first."""
    return np.concatenate([outer[:, :2] @ inner[:, :2], (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]], axis=1)


def mean_shape(frame: HeadFrame, aligned: Floats) -> Floats:
    """`[K, 2]` xy_input: mean of exemplars in the frame `[E, K, 2]` (NaN = not labelled), centre of the frame where unknown."""
    known = np.isfinite(aligned)
    total = np.where(known, aligned, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), (frame.side - 1) / 2)


def realigned(aligned: Floats, rounds: int = 3) -> Floats:
    """Exemplars `[E, K, 2]` each fitted to their common mean (generalised Procrustes); those with fewer than two points stay."""
    result = aligned.copy()
    for _ in range(rounds):
        known = np.isfinite(result[..., 0])
        mean = np.where(known[..., None], result, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)[:, None]
        for index, own in enumerate(result):
            if known[index].sum() >= 2:
                fit = fit_similarity(own[known[index]], mean[known[index]])
                result[index] = np.where(known[index][:, None], apply_affine(fit.matrix, np.nan_to_num(own)), np.nan)
    return result
