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

from kinmark.engine.domain.geometry import Similarity, apply_affine, fit_similarity
from kinmark.engine.features.efficientnet import input_side
from kinmark.engine.requests import Exemplar

Floats = NDArray[np.float64]
FILL = 0.7
"""Share of the frame that the shape fills; the rest is for turned views and for what the shape lacks."""
LEAST_SIDE, LARGEST_SIDE = 193, 385
COMPLETE_ENOUGH = 0.6
MISFITS, CLEARLY_LESS = 0.2, 0.6
"""An exemplar that misfits the reference by more (longer sides, root mean square) is its mirror image where that misfits by less
than such a share of it. Posture alone does not do that: no turning brings a mirror image to fit, no mirroring a bent leg."""
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
    """The frame of the first exemplar that shows nearly as many keypoints as the most complete one, and that half of the others
    agree with.

    Args:
        exemplars: with at least one labelled keypoint each.
        sizes_wh: of their images.
    """
    counts = [int(e.keypoints.labelled.sum()) for e in exemplars]
    complete = [i for i, n in enumerate(counts) if n >= COMPLETE_ENOUGH * max(counts)]
    first = _frame_of(exemplars[complete[0]], sizes_wh[complete[0]])
    if len(exemplars) <= 2:
        return first  # of two that differ nobody knows which is the odd one
    for index in complete:
        frame = first if index == complete[0] else _frame_of(exemplars[index], sizes_wh[index])
        fellows = [not is_mirror_image(frame, e) for i, e in enumerate(exemplars) if i != index]
        if sum(fellows) * 2 >= len(fellows):
            return frame
    return first


def _frame_of(exemplar: Exemplar, image_wh: tuple[int, int]) -> HeadFrame:
    points = labelled_points(exemplar)
    length = instance_length(exemplar, image_wh)
    side = int(np.clip(input_side(length / FILL), LEAST_SIDE, LARGEST_SIDE))
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    unit = FILL * (side - 1)
    return HeadFrame(side, (points - (low + high) / 2) * (unit / length) + (side - 1) / 2, unit)


def into_frame(frame: HeadFrame, exemplar: Exemplar, image_wh: tuple[int, int]) -> Similarity:
    """From xy_image to the frame, by the keypoints that exemplar and reference share (by size and centre with fewer than two)."""
    points = labelled_points(exemplar)
    both = np.isfinite(points[:, 0]) & frame.known
    if both.sum() >= 2:
        return fit_alike(points[both], frame.points[both])
    scale = frame.unit / instance_length(exemplar, image_wh)
    here = points[both][0] if both.any() else np.nanmean(points, axis=0)
    there = frame.points[both][0] if both.any() else np.full(2, (frame.side - 1) / 2)
    shift = there - scale * here
    return Similarity(scale, 0.0, (float(shift[0]), float(shift[1])))


def fit_alike(source: Floats, target: Floats) -> Similarity:
    """The similarity between two shapes `[N, 2]` that makes them equally large.

    Least squares shrinks what does not fit, at worst to a point: a shape would fit anything a little.
    """
    fit = fit_similarity(source, target)
    from_middle, to_middle = source.mean(axis=0), target.mean(axis=0)
    spread = float(((source - from_middle) ** 2).sum())
    if spread < 1e-12:
        return fit
    scale = float(np.sqrt(((target - to_middle) ** 2).sum() / spread))
    shift = to_middle - Similarity(scale, fit.angle_rad).apply(from_middle)
    return Similarity(scale, fit.angle_rad, (float(shift[0]), float(shift[1])))


def misfit(frame: HeadFrame, points: Floats) -> float:
    """Root mean square distance of points `[K, 2]` to the reference when laid on it, longer sides; 0 with fewer than three in common."""
    both = np.isfinite(points[:, 0]) & frame.known
    if both.sum() < 3:
        return 0.0
    apart = fit_alike(points[both], frame.points[both]).apply(points[both]) - frame.points[both]
    return float(np.sqrt((apart**2).sum(axis=1).mean())) / frame.unit


def is_mirror_image(frame: HeadFrame, exemplar: Exemplar, order: Sequence[int] | None = None) -> bool:
    """Whether the exemplar shows the reference's mirror image (`order`: with these names in place of its own, left for right)."""
    points = labelled_points(exemplar)
    plain = misfit(frame, points)
    seen = points if order is None else points[list(order)]
    return plain > MISFITS and misfit(frame, seen * [-1.0, 1.0]) < CLEARLY_LESS * plain


def about_centre(frame: HeadFrame, *, degrees: float, scale: float, shift: tuple[float, float]) -> Floats:
    """`[2, 3]` affine that turns, scales and moves (share of the side) the frame about its centre."""
    centre = np.full(2, (frame.side - 1) / 2)
    turned = Similarity(scale, float(np.deg2rad(degrees)))
    moved = centre - turned.apply(centre) + np.asarray(shift) * frame.side
    return np.concatenate([turned.matrix[:, :2], moved[:, None]], axis=1)


def mirroring(image_wh: tuple[int, int]) -> Floats:
    """`[2, 3]`: xy_image of the photo mirrored left to right."""
    return np.array([[-1.0, 0.0, float(image_wh[0])], [0.0, 1.0, 0.0]])


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
                fit = fit_alike(own[known[index]], mean[known[index]])
                result[index] = np.where(known[index][:, None], apply_affine(fit.matrix, np.nan_to_num(own)), np.nan)
    return result
