"""What the demo runs on: the sample collection, or a person's own folder with a COCO file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from kinmark.engine.domain.errors import UnreadableImageError, UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_image_path, read_header
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.formats.dataset import Dataset, DatasetImage
from kinmark.projects.formats.registry import get_format
from kinmark.projects.workflows.demo.truth import placed, read_truth, samples_dir

MOST_PHOTOS = 60
"""Of an own folder, evenly chosen: a demo is to take minutes."""
SHOWN = 3


@dataclass(frozen=True)
class DemoPhotos:
    """Labelled photos: `truth` has their paths below `root`; `notes` say what was left out and why."""

    name: str
    root: Path
    truth: Dataset
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the order of `truth`."""
        return tuple(self.root / image.rel_path for image in self.truth.images)


def sample_photos() -> DemoPhotos:
    """The sample collection that is shipped."""
    return DemoPhotos("Sample collection", samples_dir(), read_truth())


def own_photos(folder: Path, labels: Path | None = None, most: int = MOST_PHOTOS) -> DemoPhotos:
    """Photos of a folder whose true labels are in a COCO file with keypoints.

    Args:
        labels: the COCO file; None = the one in the folder, or in its folder `annotations`.
        most: photos at most.

    Raises:
        UserInputError: no folder, no (or more than one) COCO file, photos that are not there, no keypoints, fewer than two
            labelled photos of every category. ImportFileError: the file is damaged.
    """
    if not folder.is_dir():
        raise UserInputError(said("There is no folder {0}.", folder), "Name the folder that holds the photos.")
    root = folder.resolve()
    file = labels or _only_coco_file(root)
    truth, _report = get_format("coco").reader(file, ReadOptions(images_root=root, skip_bad=True))
    if not any(category.schema.names for category in truth.categories):
        raise UserInputError(
            said("{0} has no keypoints.", file),
            "The demo places keypoints: it needs a COCO file whose categories name some.",
        )
    images, notes = _with_photos(truth, root, file)
    return _enough(DemoPhotos(folder.name or str(folder), root, replace(truth, images=images), notes), file, most)


def _only_coco_file(root: Path) -> Path:
    found = [
        path for path in (*sorted(root.glob("*.json")), *sorted(root.glob("annotations/*.json"))) if _is_coco(path)
    ]
    if not found:
        raise UserInputError(
            said("There is no COCO file in {0}.", root),
            "Put it beside the photos (or into its folder annotations), or name it with --labels FILE.",
        )
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in found[:SHOWN])
        raise UserInputError(
            said("There are {0} COCO files in {1}: {2}.", len(found), root, names), "Name one with --labels FILE."
        )
    return found[0]


def _is_coco(path: Path) -> bool:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and {"images", "annotations", "categories"} <= data.keys()


def _with_photos(truth: Dataset, root: Path, file: Path) -> tuple[tuple[DatasetImage, ...], tuple[str, ...]]:
    """The entries whose photo is there and as large as the labels say; what is wrong with the others."""
    files = [path for path in sorted(root.rglob("*")) if is_image_path(path)]
    by_name = Counter(path.name for path in files)
    alone = {path.name: path for path in files if by_name[path.name] == 1}
    images, missing, others = [], [], []
    for image in truth.images:
        beside = [root / image.rel_path, file.parent / image.rel_path, alone.get(image.rel_path.name)]
        path = next(
            (p.resolve() for p in beside if p is not None and p.is_file() and p.resolve().is_relative_to(root)), None
        )
        if path is None:
            missing.append(str(image.rel_path))
            continue
        try:
            width, height = read_header(path).size_wh
        except UnreadableImageError as error:
            others.append(str(error))
            continue
        if (width, height) != (image.width, image.height):
            others.append(
                f"{path.name} has {width} x {height} pixels, its labels are for {image.width} x {image.height}"
            )
            continue
        images.append(replace(image, rel_path=PurePosixPath(path.relative_to(root).as_posix())))
    named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
    if not images:
        reason = (
            f"none of the {len(missing)} photos of {file} is there ({named})" if missing else "; ".join(others[:SHOWN])
        )
        raise UserInputError(
            said("No labelled photo can be used in {0}: {1}.", root, reason or "the file names none"),
            "Name the folder that the file names in the COCO file are relative to.",
        )
    gone = [f"{len(missing)} photos of {file.name} are not in the folder: {named}"] if missing else []
    return tuple(images), (*gone, *others)


def _enough(found: DemoPhotos, file: Path, most: int) -> DemoPhotos:
    """Only categories with keypoints on two photos at least, and not more photos than asked for."""
    photos: Counter[str] = Counter()
    for image in found.truth.images:
        photos.update({i.category for i in image.instances if placed(i) and not i.crowd})
    usable = tuple(c for c in found.truth.categories if photos[c.name] > 1 and c.schema.names)
    notes = [
        f"{c.name} is left out: {_how_many(photos[c.name])} with keypoints"
        for c in found.truth.categories
        if c not in usable
    ]
    if not usable:
        raise UserInputError(
            said("{0} has keypoints on {1} only.", file, _how_many(sum(photos.values()))),
            "One is labelled and the others are proposed: at least two photos of one category need keypoints.",
        )
    names = {category.name for category in usable}
    images = [
        replace(image, instances=tuple(i for i in image.instances if i.category in names and placed(i) and not i.crowd))
        for image in found.truth.images
    ]
    images = [image for image in images if image.instances]
    if len(images) > most:
        notes.append(f"{most} of {len(images)} labelled photos are used, evenly chosen")
        fewer = tuple(images[i * len(images) // most] for i in range(most))
        cut = replace(found.truth, categories=usable, images=fewer)
        return _enough(replace(found, truth=cut, notes=(*found.notes, *notes)), file, most)
    return replace(
        found, truth=replace(found.truth, categories=usable, images=tuple(images)), notes=(*found.notes, *notes)
    )


def _how_many(count: int) -> str:
    return "one photo" if count == 1 else f"{count or 'no'} photos"
