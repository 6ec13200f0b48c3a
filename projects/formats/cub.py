"""CUB-200-2011: birds with 15 parts, generalised to any categories and keypoints (methods/formats.md#cub).

Coordinates of parts are pixel indices (x + 0.5 on the way in), boxes are x y w h. One instance per image.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
from PIL import Image

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.geometry import Box, continuous_to_index, index_to_continuous
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import read_header
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, WriteOptions, bad, begin, drawn_size, lost, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.coco_write import instance_box
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
    ReportItem,
)
from kinmark.projects.formats.files import jpeg_bytes
from kinmark.projects.formats.finish import finish, say_unlabelled
from kinmark.projects.formats.pixels import read_index_mask
from kinmark.projects.formats.schemas import guess_pairs, unique_names
from kinmark.projects.formats.sinks import Sink, open_sink
from kinmark.projects.formats.spair_names import ascii_word
from kinmark.projects.formats.splitting import simple_splits
from kinmark.projects.formats.stems import NAME_MAP, flat_stems, name_map_bytes, say_renamed

ROOT = "CUB_200_2011"
_T = TypeVar("_T")


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What CUB cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    hidden = sum(k.visibility == Visibility.HIDDEN for n in instances for k in n.keypoints.values())
    return lost(
        [
            ("hidden keypoints", hidden, "CUB knows visible or not; hidden ones lose their place"),
            (
                "further instances in one image",
                sum(max(0, len(i.instances) - 1) for i in dataset.images),
                "one per image",
            ),
            (
                "skeletons and left/right pairs",
                any(c.schema.edges or c.schema.pairs for c in dataset.categories),
                "no place for them",
            ),
            (
                "categories of other names",
                sum((ascii_word(c.name) or "class") != c.name for c in dataset.categories),
                "letters and digits only",
            ),
            ("val split", sum(i.split == "val" for i in dataset.images), "CUB has train and test: they count as train"),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
        ]
    )


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `out/CUB_200_2011/` (and `segmentations/` where there are masks)."""
    report = Report("cub", items=losses(dataset, options))
    parts = list(dict.fromkeys(n for c in dataset.categories for n in c.schema.names))
    classes = {c.name: f"{i:03d}.{ascii_word(c.name) or 'class'}" for i, c in enumerate(dataset.categories, start=1)}
    usable, splits, stems = _plan(dataset, options, report)
    lines: dict[str, list[str]] = {
        name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes", "parts/part_locs")
    }
    target = out if out.name == ROOT else out / ROOT
    begin(progress, "Writing CUB", len(usable))
    with open_sink(target, "cub", options.archive) as sink:
        number = 0
        for image, instance in usable:
            tick(progress, cancel, str(image.rel_path))
            try:
                picture = jpeg_bytes(image)
            except AppError as error:
                report.add("skipped", str(image.rel_path), error.user_message)
                continue
            number += 1
            name = f"{classes[instance.category]}/{stems[image.rel_path]}"
            sink.add(f"images/{name}.jpg", picture)
            if instance.mask is not None:
                sink.add(f"segmentations/{name}.png", _mask_png(instance.mask))
                report.masks += 1
            _add_lines(lines, number, f"{name}.jpg", image, instance, list(classes).index(instance.category) + 1, parts)
            lines["train_test_split"].append(f"{number} {int(splits[image.rel_path] != 'test')}")
            report.keypoints += sum(k.visibility == Visibility.VISIBLE for k in instance.keypoints.values())
        _write_tables(sink, lines, list(classes.values()), parts)
        sink.add(NAME_MAP, name_map_bytes(stems))
    report.images = report.instances = number
    report.files.append(str(target) + options.archive)
    return report


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Splits and new names; UserInputError when no image has an instance."""
    report = Report("cub")
    _plan(dataset, options, report)
    return report.items


def _plan(
    dataset: Dataset, options: WriteOptions, report: Report
) -> tuple[list[tuple[DatasetImage, DatasetInstance]], dict[PurePosixPath, str], dict[PurePosixPath, str]]:
    """The images that are written with their instance, their splits, and their names."""
    chosen = [(i, _best(i)) for i in dataset.images]
    usable = [(i, n) for i, n in chosen if n is not None]
    if not usable:
        raise UserInputError(
            "There is nothing to export as CUB: no image has an instance.", "Label or accept some first."
        )
    if len(usable) < len(chosen):
        left_out = next(str(i.rel_path) for i, n in chosen if n is None)
        report.count("skipped", "photo without an instance", left_out, "CUB has one on each", len(chosen) - len(usable))
    splits = simple_splits(dataset, ("train", "test"), options.seed, report)
    stems = flat_stems(i.rel_path for i, _ in usable)
    say_renamed(stems, report)
    return usable, splits, stems


def _write_tables(sink: Sink, lines: dict[str, list[str]], classes: list[str], parts: list[str]) -> None:
    lines["classes"] = [f"{i} {name}" for i, name in enumerate(classes, start=1)]
    lines["parts/parts"] = [f"{i} {name}" for i, name in enumerate(parts, start=1)]
    for name, rows in lines.items():
        sink.add(f"{name}.txt", "".join(f"{row}\n" for row in rows).encode())


def _best(image: DatasetImage) -> DatasetInstance | None:
    """The instance with most visible keypoints that has a box of some kind."""
    usable = [n for n in image.instances if not n.crowd and instance_box(n) is not None]
    return max(usable, key=lambda n: sum(k.visibility == 2 for k in n.keypoints.values()), default=None)


def _mask_png(mask: MaskRLE) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.decode().astype(np.uint8) * 255, "L").save(buffer, "PNG")
    return buffer.getvalue()


def _add_lines(
    lines: dict[str, list[str]],
    number: int,
    name: str,
    image: DatasetImage,
    instance: DatasetInstance,
    class_id: int,
    parts: list[str],
) -> None:
    box = instance_box(instance) or (0.0, 0.0, float(image.width), float(image.height))
    lines["images"].append(f"{number} {name}")
    lines["image_class_labels"].append(f"{number} {class_id}")
    x0, y0, x1, y1 = (float(v) for v in box)
    lines["bounding_boxes"].append(f"{number} {x0!r} {y0!r} {x1 - x0!r} {y1 - y0!r}")
    for part, part_name in enumerate(parts, start=1):
        k = instance.keypoints.get(part_name)
        if k is None or k.x is None or k.y is None or k.visibility != Visibility.VISIBLE:
            lines["parts/part_locs"].append(f"{number} {part} 0.0 0.0 0")
        else:
            x, y = (float(v) for v in continuous_to_index((k.x, k.y)))
            lines["parts/part_locs"].append(f"{number} {part} {x!r} {y!r} 1")


@dataclass
class _Tables:
    """The text files as {image id: ...}."""

    images: dict[int, PurePosixPath]
    classes: dict[int, str]
    labels: dict[int, int]
    split: dict[int, int]
    boxes: dict[int, Box]
    parts: dict[int, str]
    locations: dict[int, dict[int, tuple[float, float]]]


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse CUB_200_2011 (or its parent); image paths are relative to it (`images/<class>/<name>`)."""
    report = Report("cub")
    root = path / ROOT if (path / ROOT / "images.txt").is_file() else path
    if not (root / "images.txt").is_file():
        raise bad(path, "", "it holds no images.txt", said("Give the folder {0}.", ROOT))
    broken = BadItems(report, options.skip_bad)
    tables = _read_tables(root, report, broken)
    names = [tables.parts[k] for k in sorted(tables.parts)]
    images: list[DatasetImage] = []
    begin(progress, "Reading CUB", len(tables.images))
    for key in tables.images:
        tick(progress, cancel)
        try:
            images.append(_read_image(root, key, tables, options))
        except AppError as error:
            broken.handle(said("image {0}", key), error)
    used = dict.fromkeys(n.category for i in images for n in i.instances)
    schema = KeypointSchema(tuple(names), pairs=guess_pairs(names))
    dataset = Dataset(tuple(DatasetCategory(n, schema) for n in used), tuple(images), root.name)
    report.extra["images_root"] = str(root)
    say_unlabelled(root / "images", {root / i.rel_path for i in images}, report)
    return finish(dataset, report, options, path)


def _rows(file: Path, columns: int, broken: BadItems, required: bool = True) -> list[tuple[Item, list[str]]]:
    """Lines split into `columns` at blanks (the last column keeps its blanks)."""
    if not required and not file.is_file():
        return []
    rows = []
    for number, line in enumerate(checks.read_text(file).splitlines(), start=1):
        if line.strip():
            item = Item(file, said("line {0}", number), {})
            values = line.strip().split(None, columns - 1)
            if len(values) == columns:
                rows.append((item, values))
            else:
                error = item.error(said("{0} columns are expected, found {1}", columns, len(values)))
                broken.handle(said("{0}: {1}", file.name, item.where), error)
    return rows


def _whole(item: Item, text: str) -> int:
    if not (text.isascii() and text.lstrip("-").isdigit() and len(text) < 16):
        raise item.error(said("{0} is no whole number", repr(text[:40])))
    return int(text)


def _real(item: Item, text: str) -> float:
    try:
        return checks.coordinate(float(text), item, "a coordinate")
    except ValueError:
        raise item.error(said("{0} is no number", repr(text[:40]))) from None


def _table(
    rows: Iterable[tuple[Item, list[str]]], broken: BadItems, value_of: Callable[[Item, list[str]], _T]
) -> dict[int, _T]:
    """{number in the first column: value}; a line that says nothing usable, or a number again, is refused or left out."""
    table: dict[int, _T] = {}
    for item, values in rows:
        try:
            key = _whole(item, values[0])
            if key in table:
                raise item.error(said("the number {0} stands twice", key), "Keep one of the two lines.")
            table[key] = value_of(item, values)
        except AppError as error:
            broken.handle(said("{0}: {1}", Path(item.path).name, item.where), error)
    return table


def _box_of(item: Item, values: list[str]) -> Box:
    x, y, w, h = (_real(item, t) for t in values[1:])
    if w <= 0 or h <= 0:
        raise item.error("the box is empty or has a negative size (x y width height)")
    return x, y, x + w, y + h


def _read_tables(root: Path, report: Report, broken: BadItems) -> _Tables:
    def rows(name: str, columns: int, *, required: bool) -> list[tuple[Item, list[str]]]:
        return _rows(root / name, columns, broken, required)

    images = _table(rows("images.txt", 2, required=True), broken, lambda i, v: checks.relative_path(v[1], i))
    classes = _table(rows("classes.txt", 2, required=True), broken, lambda i, v: v[1])
    part_rows = rows("parts/parts.txt", 2, required=False)
    names = dict(
        zip((id(i) for i, _ in part_rows), unique_names([v[1] for _, v in part_rows], "parts.txt", report), strict=True)
    )
    parts = _table(part_rows, broken, lambda i, v: names[id(i)])
    boxes = _table(rows("bounding_boxes.txt", 5, required=False), broken, _box_of)
    by_image: dict[str, list[tuple[Item, list[str]]]] = {}
    for item, v in rows("parts/part_locs.txt", 5, required=False):
        by_image.setdefault(v[0], []).append((item, v[1:]))
    locations: dict[int, dict[int, tuple[float, float]]] = {}
    for number, own in by_image.items():
        found = _table(own, broken, _place_of)
        locations[_whole(own[0][0], number)] = {key: place for key, place in found.items() if place is not None}
    labels = _table(rows("image_class_labels.txt", 2, required=True), broken, lambda i, v: _whole(i, v[1]))
    split = _table(rows("train_test_split.txt", 2, required=False), broken, lambda i, v: _whole(i, v[1]))
    tables = _Tables(images, classes, labels, split, boxes, parts, locations)
    _say_strangers(tables, report)
    return tables


def _place_of(item: Item, values: list[str]) -> tuple[float, float] | None:
    """Of "part x y visible"; None for a part that is not visible."""
    if not _whole(item, values[3]):
        return None
    x, y = (float(t) for t in index_to_continuous((_real(item, values[1]), _real(item, values[2]))))
    return x, y


def _say_strangers(tables: _Tables, report: Report) -> None:
    """Count rows of images and parts that are not listed."""
    for name, told in (
        ("bounding_boxes.txt", tables.boxes),
        ("part_locs.txt", tables.locations),
        ("image_class_labels.txt", tables.labels),
    ):
        strangers = [key for key in told if key not in tables.images]
        if strangers:
            what = said("image of {0} that images.txt does not list", name)
            report.count("skipped", what, str(strangers[0]), "", len(strangers))
    unknown = [key for own in tables.locations.values() for key in own if key not in tables.parts]
    if unknown:
        report.count("skipped", "place of a part that parts.txt does not list", str(unknown[0]), "", len(unknown))


def _read_image(root: Path, key: int, tables: _Tables, options: ReadOptions) -> DatasetImage:
    relative = PurePosixPath("images") / tables.images[key]
    item = Item(root / "images.txt", said("image {0}", key), {})
    file = checks.resolve_inside(root, relative)
    if file is None:
        raise item.error(said("the picture {0} is not there", relative))
    header = read_header(file)
    size = drawn_size(header.size_wh, header.orientation, options, relative)
    class_id = tables.labels.get(key)
    if class_id not in tables.classes:
        raise item.error(said("its class {0} is not in classes.txt", class_id))
    found = tables.locations.get(key, {})
    keypoints = {
        name: DatasetKeypoint(Visibility.VISIBLE, *found[part]) if part in found else DatasetKeypoint(Visibility.ABSENT)
        for part, name in sorted(tables.parts.items())
    }
    mask = None
    segmentation = root / "segmentations" / tables.images[key].with_suffix(".png")
    if segmentation.is_file():
        mask = MaskRLE.encode(read_index_mask(segmentation, size) > 127)
    instance = DatasetInstance(
        tables.classes[class_id].split(".", 1)[-1],
        keypoints if found else {},
        tables.boxes.get(key),
        mask,
        origin="imported",
    )
    split = {1: "train", 0: "test"}.get(tables.split.get(key, -1), "")
    return DatasetImage(relative, *size, (instance,), split=split, original_id=key, size_told=False)
