"""Read SPair-71k folders: ImageAnnotation, JPEGImages, Segmentation, and the split of each image from the pairs.

Keypoints are pixel indices (come in as x + 0.5) and visible; null is absent. Names come from our `name_map.json` when it
lies beside or in the folder, else they are "0" ... "29" as in the data set itself.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import index_to_continuous
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
from kinmark.projects.formats.finish import finish, say_unlabelled
from kinmark.projects.formats.pixels import read_index_mask
from kinmark.projects.formats.spair_names import voc_class_id
from kinmark.projects.formats.splitting import SPAIR_SPLITS

_FROM_SPAIR = {"trn": "train", "val": "val", "test": "test"}


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse the folder `path` (`SPair-71k` or its parent); image paths are relative to it."""
    root = _find_root(path)
    report = Report("spair")
    broken = BadItems(report, options.skip_bad)
    splits = _read_splits(root, report)
    known = _read_name_map(root)
    files = sorted((root / "ImageAnnotation").glob("*/*.json"))
    begin(progress, "Reading SPair-71k", len(files))
    images: list[DatasetImage] = []
    slots: dict[str, int] = {}
    for file in files:
        category = file.parent.name
        try:
            image, count = _read_image(root, file, category, known, splits, report)
            images.append(image)
            slots[category] = max(slots.get(category, 0), count)
        except AppError as error:
            broken.handle(f"ImageAnnotation/{category}/{file.name}", error)
        tick(progress, cancel)
    say_unlabelled(root / "JPEGImages", {root / i.rel_path for i in images}, report)
    images = [_with_absent(image, known, slots) for image in images]
    categories = tuple(_category(name, slots[name], known.get(name)) for name in sorted(slots))
    dataset = Dataset(categories, tuple(images), root.name)
    report.extra["images_root"] = str(root)
    return finish(dataset, report, options, path)


def _with_absent(image: DatasetImage, known: dict[str, dict[str, Any]], slots: dict[str, int]) -> DatasetImage:
    """Slots that are null in this photo and placed in another are absent here; further ones are no keypoints."""
    folder = image.rel_path.parent.name
    if folder in known:
        return image
    [instance] = image.instances
    names = map(str, range(slots[folder]))
    absent = DatasetKeypoint(Visibility.ABSENT)
    return replace(
        image, instances=(replace(instance, keypoints={n: instance.keypoints.get(n, absent) for n in names}),)
    )


def _find_root(path: Path) -> Path:
    for candidate in (path, path / "SPair-71k"):
        if (candidate / "ImageAnnotation").is_dir() and (candidate / "JPEGImages").is_dir():
            return candidate
    raise bad(path, "", "it holds no ImageAnnotation and JPEGImages folders", "Give the folder SPair-71k.")


def _read_splits(root: Path, report: Report) -> dict[tuple[str, str], str]:
    """(category, stem) -> train/val/test, from Layout/large, else from the names in PairAnnotation."""
    result: dict[tuple[str, str], str] = {}
    for split in reversed(SPAIR_SPLITS):
        layout, folder = root / "Layout" / "large" / f"{split}.txt", root / "PairAnnotation" / split
        if layout.is_file():
            names = checks.read_text(layout).splitlines()
        else:
            names = [f.name.removesuffix(".json") for f in folder.glob("*.json")] if folder.is_dir() else []
        for name in names:
            pair, _, category = name.strip().partition(":")
            parts = pair.split("-")
            if len(parts) == 3 and category:
                for stem in parts[1:]:
                    if result.setdefault((category, stem), _FROM_SPAIR[split]) != _FROM_SPAIR[split]:
                        told = f"{category}/{stem}"
                        report.count("flagged", "photo of several splits", told, "the later one counts")
    return result


def _read_name_map(root: Path) -> dict[str, dict[str, Any]]:
    """Our sidecar: folder name -> {"name", "keypoints", "skeleton", "pairs", "masked": stems that have a real mask}."""
    for file in (root / "name_map.json", root.parent / "name_map.json"):
        if not file.is_file():
            continue
        top = Item(file, "top level", checks.load_json(file))
        result: dict[str, dict[str, Any]] = {}
        for folder, raw in Item(file, "categories", top.required("categories")).data.items():
            item = Item(file, said("category {0}", folder), raw)
            names = [Item(file, folder, {"name": n}).text("name") for n in item.items("keypoints")]
            result[folder] = {"item": item, "name": item.text("name"), "keypoints": names, "masked": set()}
        for raw in top.items("images", []):
            item = Item(file, "images", raw)
            if item.data.get("has_mask") is True and item.text("category") in result:
                result[item.text("category")]["masked"].add(item.text("stem"))
        return result
    return {}


def _category(folder: str, slots: int, known: dict[str, Any] | None) -> DatasetCategory:
    if known is None:
        return DatasetCategory(folder, KeypointSchema(tuple(str(i) for i in range(slots))))
    item: Item = known["item"]
    count = len(known["keypoints"])

    def index_pairs(key: str) -> tuple[tuple[int, int], ...]:
        result = []
        for entry in item.items(key, []):
            if not isinstance(entry, list) or len(entry) != 2:
                raise item.error(said('each entry of "{0}" must be a pair', key))
            a, b = (checks.whole(v, item, f'"{key}"', low=0) for v in entry)
            if a < count and b < count:
                result.append((a, b))
        return tuple(result)

    return DatasetCategory(
        known["name"], KeypointSchema(tuple(known["keypoints"]), index_pairs("skeleton"), index_pairs("pairs"))
    )


def _read_image(
    root: Path,
    file: Path,
    category: str,
    known: dict[str, dict[str, Any]],
    splits: dict[tuple[str, str], str],
    report: Report,
) -> tuple[DatasetImage, int]:
    where = f"{category}/{file.name}"
    item = Item(file, where, checks.load_json(file))
    for key, folder in (("category", category), ("filename", file.stem)):
        told = item.data.get(key)
        if isinstance(told, str) and told and told != folder and PurePosixPath(told).stem != folder:
            report.add(
                "flagged",
                where,
                said('its "{0}" says "{1}", its place says "{2}"; the place counts', key, told[:80], folder),
            )
    width, height = checks.image_size(item, item.required("image_width"), item.required("image_height"))
    raw = Item(file, said("{0} kps", where), item.required("kps"))
    entry = known.get(category)
    keypoints: dict[str, DatasetKeypoint] = {}
    highest = 0
    for key, value in raw.data.items():
        slot = int(key) if key.isascii() and key.isdigit() and len(key) < 5 else -1
        if slot < 0:
            raise raw.error(said('"{0}" is no keypoint number', key))
        if entry is not None and slot >= len(entry["keypoints"]):
            if value is not None:
                report.count("skipped", "keypoint beyond those of name_map.json", said("{0}, {1}", where, key), "")
            continue
        name = entry["keypoints"][slot] if entry is not None else str(slot)
        if value is not None:
            highest = max(highest, slot + 1)
            keypoints[name] = _keypoint(raw, value, name)
        elif entry is not None:
            keypoints[name] = DatasetKeypoint(Visibility.ABSENT)
    stem = file.stem
    mask = (
        None if entry is not None and stem not in entry["masked"] else _read_mask(root, category, stem, width, height)
    )
    instance = DatasetInstance(
        entry["name"] if entry is not None else category,
        keypoints,
        _box(item),
        mask,
        origin="imported",
        extra={"spair": {k: checks.plain(v) for k, v in item.data.items() if k not in ("kps", "bndbox")}},
    )
    relative = PurePosixPath("JPEGImages", category, f"{stem}.jpg")
    image = DatasetImage(relative, width, height, (instance,), split=splits.get((category, stem), ""))
    return image, highest


def _keypoint(item: Item, value: Any, name: str) -> DatasetKeypoint:
    if not isinstance(value, list) or len(value) != 2:
        raise item.error(said("keypoint {0} must be [x, y] or null", name))
    x, y = (checks.coordinate(v, item, said("keypoint {0}", name)) for v in value)
    x, y = (float(v) for v in index_to_continuous((x, y)))
    return DatasetKeypoint(Visibility.VISIBLE, x, y)


def _box(item: Item) -> tuple[float, float, float, float] | None:
    if item.data.get("bndbox") is None:
        return None
    x0, y0, x1, y1 = (checks.coordinate(v, item, '"bndbox"') for v in item.numbers("bndbox", 4))
    if x1 <= x0 or y1 <= y0:
        raise item.error('"bndbox" must be [x1, y1, x2, y2] with x1 < x2 and y1 < y2')
    return x0, y0, x1, y1


def _read_mask(root: Path, category: str, stem: str, width: int, height: int) -> MaskRLE | None:
    file = root / "Segmentation" / category / f"{stem}.png"
    if not file.is_file():
        return None
    values = read_index_mask(file, (width, height))
    own = values == voc_class_id(category)
    if not own.any():
        own = (values > 0) & (values != 255)
    return MaskRLE.encode(own) if np.any(own) else None
