"""COCO-WholeBody: COCO people whose feet, face and hands stand in lists of their own (133 keypoints in all).

A category with "person" annotations of that kind gets one schema of 133 names: COCO's 17, then 6 of the feet, 68 of the face,
21 of each hand. On the way out they are divided again, with the boxes and `..._valid` flags that the evaluation asks for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import ReadOptions, WriteOptions, bad, begin, count_dataset
from kinmark.projects.formats.coco_read import read_data
from kinmark.projects.formats.coco_write import FILE_NAME, to_coco
from kinmark.projects.formats.coco_write import losses as coco_losses
from kinmark.projects.formats.dataset import Dataset, Report, ReportItem
from kinmark.projects.formats.files import copy_images, write_atomically
from kinmark.projects.formats.schemas import COCO_PERSON, guess_pairs

FEET = (
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)
_HAND = (
    "wrist",
    *(f"{finger}{joint}" for finger in ("thumb", "index", "middle", "ring", "pinky") for joint in range(1, 5)),
)
PARTS = {
    "foot": FEET,
    "face": tuple(f"face_{i}" for i in range(68)),
    "lefthand": tuple(f"left_hand_{name}" for name in _HAND),
    "righthand": tuple(f"right_hand_{name}" for name in _HAND),
}
"""Prefix of the fields of an annotation -> names of its keypoints, in the order of the file."""
NAMES = COCO_PERSON + tuple(name for names in PARTS.values() for name in names)
_BOXES = ("face", "lefthand", "righthand")


def face_pairs() -> tuple[tuple[int, int], ...]:
    """Left/right pairs of the 68 face points (indices into `NAMES`); the image's left side is the person's right."""
    base = len(COCO_PERSON) + len(FEET)
    pairs = [(16 - i, i) for i in range(8)]  # jaw
    pairs += [(26 - i, 17 + i) for i in range(5)]  # brows
    pairs += [(35, 31), (34, 32)]  # nostrils
    pairs += [(45, 36), (44, 37), (43, 38), (42, 39), (47, 40), (46, 41)]  # eyes
    pairs += [(54, 48), (53, 49), (52, 50), (55, 59), (56, 58), (64, 60), (63, 61), (65, 67)]  # mouth
    return tuple((base + a, base + b) for a, b in pairs)


def schema() -> KeypointSchema:
    """All 133 names with their pairs; the skeleton is COCO's own when the file has one."""
    return KeypointSchema(NAMES, (), (*guess_pairs(NAMES), *face_pairs()))


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a COCO-WholeBody json file; ImportFileError names file and item."""
    data = checks.load_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("annotations"), list):
        raise bad(path, "", 'it is no COCO file (the list "annotations" is missing)')
    told = [a.get("category_id") for a in data["annotations"] if isinstance(a, dict) and "face_kpts" in a]
    whole = list(dict.fromkeys(v for v in told if isinstance(v, int)))
    if not whole:
        raise bad(path, "", 'it is no COCO-WholeBody file (no annotation has "face_kpts")', "Import it as coco.")
    report = Report("coco-wholebody")
    categories = data.get("categories")
    pairs = [[NAMES[a], NAMES[b]] for a, b in schema().pairs]
    for category in categories if isinstance(categories, list) else ():
        if isinstance(category, dict) and category.get("id") in whole:
            names = category.get("keypoints")
            if names not in (None, [], list(COCO_PERSON), list(NAMES)):
                raise bad(path, said("category {0}", category.get("id")), "its keypoints are not those of COCO people")
            category |= {"keypoints": list(NAMES), "keypoint_pairs": pairs}
            category.pop("sigmas", None)
    for number, annotation in enumerate(data["annotations"]):
        if isinstance(annotation, dict) and annotation.get("category_id") in whole:
            _join(path, annotation, number, report)
    info = data.get("info")
    if options.keypoint_frame == "auto" and not (isinstance(info, dict) and "keypoint_frame" in info):
        # The body's whole numbers are COCO's pixel indices, and all lists of a person share one frame.
        options = replace(options, keypoint_frame="pixel")
        report.add("note", "keypoint frame", "read as pixel indices like COCO's own, half a pixel was added")
    return read_data(path, data, report, options, progress, cancel)


def _join(path: Path, annotation: dict[str, Any], number: int, report: Report) -> None:
    """All keypoints of an annotation as one list of 133 triples."""
    where = said("annotation {0}", annotation.get("id", said("at position {0}", number)))
    body = annotation.get("keypoints")
    joined: list[Any] = []
    for field, size in (("keypoints", len(COCO_PERSON)), *((f"{p}_kpts", len(names)) for p, names in PARTS.items())):
        values = body if field == "keypoints" else annotation.pop(field, None)
        if values in (None, []):
            values = [0, 0, 0] * size
        if not isinstance(values, list) or len(values) != 3 * size:
            raise bad(path, where, said('"{0}" must hold {1} numbers', field, 3 * size))
        joined += values
    for part in PARTS:
        valid = annotation.pop(f"{part}_valid", None)
        start = 3 * NAMES.index(PARTS[part][0])
        stop = start + 3 * len(PARTS[part])
        if valid is False and any(isinstance(v, int | float) and v > 0 for v in joined[start + 2 : stop : 3]):
            report.count("flagged", said("{0}_valid is false", part), where, "its keypoints are kept all the same")
    # The lists hold flags as floats, and confidences above zero where a part was fitted by a machine.
    for i in range(2, len(joined), 3):
        v = joined[i]
        if isinstance(v, float) and 0 < v < 2 and v != 1:
            joined[i] = 2
            report.count("changed", "confidence as a visibility flag", where, "read as visible")
    annotation["keypoints"] = joined
    annotation.pop("num_keypoints", None)  # counts the 17 of the body only


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What COCO loses; and categories of other keypoints, which stay plain COCO."""
    others = [c.name for c in dataset.categories if len(c.schema) and c.schema.names != NAMES]
    found = coco_losses(dataset, options)
    if others:
        found.append(
            ReportItem(
                "flagged",
                said("categories {0}", ", ".join(others)[:100]),
                "not the 133 keypoints: written as plain COCO",
            )
        )
    return found


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """UserInputError without a category of 133 keypoints."""
    del options
    if not any(c.schema.names == NAMES for c in dataset.categories):
        raise UserInputError(
            "No category has the 133 keypoints of COCO-WholeBody.", "Export as coco, which takes any keypoints."
        )
    return []


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `out/annotations.json` (and the pictures when asked); UserInputError without a category of 133 keypoints."""
    rehearse(dataset, options)
    report = Report("coco-wholebody", items=losses(dataset, options))
    begin(progress, "Writing COCO-WholeBody", len(dataset.images))
    if options.keypoint_frame == "auto":
        options = replace(options, keypoint_frame="pixel")
    data = to_coco(dataset, options, report, progress, cancel)
    whole = {row["id"] for row in data["categories"] if row.get("keypoints") == list(NAMES)}
    for category in data["categories"]:
        if category["id"] in whole:
            category["keypoints"] = list(COCO_PERSON)
            category["skeleton"] = [e for e in category["skeleton"] if max(e) <= len(COCO_PERSON)]
            category.pop("keypoint_pairs", None)
            category.pop("sigmas", None)
    for annotation in data["annotations"]:
        if annotation["category_id"] in whole:
            _divide(annotation)
    file = out / FILE_NAME
    write_atomically(file, json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii"))
    report.files.append(str(file))
    count_dataset(report, dataset)
    if options.copy_images:
        copy_images(dataset, out, report, progress, cancel)
    return report


def _divide(annotation: dict[str, Any]) -> None:
    values = annotation["keypoints"]
    annotation["keypoints"] = values[: 3 * len(COCO_PERSON)]
    annotation["num_keypoints"] = sum(v > 0 for v in annotation["keypoints"][2::3])
    annotation.pop("keypoint_scores", None)
    for part, points in _parts(values):
        placed = [(points[i], points[i + 1]) for i in range(0, len(points), 3) if points[i + 2] > 0]
        annotation[f"{part}_kpts"] = points
        annotation[f"{part}_valid"] = bool(placed)
        if part in _BOXES:
            annotation[f"{part}_box"] = _box(placed, annotation.get(f"{part}_box"))


def _parts(values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    start = 3 * len(COCO_PERSON)
    for part, names in PARTS.items():
        yield part, values[start : start + 3 * len(names)]
        start += 3 * len(names)


def _box(placed: list[tuple[float, float]], kept: Any) -> list[float]:
    """The box that came with the file, else the extent of the part's keypoints."""
    if isinstance(kept, list) and len(kept) == 4 and any(kept):
        return kept
    if not placed:
        return [0.0, 0.0, 0.0, 0.0]
    xs, ys = [p[0] for p in placed], [p[1] for p in placed]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
