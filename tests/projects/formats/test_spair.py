"""SPair-71k export: every published reader's access pattern, the traps of methods/formats.md#spair, and reading it back."""

from __future__ import annotations

import json
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.projects.formats import spair
from kinmark.projects.formats.base import WriteOptions
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint
from kinmark.projects.formats.spair_names import StemMaker, category_names
from tests.support.datasets import sample_dataset, write_picture
from tests.support.spair_readers import READERS, geoaware_reader, layout_reader, sd4match_reader


def _with_splits(dataset: Dataset) -> Dataset:
    names = ("train", "val", "test", "test")
    return replace(dataset, images=tuple(replace(i, split=names[n % 4]) for n, i in enumerate(dataset.images)))


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Dataset, Path]:
    dataset = _with_splits(sample_dataset(tmp_path / "photos", count=12))
    spair.write(dataset, tmp_path / "out")
    return dataset, tmp_path / "out" / "SPair-71k"


@pytest.mark.parametrize("reader", sorted(READERS))
def test_published_readers(exported: tuple[Dataset, Path], reader: str) -> None:
    assert READERS[reader](exported[1])


@pytest.mark.parametrize("split", ["trn", "val", "test"])
def test_sd4match_and_geoaware(exported: tuple[Dataset, Path], split: str) -> None:
    dataset, root = exported
    pairs = sd4match_reader(root, split)
    assert len(pairs) == {"trn": 6, "val": 6, "test": 30}[split]  # ordered pairs of 3, 3 and 6 images
    points = geoaware_reader(root, split, "horse")
    assert len(points) == 2 * len(pairs)
    # What GeoAware takes from the image files and what the others take from the pair files is the same.
    first = points[0][points[0][:, 2] > 0][:, :2]
    assert {tuple(p) for p in pairs[0]["src"].T[: pairs[0]["n"]].tolist()} <= {tuple(p) for p in first.tolist()}
    assert len(dataset.images) == 12


def test_keypoints_are_floor_of_the_visible_ones(exported: tuple[Dataset, Path]) -> None:
    dataset, root = exported
    stems = json.loads((root.parent / "name_map.json").read_text())["images"]
    by_path = {str(i.rel_path): i for i in dataset.images}
    assert len(stems) == len(dataset.images)
    for row in stems:
        annotation = json.loads((root / "ImageAnnotation" / "horse" / f"{row['stem']}.json").read_text())
        instance = by_path[row["file_name"]].instances[0]
        for slot, name in enumerate(dataset.categories[0].schema.names):
            keypoint = instance.keypoints[name]
            expected = None
            if keypoint.visibility == Visibility.VISIBLE and keypoint.x is not None and keypoint.y is not None:
                expected = [int(np.floor(keypoint.x)), int(np.floor(keypoint.y))]
            assert annotation["kps"][str(slot)] == expected
        assert sorted(annotation["kps"], key=int) == [str(i) for i in range(30)]


def test_reads_back_what_it_wrote(exported: tuple[Dataset, Path]) -> None:
    dataset, root = exported
    back, report = spair.read(root.parent)
    assert not report.items
    assert back.categories[0].schema == dataset.categories[0].schema
    rows = json.loads((root.parent / "name_map.json").read_text())["images"]
    path_of = {f"JPEGImages/horse/{r['stem']}.jpg": r["file_name"] for r in rows}
    mine = {str(i.rel_path): i for i in dataset.images}
    for image in back.images:
        original = mine[path_of[str(image.rel_path)]]
        assert (image.width, image.height, image.split) == (original.width, original.height, original.split)
        assert image.instances[0].mask == original.instances[0].mask
        for name, keypoint in original.instances[0].keypoints.items():
            found = image.instances[0].keypoints[name]
            if keypoint.visibility == Visibility.VISIBLE and keypoint.x is not None:
                assert found.x is not None and found.x == np.floor(keypoint.x) + 0.5
            else:
                assert found.visibility == Visibility.ABSENT


def test_exif_is_applied_and_gone(tmp_path: Path) -> None:
    images = []
    for number, orientation in enumerate([1, 3, 6, 8]):
        path = tmp_path / f"p{number}.jpg"
        write_picture(path, 50, 30, number, orientation)
        keypoints = {
            "a": DatasetKeypoint(Visibility.VISIBLE, 49.5, 10.0),
            "b": DatasetKeypoint(Visibility.VISIBLE, 3.0, 29.9),
        }
        instance = DatasetInstance("dog", keypoints)
        images.append(DatasetImage(PurePosixPath(path.name), 50, 30, (instance,), str(path), orientation))
    dataset = Dataset((DatasetCategory("dog", KeypointSchema(("a", "b"))),), tuple(images))
    report = spair.write(dataset, tmp_path / "out")
    assert any("all go to test" in item.reason for item in report.items)
    root = tmp_path / "out" / "SPair-71k"
    for file in (root / "JPEGImages" / "dog").iterdir():
        with Image.open(file) as picture:
            assert picture.size == (50, 30) and picture.mode == "RGB" and picture.getexif().get(0x0112, 1) == 1
    assert len(layout_reader(root, "test")) == 12
    assert READERS["dift"](root) == {"dog": 12}


def test_many_keypoints_are_cut_to_what_readers_take(tmp_path: Path) -> None:
    names = tuple(f"k{i}" for i in range(40))
    images = []
    for number in range(3):
        path = tmp_path / f"p{number}.png"
        write_picture(path, 50, 30, number)
        instance = DatasetInstance(
            "chair", {n: DatasetKeypoint(Visibility.VISIBLE, i + 0.5, 5.0) for i, n in enumerate(names)}
        )
        images.append(DatasetImage(PurePosixPath(path.name), 50, 30, (instance,), str(path)))
    dataset = Dataset((DatasetCategory("chair", KeypointSchema(names)),), tuple(images))
    report = spair.write(dataset, tmp_path / "out")
    assert any("beyond 30" in item.where for item in report.items)
    pairs = sd4match_reader(tmp_path / "out" / "SPair-71k", "test")
    assert {p["n"] for p in pairs} == {20}


@pytest.mark.parametrize("archive", [".zip", ".tar.gz"])
def test_archives_hold_the_same_files(tmp_path: Path, archive: str) -> None:
    dataset = _with_splits(sample_dataset(tmp_path / "photos", count=6))
    spair.write(dataset, tmp_path / "folder")
    spair.write(dataset, tmp_path / "packed", WriteOptions(archive=archive))
    if archive == ".zip":
        with zipfile.ZipFile(tmp_path / "packed" / "SPair-71k.zip") as file:
            names = set(file.namelist())
    else:
        with tarfile.open(tmp_path / "packed" / "SPair-71k.tar.gz") as file:
            names = set(file.getnames())
    root = tmp_path / "folder"
    assert names == {
        p.relative_to(root).as_posix()
        for p in root.rglob("*")
        if p.is_file() and p.name not in (".kinmark-export.json", "name_map.json")
    }


def test_an_export_replaces_an_older_one_and_nothing_else(tmp_path: Path) -> None:
    dataset = _with_splits(sample_dataset(tmp_path / "photos", count=8))
    spair.write(dataset, tmp_path / "out")
    spair.write(replace(dataset, images=dataset.images[:4] + dataset.images[6:7]), tmp_path / "out")
    root = tmp_path / "out" / "SPair-71k"
    assert len(list((root / "JPEGImages" / "horse").iterdir())) == 5
    assert not list((tmp_path / "out").glob(".*"))
    (tmp_path / "mine" / "SPair-71k").mkdir(parents=True)
    (tmp_path / "mine" / "SPair-71k" / "precious.txt").write_text("x")
    with pytest.raises(UserInputError, match="already holds other files"):
        spair.write(dataset, tmp_path / "mine")
    assert (tmp_path / "mine" / "SPair-71k" / "precious.txt").is_file()


def test_nothing_to_pair_is_said(tmp_path: Path) -> None:
    dataset = sample_dataset(tmp_path / "photos", count=1)
    with pytest.raises(UserInputError, match="no two accepted images"):
        spair.write(dataset, tmp_path / "out")
    assert not (tmp_path / "out" / "SPair-71k").exists()


@given(names=st.lists(st.text(alphabet="abcjpgsonl-_ 01[*é:/", max_size=8), unique=True, max_size=8), data=st.data())
def test_names_avoid_every_trap(names: list[str], data: st.DataObject) -> None:
    safe = category_names(names, {})
    folders = list(safe.values())
    assert len({f.lower() for f in folders}) == len(names)
    maker = StemMaker(folders)
    paths = data.draw(st.lists(st.text(alphabet="abcjpgi01-é ", max_size=8), max_size=8))
    for folder in folders:
        assert folder and all(c.isascii() and (c.isalnum() or c == "_") for c in folder) and "jpg" not in folder.lower()
        assert not any(folder.lower() in other.lower() for other in folders if other != folder)
        stems = [maker.stem(folder, PurePosixPath(f"{p or 'x'}.png")) for p in paths]
        assert len({s.lower() for s in stems}) == len(stems)
        for stem in stems:
            assert stem and all(c.isascii() and (c.isalnum() or c == "_") for c in stem)
            assert not any(f.lower() in f"000123-{stem}-{stem}.json" for f in folders)
