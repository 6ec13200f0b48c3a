"""Read PF-Pascal (Annotations/*.mat, pair lists) and PF-Willow (test_pairs.csv). Pixel indices come in as x + 0.5."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import index_to_continuous
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import read_header
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, bad, begin, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
)
from kinmark.projects.formats.finish import finish, say_unlabelled
from kinmark.projects.formats.matlab import MatlabError, read_arrays
from kinmark.projects.formats.pf import WILLOW_HEADER, WILLOW_POINTS

MAX_MAT = 200_000
"""Bytes of one .mat: published ones have about 500; compressed data cannot grow past some megabytes."""
_SPLITS = {"trn": "train", "val": "val", "test": "test"}


def read_pascal(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse the folder that holds Annotations/ and JPEGImages/ (or its parent); `extra["matlab"]`: 1-based numbers."""
    report = Report("pf-pascal")
    root = _pascal_root(path)
    files = sorted((root / "Annotations").glob("*/*.mat"))
    splits = _pascal_splits(root, report)
    higher = sorted((root / "Annotations").glob("*.mat"))
    if higher:
        report.count("skipped", "file of no class", higher[0].name, "Annotations/<class>/*.mat are read", len(higher))
    broken = BadItems(report, options.skip_bad)
    base = 1.0 if options.extra.get("matlab") else 0.0
    images: dict[str, DatasetImage] = {}
    counts: dict[str, int] = {}
    begin(progress, "Reading PF-Pascal", len(files))
    for file in files:
        tick(progress, cancel, file.name)
        category = file.parent.name
        try:
            kps, box = _load_mat(file)
            image = images.get(file.stem) or _picture(root, PurePosixPath("JPEGImages", f"{file.stem}.jpg"), file)
            instance = _instance(category, kps - base, box, file)
        except AppError as error:
            broken.handle(f"{category}/{file.name}", error)
            continue
        counts[category] = max(counts.get(category, 0), len(kps))
        images[file.stem] = replace(
            image, instances=(*image.instances, instance), split=splits.get(file.stem, image.split)
        )
    strangers = [name for name in splits if name not in {file.stem for file in files}]
    if strangers:
        report.count("skipped", "photo of the pairs without a .mat", strangers[0], "", len(strangers))
    say_unlabelled(root / "JPEGImages", {root / i.rel_path for i in images.values()}, report)
    dataset = Dataset(_numbered(counts), tuple(images.values()), root.name)
    report.extra["images_root"] = str(root)
    return finish(dataset, report, options, path)


def _pascal_root(path: Path) -> Path:
    for candidate in (path, path / "PF-dataset-PASCAL", path / "PF-PASCAL", path / "pf-pascal" / "PF-dataset-PASCAL"):
        if (candidate / "Annotations").is_dir() and (candidate / "JPEGImages").is_dir():
            return candidate
    raise bad(
        path, "", "it holds no Annotations and JPEGImages folders", "Give the folder PF-PASCAL or PF-dataset-PASCAL."
    )


def _pascal_splits(root: Path, report: Report) -> dict[str, str]:
    result: dict[str, str] = {}
    for split, name in reversed(_SPLITS.items()):
        for file in (root / f"{split}_pairs.csv", root.parent / f"{split}_pairs.csv"):
            if file.is_file():
                for row in _csv_rows(file)[1:]:
                    for stem in (PurePosixPath(cell).stem for cell in row[:2]):
                        if result.setdefault(stem, name) != name:
                            report.count("flagged", "photo of several splits", stem, "the later one counts")
                break
    return result


def _csv_rows(file: Path) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(checks.read_text(file))) if row]
    except csv.Error as error:
        raise bad(file, "", said("it is not valid CSV ({0})", error)) from None


def _load_mat(file: Path) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    data = checks.read_bytes(file, MAX_MAT)
    try:
        content = read_arrays(data, ("kps", "bbox"))
    except MatlabError as error:
        raise bad(file, "", said("it is no readable MATLAB 5 file ({0})", error)) from None
    if "kps" not in content:
        raise bad(file, "", 'it holds no "kps"')
    kps = content["kps"]
    box = content["bbox"].reshape(-1) if "bbox" in content else None
    if kps.ndim != 2 or kps.shape[1] != 2 or len(kps) > checks.MAX_KEYPOINTS:
        raise bad(file, "kps", said("N x 2 numbers are expected, found {0}", kps.shape))
    if box is not None and (
        box.shape != (4,) or not np.isfinite(box).all() or np.abs(box).max() > checks.MAX_COORDINATE
    ):
        raise bad(file, "bbox", "four finite numbers are expected")
    return kps, box


def _picture(root: Path, relative: PurePosixPath, source: Path) -> DatasetImage:
    file = checks.resolve_inside(root, relative)
    if file is None:
        raise bad(source, "", said("its picture {0} is not there", relative))
    header = read_header(file)
    return DatasetImage(relative, header.width, header.height, orientation=header.orientation, size_told=False)


def _instance(category: str, kps: NDArray[np.float64], box: NDArray[np.float64] | None, file: Path) -> DatasetInstance:
    keypoints = {}
    for i, (x, y) in enumerate(kps):
        if not (np.isfinite(x) and np.isfinite(y)):
            keypoints[str(i)] = DatasetKeypoint(Visibility.ABSENT)
            continue
        if max(abs(x), abs(y)) > checks.MAX_COORDINATE:
            raise bad(file, said("keypoint {0}", i), "it is absurdly far outside the image")
        px, py = (float(v) for v in index_to_continuous((x, y)))
        keypoints[str(i)] = DatasetKeypoint(Visibility.VISIBLE, px, py)
    corners = (float(box[0]), float(box[1]), float(box[2]), float(box[3])) if box is not None else None
    return DatasetInstance(category, keypoints, corners, origin="imported")


def _numbered(counts: dict[str, int]) -> tuple[DatasetCategory, ...]:
    return tuple(DatasetCategory(n, KeypointSchema(tuple(str(i) for i in range(c)))) for n, c in sorted(counts.items()))


def read_willow(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse the folder that holds test_pairs.csv, or that file; every image comes in once."""
    report = Report("pf-willow")
    file = next(
        (p for p in (path, path / "test_pairs.csv", path / "PF-WILLOW" / "test_pairs.csv") if p.is_file()), None
    )
    if file is None:
        raise bad(path, "", "it holds no test_pairs.csv", "Give the folder PF-WILLOW.")
    rows = _csv_rows(file)
    if not rows or len(rows[0]) != len(WILLOW_HEADER):
        raise bad(file, "line 1", said("{0} columns are expected", len(WILLOW_HEADER)))
    broken = BadItems(report, options.skip_bad)
    images: dict[PurePosixPath, DatasetImage] = {}
    begin(progress, "Reading PF-Willow", len(rows) - 1)
    for number, row in enumerate(rows[1:], start=2):
        tick(progress, cancel)
        item = Item(file, said("line {0}", number), {})
        try:
            if len(row) != len(WILLOW_HEADER):
                raise item.error(said("{0} columns are expected, found {1}", len(WILLOW_HEADER), len(row)))
            for side, start in ((0, 2), (1, 2 + 2 * WILLOW_POINTS)):
                _willow_image(file, item, row[side], row[start : start + 2 * WILLOW_POINTS], images)
        except AppError as error:
            broken.handle(item.where, error)
    categories = dict.fromkeys((n.category for i in images.values() for n in i.instances), WILLOW_POINTS)
    dataset = Dataset(_numbered(categories), tuple(images.values()), file.parent.name)
    report.extra["images_root"] = str(file.parent)
    return finish(dataset, report, options, path)


def _willow_image(
    file: Path, item: Item, name: str, values: list[str], images: dict[PurePosixPath, DatasetImage]
) -> None:
    relative = checks.relative_path(name, item)
    root = file.parent
    if len(relative.parts) < 3:
        raise item.error(said("{0} must be PF-dataset/<class>/<name>.png", repr(name[:100])))
    if checks.resolve_inside(root, relative) is None:
        relative = PurePosixPath(*relative.parts[1:])  # the other layout: without PF-dataset/
    if relative in images:
        return
    try:
        xy = np.asarray([float(v) for v in values], dtype=np.float64).reshape(2, WILLOW_POINTS).T
    except ValueError:
        raise item.error("a coordinate is no number") from None
    if not np.isfinite(xy).all():
        raise item.error("a coordinate is not finite")
    image = _picture(root, relative, file)
    images[relative] = replace(image, instances=(_instance(relative.parts[-2], xy, None, file),), split="test")
