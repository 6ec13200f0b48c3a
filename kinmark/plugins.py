"""What a package needs that adds a format, a descriptor, a backbone or a pipeline; see docs/reference/plugins.md.

Names here are kept from version to version like those of `kinmark` itself. `DenseDescriptor`, `Pipeline` and
`nothing_to_choose` load torch when they are taken.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from kinmark.engine.backbones.spec import BackboneSpec, FusionSpec, InstanceSpec
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.keypoints import Visibility as KeypointVisibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, Peak
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.requests import Exemplar, ProposeRequest, SettingsChoice, Target, TargetFailure
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
    from kinmark.engine.pipelines.registry import Pipeline, nothing_to_choose

__all__ = [
    "BackboneSpec",
    "Dataset",
    "DatasetCategory",
    "DatasetImage",
    "DatasetInstance",
    "DatasetKeypoint",
    "DenseDescriptor",
    "Exemplar",
    "FormatSpec",
    "FusionSpec",
    "InstanceProposal",
    "InstanceSpec",
    "KeypointProposal",
    "KeypointSchema",
    "KeypointSignals",
    "KeypointVisibility",
    "MaskRLE",
    "Peak",
    "Pipeline",
    "ProposeRequest",
    "ReadOptions",
    "Report",
    "ReportItem",
    "RunSpec",
    "SettingsChoice",
    "Target",
    "TargetFailure",
    "WriteOptions",
    "bad",
    "nothing_to_choose",
    "tick",
]

_LATE = {
    "DenseDescriptor": "kinmark.engine.features.fusion",
    "Pipeline": "kinmark.engine.pipelines.registry",
    "nothing_to_choose": "kinmark.engine.pipelines.registry",
}
"""Where the names are that load torch."""


def __getattr__(name: str) -> object:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module 'kinmark.plugins' has no attribute '{name}'")
