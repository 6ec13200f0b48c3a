"""Frames, boxes and transforms: the only module that knows where pixel centres are.

Frames (methods/index.md, notation):
    xy_image    continuous, origin at the corner of the top-left pixel of the EXIF-oriented image; centres at .5
    xy_input    pixel-index frame of the network input: centres at integers (methods/index.md, notation)
    xy_feature  cell-index frame of a feature map: centres at integers; corner-aligned with xy_input

All points are float arrays `[..., 2]` in (x, y) order. Boxes are `(x0, y0, x1, y1)` in xy_image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def as_points(points: ArrayLike) -> FloatArray:
    """Return `[..., 2]` float64; raises ValueError for any other last dimension."""
    array = np.asarray(points, dtype=np.float64)
    if array.shape[-1:] != (2,):
        raise ValueError(f"points need shape [..., 2], got {array.shape}")
    return array


def index_to_continuous(xy_index: ArrayLike) -> FloatArray:
    """Pixel-index points (centres at integers) to xy_image (centres at .5): adds 0.5."""
    return as_points(xy_index) + 0.5


def continuous_to_index(xy_image: ArrayLike) -> FloatArray:
    """xy_image to pixel-index points (float): subtracts 0.5."""
    return as_points(xy_image) - 0.5


def continuous_to_pixel(xy_image: ArrayLike, size_wh: tuple[int, int] | None = None) -> NDArray[np.int64]:
    """xy_image to the integer pixel that contains it: floor, clamped into `size_wh` when given (SPair, PF)."""
    pixel = np.floor(as_points(xy_image)).astype(np.int64)
    if size_wh is not None:
        pixel = np.clip(pixel, 0, np.asarray(size_wh, dtype=np.int64) - 1)
    return pixel


def rescale_corner_aligned(xy: ArrayLike, from_wh: tuple[int, int], to_wh: tuple[int, int]) -> FloatArray:
    """Index-frame points between grids with aligned corners: `x / (W-1) * (w-1)` (methods/matching.md)."""
    source = np.asarray(from_wh, dtype=np.float64) - 1
    target = np.asarray(to_wh, dtype=np.float64) - 1
    # A grid one cell wide has no extent: everything lies on its only cell.
    ratio = np.where(source > 0, target / np.where(source > 0, source, 1.0), 0.0)
    return as_points(xy) * ratio


@dataclass(frozen=True)
class Similarity:
    """x' = scale * R(angle) x + shift, with optional mirroring of x before the rotation."""

    scale: float = 1.0
    angle_rad: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> FloatArray:
        """`[2, 3]` affine matrix."""
        c, s = np.cos(self.angle_rad) * self.scale, np.sin(self.angle_rad) * self.scale
        return np.array([[c, -s, self.shift[0]], [s, c, self.shift[1]]], dtype=np.float64)

    def apply(self, points: ArrayLike) -> FloatArray:
        """Map `[..., 2]` points."""
        return apply_affine(self.matrix, points)


def apply_affine(matrix: ArrayLike, points: ArrayLike) -> FloatArray:
    """Map `[..., 2]` points by a `[2, 3]` affine matrix."""
    m = np.asarray(matrix, dtype=np.float64)
    return as_points(points) @ m[:, :2].T + m[:, 2]


def invert_affine(matrix: ArrayLike) -> FloatArray:
    """Inverse of a `[2, 3]` affine matrix; raises `numpy.linalg.LinAlgError` when it is singular."""
    m = np.asarray(matrix, dtype=np.float64)
    inverse = np.linalg.inv(m[:, :2])
    return np.concatenate([inverse, -(inverse @ m[:, 2])[:, None]], axis=1)


@dataclass(frozen=True)
class ImageTransform:
    """How a region of an image became a network input, so that points can go both ways.

    Attributes:
        matrix: `[2][3]` affine from xy_image to the *continuous* frame of the input (corner origin).
        input_wh: size of the network input in pixels.
    """

    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    input_wh: tuple[int, int]

    @staticmethod
    def resize(image_wh: tuple[int, int], input_wh: tuple[int, int]) -> ImageTransform:
        """The whole image squashed to `input_wh` (the published procedures)."""
        return ImageTransform.crop((0.0, 0.0, float(image_wh[0]), float(image_wh[1])), input_wh)

    @staticmethod
    def crop(
        box: tuple[float, float, float, float],
        input_wh: tuple[int, int],
        rotation_rad: float = 0.0,
        flip: bool = False,
    ) -> ImageTransform:
        """`box` (xy_image) scaled to `input_wh`, turned about its centre by `rotation_rad`, then mirrored if `flip`."""
        x0, y0, x1, y1 = box
        if x1 <= x0 or y1 <= y0:
            raise ValueError(f"empty crop box {box}")
        to_origin = np.array([[1, 0, -(x0 + x1) / 2], [0, 1, -(y0 + y1) / 2], [0, 0, 1]], dtype=np.float64)
        c, s = np.cos(rotation_rad), np.sin(rotation_rad)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=np.float64)
        scale = np.diag([input_wh[0] / (x1 - x0), input_wh[1] / (y1 - y0), 1.0])
        mirror = np.diag([-1.0 if flip else 1.0, 1.0, 1.0])
        back = np.array([[1, 0, input_wh[0] / 2], [0, 1, input_wh[1] / 2], [0, 0, 1]], dtype=np.float64)
        m = back @ mirror @ scale @ turn @ to_origin
        rows = tuple(tuple(float(v) for v in row) for row in m[:2])
        return ImageTransform(rows, input_wh)  # type: ignore[arg-type]

    @property
    def index_matrix(self) -> FloatArray:
        """`[2, 3]` affine between *pixel-index* frames (centres at integers on both sides), as cv2.warpAffine wants it."""
        m = np.asarray(self.matrix, dtype=np.float64).copy()
        m[:, 2] += m[:, :2] @ np.array([0.5, 0.5]) - 0.5
        return m

    def to_input(self, xy_image: ArrayLike) -> FloatArray:
        """xy_image to xy_input (index frame)."""
        return apply_affine(self.matrix, xy_image) - 0.5

    def to_image(self, xy_input: ArrayLike) -> FloatArray:
        """xy_input (index frame) to xy_image."""
        return apply_affine(invert_affine(self.matrix), as_points(xy_input) + 0.5)

    def to_feature(self, xy_image: ArrayLike, feature_wh: tuple[int, int]) -> FloatArray:
        """xy_image to xy_feature of a corner-aligned map of `feature_wh` cells."""
        return rescale_corner_aligned(self.to_input(xy_image), self.input_wh, feature_wh)

    def from_feature(self, xy_feature: ArrayLike, feature_wh: tuple[int, int]) -> FloatArray:
        """xy_feature to xy_image."""
        return self.to_image(rescale_corner_aligned(xy_feature, feature_wh, self.input_wh))


Box = tuple[float, float, float, float]


def box_of_points(points: ArrayLike) -> Box:
    """Tight box of `[K, 2]` points, NaN rows ignored; raises ValueError when nothing is left."""
    array = as_points(points).reshape(-1, 2)
    array = array[np.isfinite(array).all(axis=1)]
    if not len(array):
        raise ValueError("no finite point to take the box of")
    low, high = array.min(axis=0), array.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def expand_box(box: Box, *, margin: float = 0.0, square: bool = False) -> Box:
    """Grow by `margin` times the longer side on each side, optionally to a square about the same centre."""
    x0, y0, x1, y1 = box
    cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    pad = margin * max(w, h)
    w, h = w + 2 * pad, h + 2 * pad
    if square:
        w = h = max(w, h)
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def clip_box(box: Box, image_wh: tuple[int, int]) -> Box:
    """Intersect with the image; may come out empty (x1 <= x0)."""
    w, h = image_wh
    x0, y0, x1, y1 = box
    return max(0.0, min(x0, w)), max(0.0, min(y0, h)), max(0.0, min(x1, w)), max(0.0, min(y1, h))


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0 when both are empty."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(0.0, w) * max(0.0, h)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def longer_side(box: Box) -> float:
    """`max(width, height)`: the usual L of PCK."""
    return max(box[2] - box[0], box[3] - box[1])


def fit_similarity(source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> Similarity:
    """Weighted least-squares similarity without reflection from `[N, 2]` to `[N, 2]` (Umeyama 1991), N >= 2.

    Degenerate input (fewer than two distinct points) gives a pure shift.
    """
    src, dst = as_points(source), as_points(target)
    w = np.ones(len(src)) if weights is None else np.asarray(weights, dtype=np.float64)
    w = w / max(w.sum(), 1e-12)
    mean_s, mean_d = w @ src, w @ dst
    cs, cd = src - mean_s, dst - mean_d
    variance = float((w[:, None] * cs**2).sum())
    if variance < 1e-12:
        shift = mean_d - mean_s
        return Similarity(shift=(float(shift[0]), float(shift[1])))
    a = float((w * (cs * cd).sum(axis=1)).sum())
    b = float((w * (cs[:, 0] * cd[:, 1] - cs[:, 1] * cd[:, 0])).sum())
    scale, angle = float(np.hypot(a, b)) / variance, float(np.arctan2(b, a))
    turned = Similarity(scale, angle).apply(mean_s)
    shift = mean_d - turned
    return Similarity(scale, angle, (float(shift[0]), float(shift[1])))
