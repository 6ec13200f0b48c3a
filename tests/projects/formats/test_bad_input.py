"""Damaged and hostile files: the error names file and item, or the report names what was put right (docs/reference/formats.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kinmark.engine.domain.errors import AppError, ImportFileError
from kinmark.projects.formats import coco
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.formats.registry import get_format
from tests.support.datasets import sample_dataset

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def good(tmp_path: Path) -> dict[str, Any]:
    coco.write(sample_dataset(tmp_path / "photos", count=3), tmp_path / "good")
    data: dict[str, Any] = json.loads((tmp_path / "good" / coco.FILE_NAME).read_text())
    return data


def _read(tmp_path: Path, text: str, **options: Any):
    file = tmp_path / "file.json"
    file.write_text(text)
    return coco.read(file, ReadOptions(**options))


def _annotation(key: str, value: Any) -> Change:
    return lambda d: d["annotations"][1].__setitem__(key, value)


def _segment(value: Any) -> Change:
    return _annotation("segmentation", value)


REFUSED: dict[str, tuple[Change, str]] = {
    "image size 0": (lambda d: d["images"][0].update(width=0), "image width"),
    "negative image size": (lambda d: d["images"][0].update(height=-3), "image height"),
    "absurd image size": (lambda d: d["images"][0].update(width=900_000, height=900_000), "absurd"),
    "image size as text": (lambda d: d["images"][0].update(width="60"), "must be a number"),
    "no file name": (lambda d: d["images"][0].pop("file_name"), "file_name"),
    "two images with one id": (lambda d: d["images"][1].update(id=d["images"][0]["id"]), "twice"),
    "a path of dots only": (lambda d: d["images"][0].update(file_name="..\\.."), "names no file"),
    "null byte in a path": (lambda d: d["images"][0].update(file_name="a\0b.png"), "no usable text"),
    "unknown image": (_annotation("image_id", 77), "image_id 77"),
    "unknown category": (_annotation("category_id", 77), "category_id 77"),
    "RLE of another size": (_segment({"size": [40, 61], "counts": [2440]}), "not the image's"),
    "RLE size swapped": (_segment({"size": [60, 40], "counts": [2400]}), "not the image's"),
    "RLE too short": (_segment({"size": [40, 60], "counts": [10, 10]}), "add up to 20"),
    "RLE negative run": (_segment({"size": [40, 60], "counts": [2500, -100]}), "RLE run"),
    "RLE compressed garbage": (_segment({"size": [40, 60], "counts": "zzzz~~"}), "run-length"),
    "RLE compressed too long": (_segment({"size": [40, 60], "counts": "ooooo0ooooo0"}), "run"),
    "RLE counts of another kind": (_segment({"size": [40, 60], "counts": 5}), "counts"),
    "RLE absurd run": (_segment({"size": [40, 60], "counts": [10**300]}), "finite"),
    "odd polygon": (_segment([[1, 2, 3, 4, 5, 6, 7]]), "even count"),
    "polygon of text": (_segment([["a"] * 6]), "must be a number"),
    "polygon at infinity": (_segment([[0, 0, 1e12, 0, 5, 5]]), "absurdly far"),
    "endless polygon": (_segment([[0, 0, 9e6, 9e6, 0, 9e6] * 30_000]), "pixels long"),
    "polygon of a million points": (_segment([[1.5] * 500_000]), "more than"),
    "box with negative size": (_annotation("bbox", [30, 30, -5, 4]), "negative size"),
    "box of three": (_annotation("bbox", [1, 2, 3]), "4 numbers"),
    "visibility 3": (lambda d: d["annotations"][1]["keypoints"].__setitem__(2, 3), "visibility"),
    "visibility 1.5": (lambda d: d["annotations"][1]["keypoints"].__setitem__(2, 1.5), "whole number"),
    "keypoints too few": (lambda d: d["annotations"][1]["keypoints"].pop(), "15 numbers"),
    "keypoint not finite": (lambda d: d["annotations"][1]["keypoints"].__setitem__(0, 1e20), "absurdly"),
    "keypoint true": (lambda d: d["annotations"][1]["keypoints"].__setitem__(0, True), "true/false"),
    "iscrowd 7": (_annotation("iscrowd", 7), "iscrowd"),
    "id as a list": (_annotation("id", [7]), "must be a number"),
    "skeleton of triples": (lambda d: d["categories"][0].update(skeleton=[[1, 2, 3]]), "pair"),
    "category without name": (lambda d: d["categories"][0].update(name="  "), "name is empty"),
    "two categories with one id": (lambda d: d["categories"].append(dict(d["categories"][0])), "twice"),
    "images no list": (lambda d: d.update(images={}), "must be a list"),
    "annotation no object": (lambda d: d["annotations"].__setitem__(1, 5), "an object is expected"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_coco_is_refused_with_file_and_item(case: str, good: dict[str, Any], tmp_path: Path) -> None:
    change, words = REFUSED[case]
    change(good)
    with pytest.raises(ImportFileError, match=words) as caught:
        _read(tmp_path, json.dumps(good))
    assert "file.json" in caught.value.user_message and caught.value.hint
    assert any(word in caught.value.user_message for word in ("annotation", "image", "category", "top level"))


def test_nan_in_a_keypoint_is_refused_and_elsewhere_forgotten(good: dict[str, Any], tmp_path: Path) -> None:
    good["annotations"][1]["keypoints"][0] = float("nan")
    with pytest.raises(ImportFileError, match=r"annotation 2.*NaN"):
        _read(tmp_path, json.dumps(good))
    good["annotations"][1]["keypoints"][0] = 1.0
    good["annotations"][1]["my_value"] = float("nan")
    good["images"][0]["huge"] = "HERE"
    dataset, _ = _read(tmp_path, json.dumps(good).replace('"HERE"', "1e999"))
    report = coco.write(dataset, tmp_path / "again")
    assert "verified" in report.extra


def test_soft_faults_are_put_right_and_reported(good: dict[str, Any], tmp_path: Path) -> None:
    rows, category = good["annotations"], good["categories"][0]
    rows[0]["id"] = rows[1]["id"] = 0
    rows[2]["num_keypoints"] = 99
    rows[2]["keypoints"][:3] = [500.25, 700, 2]
    rows[0]["segmentation"] = [[1, 1, 5, 5], [1, 1, 9, 1, 9, 9]]
    category["skeleton"] = [[0, 1], [3, 4]]
    category["keypoints"][4] = category["keypoints"][0]
    del category["keypoint_pairs"]
    dataset, report = _read(tmp_path, json.dumps(good))
    reasons = " / ".join(f"{item.where}: {item.reason}" for item in report.items)
    for words in (
        "without an id of 1 or more",
        "recounted",
        "outside the image",
        "encloses nothing",
        "counts keypoints from 0",
        "stands twice",
    ):
        assert words in reasons
    assert dataset.categories[0].schema.edges == ((0, 1), (3, 4)) and dataset.categories[0].schema.names[4] == "nose#2"
    coco.write(dataset, tmp_path / "again")
    assert [a["id"] for a in json.loads((tmp_path / "again" / coco.FILE_NAME).read_text())["annotations"]] == [4, 5, 3]


def test_skip_bad_keeps_the_good_ones(good: dict[str, Any], tmp_path: Path) -> None:
    good["annotations"][1]["bbox"] = [1, 2]
    good["images"][2]["file_name"] = ".."
    dataset, report = _read(tmp_path, json.dumps(good), skip_bad=True)
    assert sum(len(i.instances) for i in dataset.images) == 1
    assert (
        sum(item.kind == "skipped" for item in report.items) == 3
    )  # the annotation, the image, the image's annotation


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "5",
        '"x"',
        "{}",
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"images": 1}',
        "\x00\x01",
        "1" * 5000,
        "nan",
        '{"images":[],"annotations":[],"categories":null}',
    ],
)
def test_no_json_at_all(text: str, tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"file\.json"):
        _read(tmp_path, text)


def test_other_encodings_folders_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(ImportFileError, match="UTF-8"):
        coco.read(tmp_path / "latin.json")
    with pytest.raises(ImportFileError, match="not there"):
        coco.read(tmp_path / "missing.json")
    with pytest.raises(ImportFileError, match="folder"):
        coco.read(tmp_path)
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + b'{"images":[],"annotations":[],"categories":[]}')
    assert not coco.read(tmp_path / "bom.json")[0].images


BOMBS = {
    "entities": '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]><annotations>&c;</annotations>',
    "external": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotations>&b;</annotations>',
    "external dtd": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><annotations/>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><annotations/>',
    "deep": "<annotations>" + "<a>" * 5000 + "</a>" * 5000 + "</annotations>",
    "unclosed": "<annotations><image>",
    "not xml": "{}",
    "wrong root": "<html/>",
    "encoding": '<?xml version="1.0" encoding="klingon"?><annotations/>',
    "tracks": "<annotations><track/></annotations>",
}


@pytest.mark.parametrize("case", sorted(BOMBS))
def test_hostile_xml(case: str, tmp_path: Path) -> None:
    file = tmp_path / "file.xml"
    file.write_text(BOMBS[case])
    with pytest.raises(ImportFileError, match=r"file\.xml"):
        get_format("cvat").reader(file)
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "file.xml").write_text(BOMBS[case])
    with pytest.raises(ImportFileError, match=r"file\.xml"):
        get_format("voc").reader(tmp_path)


CVAT = {
    "mask outside": '<mask label="a" rle="0,4" left="9" top="9" width="2" height="2"/>',
    "mask runs": '<mask label="a" rle="0,5" left="1" top="1" width="2" height="2"/>',
    "mask negative": '<mask label="a" rle="-1,5" left="1" top="1" width="2" height="2"/>',
    "mask text": '<mask label="a" rle="a" left="1" top="1" width="2" height="2"/>',
    "box not finite": '<box label="a" xtl="nan" ytl="1" xbr="2" ybr="2"/>',
    "box infinite": '<box label="a" xtl="inf" ytl="1" xbr="2" ybr="2"/>',
    "polygon of two": '<polygon label="a" points="1,2;3,4"/>',
    "points of three": '<points label="a" points="1,2,3"/>',
    "no label": '<box xtl="1" ytl="1" xbr="2" ybr="2"/>',
}


@pytest.mark.parametrize("case", sorted(CVAT))
def test_damaged_cvat_shapes(case: str, tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text(f'<annotations><image name="x.png" width="10" height="10">{CVAT[case]}</image></annotations>')
    with pytest.raises(ImportFileError, match=r"a\.xml \(image x\.png"):
        get_format("cvat").reader(file)


def test_yaml_bombs(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    texts = (
        "\n".join(lines),
        "names: [" + "[" * 5000,
        "!!python/object/apply:os.system [ls]",
        "names: {1: a}",
        "",
        "- 1",
        "a: 1:2:",
    )
    for text in texts:
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(ImportFileError, match=r"data\.yaml"):
            get_format("yolo-pose").reader(tmp_path)


YOLO = {
    "too few columns": "0 0.5 0.5 0.2 0.2 0.1",
    "text": "0 a b c d",
    "class out of range": "9 0.5 0.5 0.2 0.2" + " 0.1 0.1 2" * 5,
    "not normalised": "0 30 20 5 5" + " 0.1 0.1 2" * 5,
    "nan": "0 nan 0.5 0.2 0.2" + " 0.1 0.1 2" * 5,
    "visibility": "0 0.5 0.5 0.2 0.2" + " 0.1 0.1 9" * 5,
}


@pytest.mark.parametrize("case", sorted(YOLO))
def test_damaged_yolo_lines(case: str, tmp_path: Path) -> None:
    spec = get_format("yolo-pose")
    spec.writer(sample_dataset(tmp_path / "photos", count=1), tmp_path / "out")
    [label] = (tmp_path / "out" / "labels").rglob("*.txt")
    label.write_text(YOLO[case] + "\n")
    with pytest.raises(ImportFileError, match=r"line 1"):
        spec.reader(tmp_path / "out")


def test_damaged_labelme_csv_and_mat(tmp_path: Path) -> None:
    cases: list[tuple[str, str, bytes]] = [
        ("labelme", "a.json", b'{"shapes": [], "imagePath": "../../x.png", "imageWidth": 0, "imageHeight": 4}'),
        ("labelme", "b.json", b'{"imagePath": "x.png"}'),
        ("deeplabcut", "CollectedData_a.csv", b"scorer,,,a\nbodyparts,,,n\ncoords,,,x,y\n"),
        ("deeplabcut", "CollectedData_b.csv", b"hello"),
        ("deeplabcut", "CollectedData_c.csv", b"scorer,a,a\nbodyparts,n,n\ncoords,x,y\nimg.png,1,two\n"),
        ("deeplabcut", "CollectedData_d.h5", b"\x89HDF\r\n\x1a\n" + b"\x00" * 100),
        ("pf-willow", "test_pairs.csv", b"imageA,imageB\n"),
    ]
    for name, file, content in cases:
        (tmp_path / file).write_bytes(content)
        with pytest.raises(AppError, match=file):
            get_format(name).reader(tmp_path / file)
    folder = tmp_path / "PF-PASCAL"
    (folder / "JPEGImages").mkdir(parents=True)
    (folder / "Annotations" / "cat").mkdir(parents=True)
    for content in (b"", b"MATLAB 5.0 MAT-file" + b"\0" * 200, os.urandom(300)):
        (folder / "Annotations" / "cat" / "x.mat").write_bytes(content)
        with pytest.raises(ImportFileError, match=r"x\.mat"):
            get_format("pf-pascal").reader(folder)


def test_links_that_leave_the_image_folder_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    sample = sample_dataset(tmp_path / "photos", count=1)
    secret.write_bytes(Path(sample.images[0].source_path).read_bytes())
    spec = get_format("cub")
    spec.writer(sample, tmp_path / "out")
    [picture] = (tmp_path / "out" / "CUB_200_2011" / "images").rglob("*.jpg")
    picture.unlink()
    picture.symlink_to(secret)
    with pytest.raises(AppError, match="link that leaves"):
        spec.reader(tmp_path / "out")


def test_yaml_dump_is_plain(tmp_path: Path) -> None:
    spec = get_format("yolo-pose")
    spec.writer(sample_dataset(tmp_path / "photos", count=2), tmp_path / "out")
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert data["kpt_shape"] == [5, 3] and data["flip_idx"] == [0, 2, 1, 3, 4] and data["names"] == {0: "horse"}
