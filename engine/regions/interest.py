"""Interest points of a photo (SIFT), and how many of two photos' points agree on one place, size and turn of the thing.

Dense patches (`kinmark.engine.regions.patches`) see everything but neither turns nor exact sizes; interest points see less and pin it
down: a printed label or a pattern that comes back is as good as a proof. Points of the foreground count more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

SIDE = 512
"""Photos are brought to this longer side, small ones too: fine print needs pixels (measured on groceries: + 3 mAP)."""
MOST_POINTS = 1000
CONTRAST = 0.015
RATIO = 0.85
"""A match whose second best is nearer than this multiple is ambiguous (Lowe 2004 has 0.8; here the place decides, too)."""
NEAR, NEAR_OCTAVES, NEAR_TURN = 0.16, 0.8, 0.6
"""Matches agree when the centre they predict lies within this share of SIDE, the size within octaves, the turn in radians."""

SURE = 3.0
"""At this many agreeing votes a photo counts as half found."""


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
    if longer != SIDE:
        size = (max(1, round(rgb.shape[1] * SIDE / longer)), max(1, round(rgb.shape[0] * SIDE / longer)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if longer > SIDE else cv2.INTER_CUBIC)
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


def agreeing_votes(query: InterestPoints, target: InterestPoints) -> FloatArray:
    """Foreground weight of each query point `[P]` whose unambiguous match is in the largest set that agrees on the thing's
    place, size and turn; 0 for all others."""
    found = np.zeros(len(query), np.float32)
    if not len(query) or len(target) < 2:
        return found
    products = query.descriptors @ target.descriptors.T
    rows = np.arange(len(query))
    best = products.argmax(axis=1)
    first = products[rows, best].copy()
    products[rows, best] = -1
    ratio = np.sqrt(np.maximum(1 - first, 0) / np.maximum(1 - products.max(axis=1), 1e-9))
    own = np.flatnonzero(ratio < RATIO)
    if not len(own):
        return found
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
    chosen = together[int((together @ votes).argmax())]
    found[own[chosen]] = votes[chosen]
    return found


def agreeing_points(query: InterestPoints, target: InterestPoints) -> float:
    """Sum of `agreeing_votes`; >= 0."""
    return float(agreeing_votes(query, target).sum())


def distinctive_points(query: InterestPoints, targets: Sequence[InterestPoints], own: int = -1) -> FloatArray:
    """`[N]`: agreeing votes in each target, each point counting less the more targets it is found in; 0 for target `own`.

    A maker's name is on all its articles: points that come back in many photos tell little about which one it is (inverse
    document frequency, of verified matches only).
    """
    none = np.zeros(len(query), np.float32)
    votes = np.stack([none if i == own else agreeing_votes(query, target) for i, target in enumerate(targets)])
    total = votes.sum(axis=1, keepdims=True)
    # A photo with few agreeing votes is hardly a finding, a coincidence costs no point its weight.
    found = ((votes > 0) * (total / (total + SURE))).sum(axis=0)
    return (votes / np.sqrt(np.maximum(found, 1))).sum(axis=1)
