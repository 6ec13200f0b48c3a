"""Interest points of a photo (SIFT), and how many of two photos' points agree on one place, size and turn of the thing.

Dense patches (`engine.retrieval.patches`) see everything but neither turns nor exact sizes; interest points see less and pin it
down: a printed label or a pattern that comes back is as good as a proof. Points of the foreground count more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

SIDE = 384
"""Photos are brought to this longer side."""
MOST_POINTS = 500
CONTRAST = 0.03
RATIO = 0.85
"""A match whose second best is nearer than this multiple is ambiguous (Lowe 2004 has 0.8; here the place decides, too)."""
NEAR, NEAR_OCTAVES, NEAR_TURN = 0.16, 0.8, 0.6
"""Matches agree when the centre they predict lies within this share of SIDE, the size within octaves, the turn in radians."""


@dataclass(frozen=True)
class InterestPoints:
    """Points of one photo.

    Attributes:
        descriptors: `[P, 128]` float32 RootSIFT, unit rows.
        xy: `[P, 2]` float32 places in units of the longer side. sizes, angles: `[P]` (units of the longer side; radians).
        weights: `[P]` float32 foreground, 0..1.
    """

    descriptors: FloatArray
    xy: FloatArray
    sizes: FloatArray
    angles: FloatArray
    weights: FloatArray

    def __len__(self) -> int:
        return len(self.descriptors)


@lru_cache(maxsize=1)
def _detector() -> cv2.SIFT:
    return cv2.SIFT.create(nfeatures=MOST_POINTS, contrastThreshold=CONTRAST)


def interest_points(rgb: NDArray[np.uint8], weights: FloatArray) -> InterestPoints:
    """Points of uint8 RGB `[H, W, 3]` with foreground weights `[h, w]` (any grid over the photo); none on a flat photo."""
    longer = max(rgb.shape[:2])
    if longer > SIDE:
        size = (max(1, round(rgb.shape[1] * SIDE / longer)), max(1, round(rgb.shape[0] * SIDE / longer)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    points, found = _detector().detectAndCompute(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), None)
    if found is None or not len(points):
        empty = np.zeros(0, np.float32)
        return InterestPoints(np.zeros((0, 128), np.float32), np.zeros((0, 2), np.float32), empty, empty, empty)
    rooted = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6)).astype(np.float32)
    xy = np.array([p.pt for p in points], np.float32)
    height, width = rgb.shape[:2]
    rows = np.clip((xy[:, 1] / height * weights.shape[0]).astype(int), 0, weights.shape[0] - 1)
    columns = np.clip((xy[:, 0] / width * weights.shape[1]).astype(int), 0, weights.shape[1] - 1)
    relative = weights[rows, columns] / max(float(weights.max()), 1e-9)
    scale = max(height, width)
    sizes = np.array([p.size for p in points], np.float32) / scale
    angles = np.deg2rad(np.array([p.angle for p in points], np.float32))
    return InterestPoints(rooted, xy / scale, sizes, angles, relative.astype(np.float32))


def agreeing_points(query: InterestPoints, target: InterestPoints) -> float:
    """Foreground weight of the largest set of unambiguous matches that agree on the thing's place, size and turn; >= 0."""
    if not len(query) or len(target) < 2:
        return 0.0
    products = query.descriptors @ target.descriptors.T
    rows = np.arange(len(query))
    best = products.argmax(axis=1)
    first = products[rows, best].copy()
    products[rows, best] = -1
    ratio = np.sqrt(np.maximum(1 - first, 0) / np.maximum(1 - products.max(axis=1), 1e-9))
    own = np.flatnonzero(ratio < RATIO)
    if not len(own):
        return 0.0
    other = best[own]
    votes = np.sqrt(query.weights[own] * target.weights[other])
    scale = target.sizes[other] / query.sizes[own]
    turn = target.angles[other] - query.angles[own]
    centre = (query.xy * query.weights[:, None]).sum(axis=0) / max(float(query.weights.sum()), 1e-9)
    arm = (centre - query.xy[own]) * scale[:, None]
    cosine, sine = np.cos(turn), np.sin(turn)
    place = target.xy[other] + np.stack(
        [cosine * arm[:, 0] - sine * arm[:, 1], sine * arm[:, 0] + cosine * arm[:, 1]], axis=1
    )
    octaves = np.log2(scale)
    apart = np.abs((turn[:, None] - turn[None] + np.pi) % (2 * np.pi) - np.pi)
    together = (
        (np.abs(place[:, None] - place[None]).max(axis=2) < NEAR)
        & (np.abs(octaves[:, None] - octaves[None]) < NEAR_OCTAVES)
        & (apart < NEAR_TURN)
    )
    return float((together @ votes).max())
