"""Label Studio JSON (full export, tasks with annotations): keypoints, rectangles, polygons, brush masks.

Places are percents of the photo. Label Studio knows no instances: regions joined by relations or parents are one, points
without any go to the only region that they lie in (`grouping`). Our own exports number their regions and keep the rest under
`data.kinmark`, which Label Studio hands on. Predictions come in as proposals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
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
from kinmark.projects.formats.finish import finish
from kinmark.projects.formats.grouping import Part, Shape, assemble, give_loose_points, give_points
from kinmark.projects.formats.label_studio_tasks import (
    BARE,
    LABELS,
    Entry,
    by_photo,
    chosen_annotation,
    labels_by_region,
    photos_of,
)
from kinmark.projects.formats.polygons import MAX_POINTS, polygons_to_mask
from kinmark.projects.formats.rotated import ellipse_ring, turned
from kinmark.projects.formats.schemas import SchemaCollector

FILE_NAME = "tasks.json"
OWN_KEY = "kinmark"
DEFAULT_CATEGORY = "object"
_OWN_ID = re.compile(r"^kinmark-(\d{1,9})-")
_KINDS = frozenset(BARE.values())
_LOCAL = re.compile(r"^/data/local-files/?\?d=")
MAX_RLE_BYTES = 50_000_000


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse the JSON file; ImportFileError names file and task."""
    report = Report("label-studio")
    data = checks.load_json(path)
    tasks = [data] if isinstance(data, dict) and "annotations" in data and "data" in data else data
    if not isinstance(tasks, list) or (tasks and not any(isinstance(t, dict) and "data" in t for t in tasks)):
        raise bad(
            path,
            "",
            "it is no full Label Studio export (a list of tasks with data and annotations)",
            'Export as "JSON" (not JSON-MIN, CSV or TSV).',
        )
    broken = BadItems(report, options.skip_bad)
    collector = SchemaCollector(report)
    begin(progress, "Reading Label Studio", len(tasks))
    images: list[DatasetImage] = []
    ours = 0
    for number, raw in enumerate(tasks):
        tick(progress, cancel)
        told = raw.get("id", said("at position {0}", number)) if isinstance(raw, dict) else number
        where = said("task {0}", told)
        try:
            found, own = _read_task(Item(path, where, raw), options, collector, report, broken)
            images += found
            ours += own
        except AppError as error:
            broken.handle(where, error)
    report.extra["oriented"] = bool(images) and ours == len(tasks)
    return finish(Dataset(collector.categories(), tuple(images), path.stem), report, options, path)


def _read_task(
    task: Item, options: ReadOptions, collector: SchemaCollector, report: Report, broken: BadItems
) -> tuple[list[DatasetImage], bool]:
    """The task's photos with their labels, and whether the task is one of ours."""
    data = Item(task.path, said("{0}, data", task.where), task.required("data"))
    photos = photos_of(data)
    own = Item(task.path, said("{0}, {1}", task.where, OWN_KEY), data.data.get(OWN_KEY) or {})
    for number, raw in enumerate(own.items("categories", [])):
        _own_category(Item(task.path, said("{0} category {1}", own.where, number), raw), collector)
    words = Item(task.path, own.where, own.data.get("image") or {})
    images = {photo: read_words(_photo(photo, data), words) for photo in photos}
    accepted = Item(task.path, task.where, chosen_annotation(task, report))
    for item in (accepted, *_predictions(task)):
        results = item.items("result", [])
        reading = _Regions(item, labels_by_region(results), own, options, report, broken)
        for photo, entries in by_photo(item, photos, data, broken).items():
            image, instances = reading.read(entries, images.get(photo) or _photo(photo, data))
            if item is not accepted:
                score = item.optional_number("score")
                instances = [replace(n, proposal=True, score=score, origin="proposal") for n in instances]
            for instance in instances:
                collector.see(instance.category, instance.keypoints)
            images[photo] = replace(image, instances=(*image.instances, *instances))
    return list(images.values()), bool(own.data)


def _predictions(task: Item) -> list[Item]:
    return [Item(task.path, said("{0}, prediction", task.where), raw) for raw in task.items("predictions", [])]


def _photo(told: str, data: Item) -> DatasetImage:
    local = _LOCAL.sub("", told)
    if local == told:
        relative, pointer = checks.photo_path(told, data)
        return DatasetImage(relative, 0, 0, pointer=pointer)
    name = unquote(local)
    relative, _ = checks.photo_path(name, data)
    # Below a storage; a file's name may hold a backslash.
    return DatasetImage(relative, 0, 0, pointer=name if "\\" in name and not checks.is_absolute(name) else "")


def _own_category(item: Item, collector: SchemaCollector) -> None:
    names = tuple(Item(item.path, item.where, {"n": n}).text("n") for n in item.items("keypoints", []))

    schema = KeypointSchema(
        names, checks.index_pairs(item, "skeleton", len(names)), checks.index_pairs(item, "pairs", len(names))
    )
    collector.declare(DatasetCategory(item.text("name"), schema, item.text("supercategory", "")))


@dataclass(frozen=True)
class _Regions:
    """The regions of one annotation or prediction; `labels`: those that stand in entries of their own, by region."""

    annotation: Item
    labels: dict[str, list[Any]]
    own: Item
    options: ReadOptions
    report: Report
    broken: BadItems

    def read(self, entries: list[Entry], image: DatasetImage) -> tuple[DatasetImage, list[DatasetInstance]]:
        """The photo with the size that its regions tell, and its instances."""
        regions: dict[str, tuple[str, Shape]] = {}  # id -> (kind, shape)
        links: list[tuple[str, str]] = []
        used = {str(raw.get("id")) for _, raw in entries if isinstance(raw, dict) and raw.get("type") != LABELS}
        for number, raw in entries:
            where = said("{0}, region {1}", self.annotation.where, number)
            try:
                item = Item(self.annotation.path, where, raw)
                told = item.text("type", "")
                kind = BARE.get(told, told)
                if kind == "relation":
                    links.append((item.text("from_id"), item.text("to_id")))
                    if item.data.get("labels"):
                        self.report.count("lost", "label of a relation", item.where, "there is no place for it")
                elif kind == LABELS and str(raw.get("id")) in used:
                    continue  # read with the shape that has this id
                elif kind not in _KINDS:
                    self.report.count("skipped", f'"{kind[:40]}"', item.where, "neither keypoint nor region")
                else:
                    image = self._add(item, kind, image, regions, links)
            except AppError as error:
                self.broken.handle(where, error)
        return image, _instances(regions, links, self.annotation, self.own, self.options, self.report)

    def _add(
        self,
        item: Item,
        kind: str,
        image: DatasetImage,
        regions: dict[str, tuple[str, Shape]],
        links: list[tuple[str, str]],
    ) -> DatasetImage:
        size = checks.image_size(item, item.required("original_width"), item.required("original_height"))
        if image.width and (image.width, image.height) != size:
            raise item.error(
                said("its photo is {0} x {1}, other regions say {2} x {3}", *size, image.width, image.height)
            )
        image = replace(image, width=size[0], height=size[1])
        key = item.text("id", f"region {item.where.rpartition(' ')[2]}")
        if key in regions:
            raise item.error(said('another region of the task has the id "{0}"', key[:80]))
        regions[key] = (kind, _region(item, kind, image, self.labels.get(key, []), self.report))
        parent = item.data.get("parentID")
        if isinstance(parent, str) and parent:
            links.append((key, parent))
        return image


def _label(item: Item, value: Item, kind: str, apart: list[Any], report: Report) -> str:
    labels = value.items(kind, []) or value.items(LABELS, []) or apart
    if len(labels) > 1:
        report.count("lost", "further label of a region", item.where, "the first one counts", len(labels) - 1)
    return Item(item.path, item.where, {"label": labels[0]}).text("label") if labels else ""


def _region(item: Item, kind: str, image: DatasetImage, apart: list[Any], report: Report) -> Shape:
    value = Item(item.path, said("{0}, value", item.where), item.required("value"))
    label = _label(item, value, kind, apart, report) or DEFAULT_CATEGORY
    meta = item.data.get("meta")
    texts = meta.get("text") if isinstance(meta, dict) else None
    words = [str(t) for t in texts] if isinstance(texts, list) else [str(texts)] if isinstance(texts, str) else []
    if [w for w in words if w != "hidden"]:
        report.count("lost", "text of a region", item.where, "there is no place for it")
    if item.data.get("image_rotation"):
        report.count(
            "flagged",
            "image_rotation",
            item.where,
            "the photo was turned in Label Studio; places are of the unturned one",
        )

    def place(x: str, y: str) -> tuple[float, float]:
        return value.number(x) * image.width / 100, value.number(y) * image.height / 100

    if kind == "keypointlabels":
        x, y = place("x", "y")
        state = Visibility.HIDDEN if "hidden" in words else Visibility.VISIBLE
        return Shape(label, item.where, point=DatasetKeypoint(state, x, y))
    if kind == "rectanglelabels":
        x0, y0 = place("x", "y")
        w, h = place("width", "height")
        angle = value.optional_number("rotation") or 0.0
        if angle % 360:
            report.count("changed", "rotated box", item.where, "read as the upright box around it; the angle is lost")
        x, y = turned([(x0, y0), (x0 + w, y0), (x0 + w, y0 + h), (x0, y0 + h)], (x0, y0), angle % 360).T
        return Shape(label, item.where, box=(float(x.min()), float(y.min()), float(x.max()), float(y.max())))
    if kind == "brushlabels":
        return Shape(label, item.where, mask=_brush(value, image))
    if kind == "ellipselabels":
        report.count("changed", "ellipse", item.where, "read as an outline of 72 corners")
    ring = _ellipse(value, image) if kind == "ellipselabels" else _polygon(value, image)
    try:
        return Shape(label, item.where, mask=polygons_to_mask([ring], image.height, image.width), ring=ring)
    except ValueError as error:
        raise item.error(said("the polygon cannot be drawn: {0}", error)) from None


def _polygon(value: Item, image: DatasetImage) -> list[float]:
    points = value.items("points")
    if not 3 <= len(points) <= MAX_POINTS:
        raise value.error(said("a polygon of {0} points cannot be drawn", len(points)))
    ring: list[float] = []
    for entry in points:
        if not isinstance(entry, list) or len(entry) != 2:
            raise value.error("each point must be [x, y]")
        ring += [
            checks.coordinate(checks.finite(entry[0], value, "x") * image.width / 100, value, "x"),
            checks.coordinate(checks.finite(entry[1], value, "y") * image.height / 100, value, "y"),
        ]
    return ring


def _ellipse(value: Item, image: DatasetImage) -> list[float]:
    cx, cy = value.number("x") * image.width / 100, value.number("y") * image.height / 100
    rx, ry = value.number("radiusX") * image.width / 100, value.number("radiusY") * image.height / 100
    return ellipse_ring((cx, cy), (rx, ry), value.optional_number("rotation") or 0.0)


def _brush(value: Item, image: DatasetImage) -> MaskRLE:
    raw = value.items("rle")
    if len(raw) > MAX_RLE_BYTES or not all(isinstance(v, int) and 0 <= v <= 255 for v in raw):
        raise value.error('"rle" must be a list of bytes')
    checks.check_raster(value, image.width, image.height)
    try:
        alpha = decode_brush(bytes(raw), image.width * image.height * 4)[3::4]
    except ValueError as error:
        raise value.error(said("the brush mask is damaged ({0})", error)) from None
    return MaskRLE.encode(alpha.reshape(image.height, image.width) > 0)


def decode_brush(data: bytes, size: int) -> NDArray[np.uint8]:
    """Label Studio's brush RLE: `size` bytes of RGBA; ValueError when it is damaged or of another size."""
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    at = 0

    def take(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise ValueError("cut off")
        number = 0
        for bit in bits[at : at + count].tolist():
            number = number << 1 | bit
        at += count
        return number

    total = take(32)
    if total != size:
        raise ValueError(f"it holds {total // 4} pixels, the photo has {size // 4}")
    word = take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    out = np.zeros(size, dtype=np.uint8)
    i = 0
    while i < size:
        repeated = take(1)
        j = i + 1 + take(lengths[take(2)])
        if j > size:
            raise ValueError("a run leaves the photo")
        if repeated:
            out[i:j] = take(word) & 255
        else:
            out[i:j] = [take(word) & 255 for _ in range(j - i)]
        i = j
    return out


def _instances(
    regions: dict[str, tuple[str, Shape]],
    links: list[tuple[str, str]],
    annotation: Item,
    own: Item,
    options: ReadOptions,
    report: Report,
) -> list[DatasetInstance]:
    """Regions that belong together as instances."""
    head = {key: key for key in regions}

    def top(key: str) -> str:
        while head[key] != key:
            key = head[key] = head[head[key]]
        return key

    for a, b in links:
        if a in head and b in head:
            head[top(a)] = top(b)
        else:
            report.count("skipped", "relation to a region that is not there", annotation.where, "")
    groups: dict[str, list[Shape]] = {}
    for key, (_, shape) in regions.items():
        match = _OWN_ID.match(key)
        groups.setdefault(f"#{int(match.group(1))}" if match and own.data else top(key), []).append(shape)
    category = options.category or DEFAULT_CATEGORY
    fields = own.items("instances", [])
    parts: list[tuple[Part, Item | None]] = []
    loose: list[tuple[str, Shape]] = []
    for key, shapes in groups.items():
        number = int(key[1:]) if key.startswith("#") and key[1:].isdigit() else 0
        mine = (
            Item(own.path, said("{0} instance {1}", own.where, number), fields[number - 1])
            if 0 < number <= len(fields)
            else None
        )
        if len(shapes) == 1 and shapes[0].point is not None and mine is None:
            loose.append((shapes[0].category, shapes[0]))
            continue
        where = said("{0}, {1}", annotation.where, shapes[0].where.rpartition(", ")[2])
        members = assemble([s for s in shapes if s.point is None], where, report)
        give_points([(s.category, s) for s in shapes if s.point is not None], members, category, where, report)
        parts += [(part, mine) for part in members]
    every = [part for part, _ in parts]
    count = len(every)
    give_loose_points(loose, every, category, annotation.where, report)
    return [_instance(part, mine) for part, mine in [*parts, *((p, None) for p in every[count:])]]


def _instance(part: Part, own: Item | None) -> DatasetInstance:
    keypoints = dict(part.keypoints)
    if own is None:
        return DatasetInstance(part.category, keypoints, part.box, part.mask, origin="imported", extra=part.extra)
    for name in own.items("absent", []):
        keypoints.setdefault(str(name), DatasetKeypoint(Visibility.ABSENT))
    proposal = own.data.get("proposal") is True
    original = own.data.get("id")
    return DatasetInstance(
        own.text("category", part.category),
        keypoints,
        part.box,
        part.mask,
        own.text("identity", ""),
        own.data.get("crowd") is True,
        proposal,
        own.optional_number("score"),
        original if isinstance(original, int) and not isinstance(original, bool) else None,
        "proposal" if proposal else "imported",
        part.extra,
    )


# Writing
