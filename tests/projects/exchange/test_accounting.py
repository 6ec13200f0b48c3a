"""Nothing read is lost without a word, a bad item goes alone, and what brings no label leaves nothing behind."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from kinmark.engine.domain.errors import ImportFileError
from kinmark.projects.cli.app import run
from kinmark.projects.project import Project
from tests.support.exchange import coco, cvat, labelme, photo, places, shape, take_in, write_json, yolo

POSE = "kpt_shape: [2, 3]\nnames: [dog]"
ROW = "0 0.5 0.5 0.4 0.4 0.10 0.20 2 0.30 0.40 1"


# Nothing brought in: exit code 3, no category and no photo left behind


def _bad_yolo(folder: Path) -> tuple[str, str]:
    yolo(folder / "set", [ROW.replace("0.10", "100")], POSE)
    return "set", "yolo-pose"


def _orphan_yolo(folder: Path) -> tuple[str, str]:
    yolo(folder / "set", [], POSE)
    (folder / "set" / "labels" / "a.txt").rename(folder / "set" / "labels" / "b.txt")
    (folder / "set" / "labels" / "b.txt").write_text(ROW + "\n")
    return "set", "yolo-pose"


def _bad_coco(folder: Path) -> tuple[str, str]:
    coco(folder / "c.json", ["a.png"], [float("nan"), 5, 2, 8, 8, 2])
    return "c.json", "coco"


def _bad_cvat(folder: Path) -> tuple[str, str]:
    joint = '<points label="n" outside="0" occluded="0" points="10.00,50.00"/>'
    cvat(folder / "c.xml", f'<skeleton label="dog">{joint}{joint}</skeleton>', "<label><name>dog</name></label>")
    return "c.xml", "cvat"


@pytest.mark.parametrize("case", [_bad_yolo, _orphan_yolo, _bad_coco, _bad_cvat])
def test_no_label_leaves_nothing_behind_and_says_so(tmp_path: Path, case: object) -> None:
    photo(tmp_path / "photos" / "a.png")
    file, format_ = case(tmp_path)  # type: ignore[operator]
    target = tmp_path / "p.kinmark"
    assert run(["new", str(target), "--images", str(tmp_path / "photos")]) == 0
    assert run(["import", str(target), str(tmp_path / file), "--format", format_, "--skip-bad"]) == 3
    with Project.open(target) as project:
        assert [c.name for c in project.queries.categories()] == []
        assert len(list(project.queries.iter_images())) == 1


def test_photos_and_categories_without_labels_are_an_import(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "a.png")
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "dog", "keypoints": ["n"]}],
        "annotations": [],
    }
    write_json(tmp_path / "c.json", data)
    got = take_in(tmp_path, "c.json", "coco", images_root=tmp_path / "photos")
    assert not got.result.nothing and list(got.images) == ["a.png"] and got.categories == {"dog": ("n",)}


# A bad item goes alone


HEAD = "scorer,,,Ann,Ann,Ann,Ann\nbodyparts,,,nose,nose,ear,ear\ncoords,,,x,y,x,y\n"


def _table(folder: Path, *rows: str, head: str = HEAD) -> None:
    labels = folder / "p" / "labeled-data" / "v"
    for number in range(4):
        photo(labels / f"img{number}.png", seed=number)
    (folder / "p" / "config.yaml").write_text("Task: mouse\nbodyparts:\n- nose\n- ear\n")
    (labels / "CollectedData_Ann.csv").write_text(head + "".join(f"labeled-data,v,{row}\n" for row in rows))


def test_a_bad_row_of_a_table_is_left_out_alone(tmp_path: Path) -> None:
    _table(tmp_path, "img0.png,1,2,x,4", "img1.png,1,2,3", "img2.png,inf,2,3,4", "img3.png,5,6,7,8")
    with pytest.raises(ImportFileError, match=r"CollectedData_Ann.csv \(line 4\): 'x' is no number"):
        take_in(tmp_path, "p", "deeplabcut")
    got = take_in(tmp_path, "p", "deeplabcut", skip_bad=True)
    assert [places(n) for n in got.instances] == [{"nose": (5, 6), "ear": (7, 8)}]
    assert all(f"line {number}" in got.said for number in (4, 5, 6))


def test_body_parts_that_the_configuration_does_not_list_are_said(tmp_path: Path) -> None:
    _table(tmp_path, "img0.png,1,2,3,4", head=HEAD.replace("ear", "tail"))
    got = take_in(tmp_path, "p", "deeplabcut")
    assert got.categories == {"mouse": ("nose", "ear", "tail")}
    assert places(got.instances[0]) == {"nose": (1, 2), "tail": (3, 4)}
    assert "CollectedData_Ann.csv: tail: no body part of config.yaml" in got.said


@pytest.mark.skipif(sys.platform != "linux", reason="the file system must take any bytes as a name")
def test_a_name_that_is_not_utf8_does_not_refuse_the_others(tmp_path: Path) -> None:
    folder = yolo(tmp_path / "set", [ROW], POSE)
    odd = os.fsencode(folder / "images") + b"/caf\xe9.jpg"
    try:
        Path(os.fsdecode(odd)).write_bytes((folder / "images" / "a.jpg").read_bytes())
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    got = take_in(tmp_path, "set", "yolo-pose")
    assert list(got.images) == ["images/a.jpg"] and len(got.instances) == 1
    assert "skipped: images/caf?.jpg: the file name of the photo is not UTF-8" in got.said


@pytest.mark.parametrize(("name", "keypoint"), [("d\nog", "n"), ("x" * 301, "n"), ("dog", "n\tt"), ("dog", "k" * 301)])
def test_a_name_that_no_project_can_hold_is_refused_with_its_file(tmp_path: Path, name: str, keypoint: str) -> None:
    photo(tmp_path / "photos" / "a.png")
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": name, "keypoints": [keypoint]}],
        "annotations": [],
    }
    write_json(tmp_path / "c.json", data)
    with pytest.raises(ImportFileError, match=r"c\.json.*cannot be the name of a (category|keypoint)"):
        take_in(tmp_path, "c.json", "coco", photos="photos")


# Said: outside, empty, turned


def test_an_outline_that_reaches_outside_is_flagged(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "a.png")
    labelme(tmp_path / "photos" / "a.json", [shape("dog", "polygon", [[10, 10], [250, 10], [250, 90]])])
    got = take_in(tmp_path, "photos/a.json", "labelme")
    assert "1 x outline reaching outside the image: its mask ends at the border" in got.said
    labelme(tmp_path / "photos" / "a.json", [shape("dog", "polygon", [[-0.5, 10], [200.5, 10], [150, 90]])])
    assert "outline" not in take_in(tmp_path, "photos/a.json", "labelme").said


def test_an_empty_box_of_a_line_is_said_and_a_negative_one_refused(tmp_path: Path) -> None:
    yolo(tmp_path / "set", [ROW.replace("0.4 0.4", "0 0.4", 1)], POSE)
    got = take_in(tmp_path, "set", "yolo-pose")
    assert got.instances[0].box is None and "its box is empty and was left out" in got.said
    yolo(tmp_path / "set", [ROW.replace("0.4 0.4", "-0.005 0.4", 1)], POSE)
    with pytest.raises(ImportFileError, match=r"a\.txt \(line 1\): its box has the negative size -0.005 x 0.4"):
        take_in(tmp_path, "set", "yolo-pose")


@pytest.mark.parametrize(
    ("place", "said"), [("/home/other/datasets/x", True), (".", False), ("", False), (None, False)]
)
def test_a_path_of_data_yaml_that_is_not_there_is_said(tmp_path: Path, place: str | None, said: bool) -> None:
    folder = tmp_path / "set"
    here = str(folder) if place == "" else place
    yolo(folder, [ROW], POSE + (f"\npath: {here}" if place is not None else ""))
    got = take_in(tmp_path, "set", "yolo-pose")
    assert len(got.instances) == 1
    assert ("note: path: /home/other/datasets/x: no such folder" in got.said) == said


def test_boxes_that_begin_at_0_where_voc_counts_from_1_are_flagged(tmp_path: Path) -> None:
    photo(tmp_path / "v" / "a.png")
    box = "<bndbox><xmin>{0}</xmin><ymin>{0}</ymin><xmax>60</xmax><ymax>80</ymax></bndbox>"
    text = (
        "<annotation><filename>a.png</filename><size><width>200</width><height>100</height></size>"
        f"<object><name>dog</name>{box}</object></annotation>"
    )
    (tmp_path / "v" / "a.xml").write_text(text.format(0))
    assert "1 x box that begins at 0" in take_in(tmp_path, "v", "voc").said
    (tmp_path / "v" / "a.xml").write_text(text.format(1))
    assert "begins at 0" not in take_in(tmp_path, "v", "voc").said


@pytest.mark.parametrize("angle", [90.0, 18.5])
def test_a_box_that_an_attribute_turns_is_the_box_around_it(tmp_path: Path, angle: float) -> None:
    photo(tmp_path / "photos" / "a.png")
    turned = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [90, 40, 80, 20], "area": 1600}
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}],
        "categories": [{"id": 1, "name": "wit"}],
        "annotations": [turned | {"attributes": {"occluded": False, "rotation": angle}}],
    }
    write_json(tmp_path / "c.json", data)
    box = f'<box label="wit" xtl="90" ytl="40" xbr="170" ybr="60" rotation="{angle}" z_order="0"></box>'
    cvat(tmp_path / "c.xml", box)
    by_coco, by_cvat = (
        take_in(tmp_path, "c.json", "coco", photos="photos"),
        take_in(tmp_path, "c.xml", "cvat", photos="photos"),
    )
    assert by_coco.instances[0].box == pytest.approx(by_cvat.instances[0].box)
    if angle == 90:
        assert by_coco.instances[0].box == pytest.approx((120, 10, 140, 90))
    assert "1 x rotated box" in by_coco.said
    # A second trip must not turn it again.
    assert by_coco.instances[0].extra["coco"]["attributes"] == {"occluded": False}


def test_an_ellipse_is_said(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "a.png")
    cvat(tmp_path / "c.xml", '<ellipse label="wit" cx="50" cy="50" rx="10" ry="5"/>')
    got = take_in(tmp_path, "c.xml", "cvat", photos="photos")
    assert "1 x ellipse: read as an outline of 72 corners" in got.said and got.instances[0].mask is not None


# Pointers


def test_a_photo_deep_in_the_image_folder_is_found_by_its_name(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a" / "b" / "90fbb0c7-a.png")
    coco(tmp_path / "c.json", ["images\\1/90fbb0c7-a.png"])
    got = take_in(tmp_path, "c.json", "coco", images_root=tmp_path / "in")
    assert list(got.images) == ["a/b/90fbb0c7-a.png"] and "recognised by its name as b/90fbb0c7-a.png" in got.said
    photo(tmp_path / "in" / "c" / "90fbb0c7-a.png", seed=1)
    got = take_in(tmp_path, "c.json", "coco", images_root=tmp_path / "in")
    assert got.result.nothing and "2 photos fit: b/90fbb0c7-a.png, c/90fbb0c7-a.png" in got.said


def test_the_prefix_of_uploaded_photos_is_followed(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "my dog.png")
    coco(tmp_path / "c.json", ["../upload/4/cb0618f6-my dog.png"])
    got = take_in(tmp_path, "c.json", "coco", photos="photos")
    assert len(got.instances) == 1 and "recognised by its name as photos/my dog.png" in got.said
    coco(tmp_path / "d.json", ["cb0618fx-my dog.png"])  # no such prefix
    assert take_in(tmp_path, "d.json", "coco", photos="photos").result.nothing
