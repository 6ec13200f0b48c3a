"""Dense local descriptors of a photo or region: gradients of three patch sizes and colours, with weights.

The gradient part is a RootSIFT on a grid (4 x 4 cells x 8 orientations), reduced by the low frequencies of a cosine transform
over its 4 x 4 cells: about what a learned PCA keeps, with nothing to learn or ship. Flat patches get short vectors, so
they match nothing strongly. The colour part is L*a*b* in 2 x 2 cells plus its spread.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.regions.saliency import lab_image

SIDE = 256
"""Photos are brought to this longer side first: patch sizes are relative to the photo."""
STEP_PX = 10
CELLS_PX = (6.0, 10.0)
"""Size of one of the 4 x 4 cells for each patch size."""
FLAT = 1.5
"""Gradient energy under which a patch counts as flat."""
_FREQUENCIES = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1))
_DC_SCALE = 0.5
COLOUR_SPREAD = np.array([20, 12, 12] * 4 + [10, 6, 6], np.float32)


@dataclass(frozen=True)
class Patches:
    """Local descriptors of one photo.

    Attributes:
        gradients: `[P, 64]` float32, norm at most 1 (flat patches shorter).
        colours: `[P, 15]` float32 in units of typical spread.
        weights: `[P]` float32 foreground weights, sum 1.
        xy: `[P, 2]` float32 centres relative to width and height (0..1).
        cells: `[P]` float32 cell sizes relative to SIDE (how large the patch is).
    """

    gradients: NDArray[np.float32]
    colours: NDArray[np.float32]
    weights: NDArray[np.float32]
    xy: NDArray[np.float32]
    cells: NDArray[np.float32]


def _cosine_basis() -> NDArray[np.float32]:
    """`[16, F]`: separable cosine functions over the 4 x 4 cells."""
    n = np.arange(4)
    waves = np.stack([np.cos(np.pi * (n + 0.5) * k / 4) * np.sqrt((1 if k == 0 else 2) / 4) for k in range(4)])
    columns = [np.outer(waves[fy], waves[fx]).ravel() * (_DC_SCALE if fy == fx == 0 else 1) for fy, fx in _FREQUENCIES]
    return np.stack(columns, axis=1).astype(np.float32)


_BASIS = _cosine_basis()


def _orientation_maps(light: NDArray[np.float32], cell: float) -> NDArray[np.float32]:
    """`[H, W, 8]` gradient energy per orientation, pooled over one cell."""
    smooth = cv2.GaussianBlur(light, (0, 0), cell / 6)
    gx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0) / 8
    gy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1) / 8
    energy = np.hypot(gx, gy)
    angle = np.arctan2(gy, gx) / (2 * np.pi) * 8
    maps = []
    for k in range(8):
        away = np.abs((angle - k + 4) % 8 - 4)
        maps.append(cv2.GaussianBlur(energy * np.maximum(0, 1 - away), (0, 0), cell / 2))
    return np.stack(maps, axis=-1)


def _root_sift(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """RootSIFT of `[P, 16 * 8]`, reduced to `[P, 8 * F]`; flat patches are shortened."""
    norm = np.linalg.norm(raw, axis=1, keepdims=True)
    clipped = np.minimum(raw / (norm + FLAT), 0.2)
    rooted = np.sqrt(clipped / (clipped.sum(axis=1, keepdims=True) + 1e-6))
    spectrum = np.einsum("pco,cf->pfo", rooted.reshape(-1, 16, 8), _BASIS).reshape(len(raw), -1)
    spectrum /= np.linalg.norm(spectrum, axis=1, keepdims=True) + 0.15
    return (spectrum * (norm / (norm + FLAT))).astype(np.float32)


def dense_patches(
    rgb: NDArray[np.uint8],
    weights: NDArray[np.float32],
    *,
    step_px: int = STEP_PX,
    cells_px: tuple[float, ...] = CELLS_PX,
) -> Patches:
    """Descriptors of uint8 RGB `[H, W, 3]` with foreground weights `[h, w]` (any grid over the same photo).

    A photo too small for one patch gives one flat patch at its centre.
    """
    scale = SIDE / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    lab = lab_image(small)
    weight_map = cv2.resize(weights.astype(np.float32), size)
    rows: list[tuple[NDArray[np.float32], ...]] = []
    for cell in cells_px:
        ys = np.arange(round(2 * cell), size[1] - round(2 * cell) + 1, step_px)
        xs = np.arange(round(2 * cell), size[0] - round(2 * cell) + 1, step_px)
        if len(ys) and len(xs):
            rows.append(_patches_of_size(lab, weight_map, ys, xs, cell))
    if not rows:
        return _one_flat_patch(lab)
    gradients, colours, patch_weights, xy, cells = (np.concatenate(part) for part in zip(*rows, strict=True))
    total = float(patch_weights.sum())
    uniform = np.full(len(patch_weights), 1 / len(patch_weights), np.float32)
    weights_1 = (patch_weights / total).astype(np.float32) if total > 0 else uniform
    return Patches(gradients, colours, weights_1, xy, cells)


def _one_flat_patch(lab: NDArray[np.float32]) -> Patches:
    mean = lab.reshape(-1, 3).mean(axis=0)
    colour = np.concatenate([np.tile(mean, 4), np.zeros(3)])[None] / COLOUR_SPREAD
    gradient = np.zeros((1, 8 * len(_FREQUENCIES)), np.float32)
    centre = np.full((1, 2), 0.5, np.float32)
    cell = np.full(1, 1 / 4, np.float32)
    return Patches(gradient, colour.astype(np.float32), np.ones(1, np.float32), centre, cell)


def _patches_of_size(
    lab: NDArray[np.float32],
    weight_map: NDArray[np.float32],
    ys: NDArray[np.int64],
    xs: NDArray[np.int64],
    cell: float,
) -> tuple[NDArray[np.float32], ...]:
    height, width = lab.shape[:2]

    def at(image: NDArray[np.float32], dy: float, dx: float) -> NDArray[np.float32]:
        rows = np.clip(np.round(ys + dy).astype(int), 0, height - 1)
        columns = np.clip(np.round(xs + dx).astype(int), 0, width - 1)
        return image[rows][:, columns]

    maps = _orientation_maps(np.ascontiguousarray(lab[..., 0]), cell)
    offsets = [-1.5 * cell, -0.5 * cell, 0.5 * cell, 1.5 * cell]
    raw = np.concatenate([at(maps, dy, dx) for dy in offsets for dx in offsets], axis=-1).reshape(-1, 128)
    pooled = cv2.GaussianBlur(lab, (0, 0), cell / 2)
    wide, squares = cv2.GaussianBlur(lab, (0, 0), cell), cv2.GaussianBlur(lab * lab, (0, 0), cell)
    spread = np.sqrt(np.maximum(squares - wide * wide, 0))
    parts = [at(pooled, dy, dx) for dy in (-cell, cell) for dx in (-cell, cell)] + [at(spread, 0, 0)]
    colours = np.concatenate(parts, axis=-1).reshape(-1, 15) / COLOUR_SPREAD
    yy, xx = np.meshgrid((ys + 0.0) / height, (xs + 0.0) / width, indexing="ij")
    xy = np.stack([xx, yy], axis=-1).reshape(-1, 2).astype(np.float32)
    cells = np.full(len(xy), cell / SIDE, np.float32)
    return _root_sift(raw), colours.astype(np.float32), at(weight_map, 0, 0).ravel(), xy, cells
