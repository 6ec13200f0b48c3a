"""PF-Pascal and PF-Willow: pairs of images with keypoints, as the published loaders read them (methods/formats.md#pf).

Coordinates go out as pixel indices (x - 0.5, fractions kept), 0-based: the loaders of DHPF, CATs, HPF, SCorrSAN and SD4Match
use them so. `WriteOptions.extra["matlab"]` adds 1 for the MATLAB-born code that subtracts it again; the report says which.
`WriteOptions.extra["layout"]`: "dhpf" (default: PF-PASCAL/, PF-WILLOW/) or "sd4match" (pf-pascal/PF-dataset-PASCAL/ ...).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box, continuous_to_index
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.domain.voc import VOC_CLASSES
from kinmark.projects.formats.base import WriteOptions, begin, lost, tick
from kinmark.projects.formats.coco_write import instance_box
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.files import jpeg_bytes, png_bytes
from kinmark.projects.formats.sinks import open_sink
from kinmark.projects.formats.spair_names import ascii_word
from kinmark.projects.formats.splitting import SPAIR_SPLITS, split_images
from kinmark.projects.formats.stems import NAME_MAP, flat_stems, name_map_bytes

WILLOW_POINTS = 10
WILLOW_HEADER = [
    "imageA",
    "imageB",
    *(f"{axis}{image}{n}" for image in "AB" for axis in "XY" for n in range(1, WILLOW_POINTS + 1)),
]


@dataclass(frozen=True)
class _Entry:
    """One image of one category: keypoints `[K, 2]` in the file's frame, NaN where not visible."""

    image: DatasetImage
    instance: DatasetInstance
    category: str
    stem: str
    split: str
    xy: NDArray[np.float64]


def _losses(dataset: Dataset) -> list[ReportItem]:
    instances = [n for i in dataset.images for n in i.instances]
    return lost(
        [
            ("masks", sum(n.mask is not None for n in instances), "PF data sets have none"),
            ("instances without keypoints", sum(not n.keypoints for n in instances), "left out"),
            (
                "difference between hidden and absent",
                any(n.keypoints for n in instances),
                "only visible keypoints are written",
            ),
            (
                "names of keypoints, skeletons, pairs",
                any(len(c.schema) for c in dataset.categories),
                "they have numbers only",
            ),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
        ]
    )


def losses_pascal(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What PF-Pascal cannot say about this data set."""
    foreign = [c.name for c in dataset.categories if options.aliases.get(c.name, c.name) not in VOC_CLASSES]
    return _losses(dataset) + lost(
        [
            (
                "categories that are no VOC class",
                len(foreign),
                said("left out without an alias: {0}", ", ".join(foreign)[:200]),
            ),
        ]
    )


def losses_willow(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What PF-Willow cannot say about this data set."""
    del options
    return _losses(dataset) + lost(
        [
            ("boxes", any(n.box for i in dataset.images for n in i.instances), "PF-Willow has none"),
            (
                "instances without exactly 10 visible keypoints",
                sum(
                    sum(k.visibility == 2 for k in n.keypoints.values()) != WILLOW_POINTS
                    for i in dataset.images
                    for n in i.instances
                ),
                "left out: the loaders reshape to (2, 10)",
            ),
        ]
    )


def _collect(
    dataset: Dataset, categories: Sequence[DatasetCategory], options: WriteOptions, report: Report
) -> list[_Entry]:
    offset = 1.0 if options.extra.get("matlab") else 0.0
    report.extra["coordinates"] = f"pixel indices, {'1' if offset else '0'}-based"
    splits = split_images(dataset, [c.name for c in categories], options.seed, report)
    stems = flat_stems(i.rel_path for i in dataset.images)
    entries: list[_Entry] = []
    for category in categories:
        for image in dataset.images:
            found = [n for n in image.instances if n.category == category.name and not n.crowd and n.keypoints]
            if not found:
                continue
            if len(found) > 1:
                report.add("skipped", str(image.rel_path), said("%n more instances: one per image", n=len(found) - 1))
            instance = max(found, key=lambda n: sum(k.visibility == 2 for k in n.keypoints.values()))
            xy = np.full((len(category.schema), 2), np.nan)
            for row, name in enumerate(category.schema.names):
                k = instance.keypoints.get(name)
                if k is not None and k.x is not None and k.y is not None and k.visibility == Visibility.VISIBLE:
                    xy[row] = continuous_to_index((k.x, k.y)) + offset
            name = options.aliases.get(category.name, category.name)
            split = splits[category.name][image.rel_path]
            entries.append(_Entry(image, instance, name, stems[image.rel_path], split, xy))
    return entries


def _shared(a: _Entry, b: _Entry) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(a.xy).all(axis=1) & np.isfinite(b.xy).all(axis=1), dtype=bool)


def _pairs(entries: list[_Entry], split: str) -> list[tuple[_Entry, _Entry]]:
    members = [e for e in entries if e.split == split]
    return [(a, b) for a, b in permutations(members, 2) if a.category == b.category and _shared(a, b).any()]


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("ascii")


def _mat(entry: _Entry, box: Box) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, {"kps": entry.xy, "bbox": np.asarray([box], dtype=np.float64)})
    return buffer.getvalue()


def _joined(values: NDArray[np.float64]) -> str:
    return ";".join(f"{v:.10g}" for v in values)


def rehearse_pascal(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Splits and what is left out; UserInputError when there is no pair."""
    report = Report("pf-pascal")
    _plan_pascal(dataset, options, report)
    return report.items


def _plan_pascal(
    dataset: Dataset, options: WriteOptions, report: Report
) -> tuple[list[_Entry], dict[str, list[tuple[_Entry, _Entry]]]]:
    usable = [c for c in dataset.categories if options.aliases.get(c.name, c.name) in VOC_CLASSES and len(c.schema)]
    entries = _collect(dataset, usable, options, report)
    pairs = {split: _pairs(entries, split) for split in SPAIR_SPLITS}
    if not any(pairs.values()):
        raise UserInputError(
            "There is nothing to export as PF-Pascal: no two images of a VOC class share a visible keypoint.",
            said("Name the categories by VOC classes with aliases ({0} ...).", ", ".join(VOC_CLASSES[:5])),
        )
    return entries, pairs


def write_pascal(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write the pairs of VOC-named (or aliased) categories; UserInputError when there is none."""
    report = Report("pf-pascal", items=losses_pascal(dataset, options))
    entries, pairs = _plan_pascal(dataset, options, report)
    sd4match = options.extra.get("layout") == "sd4match"
    target, data = (out / "pf-pascal", "PF-dataset-PASCAL/") if sd4match else (out / "PF-PASCAL", "")
    written: set[tuple[str, str]] = set()
    begin(progress, "Writing PF-Pascal", len(entries))
    with open_sink(target, "pf-pascal", options.archive) as sink:
        for entry in entries:
            tick(progress, cancel, entry.stem)
            box = instance_box(entry.instance) or (0.0, 0.0, float(entry.image.width), float(entry.image.height))
            if ("", entry.stem) not in written:
                sink.add(f"{data}JPEGImages/{entry.stem}.jpg", jpeg_bytes(entry.image))
            sink.add(f"{data}Annotations/{entry.category}/{entry.stem}.mat", _mat(entry, box))
            written |= {("", entry.stem), (entry.category, entry.stem)}
        for split, list_ in pairs.items():
            sink.add(f"{split}_pairs.csv", _csv(_pascal_rows(list_, training=split == "trn")))
        sink.add(NAME_MAP, name_map_bytes(flat_stems(i.rel_path for i in dataset.images)))
    _finish(report, entries, pairs, target, options)
    return report


def _pascal_rows(pairs: list[tuple[_Entry, _Entry]], *, training: bool) -> list[list[object]]:
    tail = ["flip"] if training else ["XA", "YA", "XB", "YB"]
    rows: list[list[object]] = [["source_image", "target_image", "class", *tail]]
    for a, b in pairs:
        start: list[object] = [f"PF-dataset-PASCAL/JPEGImages/{e.stem}.jpg" for e in (a, b)]
        start.append(VOC_CLASSES.index(a.category) + 1)
        both = _shared(a, b)
        points = [_joined(e.xy[both, axis]) for e in (a, b) for axis in (0, 1)]
        rows.append(start + ([0] if training else list(points)))
    return rows


def _finish(
    report: Report,
    entries: list[_Entry],
    pairs: dict[str, list[tuple[_Entry, _Entry]]],
    target: Path,
    options: WriteOptions,
) -> None:
    report.images = report.instances = len(entries)
    report.keypoints = sum(int(np.isfinite(e.xy).all(axis=1).sum()) for e in entries)
    report.extra["pairs"] = {split: len(p) for split, p in pairs.items()}
    report.files.append(str(target) + options.archive)


def rehearse_willow(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Splits and what is left out; UserInputError when there is no pair."""
    report = Report("pf-willow")
    _plan_willow(dataset, options, report)
    return report.items


def _plan_willow(
    dataset: Dataset, options: WriteOptions, report: Report
) -> tuple[list[_Entry], list[tuple[_Entry, _Entry]]]:
    entries = [
        e
        for e in _collect(dataset, [c for c in dataset.categories if len(c.schema) >= WILLOW_POINTS], options, report)
        if np.isfinite(e.xy).all(axis=1).sum() == WILLOW_POINTS
    ]
    pairs = [
        (a, b) for a, b in permutations(entries, 2) if a.category == b.category and _shared(a, b).sum() == WILLOW_POINTS
    ]
    if not pairs:
        raise UserInputError(
            "There is nothing to export as PF-Willow: no two images of a category share exactly 10 visible keypoints.",
            "Use SPair-71k or COCO for other schemas.",
        )
    return entries, pairs


def write_willow(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `test_pairs.csv` (42 columns) and PNG pictures of instances with exactly 10 visible keypoints."""
    report = Report("pf-willow", items=losses_willow(dataset, options))
    entries, pairs = _plan_willow(dataset, options, report)
    sd4match = options.extra.get("layout") == "sd4match"
    target, data = (out / "pf-willow", "PF-dataset/") if sd4match else (out / "PF-WILLOW", "")
    folders = {e.category: _willow_class(e.category) for e in entries}
    begin(progress, "Writing PF-Willow", len(entries))
    with open_sink(target, "pf-willow", options.archive) as sink:
        for entry in entries:
            tick(progress, cancel, entry.stem)
            sink.add(f"{data}{folders[entry.category]}/{entry.stem}.png", png_bytes(entry.image))
        rows: list[list[object]] = [list(WILLOW_HEADER)]
        for a, b in pairs:
            names: list[object] = [f"PF-dataset/{folders[e.category]}/{e.stem}.png" for e in (a, b)]
            both = _shared(a, b)
            rows.append(names + [f"{v:.10g}" for e in (a, b) for axis in (0, 1) for v in e.xy[both, axis]])
        sink.add("test_pairs.csv", _csv(rows))
        sink.add(NAME_MAP, name_map_bytes(flat_stems(i.rel_path for i in dataset.images)))
    _finish(report, entries, {"test": pairs}, target, options)
    return report


def _willow_class(name: str) -> str:
    """Folder name; the data set's own names, like car(G), stay."""
    clean = "".join(c if c.isascii() and (c.isalnum() or c in "()_") else "_" for c in name)
    return clean if clean.strip("_") else ascii_word(name) or "object"
