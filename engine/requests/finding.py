"""Requests about instances and whole photos: find, segment, describe."""

from __future__ import annotations

from dataclasses import dataclass

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.requests.keypoints import Calibration
from kinmark.engine.requests.photos import ImageInput, Reference, Target
from kinmark.engine.requests.settings import DEFAULT_BACKBONE, InstanceSettings


@dataclass(frozen=True)
class FindRequest:
    """Rank the targets by how surely they hold the reference instance and propose its mask on them."""

    request_id: str
    references: tuple[Reference, ...]
    targets: tuple[ImageInput, ...]
    class_name: str = ""
    negatives: tuple[Reference, ...] = ()
    settings: InstanceSettings = InstanceSettings()
    backbone: str = DEFAULT_BACKBONE
    calibration: Calibration | None = None


@dataclass(frozen=True)
class SegmentRequest:
    """Mask of one instance in one image from a box, points or a rough mask (no reference image)."""

    request_id: str
    image: ImageInput
    box: Box | None = None
    positive_xy_image: tuple[tuple[float, float], ...] = ()
    negative_xy_image: tuple[tuple[float, float], ...] = ()
    mask: MaskRLE | None = None
    refine: str = "grabcut"


@dataclass(frozen=True)
class VectorRequest:
    """Pooled vectors for the index: of whole images, or of a box/mask inside each."""

    request_id: str
    targets: tuple[Target, ...]
    backbone: str = DEFAULT_BACKBONE
