"""Where the subject of a photo probably is, without any model: contrast to the border, geodesic distance, centre.

Used when a whole photo is the reference (no mask, box or click). The photo's border is taken as background: cells that
are reached from it only across colour edges, and whose colour is rare on it, are foreground (Wei et al., ECCV 2012).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

FloatMap = NDArray[np.float32]

GRID = 28
"""Cells along the longer side: the subject's outline matters, its details do not."""
EDGE_FLOOR, STEP_COST = 2.0, 0.05
CENTRE_SIGMA = 0.33
"""Width of the centre prior relative to each side: people put their subject into the middle."""


def lab_image(rgb: NDArray[np.uint8]) -> FloatMap:
    """CIE L*a*b* `[H, W, 3]` float32 (L 0..100) of uint8 RGB."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _edges(lab: FloatMap) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Neighbouring cells (8-connected) and what it costs to step between them."""
    height, width = lab.shape[:2]
    index = np.arange(height * width).reshape(height, width)
    flat = lab.reshape(-1, 3)
    starts, ends = [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        starts.append(index[: height - dy, max(0, -dx) : width - max(0, dx)].ravel())
        ends.append(index[dy:, max(0, dx) : width - max(0, -dx)].ravel())
    a, b = np.concatenate(starts), np.concatenate(ends)
    distance = np.linalg.norm(flat[a] - flat[b], axis=1)
    return a, b, np.maximum(0.0, distance - EDGE_FLOOR) + STEP_COST


def _stretch(values: NDArray[np.floating]) -> NDArray[np.floating]:
    low, high = np.percentile(values, 5), np.percentile(values, 97)
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1)


def subject_weights(rgb: NDArray[np.uint8], *, floor: float = 0.1, centre_floor: float = 0.05) -> FloatMap:
    """Soft foreground `[h, w]` float32 in (0, 1], at most `GRID` cells along the longer side.

    Args:
        rgb: uint8 `[H, W, 3]`, any size from 1x1.
        floor, centre_floor: least weight of the contrast and of the centre prior, so that no part is ever lost.
    """
    height, width = rgb.shape[:2]
    scale = GRID / max(height, width)
    grid_h, grid_w = max(1, round(height * scale)), max(1, round(width * scale))
    if min(grid_h, grid_w) < 3:
        return np.ones((grid_h, grid_w), np.float32)
    lab = cv2.resize(lab_image(rgb), (grid_w, grid_h), interpolation=cv2.INTER_AREA)
    index = np.arange(grid_h * grid_w).reshape(grid_h, grid_w)
    border = np.unique(np.concatenate([index[0], index[-1], index[:, 0], index[:, -1]]))
    start, end, cost = _edges(lab)
    graph = coo_matrix((cost, (start, end)), shape=(index.size, index.size)).tocsr()
    geodesic = dijkstra(graph, directed=False, indices=border, min_only=True).reshape(grid_h, grid_w)
    contrast = np.linalg.norm(lab[:, :, None] - lab.reshape(-1, 3)[border][None, None], axis=-1)
    nearest = np.sort(contrast, axis=2)[:, :, : max(1, len(border) // 4)].mean(axis=2)
    subject = (_stretch(geodesic) + _stretch(nearest)) / 2
    ys, xs = np.mgrid[0:grid_h, 0:grid_w]
    dy = (ys - (grid_h - 1) / 2) / (grid_h * CENTRE_SIGMA)
    dx = (xs - (grid_w - 1) / 2) / (grid_w * CENTRE_SIGMA)
    centre = np.exp(-(dy**2 + dx**2) / 2)
    weights = (subject + floor) * (centre + centre_floor)
    return (weights / weights.max()).astype(np.float32)
