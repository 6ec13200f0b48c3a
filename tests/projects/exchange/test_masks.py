"""Plain mask pictures with the photo's name: numbers, colours, grey, one folder for each category, and the way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.formats.registry import get_format
from tests.support.datasets import sample_dataset
from tests.support.exchange import photo, take_in


def _mask(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _two(first: int, second: int) -> np.ndarray:
    values = np.zeros((100, 200), np.uint8)
    values[10:20, 10:40], values[50:80, 100:110] = first, second
    return values


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    photo(tmp_path / "in" / "a.jpg")
    photo(tmp_path / "in" / "sub" / "b.JPG", seed=1)
    return tmp_path


@pytest.mark.parametrize("photos_in", ["in", None])
def test_numbers_are_instances_and_the_first_folder_the_category(photos: Path, photos_in: str | None) -> None:
    _mask(photos / "in" / "masks" / "cat" / "a.png", _two(1, 7))
    _mask(photos / "in" / "masks" / "dog" / "sub" / "b.png", _two(255, 255))
    _mask(photos / "in" / "masks" / "dog" / "a.png", _two(0, 3))
    got = take_in(
        photos, "in/masks", "masks", photos=photos_in, **({} if photos_in else {"images_root": photos / "in"})
    )
    found = {
        name: [(n.category, n.mask.area) for n in i.instances if n.mask]
        for name, i in got.images.items()
        if i.instances
    }
    assert found == {"a.jpg": [("cat", 300), ("cat", 300), ("dog", 300)], "sub/b.JPG": [("dog", 600)]}


def test_one_category_given_by_hand(photos: Path) -> None:
    from kinmark.projects.formats.base import ReadOptions

    _mask(photos / "m" / "sub" / "b.png", _two(9, 9))
    got = take_in(photos, "m", "masks", photos="in", read=ReadOptions(category="seal"))
    assert [n.category for n in got.images["sub/b.JPG"].instances] == ["seal"]


def test_colours_and_smooth_masks(photos: Path) -> None:
    colours = np.zeros((100, 200, 3), np.uint8)
    colours[10:20, 10:40], colours[50:80, 100:110] = (255, 0, 0), (0, 0, 9)
    _mask(photos / "m" / "a.png", colours)
    assert [n.mask.area for n in take_in(photos, "m", "masks", photos="in").instances if n.mask] == [300, 300]
    smooth = np.tile(np.linspace(0, 255, 200).astype(np.uint8), (100, 1))
    _mask(photos / "m" / "a.png", smooth)
    got = take_in(photos, "m", "masks", photos="in")
    assert [n.mask.area for n in got.instances if n.mask] == [100 * int((smooth[0].astype(int) * 2 > 255).sum())]
    assert "mask of many grey values" in got.said
    _mask(photos / "m" / "a.png", np.random.default_rng(0).integers(0, 255, (100, 200, 3), dtype=np.uint8))
    with pytest.raises(ImportFileError, match="colours, more than"):
        take_in(photos, "m", "masks", photos="in")


def test_two_photos_of_one_name_are_named_and_sizes_must_fit(photos: Path) -> None:
    photo(photos / "in" / "a.png", seed=5)
    _mask(photos / "m" / "cat" / "a.png", _two(1, 1))
    got = take_in(photos, "m", "masks", photos="in")
    assert got.result.nothing and "2 photos fit: a.jpg, a.png" in got.said
    (photos / "in" / "a.png").unlink()
    _mask(photos / "m" / "cat" / "a.png", np.ones((50, 50), np.uint8))
    with pytest.raises(UserInputError, match="50 x 50"):
        take_in(photos, "m", "masks", photos="in")
    _mask(photos / "m" / "cat" / "none.png", _two(1, 1))
    got = take_in(photos, "m", "masks", photos="in", skip_bad=True)
    assert "no photo of that name" in got.said


def test_the_way_back_is_exact(tmp_path: Path) -> None:
    dataset = sample_dataset(tmp_path / "photos")
    left = MaskRLE.encode(np.pad(np.ones((4, 4), bool), ((0, 36), (0, 56))))
    first = dataset.images[0]
    images = (
        replace(first, instances=(*first.instances, replace(first.instances[0], mask=left, identity="other"))),
        *dataset.images[1:],
    )
    dataset = replace(dataset, images=images)
    spec = get_format("masks")
    told = spec.losses(dataset)
    assert any(i.where == "9 x keypoints" for i in told)
    spec.writer(dataset, tmp_path / "out")
    back, report = spec.reader(tmp_path / "out")
    assert not report.items
    mine = {i.rel_path: [(n.mask, n.identity) for n in i.instances if n.mask] for i in dataset.images}
    assert {i.rel_path: [(n.mask, n.identity) for n in i.instances] for i in back.images} == {
        p: m for p, m in mine.items() if m
    }
