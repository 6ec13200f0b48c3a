"""Plain mask pictures: one PNG per photo and category with the photo's name, as Kaggle sets, SAM tools and GIMP have them.

Written: `OUT/<category>/<photo's path>.png`, pixel value = number of the instance (1, 2 ...), 0 = background, in palette
colours; `OUT/masks.json` says which photo, category and identity each is. Read: the same, or any folder of PNG files; a first
folder is the category (without `--category`). One value besides 0 is one instance, several values or colours are several.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_image_path, read_header
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, WriteOptions, bad, begin, lost, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.finish import finish
from kinmark.projects.formats.pixels import palette_png, read_index_mask
from kinmark.projects.formats.sinks import open_sink
from kinmark.projects.formats.spair_names import ascii_word

INDEX = "masks.json"
DEFAULT_CATEGORY = "object"
MAX_INSTANCES = 254
GREY_LIMIT = 64
"""More grey values than this are no numbers of instances: a smooth mask, cut at half."""


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What mask pictures cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    return lost(
        [
            ("keypoints", sum(bool(n.keypoints) for n in instances), "mask pictures have none"),
            ("instances without a mask", sum(n.mask is None for n in instances), "left out"),
            ("masks without a pixel", sum(n.mask is not None and not n.mask.area for n in instances), "left out"),
            (
                "masks below others of their category",
                _overlaps(dataset),
                "one instance per pixel: the later one is drawn over",
            ),
            ("splits and tags", any(i.split or i.tags for i in dataset.images), "no place for them"),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
        ]
    )


def _drawn(image: DatasetImage) -> dict[str, list[tuple[DatasetInstance, MaskRLE]]]:
    """Category -> its instances with a mask."""
    result: dict[str, list[tuple[DatasetInstance, MaskRLE]]] = {}
    for instance in image.instances:
        if instance.mask is not None and instance.mask.area:
            result.setdefault(instance.category, []).append((instance, instance.mask))
    return result


def _overlaps(dataset: Dataset) -> int:
    number = 0
    for image in dataset.images:
        for members in _drawn(image).values():
            if len(members) > 1:
                total = sum(mask.decode().astype(np.int32) for _, mask in members)
                number += bool(np.any(total > 1))
    return number


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write to the (new or earlier-exported) folder `out`."""
    report = Report("masks", items=losses(dataset, options))
    planned = _plan(dataset, report)
    files: list[dict[str, Any]] = []
    begin(progress, "Writing masks", len(dataset.images))
    with open_sink(out, "masks", options.archive) as sink:
        for image in dataset.images:
            tick(progress, cancel, str(image.rel_path))
            for category_name, (name, members) in planned.get(image.rel_path, {}).items():
                values = np.zeros((image.height, image.width), dtype=np.uint8)
                for number, (_, mask) in enumerate(members, start=1):
                    values[mask.decode()] = number
                sink.add(name, palette_png(values))
                files.append(
                    {
                        "file": name,
                        "photo": str(image.rel_path),
                        "category": category_name,
                        "identities": [n.identity for n, _ in members],
                    }
                )
                report.instances += len(members)
                report.masks += len(members)
            report.images += image.rel_path in planned
        sink.add(INDEX, json.dumps({"masks": files}, ensure_ascii=True, indent=1).encode())
    report.files.append(str(out) + options.archive)
    return report


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """New names and what is left out; UserInputError when no instance has a mask."""
    del options
    report = Report("masks")
    _plan(dataset, report)
    return report.items


def _plan(
    dataset: Dataset, report: Report
) -> dict[PurePosixPath, dict[str, tuple[str, list[tuple[DatasetInstance, MaskRLE]]]]]:
    """Photo -> category -> (file of the mask picture, the instances in it)."""
    if not any(_drawn(image) for image in dataset.images):
        raise UserInputError("There is nothing to export: no instance has a mask.", "Accept or draw masks first.")
    folders: dict[str, str] = {}
    for category in dataset.categories:
        base = ascii_word(category.name) or "category"
        name, number = base, 2
        while name.lower() in {f.lower() for f in folders.values()}:
            name, number = f"{base}_{number}", number + 1
        folders[category.name] = name
    planned: dict[PurePosixPath, dict[str, tuple[str, list[tuple[DatasetInstance, MaskRLE]]]]] = {}
    used: set[str] = set()
    for image in dataset.images:
        for category_name, members in _drawn(image).items():
            if len(members) > MAX_INSTANCES:
                told = said("{0} masks of one category; a picture holds 254", len(members))
                report.add("skipped", str(image.rel_path), told)
                continue
            name = f"{folders[category_name]}/{image.rel_path.with_suffix('.png')}"
            if name.lower() in used:  # a.jpg and a.png
                name = f"{folders[category_name]}/{image.rel_path}.png"
                report.add("changed", str(image.rel_path), said("its mask is called {0}", name))
            used.add(name.lower())
            planned.setdefault(image.rel_path, {})[category_name] = (name, members)
    return planned


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a folder of mask pictures."""
    report = Report("masks")
    if not path.is_dir():
        raise bad(path, "", "it is no folder", "Give the folder with the mask pictures.")
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".png" and p.is_file())
    if not files:
        raise bad(path, "", "it holds no .png file", "Give the folder with the mask pictures.")
    broken = BadItems(report, options.skip_bad)
    index = _index(path)
    begin(progress, "Reading masks", len(files))
    images: dict[PurePosixPath, DatasetImage] = {}
    names: dict[str, None] = {}
    for file in files:
        relative = PurePosixPath(file.relative_to(path).as_posix())
        tick(progress, cancel, str(relative))
        try:
            image = _image(file, relative, index, options, report)
            if image.any_suffix:
                image = replace(image, label_folder=str(path.resolve()))
        except AppError as error:
            broken.handle(str(relative), error)
            continue
        names.update(dict.fromkeys(n.category for n in image.instances))
        known = images.get(image.rel_path)  # a photo has one picture for each category
        if known is not None and (known.width, known.height) != (image.width, image.height):
            broken.handle(
                str(relative), bad(file, "", said("its size is not that of another mask of {0}", image.rel_path.stem))
            )
            continue
        if known is not None:
            image = replace(known, instances=known.instances + image.instances)
        images[image.rel_path] = image
    others = [p for p in sorted(path.rglob("*")) if p.is_file() and is_image_path(p) and p not in set(files)]
    if others:
        why = "masks are PNG pictures: JPEG blurs their values"
        report.count("note", "picture of another kind", others[0].name, why, len(others))
    missing = [name for name in index if not (path / name).is_file()]
    if missing:
        report.add(
            "skipped",
            said("%n masks of {0}", INDEX, n=len(missing)),
            said("their pictures are not there: {0}", missing[0]),
        )
    dataset = Dataset(tuple(DatasetCategory(n) for n in names), tuple(images.values()), path.name)
    return finish(dataset, report, options, path)


def _index(path: Path) -> dict[str, Item]:
    """Our own list: file -> its entry."""
    file = path / INDEX
    if not file.is_file():
        return {}
    top = Item(file, "top level", checks.load_json(file))
    entries = [Item(file, said("mask {0}", n), raw) for n, raw in enumerate(top.items("masks"))]
    return {entry.text("file"): entry for entry in entries}


def _image(
    file: Path, relative: PurePosixPath, index: dict[str, Item], options: ReadOptions, report: Report
) -> DatasetImage:
    values = _values(file, report)
    height, width = values.shape
    entry = index.get(str(relative))
    identities: list[Any] = []
    pointer = ""
    if entry is not None:
        photo, pointer = checks.photo_path(entry.text("photo"), entry)
        category, any_suffix = entry.text("category"), False
        identities = entry.items("identities", [])
    else:
        inner = relative.parts[1:] if len(relative.parts) > 1 and not options.category else relative.parts
        category = options.category or (relative.parts[0] if len(relative.parts) > 1 else DEFAULT_CATEGORY)
        photo, any_suffix = PurePosixPath(*inner), True
    instances = []
    for value in (int(v) for v in np.unique(values) if v):
        who = identities[value - 1] if value <= len(identities) else ""
        mask = MaskRLE.encode(values == value)
        instances.append(
            DatasetInstance(category, {}, None, mask, who if isinstance(who, str) else "", origin="imported")
        )
    if not instances:
        report.count("note", "mask picture without a mask", str(relative), "all background")
    return DatasetImage(photo, width, height, tuple(instances), pointer=pointer, any_suffix=any_suffix)


def _values(file: Path, report: Report) -> NDArray[np.int64]:
    """`[H, W]`: 0 background, else the number of the instance."""
    header = read_header(file)
    if header.mode in ("RGB", "RGBA", "LA", "PA"):
        return _colours(file, header.size_wh)
    values = read_index_mask(file, header.size_wh).astype(np.int64)
    kinds = np.unique(values)
    if len(kinds) > GREY_LIMIT:
        report.count("changed", "mask of many grey values", file.name, "cut at half of the largest")
        return (values * 2 > values.max()).astype(np.int64)
    return values


def _colours(file: Path, size_wh: tuple[int, int]) -> NDArray[np.int64]:
    """Colours as numbers 1, 2 ... in the order of their values; black and fully transparent is background."""
    checks.check_raster(Item(file, "", {}), *size_wh)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=["PNG"]) as image:
                rgba = np.asarray(image.convert("RGBA"), dtype=np.int64)
    except Exception as error:  # noqa: BLE001 - damaged pictures raise almost anything
        raise bad(file, "", said("the mask picture is damaged ({0})", type(error).__name__)) from None
    packed = (rgba[..., 0] << 16) | (rgba[..., 1] << 8) | rgba[..., 2]
    packed[rgba[..., 3] == 0] = 0
    kinds = np.unique(packed[packed > 0])
    if len(kinds) > MAX_INSTANCES:
        raise bad(
            file,
            "",
            said("it holds {0} colours, more than instances of a photo", len(kinds)),
            "Is it a photo? Store masks with one flat colour for each instance.",
        )
    return np.where(packed > 0, np.searchsorted(kinds, packed) + 1, 0)
