"""What an export loses is told before: each thing that a data set can say goes out and comes back, or is named.

Every format writes a small data set in which one thing is unusual; what was read again is compared. What is not there any
more must stand among the announced losses, by a word of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.formats.base import WriteOptions
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint
from kinmark.projects.formats.losses import WORDS, common_losses
from kinmark.projects.formats.registry import FORMATS, FormatSpec
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import project_dataset
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import photo

POINTS = tuple(f"p{i}" for i in range(10))
FORMATS_BOTH_WAYS = [
    name
    for name, spec in FORMATS.items()
    if spec.reads and spec.writes and not spec.optional and name != "coco-wholebody"
]
PLACES = {
    "coco": "annotations.json",
    "cvat": "annotations.xml",
    "label-studio": "tasks.json",
    "spair": "SPair-71k",
    "pf-pascal": "PF-PASCAL",
    "pf-willow": "PF-WILLOW",
    "cub": "CUB_200_2011",
}
COPIED = ("coco", "labelme", "cvat", "label-studio")


def _dataset(folder: Path) -> Dataset:
    """Two photos, a dog with ten keypoints, a box and a mask in each."""
    images = []
    pixels = np.zeros((100, 200), dtype=bool)
    pixels[5:60, 5:100] = True
    for number in range(2):
        path = photo(folder / "in" / f"p{number}.jpg", seed=number)
        points = {
            n: DatasetKeypoint(Visibility.VISIBLE, 10.5 + 7 * k + number, 20.5 + 3 * k) for k, n in enumerate(POINTS)
        }
        dog = DatasetInstance("dog", points, (5.0, 5.0, 100.0, 60.0), MaskRLE.encode(pixels))
        images.append(DatasetImage(PurePosixPath(path.name), 200, 100, (dog,), str(path)))
    return Dataset((DatasetCategory("dog", KeypointSchema(POINTS)),), tuple(images), "t")


def _first(dataset: Dataset, **fields: Any) -> Dataset:
    """With other fields of the first photo's dog."""
    image = dataset.images[0]
    return _photo(dataset, instances=(replace(image.instances[0], **fields),))


def _photo(dataset: Dataset, number: int = 0, **fields: Any) -> Dataset:
    images = list(dataset.images)
    images[number] = replace(images[number], **fields)
    return replace(dataset, images=tuple(images))


def _point(dataset: Dataset, *fields: Any) -> Dataset:
    points = dict(dataset.images[0].instances[0].keypoints)
    return _first(dataset, keypoints=points | {POINTS[0]: DatasetKeypoint(*fields)})


def _category(dataset: Dataset, **fields: Any) -> Dataset:
    return replace(dataset, categories=(replace(dataset.categories[0], **fields),))


def _another(dataset: Dataset, **fields: Any) -> Dataset:
    image = dataset.images[1]
    return _photo(dataset, 1, instances=(*image.instances, DatasetInstance("dog", **fields)))


def _renamed(dataset: Dataset, name: str) -> Dataset:
    images = tuple(replace(i, instances=tuple(replace(n, category=name) for n in i.instances)) for i in dataset.images)
    return replace(_category(dataset, name=name), images=images)


def _boxes(dataset: Dataset) -> list[Any]:
    return sorted(tuple(round(v, 3) for v in n.box) for n in _instances(dataset) if n.box is not None)


def _instances(dataset: Dataset) -> list[DatasetInstance]:
    return [n for image in dataset.images for n in image.instances]


def _states(dataset: Dataset) -> list[Any]:
    return sorted(int(k.visibility) for n in _instances(dataset) for k in n.keypoints.values())


def _spots(dataset: Dataset) -> list[Any]:
    points = (k for n in _instances(dataset) for k in n.keypoints.values())
    return sorted((round(k.x, 4), round(k.y, 4)) for k in points if k.x is not None and k.y is not None)


def _of_images(name: str) -> Callable[[Dataset], Any]:
    return lambda dataset: sorted(str(getattr(i, name)) for i in dataset.images)


def _of_instances(name: str) -> Callable[[Dataset], Any]:
    return lambda dataset: sorted(str(getattr(n, name)) for n in _instances(dataset))


def _links(name: str) -> Callable[[Dataset], Any]:
    return lambda dataset: getattr(dataset.categories[0].schema, name)


def _count(dataset: Dataset) -> int:
    return len(_instances(dataset))


EYE = MaskRLE.encode(np.eye(100, 200, dtype=bool))
ALONE = "without (a )?(keypoints|mask|box)|further instances|one per image|10 visible|second mask|has no box"
NO_POINTS, NO_MASKS, NO_BOXES = r"(?<!out )keypoints\b", r"\bmasks?\b", r"\bbox"
# Set by hand: a table, one case a line.
CASES: dict[str, tuple[Callable[[Dataset], Dataset], Callable[[Dataset], Any], str]] = {
    # what is unusual: (change, what is compared, how a told loss speaks of it)
    "identity": (lambda d: _first(d, identity="Anna"), _of_instances("identity"), "identit"),
    "tag": (lambda d: _photo(d, tags=("dark",)), _of_images("tags"), r"\btags\b"),
    "odd split": (lambda d: _photo(d, split="odd"), _of_images("split"), "split"),
    "splits": (lambda d: _photo(_photo(d, split="val"), 1, split="train"), _of_images("split"), "split"),
    "nothing here": (lambda d: _photo(d, 1, instances=(), nothing_here=("dog",)), _of_images("nothing_here"), "nothing here"),
    "crowd": (lambda d: _first(d, crowd=True), _of_instances("crowd"), "crowd"),
    "hidden": (lambda d: _point(d, Visibility.HIDDEN, 10.5, 20.5), _states, f"hidden|{NO_POINTS}"),
    "absent": (lambda d: _point(d, Visibility.ABSENT), _states, f"absent|{NO_POINTS}"),
    "between pixels": (lambda d: _point(d, Visibility.VISIBLE, 10.25, 20.375), _spots, f"sub-pixel|{NO_POINTS}"),
    "outside": (lambda d: _point(d, Visibility.VISIBLE, -30.5, 20.5), _spots, f"outside|{NO_POINTS}"),
    "box of fractions": (lambda d: _first(d, box=(5.25, 5.25, 100.5, 60.5)), _boxes, NO_BOXES),
    "box outside": (lambda d: _first(d, box=(-20.0, 5.0, 100.0, 60.0)), _boxes, NO_BOXES),
    "mask of no shape": (lambda d: _first(d, mask=EYE), _of_instances("mask"), NO_MASKS),
    "box alone": (lambda d: _another(d, box=(110.0, 10.0, 150.0, 50.0)), _count, ALONE),
    "mask alone": (lambda d: _another(d, mask=EYE), _count, ALONE),
    "nothing alone": (lambda d: _another(d), _count, ALONE),
    "edges": (lambda d: _category(d, schema=KeypointSchema(POINTS, ((0, 1),))), _links("edges"), f"skeleton|{NO_POINTS}"),
    "pairs": (lambda d: _category(d, schema=KeypointSchema(POINTS, (), ((0, 1),))), _links("pairs"), f"pairs|{NO_POINTS}"),
    "names": (lambda d: d, _links("names"), f"names of keypoints|{NO_POINTS}"),
    "supercategory": (lambda d: _category(d, supercategory="animal"), lambda d: d.categories[0].supercategory, "supercategor"),
    "sigmas": (lambda d: _category(d, sigmas=(0.1,) * 10), lambda d: d.categories[0].sigmas, "sigmas"),
    "score": (lambda d: _first(d, score=0.5), _of_instances("score"), "confidences of accepted"),
    "all labelled": (lambda d: _photo(d, exhaustive={"dog": True}), _of_images("exhaustive"), "all are labelled"),
    "category without labels": (
        lambda d: replace(d, categories=(*d.categories, DatasetCategory("cat"))),
        lambda d: sorted(c.name for c in d.categories),
        "categories without|no VOC class",
    ),
    "photo without labels": (
        lambda d: replace(d, images=(*d.images, replace(d.images[0], rel_path=PurePosixPath("e.jpg"), instances=()))),
        lambda d: len(d.images),
        "photos? without",
    ),
    "odd name": (lambda d: _renamed(d, "große: Kühe"), lambda d: d.categories[0].name, "categor|written as"),
}  # fmt: skip


def _told(spec: FormatSpec, dataset: Dataset, options: WriteOptions) -> str:
    items = spec.common_losses(dataset) + spec.losses(dataset, options) + spec.rehearse(dataset, options)
    return "\n".join(f"{i.where}: {i.reason}" for i in items)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FORMATS_BOTH_WAYS)
def test_what_does_not_come_back_was_told(tmp_path: Path, name: str, case: str) -> None:
    spec, (change, seen, words) = FORMATS[name], CASES[case]
    dataset = change(_dataset(tmp_path))
    photo(tmp_path / "in" / "e.jpg", seed=9)
    aliases = {"große: Kühe": "cow"} if name == "pf-pascal" else {}
    options = WriteOptions(copy_images=name in COPIED, aliases=aliases)
    try:
        told = _told(spec, dataset, options)
    except UserInputError as error:
        assert "nothing to export" in error.user_message  # and so nothing is lost
        return
    spec.writer(dataset, tmp_path / "out", options)
    root = None if spec.pictures or name in COPIED else tmp_path / "in"
    with Project.create(tmp_path / "q.kinmark") as project:
        import_file(project, tmp_path / "out" / PLACES.get(name, "."), ImportOptions(name, images_root=root))
        again, _ = project_dataset(project)
    assert seen(again) == seen(dataset) or re.search(words, told), told


def test_each_word_has_a_line_of_its_own() -> None:
    """A data set with something of everything: what no format names itself is one line for each of the words."""
    box = (-5.0, 2.0, 30.0, 40.0)
    instance = DatasetInstance("dog", {}, box, identity="rex", crowd=True, score=0.5)
    full = DatasetImage(
        PurePosixPath("a.jpg"), 100, 80, (instance,), split="train", tags=("night",), nothing_here=("cat",)
    )
    empty = DatasetImage(PurePosixPath("b.jpg"), 100, 80)
    dog = DatasetCategory("dog", KeypointSchema(("nose",)), "animal", sigmas=(0.1,))
    dataset = Dataset((dog, DatasetCategory("cat")), (full, empty), "all")

    def told(words: frozenset[str]) -> set[tuple[str, str]]:
        items = common_losses(
            dataset, pictures="", flat_names=False, raster=False, keeps_fields="", keypoints=False, words=words
        )
        return {(item.where, item.reason) for item in items}

    everything, nothing = told(frozenset()), told(WORDS)
    lines = [told(WORDS - {word}) - nothing for word in sorted(WORDS)]
    assert [len(line) for line in lines] == [1] * len(WORDS)
    assert set().union(*lines) == everything - nothing and len(everything - nothing) == len(WORDS)
