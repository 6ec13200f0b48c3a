"""The main job on real photos: one labelled picture of a kind, proposals on the others, contact sheets to look at.

    kinmark benchmark real_photos --data FOLDER --out FOLDER [--json FILE]

`--data` holds the folders coco, macaque, zebra, animalpose, ap10k (COCO labels) and pairs (the pictures that the published
methods show; a handful of points on them is placed below by hand). The photos are not ours to ship, so the sheets are made
where the photos are; what they show is written down in docs/lab/real-photos.md. Figures over two or three photos say nothing
about quality: they say where to look.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import Row, finish, parser
from kinmark.engine.api import Engine, EngineConfig, open_engine
from kinmark.engine.domain.geometry import longer_side
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.imaging import read_header
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint
from kinmark.projects.formats.registry import get_format
from kinmark.projects.images import add_paths
from kinmark.projects.pictures.contact_sheet import ACCEPTED, HUMAN, DrawnPoint, Section, Tile, draw_contact_sheet
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.demo.truth import instance_box, nearest_instance, placed
from kinmark.projects.workflows.find import find
from kinmark.projects.workflows.find_plan import FindOptions, ReferenceSpec
from kinmark.projects.workflows.propose import propose
from kinmark.projects.workflows.propose_options import ProposeOptions

CAT = ("ear_1", "ear_2", "eye_1", "eye_2", "nose")
GUITAR = ("sound_hole", "bridge", "left_bulge", "right_bulge", "bottom")
HAND_PLACED: dict[str, tuple[str, tuple[str, ...], dict[str, tuple[tuple[int, int], ...]]]] = {
    # In thousandths of width and height; 1 is the ear or eye on the left of the picture.
    "cats": (
        "cat",
        CAT,
        {
            "source_cat.png": ((643, 127), (893, 250), (633, 240), (760, 303), (657, 313)),
            "target_cat.png": ((293, 333), (493, 333), (360, 467), (443, 467), (400, 520)),
            "cat.png": ((390, 283), (723, 273), (480, 467), (627, 467), (557, 550)),
            "target_cat.jpeg": ((560, 250), (933, 240), (670, 453), (807, 457), (740, 533)),
        },
    ),
    "guitars": (
        "guitar",
        GUITAR,
        {
            "guitar.png": ((510, 327), (510, 593), (173, 717), (850, 717), (507, 950)),
            "target_guitar.png": ((467, 510), (460, 667), (267, 733), (683, 717), (467, 873)),
        },
    ),
}
LABELLED = {
    "people": ("coco", "test_coco.json"),
    "macaques": ("macaque", "test_macaque.json"),
    "zebras": ("zebra", "test_zebra.json"),
    "cat and horse": ("animalpose", "test_animalpose.json"),
    "jaguar and antelope": ("ap10k", "test_ap10k.json"),
}


@dataclass(frozen=True)
class Kind:
    """One set of photos with truth; all instances are given the one category."""

    name: str
    root: Path
    category: DatasetCategory
    images: tuple[DatasetImage, ...]


def _from_coco(name: str, folder: Path, file: str) -> Kind:
    dataset: Dataset
    dataset, _ = get_format("coco").reader(folder / file, ReadOptions(images_root=folder, skip_bad=True))
    category = max(dataset.categories, key=lambda c: len(c.schema))
    images = []
    for image in dataset.images:
        own = [i for i in image.instances if placed(i)]
        if own:
            images.append(DatasetImage(image.rel_path, image.width, image.height, tuple(own)))
    return Kind(name, folder, category, tuple(images))


def _from_hand(name: str, folder: Path) -> Kind:
    category, names, photos = HAND_PLACED[name]
    images = []
    for file, points in photos.items():
        width, height = read_header(folder / file).size_wh
        keypoints = {
            n: DatasetKeypoint(Visibility.VISIBLE, x * width / 1000, y * height / 1000)
            for n, (x, y) in zip(names, points, strict=True)
        }
        images.append(DatasetImage(Path(file), width, height, (DatasetInstance(category, keypoints),)))  # type: ignore[arg-type]
    return Kind(name, folder, DatasetCategory(category, KeypointSchema(names)), tuple(images))


def _largest(image: DatasetImage) -> DatasetInstance:
    return max(image.instances, key=lambda i: longer_side(instance_box(i)))


def _propose(kind: Kind, engine: Engine, folder: Path) -> tuple[Section, int, int]:
    """Label the first photo's largest instance, propose on the others; (sheet section, correct, all)."""
    with Project.create(folder / f"{kind.name.replace(' ', '-')}.kinmark") as project:
        add_paths(project, [kind.root / str(image.rel_path) for image in kind.images])
        category_id = project.operations.add_category(kind.category.name, kind.category.schema).ids[0]
        category = project.queries.require_category(kind.category.name)
        rows = {row.path.name: row for row in project.queries.iter_images()}
        first = _largest(kind.images[0])
        keypoints = [
            NewKeypoint(d.id, k.x, k.y, int(k.visibility))
            for d in category.definitions
            if (k := first.keypoints.get(d.name)) is not None
        ]
        row = rows[kind.images[0].rel_path.name]
        project.operations.add_instance(row.id, category_id, keypoints, box=first.box)
        propose(project, engine, ProposeOptions(category=category.name))
        marks = tuple(DrawnPoint(x, y, "human") for x, y in placed(first).values())
        tiles = [Tile(row.path, row.path.name, "labelled", marks, accent=HUMAN)]
        names = {d.id: d.name for d in category.definitions}
        correct = total = 0
        for image in kind.images[1:]:
            row = rows[image.rel_path.name]
            found = {
                names[k.definition_id]: k
                for p in project.queries.proposals(image_id=row.id)
                for k in p.keypoints
                if k.x is not None and k.visibility > 0
            }
            points = {n: (k.x or 0.0, k.y or 0.0) for n, k in found.items()}
            meant = nearest_instance(points, image, image.instances[0].category) or _largest(image)
            truth, side = placed(meant), longer_side(instance_box(meant))
            good = {
                n
                for n, (x, y) in truth.items()
                if n in found and np.hypot((found[n].x or 0.0) - x, (found[n].y or 0.0) - y) <= 0.1 * side
            }
            correct, total = correct + len(good), total + len(truth)
            dots = [DrawnPoint(x, y, "truth") for x, y in truth.values()]
            dots += [
                DrawnPoint(k.x or 0.0, k.y or 0.0, "accepted" if n in good else "pending") for n, k in found.items()
            ]
            tiles.append(
                Tile(row.path, row.path.name, f"{len(good)} of {len(truth)} within 0.1 of the box", tuple(dots))
            )
    return Section(kind.name, tuple(tiles), "green: right, orange: not; crosses: truth"), correct, total


def _find_dog(pairs: Path, engine: Engine, folder: Path) -> tuple[Section, bool]:
    """The golden retriever of the reference stands on the right of the target."""
    with Project.create(folder / "dog.kinmark") as project:
        add_paths(project, [pairs / "dog_reference.png", pairs / "dog_target.png"])
        box = (120.0, 20.0, 395.0, 505.0)
        options = FindOptions((ReferenceSpec("dog_reference.png", box=box),), name="dog", identity="golden retriever")
        best = find(project, engine, options).results[0]
        peak = best.peak_xy_image or (0.0, 0.0)
        right = best.mask is not None and peak[0] > 270
        tiles = (
            Tile(pairs / "dog_reference.png", "dog_reference.png", "box drawn by hand", box=box, accent=HUMAN),
            Tile(
                pairs / "dog_target.png",
                "dog_target.png",
                f"{best.confidence:.0%} sure",
                (DrawnPoint(*peak, "accepted"),),
                mask=best.mask.decode() if best.mask else None,
                mask_colour=ACCEPTED,
            ),
        )
    return Section("find the dog", tiles, "the golden retriever is the right one"), right


def main(argv: Sequence[str] | None = None) -> int:
    """Run on all photos and draw the sheet."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    chosen = options.parse_args(argv)
    shutil.rmtree(chosen.out, ignore_errors=True)
    chosen.out.mkdir(parents=True)
    engine = open_engine(EngineConfig(cache_dir=chosen.out / "cache"))
    kinds = [_from_coco(name, chosen.data / sub, file) for name, (sub, file) in LABELLED.items()]
    kinds += [_from_hand(name, chosen.data / "pairs") for name in HAND_PLACED]
    sections, rows = [], []
    for kind in kinds:
        section, correct, total = _propose(kind, engine, chosen.out)
        sections.append(section)
        rows.append(Row(kind.name, 100 * correct / max(1, total), "% PCK@0.1", None, f"{correct} of {total} points"))
    section, right = _find_dog(chosen.data / "pairs", engine, chosen.out)
    rows.append(Row("find the dog", float(right), "right dog", None, "1 = the golden retriever"))
    engine.close()
    sheet = draw_contact_sheet(
        "Real photos, one labelled per kind",
        (*sections, section),
        chosen.out / "sheet.png",
        tile_wh=(300, 260),
        columns=4,
    )
    finish("real_photos", rows, chosen.json)
    print(f"\n{sheet}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
