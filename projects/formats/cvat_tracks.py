"""CVAT for video: tracks become labels of the photos that are their keyframes.

What a person set stands in keyframes; the frames between them are interpolated by CVAT and no labels. A track is one
individual. Frames are photos by their clip and number (`clips.frame_name`) or, where CVAT exported the pictures, by its
`frame_000012`.
"""

from __future__ import annotations

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
    size = root.find("meta//original_size")
    width, height = (size.findtext(side) if size is not None else None for side in ("width", "height"))
    if not width or not height:
        raise bad(path, "meta", "it holds tracks but tells no size of the frames (<original_size>)")
    clip = (root.findtext("meta/source") or root.findtext("meta//task/source") or "").strip()
    frames: dict[int, Element] = {}
    for number, track in enumerate(root.findall("track")):
        where = said("track {0}", track.get("id", number))
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
            if frame not in frames:
                frames[frame] = _image(path, clip, frame, (width, height))
            frames[frame].append(_labelled(shape, track, where))
    return [frames[frame] for frame in sorted(frames)]


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


def _image(path: Path, clip: str, frame: int, size: tuple[str, str]) -> Element:
    name = _exported(path, frame) or (str(frame_name(clip, frame)) if clip else f"frame_{frame:06d}")
    return Element("image", {"id": str(frame), "name": name, "width": size[0], "height": size[1], CLIP: clip})


def _exported(path: Path, frame: int) -> str:
    """The picture of a frame where CVAT stored it beside the annotations, relative to their folder; "" when not."""
    for folder in (path.absolute().parent / "images", path.absolute().parent):
        found = sorted(p for p in folder.glob(f"frame_{frame:06d}.*") if is_image_path(p))
        if found:
            return found[0].relative_to(path.absolute().parent).as_posix()
    return ""
