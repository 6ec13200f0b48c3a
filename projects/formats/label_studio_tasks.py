"""Tasks of Label Studio taken apart: their photos, the annotation that is read, and which region belongs to which photo.

A labelling set-up may show several photos in one task (a list of pages, or several <Image> tags), and it may keep shape and
label in two entries of one id (<Labels> beside <Rectangle>).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_image_path
from kinmark.projects.formats.base import BadItems
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import Report

BARE = {
    "keypoint": "keypointlabels",
    "rectangle": "rectanglelabels",
    "polygon": "polygonlabels",
    "brush": "brushlabels",
    "ellipse": "ellipselabels",
}
"""Shapes whose label stands in an entry of its own."""
LABELS = "labels"
_PLACED = frozenset({*BARE, *BARE.values(), LABELS})
"""Entries that lie on a photo."""

Entry = tuple[int, Any]
"""A region's place in the file's list, and what stands there."""


def is_photo(value: Any) -> bool:
    """Whether a value of a task's data looks like the path or address of a photo."""
    return (
        isinstance(value, str)
        and bool(value)
        and is_image_path(Path(value.partition("?")[0] if "?d=" not in value else value))
    )


def photos_of(data: Item) -> list[str]:
    """The task's photo: `image`, else the first value that looks like one; all pages where that is a list."""
    for value in (data.data.get("image"), data.data.get("img"), *data.data.values()):
        if is_photo(value):
            return [value]
        if isinstance(value, list) and value and all(is_photo(v) for v in value):
            return list(value)
    raise data.error("it names no photo", "Only image tasks are imported.")


def chosen_annotation(task: Item, report: Report) -> dict[str, Any]:
    """The annotation that is read: the ground truth, else the first one that holds something; the others are counted."""
    found = [a for a in task.items("annotations", task.data.get("completions") or []) if isinstance(a, dict)]
    valid = [a for a in found if not a.get("was_cancelled")]
    if len(found) > len(valid):
        report.count("skipped", "cancelled annotation", task.where, "", len(found) - len(valid))
    drafts = task.data.get("drafts")
    if isinstance(drafts, list) and drafts:
        report.count("skipped", "draft", task.where, "only submitted annotations are read", len(drafts))
    chosen = next((a for a in valid if a.get("ground_truth") is True), None) or next(
        (a for a in valid if a.get("result")), valid[0] if valid else {}
    )
    for other in valid:
        if other is not chosen:
            who = other.get("completed_by")
            name = who.get("email") if isinstance(who, dict) else who
            why = "one of a task is read: the ground truth, else the first that holds something"
            report.count("skipped", said('annotation by "{0}"', name), task.where, why)
    return chosen


def labels_by_region(results: Iterable[Any]) -> dict[str, list[Any]]:
    """{region: its labels} of the entries that hold nothing else."""
    found: dict[str, list[Any]] = {}
    for raw in results:
        if not isinstance(raw, dict) or raw.get("type") != LABELS:
            continue
        value = raw.get("value")
        labels = value.get(LABELS) if isinstance(value, dict) else None
        if isinstance(labels, list):
            found.setdefault(str(raw.get("id")), []).extend(labels)
    return found


def by_photo(annotation: Item, photos: list[str], data: Item, broken: BadItems) -> dict[str, list[Entry]]:
    """The entries of an annotation by the photo that they lie on.

    Pages of a list are told by `item_index`, several <Image> tags by names that are fields of the task's data; relations
    stand where they begin.
    """
    entries = list(enumerate(annotation.items("result", [])))
    placed = [(n, raw) for n, raw in entries if isinstance(raw, dict) and str(raw.get("type")) in _PLACED]
    if len(photos) == 1 and len({str(raw.get("to_name")) for _, raw in placed}) < 2:
        return {photos[0]: entries}
    found: dict[str, list[Entry]] = {photo: [] for photo in photos}
    photo_of: dict[str, str] = {}
    for number, raw in placed:
        item = Item(annotation.path, said("{0}, region {1}", annotation.where, number), raw)
        try:
            photo = _page(item, photos) if len(photos) > 1 else _tag(item, data)
        except AppError as error:
            broken.handle(item.where, error)
            continue
        photo_of[str(raw.get("id"))] = photo
        found.setdefault(photo, []).append((number, raw))
    numbers = {number for number, _ in placed}
    for number, raw in entries:
        if number not in numbers:
            told = str(raw.get("from_id")) if isinstance(raw, dict) else ""
            found.setdefault(photo_of.get(told, photos[0]), []).append((number, raw))
    return found


def _page(item: Item, photos: list[str]) -> str:
    return photos[item.integer("item_index", 0, low=0, high=len(photos) - 1)]


def _tag(item: Item, data: Item) -> str:
    value = data.data.get(item.text("to_name"))
    if not is_photo(value):
        raise item.error(
            said(
                'the task shows several photos, and no field of its data is called "{0}" like the one of this region',
                item.text("to_name"),
            ),
            'Give each <Image> tag the name of its field (name="left" value="$left") and export again.',
        )
    return str(value)
