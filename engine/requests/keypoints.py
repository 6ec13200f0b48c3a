"""Requests about keypoints: propose, match, optimise, check labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.proposals import KeypointSignals
from kinmark.engine.requests.photos import Exemplar, ImageInput, Target
from kinmark.engine.requests.settings import DEFAULT_BACKBONE, MatchSettings

MINIMUM_DECISIONS = 30
"""About so many proposed keypoints a person must have decided before a confidence model of their own is fitted."""


@dataclass(frozen=True)
class Calibration:
    """A fitted confidence model as plain numbers (`kind` "prior" or "project"; see kinmark.engine.matching.confidence)."""

    kind: str
    decisions: int
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DecisionRecord:
    """One decision about a proposed keypoint: its signals, whether it proved correct, the visibility proposed, which keypoint it
    is ("" = not told), and whether it is in the picture, wherever it was proposed (None = the decision does not say)."""

    signals: KeypointSignals
    correct: bool
    visibility: int = 2
    keypoint: str = ""
    there: bool | None = None


@dataclass(frozen=True)
class Rival:
    """A category that competes for the same places (left hand, right hand): of each place only the better explained is proposed.

    Keypoints correspond by name. Mirrored exemplars are not used where there are rivals.
    """

    category: str
    schema: KeypointSchema
    exemplars: tuple[Exemplar, ...]


@dataclass(frozen=True)
class ProposeRequest:
    """Propose the keypoints of `category` on every target from the exemplars.

    `collection`: photos that stand for the whole collection where statistics and settings are taken from it; () = the
    targets. A sweep that asks for a few targets at a time names the same ones each time.
    `rivals`: other categories that compete for the same places. `complete`: ids of images whose individuals of the category are all
    among the exemplars, so that what else they show is background.
    """

    request_id: str
    category: str
    schema: KeypointSchema
    exemplars: tuple[Exemplar, ...]
    targets: tuple[Target, ...]
    settings: MatchSettings = MatchSettings()
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    calibration: Calibration | None = None
    only_keypoints: tuple[int, ...] | None = None
    collection: tuple[ImageInput, ...] = ()
    rivals: tuple[Rival, ...] = ()
    complete: tuple[str, ...] = ()

    @property
    def statistics_images(self) -> list[ImageInput]:
        """The collection, or the targets' images where none was named."""
        return list(self.collection) or [target.image for target in self.targets]


@dataclass(frozen=True)
class CategoriesRequest:
    """Which of these categories (two at least, each with exemplars) each target shows; `collection` as in `ProposeRequest`."""

    request_id: str
    categories: tuple[tuple[str, tuple[Exemplar, ...]], ...]
    targets: tuple[ImageInput, ...]
    collection: tuple[ImageInput, ...] = ()


@dataclass(frozen=True)
class MatchRequest:
    """Match free points of one image to another, with similarity maps for the evidence panel."""

    request_id: str
    source: ImageInput
    points_xy_image: NDArray[np.float64]
    target: Target
    source_box: Box | None = None
    settings: MatchSettings = MatchSettings()
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    want_maps: bool = True


@dataclass(frozen=True)
class OptimiseRequest:
    """Per-point prompt optimisation (methods/point-optimisation.md) of some keypoints of one exemplar on some targets."""

    request_id: str
    exemplar: Exemplar
    schema: KeypointSchema
    keypoints: tuple[int, ...]
    targets: tuple[Target, ...]
    category: str = ""
    backbone: str = DEFAULT_BACKBONE
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckRequest:
    """Look for labels that do not fit their namesakes; every exemplar is judged from the others."""

    request_id: str
    category: str
    schema: KeypointSchema
    exemplars: tuple[Exemplar, ...]
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
