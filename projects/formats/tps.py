"""TPS (tpsDig and geomorph) and MorphoJ text: landmarks of geometric morphometrics.

A TPS file is a list of specimens: `LM=n`, n lines "x y", then IMAGE=, ID=, SCALE=, CURVES= ... The y axis points up from the
bottom of the picture, so a point can be placed only once the photo's height is known: the data set says `y_up`, and the
import turns it (`import_plan.fit_size`). Landmarks are numbered; names, skeleton and pairs stand in our `<name>.names.json`.
Scales are kept as they are (for TPS exports) and applied to nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, WriteOptions, bad, begin, lost, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
    ReportItem,
)
from kinmark.projects.formats.files import write_atomically
from kinmark.projects.formats.finish import finish
from kinmark.projects.formats.schemas import guess_pairs, unique_names
from kinmark.projects.formats.spair_names import ascii_word
from kinmark.projects.formats.tps_parse import Specimen, parse

DEFAULT_CATEGORY = "specimen"
NAMES = ".names.json"
MISSING = -1.0


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a .tps file, or all of a folder (a category each)."""
    report = Report("tps")
    files = (
        sorted(p for p in path.rglob("*") if p.suffix.lower() == ".tps" and p.is_file()) if path.is_dir() else [path]
    )
    if not files:
        raise bad(path, "", "it holds no .tps file", "Give the .tps file itself.")
    broken = BadItems(report, options.skip_bad)
    begin(progress, "Reading TPS", len(files))
    categories: dict[str, list[str]] = {}
    links: dict[str, KeypointSchema] = {}
    images: list[DatasetImage] = []
    for file in files:
        tick(progress, cancel, file.name)
        names, told, schema, photos = _names_of(file, report)
        category = options.category or told or (DEFAULT_CATEGORY if len(files) == 1 else file.stem)
        known = categories.setdefault(category, list(names))
        if schema is not None:
            links[category] = schema
        for specimen in parse(file, broken, report):
            where = said("{0}, line {1}", file.name, specimen.line)
            specimen.image = photos.get(specimen.image, specimen.image)
            try:
                images.append(
                    _image(specimen, category, known, Item(file, said("line {0}", specimen.line), {}), report)
                )
            except AppError as error:
                broken.handle(where, error)
    report.add("note", "y axis", "TPS counts y from the bottom of the photo: turned with the photo's height")
    scales = {n.extra["tps"].get("SCALE") for i in images for n in i.instances if "SCALE" in n.extra["tps"]}
    if scales:
        shown = ", ".join(sorted(str(s) for s in scales)[:3])
        report.add("note", said("SCALE {0}", shown), "kept for TPS exports; keypoints stay in pixels")
    result = []
    for name, points in categories.items():
        schema = links.get(name)
        if schema is not None and schema.names == tuple(points):
            result.append(DatasetCategory(name, schema))
        else:
            result.append(DatasetCategory(name, KeypointSchema(tuple(points), pairs=guess_pairs(points))))
    return finish(Dataset(tuple(result), tuple(images), path.stem), report, options, path)


def _names_of(file: Path, report: Report) -> tuple[list[str], str, KeypointSchema | None, dict[str, str]]:
    """(names of the landmarks, category, schema, photos that IMAGE= cannot name) of our own file beside it, else nothing."""
    beside = file.with_name(file.stem + NAMES)
    if not beside.is_file():
        return [], "", None, {}
    top = Item(beside, "top level", checks.load_json(beside))
    names = unique_names(
        [Item(beside, "keypoints", {"n": n}).text("n") for n in top.items("keypoints")], file.name, report
    )

    edges, pairs = (checks.index_pairs(top, key, len(names)) for key in ("skeleton", "pairs"))
    photos = Item(beside, "photos", top.data.get("photos") or {})
    told = {name: photos.text(name) for name in photos.data}
    return names, top.text("category", ""), KeypointSchema(tuple(names), edges, pairs), told


def _image(specimen: Specimen, category: str, names: list[str], item: Item, report: Report) -> DatasetImage:
    if not specimen.image:
        raise item.error(
            "the specimen names no photo (IMAGE= is missing)", "Add IMAGE=, or give each specimen its photo in tpsDig."
        )
    relative, pointer = checks.photo_path(specimen.image, item)
    points = [(str(i), xy) for i, xy in enumerate(specimen.points, start=1)]
    points = [(names[i] if i < len(names) else label, xy) for i, (label, xy) in enumerate(points)]
    for number, curve in enumerate(specimen.curves, start=1):
        points += [(f"curve{number}.{i}", xy) for i, xy in enumerate(curve, start=1)]
    names += [name for name, _ in points if name not in names]
    missing = sum(xy is None for _, xy in points)
    if missing:
        report.count("note", "missing landmark", item.where, "negative or NA: absent", missing)
    keypoints = {
        name: DatasetKeypoint(Visibility.ABSENT) if xy is None else DatasetKeypoint(Visibility.VISIBLE, xy[0], xy[1])
        for name, xy in points
    }
    who = specimen.fields.get("ID", "")
    identity = "" if not who or who.isdigit() or who == relative.stem else who
    instance = DatasetInstance(
        category, keypoints, identity=identity, origin="imported", extra={"tps": dict(specimen.fields)}
    )
    return DatasetImage(relative, 0, 0, (instance,), pointer=pointer, size_told=False, y_up=True)


# Writing


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What TPS cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    negative = sum(
        k.x is not None and k.y is not None and k.x < 0 and i.height - k.y < 0
        for i in dataset.images
        for n in i.instances
        for k in n.keypoints.values()
    )
    return lost(
        [
            ("keypoints left of and below the photo", negative, "negative numbers mean missing"),
            *_common(dataset, "TPS"),
            ("difference between absent and not looked at", any(n.keypoints for n in instances), "both are -1 -1"),
        ]
    )


def _common(dataset: Dataset, name: str) -> list[tuple[str, int, str]]:
    """What neither of the two formats can say; `name` is the format's."""
    instances = [n for i in dataset.images for n in i.instances]
    points = [k for n in instances for k in n.keypoints.values()]
    return [
        ("hidden keypoints", sum(k.visibility == 1 for k in points), "written as visible"),
        ("masks", sum(n.mask is not None for n in instances), said("{0} has none", name)),
        ("boxes", sum(n.box is not None for n in instances), said("{0} has none", name)),
        ("instances without keypoints", sum(not _labelled(n) for n in instances), "left out"),
        ("splits and tags", any(i.split or i.tags for i in dataset.images), "no place for them"),
        ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
    ]


def losses_morphoj(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What a MorphoJ table cannot say: names of photos' files apart, specimens with missing landmarks."""
    del options
    schemas = {c.name: c.schema.names for c in dataset.categories}
    gaps = sum(_labelled(n) and not _complete(n, schemas[n.category]) for i in dataset.images for n in i.instances)
    return lost(
        [
            *_common(dataset, "MorphoJ"),
            ("specimens with missing landmarks", gaps, "MorphoJ takes complete ones only: left out"),
        ]
    )


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """UserInputError when no instance has a keypoint."""
    del options
    _with_landmarks(dataset)
    return []


def _with_landmarks(dataset: Dataset) -> list[DatasetCategory]:
    labelled = {n.category for i in dataset.images for n in i.instances if _labelled(n)}
    found = [c for c in dataset.categories if c.name in labelled]
    if not found:
        raise UserInputError(
            "There is nothing to export: no instance has a keypoint.", "Accept or place keypoints first."
        )
    return found


def _labelled(instance: DatasetInstance) -> bool:
    return any(k.visibility for k in instance.keypoints.values())


def _complete(instance: DatasetInstance, names: tuple[str, ...]) -> bool:
    return all(n in instance.keypoints and instance.keypoints[n].x is not None for n in names)


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `OUT/<category>.tps` and its `.names.json` for every category with labelled keypoints."""
    report = Report("tps", items=losses(dataset, options))
    _write_each(dataset, out, report, ".tps", _tps_text, progress, cancel)
    report.add(
        "note",
        "y axis",
        "y counts from the bottom of the photo as it is shown, in pixels; SCALE only where the import had one",
    )
    return report


def write_morphoj(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `OUT/<category>.txt`: a table with one specimen a row, x and y (up) of every landmark."""
    report = Report("morphoj", items=losses_morphoj(dataset, options))
    _write_each(dataset, out, report, ".txt", _morphoj_text, progress, cancel)
    report.add("note", "y axis", "y counts from the bottom of the photo as it is shown, in pixels; no scale is applied")
    return report


_Rows = list[tuple[DatasetImage, DatasetInstance]]
_TextOf = Callable[[_Rows, DatasetCategory], tuple[str, _Rows]]


def _write_each(
    dataset: Dataset,
    out: Path,
    report: Report,
    suffix: str,
    text_of: _TextOf,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> None:
    """One file a category; `text_of` gives its text and the instances that it holds."""
    used: set[str] = set()
    found = _with_landmarks(dataset)
    begin(progress, "Writing landmarks", len(found))
    seen: set[PurePosixPath] = set()
    for category in found:
        tick(progress, cancel, category.name)
        base = ascii_word(category.name) or "landmarks"
        stem, number = base, 2
        while stem.lower() in used:
            stem, number = f"{base}_{number}", number + 1
        used.add(stem.lower())
        schema = category.schema
        names: dict[str, Any] = {
            "category": category.name,
            "keypoints": list(schema.names),
            "skeleton": [list(e) for e in schema.edges],
            "pairs": [list(p) for p in schema.pairs],
        }
        rows = [(i, n) for i in dataset.images for n in i.instances if n.category == category.name and _labelled(n)]
        paths = (str(image.rel_path) for image, _ in rows)
        names["photos"] = {_one_line(path): path for path in paths if _one_line(path) != path}
        text, written = text_of(rows, category)
        write_atomically(out / (stem + suffix), text.encode("utf-8"))
        write_atomically(out / (stem + NAMES), json.dumps(names, ensure_ascii=True, indent=1).encode())
        report.files.append(str(out / (stem + suffix)))
        seen.update(i.rel_path for i, _ in written)
        report.instances += len(written)
        report.keypoints += sum(k.visibility > 0 for _, n in written for k in n.keypoints.values())
    report.images = len(seen)


def _flipped(image: DatasetImage, instance: DatasetInstance, name: str) -> tuple[float, float] | None:
    keypoint = instance.keypoints.get(name)
    if keypoint is None or keypoint.x is None or keypoint.y is None or not keypoint.visibility:
        return None
    return float(keypoint.x), float(image.height - keypoint.y)


def _tps_text(rows: _Rows, category: DatasetCategory) -> tuple[str, _Rows]:
    lines: list[str] = []
    for number, (image, instance) in enumerate(rows):
        fields = instance.extra.get("tps")
        kept = fields if isinstance(fields, dict) else {}
        lines.append(f"LM={len(category.schema)}")
        for name in category.schema.names:
            x, y = _flipped(image, instance, name) or (MISSING, MISSING)
            lines.append(f"{x!r} {y!r}")
        lines.append(f"IMAGE={_one_line(str(image.rel_path))}")
        lines.append(f"ID={_one_line(instance.identity or str(kept.get('ID') or number))}")
        if kept.get("SCALE"):
            lines.append(f"SCALE={_one_line(str(kept['SCALE']))}")
        lines.append("")
    return "\n".join(lines), rows


def _one_line(text: str) -> str:
    return " ".join(text.splitlines()).strip()


def _morphoj_text(rows: _Rows, category: DatasetCategory) -> tuple[str, _Rows]:
    names = category.schema.names
    head = ["Id", *(f"{axis}{i}" for i in range(1, len(names) + 1) for axis in "xy")]
    lines, written = ["\t".join(head)], []
    used: set[str] = set()
    for image, instance in rows:
        if not _complete(instance, names):
            continue
        base = re.sub(
            r"[\t\r\n]",
            " ",
            (instance.identity and f"{image.rel_path.stem} {instance.identity}") or image.rel_path.stem,
        )
        label, number = base, 2
        while label in used:
            label, number = f"{base}_{number}", number + 1
        used.add(label)
        places = [_flipped(image, instance, name) for name in names]
        lines.append("\t".join([label, *(repr(v) for xy in places if xy is not None for v in xy)]))
        written.append((image, instance))
    return "\n".join(lines) + "\n", written
