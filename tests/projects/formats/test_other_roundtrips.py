"""import(export(x)) for every format: exact for labelme and CVAT, within the format's own limit elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import mask_iou
from kinmark.projects.formats.base import WriteOptions
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetInstance, DatasetKeypoint
from kinmark.projects.formats.registry import FORMATS, get_format
from tests.support.datasets import datasets, sample_dataset, write_picture


def _essence(instance: DatasetInstance, *, absent: bool) -> object:
    points = {n: (int(k.visibility), k.x, k.y) for n, k in instance.keypoints.items() if absent or k.visibility}
    return (
        instance.category,
        points,
        instance.box,
        instance.mask,
        instance.identity,
        instance.crowd,
        instance.proposal,
        instance.score,
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dataset=datasets())
@pytest.mark.parametrize("name", ["labelme", "cvat"])
def test_exact_round_trip(name: str, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp(name)
    spec = get_format(name)
    if name == "labelme" and not dataset.images:
        return  # no image, no file
    spec.writer(dataset, out)
    back, _ = spec.reader(out if name == "labelme" else out / "annotations.xml")
    drawn = {}  # CVAT cannot hold an instance without any shape, labelme can
    for image in dataset.images:
        shaped = [n for n in image.instances if name == "labelme" or n.keypoints or n.box or n.mask]
        drawn[image.rel_path] = (image.width, image.height, [_essence(n, absent=False) for n in shaped])
    found = {i.rel_path: (i.width, i.height, [_essence(n, absent=False) for n in i.instances]) for i in back.images}
    assert found == drawn
    if name == "labelme":
        assert [(c.name, c.schema) for c in back.categories] == [(c.name, c.schema) for c in dataset.categories]
    else:
        mine = [(c.name, c.schema.names, set(c.schema.edges)) for c in dataset.categories]
        assert [(c.name, c.schema.names, set(c.schema.edges)) for c in back.categories] == mine


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    sample = sample_dataset(tmp_path / "photos", count=8)
    names = ("train", "val", "test", "train")
    return replace(sample, images=tuple(replace(i, split=names[n % 4]) for n, i in enumerate(sample.images)))


def _by_stem(out: Path, back: Dataset) -> dict[str, DatasetInstance]:
    names = json.loads(next(out.rglob("name_map.json")).read_text())
    return {names[i.rel_path.stem]: i.instances[0] for i in back.images if i.instances}


def _visible(instance: DatasetInstance, lowest: int = 2) -> dict[str, tuple[float, float]]:
    return {
        n: (k.x, k.y)
        for n, k in instance.keypoints.items()
        if k.visibility >= lowest and k.x is not None and k.y is not None
    }


def _assert_points(
    found: dict[str, tuple[float, float]], expected: dict[str, tuple[float, float]], tolerance: float
) -> None:
    assert found.keys() == expected.keys()
    for name, xy in expected.items():
        assert found[name] == pytest.approx(xy, abs=tolerance)


def test_yolo_pose(dataset: Dataset, tmp_path: Path) -> None:
    spec = get_format("yolo-pose")
    report = spec.writer(dataset, tmp_path / "out")
    assert (report.images, report.instances) == (8, 8)
    back, read = spec.reader(tmp_path / "out")
    assert not read.items
    assert back.categories[0].schema.names == dataset.categories[0].schema.names
    assert back.categories[0].schema.pairs == dataset.categories[0].schema.pairs
    found = _by_stem(tmp_path / "out", back)
    for image in dataset.images:
        instance = found[str(image.rel_path)]
        _assert_points(_visible(instance, 1), _visible(image.instances[0], 1), 1e-6)
        assert instance.box == pytest.approx(image.instances[0].box, abs=1e-6)
        states = {n: k.visibility for n, k in instance.keypoints.items()}
        assert states == {n: k.visibility for n, k in image.instances[0].keypoints.items()}
    assert {i.split for i in back.images} == {"train", "val", "test"}


def test_yolo_seg_is_exact_without_holes(dataset: Dataset, tmp_path: Path) -> None:
    spec = get_format("yolo-seg")
    spec.writer(dataset, tmp_path / "out")
    back, _ = spec.reader(tmp_path / "out" / "data.yaml")
    found = _by_stem(tmp_path / "out", back)
    with_mask = [(n, i) for n, i in enumerate(dataset.images) if i.instances[0].mask is not None]
    assert len(found) == len(with_mask)
    for number, image in with_mask:
        mine, theirs = image.instances[0].mask, found[str(image.rel_path)].mask
        assert mine is not None and theirs is not None
        if number % 3:
            assert mine == theirs
        else:  # the hole is filled, the outline stays
            assert 0.7 < mask_iou(mine.decode(), theirs.decode()) < 1 and not (mine.decode() & ~theirs.decode()).any()


@pytest.mark.parametrize("binary", [False, True])
def test_deeplabcut(dataset: Dataset, tmp_path: Path, binary: bool) -> None:
    if binary:
        pytest.importorskip("tables")
        pytest.importorskip("h5py")
    spec = get_format("deeplabcut")
    one_animal = tuple(replace(i, instances=(replace(i.instances[0], identity=""),)) for i in dataset.images)
    dataset = replace(dataset, images=one_animal)
    spec.writer(dataset, tmp_path / "out")
    if binary:
        for file in (tmp_path / "out").rglob("*.csv"):
            assert file.with_suffix(".h5").is_file()
            file.unlink()
    back, _ = spec.reader(tmp_path / "out")
    assert back.categories[0].schema == dataset.categories[0].schema and back.categories[0].name == "horse"
    found = _by_stem(tmp_path / "out", back)
    for image in dataset.images:
        _assert_points(_visible(found[str(image.rel_path)]), _visible(image.instances[0], 1), 1e-9)


def test_deeplabcut_with_several_animals(dataset: Dataset, tmp_path: Path) -> None:
    first = dataset.images[0]
    other = replace(
        first.instances[0], identity="second", keypoints={"nose": DatasetKeypoint(Visibility.VISIBLE, 7.5, 8.25)}
    )
    dataset = replace(dataset, images=(replace(first, instances=(*first.instances, other)), *dataset.images[1:]))
    spec = get_format("deeplabcut")
    spec.writer(dataset, tmp_path / "out")
    back, _ = spec.reader(tmp_path / "out")
    rows = {i.rel_path.name: {n.identity: _visible(n, 1) for n in i.instances} for i in back.images}
    assert rows["photo_0_e.png"]["second"] == {"nose": (7.5, 8.25)}
    assert set(rows["photo_0_e.png"]) == {"id0", "second"}


def test_cub(dataset: Dataset, tmp_path: Path) -> None:
    spec = get_format("cub")
    spec.writer(dataset, tmp_path / "out")
    back, _ = spec.reader(tmp_path / "out")
    found = _by_stem(tmp_path / "out", back)
    for image in dataset.images:
        instance = found[str(image.rel_path)]
        _assert_points(_visible(instance), _visible(image.instances[0]), 1e-9)
        assert instance.box == pytest.approx(image.instances[0].box) and instance.mask == image.instances[0].mask
    assert {i.split for i in back.images} == {"train", "test"}


def test_pf_pascal(dataset: Dataset, tmp_path: Path) -> None:
    spec = get_format("pf-pascal")
    report = spec.writer(dataset, tmp_path / "out")
    assert report.extra["coordinates"] == "pixel indices, 0-based"
    back, _ = spec.reader(tmp_path / "out")
    names = dataset.categories[0].schema.names
    found = _by_stem(tmp_path / "out", back)
    for image in dataset.images:
        points = {names[int(n)]: xy for n, xy in _visible(found[str(image.rel_path)]).items()}
        _assert_points(points, _visible(image.instances[0]), 1e-9)


def test_pf_willow(tmp_path: Path) -> None:
    names = tuple(f"p{i}" for i in range(10))
    rng = np.random.default_rng(0)
    images = []
    for number in range(3):
        relative = PurePosixPath(f"duck {number}.png")
        write_picture(tmp_path / "photos" / relative, 50, 30, number)
        xy = rng.uniform((1, 1), (49, 29), (10, 2))
        points = {
            n: DatasetKeypoint(Visibility.VISIBLE, float(x), float(y)) for n, (x, y) in zip(names, xy, strict=True)
        }
        image = sample_dataset(tmp_path / "x", count=1).images[0]
        images.append(
            replace(
                image,
                rel_path=relative,
                width=50,
                height=30,
                instances=(DatasetInstance("duck(S)", points),),
                source_path=str(tmp_path / "photos" / relative),
            )
        )
    dataset = Dataset((DatasetCategory("duck(S)", KeypointSchema(names)),), tuple(images))
    spec = get_format("pf-willow")
    report = spec.writer(dataset, tmp_path / "out")
    assert report.extra["pairs"] == {"test": 6}
    back, _ = spec.reader(tmp_path / "out" / "PF-WILLOW")
    found = _by_stem(tmp_path / "out", back)
    for image in dataset.images:
        points = {names[int(n)]: xy for n, xy in _visible(found[str(image.rel_path)]).items()}
        _assert_points(points, _visible(image.instances[0]), 1e-6)


def test_voc(dataset: Dataset, tmp_path: Path) -> None:
    spec = get_format("voc")
    spec.writer(dataset, tmp_path / "out")
    back, _ = spec.reader(tmp_path / "out")
    found = _by_stem(tmp_path / "out", back)
    for image in dataset.images:
        instance = found[str(image.rel_path)]
        assert instance.mask == image.instances[0].mask
        assert instance.box == (5.0, 4.0, 50.0, 36.0)  # the whole pixels that hold (5.25, 4.5, 50.0, 35.75)
    assert {i.split for i in back.images} == {"train", "val", "test"}


def test_perseg(dataset: Dataset, tmp_path: Path) -> None:
    spec = get_format("perseg")
    report = spec.writer(dataset, tmp_path / "out")
    back, _ = spec.reader(tmp_path / "out")
    masks = {n.mask for i in dataset.images for n in i.instances if n.mask is not None}
    assert report.masks == len(masks) == len(back.images)
    assert {n.mask for i in back.images for n in i.instances} == masks
    assert {n.identity for i in back.images for n in i.instances} == {"id0", "id1", "id2"}


@pytest.mark.parametrize("name", sorted(n for n, s in FORMATS.items() if n != "coco-wholebody" and not s.optional))
def test_losses_are_said_before_writing_and_in_the_report(name: str, dataset: Dataset, tmp_path: Path) -> None:
    spec = get_format(name)
    told = spec.losses(dataset)
    if name == "pf-willow":
        assert any("exactly 10" in item.where for item in told)
        return
    report = spec.writer(dataset, tmp_path / "out", WriteOptions())
    assert [i for i in report.items if i.kind == "lost"] == told
    if name in ("yolo-pose", "yolo-seg", "deeplabcut", "pf-pascal", "voc", "perseg", "spair"):
        assert told


@pytest.mark.parametrize("name", ["yolo-pose", "yolo-seg", "deeplabcut", "voc", "perseg", "cub", "pf-pascal"])
def test_foreign_folders_are_left_alone(name: str, dataset: Dataset, tmp_path: Path) -> None:
    inner = {"cub": "CUB_200_2011", "pf-pascal": "PF-PASCAL"}.get(name, "")
    out = tmp_path / "out" / inner
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("precious")
    with pytest.raises(Exception, match="already holds other files"):
        get_format(name).writer(dataset, tmp_path / "out")
    assert sorted(p.name for p in out.iterdir()) == ["mine.txt"]
