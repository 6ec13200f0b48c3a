"""Outlines that stay outlines: polygons of a file are kept beside the mask that they draw, and go out again unchanged.

A mask is the truth inside; a polygon of four points drawn and traced again would have hundreds. The rings are valid only as
long as the mask is still the one that they drew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.formats.dataset import DatasetInstance
from kinmark.projects.formats.polygons import reaches_far_outside

KEY = "outline"
MAX_KEPT_NUMBERS = 4_000
"""Longer outlines are pixel tracings: the mask says as much."""


def outline_extra(rings: Sequence[Sequence[float]], mask: MaskRLE) -> dict[str, Any]:
    """The entry of `DatasetInstance.extra` for flat rings `[x0, y0, ...]` (xy_image) that draw `mask`; {} when not kept."""
    if sum(map(len, rings)) > MAX_KEPT_NUMBERS or reaches_far_outside([list(r) for r in rings], mask):
        return {}
    return {KEY: {"rings": [[float(v) for v in ring] for ring in rings], "mask": mask.counts}}


def outline_of(instance: DatasetInstance) -> list[list[float]] | None:
    """The rings that came with the file, None when there are none or the mask was changed since."""
    if instance.mask is None:
        return None
    kept = instance.extra.get(KEY)
    if isinstance(kept, dict) and kept.get("mask") == instance.mask.counts:
        return [list(ring) for ring in kept.get("rings", ())]
    coco = instance.extra.get("coco")
    rings = coco.get("segmentation") if isinstance(coco, dict) else None
    if isinstance(rings, list) and rings and instance.extra.get("coco_mask") == instance.mask.counts:
        return [[float(v) for v in ring] for ring in rings]
    return None
