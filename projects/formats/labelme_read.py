"""Read labelme JSON files: a folder of them (recursive) or one.

Points of one `group_id` make an instance with the rectangle, polygon or mask of the same group; its label is the category.
A group of several rectangles or labels is several instances (`grouping`). Points without a group belong to the one instance
of the photo, or to the only one that they lie in. Coordinates are xy_image.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import warnings
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import IMAGE_SUFFIXES, read_header
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, bad, begin, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
)
from kinmark.projects.formats.exhaustive import read_words
from kinmark.projects.formats.finish import finish, say_unlabelled
from kinmark.projects.formats.grouping import Part, Shape, assemble, give_loose_points, give_points
from kinmark.projects.formats.labelme_write import OWN_KEY
from kinmark.projects.formats.polygons import MAX_POINTS, polygons_to_mask
from kinmark.projects.formats.schemas import SchemaCollector

DEFAULT_CATEGORY = "object"
_TURNED = ("rotation", "oriented_rectangle")
_OUTLINES = ("polygon", "quadrilateral")
_SHAPES = ("rectangle", *_OUTLINES, "mask", *_TURNED)
_KNOWN = frozenset(
    {
        "label",
        "points",
        "group_id",
        "shape_type",
        "flags",
        "mask",
        "description",
        "kie_linking",
        "direction",
        "version",
        "line_color",
        "fill_color",
    }
)
"""Fields of a shape that are used, or say nothing of their own."""
_TOP = frozenset(
    {
        "version",
        "flags",
        "shapes",
        "imagePath",
        "imageData",
        "imageHeight",
        "imageWidth",
        "lineColor",
        "fillColor",
        OWN_KEY,
    }
)
"""The same of a file."""


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse `path` (folder or file); image paths are relative to the folder."""
    report = Report("labelme")
    root = path if path.is_dir() else path.parent
    files = sorted(p for p in path.rglob("*.json") if _is_candidate(p, path)) if path.is_dir() else [path]
    if not files:
        raise bad(path, "", "it holds no .json file", "Give the folder with labelme's JSON files.")
    broken = BadItems(report, options.skip_bad)
    collector = SchemaCollector(report)
    begin(progress, "Reading labelme", len(files))
    images: list[DatasetImage] = []
    ours = 0
    strangers: list[str] = []
    for file in files:
        tick(progress, cancel, file.name)
        relative = PurePosixPath(file.relative_to(root).as_posix())
        try:
            data = checks.load_json(file)
            if path.is_dir() and not (isinstance(data, dict) and "shapes" in data):
                strangers.append(str(relative))
                continue
            top = Item(file, "", data)
            images.append(_read_file(top, relative, options, collector, report, broken))
            ours += OWN_KEY in top.data
        except AppError as error:
            broken.handle(str(relative), error)
    if strangers and not images and not report.items:
        raise bad(path / strangers[0], "", 'it is no labelme file (the field "shapes" is missing)')
    if strangers:
        report.count("skipped", "JSON file of another kind", strangers[0], "it has no shapes", len(strangers))
    if path.is_dir():
        told = {Path(os.path.normpath(Path(i.label_folder) / i.pointer.replace("\\", "/"))) for i in images}
        pairs = {Path(i.label_folder) / i.label_file for i in images if _stands_in(i)}
        told |= {pair.with_suffix(suffix) for pair in pairs for suffix in IMAGE_SUFFIXES}
        say_unlabelled(root.absolute(), told, report)
    report.extra["images_root"] = str(root)
    report.extra["oriented"] = ours > 0 and ours == len(images)
    return finish(Dataset(collector.categories(), tuple(images), root.name), report, options, path)


def _stands_in(image: DatasetImage) -> bool:
    """Whether the photo beside the JSON may be taken for the one that it names."""
    if checks.is_absolute(image.pointer):
        return True
    return bool(image.stand_in) and not (Path(image.label_folder) / image.pointer).exists()


def _is_candidate(file: Path, folder: Path) -> bool:
    """JSON files, but for those inside Kinmark projects."""
    return file.is_file() and not any(p.suffix == ".kinmark" for p in file.relative_to(folder).parents)


def _read_file(
    top: Item,
    relative: PurePosixPath,
    options: ReadOptions,
    collector: SchemaCollector,
    report: Report,
    broken: BadItems,
) -> DatasetImage:
    if "shapes" not in top.data:
        raise top.error('it is no labelme file (the field "shapes" is missing)')
    file = Path(top.path)
    pointer = top.text("imagePath")
    rel_path = _photo(relative.parent, pointer, top)
    told = any(top.data.get(side) not in (None, 0) for side in ("imageWidth", "imageHeight"))
    if told:
        width, height = checks.image_size(top, top.required("imageWidth"), top.required("imageHeight"))
    else:
        width, height = _size_of_photo(file, pointer, top)
    own = Item(file, OWN_KEY, top.data.get(OWN_KEY) or {})
    for number, raw in enumerate(own.items("categories", [])):
        _own_category(Item(file, said("{0} category {1}", OWN_KEY, number), raw), collector)
    image = DatasetImage(
        rel_path,
        width,
        height,
        pointer=pointer,
        label_folder=str(file.absolute().parent),
        label_file=file.name,
        size_told=told,
        # A bare name that is gone: photos were stored anew as another kind, their label files were not.
        stand_in=str(relative.with_suffix("")) if len(PurePosixPath(pointer.replace("\\", "/")).parts) == 1 else "",
    )
    _count_flags(top, "flag of the photo", report)
    for name, value in top.data.items():
        if value and name not in _TOP:
            report.count("lost", said('"{0}" of a file', str(name)[:60]), _place(top), "there is no place for it")
    if (
        top.data.get("imageData")
        and checks.resolve_inside(file.absolute().parent, checks.photo_path(pointer, top)[0]) is None
    ):
        report.count(
            "note",
            "photo inside the JSON (imageData)",
            str(relative),
            "pictures are not taken from there; save them as files beside the JSON, where they are not yet",
        )
    groups = _read_groups(top, image, options, report, broken)
    fields = own.items("instances", [])
    instances = []
    for number, raw in enumerate(fields, start=1):  # ours: also instances without any shape
        own_fields = Item(file, said("instance {0}", number), raw)
        parts = groups.pop(number, None) or [Part("", own_fields.where)]
        instances += [_instance(part, own_fields, options, collector) for part in parts]
    instances += [_instance(part, None, options, collector) for parts in groups.values() for part in parts]
    words = Item(file, "image", own.data.get("image") or {})
    return read_words(replace(image, instances=tuple(instances)), words)


def _photo(folder: PurePosixPath, pointer: str, top: Item) -> PurePosixPath:
    """The photo's path below the folder that is read; one that lies outside is named by its own folders."""
    path, _ = checks.photo_path(pointer, top)
    text = pointer.replace("\\", "/")
    if checks.is_absolute(text):
        return path
    steps: list[str] = []
    for part in [*folder.parts, *PurePosixPath(text).parts]:
        if part == ".." and not steps:
            # Our own exports stand beside each other like the photos: the name in the JSON's own folder.
            return folder / path.name if OWN_KEY in top.data else path
        steps = steps[:-1] if part == ".." else steps if part == "." else [*steps, part]
    return checks.relative_path("/".join(steps), top) if steps else path


def _size_of_photo(file: Path, pointer: str, top: Item) -> tuple[int, int]:
    """labelme's older files say no size: it is asked of the photo beside them."""
    path, _ = checks.photo_path(pointer, top)
    found = checks.resolve_inside(file.absolute().parent, path)
    if found is None:
        raise top.error(
            said(
                '"imageWidth" and "imageHeight" are empty and the photo {0} is not beside the file', repr(pointer[:200])
            ),
            "Put the photo beside the JSON, or save the file again in labelme.",
        )
    return read_header(found).size_wh


def _count_flags(item: Item, what: str, report: Report) -> None:
    """Flags that are set and mean nothing here ("occluded" of a point is read by `_read_point`)."""
    flags = item.data.get("flags")
    for name, value in flags.items() if isinstance(flags, dict) else ():
        if value and not (name == "occluded" and what == "flag of a point"):
            report.count("lost", said('{0}, "{1}"', what, str(name)[:60]), _place(item), "there is no place for it")


def _place(item: Item) -> str:
    return said("{0}: {1}", item.path, item.where) if item.where else str(item.path)


def _count_rest(shape: Item, kind: str, report: Report) -> None:
    """What a shape says beyond its place: descriptions, attributes, difficult, score ..."""
    _count_flags(shape, said("flag of a point") if kind == "point" else said("flag of a region"), report)
    for name, value in shape.data.items():
        if value and (name not in _KNOWN or name == "description"):
            report.count("lost", said('"{0}" of a shape', str(name)[:60]), _place(shape), "there is no place for it")


def _own_category(item: Item, collector: SchemaCollector) -> None:
    names = tuple(Item(item.path, item.where, {"n": n}).text("n") for n in item.items("keypoints", []))

    edges, pairs = (checks.index_pairs(item, key, len(names)) for key in ("skeleton", "pairs"))
    collector.declare(
        DatasetCategory(item.text("name"), KeypointSchema(names, edges, pairs), item.text("supercategory", ""))
    )


def _read_groups(
    top: Item, image: DatasetImage, options: ReadOptions, report: Report, broken: BadItems
) -> dict[int | str, list[Part]]:
    """group id (or a made-up name) -> the instances that its shapes are."""
    shapes: dict[int | str, list[Shape]] = {}
    loose: list[tuple[str, Shape]] = []
    category = options.category or DEFAULT_CATEGORY
    for number, raw in enumerate(top.items("shapes")):
        where = said("shape {0}", number)
        try:
            shape = Item(top.path, where, raw)
            kind, told = shape.text("shape_type", "polygon"), shape.text("label")
            label = told.strip()
            where = said('shape {0} ({1} "{2}")', number, kind, label[:60])
            shape.where = where
            if kind == "point" or kind in _SHAPES:
                _check_label(shape, told, label, kind, category, report)
            key = _group_key(shape, number)
            if kind == "point":
                found = Shape(label, _place(shape), point=_read_point(shape))
                if shape.data.get("group_id") is None:
                    loose.append((label, found))
                else:
                    shapes.setdefault(key, []).append(found)
            elif kind in _SHAPES:
                shapes.setdefault(key, []).append(_read_region(shape, kind, label, image, report))
            else:
                report.count(
                    "skipped", said('shape of the type "{0}"', kind[:40]), _place(shape), "neither point nor region"
                )
                continue
            _count_rest(shape, kind, report)
        except AppError as error:
            broken.handle(said("{0}: {1}", top.path, where), error)
    groups: dict[int | str, list[Part]] = {}
    for key, members in shapes.items():
        place = (
            said("{0}: group {1}", top.path, key)
            if not str(key).startswith("shape ")
            else said("{0}: {1}", top.path, key)
        )
        parts = assemble([s for s in members if s.point is None], place, report)
        give_points([(s.category, s) for s in members if s.point is not None], parts, category, place, report)
        groups[key] = parts
    every = [part for parts in groups.values() for part in parts]
    number = len(every)
    give_loose_points(loose, every, category, str(top.path), report)
    if every[number:]:
        groups["points"] = every[number:]
    return groups


def _check_label(shape: Item, told: str, label: str, kind: str, category: str, report: Report) -> None:
    if not label and kind == "point":
        raise shape.error("its label is empty", "Give the point the name of its keypoint.")
    if not label:
        report.count(
            "changed", "shape without a label", _place(shape), said('its category is "{0}" (--category)', category)
        )
    elif label != told:
        report.count("changed", "blanks around a label", _place(shape), "left out")


def _group_key(shape: Item, number: int) -> int | str:
    group = shape.data.get("group_id")
    if group is None:
        return f"shape {number}"
    if isinstance(group, str):
        return int(group) if group.isascii() and group.isdigit() and len(group) < 16 else f"group {group[:80]}"
    return checks.whole(group, shape, '"group_id"')


def _points(shape: Item, count: int | None) -> list[tuple[float, float]]:
    raw = shape.items("points")
    if (count is not None and len(raw) != count) or len(raw) > MAX_POINTS:
        raise shape.error(said("it has {0} points, {1} are expected", len(raw), count or said("fewer")))
    points = []
    for entry in raw:
        if not isinstance(entry, list) or len(entry) != 2:
            raise shape.error("each point must be [x, y]")
        points.append((checks.coordinate(entry[0], shape, "x"), checks.coordinate(entry[1], shape, "y")))
    return points


def _read_point(shape: Item) -> DatasetKeypoint:
    [(x, y)] = _points(shape, 1)
    flags = shape.data.get("flags")
    hidden = isinstance(flags, dict) and flags.get("occluded") is True
    return DatasetKeypoint(Visibility.HIDDEN if hidden else Visibility.VISIBLE, x, y)


def _read_region(shape: Item, kind: str, label: str, image: DatasetImage, report: Report) -> Shape:
    if kind == "rectangle" or kind in _TURNED:
        return Shape(label, _place(shape), box=_rectangle(shape, kind, report))
    if kind == "mask":
        return Shape(label, _place(shape), mask=_decode_mask(shape, image))
    points = _points(shape, None)
    if len(points) < 3:
        raise shape.error(said("a polygon of {0} points encloses nothing", len(points)))
    ring = [v for p in points for v in p]
    try:
        return Shape(label, _place(shape), mask=polygons_to_mask([ring], image.height, image.width), ring=ring)
    except ValueError as error:
        raise shape.error(said("the polygon cannot be drawn: {0}", error)) from None


def _rectangle(shape: Item, kind: str, report: Report) -> Box:
    """Two corners (labelme) or four (X-AnyLabeling); turned ones as the upright box around them."""
    points = _points(shape, None)
    if len(points) not in ((4,) if kind in _TURNED else (2, 4)):
        raise shape.error(said("a rectangle of {0} points; two opposite corners or all four are expected", len(points)))
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    if len(points) == 4 and not (len(set(xs)) <= 2 and len(set(ys)) <= 2):
        report.count("changed", "rotated box", _place(shape), "read as the upright box around it; the angle is lost")
    return min(xs), min(ys), max(xs), max(ys)


def _decode_mask(shape: Item, image: DatasetImage) -> MaskRLE:
    (x0, y0), _ = _points(shape, 2)
    checks.check_raster(shape, image.width, image.height)
    try:
        data = base64.b64decode(shape.text_of_any_length("mask"), validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
                if picture.width > image.width or picture.height > image.height:
                    raise shape.error(said("the mask picture {0} is larger than the image", picture.size))
                crop = np.asarray(picture.convert("L")) > 0
    except (binascii.Error, ValueError, OSError, SyntaxError, OverflowError, Image.DecompressionBombError) as error:
        raise shape.error(said("the mask picture is damaged ({0})", type(error).__name__)) from None
    left, top = round(x0), round(y0)
    if left < 0 or top < 0 or left + crop.shape[1] > image.width or top + crop.shape[0] > image.height:
        raise shape.error("the mask reaches outside the image")
    pixels = np.zeros((image.height, image.width), dtype=bool)
    pixels[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return MaskRLE.encode(pixels)


def _instance(group: Part, own: Item | None, options: ReadOptions, collector: SchemaCollector) -> DatasetInstance:
    keypoints = dict(group.keypoints)
    category = group.category or options.category or DEFAULT_CATEGORY
    extra: dict[str, Any] = {}
    if own is not None:
        category = own.text("category", category) or category
        for name in own.items("absent", []):
            keypoints.setdefault(str(name), DatasetKeypoint(Visibility.ABSENT))
        scores = own.data.get("scores")
        for name, score in scores.items() if isinstance(scores, dict) else ():
            if name in keypoints:
                keypoints[name] = replace(keypoints[name], score=checks.finite(score, own, "a score"))
        score = own.data.get("score")
        proposal = own.data.get("proposal") is True
        extra = {
            "identity": own.text("identity", ""),
            "crowd": own.data.get("crowd") is True,
            "proposal": proposal,
            "score": checks.finite(score, own, '"score"') if score is not None else None,
            "original_id": own.data.get("id") if isinstance(own.data.get("id"), int) else None,
            "origin": "proposal" if proposal else "imported",
        }
    collector.see(category, keypoints)
    ordered = {n: keypoints[n] for n in collector.order(category) if n in keypoints}
    return DatasetInstance(
        category, ordered, group.box, group.mask, **({"origin": "imported", "extra": group.extra} | extra)
    )
