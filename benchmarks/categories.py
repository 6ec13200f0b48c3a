"""Telling categories apart before anything is placed: which of a collection's categories each photo is asked about.

    python -m benchmarks.categories [--data FOLDER] [--labels 1 3] [--choices 4] [--parts samples hard scenes real] [--json FILE]

Collections: the samples that are shipped, the hard ones, rendered scenes of eight categories from all sides, and photos of all
real sets in FOLDER (each set a category) put into one project. A quarter as many pairs of photos set side by side as one photo, of
two categories, are judged beside them. Some photos of each category are labelled, in several choices; of the others:

asked rightly: of the categories that are asked for (all of them without this) the part that is in the photo;
found: of the categories in the photo the part that is asked for, on single photos and on pairs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import Row, finish, parser
from benchmarks.hard import hard_samples
from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene
from kinmark.engine.api import (
    CategoriesRequest,
    CategoryAnswer,
    Engine,
    EngineConfig,
    Exemplar,
    ImageInput,
    open_engine,
)
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.imaging import load_image
from kinmark.engine.paths import resources_dir

PARTS = ("samples", "hard", "scenes", "real")
SCENES = ("horse", "person", "mouse", "chair", "airplane", "guitar", "cat", "hand")
PER_SET, COLLECTION = 12, 24


@dataclass(frozen=True)
class Photo:
    """A photo and the boxes of what is in it, by category."""

    path: Path
    boxes: dict[str, tuple[Box, ...]]


def coco_photos(file: Path, category: str = "", most: int = 1000) -> list[Photo]:
    """Photos of a COCO file, evenly chosen; `category` in place of its own."""
    data = json.loads(file.read_text(encoding="utf-8"))
    names = {c["id"]: c["name"] for c in data["categories"]}
    boxes: dict[int, dict[str, tuple[Box, ...]]] = {}
    for found in data["annotations"]:
        x, y, width, height = found["bbox"]
        own = boxes.setdefault(found["image_id"], {})
        name = category or names[found["category_id"]]
        own[name] = (*own.get(name, ()), (x, y, x + width, y + height))
    photos = [
        Photo(file.parent / image["file_name"], boxes[image["id"]]) for image in data["images"] if image["id"] in boxes
    ]
    return photos[:: max(1, len(photos) // most)][:most]


def scene_photos(folder: Path) -> list[Photo]:
    """Nine scenes of each of eight categories, five identities each."""
    photos = []
    for number, name in enumerate(SCENES):
        for index in range(9):
            own = HELD_OUT + 9000 + 100 * number + index // 2
            options = SceneOptions(category=name, identity=own, distractor=False, companions=())
            scene = render_scene(HELD_OUT + 910_000 + 100 * number + index, 256, options)
            ys, xs = np.nonzero(scene.owner == 0)
            path = folder / f"{name}_{index}.png"
            Image.fromarray(scene.image).save(path)
            photos.append(Photo(path, {name: ((float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())),)}))
    return photos


def side_by_side(photos: Sequence[Photo], folder: Path, rng: np.random.Generator) -> list[Photo]:
    """Pairs of photos of different categories as one photo each."""
    pairs = []
    while len(pairs) < len(photos) // 4:
        first, second = (photos[i] for i in rng.choice(len(photos), 2, replace=False))
        if set(first.boxes) & set(second.boxes):
            continue
        left, right = (load_image(p.path, max_side=512).rgb for p in (first, second))
        height = min(len(left), len(right))
        parts = [
            np.asarray(Image.fromarray(p).resize((round(p.shape[1] * height / len(p)), height))) for p in (left, right)
        ]
        path = folder / f"pair_{len(pairs)}.png"
        Image.fromarray(np.concatenate(parts, axis=1)).save(path)
        pairs.append(Photo(path, {**first.boxes, **second.boxes}))
    return pairs


def collections(parts: Sequence[str], data: Path | None, folder: Path) -> Iterator[tuple[str, list[Photo]]]:
    """(name, photos) of what was asked for."""
    if "samples" in parts:
        yield "samples", coco_photos(resources_dir() / "samples" / "annotations.json")
    if "hard" in parts:
        yield "hard samples", coco_photos(hard_samples() / "annotations.json")
    if "scenes" in parts:
        yield "rendered scenes", scene_photos(folder)
    if "real" in parts and data is not None:
        files = sorted(data.glob("*/keypoints.json"))
        yield "real sets", [photo for file in files for photo in coco_photos(file, file.parent.name, PER_SET)]


def _input(photo: Photo) -> ImageInput:
    return ImageInput(str(photo.path), photo.path)


def _exemplar(photo: Photo, box: Box) -> Exemplar:
    places = np.array([[box[0], box[1]], [box[2], box[3]]], float)
    return Exemplar(_input(photo), InstanceKeypoints(places, np.array([2, 2], np.int8), box))


def ask(
    engine: Engine, photos: Sequence[Photo], pairs: Sequence[Photo], labels: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], float]:
    """One choice of labelled photos: asked `[N, K]`, there `[N, K]`, is a pair `[N]`, seconds a photo."""
    names = sorted({name for photo in photos for name in photo.boxes})
    used: set[int] = set()
    categories = []
    for name in names:
        own = [i for i, photo in enumerate(photos) if set(photo.boxes) == {name}]
        chosen = [int(i) for i in rng.choice(own, min(labels, len(own) - 1), replace=False)]
        used |= set(chosen)
        categories.append((name, tuple(_exemplar(photos[i], box) for i in chosen for box in photos[i].boxes[name])))
    asked = [*(photo for i, photo in enumerate(photos) if i not in used), *pairs]
    every = [asked[i * len(asked) // COLLECTION] for i in range(COLLECTION)]
    request = CategoriesRequest("b", tuple(categories), tuple(map(_input, asked)), tuple(map(_input, every)))
    start = time.perf_counter()
    answers = [answer for answer in engine.tell_apart(request) if isinstance(answer, CategoryAnswer)]
    seconds = (time.perf_counter() - start) / len(asked)
    here = np.array([[name in answer.here for name in names] for answer in answers])
    there = np.array([[name in photo.boxes for name in names] for photo in asked])
    return here, there, np.arange(len(asked)) >= len(asked) - len(pairs), seconds


def measure(name: str, photos: list[Photo], folder: Path, options: argparse.Namespace) -> list[Row]:
    """Rows of one collection."""
    rows: list[Row] = []
    pairs = side_by_side(photos, folder, np.random.default_rng(5))
    engine = open_engine(EngineConfig(cache_dir=folder / "cache"))
    for labels in options.labels:
        figures = []
        for choice in range(options.choices):
            here, there, pair, seconds = ask(engine, photos, pairs, labels, np.random.default_rng([choice, labels]))
            right = here & there
            figures.append(
                {
                    "asked rightly": 100 * right[~pair].sum() / here[~pair].sum(),
                    "found": 100 * right[~pair].sum() / there[~pair].sum(),
                    "found, pairs": 100 * right[pair].sum() / there[pair].sum(),
                    "seconds": seconds,
                }
            )
        for key in figures[0]:
            values = [float(f[key]) for f in figures]
            shown = " ".join(f"{v:.3g}" for v in values)
            rows.append(
                Row(
                    f"{name}, {labels} labelled: {key}",
                    float(np.mean(values)),
                    "s" if key == "seconds" else "%",
                    note=shown,
                )
            )
            print(f"{rows[-1].name}: {rows[-1].value:.2f} ({shown})", flush=True)
    engine.close()
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--data", type=Path, default=None)
    arguments.add_argument("--labels", type=int, nargs="+", default=[1, 3])
    arguments.add_argument("--choices", type=int, default=4)
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = arguments.parse_args(argv)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, photos in collections(options.parts, options.data, folder):
            rows += measure(name, photos, folder, options)
    finish("categories", rows, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
