"""Write labelme JSON: one file per photo in the same folders, one "point" per keypoint, one "mask" per instance.

`group_id` joins what belongs to one instance. What labelme has no word for (absent keypoints, schema, scores) stands under
our own key "kinmark", which labelme keeps. Coordinates are xy_image. labelme itself is GPL: only its file format is used.
"""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.projects.formats.base import WriteOptions, begin, count_dataset, tick
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.exhaustive import image_words
from kinmark.projects.formats.files import copy_images, inside, write_atomically
from kinmark.projects.formats.outlines import outline_of

VERSION = "5.5.0"
OWN_KEY = "kinmark"


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Nothing is lost for us; labelme itself shows no schema and no absent keypoints."""
    del dataset, options
    return []


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `out/<folder>/<stem>.json` for every image (and the pictures beside them when asked)."""
    report = Report("labelme")
    begin(progress, "Writing labelme", len(dataset.images))
    names = _names(dataset, report)
    for image in dataset.images:
        target = inside(out, names[image.rel_path])
        data = to_labelme(image, dataset, _picture_path(image, target, options.copy_images))
        write_atomically(target, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False).encode())
        report.files.append(str(target))
        tick(progress, cancel, str(image.rel_path))
    count_dataset(report, dataset)
    if options.copy_images:
        copy_images(dataset, out, report, progress, cancel)
    return report


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Files of a name that labelme does not open by itself."""
    del options
    report = Report("labelme")
    _names(dataset, report)
    return report.items


def _names(dataset: Dataset, report: Report) -> dict[PurePosixPath, PurePosixPath]:
    """Photo -> its label file."""
    names: dict[PurePosixPath, PurePosixPath] = {}
    used: set[str] = set()
    for image in dataset.images:
        name = image.rel_path.with_suffix(".json")
        if str(name).lower() in used:  # a.jpg and a.png in one folder
            name = PurePosixPath(f"{image.rel_path}.json")
            report.count(
                "changed",
                "name of a label file",
                str(name),
                "another photo has its usual one; open this file in labelme",
            )
        used.add(str(name).lower())
        names[image.rel_path] = name
    return names


def _picture_path(image: DatasetImage, target: Path, copied: bool) -> str:
    """Relative to the JSON file: beside it when copied, else where the picture lies."""
    if copied or not image.source_path:
        return image.rel_path.name
    try:
        return Path(os.path.relpath(image.source_path, target.parent.resolve())).as_posix()
    except ValueError:  # another drive
        return image.rel_path.name


def to_labelme(image: DatasetImage, dataset: Dataset, image_path: str) -> dict[str, Any]:
    """The JSON-able dictionary of one photo."""
    shapes: list[dict[str, Any]] = []
    for number, instance in enumerate(image.instances, start=1):
        shapes += _shapes(instance, number)
    own = {
        "categories": [_schema(c) for c in dataset.categories],
        "instances": [_own_fields(n) for n in image.instances],
        "image": image_words(image),
    }
    return {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": image.height,
        "imageWidth": image.width,
        OWN_KEY: own,
    }


def _schema(category: DatasetCategory) -> dict[str, Any]:
    schema = category.schema
    return {
        "name": category.name,
        "supercategory": category.supercategory,
        "keypoints": list(schema.names),
        "skeleton": [list(e) for e in schema.edges],
        "pairs": [list(p) for p in schema.pairs],
    }


def _own_fields(instance: DatasetInstance) -> dict[str, Any]:
    absent = [n for n, k in instance.keypoints.items() if k.visibility == Visibility.ABSENT]
    scores = {n: k.score for n, k in instance.keypoints.items() if k.score is not None}
    return {
        "category": instance.category,
        "identity": instance.identity,
        "crowd": instance.crowd,
        "proposal": instance.proposal,
        "score": instance.score,
        "absent": absent,
        "scores": scores,
        "id": instance.original_id,
    }


def _shape(label: str, kind: str, points: list[list[float]], group: int, **more: Any) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": None,
        **more,
    }


def _shapes(instance: DatasetInstance, group: int) -> list[dict[str, Any]]:
    shapes = []
    if instance.box is not None:
        x0, y0, x1, y1 = instance.box
        shapes.append(_shape(instance.category, "rectangle", [[x0, y0], [x1, y1]], group))
    rings = outline_of(instance)
    for ring in rings or ():
        points = [[x, y] for x, y in zip(ring[::2], ring[1::2], strict=True)]
        shapes.append(_shape(instance.category, "polygon", points, group))
    if instance.mask is not None and not rings:
        corners, picture = crop_mask(instance.mask)
        shapes.append(_shape(instance.category, "mask", corners, group, mask=picture))
    for name, keypoint in instance.keypoints.items():
        if keypoint.x is not None and keypoint.y is not None and keypoint.visibility:
            flags = {"occluded": True} if keypoint.visibility == Visibility.HIDDEN else {}
            shapes.append(_shape(name, "point", [[keypoint.x, keypoint.y]], group, flags=flags))
    return shapes


def crop_mask(mask: MaskRLE) -> tuple[list[list[float]], str]:
    """labelme's mask: first and last pixel of the box (inclusive), and the crop as base64 PNG."""
    pixels = mask.decode()
    x0, y0, x1, y1 = (int(v) for v in mask.box) if mask.area else (0, 0, 1, 1)
    buffer = io.BytesIO()
    Image.fromarray(pixels[y0:y1, x0:x1].astype(np.uint8) * 255, "L").convert("1").save(buffer, "PNG")
    return [[float(x0), float(y0)], [float(x1 - 1), float(y1 - 1)]], base64.b64encode(buffer.getvalue()).decode("ascii")
