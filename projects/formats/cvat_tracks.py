"""CVAT for video: tracks become labels of the photos that are their keyframes.

What a person set stands in keyframes; the frames between them are interpolated by CVAT and no labels. A track is one
individual. Frames are photos by their clip and number (`clips.frame_name`) or, where CVAT exported the pictures, by its
`frame_000012`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_image_path
from kinmark.projects.formats.base import bad
from kinmark.projects.formats.clips import frame_name
from kinmark.projects.formats.dataset import Report
from kinmark.projects.formats.xmlfile import Node

_SHAPES = ("box", "polygon", "points", "skeleton", "mask", "ellipse")
CLIP = "kinmark_clip"
"""Attribute of a made <image>: the clip's name, maybe empty."""


def images_of_tracks(path: Path, root: Element, report: Report) -> list[Element]:
    """An <image> element for every keyframe of the tracks, with the shapes that stand there.

    Raises:
        ImportFileError: no frame size is told, or a track has no readable frame number.
    """
    tasks = _tasks(path, root)
    frames: dict[tuple[str, int], Element] = {}
    for number, track in enumerate(root.findall("track")):
        where = said("track {0}", track.get("id", number))
        task = track.get("task_id", "") if len(tasks) > 1 else next(iter(tasks))
        if task not in tasks:
            raise bad(path, where, "the file holds several tasks; which one the track belongs to is not told (task_id)")
        if (track.get("group_id") or "0").strip() not in ("0", ""):
            report.count("lost", "group of a track", where, "each track is an individual of its own")
        for shape in track:
            if shape.tag not in _SHAPES:
                report.count(
                    "skipped", said("<{0}> of a track", str(shape.tag)[:40]), where, "neither keypoints nor a region"
                )
                continue
            frame = Node(path, where, shape).integer("frame")
            if not _is_keyframe(shape):
                report.count(
                    "skipped",
                    "interpolated shape of a track",
                    said("{0}, frame {1}", where, frame),
                    "keyframes are labels",
                )
                continue
            if shape.get("outside") == "1":
                continue  # the track ends or pauses here: there is nothing to see
            if (task, frame) not in frames:
                frames[task, frame] = _image(path, tasks[task], frame, alone=len(tasks) == 1)
            frames[task, frame].append(_labelled(shape, track, where))
    order = list(tasks)
    return [frames[key] for key in sorted(frames, key=lambda key: (order.index(key[0]), key[1]))]


@dataclass(frozen=True)
class _Task:
    """One clip: its file's name, the size of its frames, its subset."""

    clip: str
    width: str
    height: str
    subset: str


def _tasks(path: Path, root: Element) -> dict[str, _Task]:
    """{id: task}: the tasks of an exported project count their frames by themselves.

    Raises:
        ImportFileError: no frame size is told.
    """
    places = root.findall("meta//tasks/task") or [root]
    found: dict[str, _Task] = {}
    for place in places:
        size = place.find(".//original_size")
        width, height = (size.findtext(side) if size is not None else None for side in ("width", "height"))
        if not width or not height:
            raise bad(path, "meta", "it holds tracks but tells no size of the frames (<original_size>)")
        clip = (root.findtext("meta/source") or "") if place is root else ""
        clip = clip or place.findtext("source") or place.findtext("meta//task/source") or ""
        key = (place.findtext("id") or "").strip() if place is not root else ""
        found[key] = _Task(clip.strip(), width, height, (place.findtext("subset") or "").strip())
    return found


def _is_keyframe(shape: Element) -> bool:
    """A skeleton has keyframes where one of its joints has."""
    own = shape.get("keyframe", "1")
    return any(e.get("keyframe", own) == "1" for e in (shape.findall("points") or [shape]))


def _labelled(shape: Element, track: Element, where: str) -> Element:
    """The shape as in CVAT for images: with the track's label, and the track as identity unless it has a name."""
    shape.set("label", track.get("label") or "")
    shape.attrib.pop("group_id", None)  # a group joins tracks; each track is an individual of its own
    if not any(a.get("name") == "identity" for a in shape.findall("attribute")):
        SubElement(shape, "attribute", {"name": "identity"}).text = f"{track.get('label') or ''} {where}".strip()
    return shape


def _image(path: Path, task: _Task, frame: int, *, alone: bool) -> Element:
    name = _exported(path, frame) if alone else ""
    name = name or (str(frame_name(task.clip, frame)) if task.clip else f"frame_{frame:06d}")
    fields = {"id": str(frame), "name": name, "width": task.width, "height": task.height, CLIP: task.clip}
    return Element("image", {**fields, "subset": task.subset})


def _exported(path: Path, frame: int) -> str:
    """The picture of a frame where CVAT stored it beside the annotations, relative to their folder; "" when not."""
    for folder in (path.absolute().parent / "images", path.absolute().parent):
        found = sorted(p for p in folder.glob(f"frame_{frame:06d}.*") if is_image_path(p))
        if found:
            return found[0].relative_to(path.absolute().parent).as_posix()
    return ""
