"""Writing Label Studio tasks: one file of tasks with their annotations, and the labelling configuration that fits them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.projects.formats.base import WriteOptions, begin, count_dataset, lost, tick
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetImage,
    DatasetInstance,
    Report,
    ReportItem,
)
from kinmark.projects.formats.exhaustive import image_words
from kinmark.projects.formats.files import copy_images, write_atomically
from kinmark.projects.formats.label_studio_read import FILE_NAME, OWN_KEY
from kinmark.projects.formats.outlines import outline_of


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What Label Studio cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    bare = sum(
        not any(k.visibility for k in n.keypoints.values()) and n.box is None and n.mask is None for n in instances
    )
    scores = sum(k.score is not None for n in instances for k in n.keypoints.values())
    return lost(
        [
            ("confidences of single keypoints", scores, "Label Studio has one per prediction"),
            ("instances without keypoints, box and mask", bare, "nothing to draw"),
        ]
    )


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `out/tasks.json` and the labelling set-up `out/config.xml` (and the pictures to `out/images/` when asked)."""
    report = Report("label-studio", items=losses(dataset, options))
    begin(progress, "Writing Label Studio", len(dataset.images))
    schemas = [
        {
            "name": c.name,
            "supercategory": c.supercategory,
            "keypoints": list(c.schema.names),
            "skeleton": [list(e) for e in c.schema.edges],
            "pairs": [list(p) for p in c.schema.pairs],
        }
        for c in dataset.categories
    ]
    tasks = []
    for number, image in enumerate(dataset.images, start=1):
        tasks.append(_task(number, image, schemas))
        tick(progress, cancel, str(image.rel_path))
    text = json.dumps(tasks, ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(out / FILE_NAME, text.encode("utf-8"))
    write_atomically(out / "config.xml", _config(dataset).encode("utf-8"))
    report.files += [str(out / FILE_NAME), str(out / "config.xml")]
    count_dataset(report, dataset)
    if options.copy_images:
        copy_images(dataset, out / "images", report, progress, cancel)
    report.add(
        "note", "photos", "tasks name them as /data/local-files/?d=<path>: serve the image folder as local storage"
    )
    return report


def _config(dataset: Dataset) -> str:
    from xml.sax.saxutils import quoteattr

    def labels(names: list[str]) -> str:
        return "".join(f"<Label value={quoteattr(n)}/>" for n in names)

    categories = [c.name for c in dataset.categories]
    points = list(dict.fromkeys(n for c in dataset.categories for n in c.schema.names))
    kinds = (
        ("RectangleLabels", "box", categories),
        ("PolygonLabels", "polygon", categories),
        ("BrushLabels", "brush", categories),
        ("KeyPointLabels", "keypoint", points),
    )
    tags = "".join(
        f'<{tag} name="{name}" toName="image">{labels(names)}</{tag}>' for tag, name, names in kinds if names
    )
    return f'<View><Image name="image" value="$image"/>{tags}</View>\n'


def _task(number: int, image: DatasetImage, schemas: list[dict[str, Any]]) -> dict[str, Any]:
    accepted: list[dict[str, Any]] = []
    pending: list[tuple[float, list[dict[str, Any]]]] = []
    for index, instance in enumerate(image.instances, start=1):
        regions = _regions(index, instance, image)
        if instance.proposal:
            pending.append((float(instance.score or 0.0), regions))
        else:
            accepted += regions
    own = {
        "categories": schemas,
        "instances": [_own_fields(n) for n in image.instances],
        "image": image_words(image),
    }
    return {
        "id": number,
        "data": {"image": f"/data/local-files/?d={quote(str(image.rel_path))}", OWN_KEY: own},
        "annotations": [{"result": accepted, "was_cancelled": False, "ground_truth": False}],
        "predictions": [{"model_version": "kinmark", "score": score, "result": regions} for score, regions in pending],
    }


def _own_fields(instance: DatasetInstance) -> dict[str, Any]:
    absent = [n for n, k in instance.keypoints.items() if k.visibility == Visibility.ABSENT]
    return {
        "category": instance.category,
        "identity": instance.identity,
        "crowd": instance.crowd,
        "proposal": instance.proposal,
        "score": instance.score,
        "absent": absent,
        "id": instance.original_id,
    }


def _regions(index: int, instance: DatasetInstance, image: DatasetImage) -> list[dict[str, Any]]:
    width, height = image.width, image.height
    regions: list[dict[str, Any]] = []
    first = ""

    def region(kind: str, from_name: str, value: dict[str, Any], label: str, **more: Any) -> None:
        nonlocal first
        key = f"kinmark-{index}-{len(regions)}"
        parent = {"parentID": first} if first else {}
        regions.append(
            {
                "id": key,
                "type": kind,
                "from_name": from_name,
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {**value, kind: [label]},
                **parent,
                **more,
            }
        )
        first = first or key

    if instance.box is not None:
        x0, y0, x1, y1 = instance.box
        value: dict[str, Any] = {
            "x": x0 * 100 / width,
            "y": y0 * 100 / height,
            "width": (x1 - x0) * 100 / width,
            "height": (y1 - y0) * 100 / height,
            "rotation": 0,
        }
        region("rectanglelabels", "box", value, instance.category)
    if instance.mask is not None:
        for ring in outline_of(instance) or ():
            points = [[x * 100 / width, y * 100 / height] for x, y in zip(ring[::2], ring[1::2], strict=True)]
            region("polygonlabels", "polygon", {"points": points, "closed": True}, instance.category)
        if not outline_of(instance):
            value = {"format": "rle", "rle": encode_brush(instance.mask.decode())}
            region("brushlabels", "brush", value, instance.category)
    for name, k in instance.keypoints.items():
        if k.x is not None and k.y is not None and k.visibility:
            more = {"meta": {"text": ["hidden"]}} if k.visibility == Visibility.HIDDEN else {}
            value = {"x": k.x * 100 / width, "y": k.y * 100 / height, "width": 0.5}
            region("keypointlabels", "keypoint", value, name, **more)
    return regions


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Label Studio's brush RLE of a boolean `[H, W]` (all four channels 255 where true)."""
    flat = np.repeat(mask.reshape(-1), 4)
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    starts = [0, *edges.tolist(), len(flat)]
    parts = [f"{len(flat):032b}", f"{7:05b}", *(f"{n - 1:04b}" for n in (3, 4, 8, 16))]
    for start, stop in pairwise(starts):
        value = f"{255 if flat[start] else 0:08b}"
        length = stop - start
        while length > 0:
            run = min(length, 1 << 16)
            for index, size in enumerate((3, 4, 8, 16)):
                if run <= 1 << size:
                    parts.append(f"1{index:02b}{run - 1:0{size}b}{value}")
                    break
            length -= run
    bits = "".join(parts)
    bits += "0" * (-len(bits) % 8)
    return np.packbits(np.frombuffer(bits.encode("ascii"), dtype=np.uint8) - 48).tolist()
