"""What the verbs take and return: frozen records. Coordinates are xy_image: float pixels, corner origin, EXIF applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""Corners x0, y0, x1, y1."""
Mask = NDArray[np.bool_]
"""`[height, width]` of the photo."""
Visibility = Literal["visible", "hidden", "absent"]
VISIBILITIES: tuple[Visibility, ...] = ("absent", "hidden", "visible")


@dataclass(frozen=True)
class Keypoint:
    """One keypoint. `x`, `y` are NaN when absent; `confidence` is the proposal's, or None for a person's."""

    x: float
    y: float
    visibility: Visibility = "visible"
    confidence: float | None = None


@dataclass(frozen=True)
class Photo:
    """A photo of a project. `name` is its path below the folder it was added from; `width`, `height` as shown.

    `state` as in the window: "unseen", "pending" (a proposal waits), "done" (has accepted instances), "nothing" (looked at,
    nothing there) and further ones.
    """

    id: int
    name: str
    path: Path
    width: int
    height: int
    state: str


@dataclass(frozen=True)
class Category:
    """A kind of thing and its keypoints; `skeleton` and `pairs` (left, right) by name."""

    id: int
    name: str
    keypoints: tuple[str, ...]
    skeleton: tuple[tuple[str, str], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Instance:
    """An accepted instance. `keypoints` holds those that were looked at; `mask` is decoded on access by `Project.mask`."""

    id: int
    photo: str
    category: str
    identity: str | None
    keypoints: dict[str, Keypoint] = field(default_factory=dict)
    box: Box | None = None
    has_mask: bool = False


@dataclass(frozen=True)
class Proposal:
    """A pending proposal: keypoints, or a mask of an instance that was found. `confidence` is an expected precision."""

    id: int
    photo: str
    category: str
    kind: Literal["keypoints", "mask"]
    confidence: float
    identity: str | None = None
    keypoints: dict[str, Keypoint] = field(default_factory=dict)
    box: Box | None = None


@dataclass(frozen=True)
class Reference:
    """The one that is to be found, on a photo that shows it: by at most one of `mask`, `box` and `point` (x, y).

    `photo`: name, path or id of a photo of the project. With none of the three what stands out there is meant, which `kind` tells apart.
    """

    photo: str | Path | int
    box: Box | None = None
    mask: Mask | None = None
    point: tuple[float, float] | None = None


@dataclass(frozen=True)
class Found:
    """One line of a search's ranking, best first. `here` False: "not here", and `mask`, `box` are None then.

    `score` is a log-odds that ranks; `confidence` the calibrated probability.
    """

    photo: str
    here: bool
    confidence: float
    score: float
    box: Box | None
    mask: Mask | None


@dataclass(frozen=True)
class Imported:
    """What an import did with instances and photos; `notes` are what the file lost or had put right."""

    added: int
    changed: int
    kept: int
    skipped: int
    photos_added: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """What an export wrote; `notes` are what the format cannot carry and what was skipped, each with its reason."""

    files: tuple[Path, ...]
    photos: int
    instances: int
    notes: tuple[str, ...] = ()
