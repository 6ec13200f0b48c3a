"""Read YOLO pose and seg folders: data.yaml, the images of each split, and their label files."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from engine.domain.errors import AppError
from engine.domain.keypoints import KeypointSchema, Visibility
from engine.domain.progress import CancelToken, Progress
from engine.imaging import is_image_path, read_header
from projects.formats import checks
from projects.formats.base import BadItems, ReadOptions, begin, count_dataset, tick
from projects.formats.checks import Item
from projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint, Report
from projects.formats.polygons import MAX_POINTS, polygons_to_mask
from projects.formats.schemas import guess_pairs, unique_names
from projects.formats.yamlfile import load_yaml
from projects.formats.yolo import label_path

MARGIN = 0.01


def read_pose(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a pose data set: the folder with data.yaml, or that file."""
    return _read(path, True, options, progress, cancel)


def read_seg(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a segmentation data set: the folder with data.yaml, or that file."""
    return _read(path, False, options, progress, cancel)


def _read(
    path: Path, pose: bool, options: ReadOptions, progress: Progress | None, cancel: CancelToken | None
) -> tuple[Dataset, Report]:
    report = Report("yolo-pose" if pose else "yolo-seg")
    file = path / "data.yaml" if path.is_dir() else path
    top = load_yaml(file)
    root = file.parent
    categories, dims = _categories(top, pose, report)
    broken = BadItems(report, options.skip_bad)
    found = _find_images(root, top, report)
    begin(progress, "Reading YOLO", len(found))
    images: list[DatasetImage] = []
    for relative, split in found:
        tick(progress, cancel, str(relative))
        try:
            header = read_header(root / relative)
            image = DatasetImage(relative, header.width, header.height, split=split, orientation=header.orientation)
            instances = _read_labels(root / label_path(relative), image, categories, dims)
            images.append(DatasetImage(
                relative, image.width, image.height, instances, split=split, orientation=header.orientation
            ))  # fmt: skip
        except AppError as error:
            broken.handle(str(relative), error)
    dataset = Dataset(tuple(categories), tuple(images), root.name)
    report.extra["images_root"] = str(root)
    count_dataset(report, dataset)
    return dataset, report


def _categories(top: Item, pose: bool, report: Report) -> tuple[list[DatasetCategory], int]:
    raw = top.required("names")
    entries = dict(enumerate(raw)) if isinstance(raw, list) else raw
    if not isinstance(entries, dict) or not entries:
        raise top.error('"names" must list the classes')
    numbers = sorted(checks.whole(k, top, 'a key of "names"', low=0, high=100_000) for k in entries)
    if numbers != list(range(len(numbers))):
        raise top.error('"names" must number the classes 0, 1, 2 ...')
    names = unique_names([Item(top.path, "names", {"n": entries[i]}).text("n") for i in numbers], "names", report)
    if not pose:
        return [DatasetCategory(name) for name in names], 0
    shape = [checks.whole(v, top, '"kpt_shape"', low=1, high=checks.MAX_KEYPOINTS) for v in top.items("kpt_shape")]
    if len(shape) != 2 or shape[1] not in (2, 3):
        raise top.error('"kpt_shape" must be [number of keypoints, 2 or 3]')
    pairs = _flip_pairs(top, shape[0])
    own_pairs = Item(top.path, "kinmark_pairs", top.data.get("kinmark_pairs") or {})
    result = []
    for i, name in enumerate(names):
        points = _keypoint_names(top, i, shape[0], report)
        chosen = pairs or guess_pairs(points)
        if name in own_pairs.data:
            chosen = tuple(
                (checks.whole(a, top, "a pair", low=0, high=len(points) - 1), checks.whole(b, top, "a pair", low=0, high=len(points) - 1))
                for a, b in (e for e in own_pairs.items(name) if isinstance(e, list) and len(e) == 2)
            )  # fmt: skip
        result.append(DatasetCategory(name, KeypointSchema(tuple(points), pairs=chosen)))
    return result, shape[1]


def _keypoint_names(top: Item, index: int, count: int, report: Report) -> list[str]:
    table = top.data.get("kpt_names")
    raw = table.get(index) if isinstance(table, dict) else None
    if not isinstance(raw, list) or len(raw) != count:
        return [f"kp{i}" for i in range(count)]
    names = [Item(top.path, "kpt_names", {"n": n}).text("n") for n in raw]
    while names and names[-1] == f"unused_{len(names) - 1}":
        names.pop()
    return unique_names(names, "kpt_names", report)


def _flip_pairs(top: Item, count: int) -> tuple[tuple[int, int], ...]:
    raw = top.data.get("flip_idx")
    if not isinstance(raw, list) or not raw:
        return ()
    flip = [checks.whole(v, top, '"flip_idx"', low=0, high=count - 1) for v in raw]
    if len(flip) != count or any(flip[flip[i]] != i for i in range(count)):
        raise top.error('"flip_idx" must exchange keypoints in pairs')
    return tuple((i, j) for i, j in enumerate(flip) if i < j)


def _find_images(root: Path, top: Item, report: Report) -> list[tuple[PurePosixPath, str]]:
    """(path relative to the folder of data.yaml, split); each image once, in the first split that lists it."""
    found: dict[PurePosixPath, str] = {}
    for split in ("train", "val", "test"):
        value = top.data.get(split)
        for entry in value if isinstance(value, list) else [value]:
            if not isinstance(entry, str):
                continue
            # Exports often say "../train/images" or an absolute place of another machine: look below our folder only.
            parts = [p for p in PurePosixPath(entry.replace("\\", "/")).parts if p not in ("..", ".", "/")]
            folder = next(
                (root.joinpath(*parts[i:]) for i in range(len(parts)) if root.joinpath(*parts[i:]).is_dir()), None
            )
            if folder is None:
                report.add("skipped", f"{split}: {entry[:200]}", "there is no such folder beside data.yaml")
                continue
            for file in sorted(folder.rglob("*")):
                if file.is_file() and is_image_path(file) and file.resolve().is_relative_to(root.resolve()):
                    found.setdefault(PurePosixPath(file.relative_to(root).as_posix()), split)
    return list(found.items())


def _read_labels(
    file: Path, image: DatasetImage, categories: list[DatasetCategory], dims: int
) -> tuple[DatasetInstance, ...]:
    if not file.is_file():
        return ()  # an image without objects has no label file
    instances = []
    for number, line in enumerate(checks.read_text(file).splitlines(), start=1):
        if line.strip():
            instances.append(_read_line(Item(file, f"line {number}", {}), line, image, categories, dims))
    return tuple(instances)


def _read_line(
    item: Item, line: str, image: DatasetImage, categories: list[DatasetCategory], dims: int
) -> DatasetInstance:
    try:
        values = [float(v) for v in line.split()]
    except ValueError:
        raise item.error("a line must hold numbers only") from None
    index = checks.whole(values[0], item, "the class", low=0, high=len(categories) - 1)
    category = categories[index]
    if not dims:
        return _outline(item, values[1:], image, category)
    for i, value in enumerate(values[1:]):
        is_flag = dims == 3 and i >= 4 and (i - 4) % 3 == 2
        if not is_flag and not -MARGIN <= value <= 1 + MARGIN:
            raise item.error(f"the coordinate {value} is not normalised to 0..1")
    return _pose(item, values[1:], image, category, dims)


def _pose(item: Item, values: list[Any], image: DatasetImage, category: DatasetCategory, dims: int) -> DatasetInstance:
    points = values[4:]
    count = len(points) // dims
    if len(values) < 4 or len(points) % dims or count < len(category.schema):
        raise item.error(f"{len(values) + 1} columns cannot be 5 + K x {dims}")
    cx, cy, w, h = values[:4]
    box = (
        (cx - w / 2) * image.width,
        (cy - h / 2) * image.height,
        (cx + w / 2) * image.width,
        (cy + h / 2) * image.height,
    )
    keypoints: dict[str, DatasetKeypoint] = {}
    for k, name in enumerate(category.schema.names):
        x, y = points[k * dims : k * dims + 2]
        default = 0 if x == 0 and y == 0 else 2
        state = checks.whole(points[k * dims + 2], item, "a visibility flag", low=0, high=2) if dims == 3 else default
        place = (x * image.width, y * image.height) if state else (None, None)
        keypoints[name] = DatasetKeypoint(Visibility(state), *place)
    return DatasetInstance(category.name, keypoints, box if w > 0 and h > 0 else None, origin="imported")


def _outline(item: Item, values: list[float], image: DatasetImage, category: DatasetCategory) -> DatasetInstance:
    if len(values) < 6 or len(values) % 2 or len(values) > 2 * MAX_POINTS:
        raise item.error(f"an outline of {len(values)} numbers cannot be drawn (an even count of at least 6 is needed)")
    if not all(-MARGIN <= v <= 1 + MARGIN for v in values):
        raise item.error("a coordinate is not normalised to 0..1")
    flat = [v * (image.height if i % 2 else image.width) for i, v in enumerate(values)]
    try:
        mask = polygons_to_mask([flat], image.height, image.width)
    except ValueError as error:
        raise item.error(f"the outline cannot be drawn: {error}") from None
    return DatasetInstance(category.name, {}, None, mask, origin="imported")
