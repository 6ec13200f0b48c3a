"""COCO: import(export(x)) = x; real files come back equal; pycocotools reads what we write."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kinmark.projects.formats import coco
from kinmark.projects.formats.base import WriteOptions
from kinmark.projects.formats.coco_write import assign_ids, choose_frame
from kinmark.projects.formats.dataset import Dataset, DatasetInstance
from tests.support.coco_shapes import SHAPES, write_shape
from tests.support.datasets import datasets, sample_dataset


def _essence(instance: DatasetInstance) -> object:
    labelled = {n: (int(k.visibility), k.x, k.y) for n, k in instance.keypoints.items()}
    return (
        instance.category,
        labelled,
        instance.mask,
        instance.identity,
        instance.crowd,
        instance.proposal,
        instance.score,
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(dataset=datasets())
def test_round_trip_is_exact(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("coco")
    coco.write(dataset, out, WriteOptions(keypoint_frame="continuous"))
    back, _ = coco.read(out / coco.FILE_NAME)
    assert [c.name for c in back.categories] == [c.name for c in dataset.categories]
    assert [c.schema for c in back.categories] == [c.schema for c in dataset.categories]
    assert [(i.rel_path, i.width, i.height) for i in back.images] == [
        (i.rel_path, i.width, i.height) for i in dataset.images
    ]
    for mine, theirs in zip(dataset.images, back.images, strict=True):
        assert [_essence(n) for n in mine.instances] == [_essence(n) for n in theirs.instances]
        for a, b in zip(mine.instances, theirs.instances, strict=True):
            if a.box is not None:
                assert b.box == pytest.approx(a.box, abs=1e-9)


@pytest.mark.parametrize("name", SHAPES)
def test_files_of_every_published_shape_come_back_equal(name: str, tmp_path: Path) -> None:
    source = write_shape(name, tmp_path / "photos")
    dataset, report = coco.read(source)
    assert not [item for item in report.items if item.kind != "note"]
    coco.write(dataset, tmp_path / "out")
    before, after = json.loads(source.read_text()), json.loads((tmp_path / "out" / coco.FILE_NAME).read_text())
    for part in ("images", "annotations", "categories"):
        assert len(before[part]) == len(after[part])
        for old, new in zip(before[part], after[part], strict=True):
            assert old == {key: new[key] for key in old}


@pytest.mark.parametrize("polygon", [False, True])
def test_masks_with_holes_are_exact(tmp_path: Path, polygon: bool) -> None:
    dataset = sample_dataset(tmp_path / "photos")
    coco.write(dataset, tmp_path / "out", WriteOptions(masks="polygon" if polygon else "rle"))
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO(str(tmp_path / "out" / coco.FILE_NAME))
    kinds = set()
    for annotation, image in zip(api.loadAnns(api.getAnnIds()), dataset.images, strict=True):
        mask = image.instances[0].mask
        if mask is None:
            assert "segmentation" not in annotation
            continue
        kinds.add(type(annotation["segmentation"]))
        assert np.array_equal(api.annToMask(annotation), mask.decode())
        assert annotation["area"] == mask.area
    assert kinds == ({list, dict} if polygon else {dict})


def test_keypoints_evaluate_perfectly_with_the_suggested_sigmas(tmp_path: Path) -> None:
    dataset = sample_dataset(tmp_path / "photos")
    coco.write(dataset, tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / coco.FILE_NAME))
        rows = [
            {"image_id": a["image_id"], "category_id": a["category_id"], "keypoints": a["keypoints"], "score": 1.0}
            for a in truth.loadAnns(truth.getAnnIds())
        ]
        evaluation = COCOeval(truth, truth.loadRes(rows), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(truth.loadCats(truth.getCatIds())[0]["sigmas"])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_ids_start_at_one_and_originals_stay() -> None:
    assert assign_ids([None, 7, None, 7, 0, "a", 2]) == [8, 7, 9, 10, 11, 12, 2]
    assert assign_ids([None, None]) == [1, 2]


def test_integer_files_are_pixel_indices_and_floats_are_not(tmp_path: Path) -> None:
    dataset = sample_dataset(tmp_path / "photos")
    assert choose_frame(dataset) == "continuous"
    coco.write(dataset, tmp_path / "int", WriteOptions(keypoint_frame="integer"))
    data = json.loads((tmp_path / "int" / coco.FILE_NAME).read_text())
    assert all(isinstance(v, int) for a in data["annotations"] for v in a["keypoints"])
    del data["info"]["keypoint_frame"]
    (tmp_path / "plain.json").write_text(json.dumps(data))
    back, report = coco.read(tmp_path / "plain.json")
    assert report.extra["keypoint_frame"] == "pixel" and choose_frame(back) == "pixel"
    for mine, theirs in zip(dataset.images, back.images, strict=True):
        for name, keypoint in mine.instances[0].keypoints.items():
            found = theirs.instances[0].keypoints[name]
            if keypoint.x is not None and keypoint.y is not None:
                assert (found.x, found.y) == (np.floor(keypoint.x) + 0.5, np.floor(keypoint.y) + 0.5)


def test_strict_reader_fields(tmp_path: Path) -> None:
    """What Detectron2, MMPose and FiftyOne insist on (methods/formats.md#coco)."""
    dataset = sample_dataset(tmp_path / "photos")
    only_points = replace(dataset.images[0].instances[0], box=None, mask=None)
    dataset = replace(dataset, images=(replace(dataset.images[0], instances=(only_points,)), *dataset.images[1:]))
    coco.write(dataset, tmp_path)
    data = json.loads((tmp_path / coco.FILE_NAME).read_text())
    assert {i["file_name"] for i in data["images"]} == {str(i.rel_path) for i in dataset.images}
    ids = [a["id"] for a in data["annotations"]]
    assert len(set(ids)) == len(ids) and min(ids) == 1
    for annotation in data["annotations"]:
        assert annotation["bbox"][2] > 0 and annotation["bbox"][3] > 0 and annotation["area"] > 0
        assert annotation["iscrowd"] == 0 and "ignore" not in annotation
        assert len(annotation["keypoints"]) == 3 * len(data["categories"][0]["keypoints"])
        assert annotation["num_keypoints"] == sum(v > 0 for v in annotation["keypoints"][2::3])
    assert min(min(e) for e in data["categories"][0]["skeleton"]) >= 1
