"""Sets of single labelled photos, paired here: CUB-200-2011 (methods/formats.md#cub) and AP-10K (COCO keypoints)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import ImportFileError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said
from kinmark.engine.evaluation.datasets.base import EvaluationPair, load_json, missing, read_lines, size_of

CUB_CLASSES = 3
"""Hedlin et al. use the first three classes."""
PAIRS_PER_CATEGORY = 200


@dataclass(frozen=True)
class _Photo:
    path: Path
    category: str
    points: NDArray[np.float64]
    seen: NDArray[np.bool_]
    box: Box


def _pair(dataset: str, a: _Photo, b: _Photo) -> EvaluationPair | None:
    both = a.seen & b.seen
    if not both.any():
        return None
    return EvaluationPair(
        dataset,
        f"{a.path.stem}:{b.path.stem}",
        a.category,
        a.path,
        b.path,
        a.points[both],
        b.points[both],
        size_of(a.path),
        size_of(b.path),
        a.box,
        b.box,
    )


def _table(path: Path, columns: int) -> dict[int, list[list[str]]]:
    """First column (id) -> rows of the rest; a last column may hold spaces (file names)."""
    rows: dict[int, list[list[str]]] = defaultdict(list)
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split(maxsplit=columns - 1)
        try:
            rows[int(cells[0])].append(cells[1:])
        except (ValueError, IndexError):
            raise ImportFileError(
                said("{0} line {1} cannot be read.", path, number), "Unpack the archive again."
            ) from None
    return rows


def read_cub(root: Path, split: str = "test") -> Iterator[EvaluationPair]:
    """All pairs of photos of one class among the first three classes, points visible in both."""
    base = root / "CUB_200_2011" if (root / "CUB_200_2011").is_dir() else root
    images = _table(base / "images.txt", 2)
    classes, boxes = _table(base / "image_class_labels.txt", 2), _table(base / "bounding_boxes.txt", 5)
    parts, splits = _table(base / "parts" / "part_locs.txt", 5), _table(base / "train_test_split.txt", 2)
    grouped: dict[int, list[_Photo]] = defaultdict(list)
    for number, rows in sorted(images.items()):
        try:
            in_train, kind = splits[number][0][0] == "1", int(classes[number][0][0])
            if kind > CUB_CLASSES or in_train != (split == "trn"):
                continue
            x, y, w, h = (float(v) for v in boxes[number][0])
            values = np.array([[float(v) for v in row[1:]] for row in parts[number]])
            photo = _Photo(
                base / "images" / rows[0][0], f"class{kind}", values[:, :2], values[:, 2] > 0, (x, y, x + w, y + h)
            )
        except (IndexError, ValueError, KeyError) as error:
            raise ImportFileError(
                said("{0}: the lists say too little about image {1}.", base, number),
                "Unpack the archive again.",
                repr(error),
            ) from None
        grouped[kind].append(photo)
    for photos in grouped.values():
        for a, b in combinations(photos, 2):
            made = _pair("cub", a, b)
            if made is not None:
                yield made


def read_ap10k(root: Path, split: str = "test") -> Iterator[EvaluationPair]:
    """Pairs within a species from COCO keypoints: `annotations/ap10k-<split>-split1.json` or any one JSON in `root`."""
    file = root / "annotations" / f"ap10k-{split}-split1.json"
    if not file.is_file():
        found = sorted(root.glob("*.json")) + sorted(root.glob("annotations/*.json"))
        if not found:
            raise missing(file, "the annotations")
        file = found[0]
    data = load_json(file)
    try:
        names = {c["id"]: str(c["name"]) for c in data["categories"]}
        images = {i["id"]: root / "data" / str(i["file_name"]) for i in data["images"]}
        grouped: dict[str, list[_Photo]] = defaultdict(list)
        for annotation in data["annotations"]:
            photo = _coco_photo(annotation, images, root, names)
            if photo is not None:
                grouped[photo.category].append(photo)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ImportFileError(
            said("{0} is no COCO keypoint file.", file), "Unpack the archive again.", repr(error)
        ) from None
    generator = np.random.default_rng(0)
    for _, photos in sorted(grouped.items()):
        every = list(combinations(photos, 2))
        if len(every) > PAIRS_PER_CATEGORY:
            every = [every[i] for i in sorted(generator.choice(len(every), PAIRS_PER_CATEGORY, replace=False))]
        for a, b in every:
            made = _pair("ap10k", a, b)
            if made is not None:
                yield made


def _coco_photo(
    annotation: dict[str, Any], images: dict[Any, Path], root: Path, names: dict[Any, str]
) -> _Photo | None:
    values = np.asarray(annotation.get("keypoints", []), np.float64).reshape(-1, 3)
    if not (values[:, 2] > 0).any():
        return None
    path = images[annotation["image_id"]]
    if not path.is_file():
        path = root / path.name
    x, y, w, h = (float(v) for v in annotation["bbox"])
    category = names[annotation["category_id"]]
    return _Photo(path, category, values[:, :2], values[:, 2] > 0, (x, y, x + w, y + h))
