"""Write CVAT for images 1.1: `OUT/annotations.xml` with skeletons, boxes and masks.

`group_id` joins what belongs to one instance. A skeleton label takes only skeletons in CVAT, so boxes and masks of a
category with keypoints go under "<category> (shape)". Coordinates are xy_image, written in full.
"""

from __future__ import annotations

import io
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.projects.formats.base import WriteOptions, begin, count_dataset, lost, tick
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.files import copy_images, write_atomically
from kinmark.projects.formats.outlines import outline_of

FILE_NAME = "annotations.xml"
SHAPE_SUFFIX = " (shape)"
ATTRIBUTES = ("identity", "score", "proposal", "crowd")
DUMPED_BY = "kinmark"
"""Stands in <meta>: such labels lie on the picture as it is shown (EXIF applied)."""


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What CVAT XML cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    scores = sum(k.score is not None for n in instances for k in n.keypoints.values())
    bare = sum(not n.keypoints and n.box is None and n.mask is None for n in instances)
    pairs = any(c.schema.pairs for c in dataset.categories)
    return lost(
        [
            ("confidences of single keypoints", scores, "CVAT has one per shape at most"),
            ("instances without keypoints, box and mask", bare, "nothing to draw"),
            ("left/right pairs", pairs, "guessed from the names when read again"),
            ("difference between absent and not looked at", any(n.keypoints for n in instances), 'both are "outside"'),
        ]
    )


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `out/annotations.xml` (and the pictures to `out/images/` when asked)."""
    report = Report("cvat", items=losses(dataset, options))
    begin(progress, "Writing CVAT", len(dataset.images))
    root = ElementTree.Element("annotations")
    _text(root, "version", "1.1")
    _write_meta(root, dataset)
    categories = {c.name: c for c in dataset.categories}
    for number, image in enumerate(dataset.images):
        _write_image(root, number, image, categories)
        tick(progress, cancel)
    buffer = io.BytesIO()
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(buffer, encoding="utf-8", xml_declaration=True)
    write_atomically(out / FILE_NAME, buffer.getvalue())
    report.files.append(str(out / FILE_NAME))
    count_dataset(report, dataset)
    if options.copy_images:
        copy_images(dataset, out / "images", report, progress, cancel)
    return report


def xml_text(text: str) -> str:
    """`text` without the characters that XML 1.0 cannot hold."""
    return "".join(
        c for c in text if c in "\t\n\r" or 0x20 <= ord(c) <= 0xD7FF or 0xE000 <= ord(c) <= 0xFFFD or ord(c) > 0xFFFF
    )


def _text(parent: ElementTree.Element, tag: str, text: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    element.text = xml_text(text)
    return element


def _write_meta(root: ElementTree.Element, dataset: Dataset) -> None:
    meta = ElementTree.SubElement(root, "meta")
    task = ElementTree.SubElement(meta, "task")
    _text(meta, "dumped_by", DUMPED_BY)
    _text(task, "name", dataset.name)
    _text(task, "size", str(len(dataset.images)))
    _text(task, "mode", "annotation")
    labels = ElementTree.SubElement(task, "labels")
    for category in dataset.categories:
        with_points = len(category.schema) > 0
        _label(labels, category.name, "skeleton" if with_points else "any")
        for name in category.schema.names:
            _text(_label(labels, name, "points"), "parent", category.name)
        if with_points:
            edges = ",".join(f"{a}-{b}" for a, b in category.schema.edges)
            label = labels.findall("label")[-1 - len(category.schema)]
            _text(label, "svg", _svg(category, edges))
            _label(labels, category.name + SHAPE_SUFFIX, "any")


def _label(labels: ElementTree.Element, name: str, kind: str) -> ElementTree.Element:
    label = ElementTree.SubElement(labels, "label")
    _text(label, "name", name)
    _text(label, "type", kind)
    attributes = ElementTree.SubElement(label, "attributes")
    if kind != "points":
        for attribute in ATTRIBUTES:
            entry = ElementTree.SubElement(attributes, "attribute")
            _text(entry, "name", attribute)
            _text(entry, "mutable", "False")
            _text(entry, "input_type", "text")
            _text(entry, "default_value", "")
            _text(entry, "values", "")
    return label


def _svg(category: DatasetCategory, edges: str) -> str:
    """CVAT's drawing of a skeleton: circles on a ring, lines for the edges (numbered from 1)."""
    count = len(category.schema)
    turn = 2 * np.pi * np.arange(count) / max(count, 1)
    x, y = 50 + 40 * np.cos(turn), 50 + 40 * np.sin(turn)
    lines = [
        f'<line x1="{x[a]:.2f}" y1="{y[a]:.2f}" x2="{x[b]:.2f}" y2="{y[b]:.2f}" data-type="edge" '
        f'data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in category.schema.edges
    ]
    circles = [
        f'<circle r="1.5" cx="{x[i]:.2f}" cy="{y[i]:.2f}" data-type="element node" data-element-id="{i + 1}" '
        f'data-node-id="{i + 1}"></circle>'
        for i in range(count)
    ]
    del edges
    return "".join(lines + circles)


def _write_image(
    root: ElementTree.Element, number: int, image: DatasetImage, categories: dict[str, DatasetCategory]
) -> None:
    fields = {
        "id": str(number),
        "name": xml_text(str(image.rel_path)),
        "width": str(image.width),
        "height": str(image.height),
    }
    if image.split:
        fields["subset"] = xml_text(image.split)
    element = ElementTree.SubElement(root, "image", fields)
    for tag in image.tags:
        ElementTree.SubElement(element, "tag", {"label": xml_text(tag), "source": "manual"})
    for group, instance in enumerate(image.instances, start=1):
        _write_instance(element, instance, categories[instance.category], group)


def _write_instance(
    parent: ElementTree.Element, instance: DatasetInstance, category: DatasetCategory, group: int
) -> None:
    common = {
        "source": "auto" if instance.proposal else "manual",
        "occluded": "0",
        "z_order": "0",
        "group_id": str(group),
    }
    shape = {"label": xml_text(category.name + (SHAPE_SUFFIX if len(category.schema) else "")), **common}
    first = None
    if instance.keypoints:
        first = ElementTree.SubElement(parent, "skeleton", {"label": xml_text(category.name), **common})
        for name in category.schema.names:
            _write_joint(first, name, instance)
    if instance.box is not None:
        x0, y0, x1, y1 = instance.box
        corners = {"xtl": repr(float(x0)), "ytl": repr(float(y0)), "xbr": repr(float(x1)), "ybr": repr(float(y1))}
        box = ElementTree.SubElement(parent, "box", shape | corners)
        first = first if first is not None else box
    rings = outline_of(instance) or []
    for ring in rings:
        points = ";".join(f"{x!r},{y!r}" for x, y in zip(ring[::2], ring[1::2], strict=True))
        polygon = ElementTree.SubElement(parent, "polygon", shape | {"points": points})
        first = first if first is not None else polygon
    if instance.mask is not None and not rings:
        x0, y0, x1, y1 = (int(v) for v in instance.mask.box) if instance.mask.area else (0, 0, 1, 1)
        rle = row_major_runs(instance.mask.decode()[y0:y1, x0:x1])
        place = {"left": str(x0), "top": str(y0), "width": str(x1 - x0), "height": str(y1 - y0)}
        mask = ElementTree.SubElement(parent, "mask", shape | {"rle": ", ".join(map(str, rle))} | place)
        first = first if first is not None else mask
    if first is not None:
        values = {
            "identity": instance.identity,
            "crowd": "1" if instance.crowd else "",
            "proposal": "1" if instance.proposal else "",
            "score": "" if instance.score is None else repr(instance.score),
        }
        for name in ATTRIBUTES:
            if values[name]:
                attribute = ElementTree.SubElement(first, "attribute", {"name": name})
                attribute.text = xml_text(values[name])


def _write_joint(parent: ElementTree.Element, name: str, instance: DatasetInstance) -> None:
    keypoint = instance.keypoints.get(name)
    there = keypoint is not None and keypoint.x is not None and keypoint.y is not None and keypoint.visibility > 0
    fields = {
        "label": xml_text(name),
        "source": "manual",
        "outside": "0" if there else "1",
        "occluded": str(int(keypoint is not None and keypoint.visibility == Visibility.HIDDEN)),
        "points": f"{float(keypoint.x)!r},{float(keypoint.y)!r}"
        if there and keypoint and keypoint.x is not None and keypoint.y is not None
        else "0.0,0.0",
    }
    ElementTree.SubElement(parent, "points", fields)


def row_major_runs(crop: NDArray[np.bool_]) -> list[int]:
    """CVAT's RLE of a boolean crop `[h, w]`: row-major run lengths, zeros first."""
    runs = [(bool(value), sum(1 for _ in group)) for value, group in groupby(crop.reshape(-1).tolist())]
    lengths = [length for _, length in runs]
    return [0, *lengths] if runs and runs[0][0] else lengths
