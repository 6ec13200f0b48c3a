"""From an evidence map to a mask: threshold, the part that holds the peak, GrabCut to the photo's edges.

No segmenter weights needed. Masks are boolean at the working picture's size.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.instances.evidence import FloatMap
from kinmark.engine.instances.picture import BoolMask
from kinmark.engine.regions.histogram import colour_histogram

THRESHOLDS = tuple(np.round(np.arange(0.25, 0.8, 0.05), 2))
MIN_SHARE, MAX_SHARE = 0.002, 0.9
GRABCUT_ROUNDS = 3
KEEP_OVERLAP = 0.35
"""A refined mask that agrees less than this with the thresholded one has run away and is dropped."""


def otsu(values: FloatMap) -> float:
    """Otsu's threshold of a map in [0, 1]."""
    bytes_ = np.clip(values * 255, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(bytes_, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return float(threshold) / 255


def component_at(mask: BoolMask, point_rc: tuple[int, int]) -> BoolMask:
    """The 8-connected part that holds `point_rc`, holes filled; empty when the point is outside the mask."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    label = labels[point_rc]
    if count < 2 or label == 0:
        return np.zeros_like(mask)
    return fill_holes(labels == label)


def fill_holes(mask: BoolMask) -> BoolMask:
    """Close everything that the border's background does not reach."""
    padded = np.pad(mask.astype(np.uint8), 1)
    flood = padded.copy()
    cv2.floodFill(flood, None, (0, 0), 1)
    return (padded | (1 - flood))[1:-1, 1:-1].astype(bool)


def best_threshold(
    values: FloatMap, rgb: NDArray[np.uint8], histograms: NDArray[np.float32], area_share: float
) -> tuple[float, BoolMask]:
    """Threshold whose region looks most like the reference: (threshold, part that holds the peak, at picture size).

    The colour affinity between the cut-out region and the nearest of the references (`histograms` `[R, 486]`) decides;
    Otsu's threshold has a small preference, which matters when the affinity is flat, and regions far from the
    reference's size are disfavoured slightly.
    """
    height, width = rgb.shape[:2]
    large = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
    peak = np.unravel_index(int(np.argmax(large)), large.shape)
    preferred = otsu(values)
    best: tuple[float, float, BoolMask] | None = None
    for threshold in THRESHOLDS:
        region = component_at(large >= threshold * large[peak], (int(peak[0]), int(peak[1])))
        share = float(region.mean())
        if not MIN_SHARE <= share <= MAX_SHARE:
            continue
        affinity = float((histograms @ colour_histogram(rgb, region.astype(np.float32))).max())
        size = abs(np.log(max(share, 1e-4) / max(area_share, 1e-4)))
        score = affinity - 0.1 * abs(threshold - preferred) - 0.03 * size
        if best is None or score > best[0]:
            best = (score, float(threshold), region)
    if best is None:
        region = component_at(large >= 0.5 * large[peak], (int(peak[0]), int(peak[1])))
        return 0.5, region
    return best[1], best[2]


def grabcut(rgb: NDArray[np.uint8], region: BoolMask, values: FloatMap | None = None) -> BoolMask:
    """Refine a region to the photo's edges (Rother et al. 2004); the region itself when that runs away.

    Args:
        rgb: working picture; region: first guess; values: evidence map, whose lowest places are surely background.
    """
    if not region.any() or region.all() or min(rgb.shape[:2]) < 8:
        return region
    radius = max(1, round(0.12 * np.sqrt(region.sum())))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    labels = np.full(region.shape, cv2.GC_PR_BGD, np.uint8)
    labels[region] = cv2.GC_PR_FGD
    labels[cv2.dilate(region.astype(np.uint8), disk, iterations=3) == 0] = cv2.GC_BGD
    core = cv2.erode(region.astype(np.uint8), disk, iterations=1) > 0
    labels[core & region] = cv2.GC_FGD if values is None else cv2.GC_PR_FGD
    if values is not None:
        large = cv2.resize(values, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)
        labels[core & (large >= 0.8 * large.max())] = cv2.GC_FGD
    try:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        cv2.setRNGSeed(0)
        cv2.grabCut(bgr, labels, None, models[0], models[1], GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return region
    refined = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    refined = keep_main_part(refined, region)
    overlap = (refined & region).sum() / max(1, (refined | region).sum())
    return refined if overlap >= KEEP_OVERLAP else region


def keep_main_part(mask: BoolMask, guide: BoolMask, *, share: float = 0.15) -> BoolMask:
    """Parts of `mask` that overlap `guide` and are not tiny beside the largest, holes filled."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    touching = [i for i in range(1, count) if (guide & (labels == i)).any()]
    if not touching:
        return np.zeros_like(mask)
    largest = max(stats[i, cv2.CC_STAT_AREA] for i in touching)
    kept = np.isin(labels, [i for i in touching if stats[i, cv2.CC_STAT_AREA] >= share * largest])
    return fill_holes(kept)


def grabcut_box(rgb: NDArray[np.uint8], box: tuple[int, int, int, int]) -> BoolMask:
    """Foreground of a box (x0, y0, x1, y1) in working pixels; the box's ellipse when GrabCut finds nothing."""
    height, width = rgb.shape[:2]
    x0, y0 = max(0, box[0]), max(0, box[1])
    x1, y1 = min(width, max(box[2], x0 + 1)), min(height, max(box[3], y0 + 1))
    inside = np.zeros((height, width), bool)
    inside[y0:y1, x0:x1] = True
    ys, xs = np.mgrid[0:height, 0:width]
    rx, ry = max((x1 - x0) / 2, 0.5), max((y1 - y0) / 2, 0.5)
    round_ = ((xs - (x0 + x1 - 1) / 2) / rx) ** 2 + ((ys - (y0 + y1 - 1) / 2) / ry) ** 2 <= 1
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    labels[inside & ~round_] = cv2.GC_PR_BGD
    if inside.all() or min(height, width) < 8 or inside.sum() < 25:
        return inside & round_ if (inside & round_).any() else inside
    try:
        cv2.setRNGSeed(0)
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        cv2.grabCut(bgr, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return inside & round_
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)) & inside
    found = keep_main_part(found, inside & round_)
    return found if found.sum() >= 0.1 * inside.sum() else inside & round_


def grabcut_points(
    rgb: NDArray[np.uint8], positive: list[tuple[int, int]], negative: list[tuple[int, int]]
) -> BoolMask:
    """Region around clicked working pixels (column, row): colour-coherent, then GrabCut with the clicks as certain."""
    height, width = rgb.shape[:2]
    radius = max(2, round(0.012 * max(height, width)))
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    near = np.full((height, width), np.inf, np.float32)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    for x, y in positive:
        seed = lab[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1].reshape(-1, 3).mean(axis=0)
        colour = np.linalg.norm((lab - seed) * np.array([0.5, 1, 1], np.float32), axis=-1) / 30
        place = np.hypot(xs - x, ys - y) / (0.3 * max(height, width))
        near = np.minimum(near, np.hypot(colour, place))
    labels = np.where(near < 0.8, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[near > 2.5] = cv2.GC_BGD
    for points, value in ((negative, cv2.GC_BGD), (positive, cv2.GC_FGD)):
        for x, y in points:
            cv2.circle(labels, (x, y), radius, int(value), -1)
    guide = labels == cv2.GC_FGD
    if min(height, width) < 8:
        return guide
    try:
        cv2.setRNGSeed(0)
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        cv2.grabCut(bgr, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return guide
    found = keep_main_part((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), guide)
    return found if found.any() else guide
