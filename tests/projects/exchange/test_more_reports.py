"""What people's own files hold: ids that are texts, missing sizes, commas, archives, wrong formats, labels that stand twice."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kinmark.engine.domain.errors import ImportFileError
from kinmark.projects.formats import tps
from kinmark.projects.formats.registry import get_format
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, preview_export
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import coco, cvat, labelme, photo, places, shape, take_in, write_json, yolo

POSE = "kpt_shape: [2, 3]\nnames: [dog]"
ROW = "0 0.5 0.5 0.4 0.4 0.10 0.20 2 0.30 0.40 1"
KEYPOINTS = [10.5, 20, 2, 30, 40, 1]


def _coco(folder: Path, images: dict[str, Any], annotation: dict[str, Any]) -> None:
    photo(folder / "a.png")
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100} | images],
        "categories": [{"id": 1, "name": "dog", "keypoints": ["n", "t"]}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": KEYPOINTS} | annotation],
    }
    write_json(folder / "c.json", data)


# COCO


def test_ids_that_are_texts_are_read(tmp_path: Path) -> None:
    _coco(tmp_path, {"id": "im1"}, {"image_id": "im1", "category_id": "1", "id": "x7"})
    got = take_in(tmp_path, "c.json", "coco")
    assert places(got.instances[0]) == {"n": (10.5, 20), "t": (30, 40)}
    assert "2 x id that is a text: it gets a number on export" in got.said
    assert isinstance(got.instances[0].original_id, int)


def test_a_text_of_digits_is_its_number(tmp_path: Path) -> None:
    _coco(tmp_path, {}, {"image_id": "1"})
    assert len(take_in(tmp_path, "c.json", "coco").instances) == 1


@pytest.mark.parametrize("size", [{"width": 0, "height": 0}, {"width": None, "height": None}])
def test_sizes_that_are_not_told_come_from_the_photo(tmp_path: Path, size: dict[str, Any]) -> None:
    _coco(tmp_path, size, {"segmentation": [[10, 10, 60, 10, 60, 60, 10, 60]]})
    got = take_in(tmp_path, "c.json", "coco")
    [instance] = got.instances
    assert instance.mask is not None and (instance.mask.width, instance.mask.area) == (200, 2500)
    assert "1 x photo without width and height: taken from the photo itself" in got.said
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImportFileError, match="it has no width and height, and the photo does not lie beside") as error:
        take_in(tmp_path, "c.json", "coco")
    assert "--images" in error.value.hint


def test_messages_about_masks_and_kinds_of_coco(tmp_path: Path) -> None:
    _coco(tmp_path, {}, {"segmentation": {"size": [100, 200], "counts": "b'abc'"}})
    with pytest.raises(ImportFileError, match=r"cannot stand there\. ") as error:
        take_in(tmp_path, "c.json", "coco")
    assert "Python bytes" in error.value.hint
    _coco(tmp_path, {}, {"segments_info": []})
    with pytest.raises(ImportFileError, match="COCO panoptic"):
        take_in(tmp_path, "c.json", "coco")


def test_an_instance_of_nothing_is_said_before_the_export(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    joints = '<points label="n" outside="1" occluded="0" points="1,1"/>'
    cvat(
        tmp_path / "c.xml",
        f'<skeleton label="dog">{joints}</skeleton><box label="dog" xtl="1" ytl="1" xbr="9" ybr="9"/>',
    )
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "c.xml", ImportOptions("cvat"))
        told = [i.where for i in preview_export(project, ExportOptions("coco"))]
    assert "1 x instances without box, mask and keypoints" in told


# Files of another kind


def test_archives_pictures_and_other_encodings_are_called_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "job.xml", "w") as archive:
        archive.writestr("annotations.xml", "<annotations/>")
    photo(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "c.json")
    (tmp_path / "d.json").write_bytes(json.dumps({}).encode("utf-16"))
    for name, kind, what in (
        ("job.xml", "cvat", "an archive"),
        ("c.json", "coco", "a picture"),
        ("d.json", "coco", "UTF-16 text"),
    ):
        with pytest.raises(ImportFileError, match=f"it is {what}"):
            take_in(tmp_path, name, kind)


def test_a_file_of_another_format_names_it(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    labelme(tmp_path / "a.json", [shape("n", "point", [(1, 2)])])
    with pytest.raises(ImportFileError) as error:
        take_in(tmp_path, "a.json", "coco")
    assert error.value.hint.startswith("It looks like labelme: try --format labelme.")
    yolo(tmp_path / "set", ["0 0.5 0.5 0.4 0.4"], "names: [dog]")
    with pytest.raises(ImportFileError) as error:
        take_in(tmp_path, "set", "yolo-pose")
    assert "--format yolo-seg" in error.value.hint


# Numbers


def test_decimal_commas_are_named_where_a_line_cannot_be_read(tmp_path: Path) -> None:
    yolo(tmp_path / "set", [ROW.replace(".", ",")], POSE)
    photo(tmp_path / "a.png")
    cvat(tmp_path / "c.xml", '<box label="dog" xtl="1,5" ytl="1" xbr="9" ybr="9"/>')
    for name, kind in (("set", "yolo-pose"), ("c.xml", "cvat")):
        with pytest.raises(ImportFileError) as error:
            take_in(tmp_path, name, kind)
        assert "1.5, not 1,5" in error.value.hint


def test_landmarks_with_decimal_commas_are_read(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "x.tps").write_text("LM=2\n10,5 20\n30,25 40,5\nIMAGE=a.png\n")
    assert places(take_in(tmp_path, "x.tps", "tps").instances[0]) == {"1": (10.5, 80), "2": (30.25, 59.5)}


def test_a_table_with_semicolons_says_so(tmp_path: Path) -> None:
    (tmp_path / "CollectedData_A.csv").write_text(
        "scorer;;;A;A\nbodyparts;;;n;n\ncoords;;;x;y\nlabeled-data;v;a.png;1,5;2\n"
    )
    with pytest.raises(ImportFileError) as error:
        take_in(tmp_path, "CollectedData_A.csv", "deeplabcut")
    assert "semicolons" in error.value.hint


# YOLO


def test_a_class_beyond_the_names_says_what_to_do(tmp_path: Path) -> None:
    yolo(tmp_path / "set", [ROW, f"3{ROW[1:]}"], POSE)
    with pytest.raises(ImportFileError, match=r'line 2.*class is 3, but "names" of data\.yaml ends with 0') as error:
        take_in(tmp_path, "set", "yolo-pose")
    assert "--skip-bad" in error.value.hint
    assert len(take_in(tmp_path, "set", "yolo-pose", skip_bad=True).instances) == 1


def test_zeros_of_keypoints_without_visibility_are_counted(tmp_path: Path) -> None:
    yolo(tmp_path / "set", ["0 0.5 0.5 0.4 0.4 0 0 0.30 0.40"], "kpt_shape: [2, 2]\nnames: [dog]")
    got = take_in(tmp_path, "set", "yolo-pose")
    assert places(got.instances[0]) == {"kp0": None, "kp1": (60, 40)} and "1 x keypoint at 0 0" in got.said


def test_a_label_that_stands_twice_is_said_whatever_the_format(tmp_path: Path) -> None:
    yolo(tmp_path / "set", [ROW, ROW], POSE)
    got = take_in(tmp_path, "set", "yolo-pose")
    assert len(got.instances) == 2 and "1 x instance that stands twice" in got.said
    photo(tmp_path / "a.png")
    labelme(tmp_path / "a.json", [shape("dog", "rectangle", [(1, 2), (50, 60)])] * 2)
    assert "1 x instance that stands twice" in take_in(tmp_path, "a.json", "labelme").said


def test_a_set_without_data_yaml_and_names_for_other_keypoints(tmp_path: Path) -> None:
    yolo(tmp_path / "set", [ROW], f"{POSE}\nkpt_names:\n  0: [nose]")
    assert "1 names for 2 keypoints" in take_in(tmp_path, "set", "yolo-pose").said
    (tmp_path / "set" / "data.yaml").unlink()
    with pytest.raises(ImportFileError) as error:
        take_in(tmp_path, "set", "yolo-seg")
    assert "train: images" in error.value.hint


# labelme, VOC: labels, shapes and photos


def test_labels_with_blanks_without_text_and_with_four_corners(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    corners = [(1, 1), (9, 1), (9, 9), (1, 9)]
    labelme(tmp_path / "a.json", [shape(" nose ", "point", [(3, 4)]), shape("", "quadrilateral", corners)])
    got = take_in(tmp_path, "a.json", "labelme")
    assert got.categories == {"object": ("nose",)}
    assert [n.mask.area for n in got.instances if n.mask is not None] == [64]
    assert "blanks around a label" in got.said and 'shape without a label: its category is "object"' in got.said
    labelme(tmp_path / "a.json", [shape("", "point", [(3, 4)])])
    with pytest.raises(ImportFileError, match="its label is empty"):
        take_in(tmp_path, "a.json", "labelme")


def test_the_photo_beside_its_json_is_meant_whatever_machine_the_path_is_of(tmp_path: Path) -> None:
    photo(tmp_path / "set" / "a.png")
    labelme(tmp_path / "set" / "a.json", [shape("n", "point", [(1, 2)])], "C:\\Users\\x\\a.png")
    got = take_in(tmp_path, "set", "labelme")
    assert list(got.images) == ["a.png"] and "recognised by its name as set/a.png" in got.said
    assert "photo without labels" not in got.said
    # Another name than the JSON's: it may be another folder's photo.
    (tmp_path / "set" / "a.json").rename(tmp_path / "set" / "cam2_a.json")
    got = take_in(tmp_path, "set", "labelme")
    assert got.result.nothing and "set/a.png has its name but lies in another folder" in got.said


def test_a_picture_inside_the_json_is_named(tmp_path: Path) -> None:
    labelme(tmp_path / "a.json", [shape("n", "point", [(1, 2)])], imageData="AAAA")
    assert "photo inside the JSON (imageData)" in take_in(tmp_path, "a.json", "labelme").said


def test_voc_names_the_photo_by_the_xml_where_filename_is_gone(tmp_path: Path) -> None:
    photo(tmp_path / "set" / "JPEGImages" / "a.jpg")
    (tmp_path / "set" / "Annotations").mkdir()
    (tmp_path / "set" / "Annotations" / "a.xml").write_text(
        "<annotation><filename>b.jpg</filename><size><width>200</width><height>100</height></size><object><name>dog</name>"
        "<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>50</xmax><ymax>60</ymax></bndbox></object></annotation>"
    )
    got = take_in(tmp_path, "set", "voc")
    assert [(Path(name).name, i.instances[0].box) for name, i in got.images.items()] == [("a.jpg", (10, 10, 50, 60))]
    assert "photo that is not there: the one that is named like the label file is taken" in got.said
    assert "without labels" not in got.said
    photo(tmp_path / "set" / "JPEGImages" / "b.jpg", seed=1)  # there: then it is meant
    assert [Path(n).name for n in take_in(tmp_path, "set", "voc").images] == ["b.jpg"]


# Exports


def test_a_broken_photo_is_said_before_the_export(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", 400, 300)
    coco(tmp_path / "c.json", ["a.jpg"], KEYPOINTS, size=(400, 300))
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "c.json", ImportOptions())
        whole = (tmp_path / "a.jpg").read_bytes()
        (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
        for kind in ("yolo-pose", "deeplabcut"):
            told = preview_export(project, ExportOptions(kind))
            assert any(i.kind == "skipped" and i.where == "a.jpg" and "cut off" in i.reason for i in told), kind


@pytest.mark.parametrize("data", [None, b"no picture at all"])
def test_a_photo_that_is_gone_is_said_before_the_export(tmp_path: Path, data: bytes | None) -> None:
    for name in ("a.jpg", "b.jpg"):
        photo(tmp_path / name, 400, 300)
    coco(tmp_path / "c.json", ["a.jpg", "b.jpg"], KEYPOINTS, size=(400, 300))
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "c.json", ImportOptions())
        (tmp_path / "a.jpg").unlink()
        if data is not None:
            (tmp_path / "a.jpg").write_bytes(data)
        told = preview_export(project, ExportOptions("yolo-pose"))
        assert [i.where for i in told if i.kind == "skipped"] == ["a.jpg"]


def test_morphoj_speaks_of_itself(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    coco(tmp_path / "c.json", ["a.png"], KEYPOINTS)
    dataset, _ = get_format("coco").reader(tmp_path / "c.json")
    told = [i.reason for i in tps.losses_morphoj(dataset)]
    assert "MorphoJ has none" in told and not any("TPS" in t or "-1 -1" in t for t in told)
