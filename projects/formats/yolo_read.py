"""Read YOLO pose and seg folders: data.yaml, the images of each split, and their label files."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_image_path, read_header, unreadable_kind
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, begin, drawn_size, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
)
from kinmark.projects.formats.finish import finish
from kinmark.projects.formats.outlines import outline_extra
from kinmark.projects.formats.polygons import MAX_POINTS, polygons_to_mask
from kinmark.projects.formats.yamlfile import load_yaml
from kinmark.projects.formats.yolo_classes import read_classes
from kinmark.projects.formats.yolo_paths import (
    SPLITS,
    below,
    is_folder,
    label_file,
    leads_out,
    looks_like_labels,
    root_of,
)

MARGIN = 0.01
MAX_NAMED = 5
_SHARES = "YOLO counts in shares of the photo: divide x by its width and y by its height."


def read_pose(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a pose data set: the folder with data.yaml, or that file."""
    return _read(path, True, options, progress, cancel)


def read_seg(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a segmentation data set: the folder with data.yaml, or that file."""
    return _read(path, False, options, progress, cancel)


def _read(
    path: Path, pose: bool, options: ReadOptions, progress: Progress | None, cancel: CancelToken | None
) -> tuple[Dataset, Report]:
    report = Report("yolo-pose" if pose else "yolo-seg")
    file = path / "data.yaml" if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise checks.bad(
            file,
            "",
            "the file is not there",
            "A YOLO data set needs it: a text with the lines train: images and names: [first class, second class].",
        )
    top = load_yaml(file)
    root = root_of(file, top.data, options.images_root)
    categories, count, dims = read_classes(top, pose, report)
    broken = BadItems(report, options.skip_bad)
    lists: set[Path] = set()
    found = _find_images(root, top, report, lists)
    begin(progress, "Reading YOLO", len(found))
    images: list[DatasetImage] = []
    used: dict[Path, PurePosixPath] = {}
    unlabelled: list[PurePosixPath] = []
    for relative, split in found:
        tick(progress, cancel, str(relative))
        try:
            header = read_header(root / relative)
            size = drawn_size(header.size_wh, header.orientation, options, relative)  # what the shares are of
            image = DatasetImage(
                relative, *size, split=split, orientation=header.orientation, size_told=False, shares=True
            )
            labels = label_file(root, relative)
            if labels is not None:
                if labels in used:
                    report.add(
                        "flagged",
                        str(relative),
                        said("its label file is also that of {0}; both have its labels", used[labels]),
                    )
                used[labels] = relative
                lines = _Lines(labels, image, categories, count, dims, report, broken)
                image = replace(image, instances=lines.read())
            else:
                unlabelled.append(relative)  # an image without objects needs no label file
            images.append(image)
        except AppError as error:
            broken.handle(str(relative), error)
    _account(root, found, used, unlabelled, lists, report)
    report.extra["images_root"] = str(root)
    return finish(Dataset(tuple(categories), tuple(images), root.name), report, options, path)


def _account(
    root: Path,
    found: list[tuple[PurePosixPath, str]],
    used: dict[Path, PurePosixPath],
    unlabelled: list[PurePosixPath],
    lists: set[Path],
    report: Report,
) -> None:
    """Say which label files belong to no photo, and how many photos have none."""
    orphans = [
        file.relative_to(root).as_posix()
        for file in sorted(root.rglob("*.[tT][xX][tT]"))
        if file not in used and file not in lists and file.is_file() and looks_like_labels(file)
    ]
    if orphans:
        names = ", ".join(orphans[:MAX_NAMED]) + (" ..." if len(orphans) > MAX_NAMED else "")
        report.add(
            "skipped",
            said("%n label files were not used: {0}", names, n=len(orphans)),
            "no photo of data.yaml has them: labels lie in labels/ where the photo lies in images/, with the photo's name",
        )
    if unlabelled:
        names = ", ".join(map(str, unlabelled[:MAX_NAMED])) + (" ..." if len(unlabelled) > MAX_NAMED else "")
        report.add(
            "flagged",
            said("{0} of {1} photos without a label file: {2}", len(unlabelled), len(found), names),
            "taken as unlabelled",
        )


def _find_images(root: Path, top: Item, report: Report, lists: set[Path]) -> list[tuple[PurePosixPath, str]]:
    """(path relative to the folder of data.yaml, split); each image once, in the first split that lists it.

    `lists` takes the text files that name photos.
    """
    found: dict[PurePosixPath, str] = {}
    unreadable: dict[Path, str] = {}
    place = top.data.get("path")
    starts = [root]
    inner = below(root, place) if isinstance(place, str) else None
    if inner is not None and inner != root:
        starts.insert(0, inner)
    elif inner is None and place is not None and not is_folder(place, root):
        report.add(
            "note", said("path: {0}", str(place)[:200]), "no such folder beside data.yaml; the one of data.yaml is used"
        )
    if not any(top.data.get(key) for key in SPLITS):
        report.add("skipped", "data.yaml", "it names no photos: the fields train and val are missing")
    _say_other_splits(top, starts, report)
    for key, split in SPLITS.items():
        value = top.data.get(key)
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, str):
                if entry is not None:
                    report.add(
                        "skipped", said("{0}: {1}", split, str(entry)[:80]), "a folder or a list file is expected"
                    )
                continue
            target = next((t for start in starts if (t := below(start, entry)) is not None), None)
            if target is None:
                out = any(leads_out(start, entry) for start in starts)
                why_out = "it is a link that leads out of the data set's folder; put the photos there"
                why_none = "there is no such folder beside data.yaml (if the data set lies elsewhere: --images)"
                report.add("skipped", said("{0}: {1}", split, entry[:200]), why_out if out else why_none)
                continue
            files = _listed(target, starts, split, report) if target.is_file() else sorted(target.rglob("*"))
            lists.update({target} if target.is_file() else ())
            for file in files:
                if file.is_file() and is_image_path(file):
                    if not file.resolve().is_relative_to(root.resolve()):
                        why = "links that lead out of the data set's folder are not followed; copy the photos there"
                        report.count("skipped", "photo that is a link", str(file), why)
                        continue
                    place = PurePosixPath(file.relative_to(root).as_posix())
                    if found.setdefault(place, split) != split:
                        report.count("flagged", "photo of several splits", str(place), "the first one counts")
                elif unreadable_kind(file):
                    unreadable[file] = unreadable_kind(file)
    for file, kind in unreadable.items():
        report.count("skipped", said("{0} photo", kind), str(file), "cannot be read")
    return list(found.items())


def _say_other_splits(top: Item, starts: list[Path], report: Report) -> None:
    """Fields of data.yaml that lead to a folder or list and are none of ours (minival ...)."""
    for key, value in top.data.items():
        if key in SPLITS or key == "path" or not isinstance(value, str) or not value:
            continue
        if any(below(start, value) not in (None, start) for start in starts):
            report.add(
                "skipped", said("{0}: {1}", str(key)[:80], value[:200]), "photos of train, val and test are read"
            )


def _listed(file: Path, starts: list[Path], split: str, report: Report) -> list[Path]:
    """The photos that a list file names, one a line."""
    result = []
    for line in checks.read_text(file).splitlines():
        text = line.strip()
        if not text:
            continue
        path = next((t for start in [*starts, file.parent] if (t := below(start, text)) is not None), None)
        if path is None or not path.is_file():
            report.count(
                "skipped",
                said("photo of {0} ({1})", file.name, split),
                text[:200],
                "there is no such file beside data.yaml",
            )
        else:
            result.append(path)
    return result


@dataclass
class _Lines:
    """The label file of one photo; a bad line is left out alone with `skip_bad`."""

    file: Path
    image: DatasetImage
    categories: list[DatasetCategory]
    count: int
    dims: int
    report: Report
    broken: BadItems

    def read(self) -> tuple[DatasetInstance, ...]:
        """The instances of the file."""
        instances = []
        for number, line in enumerate(checks.read_text(self.file).splitlines(), start=1):
            if line.strip():
                item = Item(self.file, said("line {0}", number), {})
                try:
                    instances.append(self._line(item, line))
                except AppError as error:
                    self.broken.handle(said("{0}: {1}", self.file, item.where), error)
        return tuple(instances)

    def _line(self, item: Item, line: str) -> DatasetInstance:
        try:
            values = [float(v) for v in line.split()]
        except ValueError:
            raise item.error("a line must hold numbers only", checks.comma_hint(line)) from None
        if not all(map(math.isfinite, values)):
            raise item.error("it holds NaN or an infinite number")
        index = checks.whole(values[0], item, "the class")
        if not 0 <= index < len(self.categories):
            raise item.error(
                said('the class is {0}, but "names" of data.yaml ends with {1}', index, len(self.categories) - 1),
                "Add its name to data.yaml, or leave such lines out with --skip-bad.",
            )
        category = self.categories[index]
        if len(values) == 5:
            what = "line without keypoints" if self.dims else "line without outline"
            self.report.count("flagged", what, said("{0}: {1}", self.file, item.where), "taken as a box")
            _check_shares(item, values[1:])
            return DatasetInstance(category.name, {}, _box(item, values[1:5], self.image), origin="imported")
        if not self.dims:
            return _outline(item, values[1:], self.image, category)
        expected = 5 + self.count * self.dims
        if len(values) != expected:
            other = (len(values) - 5) / self.count
            hint = (
                said(
                    "If each keypoint has {0} numbers, write kpt_shape: [{1}, {2}].",
                    f"{other:.0f}",
                    self.count,
                    f"{other:.0f}",
                )
                if other in (2, 3)
                else "A confidence or a track at the end makes it a prediction, no label: leave the last column out."
                if len(values) in (6, expected + 1)
                else ""
            )
            raise item.error(
                said("it has {0} columns, expected {1} (5 + {2} x {3})", len(values), expected, self.count, self.dims),
                hint,
            )
        shares = [v for i, v in enumerate(values[1:]) if not (self.dims == 3 and i >= 4 and (i - 4) % 3 == 2)]
        _check_shares(item, shares)
        self._say_unlabelled(item, values)
        return _pose(item, values[1:], self.image, category, self.dims)

    def _say_unlabelled(self, item: Item, values: list[float]) -> None:
        """Count places that mean nothing, and zeros that mean absent."""
        if self.dims == 3:
            places = sum(
                bool(not flag and (x or y)) for x, y, flag in zip(*(values[5 + i :: 3] for i in range(3)), strict=True)
            )
            if places:
                what, why = "place of an unlabelled keypoint (v = 0)", "absent keypoints have none"
                self.report.count("lost", what, said("{0}: {1}", self.file, item.where), why, places)
        if self.dims == 2:
            points = values[5:]
            zeros = sum(x == 0 and y == 0 for x, y in zip(points[::2], points[1::2], strict=True))
            if zeros:
                self.report.count(
                    "changed",
                    "keypoint at 0 0",
                    said("{0}: {1}", self.file, item.where),
                    "kpt_shape has no visibility: taken as absent",
                    zeros,
                )


def _check_shares(item: Item, values: list[float]) -> None:
    for value in values:
        if not -MARGIN <= value <= 1 + MARGIN:
            raise item.error(said("the coordinate {0} is not normalised to 0..1", value), _SHARES)


def _box(item: Item, values: list[float], image: DatasetImage) -> Box | None:
    """The box; None for 0 0 0 0, which stands for no box. One that is empty otherwise is left out by the checks."""
    cx, cy, w, h = values
    if w < 0 or h < 0:
        raise item.error(said("its box has the negative size {0} x {1}", f"{w:g}", f"{h:g}"))
    if not any(values):
        return None
    return (
        (cx - w / 2) * image.width,
        (cy - h / 2) * image.height,
        (cx + w / 2) * image.width,
        (cy + h / 2) * image.height,
    )


def _pose(item: Item, values: list[Any], image: DatasetImage, category: DatasetCategory, dims: int) -> DatasetInstance:
    points = values[4:]
    keypoints: dict[str, DatasetKeypoint] = {}
    for k, name in enumerate(category.schema.names):
        x, y = points[k * dims : k * dims + 2]
        state = 0 if x == 0 and y == 0 else 2
        if dims == 3:
            flag = points[k * dims + 2]
            if flag not in (0, 1, 2):
                raise item.error(
                    said("a visibility flag is {0}; 0, 1 or 2 is expected", f"{flag:g}"),
                    checks.CONFIDENCE,
                )
            state = int(flag)
        place = (x * image.width, y * image.height) if state else (None, None)
        keypoints[name] = DatasetKeypoint(Visibility(state), *place)
    return DatasetInstance(category.name, keypoints, _box(item, values[:4], image), origin="imported")


def _outline(item: Item, values: list[float], image: DatasetImage, category: DatasetCategory) -> DatasetInstance:
    if len(values) < 6 or len(values) % 2 or len(values) > 2 * MAX_POINTS:
        hint = (
            "A box with a confidence is a prediction, no label: leave the last column out." if len(values) == 5 else ""
        )
        raise item.error(
            said("an outline of {0} numbers cannot be drawn (an even count of at least 6 is needed)", len(values)), hint
        )
    if not all(-MARGIN <= v <= 1 + MARGIN for v in values):
        raise item.error("a coordinate is not normalised to 0..1", _SHARES)
    flat = [v * (image.height if i % 2 else image.width) for i, v in enumerate(values)]
    try:
        mask = polygons_to_mask([flat], image.height, image.width)
    except ValueError as error:
        raise item.error(said("the outline cannot be drawn: {0}", error)) from None
    return DatasetInstance(category.name, {}, None, mask, origin="imported", extra=outline_extra([flat], mask))
