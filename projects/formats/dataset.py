"""The neutral model between annotation files and the project store.

Coordinates are xy_image (continuous, EXIF applied; methods/index.md); readers and writers convert from and to each
format's own frame through `engine.domain.geometry`. Nothing here knows a file format or the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from engine.domain.geometry import Box
from engine.domain.keypoints import KeypointSchema, Visibility
from engine.domain.masks import MaskRLE


@dataclass(frozen=True)
class DatasetKeypoint:
    """One keypoint of an instance; `x`, `y` are None exactly when it is absent."""

    visibility: Visibility
    x: float | None = None
    y: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class DatasetInstance:
    """One object in one image.

    Attributes:
        category: name of a `DatasetCategory`.
        keypoints: keypoint name to value; names missing here are "not labelled".
        box: in xy_image, None when only keypoints or a mask are known.
        mask: of the whole image's size.
        identity: name of the individual, "" when unknown.
        crowd: COCO's iscrowd.
        proposal, score: an unreviewed proposal and its confidence.
        original_id: the id the source file gave, kept for re-export.
        origin: "human", "accepted", "imported", "proposal".
        extra: fields of the source format that must survive a round trip.
    """

    category: str
    keypoints: dict[str, DatasetKeypoint] = field(default_factory=dict)
    box: Box | None = None
    mask: MaskRLE | None = None
    identity: str = ""
    crowd: bool = False
    proposal: bool = False
    score: float | None = None
    original_id: int | str | None = None
    origin: str = "human"
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetImage:
    """One photo: `rel_path` POSIX, relative to the image root; `width`, `height` of the oriented image."""

    rel_path: PurePosixPath
    width: int
    height: int
    instances: tuple[DatasetInstance, ...] = ()
    source_path: str = ""
    orientation: int = 1
    split: str = ""
    tags: tuple[str, ...] = ()
    nothing_here: tuple[str, ...] = ()
    original_id: int | str | None = None
    sha256: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetCategory:
    """A category with its keypoint schema (empty for masks and boxes only)."""

    name: str
    schema: KeypointSchema = KeypointSchema(())
    supercategory: str = ""
    original_id: int | str | None = None
    sigmas: tuple[float, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Everything that goes between a file and the store."""

    categories: tuple[DatasetCategory, ...] = ()
    images: tuple[DatasetImage, ...] = ()
    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def category(self, name: str) -> DatasetCategory:
        """By name; raises KeyError."""
        for category in self.categories:
            if category.name == name:
                return category
        raise KeyError(name)


@dataclass(frozen=True)
class ReportItem:
    """One thing that was skipped, changed or lost: what, where (file, item) and why."""

    kind: str
    where: str
    reason: str


@dataclass
class Report:
    """What a read or write did; `items` name everything that was not carried over unchanged."""

    format: str
    images: int = 0
    instances: int = 0
    keypoints: int = 0
    masks: int = 0
    items: list[ReportItem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def add(self, kind: str, where: str, reason: str) -> None:
        """Record one skipped / changed / lost item."""
        self.items.append(ReportItem(kind, where, reason))

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json` and for the report file."""
        return {
            "format": self.format, "images": self.images, "instances": self.instances, "keypoints": self.keypoints,
            "masks": self.masks, "files": self.files,
            "items": [{"kind": i.kind, "where": i.where, "reason": i.reason} for i in self.items], **self.extra,
        }  # fmt: skip
