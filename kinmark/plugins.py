"""What a package needs that adds a format, a descriptor or a backbone; see docs/reference/plugins.md.

Names here are kept from version to version like those of `kinmark` itself. `DenseDescriptor` loads torch when it is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinmark.engine.backbones.spec import BackboneSpec, FusionSpec, InstanceSpec
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.keypoints import Visibility as KeypointVisibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.formats.base import ReadOptions, WriteOptions, bad, tick
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
    ReportItem,
)
from kinmark.projects.formats.registry import FormatSpec

if TYPE_CHECKING:
    from kinmark.engine.features.fusion import DenseDescriptor

__all__ = [
    "BackboneSpec",
    "Dataset",
    "DatasetCategory",
    "DatasetImage",
    "DatasetInstance",
    "DatasetKeypoint",
    "DenseDescriptor",
    "FormatSpec",
    "FusionSpec",
    "InstanceSpec",
    "KeypointSchema",
    "KeypointVisibility",
    "MaskRLE",
    "ReadOptions",
    "Report",
    "ReportItem",
    "WriteOptions",
    "bad",
    "tick",
]


def __getattr__(name: str) -> object:
    if name == "DenseDescriptor":
        from kinmark.engine.features.fusion import DenseDescriptor

        return DenseDescriptor
    raise AttributeError(name)
