"""YOLO pose and YOLO seg as Ultralytics reads them (methods/formats.md#yolo): data.yaml, images/<split>/, labels/<split>/.

A line is a pose or an outline, never both, so these are two formats. All classes share one number of keypoints: shorter
schemas are filled up with absent ones. Ultralytics itself is AGPL: only its file format is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import WriteOptions, begin, lost, tick
from kinmark.projects.formats.coco_write import instance_box
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.files import jpeg_bytes
from kinmark.projects.formats.outlines import outline_of
from kinmark.projects.formats.polygons import mask_rings
from kinmark.projects.formats.sinks import Sink, open_sink
from kinmark.projects.formats.splitting import simple_splits
from kinmark.projects.formats.stems import NAME_MAP, flat_stems, name_map_bytes

MIN_SIDE = 10
MARGIN = 0.01
_Line = Callable[[DatasetInstance, DatasetImage], str | None]


def losses_pose(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What YOLO pose cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    return lost(
        [
            ("masks", sum(n.mask is not None for n in instances), "a pose line has no outline; use yolo-seg for them"),
            ("identities", sum(bool(n.identity) for n in instances), "no place for them"),
            ("instances without keypoints", sum(not _has_points(n) for n in instances), "left out"),
            ("crowds", sum(n.crowd and _has_points(n) for n in instances), "left out"),
            ("categories without keypoints", sum(not len(c.schema) for c in dataset.categories), "left out"),
            ("keypoints outside the picture", _outside(dataset), "written as absent"),
            ("skeletons", any(c.schema.edges for c in dataset.categories), "no place for them"),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
            ("difference between absent and not looked at", any(n.keypoints for n in instances), "both are 0 0 0"),
        ]
    )


def _has_points(instance: DatasetInstance) -> bool:
    return any(k.visibility for k in instance.keypoints.values())


def _outside(dataset: Dataset) -> int:
    return sum(
        k.x is not None and k.y is not None and not (0 <= k.x <= image.width and 0 <= k.y <= image.height)
        for image in dataset.images
        for instance in image.instances
        for k in instance.keypoints.values()
    )


def losses_seg(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What YOLO seg cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    rings = [mask_rings(n.mask.decode()) for n in instances if n.mask is not None and not n.crowd]
    return lost(
        [
            ("masks with holes", sum(bool(holes) for _, holes in rings), "one outline per instance: filled"),
            (
                "masks in several parts",
                sum(len(outer) > 1 for outer, _ in rings),
                "one outline per instance: largest part kept",
            ),
            ("keypoints", sum(bool(n.keypoints) for n in instances), "an outline has none; use yolo-pose for them"),
            ("instances without mask", sum(n.mask is None or not n.mask.area for n in instances), "left out"),
            ("crowds", sum(n.crowd and n.mask is not None for n in instances), "left out"),
            ("identities", sum(bool(n.identity) for n in instances), "no place for them"),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
        ]
    )


def write_pose(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write a pose data set to the (new or earlier-exported) folder `out`."""
    report = Report("yolo-pose", items=losses_pose(dataset, options))
    categories = _with_keypoints(dataset)
    count = max(len(c.schema) for c in categories)
    index = {c.name: i for i, c in enumerate(categories)}
    schemas = {c.name: c.schema.names for c in categories}

    def line(instance: DatasetInstance, image: DatasetImage) -> str | None:
        if instance.category not in index or instance.crowd or not _has_points(instance):
            return None
        return _pose_line(instance, image, index[instance.category], schemas[instance.category], count)

    extra: dict[str, Any] = {
        "kpt_shape": [count, 3],
        "kpt_names": {i: _padded(c, count) for i, c in enumerate(categories)},
        "kinmark_pairs": {c.name: [list(p) for p in c.schema.pairs] for c in categories},
    }
    flip = _flip(categories, report)
    if flip is not None:
        extra["flip_idx"] = flip
    names = {"names": {i: c.name for i, c in enumerate(categories)}}
    _write_all(dataset, out, names | extra, line, report, options, progress, cancel)
    return report


def write_seg(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write a segmentation data set to the (new or earlier-exported) folder `out`."""
    report = Report("yolo-seg", items=losses_seg(dataset, options))
    names = [c.name for c in dataset.categories]
    index = {name: i for i, name in enumerate(names)}

    def line(instance: DatasetInstance, image: DatasetImage) -> str | None:
        if instance.mask is None or not instance.mask.area or instance.crowd:
            return None
        drawn = outline_of(instance)
        outer = [np.reshape(r, (-1, 2)) for r in drawn] if drawn else mask_rings(instance.mask.decode())[0]
        ring = max(outer, key=_area) / (image.width, image.height)
        if drawn and not (ring.min() >= -MARGIN and ring.max() <= 1 + MARGIN):  # the reader refuses what lies outside
            ring = max(mask_rings(instance.mask.decode())[0], key=_area) / (image.width, image.height)
        return f"{index[instance.category]} " + " ".join(_number(v) for v in ring.reshape(-1))

    _write_all(dataset, out, {"names": dict(enumerate(names))}, line, report, options, progress, cancel)
    return report


def rehearse_pose(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Splits, flips and photos that are left out; UserInputError when no category has keypoints."""
    report = Report("yolo-pose")
    _flip(_with_keypoints(dataset), report)
    _splits(dataset, options, report)
    _large_enough(dataset, report)
    return report.items


def rehearse_seg(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Splits and photos that are left out."""
    report = Report("yolo-seg")
    _splits(dataset, options, report)
    _large_enough(dataset, report)
    return report.items


def _with_keypoints(dataset: Dataset) -> list[DatasetCategory]:
    categories = [c for c in dataset.categories if len(c.schema)]
    if not categories:
        raise UserInputError("No category has keypoints; YOLO pose needs some.", "Use yolo-seg for masks.")
    return categories


def _flip(categories: list[DatasetCategory], report: Report) -> list[int] | None:
    """`flip_idx`, None when the categories do not share one."""
    count = max(len(c.schema) for c in categories)
    flips = {tuple(_padded_flip(c, count)) for c in categories}
    if len(flips) == 1:
        return list(flips.pop())
    report.add("flagged", "flip_idx", "the categories have different left/right pairs; flips are off")
    return None


def _splits(dataset: Dataset, options: WriteOptions, report: Report) -> dict[PurePosixPath, str]:
    splits = simple_splits(dataset, ("train", "val", "test"), options.seed, report)
    if "val" not in splits.values():
        report.add("flagged", "data.yaml", "no image is in the split val; val points to the same images as train")
    return splits


def _large_enough(dataset: Dataset, report: Report) -> list[DatasetImage]:
    small = [image for image in dataset.images if min(image.width, image.height) < MIN_SIDE]
    for image in small:
        report.add("skipped", str(image.rel_path), said("images under {0} pixels are rejected by the reader", MIN_SIDE))
    return [image for image in dataset.images if min(image.width, image.height) >= MIN_SIDE]


def _padded(category: DatasetCategory, count: int) -> list[str]:
    names = list(category.schema.names)
    return names + [f"unused_{i}" for i in range(len(names), count)]


def _padded_flip(category: DatasetCategory, count: int) -> list[int]:
    return [*category.schema.flip_index, *range(len(category.schema), count)]


def _area(ring: np.ndarray) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _number(value: float) -> str:
    """Ten significant digits: below a millionth of a pixel on any photo."""
    return f"{value:.10g}"


def _pose_line(
    instance: DatasetInstance, image: DatasetImage, index: int, names: tuple[str, ...], count: int
) -> str | None:
    box = instance_box(instance)
    if box is None:
        return None
    x0, x1 = (min(max(v, 0.0), image.width) / image.width for v in (box[0], box[2]))
    y0, y1 = (min(max(v, 0.0), image.height) / image.height for v in (box[1], box[3]))
    if x1 <= x0 or y1 <= y0:
        return None
    values = [str(index), *(_number(v) for v in ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))]
    for name in names:
        k = instance.keypoints.get(name)
        inside = (
            k is not None
            and k.x is not None
            and k.y is not None
            and 0 <= k.x <= image.width
            and 0 <= k.y <= image.height
        )
        if k is None or k.x is None or k.y is None or not inside or k.visibility == Visibility.ABSENT:
            values += ["0", "0", "0"]
        else:
            values += [_number(k.x / image.width), _number(k.y / image.height), str(int(k.visibility))]
    return " ".join(values + ["0"] * 3 * (count - len(names)))


def _write_all(
    dataset: Dataset,
    out: Path,
    head: dict[str, Any],
    line: _Line,
    report: Report,
    options: WriteOptions,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> None:
    splits = _splits(dataset, options, report)
    used = sorted(set(splits.values())) or ["train"]
    data = {"path": ".", "train": f"images/{used[0] if 'train' not in used else 'train'}"}
    data["val"] = f"images/{'val' if 'val' in used else data['train'].removeprefix('images/')}"
    if "test" in used:
        data["test"] = "images/test"
    stems = flat_stems(i.rel_path for i in dataset.images)
    begin(progress, "Writing YOLO", len(dataset.images))
    with open_sink(out, report.format, options.archive) as sink:
        sink.add("data.yaml", yaml.safe_dump(data | head, sort_keys=False).encode())
        sink.add(NAME_MAP, name_map_bytes(stems))
        for image in _large_enough(dataset, report):
            _write_image(sink, image, f"{splits[image.rel_path]}/{stems[image.rel_path]}", line, report)
            tick(progress, cancel, str(image.rel_path))
    report.files.append(str(out) + options.archive)


def _write_image(sink: Sink, image: DatasetImage, name: str, line: _Line, report: Report) -> None:
    try:
        picture = jpeg_bytes(image)
    except AppError as error:
        report.add("skipped", str(image.rel_path), error.user_message)
        return
    lines = []
    for instance in image.instances:
        text = line(instance, image)
        if text is None:
            report.add(
                "skipped", str(image.rel_path), said('a "{0}" has nothing that this format holds', instance.category)
            )
            continue
        if text in lines:  # Ultralytics drops repeated lines
            report.add(
                "skipped", str(image.rel_path), said('a "{0}" with the same line as another one', instance.category)
            )
            continue
        lines.append(text)
        report.instances += 1
        report.keypoints += (
            sum(k.visibility > 0 for k in instance.keypoints.values()) if report.format == "yolo-pose" else 0
        )
        report.masks += report.format == "yolo-seg"
    sink.add(f"images/{name}.jpg", picture)
    sink.add(f"labels/{name}.txt", "".join(f"{text}\n" for text in lines).encode("ascii"))
    report.images += 1


def label_path(image: PurePosixPath) -> PurePosixPath:
    """Ultralytics' rule: the last "images" folder becomes "labels", the suffix .txt."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return PurePosixPath(*parts).with_suffix(".txt")
