"""Read and write `points.csv`: photo, width, height, instance, category, keypoint, x, y, visibility.

Coordinates are pixels of the photo as shown, corner origin (Kinmark's own frame), so nothing is converted. x and y are empty
for a keypoint that is absent; a keypoint without a row was not looked at.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path, PurePosixPath

from kinmark.plugins import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    KeypointSchema,
    KeypointVisibility,
    ReadOptions,
    Report,
    ReportItem,
    WriteOptions,
    bad,
    tick,
)

FILE = "points.csv"
COLUMNS = ("photo", "width", "height", "instance", "category", "keypoint", "x", "y", "visibility")


def read(path, options=ReadOptions(), progress=None, cancel=None):
    """The data set of a table; ImportFileError names the line that is wrong."""
    report = Report("points-csv")
    photos, names = {}, {}
    try:
        lines = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error):
        raise bad(path, "", "it is no CSV file in UTF-8") from None
    if not lines or not set(COLUMNS) <= set(lines[0]):
        raise bad(path, "line 1", f"the columns {', '.join(COLUMNS)} are expected")
    for number, line in enumerate(lines, start=2):
        tick(progress, cancel, line["photo"])
        keypoint = _keypoint(path, f"line {number}", line)
        size = _whole(path, number, line["width"]), _whole(path, number, line["height"])
        known_size, instances = photos.setdefault(line["photo"], (size, {}))
        if size != known_size:
            raise bad(path, f"line {number}", f"the size of {line['photo']} differs from that of an earlier line")
        points = instances.setdefault((line["instance"], line["category"]), {})
        if line["keypoint"] in points:
            raise bad(path, f"line {number}", f"the keypoint {line['keypoint']} comes twice")
        points[line["keypoint"]] = keypoint
        known = names.setdefault(line["category"], [])
        if line["keypoint"] not in known:
            known.append(line["keypoint"])
    images = tuple(
        DatasetImage(
            PurePosixPath(name),
            *size,
            tuple(DatasetInstance(category, points) for (_, category), points in instances.items()),
        )
        for name, (size, instances) in photos.items()
    )
    report.images, report.instances = len(images), sum(len(image.instances) for image in images)
    report.keypoints = len(lines)
    categories = tuple(DatasetCategory(name, KeypointSchema(tuple(points))) for name, points in names.items())
    return Dataset(categories, images), report


def _whole(path, number, text):
    if not (text or "").isdecimal() or int(text) < 1:
        raise bad(path, f"line {number}", f"{text!r} is no size")
    return int(text)


def _keypoint(path, where, line):
    try:
        visibility = KeypointVisibility(int(line["visibility"]))
        if visibility == KeypointVisibility.ABSENT:
            return DatasetKeypoint(visibility)
        x, y = float(line["x"]), float(line["y"])
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError("not finite")
    except (TypeError, ValueError):
        raise bad(path, where, "x and y must be numbers, visibility 0, 1 or 2") from None
    return DatasetKeypoint(visibility, x, y)


def losses(dataset, options=WriteOptions()):
    """What the table cannot hold."""
    every = [instance for image in dataset.images for instance in image.instances]
    masks, boxes = sum(i.mask is not None for i in every), sum(i.box is not None for i in every)
    bare = sum(not i.keypoints for i in every)
    return [
        ReportItem("lost", f"{count} x {what}", "the table holds keypoints only")
        for what, count in (("mask", masks), ("box", boxes), ("instance without keypoints", bare))
        if count
    ]


def write(dataset, out, options=WriteOptions(), progress=None, cancel=None):
    """`out/points.csv`; the report says what was left out."""
    report = Report("points-csv")
    report.items += losses(dataset, options)
    out.mkdir(parents=True, exist_ok=True)
    file: Path = out / FILE
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for image in dataset.images:
            tick(progress, cancel, str(image.rel_path))
            report.images += 1
            for number, instance in enumerate(image.instances, start=1):
                report.instances += bool(instance.keypoints)
                for name, point in instance.keypoints.items():
                    place = ("", "") if point.x is None else (repr(point.x), repr(point.y))
                    table.writerow(
                        (
                            image.rel_path,
                            image.width,
                            image.height,
                            number,
                            instance.category,
                            name,
                            *place,
                            int(point.visibility),
                        )
                    )
                    report.keypoints += 1
    report.files.append(str(file))
    return report
