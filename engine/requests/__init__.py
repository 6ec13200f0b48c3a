"""Frozen requests and results: the words between the engine and the layers above. NumPy and `engine.domain` only."""

from engine.requests.instances import DescriptorRequest, FindRequest, SegmentRequest
from engine.requests.keypoints import (
    Calibration,
    CategoriesRequest,
    CheckRequest,
    DecisionRecord,
    MatchRequest,
    OptimiseRequest,
    ProposeRequest,
    Rival,
)
from engine.requests.photos import MAX_INSTANCES, Exemplar, ImageInput, Reference, Target
from engine.requests.results import (
    CategoryAnswer,
    Descriptor,
    EngineInfo,
    HeldOutFigures,
    LabelSuspicion,
    MatchResult,
    SettingsChoice,
    TargetFailure,
    TuneProgress,
    TuneResult,
)
from engine.requests.settings import (
    DEFAULT_BACKBONE,
    MATCH_METHODS,
    SEARCH_METHOD,
    EngineConfig,
    InstanceSettings,
    MatchSettings,
)
from engine.requests.work import EvaluateRequest, TuneRequest

__all__ = [
    "DEFAULT_BACKBONE",
    "MATCH_METHODS",
    "MAX_INSTANCES",
    "SEARCH_METHOD",
    "Calibration",
    "CategoriesRequest",
    "CategoryAnswer",
    "CheckRequest",
    "DecisionRecord",
    "Descriptor",
    "DescriptorRequest",
    "EngineConfig",
    "EngineInfo",
    "EvaluateRequest",
    "Exemplar",
    "FindRequest",
    "HeldOutFigures",
    "ImageInput",
    "InstanceSettings",
    "LabelSuspicion",
    "MatchRequest",
    "MatchResult",
    "MatchSettings",
    "OptimiseRequest",
    "ProposeRequest",
    "Reference",
    "Rival",
    "SegmentRequest",
    "SettingsChoice",
    "Target",
    "TargetFailure",
    "TuneProgress",
    "TuneRequest",
    "TuneResult",
]
