"""What every format module shares: options, the shape of `read`/`write`, progress, and how a bad file is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from kinmark.engine.domain.errors import AppError, ImportFileError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import as_text, said
from kinmark.projects.formats.dataset import Dataset, Report, ReportItem

KEYPOINT_FRAMES = ("auto", "continuous", "pixel", "integer")


@dataclass(frozen=True)
class ReadOptions:
    """How to read.

    Attributes:
        images_root: folder that image paths are relative to (None: the format's own rule, else the file's folder).
        skip_bad: leave out damaged items (each is reported) instead of refusing the whole file.
        keypoint_frame: COCO only: "pixel" (integers are pixel indices, +0.5), "continuous", or "auto" (see coco.py).
        category: for formats that carry none (DeepLabCut): the name to give.
        exif: "rotate": labels were drawn on the unrotated pictures (shares of the picture then mean the stored one).
        exif_of: (pattern, choice) for photos that differ from `exif`: the first pattern that a photo's path fits counts.
        extra: options of one format.
    """

    images_root: Path | None = None
    skip_bad: bool = False
    keypoint_frame: str = "auto"
    category: str = ""
    exif: str = "ask"
    exif_of: tuple[tuple[str, str], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WriteOptions:
    """How to write.

    Attributes:
        masks: "rle" (exact, also with holes) or "polygon" (exact edge polygons where a mask has no hole, else RLE).
        keypoint_frame: COCO only: "auto", "continuous", "pixel" (x - 0.5) or "integer" (floor: strict and lossy).
        copy_images: write the pictures too (formats that cannot do without always do).
        archive: "" for a folder, ".zip" or ".tar.gz" to write straight into an archive (SPair on Windows).
        aliases: category name to the name to export it under (SD4Match wants VOC names).
        seed: of every random choice (pairs that are subsampled).
        max_pairs: upper bound of pairs per category and split, 0 = all.
        extra: options of one format.
    """

    masks: str = "rle"
    keypoint_frame: str = "auto"
    copy_images: bool = False
    archive: str = ""
    aliases: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    max_pairs: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


def exif_choice(path: PurePosixPath, exif: str, exif_of: Iterable[tuple[str, str]]) -> str:
    """ask, rotate or keep for one photo: by the first pattern (`cam1/*`, `IMG_*.jpg`) that its path or name fits."""
    return next((choice for pattern, choice in exif_of if _fits(path, pattern)), exif)


def _fits(path: PurePosixPath, pattern: str) -> bool:
    return fnmatchcase(str(path), pattern) or fnmatchcase(path.name, pattern) or fnmatchcase(str(path), f"*/{pattern}")


def say_unused_patterns(dataset: Dataset, exif_of: Iterable[tuple[str, str]], report: Report) -> None:
    """Patterns that mean no photo of the file: a slip of the pen would turn nothing without a word."""
    for pattern, _ in exif_of:
        if not any(_fits(image.rel_path, pattern) for image in dataset.images):
            report.add(
                "flagged", said('pattern "{0}"', pattern), "no path or name of a photo fits it (cam1/* is all of cam1)"
            )


def drawn_size(
    size_wh: tuple[int, int], orientation: int, options: ReadOptions, path: PurePosixPath
) -> tuple[int, int]:
    """Size of the picture that the labels of `path` were drawn on: with "rotate" the stored one, else the one shown."""
    turned = orientation >= 5 and exif_choice(path, options.exif, options.exif_of) == "rotate"
    return size_wh[::-1] if turned else size_wh


class Reader(Protocol):
    """`read` of a format module."""

    def __call__(
        self,
        path: Path,
        options: ReadOptions = ...,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> tuple[Dataset, Report]:
        """Parse `path` wholly or raise ImportFileError; touches nothing else."""
        ...


class Writer(Protocol):
    """`write` of a format module."""

    def __call__(
        self,
        dataset: Dataset,
        out: Path,
        options: WriteOptions = ...,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Report:
        """Write below the folder `out`; the report names files and losses."""
        ...


def bad(path: Path | str, item: str, what: str, hint: str = "") -> ImportFileError:
    """The error for an annotation file that cannot be imported: names the file and the item in it."""
    place = said(" ({0})", item) if item else ""
    return ImportFileError(
        said("Cannot import {0}{1}: {2}.", path, place, what),
        hint or "Correct the file or export it again from the program it came from.",
    )


def tick(progress: Progress | None, cancel: CancelToken | None, note: str | None = None, count: int = 1) -> None:
    """One step done: tells the watcher and stops when cancelling was asked for."""
    if cancel is not None:
        cancel.check()
    if progress is not None:
        progress.step(count, note)


def begin(progress: Progress | None, label: str, total: int) -> None:
    """Start a phase when somebody watches."""
    if progress is not None:
        progress.start(label, total)


class BadItems:
    """Decides what happens to damaged items: refuse the file, or skip and report (`ReadOptions.skip_bad`)."""

    def __init__(self, report: Report, skip: bool) -> None:
        self._report, self._skip = report, skip

    def handle(self, where: str, error: AppError) -> None:
        """Re-raise, or record that the item was left out."""
        if not self._skip:
            raise error
        self._report.add("skipped", where, error.user_message)


def count_dataset(report: Report, dataset: Dataset) -> None:
    """Fill the figures of `report` from what was read or written."""
    report.images = len(dataset.images)
    for image in dataset.images:
        report.instances += len(image.instances)
        for instance in image.instances:
            report.keypoints += sum(1 for k in instance.keypoints.values() if k.visibility > 0)
            report.masks += instance.mask is not None


def lost(items: Iterable[tuple[str, int, str]]) -> list[ReportItem]:
    """Loss lines for (what, how many or whether, why) where there is something to lose."""
    return [
        ReportItem("lost", as_text(what) if count is True else said("{0} x {1}", count, as_text(what)), why)
        for what, count, why in items
        if count
    ]
