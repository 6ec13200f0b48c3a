"""Read COCO keypoints + instances (methods/formats.md#coco): polygons, both kinds of RLE, crowds, any number of keypoints.

Keypoint frame: COCO does not say whether (x, y) are pixel indices or continuous. A file whose labelled keypoints are all
written as whole numbers (`100`, not `100.0`) holds pixel indices (COCO people, AP-10K): they come in as x + 0.5. A file with
a decimal point is taken as continuous (CVAT, macaque, zebra, DeepLabCut exports). Our own exports say which they use in
`info.keypoint_frame`. The report says what was assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import index_to_continuous
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import read_header
from kinmark.projects.formats import checks, exhaustive
from kinmark.projects.formats.base import BadItems, ReadOptions, begin, drawn_size, tick
from kinmark.projects.formats.checks import CONFIDENCE, Item
from kinmark.projects.formats.coco_boxes import box_rotation, read_box
from kinmark.projects.formats.coco_masks import read_mask
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
)
from kinmark.projects.formats.finish import finish
from kinmark.projects.formats.polygons import reaches_far_outside
from kinmark.projects.formats.rotated import box_around
from kinmark.projects.formats.schemas import guess_pairs, skeleton_edges, unique_names

_ANNOTATION_FIELDS = frozenset(
    {
        "id",
        "image_id",
        "category_id",
        "keypoints",
        "num_keypoints",
        "iscrowd",
        "score",
        "keypoint_scores",
        "proposal",
        "identity",
    }
)
_IMAGE_FIELDS = frozenset({"id", "file_name", "width", "height", "split", "tags", "nothing_here"}) | exhaustive.FIELDS
_FILE_FIELDS = frozenset({"info", "licenses", "images", "annotations", "categories", "type"})
_CATEGORY_FIELDS = frozenset({"id", "name", "supercategory", "keypoints", "skeleton", "keypoint_pairs", "sigmas"})


@dataclass
class _Reading:
    """State of one reading: where to report, what was found so far."""

    path: Path
    report: Report
    bad: BadItems
    options: ReadOptions
    pixel_indices: bool
    guessed: bool
    categories: dict[int | str, DatasetCategory]
    lvis: set[int | str] = field(default_factory=set)


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a COCO json file; ImportFileError names file and item. Images themselves are not opened."""
    return read_data(path, checks.load_json(path), Report("coco"), options, progress, cancel)


def read_data(
    path: Path, data: Any, report: Report, options: ReadOptions, progress: Progress | None, cancel: CancelToken | None
) -> tuple[Dataset, Report]:
    """`read` of what was parsed already; `path` is named in errors."""
    if isinstance(data, list):
        raise checks.bad(
            path,
            "",
            "it is a bare list (a COCO *results* file); images and categories are missing",
            "Import the annotation file that the results belong to.",
        )
    top = Item(path, "top level", data)
    reading = _Reading(path, report, BadItems(report, options.skip_bad), options, True, True, {})
    reading.categories = _read_categories(top, reading)
    reading.pixel_indices, reading.guessed = _uses_pixel_indices(top, options.keypoint_frame)
    annotations = top.items("annotations", [])
    begin(progress, "Reading annotations", len(annotations))
    for name, value in top.data.items():
        if value and name not in _FILE_FIELDS:
            report.add("lost", said('"{0}" of the file', name[:60]), "there is no place for it")
    images = _read_images(top, reading)
    instances: dict[int | str, list[DatasetInstance]] = {key: [] for key in images}
    for number, raw in enumerate(annotations):
        _read_one(raw, number, images, instances, reading)
        if number % 200 == 199:
            tick(progress, cancel, count=200)
    _remark(annotations, reading)
    for key in reading.lvis & images.keys():
        images[key] = exhaustive.complete_by_lvis(images[key], instances[key])
    dataset = Dataset(
        tuple(reading.categories.values()),
        tuple(replace(images[key], instances=tuple(instances[key])) for key in images),
        path.stem,
        {"coco": {k: checks.plain(data[k]) for k in ("info", "licenses") if k in data}},
    )
    report.extra["keypoint_frame"] = "pixel" if reading.pixel_indices else "continuous"
    info = data.get("info")
    report.extra["oriented"] = isinstance(info, dict) and "keypoint_frame" in info
    return finish(dataset, report, options, path)


def _remark(annotations: list[Any], reading: _Reading) -> None:
    """What was assumed about the keypoints of the file as a whole."""
    triples = [v for a in annotations if isinstance(a, dict) and isinstance(v := a.get("keypoints"), list) and v]
    if not triples:
        return
    if reading.guessed:
        reading.report.add(
            "note",
            "keypoint frame",
            "whole numbers: read as pixel indices, half a pixel was added (--keypoint-frame continuous, if they are not)"
            if reading.pixel_indices
            else "numbers with a decimal point: read as continuous, nothing was added (--keypoint-frame pixel, if they are indices)",
        )
    flags = {v for values in triples for v in values[2::3] if isinstance(v, int | float) and not isinstance(v, bool)}
    if flags and flags <= {0, 1} and 1 in flags:
        reading.report.add(
            "flagged",
            "visibility",
            "no keypoint of the file has the flag 2: all labelled ones came in as hidden (1 = hidden in COCO)",
        )


def _read_one(
    raw: Any,
    number: int,
    images: dict[int | str, DatasetImage],
    instances: dict[int | str, list[DatasetInstance]],
    reading: _Reading,
) -> None:
    where = _place_of("annotation {0}", raw, number)
    try:
        item = Item(reading.path, where, raw)
        if "segments_info" in item.data:
            raise item.error("it is a COCO panoptic file", "Only instances and keypoints are read.")
        image_id = item.key("image_id")
        if image_id not in images:
            raise item.error(said("its image_id {0} is not among the images", image_id))
        instances[image_id].append(_read_annotation(item, images[image_id], reading))
    except AppError as error:
        reading.bad.handle(where, error)


def _place_of(template: str, raw: Any, number: int) -> str:
    told = raw.get("id") if isinstance(raw, dict) else None
    return said(template, str(told)[:80] if told is not None else said("at position {0}", number))


def _say_id(key: int | str, where: str, report: Report) -> None:
    """COCO's ids are whole numbers from 1; others are read, and said."""
    if isinstance(key, str):
        report.count("changed", "id that is a text", where, "it gets a number on export")
    elif key < 1:
        what = "category id below 1" if where.startswith("category") else "image id below 1"
        report.count("changed", what, where, "it gets a new one on export")


def _read_categories(top: Item, reading: _Reading) -> dict[int | str, DatasetCategory]:
    result: dict[int | str, DatasetCategory] = {}
    names: set[str] = set()
    for number, raw in enumerate(top.items("categories")):
        item = Item(reading.path, said("category {0}", number), raw)
        key = item.key("id")
        item.where = said("category {0}", key)
        if key in result:
            raise item.error("its id stands twice among the categories")
        _say_id(key, item.where, reading.report)
        category = _read_category(item, reading.report)
        if category.name in names:
            fresh = f"{category.name} ({key})"
            reading.report.add(
                "changed", item.where, said('its name "{0}" stands twice; it is now "{1}"', category.name, fresh)
            )
            category = replace(category, name=fresh)
        names.add(category.name)
        result[key] = category
    return result


def _read_category(item: Item, report: Report) -> DatasetCategory:
    name = item.text("name").strip()
    if not name:
        raise item.error("its name is empty")
    raw_names = item.items("keypoints", [])
    if len(raw_names) > checks.MAX_KEYPOINTS:
        raise item.error(said("it has {0} keypoints; the limit is {1}", len(raw_names), checks.MAX_KEYPOINTS))
    names = unique_names(
        [Item(item.path, item.where, {"keypoint": n}).text("keypoint") for n in raw_names], item.where, report
    )
    edges: list[tuple[int, int]] = []
    for raw in item.items("skeleton", []):
        if not isinstance(raw, list) or len(raw) != 2:
            raise item.error("each entry of its skeleton must be a pair [a, b]")
        edges.append((checks.whole(raw[0], item, "a skeleton entry"), checks.whole(raw[1], item, "a skeleton entry")))
    schema = KeypointSchema(
        tuple(names), skeleton_edges(edges, len(names), item.where, report), _read_pairs(item, names)
    )
    sigmas = tuple(item.numbers("sigmas")) if isinstance(item.data.get("sigmas"), list) else ()
    extra = {k: checks.plain(v) for k, v in item.data.items() if k not in _CATEGORY_FIELDS}
    super_name = item.text("supercategory", "") if item.data.get("supercategory") is not None else ""
    return DatasetCategory(
        name,
        schema,
        super_name,
        _number(item.key("id")),
        sigmas if len(sigmas) == len(names) else (),
        {"coco": extra, "has_keypoints": "keypoints" in item.data},
    )


def _read_pairs(item: Item, names: list[str]) -> tuple[tuple[int, int], ...]:
    """Our exports' `keypoint_pairs` (names); else guessed from the names."""
    raw = item.data.get("keypoint_pairs")
    if not isinstance(raw, list):
        return guess_pairs(names)
    place = {n: i for i, n in enumerate(names)}
    pairs: list[tuple[int, int]] = []
    for entry in raw:
        if not isinstance(entry, list) or len(entry) != 2 or not all(isinstance(n, str) and n in place for n in entry):
            raise item.error("each entry of its keypoint_pairs must name two of its keypoints")
        pairs.append((place[entry[0]], place[entry[1]]))
    return tuple(pairs)


def _number(key: int | str) -> int | None:
    return key if isinstance(key, int) else None


def _read_images(top: Item, reading: _Reading) -> dict[int | str, DatasetImage]:
    result: dict[int | str, DatasetImage] = {}
    for number, raw in enumerate(top.items("images")):
        where = _place_of("image {0}", raw, number)
        try:
            item = Item(reading.path, where, raw)
            key = item.key("id")
            if key in result:
                raise item.error("its id stands twice among the images")
            image = _read_image(item, reading)
            if exhaustive.is_lvis(item):
                reading.lvis.add(key)
            _say_id(key, where, reading.report)
            result[key] = image
        except AppError as error:
            reading.bad.handle(where, error)
    return result


def _read_image(item: Item, reading: _Reading) -> DatasetImage:
    relative, pointer = checks.photo_path(exhaustive.photo_name(item), item)
    told = any(item.data.get(side) for side in ("width", "height"))
    if told:
        width, height = checks.image_size(item, item.required("width"), item.required("height"))
    else:
        width, height = _size_of_photo(item, relative, reading)
    split = item.data.get("split")
    names = {key: category.name for key, category in reading.categories.items()}
    return exhaustive.read_fields(
        DatasetImage(
            relative,
            width,
            height,
            split=split if isinstance(split, str) else "",
            tags=_strings(item.data.get("tags")),
            nothing_here=_strings(item.data.get("nothing_here")),
            original_id=_number(item.key("id")),
            extra={"coco": {k: checks.plain(v) for k, v in item.data.items() if k not in _IMAGE_FIELDS}},
            pointer=pointer,
            size_told=told,
        ),
        item,
        names,
    )


def _size_of_photo(item: Item, relative: PurePosixPath, reading: _Reading) -> tuple[int, int]:
    """Files of other tools may leave width and height out, or 0: they are asked of the photo."""
    root, near = reading.options.images_root, reading.path.parent
    folders = [root] if root is not None else [near, near / "images"]
    path = next((p for f in folders if (p := checks.resolve_inside(f, relative)) is not None), None)
    if path is None:
        raise item.error(
            "it has no width and height, and the photo does not lie beside the file",
            "Write them into the file, or say with --images where the photos are.",
        )
    header = read_header(path)
    reading.report.count("note", "photo without width and height", item.where, "taken from the photo itself")
    return drawn_size(header.size_wh, header.orientation, reading.options, relative)


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _uses_pixel_indices(top: Item, wanted: str) -> tuple[bool, bool]:
    """(whether keypoints are pixel indices, whether that was guessed from how the labelled ones are written)."""
    if wanted in ("pixel", "continuous"):
        return wanted == "pixel", False
    info = top.data.get("info")
    told = info.get("keypoint_frame") if isinstance(info, dict) else None
    if told in ("pixel", "continuous", "integer"):
        return bool(told != "continuous"), False
    for annotation in top.items("annotations", []):
        values = annotation.get("keypoints") if isinstance(annotation, dict) else None
        if not isinstance(values, list):
            continue
        for x, y, state in zip(values[::3], values[1::3], values[2::3], strict=False):
            if isinstance(state, int | float) and state > 0 and (isinstance(x, float) or isinstance(y, float)):
                return False, True
    return True, True


def _read_annotation(item: Item, image: DatasetImage, reading: _Reading) -> DatasetInstance:
    category_id = item.key("category_id")
    if category_id not in reading.categories:
        raise item.error(said("its category_id {0} is not among the categories", category_id))
    category = reading.categories[category_id]
    told_crowd = item.data.get("iscrowd")
    crowd = bool(told_crowd if isinstance(told_crowd, bool | None) else item.integer("iscrowd", low=0, high=1))
    told = item.key("id") if item.data.get("id") is not None else -1
    original = told if isinstance(told, int) else -1
    if isinstance(told, str):
        _say_id(told, item.where, reading.report)
    elif original < 1:
        why = "0 breaks pycocotools; it gets a new one on export"
        reading.report.count("changed", "annotation without an id of 1 or more", item.where, why)
    mask = read_mask(item, image, reading.report)
    score = item.optional_number("score")
    attributes = item.data.get("attributes")
    identity = item.data.get("identity") or (attributes.get("identity") if isinstance(attributes, dict) else None)
    extra = {k: checks.plain(v) for k, v in item.data.items() if k not in _ANNOTATION_FIELDS}
    if isinstance(extra.get("segmentation"), dict) or mask is None or reaches_far_outside(extra["segmentation"], mask):
        extra.pop("segmentation", None)  # the mask itself is exact; only sane polygons are kept as they were drawn
    proposal = item.data.get("proposal") is True
    box = read_box(item)
    angle = box_rotation(item)
    if box is not None and angle and mask is None:
        # CVAT and Datumaro write the box before its turn, and the turn beside it.
        reading.report.count(
            "changed", "rotated box", item.where, "read as the upright box around it; the angle is lost"
        )
        box = box_around(box, angle)
        extra["attributes"] = {k: v for k, v in attributes.items() if k != "rotation"} if attributes else {}
    return DatasetInstance(
        category.name,
        _read_keypoints(item, category.schema, reading),
        box,
        mask,
        identity if isinstance(identity, str) else "",
        crowd,
        proposal,
        score,
        original if original >= 1 else None,
        "proposal" if proposal else "imported",
        {"coco": extra, "coco_mask": mask.counts if mask is not None else ""},
    )


def _read_keypoints(item: Item, schema: KeypointSchema, reading: _Reading) -> dict[str, DatasetKeypoint]:
    if item.data.get("keypoints") in (None, []):
        return {}
    values, states = _triples(item, schema, reading.report)
    raw_scores = item.data.get("keypoint_scores")
    scores = item.numbers("keypoint_scores", len(schema)) if isinstance(raw_scores, list) else None
    labelled = sum(1 for v in states if v)
    told = item.data.get("num_keypoints")
    if told is not None and told != labelled:
        why = "it says another number than are labelled; recounted"
        reading.report.count("changed", "num_keypoints", item.where, why)
    if not labelled and not any(scores or ()):
        return {}
    result: dict[str, DatasetKeypoint] = {}
    xy = np.asarray(values, dtype=np.float64).reshape(-1, 2)
    points = (index_to_continuous(xy) if reading.pixel_indices else xy).tolist()
    for k, name in enumerate(schema.names):
        score = scores[k] if scores is not None else None
        if states[k] == 0:
            result[name] = DatasetKeypoint(Visibility.ABSENT, score=score)
            continue
        x, y = points[k]
        if abs(x) > checks.MAX_COORDINATE or abs(y) > checks.MAX_COORDINATE:
            raise item.error(said('the keypoint "{0}" is absurdly far outside the image ({1}, {2})', name, x, y))
        result[name] = DatasetKeypoint(Visibility(states[k]), x, y, score)
    return result


def _triples(item: Item, schema: KeypointSchema, report: Report) -> tuple[list[float], list[int]]:
    """Flat [x, y] of every keypoint (0, 0 for unlabelled ones) and the visibility flags."""
    raw = item.items("keypoints")
    if not len(schema):
        raise item.error(
            "it has keypoints, but its category names none", 'Add the names to "keypoints" of the category in the file.'
        )
    if raw and all(isinstance(v, list) for v in raw):
        raise item.error(
            '"keypoints" holds lists; a flat list x1, y1, v1, x2, y2, v2 ... is expected',
            "Write the triples one after another.",
        )
    if len(raw) != 3 * len(schema):
        raise item.error(
            said(
                '"keypoints" must hold {0} numbers (x, y, v for each of {1} names), it holds {2}',
                3 * len(schema),
                len(schema),
                len(raw),
            )
        )
    values: list[float] = []
    states: list[int] = []
    places = 0
    for x, y, v in zip(raw[::3], raw[1::3], raw[2::3], strict=True):
        if isinstance(v, float) and math.isfinite(v) and v != int(v):
            raise item.error(said("a visibility flag must be a whole number, found {0}", v), CONFIDENCE)
        state = checks.whole(v, item, "a visibility flag", low=0, high=2)
        states.append(state)
        if state:
            values += [checks.finite(x, item, '"keypoints"'), checks.finite(y, item, '"keypoints"')]
            continue
        values += [0.0, 0.0]  # NaN, null and figures that nobody meant stand here
        if not checks.is_missing(x) and not checks.is_missing(y):
            places += bool(checks.finite(x, item, '"keypoints"') or checks.finite(y, item, '"keypoints"'))
    if places:
        report.count(
            "lost", "place of an unlabelled keypoint (v = 0)", item.where, "absent keypoints have none", places
        )
    return values, states
