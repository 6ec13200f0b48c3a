"""The last step of every reader: one pass of checks over the neutral data set, the same for all formats.

A reader knows its file; what makes sense in a picture is known here: finite coordinates, masks of the picture's size,
keypoints of the schema, boxes with an extent, ids that stand once. What is damaged is refused or, with
`ReadOptions.skip_bad`, left out alone; what is odd but usable is kept and said.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_image_path
from kinmark.projects.formats.base import BadItems, ReadOptions, bad, count_dataset
from kinmark.projects.formats.checks import MAX_COORDINATE
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
)
from kinmark.projects.formats.names import composed, usable
from kinmark.projects.formats.outlines import outline_of
from kinmark.projects.formats.photo_names import name_key


def finish(dataset: Dataset, report: Report, options: ReadOptions, source: object = "") -> tuple[Dataset, Report]:
    """Check `dataset`, count it into `report`, and give both back.

    Args:
        source: the file or folder that error messages name.

    Raises:
        ImportFileError: an instance or image is damaged (unless `options.skip_bad`).
    """
    broken = BadItems(report, options.skip_bad)
    dataset = usable(composed(dataset, report), str(source), report, broken)
    names = {c.name: frozenset(c.schema.names) for c in dataset.categories}
    images: dict[tuple[str, str, str], DatasetImage] = {}
    ids: set[int | str] = set()
    for image in dataset.images:
        where = str(image.rel_path).encode("utf-8", "replace").decode()
        if where != str(image.rel_path):  # a project cannot hold such a name, and one photo is no reason to refuse all
            report.add("skipped", where, "the file name of the photo is not UTF-8; rename it, then import again")
            continue
        instances = []
        for number, instance in enumerate(image.instances, start=1):
            place = said("{0}: {1} {2}", where, instance.category, instance.original_id or number)
            try:
                instance = _check_instance(instance, image, names, place, str(source), report)
            except AppError as error:
                broken.handle(place, error)
                continue
            key = instance.original_id
            if key is not None and key in ids:
                report.count("changed", "id that stands twice in the file", place, "it gets a new one on export")
                instance = replace(instance, original_id=None)
            elif key is not None:
                ids.add(key)
            instances.append(instance)
        _say_twins(instances, where, report)
        try:
            _join(images, replace(image, instances=tuple(instances)), where, str(source), report)
        except AppError as error:
            broken.handle(where, error)
    checked = replace(dataset, images=tuple(images.values()))
    count_dataset(report, checked)
    return checked, report


def say_unlabelled(folder: Path, labelled: set[Path], report: Report) -> None:
    """Count the photos of a data set's folder that no label belongs to (they are not imported)."""
    if not folder.is_dir():
        return
    known = {(str(p.parent).casefold(), name_key(p.name)) for p in labelled}  # a.jpg of a label file may be A.JPEG
    found = sorted(
        p
        for p in folder.rglob("*")
        if is_image_path(p) and p.is_file() and (str(p.parent).casefold(), name_key(p.name)) not in known
    )
    if found:
        report.count(
            "note", "photo without labels", found[0].name, "not imported; add the folder to have it", len(found)
        )


def _join(
    images: dict[tuple[str, str, str], DatasetImage], image: DatasetImage, where: str, source: str, report: Report
) -> None:
    """Two entries of one photo are one photo with the labels of both."""
    key = (str(image.rel_path), image.pointer, image.label_folder if image.pointer else "")
    other = images.get(key)
    if other is None:
        images[key] = image
        return
    sizes = [(i.width, i.height) for i in (other, image)]
    if sizes[0] != sizes[1] and all(map(all, sizes)):
        what = said("two entries name it; one says {0} x {1}, the other {2} x {3}", *sizes[0], *sizes[1])
        raise bad(source, where, what, "Are they two photos of one name? Then write their folders into the file.")
    report.count("changed", "photo named by two entries", where, "the labels of both are joined")
    images[key] = replace(
        other,
        instances=other.instances + image.instances,
        tags=tuple(dict.fromkeys(other.tags + image.tags)),
        nothing_here=tuple(dict.fromkeys(other.nothing_here + image.nothing_here)),
        exhaustive={
            name: image.exhaustive.get(name, True) and other.exhaustive.get(name, True)
            for name in {**other.exhaustive, **image.exhaustive}
        },
    )


def _say_twins(instances: list[DatasetInstance], where: str, report: Report) -> None:
    """Count labels that stand twice, place for place; both are kept."""
    seen = set()
    for n in instances:
        if n.box is None and n.mask is None and not n.keypoints:
            continue
        places = tuple((name, k.x, k.y, k.visibility) for name, k in n.keypoints.items())
        key = (n.category, n.box, n.mask.counts if n.mask is not None else "", places, n.proposal, n.identity)
        if key in seen:
            report.count(
                "flagged",
                "instance that stands twice",
                where,
                said('the same "{0}" in the same place; both kept', n.category),
            )
        seen.add(key)


def _check_instance(
    instance: DatasetInstance,
    image: DatasetImage,
    names: dict[str, frozenset[str]],
    where: str,
    source: str,
    report: Report,
) -> DatasetInstance:
    known = names.get(instance.category)
    if known is None:
        raise bad(source, where, said('its category "{0}" is not among the categories', instance.category[:80]))
    strangers = [name for name in instance.keypoints if name not in known]
    if strangers:
        raise bad(
            source, where, said('"{0}" is no keypoint of the category "{1}"', strangers[0][:80], instance.category[:80])
        )
    _check_keypoints(instance.keypoints, image, where, source, report)
    if instance.mask is not None and image.width:
        size = (instance.mask.width, instance.mask.height)
        if size != (image.width, image.height):
            raise bad(
                source,
                where,
                said("its mask is {0} x {1}, the image {2} x {3}", size[0], size[1], image.width, image.height),
            )
        if not instance.mask.area:
            report.count("flagged", "mask without any pixel", where, "the outline encloses none; kept as it is")
        _check_outline(instance, image, where, report)
    instance = _check_box(instance, image, where, source, report)
    if not instance.keypoints and instance.box is None and instance.mask is None:
        report.count("flagged", "instance without keypoints, box and mask", where, "kept as a bare entry")
    return instance


def _check_outline(instance: DatasetInstance, image: DatasetImage, where: str, report: Report) -> None:
    rings = outline_of(instance) or ()
    # As for boxes, a pixel beyond the border is rounding.
    if any(
        min(values) < -1 or max(values) > limit + 1
        for ring in rings
        for values, limit in ((ring[::2], image.width), (ring[1::2], image.height))
    ):
        report.count("flagged", "outline reaching outside the image", where, "its mask ends at the border")


def _check_keypoints(
    keypoints: dict[str, DatasetKeypoint], image: DatasetImage, where: str, source: str, report: Report
) -> None:
    outside, at_zero = [], 0
    for name, keypoint in keypoints.items():
        if keypoint.visibility == Visibility.ABSENT:
            continue
        if keypoint.x is None or keypoint.y is None or not (math.isfinite(keypoint.x) and math.isfinite(keypoint.y)):
            raise bad(source, where, said('the keypoint "{0}" is labelled but has no place', name))
        if max(abs(keypoint.x), abs(keypoint.y)) > MAX_COORDINATE:
            raise bad(source, where, said('the keypoint "{0}" is absurdly far outside the image', name))
        if image.width and not (0 <= keypoint.x <= image.width and 0 <= keypoint.y <= image.height):
            outside.append(name)
        at_zero += max(keypoint.x, keypoint.y) <= 0.5 and min(keypoint.x, keypoint.y) >= 0
    if outside:
        report.count(
            "flagged",
            "keypoint outside the image",
            said("{0}, {1}", where, ", ".join(outside)),
            "kept although outside the image",
            len(outside),
        )
    if at_zero:
        report.count(
            "flagged", "labelled keypoint at (0, 0)", where, "kept; such files often mean an absent one", at_zero
        )


def _check_box(
    instance: DatasetInstance, image: DatasetImage, where: str, source: str, report: Report
) -> DatasetInstance:
    if instance.box is None:
        return instance
    x0, y0, x1, y1 = instance.box
    if not all(abs(v) <= MAX_COORDINATE for v in instance.box):  # also true for NaN
        raise bad(source, where, "its box is not finite or absurdly far outside the image")
    if x1 < x0 or y1 < y0:
        raise bad(source, where, said("its box ({0}, {1}, {2}, {3}) is turned inside out", x0, y0, x1, y1))
    if x1 == x0 or y1 == y0:
        report.count("changed", "empty box", where, "its box is empty and was left out")
        return replace(instance, box=None)
    # A pixel beyond the border is rounding of most tools; more is worth a look.
    if image.width and (x0 < -1 or y0 < -1 or x1 > image.width + 1 or y1 > image.height + 1):
        whole = x1 <= 0 or y1 <= 0 or x0 >= image.width or y0 >= image.height
        what = "box that lies outside the image" if whole else "box that reaches outside the image"
        report.count("flagged", what, where, "kept (is it [x, y, width, height] or corners?)")
    return instance
