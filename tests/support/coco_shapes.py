"""COCO files as five published data sets write them: their fields, number types and categories, with numbers drawn here.

What differs between them is what readers trip over: whole-number and fractional keypoints, polygons with two decimals and in
several parts, crowds as run lengths, categories without skeleton or with fifty siblings, header fields that nobody asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_masks

from tests.support.datasets import write_picture

PEOPLE = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
]
ANIMALS = [f"{side}_{part}" for part in ("Eye", "EarBase", "F_Elbow", "B_Elbow", "F_Paw") for side in "LR"] + ["Nose"]
FRAMES = ["snout", "head", "neck", "forelegL1", "forelegR1", "hindlegL1", "hindlegR1", "tailbase", "tailtip"]
SHAPES = ("people", "pets", "species", "monkeys", "video")


def published_files(shared: Path) -> list[Path]:
    """The five small published sets that `SHAPES` are modelled on."""
    names = (
        "coco/test_coco",
        "animalpose/test_animalpose",
        "ap10k/test_ap10k",
        "macaque/test_macaque",
        "zebra/test_zebra",
    )
    return [shared / "data" / f"{name}.json" for name in names]


def write_shape(name: str, folder: Path) -> Path:
    """The annotation file of one of `SHAPES` beside its photos in `folder`; the same content at every call."""
    made = {"people": _people, "pets": _pets, "species": _species, "monkeys": _monkeys, "video": _video}[name]()
    for number, image in enumerate(made["images"]):
        write_picture(folder / image["file_name"], image["width"], image["height"], number)
    file = folder / f"{name}.json"
    file.write_text(json.dumps(made))
    return file


def _points(rng: np.random.Generator, count: int, size: tuple[int, int], digits: int | None, absent: float) -> list:
    """Flat x, y, v: whole numbers (`digits` 0), rounded or full floats (None); some absent (zeros)."""
    row: list[float | int] = []
    for _ in range(count):
        x, y = rng.uniform(1, size[0] - 1), rng.uniform(1, size[1] - 1)
        flag = 0 if rng.random() < absent else int(rng.integers(1, 3))
        if digits == 0:
            x, y = int(x), int(y)
        elif digits:
            x, y = round(x, digits), round(y, digits)
        row += [0, 0, 0] if flag == 0 else [x, y, flag]
    return row


def _polygon(rng: np.random.Generator, size: tuple[int, int]) -> list[float]:
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    radius = rng.uniform(0.2, 0.45, 9)
    xy = np.stack([0.5 + radius * np.cos(angles), 0.5 + radius * np.sin(angles)], -1) * size
    return [round(float(v), 2) for v in xy.ravel()]


def _annotation(number: int, image: dict[str, Any], category: int, keypoints: list, **more: Any) -> dict[str, Any]:
    return {
        "keypoints": keypoints,
        "image_id": image["id"],
        "id": number,
        "num_keypoints": sum(v > 0 for v in keypoints[2::3]),
        "bbox": [1.5, 2.25, image["width"] - 7.25, image["height"] - 5.5],
        "category_id": category,
        "iscrowd": 0,
        "area": round(0.53 * image["width"] * image["height"], 5),
        **more,
    }


def _people() -> dict[str, Any]:
    """Whole-number keypoints, polygons (one in two parts), a crowd as run lengths, licences, urls."""
    rng = np.random.default_rng(1)
    images = [
        {
            "license": 4,
            "file_name": f"{n:012d}.jpg",
            "coco_url": f"http://example.org/{n}.jpg",
            "height": 42,
            "width": 64 + n,
            "date_captured": "2013-11-19 21:22:42",
            "flickr_url": "",
            "id": 700 + n,
        }
        for n in range(4)
    ]
    rows = []
    for number in range(10):
        image = images[number // 3]
        size = (image["width"], image["height"])
        parts = [_polygon(rng, size) for _ in range(1 + (number == 3))]
        rows.append(_annotation(442600 + number, image, 1, _points(rng, 17, size, 0, 0.3), segmentation=parts))
    crowd = np.zeros((42, 67), np.uint8)
    crowd[10:30, 9:12] = 1
    coded = coco_masks.encode(np.asfortranarray(crowd))
    coded["counts"] = coded["counts"].decode("ascii")
    rows.append(_annotation(900100, images[3], 1, [0] * 51, iscrowd=1, area=60, segmentation=coded))
    category = {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "keypoints": PEOPLE,
        "skeleton": [[16, 14], [14, 12]],
    }
    return {
        "info": {"description": "people", "year": 2020},
        "licenses": [{"id": n, "name": f"licence {n}"} for n in range(1, 9)],
        "categories": [category],
        "images": images,
        "annotations": rows,
    }


def _plain(name: str, names: list[str], digits: int | None, skeleton: list[list[int]] | None = None) -> dict[str, Any]:
    rng = np.random.default_rng(len(names))
    images = [{"id": 110 + n, "file_name": f"{name}{n}.jpeg", "height": 48, "width": 60 - n} for n in range(2)]
    category: dict[str, Any] = {"supercategory": "animal", "id": 1, "name": name, "keypoints": names}
    if skeleton:
        category["skeleton"] = skeleton
    rows = [
        _annotation(n + 1, image, 1, _points(rng, len(names), (image["width"], 48), digits, 0.2))
        for n, image in enumerate(images)
    ]
    return {"categories": [category], "images": images, "annotations": rows}


def _pets() -> dict[str, Any]:
    """Whole numbers written as floats; no info, no licences."""
    made = _plain("cat", ANIMALS, 0, [[1, 2], [1, 11]])
    for row in made["annotations"]:
        row["keypoints"] = [float(v) for v in row["keypoints"]]
    return made


def _species() -> dict[str, Any]:
    """Fifty-four categories in the header of which one is used; no segmentation; an extra number per image."""
    made = _plain("otter", PEOPLE, 0)
    names = [f"animal {n}" for n in range(54)]
    names[25] = "otter"
    made["categories"] = [
        {"id": n + 1, "name": text, "supercategory": "Bovidae", "keypoints": PEOPLE, "skeleton": [[1, 2], [1, 3]]}
        for n, text in enumerate(names)
    ]
    made["info"], made["licenses"] = (
        {"description": "species", "version": "1.0"},
        [{"id": 1, "name": "none", "url": ""}],
    )
    for row in made["annotations"]:
        row["category_id"] = 26
    for image in made["images"]:
        image.update(license=1, background=5)
    return made


def _monkeys() -> dict[str, Any]:
    """Keypoints of two decimals and polygons."""
    made, rng = _plain("macaque", PEOPLE, 2), np.random.default_rng(4)
    for row in made["annotations"]:
        row["segmentation"] = [_polygon(rng, (58, 48))]
    return made


def _video() -> dict[str, Any]:
    """Keypoints with every digit of a double, all visible; a box that is their extent."""
    made = _plain("zebra", FRAMES, None, [[2, 1], [3, 2], [9, 8]])
    for row in made["annotations"]:
        xy = np.array(row["keypoints"], float).reshape(-1, 3)
        xy[xy[:, 2] == 0] = (20.25, 30.125, 2)
        xy[:, 2] = 2
        low, high = xy[:, :2].min(0), xy[:, :2].max(0)
        row.update(keypoints=xy.ravel().tolist(), num_keypoints=len(xy), bbox=[*low.tolist(), *(high - low).tolist()])
    return made
