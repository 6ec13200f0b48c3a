"""What a person meant by a gesture on the canvas. The session decides what becomes of it.

`key` is `InstanceContent.key`, `index` a keypoint index, positions are xy_image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinmark.engine.domain.geometry import Box, FloatArray


@dataclass(frozen=True)
class FocusPoint:
    """Select the instance and focus its keypoint."""

    key: str
    index: int


@dataclass(frozen=True)
class MarkPoint:
    """Mark a keypoint for a split, or take the mark off; its instance becomes the selected one."""

    key: str
    index: int


@dataclass(frozen=True)
class SelectInstance:
    """Select an instance (None: nothing)."""

    key: str | None


@dataclass(frozen=True)
class MovePoint:
    """Put a keypoint elsewhere (a correction when it was a proposal)."""

    key: str
    index: int
    x: float
    y: float


@dataclass(frozen=True)
class PlacePoint:
    """Place the next keypoint here; `hidden`: known but covered."""

    x: float
    y: float
    hidden: bool


@dataclass(frozen=True)
class StepBack:
    """Take the last placed keypoint back."""


@dataclass(frozen=True)
class FinishPlacing:
    """Stop placing; what is missing becomes absent."""


@dataclass(frozen=True)
class AcceptPoint:
    """Accept one proposed keypoint."""

    key: str
    index: int


@dataclass(frozen=True)
class ToggleHidden:
    """Switch a keypoint between visible and hidden."""

    key: str
    index: int


@dataclass(frozen=True)
class MoveInstance:
    """All keypoints `[K, 2]` (NaN where none) and the box after moving, turning or scaling the whole instance."""

    key: str
    xy_image: FloatArray
    box: Box | None


@dataclass(frozen=True)
class SetBox:
    """A new box (`key` None) or a changed one."""

    key: str | None
    box: Box


@dataclass(frozen=True)
class SetMask:
    """A new mask (`key` None) or a changed one, boolean `[H, W]`."""

    key: str | None
    mask: np.ndarray


@dataclass(frozen=True)
class TakePeak:
    """Put the focused keypoint on its n-th peak (0 = best)."""

    number: int


@dataclass(frozen=True)
class Nudge:
    """Move the focused keypoint by (dx, dy) image pixels."""

    dx: float
    dy: float


Intent = (
    FocusPoint
    | MarkPoint
    | SelectInstance
    | MovePoint
    | PlacePoint
    | StepBack
    | FinishPlacing
    | AcceptPoint
    | ToggleHidden
    | MoveInstance
    | SetBox
    | SetMask
    | TakePeak
    | Nudge
)
CHANGING = (MovePoint, PlacePoint, AcceptPoint, ToggleHidden, MoveInstance, SetBox, SetMask, TakePeak, Nudge)
"""Intents that put something on the photo: they need one to look at."""
