"""Re-read an exported COCO file with pycocotools and compare it with what was to be written."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from kinmark.engine.domain.errors import BugError
from kinmark.engine.domain.geometry import index_to_continuous
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report

TOLERANCE_PX = 1e-3


def verify(file: Path, dataset: Dataset, frame: str, report: Report) -> None:
    """Compare counts, sizes, categories, keypoints and masks; BugError names the first difference."""
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools talks while it indexes
        coco = COCO(str(file))
    images = coco.loadImgs(coco.getImgIds())
    annotations = coco.loadAnns(coco.getAnnIds())
    expected = [(image, instance) for image in dataset.images for instance in image.instances]
    _same(file, "images", len(dataset.images), len(images))
    _same(file, "instances", len(expected), len(annotations))
    if any(a["id"] < 1 for a in annotations):
        raise _differs(file, "annotation ids", ">= 1", "0 or less")
    paths = {i["id"]: i for i in images}
    for (image, instance), annotation in zip(expected, annotations, strict=True):
        row = paths[annotation["image_id"]]
        where = said("annotation {0} of {1}", annotation["id"], image.rel_path)
        _same(file, f"{where}: image", str(image.rel_path), row["file_name"])
        _same(file, f"{where}: size", (image.width, image.height), (row["width"], row["height"]))
        _same(file, f"{where}: category", instance.category, coco.cats[annotation["category_id"]]["name"])
        _compare_keypoints(file, where, instance, dataset.category(instance.category), annotation, frame, image)
        if instance.mask is not None and not _same_mask(coco, annotation, instance.mask):
            raise _differs(file, f"{where}: mask", f"{instance.mask.area} px", f"{coco.annToMask(annotation).sum()} px")
    report.extra["verified"] = (
        f"re-read with pycocotools: {len(images)} images, {len(annotations)} instances, equal to what was exported"
    )


def _same_mask(coco: COCO, annotation: dict[str, Any], mask: MaskRLE) -> bool:
    """Equal runs, or (an RLE may be written in more than one way) equal pixels."""
    rle = coco.annToRLE(annotation)
    counts = rle["counts"].decode("ascii") if isinstance(rle["counts"], bytes) else rle["counts"]
    if list(rle["size"]) == [mask.height, mask.width] and counts == mask.counts:
        return True
    return np.array_equal(coco.annToMask(annotation), mask.decode())


def _compare_keypoints(
    file: Path,
    where: str,
    instance: DatasetInstance,
    category: DatasetCategory,
    annotation: dict[str, Any],
    frame: str,
    image: DatasetImage,
) -> None:
    values = np.asarray(annotation.get("keypoints", []), dtype=np.float64).reshape(-1, 3)
    if "keypoints" not in annotation:
        _same(file, f"{where}: labelled keypoints", 0, sum(1 for k in instance.keypoints.values() if k.visibility > 0))
        return
    _same(file, f"{where}: number of keypoints", len(category.schema), len(values))
    _same(file, f"{where}: num_keypoints", int((values[:, 2] > 0).sum()), annotation["num_keypoints"])
    back = values[:, :2] if frame == "continuous" else index_to_continuous(values[:, :2])
    for (name, (x, y)), v in zip(
        zip(category.schema.names, back.tolist(), strict=True), values[:, 2].tolist(), strict=True
    ):
        keypoint = instance.keypoints.get(name)
        state = int(keypoint.visibility) if keypoint is not None and keypoint.x is not None else 0
        if state != v:
            raise _differs(file, f"{where}: visibility of {name}", state, int(v))
        if not state or keypoint is None or keypoint.x is None or keypoint.y is None:
            continue
        error = max(abs(x - keypoint.x), abs(y - keypoint.y))
        # floor moves by half a pixel at most; clamping moves points outside the image as far as they stood out.
        inside = 0 <= keypoint.x <= image.width and 0 <= keypoint.y <= image.height
        if error > (0.5 + TOLERANCE_PX if frame == "integer" else TOLERANCE_PX) and (frame != "integer" or inside):
            raise _differs(file, f"{where}: {name}", (keypoint.x, keypoint.y), (x, y))


def _same(file: Path, what: str, expected: object, found: object) -> None:
    if expected != found:
        raise _differs(file, what, expected, found)


def _differs(file: Path, what: str, expected: object, found: object) -> BugError:
    return BugError(
        said(
            "The COCO export {0} does not say what the project says ({1}: {2} became {3}).", file, what, expected, found
        ),
        "Keep the file away from others and report this; the project itself is unchanged.",
    )
