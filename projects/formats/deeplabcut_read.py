"""Read DeepLabCut labels: a project folder, or one CollectedData_*.csv / .h5.

Numbers are taken as they are (xy_image). HDF5 is read with h5py, which gives plain arrays: PyTables, which DeepLabCut uses,
unpickles attributes of the file, and nothing from strangers is unpickled here.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kinmark.engine.domain.errors import AppError, KnownError
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import read_header
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, bad, begin, drawn_size, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.clips import frame_name
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
)
from kinmark.projects.formats.deeplabcut_rows import by_animal, clip_of, proposed
from kinmark.projects.formats.finish import finish, say_unlabelled
from kinmark.projects.formats.orientation import fits_one
from kinmark.projects.formats.schemas import guess_pairs
from kinmark.projects.formats.yamlfile import load_yaml

_OURS = re.compile(r"animal\d+$")
MAX_COLUMNS = 100_000
MAX_HDF = 500_000_000
MAX_CELLS = 10_000_000
HDF_KEY = "df_with_missing"
SINGLE = "single"
"""What DeepLabCut calls the "individual" that has the body parts of no animal (corners of the cage)."""
_AXES = ("x", "y", "likelihood")


@dataclass(frozen=True)
class _Table:
    """One label file: (scorer, animal, body part, "x" / "y" / "likelihood") of every column, (path, values) of every row."""

    columns: tuple[tuple[str, str, str, str], ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse labels; image paths are relative to the DeepLabCut project folder (that holds labeled-data)."""
    report = Report("deeplabcut")
    files = _files(path)
    root = _root(files[0])
    config = load_yaml(root / "config.yaml") if (root / "config.yaml").is_file() else Item(root, "config.yaml", {})
    name = options.category or config.text("kinmark_category", "") or config.text("Task", "") or "animal"
    broken = BadItems(report, options.skip_bad)
    images: dict[PurePosixPath, DatasetImage] = {}
    source: dict[PurePosixPath, str] = {}
    listed, unique = _config_parts(config), _names(config.data.get("uniquebodyparts"))
    parts: dict[str, None] = dict.fromkeys(listed)
    alone: dict[str, None] = {}
    begin(progress, "Reading DeepLabCut", len(files))
    for file in files:
        tick(progress, cancel, file.parent.name)
        try:
            table = _read_csv(file, report, broken) if file.suffix.lower() == ".csv" else _read_hdf(file, broken)
            own = dict.fromkeys(part for _, animal, part, _ in table.columns if animal != SINGLE or not unique)
            alone.update(dict.fromkeys(part for _, animal, part, _ in table.columns if animal == SINGLE and unique))
            _say_columns(file, table, [part for part in own if part not in listed] if listed else [], report)
            parts.update(own)
            for row in table.rows:
                try:
                    image = _image(file, root, table.columns, row, name, config, options, report)
                    if image.rel_path in images:
                        raise bad(
                            file,
                            str(image.rel_path),
                            said("the image has two rows (the other one in {0})", source[image.rel_path]),
                            "Import one person's file at a time: give the .csv itself.",
                        )
                    images[image.rel_path], source[image.rel_path] = image, file.name
                except AppError as error:
                    broken.handle(said("{0}: {1}", file.name, row[0][:200]), error)
        except AppError as error:
            broken.handle(str(file), error)
    if path.is_dir():
        say_unlabelled(root / "labeled-data", {root / name for name in images}, report)
        _say_other_tables(files, report)
    categories = [DatasetCategory(name, _schema(list(parts), config, report))]
    if alone and name != SINGLE:
        categories.append(_of_no_animal(list(alone), report))
    dataset = Dataset(tuple(categories), tuple(images.values()), root.name)
    report.extra["images_root"] = str(root)
    return finish(dataset, report, options, path)


def _say_columns(file: Path, table: _Table, strangers: list[str], report: Report) -> None:
    """Body parts that the configuration does not list, and who labelled."""
    if strangers:
        told = said("{0}: {1}", file.name, ", ".join(strangers)[:200])
        report.add("flagged", told, "no body part of config.yaml; taken as further keypoints")
    scorers = dict.fromkeys(scorer for scorer, _, _, _ in table.columns if scorer)
    if scorers:
        told = said("scorer {0}", ", ".join(scorers)[:193])
        report.add("lost", told, said("{0}: there is no place for it", file.name))


def _of_no_animal(parts: list[str], report: Report) -> DatasetCategory:
    what, why = said("unique body parts"), 'they belong to no animal: read as the category "single"'
    report.add("note", said("{0}: {1}", what, ", ".join(parts)[:200]), why)
    return DatasetCategory(SINGLE, KeypointSchema(tuple(parts), pairs=guess_pairs(parts)))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    folders = sorted(p for p in (path / "labeled-data").glob("*") if p.is_dir()) if path.is_dir() else []
    found = []
    for folder in folders:
        tables = sorted(folder.glob("CollectedData_*.csv"))
        stems = {t.stem for t in tables}  # DeepLabCut keeps each table twice
        found += tables + [t for t in sorted(folder.glob("CollectedData_*.h5")) if t.stem not in stems]
    if not found:
        raise bad(
            path, "", "it holds no labeled-data/<video>/CollectedData_*.csv", "Give the DeepLabCut project folder."
        )
    return found


def _root(file: Path) -> Path:
    folder = file.absolute().parent
    return folder.parent.parent if folder.parent.name == "labeled-data" else folder


def _say_other_tables(files: list[Path], report: Report) -> None:
    """Tables beside those that are read: the same one stored twice, and those of other names."""
    for folder in dict.fromkeys(file.parent for file in files):
        stems = {file.stem for file in files if file.parent == folder}
        for other in sorted(p for p in folder.iterdir() if p.suffix.lower() in (".csv", ".h5") and p not in files):
            if other.stem in stems:
                report.count("note", "table that stands twice (.csv and .h5)", other.name, "the .csv is read")
            else:
                report.count("skipped", "table of another name", other.name, "CollectedData_* are the labels")


def _config_parts(config: Item) -> list[str]:
    key = "multianimalbodyparts" if config.data.get("bodyparts") == "MULTI!" else "bodyparts"
    return _names(config.data.get(key))


def _names(raw: Any) -> list[str]:
    return [str(v) for v in raw if isinstance(v, str | int)] if isinstance(raw, list) else []


def _schema(parts: list[str], config: Item, report: Report) -> KeypointSchema:
    place = {n: i for i, n in enumerate(parts)}

    def links(key: str) -> tuple[tuple[int, int], ...]:
        result = []
        raw = config.data.get(key)
        for entry in raw if isinstance(raw, list) else []:
            known = (
                isinstance(entry, list) and len(entry) == 2 and all(isinstance(n, str) and n in place for n in entry)
            )
            if not known or entry[0] == entry[1]:
                report.add(
                    "skipped", said("config.yaml {0}", key), said("{0} does not name two body parts", str(entry)[:80])
                )
                continue
            result.append((place[entry[0]], place[entry[1]]))
        return tuple(dict.fromkeys(result))

    pairs = links("kinmark_pairs") if "kinmark_pairs" in config.data else guess_pairs(parts)
    return KeypointSchema(tuple(parts), links("skeleton"), pairs)


def _read_csv(file: Path, report: Report, broken: BadItems) -> _Table:
    try:
        rows = [row for row in csv.reader(io.StringIO(checks.read_text(file))) if row]
    except csv.Error as error:
        raise bad(file, "", said("it is not valid CSV ({0})", error)) from None
    header: dict[str, list[str]] = {}
    while rows and rows[0][0].strip() in ("scorer", "individuals", "bodyparts", "coords"):
        row = rows.pop(0)
        header[row[0].strip()] = row
    if "bodyparts" not in header or "coords" not in header:
        semicolons = bool(rows) and rows[0][0].startswith("scorer;")
        hint = "Its columns are separated by semicolons: save it with commas." if semicolons else ""
        raise bad(file, "header", "the rows scorer, bodyparts, coords are expected", hint)
    coords = header["coords"]
    first = next((i for i, cell in enumerate(coords) if i and cell.strip() in ("x", "y", "likelihood")), len(coords))
    width = len(coords)
    if first >= width or width > MAX_COLUMNS or any(len(row) != width for row in header.values()):
        raise bad(file, "header", "its rows have different lengths or no x, y columns")
    animals = header.get("individuals", [""] * width)
    scorers = header.get("scorer", [""] * width)
    columns = tuple(
        (scorers[i].strip(), animals[i].strip(), header["bodyparts"][i].strip(), coords[i].strip())
        for i in range(first, width)
    )
    columns = tuple(c if c[3] in _AXES and c[2] else (c[0], c[1], c[2], "") for c in columns)
    for column in columns:
        if not column[3]:
            report.count(
                "skipped",
                "column of another kind",
                said("{0}: {1}", file.name, column[2][:120] or said("no name")),
                "x, y, likelihood",
            )
    result = []
    for number, row in enumerate(rows, start=len(header) + 1):
        item = Item(file, said("line {0}", number), {})
        try:
            if len(row) != width:
                raise bad(file, item.where, said("{0} columns are expected, found {1}", width, len(row)))
            cells = tuple(_cell(item, c) if column[3] else None for c, column in zip(row[first:], columns, strict=True))
        except AppError as error:
            broken.handle(said("{0}: {1}", file.name, item.where), error)
            continue
        result.append(("/".join(c for c in row[:first] if c), cells))
    kept = [i for i, column in enumerate(columns) if column[3]]
    return _Table(
        tuple(columns[i] for i in kept), tuple((path, tuple(cells[i] for i in kept)) for path, cells in result)
    )


def _cell(item: Item, text: str) -> float | None:
    if text.strip().lower() in ("", "nan"):
        return None
    try:
        return checks.coordinate(float(text), item, "a coordinate")
    except ValueError:
        raise item.error(said("{0} is no number", repr(text[:40])), checks.comma_hint(text)) from None


def _read_hdf(file: Path, broken: BadItems) -> _Table:
    """The "fixed" layout in which pandas stores `df_with_missing`."""
    try:
        import h5py
    except ImportError:
        raise KnownError(
            said("Reading {0} needs the library h5py, which is not installed.", file),
            "Install kinmark[deeplabcut], or import the .csv beside it.",
        ) from None
    checks.read_bytes(file, MAX_HDF)[:1]  # names the file when it is missing or too large
    try:
        with h5py.File(file, "r") as content:
            if not isinstance(content.get(HDF_KEY, getlink=True), h5py.HardLink):
                keys = ", ".join(str(k)[:40] for k in list(content)[:5]) or "none"
                raise bad(
                    file,
                    "",
                    said('it holds no table "{0}" (its tables: {1})', HDF_KEY, keys),
                    "Import the .csv beside it, or store the labels again from DeepLabCut.",
                )
            group = content[HDF_KEY]
            for key in group:
                _check_dataset(file, group, key, h5py.HardLink)
            values = np.asarray(group["block0_values"][()], dtype=np.float64)
            columns, rows = _axis(group, "axis0"), _axis(group, "axis1")
            order = _axis(group, "block0_items")
    except AppError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises KeyError, OSError, RuntimeError, TypeError on damaged files
        raise bad(
            file,
            "",
            said("it is no DeepLabCut label file in pandas' fixed layout ({0})", type(error).__name__),
            "Import the .csv beside it.",
        ) from None
    if values.shape != (len(rows), len(order)) or sorted(columns) != sorted(order):
        raise bad(file, "", "its table and its headers have different sizes")
    return _hdf_table(file, values, order, rows, broken)


def _check_dataset(file: Path, group: Any, key: str, hard_link: type) -> None:
    """Plain data of this file only: no links, external or virtual storage that would read other files."""
    if not isinstance(group.get(key, getlink=True), hard_link):
        raise bad(file, key, "it points outside the file")
    data = group[key]
    if getattr(data, "external", None) or getattr(data, "is_virtual", False):
        raise bad(file, key, "its data lie in another file")
    if getattr(data, "size", 0) and data.size > MAX_CELLS:
        raise bad(file, key, said("a table of more than {0} cells is absurd", MAX_CELLS))


def _axis(group: Any, name: str) -> list[tuple[str, ...]]:
    """The labels of a (multi-)index as tuples of text."""
    if name in group:
        return [(_text(v),) for v in group[name][()]]
    levels: list[list[str]] = []
    codes: list[np.ndarray] = []
    while f"{name}_level{len(levels)}" in group:
        codes.append(np.asarray(group[f"{name}_label{len(levels)}"][()], dtype=np.int64))
        levels.append([_text(v) for v in group[f"{name}_level{len(levels)}"][()]])
    if not levels:
        raise KeyError(name)
    # pandas writes -1 where a label is missing
    return [
        tuple(level[c] if c >= 0 else "" for level, c in zip(levels, row, strict=True))
        for row in zip(*codes, strict=True)
    ]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _hdf_table(
    file: Path,
    values: np.ndarray,
    columns: Sequence[tuple[str, ...]],
    rows: Sequence[tuple[str, ...]],
    broken: BadItems,
) -> _Table:
    if any(len(c) not in (3, 4) for c in columns):
        raise bad(file, "", "the columns must be scorer, (individual,) body part, coordinate")
    names = tuple((c[0], c[1] if len(c) == 4 else "", c[-2], c[-1]) for c in columns)
    result = []
    for path, line in zip(rows, values, strict=True):
        item = Item(file, "/".join(path)[:200], {})
        try:
            cells = tuple(None if np.isnan(v) else checks.coordinate(float(v), item, "a coordinate") for v in line)
        except AppError as error:
            broken.handle(said("{0}: {1}", file.name, item.where), error)
            continue
        result.append(("/".join(path), cells))
    return _Table(names, tuple(result))


def _image(
    file: Path,
    root: Path,
    columns: Sequence[tuple[str, str, str, str]],
    row: tuple[str, tuple[float | None, ...]],
    category: str,
    config: Item,
    options: ReadOptions,
    report: Report,
) -> DatasetImage:
    ours = "kinmark_category" in config.data
    text, values = row
    item = Item(file, text[:200], {})
    relative, pointer = checks.photo_path(text, item)
    if relative.parts[0] != "labeled-data" and file.absolute().parent != root:
        relative = PurePosixPath(file.absolute().parent.relative_to(root).as_posix()) / relative.name
    points = by_animal(columns, values, item)
    width, height, orientation = _size(root, relative)
    clip = clip_of(file, text) if not ours else ""
    if clip:
        relative, pointer = frame_name(clip, int(text)), ""
        report.count(
            "note",
            "prediction of a frame",
            said("{0}: {1}", file.name, text),
            "read as a proposal for the clip's frame",
        )
    instances = []
    for animal, found in points.items():
        for part, cells in found.items():
            if ("x" in cells) != ("y" in cells):
                report.count(
                    "lost",
                    "x without y or y without x",
                    said("{0}, {1}: {2}", file.name, text[:120], part),
                    "taken as missing",
                )
        keypoints = {part: _keypoint(cells) for part, cells in found.items()}
        if any(k.visibility for k in keypoints.values()):
            alone = animal == SINGLE and bool(_names(config.data.get("uniquebodyparts")))
            identity = "" if alone or (ours and _OURS.match(animal)) else animal
            kind = SINGLE if alone else category
            found_one = DatasetInstance(kind, keypoints, identity=identity, origin="imported")
            instances.append(proposed(found_one) if clip else found_one)
    if orientation < 5 or fits_one(instances, (width, height)) != "shown":
        width, height = drawn_size((width, height), orientation, options, relative)
    local = checks.resolve_inside(root, relative) is not None
    return DatasetImage(
        relative,
        width,
        height,
        tuple(instances),
        orientation=orientation,
        size_told=False,
        pointer=pointer if not local and checks.is_absolute(text) else "",
        extra={"video": {"clip": clip, "frame": int(text), "time_s": None}} if clip else {},
    )


def _size(root: Path, relative: PurePosixPath) -> tuple[int, int, int]:
    """Size and orientation of the picture, (0, 0, 1) when it is not here (then the import looks for it)."""
    path = checks.resolve_inside(root, relative)
    if path is None:
        return 0, 0, 1
    header = read_header(path)
    return header.width, header.height, header.orientation


def _keypoint(cells: dict[str, float]) -> DatasetKeypoint:
    if "x" not in cells or "y" not in cells:
        return DatasetKeypoint(Visibility.ABSENT)
    return DatasetKeypoint(Visibility.VISIBLE, cells["x"], cells["y"], cells.get("likelihood"))
