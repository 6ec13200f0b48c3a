"""YOLO, DeepLabCut and COCO files as they are found: the right number or a clear sentence, and everything accounted for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.domain.errors import ImportFileError
from tests.support.exchange import coco, cvat, photo, places, take_in, write_json, yolo

POSE = "kpt_shape: [{0}, {1}]\nnames: [dog]"


# YOLO


@pytest.mark.parametrize("flags", ["1 1 0 1", "2.0 2.0 0.0 1.0"])
def test_rows_with_other_columns_than_kpt_shape_are_refused(tmp_path: Path, flags: str) -> None:
    a, b, c, d = flags.split()
    row = f"0 0.5 0.5 0.4 0.4 0.10 0.20 {a} 0.30 0.40 {b} 0 0 {c} 0.70 0.80 {d}"
    yolo(tmp_path / "set", [row], POSE.format(4, 2))
    with pytest.raises(ImportFileError, match=r"17 columns, expected 13 \(5 \+ 4 x 2\)") as caught:
        take_in(tmp_path, "set", "yolo-pose")
    assert "kpt_shape: [4, 3]" in caught.value.hint
    yolo(tmp_path / "set", [row], POSE.format(4, 3))
    [instance] = take_in(tmp_path, "set", "yolo-pose").instances
    assert list(places(instance).values()) == [
        pytest.approx((20, 20)),
        pytest.approx((60, 40)),
        None,
        pytest.approx((140, 80)),
    ]
    yolo(tmp_path / "set", [row], POSE.format(2, 3))
    with pytest.raises(ImportFileError, match="17 columns, expected 11"):
        take_in(tmp_path, "set", "yolo-pose")


def test_a_box_between_outlines_is_a_box(tmp_path: Path) -> None:
    rows = ["0 0.1 0.1 0.3 0.1 0.3 0.5 0.1 0.5", "1 0.5 0.5 0.2 0.2"]
    yolo(tmp_path / "set", rows, "names: [car, bike]")
    got = take_in(tmp_path, "set", "yolo-seg")
    car, bike = got.instances
    assert car.mask is not None and car.mask.area == 40 * 40 and car.box is None
    assert (bike.category, bike.box, bike.mask) == ("bike", pytest.approx((80, 40, 120, 60)), None)
    assert "1 x line without outline" in got.said


def test_a_bad_line_is_left_out_alone(tmp_path: Path) -> None:
    rows = ["0 0.1 0.1 0.3 0.1 0.3 0.5 0.1 0.5", "0 0.5 0.5 7 0.2 0.1 0.1", "0 nan 0.5 0.2 0.2"]
    yolo(tmp_path / "set", rows, "names: [car]")
    got = take_in(tmp_path, "set", "yolo-seg", skip_bad=True)
    assert len(got.instances) == 1 and "line 2" in got.said and "line 3" in got.said


def test_label_files_without_a_photo_and_photos_without_labels_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinmark.engine.imaging.reads_heic", lambda: False)
    row = "0 0.5 0.5 0.4 0.4 0.10 0.20 2 0.30 0.40 1\n"
    folder = yolo(tmp_path / "set", [row.strip()], POSE.format(2, 3))
    photo(folder / "images" / "b.png", seed=1)
    (folder / "images" / "b.txt").write_text(row)  # beside the photo
    (folder / "labels" / "gone.txt").write_text(row)
    (folder / "images" / "phone.heic").write_bytes(b"x")
    (folder / "classes.txt").write_text("dog\n")
    got = take_in(tmp_path, "set", "yolo-pose")
    assert "2 label files were not used: images/b.txt, labels/gone.txt" in got.said
    assert "1 of 2 photos without a label file: images/b.png" in got.said
    assert "1 x HEIC photo" in got.said and "classes.txt" not in got.said


def test_path_and_list_files_of_data_yaml(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "inner"
    for number, name in enumerate(("a", "b")):
        photo(folder / "images" / f"{name}.png", seed=number)
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (folder / "train.txt").write_text("./images/a.png\n/home/other/set/images/missing.png\n")
    (tmp_path / "set" / "data.yaml").write_text(
        "path: /home/other/inner\ntrain: train.txt\nval: images\nnc: 3\nnames: [dog]\n"
    )
    got = take_in(tmp_path, "set", "yolo-seg")
    assert {name: i.split for name, i in got.images.items()} == {
        "inner/images/a.png": "train",
        "inner/images/b.png": "val",
    }
    assert len(got.instances) == 2
    assert '"nc" says 3' in got.said and "1 x photo of train.txt" in got.said


# DeepLabCut

HEAD = "scorer,,,Ann,Ann,Ann,Ann\nbodyparts,,,nose,nose,ear,ear\ncoords,,,x,y,x,y\n"


def _frames(folder: Path, count: int = 3) -> Path:
    labels = folder / "p" / "labeled-data" / "vid 1"
    for number in range(count):
        photo(labels / f"img{number}.png", seed=number)
    (folder / "p" / "config.yaml").write_text("Task: mouse\nbodyparts:\n- nose\n- ear\n")
    return labels


def test_every_persons_table_of_a_video_is_read(tmp_path: Path) -> None:
    labels = _frames(tmp_path)
    (labels / "CollectedData_Ann.csv").write_text(
        HEAD + "labeled-data,vid 1,img0.png,10.25,20.5,52,\nlabeled-data\\vid 1\\img1.png,,,1,2,3,4\n"
    )
    (labels / "CollectedData_Bob.csv").write_text(HEAD.replace("Ann", "Bob") + "labeled-data,vid 1,img2.png,5,6,7,8\n")
    got = take_in(tmp_path, "p", "deeplabcut")
    assert [places(n) for n in got.instances] == [
        {"nose": (10.25, 20.5), "ear": None},
        {"nose": (1, 2), "ear": (3, 4)},
        {"nose": (5, 6), "ear": (7, 8)},
    ]
    assert "1 x x without y or y without x" in got.said and "scorer Ann" in got.said and "scorer Bob" in got.said


def test_two_people_who_labelled_one_frame_are_both_named(tmp_path: Path) -> None:
    labels = _frames(tmp_path)
    row = "labeled-data,vid 1,img0.png,1,2,3,4\n"
    (labels / "CollectedData_Ann.csv").write_text(HEAD + row)
    (labels / "CollectedData_Bob.csv").write_text(HEAD.replace("Ann", "Bob") + row.replace("1,2,3,4", "5,6,7,8"))
    with pytest.raises(ImportFileError, match=r"CollectedData_Bob.*CollectedData_Ann"):
        take_in(tmp_path, "p", "deeplabcut")
    got = take_in(tmp_path, "p", "deeplabcut", skip_bad=True)
    assert [places(n)["nose"] for n in got.instances] == [(1, 2)] and "CollectedData_Bob.csv" in got.said


def test_two_scorers_in_one_table(tmp_path: Path) -> None:
    labels = _frames(tmp_path)
    head = "scorer,,,Ann,Ann,Bob,Bob\nbodyparts,,,nose,nose,nose,nose\ncoords,,,x,y,x,y\n"
    (labels / "CollectedData_Ann.csv").write_text(
        head + "labeled-data,vid 1,img0.png,1,2,,\nlabeled-data,vid 1,img1.png,,,3,4\n"
    )
    assert [places(n)["nose"] for n in take_in(tmp_path, "p", "deeplabcut").instances] == [(1, 2), (3, 4)]
    (labels / "CollectedData_Ann.csv").write_text(head + "labeled-data,vid 1,img0.png,1,2,5,6\n")
    with pytest.raises(ImportFileError, match=r'"nose" has two values of x, by "Ann" and by "Bob"'):
        take_in(tmp_path, "p", "deeplabcut")


def test_columns_of_other_kinds_are_counted(tmp_path: Path) -> None:
    labels = _frames(tmp_path)
    lines = HEAD.splitlines()
    head = f"{lines[0]},Unnamed: 7\n{lines[1]},Unnamed: 7_level_1\n{lines[2]},Unnamed: 7_level_2\n"
    (labels / "CollectedData_Ann.csv").write_text(head + "labeled-data,vid 1,img0.png,1,2,3,4,note\n")
    got = take_in(tmp_path, "p", "deeplabcut")
    assert places(got.instances[0]) == {"nose": (1, 2), "ear": (3, 4)}
    assert list(got.categories.values()) == [("nose", "ear")] and "1 x column of another kind" in got.said


def test_h5_files_with_another_key_name_their_keys(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    labels = _frames(tmp_path)
    with h5py.File(labels / "CollectedData_Ann.h5", "w") as file:
        file.create_group("keypoints")
    with pytest.raises(ImportFileError, match="its tables: keypoints"):
        take_in(tmp_path, "p", "deeplabcut")


# COCO


def test_whole_numbers_of_cvat_agree_in_xml_and_coco(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    cvat(
        tmp_path / "in" / "a.xml",
        '<skeleton label="dog" z_order="0"><points label="n" outside="0" occluded="0" points="100.00,50.00"/>'
        '<points label="t" outside="0" occluded="0" points="120.00,55.00"/></skeleton>',
    )
    coco(tmp_path / "in" / "a.json", ["a.png"], [100.0, 50.0, 2, 120.0, 55.0, 2])
    from_xml, from_json = take_in(tmp_path, "in/a.xml", "cvat"), take_in(tmp_path, "in/a.json", "coco")
    assert places(from_xml.instances[0]) == places(from_json.instances[0]) == {"n": (100, 50), "t": (120, 55)}
    assert "read as continuous" in from_json.said


@pytest.mark.parametrize("unlabelled", [[0, 0, 0], [9.5, 3.5, 0]])
def test_labelled_keypoints_alone_decide_the_frame(tmp_path: Path, unlabelled: list[float]) -> None:
    photo(tmp_path / "in" / "a.png")
    coco(tmp_path / "in" / "a.json", ["a.png"], [100, 50, 2, *unlabelled])
    got = take_in(tmp_path, "in/a.json", "coco")
    assert places(got.instances[0]) == {"n": (100.5, 50.5), "t": None}
    assert "half a pixel was added" in got.said
    assert ("place of an unlabelled keypoint" in got.said) == (unlabelled[0] != 0)


def test_nan_of_an_absent_keypoint_is_absent(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    nan = float("nan")
    coco(tmp_path / "in" / "a.json", ["a.png"], [nan, nan, 0, 8.5, 8, 2])
    assert places(take_in(tmp_path, "in/a.json", "coco").instances[0]) == {"n": None, "t": (8.5, 8)}
    coco(tmp_path / "in" / "a.json", ["a.png"], [nan, 5, 2, 8.5, 8, 2])
    with pytest.raises(ImportFileError, match=r"annotation 1.*NaN"):
        take_in(tmp_path, "in/a.json", "coco")


def test_ids_below_one_are_all_reported(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    annotation = {"id": 0, "image_id": 0, "category_id": 0, "bbox": [1, 1, 5, 5]}
    write_json(
        tmp_path / "in" / "a.json",
        {
            "images": [{"id": 0, "file_name": "a.png", "width": 200, "height": 100}],
            "categories": [{"id": 0, "name": "x"}],
            "annotations": [annotation],
        },
    )
    said = take_in(tmp_path, "in/a.json", "coco").said
    for words in ("1 x category id below 1", "1 x image id below 1", "1 x annotation without an id of 1 or more"):
        assert words in said


def test_keypoints_without_names_and_nested_ones_are_refused_clearly(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    file = coco(tmp_path / "in" / "a.json", ["a.png"], [10, 20, 2, 30, 40, 1])
    good = file.read_text()
    file.write_text(good.replace('"keypoints": ["n", "t"]', '"keypoints": []'))
    with pytest.raises(ImportFileError, match="its category names none"):
        take_in(tmp_path, "in/a.json", "coco")
    file.write_text(good.replace("[10, 20, 2, 30, 40, 1]", "[[10, 20, 2], [30, 40, 1]]"))
    with pytest.raises(ImportFileError, match="a flat list"):
        take_in(tmp_path, "in/a.json", "coco")


def test_hints_at_odd_flags_and_places(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    coco(tmp_path / "in" / "a.json", ["a.png"], [0, 0, 1, 30, 40, 1])
    said = take_in(tmp_path, "in/a.json", "coco").said
    assert "no keypoint of the file has the flag 2" in said and "1 x labelled keypoint at (0, 0)" in said


def test_names_that_are_empty_are_numbered(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    file = coco(tmp_path / "in" / "a.json", ["a.png"], [10, 20, 2, 30, 40, 1])
    file.write_text(file.read_text().replace('["n", "t"]', '["", "t"]'))
    got = take_in(tmp_path, "in/a.json", "coco")
    assert got.categories == {"dog": ("kp1", "t")} and "the keypoint 1 has no name" in got.said


def test_xml_in_another_encoding_than_it_says(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    file = cvat(tmp_path / "in" / "a.xml", "", "<label><name>Pferd</name></label>")
    file.write_bytes(file.read_bytes().replace(b"Pferd", b"M\xe4hre"))
    with pytest.raises(ImportFileError, match="not UTF-8 text although it says so") as caught:
        take_in(tmp_path, "in/a.xml", "cvat")
    assert "Windows-1252" in caught.value.hint
    file.write_bytes(file.read_bytes().replace(b"utf-8", b"cp1252"))
    assert take_in(tmp_path, "in/a.xml", "cvat", photos="in").categories == {"Mähre": ()}


# One pass of checks for all


def test_the_same_checks_for_every_reader(tmp_path: Path) -> None:
    """A box outside, a keypoint outside, an empty box: CVAT, labelme and COCO say it in the same words."""
    from tests.support.exchange import labelme, shape

    photo(tmp_path / "in" / "a.png")
    cvat(
        tmp_path / "in" / "a.xml",
        '<box label="x" occluded="0" xtl="250" ytl="10" xbr="280" ybr="20" z_order="0"/>'
        '<box label="x" occluded="0" xtl="5" ytl="10" xbr="5" ybr="20" z_order="0"/>'
        '<skeleton label="x" z_order="0"><points label="n" outside="0" occluded="0" points="300,50"/></skeleton>',
    )
    labelme(
        tmp_path / "in" / "a.json",
        [
            shape("x", "rectangle", [(250, 10), (280, 20)]),
            shape("x", "rectangle", [(5, 10), (5, 20)]),
            shape("n", "point", [(300, 50)], 7),
        ],
    )
    for got in (take_in(tmp_path, "in/a.xml", "cvat"), take_in(tmp_path, "in/a.json", "labelme")):
        assert "1 x box that lies outside the image" in got.said
        assert "its box is empty and was left out" in got.said
        assert "1 x keypoint outside the image" in got.said and " 3, n)" in got.said


def test_damaged_instances_of_any_reader_are_refused_or_left_out_alone() -> None:
    from pathlib import PurePosixPath

    from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
    from kinmark.engine.domain.masks import MaskRLE
    from kinmark.projects.formats.base import ReadOptions
    from kinmark.projects.formats.dataset import (
        Dataset,
        DatasetCategory,
        DatasetImage,
        DatasetInstance,
        DatasetKeypoint,
        Report,
    )
    from kinmark.projects.formats.finish import finish

    bad = [
        DatasetInstance("x", {}, (0.0, 0.0, float("nan"), 5.0)),
        DatasetInstance("x", {}, (5.0, 0.0, 1.0, 5.0)),
        DatasetInstance("stranger", {}, (0.0, 0.0, 1.0, 1.0)),
        DatasetInstance("x", {"m": DatasetKeypoint(Visibility.VISIBLE, 1.0, 1.0)}),
        DatasetInstance("x", {"n": DatasetKeypoint(Visibility.VISIBLE, float("inf"), 1.0)}),
        DatasetInstance("x", {}, None, MaskRLE.encode(np.ones((3, 3), bool))),
    ]
    good = DatasetInstance("x", {"n": DatasetKeypoint(Visibility.VISIBLE, 1.0, 1.0)}, original_id=5)
    category = DatasetCategory("x", KeypointSchema(("n",)))
    for instance in bad:
        image = DatasetImage(PurePosixPath("a.png"), 20, 10, (good, instance))
        with pytest.raises(ImportFileError, match=r"file.*a\.png"):
            finish(Dataset((category,), (image,)), Report("any"), ReadOptions(), "file")
        dataset, report = finish(Dataset((category,), (image,)), Report("any"), ReadOptions(skip_bad=True), "file")
        assert dataset.images[0].instances == (good,) and [i.kind for i in report.items] == ["skipped"]
    twice = DatasetImage(PurePosixPath("a.png"), 20, 10, (good, good))
    dataset, report = finish(Dataset((category,), (twice, twice)), Report("any"), ReadOptions(), "file")
    assert [n.original_id for n in dataset.images[0].instances] == [5, None, None, None]
    assert "2 entries" in report.items[-1].where or "1 x photo named by two entries" in report.items[-1].where


# Everything given is accounted for


def test_photos_that_no_label_belongs_to_are_counted(tmp_path: Path) -> None:
    from tests.support.exchange import labelme, shape

    labels = _frames(tmp_path)
    (labels / "CollectedData_Ann.csv").write_text(HEAD + "labeled-data,vid 1,img0.png,1,2,3,4\n")
    assert "2 x photo without labels" in take_in(tmp_path, "p", "deeplabcut").said
    for number, name in enumerate(("a.png", "b.png")):
        photo(tmp_path / "lm" / name, seed=number)
        photo(tmp_path / "voc" / "JPEGImages" / name, seed=number)
    labelme(tmp_path / "lm" / "a.json", [shape("x", "rectangle", [(1, 1), (5, 5)])])
    assert (
        "1 x photo without labels: not imported; add the folder to have it (first: b.png)"
        in take_in(tmp_path, "lm", "labelme").said
    )
    (tmp_path / "voc" / "Annotations").mkdir()
    (tmp_path / "voc" / "Annotations" / "a.xml").write_text(
        "<annotation><filename>a.png</filename><size><width>200</width><height>100</height></size><object><name>dog</name>"
        "<pose>Left</pose><truncated>1</truncated><difficult>1</difficult><part><name>head</name></part>"
        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    (tmp_path / "voc" / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "voc" / "ImageSets" / "Main" / "train.txt").write_text("a\ngone\n")
    said = take_in(tmp_path, "voc", "voc").said
    for words in (
        "1 x photo without labels",
        "1 x name in ImageSets",
        "1 x <truncated>",
        "1 x <pose>",
        "1 x <difficult>",
        "1 x <part>",
    ):
        assert words in said


def test_confidences_of_labels_are_said_to_be_lost(tmp_path: Path) -> None:
    labels = _frames(tmp_path, 1)
    head = "scorer,,,A,A,A\nbodyparts,,,nose,nose,nose\ncoords,,,x,y,likelihood\n"
    (labels / "CollectedData_A.csv").write_text(head + "labeled-data,vid 1,img0.png,1,2,0.9\n")
    assert "1 x confidence of a keypoint" in take_in(tmp_path, "p", "deeplabcut").said
    assert "confidence of a keypoint" not in take_in(tmp_path, "p", "deeplabcut", as_proposals=True).said


def test_a_heic_photo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinmark.engine.domain.errors import UnreadableImageError

    monkeypatch.setattr("kinmark.engine.imaging.reads_heic", lambda: False)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50)
    coco(tmp_path / "in" / "c.json", ["a.heic"])
    with pytest.raises(UnreadableImageError, match="HEIC cannot be decoded") as caught:
        take_in(tmp_path, "in/c.json", "coco")
    assert caught.value.hint == "Install kinmark[heic], or convert it to JPEG or PNG."


def test_equal_lines_of_a_yolo_export_are_said(tmp_path: Path) -> None:
    from kinmark.projects.images import add_paths
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.exporting import ExportOptions, export_project
    from kinmark.projects.workflows.importing import ImportOptions, import_file
    from tests.support.exchange import labelme, shape

    photo(tmp_path / "in" / "a.png")
    ring = [(10, 10), (40, 10), (40, 30)]
    labelme(tmp_path / "in" / "a.json", [shape("car", "polygon", ring), shape("car", "polygon", ring)])
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, tmp_path / "in" / "a.json", ImportOptions("labelme"))
        report = export_project(project, tmp_path / "out", ExportOptions("yolo-seg"))
    assert report.instances == 1 and any("same line" in i.reason for i in report.items)


VOC = (
    "<annotation><folder>x</folder><filename>{0}</filename><path>C:\\\\x\\\\{0}</path><size><width>{1}</width><height>{2}</height>"
    "<depth>3</depth></size>{3}</annotation>"
)
OBJECT = (
    "<object><name>dog</name><bndbox><xmin>{0}</xmin><ymin>11</ymin><xmax>{1}</xmax><ymax>40</ymax></bndbox></object>"
)


def test_voc_files_beside_their_photos(tmp_path: Path) -> None:
    """As labelImg leaves them: no folders, sizes of 0 now and then, a bad object alone."""
    photo(tmp_path / "in" / "a.jpg")
    photo(tmp_path / "in" / "sub" / "b.png", seed=1)
    (tmp_path / "in" / "a.xml").write_text(VOC.format("a.jpg", 0, 0, OBJECT.format(21, 60)))
    (tmp_path / "in" / "sub" / "b.xml").write_text(
        VOC.format("b", 200, 100, OBJECT.format(5, 9) + OBJECT.format(60, 21))
    )
    with pytest.raises(ImportFileError, match=r"object 2.*inside out"):
        take_in(tmp_path, "in", "voc")
    got = take_in(tmp_path, "in", "voc", skip_bad=True)
    assert {name: [n.box for n in i.instances] for name, i in got.images.items()} == {
        "a.jpg": [(20, 10, 60, 40)],
        "sub/b.png": [(4, 10, 9, 40)],
    }
