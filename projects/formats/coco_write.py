"""Write COCO keypoints + instances: `OUT/annotations.json`, re-read with pycocotools before it is called done.

Original ids are kept, new ones continue after them; masks go out as exact RLE unless polygons are wanted (and exact);
imported polygons that nobody changed go out as they came. `area` is the mask's area. Skeletons are 1-based.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.domain.geometry import Box, box_of_points, continuous_to_index, continuous_to_pixel
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import WriteOptions, begin, count_dataset, lost, tick
from kinmark.projects.formats.coco_verify import verify
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.exhaustive import is_said, lvis_fields
from kinmark.projects.formats.files import copy_images, write_atomically
from kinmark.projects.formats.outlines import outline_of
from kinmark.projects.formats.polygons import exact_polygons
from kinmark.projects.formats.schemas import suggested_sigmas

FILE_NAME = "annotations.json"


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What a COCO file cannot say about this data set."""
    rounded = options.keypoint_frame == "integer"
    empty = sum(
        n.box is None and n.mask is None and not any(k.visibility for k in n.keypoints.values())
        for i in dataset.images
        for n in i.instances
    )
    told = lost([("sub-pixel keypoint positions", rounded, "integer keypoints were asked for")])
    if empty:
        why = "their bbox is [0, 0, 0, 0], which some readers refuse"
        told.append(ReportItem("flagged", said("{0} x instances without box, mask and keypoints", empty), why))
    return told


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `out/annotations.json` (and the pictures when asked), re-read it with pycocotools, report."""
    report = Report("coco", items=losses(dataset, options))
    begin(progress, "Writing COCO", len(dataset.images))
    data = to_coco(dataset, options, report, progress, cancel)
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    file = out / FILE_NAME
    write_atomically(file, text.encode("ascii"))
    report.files.append(str(file))
    count_dataset(report, dataset)
    verify(file, dataset, data["info"]["keypoint_frame"], report)
    if options.copy_images:
        copy_images(dataset, out, report, progress, cancel)
    return report


def to_coco(
    dataset: Dataset,
    options: WriteOptions,
    report: Report,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """The JSON-able COCO dictionary."""
    frame = options.keypoint_frame if options.keypoint_frame != "auto" else choose_frame(dataset)
    kept = dataset.extra.get("coco", {})
    info = dict(kept.get("info") or {}) if isinstance(kept.get("info"), dict) else {}
    info.setdefault("description", dataset.name)
    info["keypoint_frame"] = frame
    category_ids = assign_ids([c.original_id for c in dataset.categories])
    image_ids = assign_ids([i.original_id for i in dataset.images])
    instances = [n for image in dataset.images for n in image.instances]
    instance_ids = iter(assign_ids([n.original_id for n in instances]))
    categories = {c.name: (key, c) for key, c in zip(category_ids, dataset.categories, strict=True)}
    lvis, names = is_said(dataset), {name: key for name, (key, _) in categories.items()}
    annotations: list[dict[str, Any]] = []
    for image_id, image in zip(image_ids, dataset.images, strict=True):
        for instance in image.instances:
            category_id, category = categories[instance.category]
            ids = {"id": next(instance_ids), "image_id": image_id, "category_id": category_id}
            annotations.append(ids | _annotation(instance, image, category, frame, options, report))
        tick(progress, cancel)
    return {
        "info": info,
        "licenses": kept.get("licenses") or [],
        "images": [
            _image(key, image) | (lvis_fields(image, dataset, names) if lvis else {})
            for key, image in zip(image_ids, dataset.images, strict=True)
        ],
        "annotations": annotations,
        "categories": [_category(key, c) for key, c in zip(category_ids, dataset.categories, strict=True)],
    }


def assign_ids(originals: list[int | str | None]) -> list[int]:
    """Ids >= 1, unique: originals are kept (the first of two equal ones), the others continue after the largest."""
    used: set[int] = set()
    result: list[int | None] = []
    for original in originals:
        key = original if isinstance(original, int) and original >= 1 and original not in used else None
        if key is not None:
            used.add(key)
        result.append(key)
    following = max(used, default=0) + 1
    final: list[int] = []
    for key in result:
        if key is None:
            key, following = following, following + 1
        final.append(key)
    return final


def choose_frame(dataset: Dataset) -> str:
    """ "pixel" when most accepted keypoints lie on pixel centres (they came from integers), else "continuous"."""
    centred = total = 0
    for image in dataset.images:
        for instance in image.instances:
            if instance.proposal:
                continue
            for keypoint in instance.keypoints.values():
                if keypoint.x is not None and keypoint.y is not None:
                    total += 1
                    centred += keypoint.x % 1 == 0.5 and keypoint.y % 1 == 0.5
    return "pixel" if total and centred * 2 > total else "continuous"


def _category(key: int, category: DatasetCategory) -> dict[str, Any]:
    row: dict[str, Any] = {**category.extra.get("coco", {}), "id": key, "name": category.name}
    row["supercategory"] = category.supercategory
    schema = category.schema
    if len(schema) or category.extra.get("has_keypoints"):
        row["keypoints"] = list(schema.names)
        row["skeleton"] = [[a + 1, b + 1] for a, b in schema.edges]
        row["keypoint_pairs"] = [[schema.names[a], schema.names[b]] for a, b in schema.pairs]
        row["sigmas"] = suggested_sigmas(schema, category.sigmas)
    return row


def _image(key: int, image: DatasetImage) -> dict[str, Any]:
    row: dict[str, Any] = {**image.extra.get("coco", {}), "id": key, "file_name": str(image.rel_path)}
    row |= {"width": image.width, "height": image.height}
    for name, value in (("split", image.split), ("tags", list(image.tags)), ("nothing_here", list(image.nothing_here))):
        if value:
            row[name] = value
    return row


def _number(value: float) -> float | int:
    """Whole floats as ints: shorter, and equal to what integer files held."""
    return int(value) if value == int(value) else value


def _annotation(
    instance: DatasetInstance,
    image: DatasetImage,
    category: DatasetCategory,
    frame: str,
    options: WriteOptions,
    report: Report,
) -> dict[str, Any]:
    kept = instance.extra.get("coco", {})
    row: dict[str, Any] = dict(kept)
    row.pop("segmentation", None)
    row["iscrowd"] = int(instance.crowd)
    if len(category.schema) or category.extra.get("has_keypoints"):
        row |= keypoint_fields(instance, image, category, frame)
    box = instance_box(instance)
    row["bbox"] = _xywh(box, kept.get("bbox"))
    unchanged = instance.mask is not None and instance.mask.counts == instance.extra.get("coco_mask")
    if instance.mask is not None:
        original = kept.get("segmentation") if unchanged else outline_of(instance)
        row["segmentation"] = original or _segmentation(instance.mask, instance.crowd, options)
    else:
        row.pop("segmentation", None)
    row["area"] = _area(instance, row, kept, unchanged)
    if box is None:
        report.add("flagged", str(image.rel_path), said('a "{0}" without box, mask and keypoints', instance.category))
    if instance.identity:
        row["identity"] = instance.identity
    if instance.proposal:
        row["proposal"] = True
        row["score"] = float(instance.score if instance.score is not None else 0.0)
    elif instance.score is not None:
        row["score"] = instance.score
    return row


def keypoint_fields(
    instance: DatasetInstance, image: DatasetImage, category: DatasetCategory, frame: str
) -> dict[str, Any]:
    """`keypoints`, `num_keypoints` and, where there are any, `keypoint_scores`, in the schema's order."""
    values: list[float | int] = []
    scores: list[float] = []
    labelled = 0
    for name in category.schema.names:
        keypoint = instance.keypoints.get(name)
        if keypoint is None or keypoint.x is None or keypoint.y is None or keypoint.visibility == 0:
            values += [0, 0, 0]
        else:
            x, y = to_frame(keypoint.x, keypoint.y, frame, image)
            values += [_number(x), _number(y), int(keypoint.visibility)]
            labelled += 1
        scores.append(float(keypoint.score) if keypoint is not None and keypoint.score is not None else 0.0)
    fields: dict[str, Any] = {"keypoints": values, "num_keypoints": labelled}
    if instance.proposal or any(k.score is not None for k in instance.keypoints.values()):
        fields["keypoint_scores"] = scores
    return fields


def to_frame(x: float, y: float, frame: str, image: DatasetImage) -> tuple[float, float]:
    """xy_image to the file's frame: "continuous", "pixel" (index, may be fractional) or "integer" (floor, clamped)."""
    if frame == "pixel":
        xy = continuous_to_index((x, y))
    elif frame == "integer":
        xy = continuous_to_pixel((x, y), (image.width, image.height)).astype(np.float64)
    else:
        return x, y
    return float(xy[0]), float(xy[1])


def instance_box(instance: DatasetInstance) -> Box | None:
    """The instance's own box, else that of its mask, else the extent of its labelled keypoints."""
    if instance.box is not None:
        return instance.box
    if instance.mask is not None and instance.mask.area:
        return instance.mask.box
    points = [
        (k.x, k.y) for k in instance.keypoints.values() if k.x is not None and k.y is not None and k.visibility > 0
    ]
    if not points:
        return None
    x0, y0, x1, y1 = box_of_points(points)
    # Strict readers refuse boxes without extent (Detectron2, MMPose): one keypoint takes one pixel.
    return x0, y0, max(x1, x0 + 1.0), max(y1, y0 + 1.0)


def _xywh(box: Box | None, original: Any) -> list[float | int]:
    if box is None:
        return [0, 0, 0, 0]
    values = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    if isinstance(original, list) and len(original) == 4 and np.allclose(values, original, rtol=0, atol=1e-6):
        return original
    return [_number(v) for v in values]


def _segmentation(mask: MaskRLE, crowd: bool, options: WriteOptions) -> Any:
    if options.masks == "polygon" and not crowd:
        polygons = exact_polygons(mask)
        if polygons is not None:
            return polygons
    return mask.to_coco()


def _area(instance: DatasetInstance, row: dict[str, Any], kept: dict[str, Any], unchanged: bool) -> float | int:
    """The mask's area; for what came from a file and was not changed, the file's own figure."""
    raw = kept.get("area")
    told: float | int = raw if isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw) else 0
    if instance.mask is not None:
        return told if told > 0 and unchanged and isinstance(row["segmentation"], list) else instance.mask.area
    if told > 0 and row["bbox"] == kept.get("bbox"):
        return told
    return _number(float(row["bbox"][2]) * float(row["bbox"][3]))
