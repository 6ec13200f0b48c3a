"""What the operations take: plain frozen data. Coordinates are xy_image."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import InstanceKeypoints, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said

HUMAN, FROM_PROPOSAL, IMPORTED = "human", "proposal", "imported"
ORIGINS = (HUMAN, FROM_PROPOSAL, IMPORTED)


@dataclass(frozen=True)
class NewImage:
    """An image to add: `root` is the folder it was added from, `rel_path` POSIX relative to it, size of the oriented image."""

    root: Path
    rel_path: str
    width: int
    height: int
    orientation: int = 1
    frames: int = 1
    sha256: str = ""
    size_bytes: int = 0
    mtime_ns: int = 0
    source_id: str | None = None


@dataclass(frozen=True)
class NewKeypoint:
    """One keypoint of an instance: x, y None when absent (visibility 0)."""

    definition_id: int
    x: float | None
    y: float | None
    visibility: int = Visibility.VISIBLE
    origin: str | None = None
    confidence: float | None = None
    run_id: int | None = None


@dataclass(frozen=True)
class NewInstance:
    """An instance to add with everything that belongs to it. `extra` is any JSON-able data to keep (iscrowd, attributes)."""

    image_id: int
    category_id: int
    keypoints: tuple[NewKeypoint, ...] = ()
    box: Box | None = None
    mask: MaskRLE | None = None
    identity_id: int | None = None
    origin: str = HUMAN
    source_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InstancePart:
    """An object of a photo as it stands: its accepted instance (None: nothing is accepted yet) and what waits for it."""

    instance_id: int | None = None
    proposal_ids: tuple[int, ...] = ()


def checked_point(x: float | None, y: float | None, visibility: int) -> tuple[float | None, float | None, int]:
    """(x, y, visibility) as stored: absent keypoints have no position, others a finite one; UserInputError otherwise."""
    if visibility not in (0, 1, 2):
        raise UserInputError(
            said("A keypoint has the visibility {0}.", visibility), "It must be 0 (absent), 1 (hidden) or 2 (visible)."
        )
    if visibility == Visibility.ABSENT:
        return None, None, 0
    if x is None or y is None or not (math.isfinite(x) and math.isfinite(y)):
        raise UserInputError("A keypoint that is not absent has no finite position.", "Place it, or mark it absent.")
    return float(x), float(y), int(visibility)


def checked_box(box: Box | None) -> tuple[float | None, float | None, float | None, float | None]:
    """The box's corners as stored (ordered); UserInputError when not finite."""
    if box is None:
        return None, None, None, None
    x0, y0, x1, y1 = (float(value) for value in box)
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise UserInputError("A box has a corner that is not a finite number.")
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def keypoints_of(definition_ids: Iterable[int], keypoints: InstanceKeypoints) -> tuple[NewKeypoint, ...]:
    """`InstanceKeypoints` (`[K, 2]` in the order of `definition_ids`) as rows; absent ones without a position are kept."""
    rows = []
    for definition_id, xy, visibility in zip(
        definition_ids, np.asarray(keypoints.xy_image), keypoints.visibility, strict=True
    ):
        x, y = (float(xy[0]), float(xy[1])) if np.isfinite(xy).all() else (None, None)
        rows.append(NewKeypoint(int(definition_id), x, y, int(visibility) if x is not None else 0))
    return tuple(rows)
