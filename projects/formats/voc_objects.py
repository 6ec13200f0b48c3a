"""One <object> of a VOC file: its box (turned ones of roLabelImg too), its outline (Roboflow), and what has no place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.dataset import Report
from kinmark.projects.formats.rotated import box_around
from kinmark.projects.formats.xmlfile import Node

_READ = frozenset(
    {"name", "bndbox", "robndbox", "polygon", "part", "pose", "truncated", "occluded", "difficult", "type"}
)
"""What is used or said below. <type> names the kind of box only."""


@dataclass(frozen=True)
class VocObject:
    """`ring`: the outline as flat x, y ... or None."""

    label: str
    box: Box
    crowd: bool
    ring: list[float] | None


def read_object(node: Node, report: Report) -> VocObject:
    """Parse one object; ImportFileError names the file and the object."""
    label = (node.element.findtext("name") or "").strip()
    boxes = [*node.element.findall("bndbox"), *node.element.findall("robndbox")]
    if not label or not boxes:
        raise node.error("<name> or <bndbox> is missing")
    if len(boxes) > 1:
        raise node.error(said("it has {0} boxes", len(boxes)), "Write an <object> for each box.")
    where = said("{0}: {1}", node.path.name, node.where)
    inner = Node(node.path, node.where, boxes[0])
    box = _turned(inner, where, report) if boxes[0].tag == "robndbox" else _upright(inner, where, report)
    _say_rest(node, where, report)
    difficult = (node.element.findtext("difficult") or "0").strip() == "1"
    if difficult:
        report.count("note", "<difficult>", where, "kept as a crowd, which evaluations leave out as well")
    return VocObject(label, box, difficult, _ring(node, where, report))


def _upright(inner: Node, where: str, report: Report) -> Box:
    """1-based inclusive pixels as a box."""
    x0, y0, x1, y1 = (inner.child_number(t) for t in ("xmin", "ymin", "xmax", "ymax"))
    if x1 < x0 or y1 < y0:
        raise inner.error(said("the box ({0}, {1}, {2}, {3}) is turned inside out", x0, y0, x1, y1))
    if min(x0, y0) <= 0:
        report.count(
            "flagged", "box that begins at 0", where, "VOC counts pixels from 1: is the file from 0, half a pixel off?"
        )
    return x0 - 1, y0 - 1, x1, y1


def _turned(inner: Node, where: str, report: Report) -> Box:
    """roLabelImg: centre, size and an angle in radians, clockwise on the screen."""
    cx, cy, w, h, angle = (inner.child_number(t) for t in ("cx", "cy", "w", "h", "angle"))
    if w < 0 or h < 0:
        raise inner.error(said("the box has the negative size {0} x {1}", w, h))
    report.count("changed", "rotated box", where, "read as the upright box around it; the angle is lost")
    return box_around((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), math.degrees(angle) % 360)


def _ring(node: Node, where: str, report: Report) -> list[float] | None:
    """The outline of <polygon>: x1, y1, x2, y2 ... as they are."""
    found = node.element.findall("polygon")
    if len(found) > 1:
        report.count("lost", "further <polygon>", where, "the first one is read", len(found) - 1)
    ring: list[float] = []
    inner = Node(node.path, node.where, found[0]) if found else node
    while found and found[0].find(f"x{len(ring) // 2 + 1}") is not None:
        number = len(ring) // 2 + 1
        ring += [inner.child_number(f"x{number}"), inner.child_number(f"y{number}")]
    if found and len(ring) < 6:
        report.count("skipped", "<polygon>", where, "it encloses nothing: three points are needed")
        return None
    return ring or None


def _say_rest(node: Node, where: str, report: Report) -> None:
    """Count what an object says beyond its box."""
    parts = len(node.element.findall("part"))
    if parts:
        report.count("skipped", "<part>", where, "boxes of head, hand, foot are not imported", parts)
    for tag in ("truncated", "occluded"):
        if (node.element.findtext(tag) or "0").strip() not in ("0", ""):
            report.count("lost", f"<{tag}>", where, "there is no place for it")
    pose = (node.element.findtext("pose") or "").strip()
    if pose and pose.lower() != "unspecified":
        report.count("lost", "<pose>", where, "there is no place for it")
    for child in node.element:
        if child.tag not in _READ and _says_something(child):
            report.count("lost", f"<{str(child.tag)[:40]}>", where, "there is no place for it")


def _says_something(element: Element) -> bool:
    return any((e.text or "").strip() not in ("", "0") for e in element.iter())
