"""Weighted joint colour histograms in CIE L*a*b*, compared by the Hellinger kernel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.regions.saliency import lab_image

BINS = (6, 9, 9)
SIDE = 96
"""Photos are averaged down to this longer side: single pixels carry noise, areas carry colour."""


def _coordinates(lab: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Bin coordinates of `[N, 3]`; chroma goes through a square root, which gives pale colours finer bins."""
    light = np.clip(lab[:, 0], 0, 100) / 100 * (BINS[0] - 1)
    chroma = np.clip(np.sign(lab[:, 1:]) * np.sqrt(np.abs(lab[:, 1:]) / 80), -1, 1)
    return [light, (chroma[:, 0] + 1) / 2 * (BINS[1] - 1), (chroma[:, 1] + 1) / 2 * (BINS[2] - 1)]


def soft_bins(lab: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The 8 bins around each colour of `[N, 3]` and their trilinear shares: two `[8, N]` arrays."""
    coordinates = _coordinates(lab)
    bases = [np.floor(c).astype(np.int64) for c in coordinates]
    indices, shares = [], []
    for corner in range(8):
        index = np.zeros(len(lab), np.int64)
        share = np.ones(len(lab))
        for axis, (value, base, count) in enumerate(zip(coordinates, bases, BINS, strict=True)):
            up = corner >> axis & 1
            index = index * count + np.minimum(base + up, count - 1)
            share = share * (value - base if up else 1 - (value - base))
        indices.append(index)
        shares.append(share)
    return np.stack(indices), np.stack(shares)


def colour_histogram(rgb: NDArray[np.uint8], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Square roots of the weighted histogram's shares, `[486]` float32 of norm 1 (dot product = Hellinger affinity).

    Args:
        rgb: uint8 `[H, W, 3]`; weights: `[h, w]` >= 0, any grid over the same photo. All-zero weights count as equal.
    """
    scale = min(1.0, SIDE / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    lab = cv2.resize(lab_image(rgb), size, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    weight = cv2.resize(weights.astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel().astype(np.float64)
    if weight.sum() <= 0:
        weight = np.ones_like(weight)
    indices, shares = soft_bins(lab)
    counts = np.bincount(indices.ravel(), (shares * weight).ravel(), minlength=int(np.prod(BINS)))
    return np.sqrt(counts / counts.sum()).astype(np.float32)
