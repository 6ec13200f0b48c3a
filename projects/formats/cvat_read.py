"""Read CVAT for images 1.1 (XML, parsed safely): skeletons, points, boxes, polygons, masks, tags.

What carries the same `group_id` and label in an image is one instance (`grouping`). Of tracks (video XML) the keyframes are read
(`cvat_tracks`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from kinmark.engine.domain.errors import AppError, ImportFileError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, bad, begin, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.cvat_photos import PhotoPlaces
from kinmark.projects.formats.cvat_svg import edges_of
from kinmark.projects.formats.cvat_tracks import CLIP, images_of_tracks
from kinmark.projects.formats.cvat_write import ATTRIBUTES, DUMPED_BY, SHAPE_SUFFIX
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
)
from kinmark.projects.formats.finish import finish
from kinmark.projects.formats.grouping import Part, Shape, assemble, give_points
from kinmark.projects.formats.polygons import MAX_POINTS, polygons_to_mask
from kinmark.projects.formats.rotated import box_around, ellipse_ring
from kinmark.projects.formats.schemas import SchemaCollector, guess_pairs, unique_names
from kinmark.projects.formats.xmlfile import Node, load_xml

_REGIONS = ("box", "polygon", "mask", "ellipse")


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
        raise bad(path, "", said("it is no CVAT file (its root is <{0}>)", root.tag[:40]))
    collector = SchemaCollector(report)
    for category in _read_labels(path, root, report):
        collector.declare(category)
    broken = BadItems(report, options.skip_bad)
    elements = root.findall("image")
    if root.find("track") is not None:
        elements += images_of_tracks(path, root, report)
    begin(progress, "Reading CVAT", len(elements))
    images: list[DatasetImage] = []
    places = PhotoPlaces(path, elements)
    report.extra["oriented"] = root.findtext("meta/dumped_by") == DUMPED_BY
    for number, element in enumerate(elements):
        tick(progress, cancel)
        where = said("image {0}", str(element.get("name", number))[:194])
        try:
            images.append(_read_image(Node(path, where, element), places, options, collector, report, broken))
        except AppError as error:
            broken.handle(where, error)
    name = root.findtext("meta/task/name") or path.stem
    return finish(Dataset(collector.categories(), tuple(images), name), report, options, path)


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
        where = said("label {0}", name)
        names = unique_names(joints.get(name, []), where, report)
        if len(names) > checks.MAX_KEYPOINTS:
            raise bad(path, where, said("it has {0} joints", len(names)))
        edges = edges_of(element.findtext("svg") or "", names)
        result.append(DatasetCategory(name, KeypointSchema(tuple(names), edges, guess_pairs(names))))
    return result


def _read_image(
    node: Node,
    places: PhotoPlaces,
    options: ReadOptions,
    collector: SchemaCollector,
    report: Report,
    broken: BadItems,
) -> DatasetImage:
    item = Item(node.path, node.where, {"name": node.required("name")})
    width, height = checks.image_size(item, node.integer("width"), node.integer("height"))
    relative, pointer = places.of(item, node.element)
    split = node.element.get("subset") or ""
    image = DatasetImage(
        relative, width, height, split="" if split.lower() == "default" else split, pointer=pointer
    )  # "default" is CVAT's word for "no subset"
    clip = node.element.get(CLIP)
    if clip is not None:
        frame = {"clip": clip, "frame": node.integer("id"), "time_s": None}
        image = replace(image, extra={"video": frame} if clip else {}, any_suffix=not relative.suffix)
    groups: dict[int | str, list[Shape]] = {}
    tags: list[str] = []
    for number, child in enumerate(node.element):
        shape = Node(node.path, said("{0}, {1} {2}", node.where, child.tag, number), child)
        try:
            if child.tag == "tag":
                tags.append(shape.required("label"))
                _count_attributes(shape, {}, report)
            elif child.tag in ("skeleton", "points") or child.tag in _REGIONS:
                groups.setdefault(_group_key(shape, number), []).extend(_read_shape(shape, image, report))
            else:
                report.count("skipped", f"<{str(child.tag)[:40]}>", shape.where, "neither keypoints nor a region")
        except AppError as error:
            broken.handle(shape.where, error)
    instances = []
    for key, shapes in groups.items():
        where = said("{0}, group {1}", node.where, key) if isinstance(key, int) else said("{0}, {1}", node.where, key)
        parts = assemble([s for s in shapes if s.point is None], where, report)
        points = [(s.category, s) for s in shapes if s.point is not None]
        give_points(points, parts, options.category or "object", where, report)
        instances += [_instance(part, node, collector) for part in parts]
    return replace(image, instances=tuple(instances), tags=tuple(dict.fromkeys(tags)))


def _group_key(shape: Node, number: int) -> int | str:
    text = shape.element.get("group_id")
    if text is None or text.strip() in ("", "0"):
        return said("shape {0}", number)
    return shape.integer("group_id")


def _count_attributes(shape: Node, kept: dict[str, str], report: Report) -> dict[str, str]:
    """The attributes that we know; the others are counted by name."""
    for attribute in shape.element.findall("attribute"):
        name, value = attribute.get("name") or "", (attribute.text or "").strip()
        if name in ATTRIBUTES:
            kept[name] = value
        elif value:
            report.count("lost", said('attribute "{0}"', name[:60]), shape.where, "there is no place for it")
    return kept


def _read_shape(shape: Node, image: DatasetImage, report: Report) -> list[Shape]:
    label, element = shape.required("label"), shape.element
    fields = _count_attributes(shape, {}, report)
    if element.get("source") == "auto" and "proposal" not in fields:
        why = "read as a label; --as proposals leaves the decision to you"
        report.count("note", "shape that a model made (source auto)", shape.where, why)
    hidden = element.get("occluded") == "1"
    if (element.get("z_order") or "0").strip() not in ("0", ""):
        report.count("lost", "z_order", shape.where, "there is no place for it")
    if element.tag == "skeleton":
        if hidden:
            report.count("lost", "occluded of a whole skeleton", shape.where, "only its joints can be hidden")
        return [Shape(label, shape.where, keypoints=_joints(shape, report), fields=fields)]
    if element.tag == "points":
        points = shape.points("points")
        state = Visibility.HIDDEN if hidden else Visibility.VISIBLE
        values = [DatasetKeypoint(state, x, y) for x, y in points]
        if len(values) == 1 and (element.get("group_id") or "0") != "0":
            return [Shape(label, shape.where, point=values[0], fields=fields)]
        numbered = {str(number): value for number, value in enumerate(values, start=1)}
        return [Shape(label, shape.where, keypoints=numbered, fields=fields)]
    if hidden:
        report.count("lost", said("occluded of a {0}", element.tag), shape.where, "only keypoints can be hidden")
    category = label.removesuffix(SHAPE_SUFFIX)
    if element.tag == "box":
        return [Shape(category, shape.where, box=_box(shape, report), fields=fields)]
    ring: list[float] | None = None
    if element.tag == "mask":
        mask = _mask(shape, image)
    else:
        if element.tag == "ellipse":
            report.count("changed", "ellipse", shape.where, "read as an outline of 72 corners")
        ring = _ellipse(shape) if element.tag == "ellipse" else [v for p in shape.points("points") for v in p]
        mask = _draw(shape, ring, image)
    return [Shape(category, shape.where, mask=mask, ring=ring, fields=fields)]


def _joints(shape: Node, report: Report) -> dict[str, DatasetKeypoint]:
    keypoints: dict[str, DatasetKeypoint] = {}
    for child in shape.element:
        if child.tag not in ("points", "attribute"):
            report.count("skipped", said("<{0}> of a skeleton", str(child.tag)[:40]), shape.where, "joints are points")
    for child in shape.element.findall("points"):
        joint = Node(shape.path, said("{0}, {1}", shape.where, child.get("label")), child)
        name = joint.required("label")
        if name in keypoints:
            raise joint.error(
                said('the skeleton has two joints "{0}"', name), "Give each joint of the label its own name."
            )
        keypoints[name] = _joint(joint)
        _count_attributes(joint, {}, report)
    return keypoints


def _box(shape: Node, report: Report) -> Box:
    """The box; a turned one as the upright box around it."""
    x0, y0, x1, y1 = (shape.number(name) for name in ("xtl", "ytl", "xbr", "ybr"))
    angle = _angle(shape)
    if not angle:
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
    report.count("changed", "rotated box", shape.where, "read as the upright box around it; the angle is lost")
    return box_around((x0, y0, x1, y1), angle)


def _ellipse(shape: Node) -> list[float]:
    cx, cy, rx, ry = (shape.number(name) for name in ("cx", "cy", "rx", "ry"))
    return ellipse_ring((cx, cy), (rx, ry), _angle(shape))


def _angle(shape: Node) -> float:
    return shape.number("rotation") % 360 if (shape.element.get("rotation") or "").strip() else 0.0


def _joint(joint: Node) -> DatasetKeypoint:
    if joint.element.get("outside") == "1":
        return DatasetKeypoint(Visibility.ABSENT)
    points = joint.points("points")
    if len(points) != 1:
        raise joint.error("a joint must have exactly one point")
    [(x, y)] = points
    return DatasetKeypoint(Visibility.HIDDEN if joint.element.get("occluded") == "1" else Visibility.VISIBLE, x, y)


def _draw(shape: Node, ring: list[float], image: DatasetImage) -> MaskRLE:
    if not 3 <= len(ring) // 2 <= MAX_POINTS:
        raise shape.error(said("a polygon of {0} points cannot be drawn", len(ring) // 2))
    try:
        return polygons_to_mask([ring], image.height, image.width)
    except ValueError as error:
        raise shape.error(said("the polygon cannot be drawn: {0}", error)) from None


def _mask(shape: Node, image: DatasetImage) -> MaskRLE:
    left, top, width, height = (shape.integer(n) for n in ("left", "top", "width", "height"))
    if left < 0 or top < 0 or width <= 0 or height <= 0 or left + width > image.width or top + height > image.height:
        raise shape.error(said("the mask's box ({0}, {1}, {2} x {3}) leaves the image", left, top, width, height))
    checks.check_raster(Item(shape.path, shape.where, {}), image.width, image.height)
    try:
        runs = [int(v) for v in shape.required("rle").split(",")]
    except ValueError:
        raise shape.error("the mask's rle must be whole numbers with commas") from None
    if any(r < 0 for r in runs) or sum(runs) != width * height:
        raise shape.error(said("the mask's runs do not add up to {0} x {1}", width, height))
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    pixels = np.zeros((image.height, image.width), dtype=bool)
    pixels[top : top + height, left : left + width] = values
    return MaskRLE.encode(pixels)


def _instance(part: Part, node: Node, collector: SchemaCollector) -> DatasetInstance:
    collector.see(part.category, part.keypoints)
    fields = part.fields
    proposal = fields.get("proposal") == "1"
    keypoints = part.keypoints if any(k.visibility for k in part.keypoints.values()) else {}
    return DatasetInstance(
        part.category,
        keypoints,
        part.box,
        part.mask,
        fields.get("identity", ""),
        fields.get("crowd") == "1",
        proposal,
        _score(fields.get("score", ""), node),
        None,
        "proposal" if proposal else "imported",
        part.extra,
    )


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
