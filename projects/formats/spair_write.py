"""Write SPair-71k: `OUT/SPair-71k/` laid out so that every published reader takes it (methods/formats.md#spair, "safe export").

Integer keypoints are floor(x) clamped to the image, 30 slots, 1 to 20 common keypoints a pair; pictures are 3-channel JPEG
with EXIF applied; both Layout sizes end with a newline. `OUT/name_map.json` tells which stem is which photo.
Our own rules where the data set's are not published: a pair counts both ways in Layout/large and once in Layout/small;
scale_variation 0/1/2 when the longer box sides differ by up to 1.5 / 3 / more; viewpoint_variation 0/1/2 when the common
keypoints fit a similarity within 10 % / 25 % / worse of their spread; mirror 1 when the mirrored fit is twice as good.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.geometry import box_of_points, continuous_to_pixel, fit_similarity
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import WriteOptions, begin, lost, tick
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.files import jpeg_bytes, write_atomically
from kinmark.projects.formats.sinks import Sink, open_sink
from kinmark.projects.formats.spair_names import StemMaker, category_names, voc_class_id
from kinmark.projects.formats.splitting import SPAIR_SPLITS, split_images

ROOT = "SPair-71k"
SLOTS = 30
MAX_COMMON = 20


@dataclass(frozen=True)
class _Entry:
    """One image of one category: its stem and split, integer keypoints by slot, and the box."""

    image: DatasetImage
    instance: DatasetInstance
    category: str
    stem: str
    split: str
    keypoints: dict[int, tuple[int, int]]
    box: tuple[int, int, int, int]


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What SPair-71k cannot say about this data set."""
    instances = [n for image in dataset.images for n in image.instances]
    several = sum(
        max(0, sum(1 for n in image.instances if n.category == c.name) - 1)
        for image in dataset.images
        for c in dataset.categories
    )
    hidden = sum(1 for n in instances for k in n.keypoints.values() if k.visibility == Visibility.HIDDEN)
    outside = sum(
        k.x is not None and k.y is not None and not (0 <= k.x <= image.width and 0 <= k.y <= image.height)
        for image in dataset.images
        for n in image.instances
        for k in n.keypoints.values()
    )
    why_hidden = "SPair marks visible keypoints only" if not options.extra.get("hidden") else "written as visible"
    return lost(
        [
            ("sub-pixel keypoint positions", any(n.keypoints for n in instances), "SPair holds whole pixels"),
            (
                "skeletons and left/right pairs",
                any(c.schema.edges or c.schema.pairs for c in dataset.categories),
                "kept in name_map.json only",
            ),
            ("keypoints outside the photo", outside, "moved to its border"),
            ("fractions of box corners", any(n.box for n in instances), "SPair boxes are whole pixels"),
            ("hidden keypoints", hidden, why_hidden),
            ("further instances of a category in one image", several, "one instance per image: the best labelled one"),
            (
                "keypoints beyond 30",
                sum(max(0, len(c.schema) - SLOTS) for c in dataset.categories),
                "SPair has 30 slots",
            ),
            ("crowd regions", sum(n.crowd for n in instances), "no place for them"),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted keypoints"),
        ]
    )


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write the export; images that cannot be used are skipped and reported, UserInputError when no pair is left."""
    report = Report("spair", items=losses(dataset, options))
    names, entries, pairs = _plan(dataset, options, report)
    inside = out.name == ROOT
    target = out if inside else out / ROOT
    begin(progress, "Writing SPair-71k", len(entries) + sum(len(p) for p in pairs.values()))
    with open_sink(target, "spair", options.archive) as sink:
        _write_images(sink, entries, progress, cancel)
        _write_pairs(sink, pairs, progress, cancel)
        name_map = _json(_name_map(dataset, names, entries))
        if inside:
            sink.add("name_map.json", name_map)
    if not inside:
        write_atomically(out / "name_map.json", name_map)
    report.files.append(str(target) + options.archive)
    report.images, report.instances = len(entries), len(entries)
    report.keypoints = sum(len(e.keypoints) for e in entries)
    report.masks = sum(e.instance.mask is not None for e in entries)
    report.extra["pairs"] = {split: len(p) for split, p in pairs.items()}
    return report


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Names, splits and what is left out; UserInputError when no pair is left."""
    report = Report("spair")
    _plan(dataset, options, report)
    return report.items


def _plan(
    dataset: Dataset, options: WriteOptions, report: Report
) -> tuple[dict[str, str], list[_Entry], dict[str, list[tuple[_Entry, _Entry]]]]:
    """Category names, the images that are written, and the pairs of each split."""
    names = category_names([c.name for c in dataset.categories if len(c.schema)], options.aliases)
    for name, safe in names.items():
        if safe != name:
            report.add(
                "changed",
                said("category {0}", name),
                said('written as "{0}": readers trip over the original name', safe),
            )
    entries = _collect(dataset, names, options, report)
    pairs = {split: _pairs(entries, split, options) for split in SPAIR_SPLITS}
    entries = _drop_unpaired(entries, pairs, report)
    if not entries:
        raise UserInputError(
            "There is nothing to export as SPair-71k: no two accepted images share a visible keypoint.",
            "Accept or label the same keypoints on at least two images of a category.",
        )
    for entry in entries:
        if entry.stem != str(entry.image.rel_path.with_suffix("")):
            told = said("{0} is called {1} there", entry.image.rel_path, entry.stem)
            report.count("changed", "new name of a photo", told, "name_map.json has all")
        if entry.instance.mask is None:
            place = f"{entry.category}/{entry.stem}"
            report.count("changed", "instance without a mask", place, "its box stands in the Segmentation picture")
    for split, list_ in pairs.items():
        if not list_:
            report.add("flagged", said("split {0}", split), "it has no pair; readers of this split find nothing")
    return names, entries, pairs


def _collect(dataset: Dataset, names: dict[str, str], options: WriteOptions, report: Report) -> list[_Entry]:
    stems = StemMaker(names.values())
    entries: list[_Entry] = []
    splits = split_images(dataset, list(names), options.seed, report)
    for category in dataset.categories:
        if category.name not in names:
            report.add(
                "skipped", said("category {0}", category.name), "it has no keypoints; SPair is about keypoint pairs"
            )
            continue
        for image in dataset.images:
            candidates = [n for n in image.instances if n.category == category.name and not n.crowd]
            if not candidates:
                continue
            instance = max(candidates, key=lambda n: _worth(n))
            keypoints = _slots(instance, category, image, bool(options.extra.get("hidden")))
            if not keypoints:
                report.add("skipped", str(image.rel_path), said('its "{0}" has no visible keypoint', category.name))
                continue
            safe = names[category.name]
            entries.append(
                _Entry(
                    image,
                    instance,
                    safe,
                    stems.stem(safe, image.rel_path),
                    splits[category.name][image.rel_path],
                    keypoints,
                    _box(instance, image),
                )
            )
    return entries


def _worth(instance: DatasetInstance) -> tuple[int, float]:
    """Most visible keypoints first, then the largest box."""
    box = instance.box or (0.0, 0.0, 0.0, 0.0)
    visible = sum(1 for k in instance.keypoints.values() if k.visibility == Visibility.VISIBLE)
    return visible, (box[2] - box[0]) * (box[3] - box[1])


def _slots(
    instance: DatasetInstance, category: DatasetCategory, image: DatasetImage, hidden: bool
) -> dict[int, tuple[int, int]]:
    """Schema index -> whole pixel of the keypoints that SPair shows, the first 30 of the schema at most."""
    lowest = Visibility.HIDDEN if hidden else Visibility.VISIBLE
    result: dict[int, tuple[int, int]] = {}
    for slot, name in enumerate(category.schema.names[:SLOTS]):
        keypoint = instance.keypoints.get(name)
        if keypoint is None or keypoint.x is None or keypoint.y is None or keypoint.visibility < lowest:
            continue
        x, y = continuous_to_pixel((keypoint.x, keypoint.y), (image.width, image.height))
        result[slot] = (int(x), int(y))
    return result


def _box(instance: DatasetInstance, image: DatasetImage) -> tuple[int, int, int, int]:
    """Whole-pixel corners that hold the instance's box (else mask, else keypoints), at least one pixel each way."""
    box = instance.box
    if box is None and instance.mask is not None and instance.mask.area:
        box = instance.mask.box
    if box is None:
        points = [(k.x, k.y) for k in instance.keypoints.values() if k.x is not None and k.y is not None]
        box = box_of_points(points)
    x0 = int(min(max(np.floor(box[0]), 0), image.width - 1))
    y0 = int(min(max(np.floor(box[1]), 0), image.height - 1))
    x1 = int(min(max(np.ceil(box[2]), x0 + 1), image.width))
    y1 = int(min(max(np.ceil(box[3]), y0 + 1), image.height))
    return x0, y0, x1, y1


def _pairs(entries: list[_Entry], split: str, options: WriteOptions) -> list[tuple[_Entry, _Entry]]:
    """Ordered pairs of one split that share a keypoint; at most `max_pairs` per category, drawn with the seed."""
    result: list[tuple[_Entry, _Entry]] = []
    for category in sorted({e.category for e in entries}):
        members = [e for e in entries if e.category == category and e.split == split]
        pairs = [(a, b) for a, b in permutations(members, 2) if a.keypoints.keys() & b.keypoints.keys()]
        if 0 < options.max_pairs < len(pairs):
            chosen = np.random.default_rng(options.seed).choice(len(pairs), options.max_pairs, replace=False)
            pairs = [pairs[i] for i in sorted(chosen)]
        result.extend(pairs)
    return result


def _drop_unpaired(
    entries: list[_Entry], pairs: dict[str, list[tuple[_Entry, _Entry]]], report: Report
) -> list[_Entry]:
    """Readers take every folder for a category: leave out the categories without a single pair."""
    paired = {a.category for list_ in pairs.values() for a, _ in list_}
    for category in sorted({e.category for e in entries} - paired):
        report.add(
            "skipped", said("category {0}", category), "no two of its images of one split share a visible keypoint"
        )
    return [e for e in entries if e.category in paired]


def _write_images(sink: Sink, entries: list[_Entry], progress: Progress | None, cancel: CancelToken | None) -> None:
    for entry in entries:
        try:
            picture = jpeg_bytes(entry.image)
        except AppError as error:
            # A pair without its picture breaks every reader, and pairs are already chosen: stop with the file's name.
            raise UserInputError(
                said("The SPair export needs the picture {0}: {1}", entry.image.rel_path, error.user_message),
                error.hint,
            ) from None
        sink.add(f"JPEGImages/{entry.category}/{entry.stem}.jpg", picture)
        sink.add(f"ImageAnnotation/{entry.category}/{entry.stem}.json", _json(_image_json(entry)))
        sink.add(f"Segmentation/{entry.category}/{entry.stem}.png", _mask_png(entry))
        tick(progress, cancel, entry.stem)


def _image_json(entry: _Entry) -> dict[str, Any]:
    instance, image = entry.instance, entry.image
    return {
        "filename": f"{entry.stem}.jpg",
        "src_database": "Kinmark",
        "src_annotation": "Kinmark",
        "src_image": "local",
        "image_width": image.width,
        "image_height": image.height,
        "image_depth": 3,
        "category": entry.category,
        "pose": "Unspecified",
        "truncated": int(_truncated(entry)),
        "occluded": int(_occluded(instance)),
        "difficult": 0,
        "bndbox": list(entry.box),
        "azimuth_id": 0,
        "kps": {str(slot): list(entry.keypoints[slot]) if slot in entry.keypoints else None for slot in range(SLOTS)},
    }


def _mask_png(entry: _Entry) -> bytes:
    mask = np.zeros((entry.image.height, entry.image.width), dtype=np.uint8)
    if entry.instance.mask is not None:
        mask[entry.instance.mask.decode()] = voc_class_id(entry.category)
    else:
        x0, y0, x1, y1 = entry.box
        mask[y0:y1, x0:x1] = voc_class_id(entry.category)
    buffer = io.BytesIO()
    Image.fromarray(mask, "L").save(buffer, "PNG")
    return buffer.getvalue()


def _truncated(entry: _Entry) -> bool:
    x0, y0, x1, y1 = entry.box
    return x0 <= 0 or y0 <= 0 or x1 >= entry.image.width or y1 >= entry.image.height


def _occluded(instance: DatasetInstance) -> bool:
    return any(k.visibility == Visibility.HIDDEN for k in instance.keypoints.values())


def _write_pairs(
    sink: Sink,
    pairs: dict[str, list[tuple[_Entry, _Entry]]],
    progress: Progress | None,
    cancel: CancelToken | None,
) -> None:
    number = 0
    for split, list_ in pairs.items():
        lines: dict[str, list[str]] = {"large": [], "small": []}
        seen: set[tuple[str, frozenset[str]]] = set()
        for source, target in list_:
            number += 1
            name = f"{number:06d}-{source.stem}-{target.stem}:{source.category}"
            sink.add(f"PairAnnotation/{split}/{name}.json", _json(_pair_json(number, source, target)))
            lines["large"].append(name)
            both = (source.category, frozenset((source.stem, target.stem)))
            if both not in seen:
                seen.add(both)
                lines["small"].append(name)
            tick(progress, cancel)
        for size, names in lines.items():
            # Readers drop the text after the last newline, so the file must end with one.
            sink.add(f"Layout/{size}/{split}.txt", "".join(f"{n}\n" for n in names).encode("ascii"))


def _pair_json(number: int, source: _Entry, target: _Entry) -> dict[str, Any]:
    slots = _common(source, target)
    src, tgt = ([e.keypoints[s] for s in slots] for e in (source, target))
    viewpoint, mirror = _viewpoint(np.asarray(src, dtype=np.float64), np.asarray(tgt, dtype=np.float64))
    return {
        "filename": f"{number:06d}-{source.stem}-{target.stem}:{source.category}",
        "pair_id": number,
        "src_imname": f"{source.stem}.jpg",
        "trg_imname": f"{target.stem}.jpg",
        "src_imsize": [source.image.width, source.image.height, 3],
        "trg_imsize": [target.image.width, target.image.height, 3],
        "src_bndbox": list(source.box),
        "trg_bndbox": list(target.box),
        "category": source.category,
        "src_pose": "Unspecified",
        "trg_pose": "Unspecified",
        "src_kps": [list(p) for p in src],
        "trg_kps": [list(p) for p in tgt],
        "kps_ids": [str(s) for s in slots],
        "mirror": mirror,
        "viewpoint_variation": viewpoint,
        "scale_variation": _scale(source.box, target.box),
        "truncation": int(_truncated(source)) + 2 * int(_truncated(target)),
        "occlusion": int(_occluded(source.instance)) + 2 * int(_occluded(target.instance)),
    }


def _common(source: _Entry, target: _Entry) -> list[int]:
    """Shared slots in order; an even choice of 20 where there are more (SD4Match reads no more)."""
    slots = sorted(source.keypoints.keys() & target.keypoints.keys())
    if len(slots) <= MAX_COMMON:
        return slots
    return [slots[i] for i in np.linspace(0, len(slots) - 1, MAX_COMMON).round().astype(int)]


def _scale(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    sides = [max(box[2] - box[0], box[3] - box[1]) for box in (a, b)]
    ratio = max(sides) / max(1, min(sides))
    return 0 if ratio <= 1.5 else 1 if ratio <= 3 else 2


def _viewpoint(source: np.ndarray, target: np.ndarray) -> tuple[int, int]:
    """(viewpoint_variation, mirror) from how well `[N, 2]` common keypoints fit a similarity; (0, 0) below 3 points."""
    if len(source) < 3:
        return 0, 0
    spread = float(np.sqrt(((target - target.mean(axis=0)) ** 2).sum(axis=1).mean()))
    if spread < 1e-9:
        return 0, 0
    errors = []
    for points in (source, source * [-1, 1]):
        moved = fit_similarity(points, target).apply(points)
        errors.append(float(np.sqrt(((moved - target) ** 2).sum(axis=1).mean())) / spread)
    mirror = int(errors[1] * 2 < errors[0])
    return (0 if errors[0] <= 0.10 else 1 if errors[0] <= 0.25 else 2), mirror


def _name_map(dataset: Dataset, names: dict[str, str], entries: list[_Entry]) -> dict[str, Any]:
    categories = {}
    for category in dataset.categories:
        if category.name in names:
            schema = category.schema
            categories[names[category.name]] = {
                "name": category.name,
                "keypoints": list(schema.names[:SLOTS]),
                "skeleton": [list(e) for e in schema.edges],
                "pairs": [list(p) for p in schema.pairs],
            }
    images = [
        {
            "category": e.category,
            "stem": e.stem,
            "split": e.split,
            "file_name": str(e.image.rel_path),
            "image_id": e.image.original_id,
            "instance_id": e.instance.original_id,
            "has_mask": e.instance.mask is not None,
        }
        for e in entries
    ]
    return {"categories": categories, "images": images}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, allow_nan=False).encode("ascii")
