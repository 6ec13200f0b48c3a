"""Places that a search found in one target, and what becomes of them as proposals: the same for every kind of search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.instances.decision import DEFAULT_THRESHOLD, RegionLikeness, confidence_of
from kinmark.engine.instances.evidence import resize_map
from kinmark.engine.instances.picture import BoolMask, Picture
from kinmark.engine.instances.settings import ResolvedSettings
from kinmark.engine.requests import FindRequest

WITHOUT_SEGMENTER = ("grabcut", "threshold")
LOWEST_PEAK = 0.3
"""Further instances whose peak is below this share of the best one's are left out."""


@dataclass(frozen=True)
class Region:
    """One distinct place in a target: mask and peak at working size, its likeness and log-odds."""

    mask: BoolMask
    peak_rc: tuple[int, int]
    likeness: RegionLikeness
    score: float


def distinct_regions(
    values: NDArray[np.float32],
    most: int,
    region_of: Callable[[NDArray[np.float32]], Region],
    cancel: CancelToken | None = None,
) -> list[Region]:
    """Up to `most` regions of a map `[h, w]`, each taken from what the ones before have left of it; best score first."""
    found: list[Region] = []
    for _ in range(most):
        if cancel is not None:
            cancel.check()
        if float(values.max()) <= LOWEST_PEAK:
            break
        region = region_of(values)
        if not region.mask.any():
            break
        found.append(region)
        values = values * (1 - covered(region.mask, values.shape))
    return sorted(found, key=lambda r: -r.score)


def covered(mask: BoolMask, grid_hw: tuple[int, ...]) -> NDArray[np.float32]:
    """Where a found region and its rim lie on the map grid."""
    share = resize_map(mask.astype(np.float32), (grid_hw[0], grid_hw[1]))
    return (cv2.dilate(share, np.ones((5, 5), np.uint8)) > 0.2).astype(np.float32)


def proposals_of(
    picture: Picture,
    regions: Sequence[Region],
    request: FindRequest,
    settings: ResolvedSettings,
    spec: RunSpec,
    seconds: float,
) -> list[MaskProposal]:
    """The regions above the threshold as proposals; without any a single one with mask None ("not here")."""
    threshold = DEFAULT_THRESHOLD if settings.threshold is None else settings.threshold
    confidences = [confidence_of(r.score, request.calibration) for r in regions]
    here = [(r, c) for r, c in zip(regions, confidences, strict=True) if c >= threshold]
    name = request.request_id, picture.image.image_id
    if not here and not regions:
        return [MaskProposal(*name, -20.0, 0.0, None, None, spec, seconds=seconds)]
    if not here:
        here = [(regions[0], confidences[0])]
    found = []
    for rank, (region, confidence) in enumerate(here):
        mask = picture.to_image_mask(region.mask) if confidence >= threshold else None
        found.append(
            MaskProposal(
                *name,
                region.score,
                confidence,
                mask,
                mask.box if mask is not None else None,
                spec,
                peak_xy_image=picture.to_image_xy(region.peak_rc[1], region.peak_rc[0]),
                seconds=seconds,
                rank=rank,
                extra=_extra(region.likeness),
            )
        )
    return found


def _extra(likeness: RegionLikeness) -> dict[str, float]:
    return {
        "colour": likeness.colour,
        "local": likeness.local,
        "attention": likeness.attention,
        "thing": likeness.thing,
    }
