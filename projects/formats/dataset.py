"""The neutral model between annotation files and the project store.

Coordinates are xy_image (continuous, EXIF applied; methods/index.md); readers and writers convert from and to each
format's own frame through `kinmark.engine.domain.geometry`. Nothing here knows a file format or the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import as_text, said


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
    """One photo: `rel_path` POSIX, relative to the image root; `width`, `height` of the oriented image.

    Attributes:
        pointer: the photo as the file names it where that is no plain relative path (absolute, with "..", a URL), else "".
        stand_in: path without a suffix to be looked for when there is no such photo (VOC: the name of the XML file).
        label_file: name of the label file where that is of this photo alone, else "".
        label_folder: folder that a relative `pointer` starts from, "" when the file does not say.
        size_told: the file itself states the size; else the reader took it from the picture.
        shares: the labels are shares of the picture, so they fit it whichever way it is turned.
        y_up: y counts from the bottom of the picture (TPS); turned as soon as the photo is known.
        any_suffix: the file names the photo without its suffix (mask pictures): `rel_path` has a stand-in.
        exhaustive: {category: whether all of its instances in the photo are labelled}, where that is said.
    """

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
    pointer: str = ""
    label_folder: str = ""
    size_told: bool = True
    shares: bool = False
    y_up: bool = False
    any_suffix: bool = False
    exhaustive: dict[str, bool] = field(default_factory=dict)
    label_file: str = ""
    stand_in: str = ""


@dataclass(frozen=True)
class DatasetCategory:
    """A category with its keypoint schema (empty for masks and boxes only).

    `several`: a photo may hold more of it than are labelled (not compared: files do not say it).
    """

    name: str
    schema: KeypointSchema = KeypointSchema(())
    supercategory: str = ""
    original_id: int | str | None = None
    sigmas: tuple[float, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    several: bool = field(default=False, compare=False)


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
    """What a read or write did; `items` name everything that was not carried over unchanged.

    Kinds: "skipped" (left out), "changed" (read or written differently), "lost" (no place for it), "flagged" (kept, but look
    at it), "kept" (the project's value stays), "note" (how the file was understood).
    """

    format: str
    images: int = 0
    instances: int = 0
    keypoints: int = 0
    masks: int = 0
    items: list[ReportItem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    _counted: dict[tuple[str, str, str], tuple[int, int, str]] = field(default_factory=dict, repr=False)

    def add(self, kind: str, where: str, reason: str) -> None:
        """Record one skipped / changed / lost item."""
        self.items.append(ReportItem(kind, where, reason))

    def count(self, kind: str, what: str, where: str, reason: str = "", number: int = 1) -> None:
        """Record `number` more of a kind that is said once: "12 x rotation", with the first place where it stood.

        `what` are words of the program; with names of a file in them they are made by `said`.
        """
        key = (kind, what, reason)
        index, total, first = self._counted.get(key, (len(self.items), 0, where))
        total += number
        self._counted[key] = (index, total, first)
        item = ReportItem(
            kind,
            said("{0} x {1}", total, as_text(what)),
            said("{0} (first: {1})", reason, first) if reason else said("first: {0}", first),
        )
        if index == len(self.items):
            self.items.append(item)
        else:
            self.items[index] = item

    def copy(self) -> Report:
        """Another one that says the same so far."""
        return replace(
            self,
            items=list(self.items),
            files=list(self.files),
            extra=dict(self.extra),
            _counted=dict(self._counted),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json` and for the report file."""
        return {
            "format": self.format,
            "images": self.images,
            "instances": self.instances,
            "keypoints": self.keypoints,
            "masks": self.masks,
            "files": self.files,
            "items": [{"kind": i.kind, "where": i.where, "reason": i.reason} for i in self.items],
            **self.extra,
        }
