"""Read labelme JSON files: a folder of them (recursive) or one.

Points of one `group_id` make an instance with the rectangle, polygon or mask of the same group; its label is the category.
Points without a group belong to the one instance of the photo. Coordinates are xy_image.
"""

from __future__ import annotations

import base64
import binascii
import io
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from engine.domain.errors import AppError
from engine.domain.geometry import Box
from engine.domain.keypoints import KeypointSchema, Visibility
from engine.domain.masks import MaskRLE
from engine.domain.progress import CancelToken, Progress
from projects.formats import checks
from projects.formats.base import BadItems, ReadOptions, bad, begin, count_dataset, tick
from projects.formats.checks import Item
from projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint, Report
from projects.formats.labelme_write import OWN_KEY
from projects.formats.polygons import MAX_POINTS, polygons_to_mask
from projects.formats.schemas import SchemaCollector

DEFAULT_CATEGORY = "object"
_SHAPES = ("rectangle", "polygon", "mask")


@dataclass
class _Group:
    """What is known of one instance while its shapes are read."""

    category: str = ""
    keypoints: dict[str, DatasetKeypoint] = field(default_factory=dict)
    box: Box | None = None
    mask: MaskRLE | None = None


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse `path` (folder or file); image paths are relative to the folder."""
    report = Report("labelme")
    root = path if path.is_dir() else path.parent
    files = sorted(p for p in path.rglob("*.json") if p.is_file()) if path.is_dir() else [path]
    if not files:
        raise bad(path, "", "it holds no .json file", "Give the folder with labelme's JSON files.")
    broken = BadItems(report, options.skip_bad)
    collector = SchemaCollector(report)
    begin(progress, "Reading labelme", len(files))
    images: list[DatasetImage] = []
    for file in files:
        tick(progress, cancel, file.name)
        relative = PurePosixPath(file.relative_to(root).as_posix())
        try:
            images.append(_read_file(file, relative, options, collector, report))
        except AppError as error:
            broken.handle(str(relative), error)
    dataset = Dataset(collector.categories(), tuple(images), root.name)
    report.extra["images_root"] = str(root)
    count_dataset(report, dataset)
    return dataset, report


def _read_file(
    file: Path, relative: PurePosixPath, options: ReadOptions, collector: SchemaCollector, report: Report
) -> DatasetImage:
    top = Item(file, "", checks.load_json(file))
    if "shapes" not in top.data:
        raise top.error('it is no labelme file (the field "shapes" is missing)')
    width, height = checks.image_size(top, top.required("imageWidth"), top.required("imageHeight"))
    name = PurePosixPath(top.text("imagePath").replace("\\", "/")).name
    rel_path = relative.parent / checks.relative_path(name, top)
    own = Item(file, OWN_KEY, top.data.get(OWN_KEY) or {})
    for number, raw in enumerate(own.items("categories", [])):
        _own_category(Item(file, f"{OWN_KEY} category {number}", raw), collector)
    image = DatasetImage(rel_path, width, height)
    groups = _read_groups(top, image, report)
    fields = own.items("instances", [])
    instances = []
    for number, raw in enumerate(fields, start=1):  # ours: also instances without any shape
        own_fields = Item(file, f"instance {number}", raw)
        instances.append(_instance(groups.pop(number, _Group()), own_fields, options, collector))
    instances += [_instance(group, None, options, collector) for group in groups.values()]
    words = Item(file, "image", own.data.get("image") or {})
    return replace(
        image, instances=tuple(instances), split=words.text("split", ""), tags=tuple(map(str, words.items("tags", []))),
        nothing_here=tuple(map(str, words.items("nothing_here", []))),
    )  # fmt: skip


def _own_category(item: Item, collector: SchemaCollector) -> None:
    names = tuple(Item(item.path, item.where, {"n": n}).text("n") for n in item.items("keypoints", []))

    def links(key: str) -> tuple[tuple[int, int], ...]:
        result = []
        for entry in item.items(key, []):
            if not isinstance(entry, list) or len(entry) != 2:
                raise item.error(f'each entry of "{key}" must be a pair')
            a, b = (checks.whole(v, item, f'"{key}"', low=0, high=max(0, len(names) - 1)) for v in entry)
            result.append((a, b))
        return tuple(result)

    collector.declare(
        DatasetCategory(
            item.text("name"), KeypointSchema(names, links("skeleton"), links("pairs")), item.text("supercategory", "")
        )
    )


def _read_groups(top: Item, image: DatasetImage, report: Report) -> dict[int | str, _Group]:
    """group id (or a made-up name) -> what its shapes say; ungrouped points join the only instance."""
    groups: dict[int | str, _Group] = {}
    loose: dict[str, DatasetKeypoint] = {}
    for number, raw in enumerate(top.items("shapes")):
        shape = Item(top.path, f"shape {number}", raw)
        kind, label = shape.text("shape_type", "polygon"), shape.text("label")
        group_id = shape.data.get("group_id")
        key = f"shape {number}" if group_id is None else checks.whole(group_id, shape, '"group_id"')
        if kind == "point":
            keypoints = loose if group_id is None else groups.setdefault(key, _Group()).keypoints
            if label in keypoints:
                report.add("skipped", f"{top.path}: {shape.where}", f'a second point "{label}" of the same instance')
            else:
                keypoints[label] = _read_point(shape, image, report)
        elif kind in _SHAPES:
            group = groups.setdefault(key, _Group())
            group.category = group.category or label
            _read_region(shape, kind, image, group)
        else:
            report.add(
                "skipped", f"{top.path}: {shape.where}", f'a shape of the type "{kind}" is neither point nor region'
            )
    if loose:
        owner = next(iter(groups.values())) if len(groups) == 1 else groups.setdefault("points", _Group())
        owner.keypoints = {**loose, **owner.keypoints}
    return groups


def _points(shape: Item, count: int | None) -> list[tuple[float, float]]:
    raw = shape.items("points")
    if (count is not None and len(raw) != count) or len(raw) > MAX_POINTS:
        raise shape.error(f"it has {len(raw)} points, {count or 'fewer'} are expected")
    points = []
    for entry in raw:
        if not isinstance(entry, list) or len(entry) != 2:
            raise shape.error("each point must be [x, y]")
        points.append((checks.coordinate(entry[0], shape, "x"), checks.coordinate(entry[1], shape, "y")))
    return points


def _read_point(shape: Item, image: DatasetImage, report: Report) -> DatasetKeypoint:
    [(x, y)] = _points(shape, 1)
    if not (0 <= x <= image.width and 0 <= y <= image.height):
        report.add("flagged", f"{image.rel_path}: {shape.where}", "kept although outside the image")
    flags = shape.data.get("flags")
    hidden = isinstance(flags, dict) and flags.get("occluded") is True
    return DatasetKeypoint(Visibility.HIDDEN if hidden else Visibility.VISIBLE, x, y)


def _read_region(shape: Item, kind: str, image: DatasetImage, group: _Group) -> None:
    if kind == "rectangle":
        (ax, ay), (bx, by) = _points(shape, 2)
        group.box = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
        return
    if kind == "mask":
        mask = _decode_mask(shape, image)
    else:
        points = _points(shape, None)
        if len(points) < 3:
            raise shape.error(f"a polygon of {len(points)} points encloses nothing")
        try:
            mask = polygons_to_mask([[v for p in points for v in p]], image.height, image.width)
        except ValueError as error:
            raise shape.error(f"the polygon cannot be drawn: {error}") from None
    if group.mask is not None:  # one object in several parts
        mask = MaskRLE.encode(group.mask.decode() | mask.decode())
    group.mask = mask


def _decode_mask(shape: Item, image: DatasetImage) -> MaskRLE:
    (x0, y0), _ = _points(shape, 2)
    checks.check_raster(shape, image.width, image.height)
    try:
        data = base64.b64decode(shape.text_of_any_length("mask"), validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
                if picture.width > image.width or picture.height > image.height:
                    raise shape.error(f"the mask picture {picture.size} is larger than the image")
                crop = np.asarray(picture.convert("L")) > 0
    except (binascii.Error, ValueError, OSError, SyntaxError, OverflowError, Image.DecompressionBombError) as error:
        raise shape.error(f"the mask picture is damaged ({type(error).__name__})") from None
    left, top = round(x0), round(y0)
    if left < 0 or top < 0 or left + crop.shape[1] > image.width or top + crop.shape[0] > image.height:
        raise shape.error("the mask reaches outside the image")
    pixels = np.zeros((image.height, image.width), dtype=bool)
    pixels[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return MaskRLE.encode(pixels)


def _instance(group: _Group, own: Item | None, options: ReadOptions, collector: SchemaCollector) -> DatasetInstance:
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
            "identity": own.text("identity", ""), "crowd": own.data.get("crowd") is True, "proposal": proposal,
            "score": checks.finite(score, own, '"score"') if score is not None else None,
            "original_id": own.data.get("id") if isinstance(own.data.get("id"), int) else None,
            "origin": "proposal" if proposal else "imported",
        }  # fmt: skip
    collector.see(category, keypoints)
    ordered = {n: keypoints[n] for n in collector.order(category) if n in keypoints}
    return DatasetInstance(category, ordered, group.box, group.mask, **({"origin": "imported"} | extra))
