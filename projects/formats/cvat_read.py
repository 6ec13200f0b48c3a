"""Read CVAT for images 1.1 (XML, parsed safely): skeletons, points, boxes, polygons, masks, tags.

What carries the same `group_id` in an image is one instance. Tracks (video XML) are refused with a hint.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from engine.domain.errors import AppError, ImportFileError
from engine.domain.geometry import Box
from engine.domain.keypoints import KeypointSchema, Visibility
from engine.domain.masks import MaskRLE
from engine.domain.progress import CancelToken, Progress
from projects.formats import checks
from projects.formats.base import BadItems, ReadOptions, bad, begin, count_dataset, tick
from projects.formats.checks import Item
from projects.formats.cvat_write import SHAPE_SUFFIX
from projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint, Report
from projects.formats.polygons import MAX_POINTS, polygons_to_mask
from projects.formats.schemas import SchemaCollector, guess_pairs, unique_names
from projects.formats.xmlfile import Node, load_xml

_EDGE = re.compile(r'data-node-from="(\d{1,5})"\s+data-node-to="(\d{1,5})"')
_REGIONS = ("box", "polygon", "mask")
_IGNORED = ("polyline", "ellipse", "cuboid")


@dataclass
class _Group:
    category: str = ""
    keypoints: dict[str, DatasetKeypoint] = field(default_factory=dict)
    box: Box | None = None
    mask: MaskRLE | None = None
    attributes: dict[str, str] = field(default_factory=dict)


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse the XML file; ImportFileError names file and item."""
    report = Report("cvat")
    root = load_xml(path)
    if root.tag != "annotations":
        raise bad(path, "", f"it is no CVAT file (its root is <{root.tag[:40]}>)")
    if root.find("track") is not None:
        raise bad(path, "", "it holds tracks (CVAT for video)", 'Export the task as "CVAT for images 1.1".')
    collector = SchemaCollector(report)
    for category in _read_labels(path, root, report):
        collector.declare(category)
    broken = BadItems(report, options.skip_bad)
    elements = root.findall("image")
    begin(progress, "Reading CVAT", len(elements))
    images: list[DatasetImage] = []
    seen: set[object] = set()
    for number, element in enumerate(elements):
        tick(progress, cancel)
        where = f"image {element.get('name', number)}"[:200]
        try:
            image = _read_image(Node(path, where, element), options, collector, report)
            if image.rel_path in seen:
                raise bad(path, where, "another image of the file has the same name")
            seen.add(image.rel_path)
            images.append(image)
        except AppError as error:
            broken.handle(where, error)
    name = root.findtext("meta/task/name") or path.stem
    dataset = Dataset(collector.categories(), tuple(images), name)
    count_dataset(report, dataset)
    return dataset, report


def _read_labels(path: Path, root: Element, report: Report) -> list[DatasetCategory]:
    """Skeleton labels with their joints and edges; other labels are categories without keypoints."""
    labels = [e for e in root.iter("label") if e.find("name") is not None]
    joints: dict[str, list[str]] = {}
    for element in labels:
        parent = (element.findtext("parent") or "").strip()
        if parent:
            joints.setdefault(parent, []).append((element.findtext("name") or "").strip())
    result = []
    for element in labels:
        name = (element.findtext("name") or "").strip()
        base = name.removesuffix(SHAPE_SUFFIX)
        if not name or (element.findtext("parent") or "").strip() or (base != name and base in joints):
            continue
        where = f"label {name}"
        names = unique_names(joints.get(name, []), where, report)
        if len(names) > checks.MAX_KEYPOINTS:
            raise bad(path, where, f"it has {len(names)} joints")
        edges = []
        for a, b in _EDGE.findall(element.findtext("svg") or ""):
            edge = (int(a) - 1, int(b) - 1)
            if 0 <= edge[0] < len(names) and 0 <= edge[1] < len(names) and edge[0] != edge[1] and edge not in edges:
                edges.append(edge)
        result.append(DatasetCategory(name, KeypointSchema(tuple(names), tuple(edges), guess_pairs(names))))
    return result


def _read_image(node: Node, options: ReadOptions, collector: SchemaCollector, report: Report) -> DatasetImage:
    item = Item(node.path, node.where, {"name": node.required("name")})
    width, height = checks.image_size(item, node.integer("width"), node.integer("height"))
    image = DatasetImage(
        checks.relative_path(item.text("name"), item), width, height, split=node.element.get("subset") or ""
    )
    groups: dict[int | str, _Group] = {}
    tags: list[str] = []
    for number, child in enumerate(node.element):
        shape = Node(node.path, f"{node.where}, {child.tag} {number}", child)
        if child.tag == "tag":
            tags.append(shape.required("label"))
        elif child.tag in ("skeleton", "points") or child.tag in _REGIONS:
            group = groups.setdefault(_group_key(shape, number), _Group())
            _read_shape(shape, image, group, report)
        elif child.tag in _IGNORED:
            report.add("skipped", shape.where, f"<{child.tag}> is neither keypoints nor a region")
    if image.split.lower() == "default":  # CVAT's word for "no subset"
        image = replace(image, split="")
    instances = tuple(_instance(group, node, options, collector) for group in groups.values())
    return replace(image, instances=instances, tags=tuple(dict.fromkeys(tags)))


def _group_key(shape: Node, number: int) -> int | str:
    text = shape.element.get("group_id")
    if text is None or text.strip() in ("", "0"):
        return f"shape {number}"
    return shape.integer("group_id")


def _read_shape(shape: Node, image: DatasetImage, group: _Group, report: Report) -> None:
    label, element = shape.required("label"), shape.element
    for attribute in element.findall("attribute"):
        group.attributes.setdefault(attribute.get("name") or "", (attribute.text or "").strip())
    if element.tag == "skeleton":
        group.category = label
        for child in element.findall("points"):
            joint = Node(shape.path, f"{shape.where}, {child.get('label')}", child)
            group.keypoints[joint.required("label")] = _joint(joint, image, report)
        return
    if element.tag == "points":
        points = shape.points("points")
        grouped = len(points) == 1 and (element.get("group_id") or "0") != "0"
        for number, (x, y) in enumerate(points, start=1):
            hidden = element.get("occluded") == "1"
            value = DatasetKeypoint(Visibility.HIDDEN if hidden else Visibility.VISIBLE, x, y)
            group.keypoints[label if grouped else str(number)] = value
        if not grouped:
            group.category = group.category or label
        return
    group.category = group.category or label.removesuffix(SHAPE_SUFFIX)
    if element.tag == "box":
        x0, y0, x1, y1 = (shape.number(name) for name in ("xtl", "ytl", "xbr", "ybr"))
        group.box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        return
    mask = _polygon(shape, image) if element.tag == "polygon" else _mask(shape, image)
    group.mask = mask if group.mask is None else MaskRLE.encode(group.mask.decode() | mask.decode())


def _joint(joint: Node, image: DatasetImage, report: Report) -> DatasetKeypoint:
    if joint.element.get("outside") == "1":
        return DatasetKeypoint(Visibility.ABSENT)
    points = joint.points("points")
    if len(points) != 1:
        raise joint.error("a joint must have exactly one point")
    [(x, y)] = points
    if not (0 <= x <= image.width and 0 <= y <= image.height):
        report.add("flagged", joint.where, "kept although outside the image")
    return DatasetKeypoint(Visibility.HIDDEN if joint.element.get("occluded") == "1" else Visibility.VISIBLE, x, y)


def _polygon(shape: Node, image: DatasetImage) -> MaskRLE:
    points = shape.points("points")
    if not 3 <= len(points) <= MAX_POINTS:
        raise shape.error(f"a polygon of {len(points)} points cannot be drawn")
    try:
        return polygons_to_mask([[v for p in points for v in p]], image.height, image.width)
    except ValueError as error:
        raise shape.error(f"the polygon cannot be drawn: {error}") from None


def _mask(shape: Node, image: DatasetImage) -> MaskRLE:
    left, top, width, height = (shape.integer(n) for n in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or width <= 0 or height <= 0 or left + width > image.width or top + height > image.height:
        raise shape.error(f"the mask's box ({left}, {top}, {width} x {height}) leaves the image")
    checks.check_raster(Item(shape.path, shape.where, {}), image.width, image.height)
    try:
        runs = [int(v) for v in shape.required("rle").split(",")]
    except ValueError:
        raise shape.error("the mask's rle must be whole numbers with commas") from None
    if any(r < 0 for r in runs) or sum(runs) != width * height:
        raise shape.error(f"the mask's runs do not add up to {width} x {height}")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    pixels = np.zeros((image.height, image.width), dtype=bool)
    pixels[top : top + height, left : left + width] = values
    return MaskRLE.encode(pixels)


def _instance(group: _Group, node: Node, options: ReadOptions, collector: SchemaCollector) -> DatasetInstance:
    category = group.category or options.category or "object"
    collector.see(category, group.keypoints)
    attributes = group.attributes
    proposal = attributes.get("proposal") == "1"
    score = _score(attributes.get("score", ""), node)
    keypoints = group.keypoints if any(k.visibility for k in group.keypoints.values()) else {}
    return DatasetInstance(
        category, keypoints, group.box, group.mask, attributes.get("identity", ""), attributes.get("crowd") == "1",
        proposal, score, None, "proposal" if proposal else "imported",
    )  # fmt: skip


def _score(text: str, node: Node) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        raise node.error("a score is not finite")
    return value


__all__ = ["ImportFileError", "read"]
