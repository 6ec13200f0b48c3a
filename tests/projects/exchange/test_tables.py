"""Tables and lists of YOLO, DeepLabCut, TPS, CUB, PF, SPair: nothing is written over, everything is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from kinmark.engine.domain.errors import ImportFileError
from kinmark.projects.formats.recognise import recognise
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import coco, cvat, labelme, photo, places, shape, take_in, write_json, yolo

POSE = "kpt_shape: [2, 3]\nnames: {0}\n"
ROW = "0 0.5 0.5 0.4 0.4 0.10 0.20 2 0.30 0.40 2"

# YOLO


def test_a_place_of_v_0_is_counted(tmp_path: Path) -> None:
    yolo(tmp_path / "set", ["0 0.5 0.5 0.4 0.4 0.10 0.20 0 0.30 0.40 2"], POSE.format("[dog]"))
    got = take_in(tmp_path, "set", "yolo-pose")
    assert places(got.instances[0]) == {"kp0": None, "kp1": (60, 40)}
    assert "1 x place of an unlabelled keypoint (v = 0)" in got.said


@pytest.mark.parametrize(
    "names", ["kpt_names: [a, b]", "kpt_names: {0: [a, b]}", "kpt_names: {'0': [a, b]}", "kpt_names: {dog: [a, b]}"]
)
def test_names_of_keypoints_for_all_classes_or_for_each(tmp_path: Path, names: str) -> None:
    yolo(tmp_path / "set", [ROW], POSE.format("{'0': dog}") + names)
    assert take_in(tmp_path, "set", "yolo-pose").categories == {"dog": ("a", "b")}


def test_a_column_too_many_says_what_it_may_be(tmp_path: Path) -> None:
    yolo(tmp_path / "set", [ROW + " 7"], POSE.format("[dog]"))
    with pytest.raises(ImportFileError, match="12 columns") as caught:
        take_in(tmp_path, "set", "yolo-pose")
    assert "track" in caught.value.hint


def test_fields_of_data_yaml_that_name_photos(tmp_path: Path) -> None:
    folder = yolo(tmp_path / "set", ["0 0.5 0.5 0.4 0.4"], "names: [dog]")
    (folder / "labels" / "a.txt").rename(folder / "labels" / "a.TXT")
    photo(folder / "more" / "images" / "b.jpg", seed=1)
    head = "names: [dog]\n"
    (folder / "data.yaml").write_text(f"{head}train: images\nvalid: more/images\nminival: more\n")
    got = take_in(tmp_path, "set", "yolo-seg")
    assert {name: (i.split, len(i.instances)) for name, i in got.images.items()} == {
        "images/a.jpg": ("train", 1),
        "more/images/b.jpg": ("val", 0),
    }
    assert "skipped: minival: more" in got.said
    (folder / "data.yaml").write_text(f"{head}train: images\nval: [images, more/images]\n")
    assert "1 x photo of several splits" in take_in(tmp_path, "set", "yolo-seg").said
    (folder / "data.yaml").write_text(head)
    got = take_in(tmp_path, "set", "yolo-seg")
    assert got.result.nothing and "the fields train and val are missing" in got.said and "labels/a.TXT" in got.said


# DeepLabCut


def test_body_parts_of_no_animal_are_a_category_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "p" / "labeled-data" / "v"
    photo(folder / "img0.png")
    (tmp_path / "p" / "config.yaml").write_text(
        "Task: mouse\nindividuals: [m1]\nuniquebodyparts: [corner]\nmultianimalbodyparts: [nose]\nbodyparts: MULTI!\n"
    )
    (folder / "CollectedData_A.csv").write_text(
        "scorer,,,A,A,A,A\nindividuals,,,m1,m1,single,single\nbodyparts,,,nose,nose,corner,corner\ncoords,,,x,y,x,y\n"
        "labeled-data,v,img0.png,1,2,5,6\n"
    )
    (folder / "CollectedData_A.h5").write_bytes(b"")
    (folder / "machinelabels-iter0.h5").write_bytes(b"")
    got = take_in(tmp_path, "p", "deeplabcut")
    assert got.categories == {"mouse": ("nose",), "single": ("corner",)}
    assert [(n.identity, places(n)) for n in got.instances] == [("m1", {"nose": (1, 2)}), ("", {"corner": (5, 6)})]
    for words in ("unique body parts: corner", "1 x table that stands twice", "1 x table of another name"):
        assert words in got.said
    assert "no body part of config.yaml" not in got.said


def test_predictions_of_a_clip_are_proposals_of_its_frames(tmp_path: Path) -> None:
    photo(tmp_path / "frames" / "walk" / "walk-000001.png")
    file = tmp_path / "walkDLC_resnet50_mouse.csv"
    file.write_text("scorer,D,D,D\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1,2,0.9\n1,3,4,0.25\n")
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "frames"])
        result = import_file(project, file, ImportOptions("deeplabcut"))
        [row] = project.queries.proposals()
    assert (row.confidence, row.keypoints[0].x, row.keypoints[0].y) == (0.25, 3, 4)
    said = "\n".join(f"{i.where}: {i.reason}" for i in result.report.items)
    assert "1 x frame of walk" in said and "2 x prediction of a frame" in said


# TPS


def test_a_line_that_stands_twice_in_a_specimen_is_refused(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    (tmp_path / "x.tps").write_text("LM=1\n1 2\nIMAGE=a.jpg\nIMAGE=b.jpg\nLM=1\n3 4\nIMAGE=a.jpg\nID=1\n")
    with pytest.raises(ImportFileError, match=r"line 4.*IMAGE= stands twice"):
        take_in(tmp_path, "x.tps", "tps")
    assert [places(n) for n in take_in(tmp_path, "x.tps", "tps", skip_bad=True).instances] == [{"1": (3, 96)}]


def test_curves_that_are_told_and_missing_are_flagged(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    (tmp_path / "x.tps").write_text("LM=1\n1 2\nCURVES=2\nPOINTS=1\n5 6\nIMAGE=a.jpg\n")
    got = take_in(tmp_path, "x.tps", "tps")
    assert places(got.instances[0]) == {"1": (1, 98), "curve1.1": (5, 94)} and "CURVES= of another number" in got.said


# CUB, PF, SPair, PerSeg


def _cub(folder: Path, images: str, more: str = "") -> None:
    root = folder / "CUB_200_2011"
    for number, name in enumerate("xy"):
        photo(root / "images" / "001.Dog" / f"{name}.jpg", seed=number)
    for name, text in (
        ("images", images),
        ("classes", "1 001.Dog\n"),
        ("image_class_labels", "1 1\n9 1\n"),
        ("bounding_boxes", f"1 1 2 30 40\n7 1 2 3 4\n{more}"),
        ("parts/parts", "1 nose\n"),
        ("parts/part_locs", "1 1 5 6 1\n1 2 7 8 1\n8 1 5 6 1\n"),
    ):
        file = root / f"{name}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


def test_rows_of_cub_that_stand_twice_or_mean_nothing_listed(tmp_path: Path) -> None:
    _cub(tmp_path, "1 001.Dog/x.jpg\n1 001.Dog/y.jpg\n", "1 9 9 9 9\n1 2\n")
    with pytest.raises(ImportFileError, match=r"images\.txt \(line 2\): the number 1 stands twice"):
        take_in(tmp_path, "CUB_200_2011", "cub")
    got = take_in(tmp_path, "CUB_200_2011", "cub", skip_bad=True)
    [dog] = got.instances
    assert (
        list(got.images) == ["images/001.Dog/x.jpg"]
        and dog.box == (1, 2, 31, 42)
        and places(dog) == {"nose": (5.5, 6.5)}
    )
    for words in (
        "images.txt: line 2",
        "bounding_boxes.txt: line 3",
        "bounding_boxes.txt: line 4",
        "1 x image of bounding_boxes.txt",
        "1 x image of part_locs.txt",
        "1 x image of image_class_labels.txt",
        "1 x place of a part that parts.txt does not list",
        "1 x photo without labels",
    ):
        assert words in got.said


def test_pf_pascal_accounts_for_its_files(tmp_path: Path) -> None:
    photo(tmp_path / "JPEGImages" / "x.jpg")
    (tmp_path / "Annotations" / "dog").mkdir(parents=True)
    values = {"kps": np.array([[1.0, 2.0]]), "bbox": np.array([1.0, 2.0, 30.0, 40.0])}
    savemat(tmp_path / "Annotations" / "dog" / "x.mat", values)
    savemat(tmp_path / "Annotations" / "top.mat", values)
    for name in ("trn", "test"):
        (tmp_path / f"{name}_pairs.csv").write_text("a,b\nx.jpg,gone.jpg\n")
    got = take_in(tmp_path, ".", "pf-pascal")
    assert [i.split for i in got.images.values()] == ["test"]
    for words in ("2 x photo of several splits", "1 x file of no class", "1 x photo of the pairs without a .mat"):
        assert words in got.said
    found = recognise(tmp_path)
    assert found is not None and found.format == "pf-pascal"  # although it has test_pairs.csv like PF-Willow
    savemat(tmp_path / "Annotations" / "dog" / "x.mat", values | {"bbox": np.array([30.0, 2.0, 10.0, 40.0])})
    with pytest.raises(ImportFileError, match="turned inside out"):
        take_in(tmp_path, ".", "pf-pascal")


def test_null_of_spair_is_absent_and_its_lists_are_accounted_for(tmp_path: Path) -> None:
    root = tmp_path / "SPair-71k"
    for number, name in enumerate("xz"):
        photo(root / "JPEGImages" / "cat" / f"{name}.jpg", seed=number)
    kps = {str(k): None for k in range(30)} | {"0": [1, 2], "2": [5, 6]}
    fields = {"image_width": 200, "image_height": 100, "kps": kps, "bndbox": [1, 2, 30, 40]}
    write_json(root / "ImageAnnotation" / "cat" / "x.json", fields)
    (root / "Layout" / "large").mkdir(parents=True)
    for name in ("trn", "test"):
        (root / "Layout" / "large" / f"{name}.txt").write_text("1-x-x:cat\n")
    got = take_in(tmp_path, "SPair-71k", "spair")
    assert places(got.instances[0]) == {"0": (1.5, 2.5), "1": None, "2": (5.5, 6.5)}
    assert "photo of several splits" in got.said and "1 x photo without labels" in got.said


def test_perseg_accounts_for_its_files(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("00", "01"):
        photo(tmp_path / "Images" / "dog" / f"{name}.jpg", seed=int(name))
    (tmp_path / "Annotations" / "dog").mkdir(parents=True)
    mask = Image.fromarray(np.pad(np.full((10, 10), 255, np.uint8), ((0, 90), (0, 190))))
    for name in ("dog/00.png", "top.png"):
        mask.save(tmp_path / "Annotations" / name)
    got = take_in(tmp_path, ".", "perseg")
    assert len(got.instances) == 1 and "1 x file of no object" in got.said and "1 x photo without labels" in got.said


# COCO


def test_what_many_annotations_lack_is_said_once(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    annotations = [
        {
            "image_id": 1,
            "category_id": 1,
            "bbox": [i, 2, 3, 4],
            "num_keypoints": 0,
            "keypoints": [10 + i, 20, 2, 250, 6, 2],
        }
        | {"segmentation": [[1, 2, 3, 4]], "iscrowd": False}
        for i in range(30)
    ]
    annotations[0]["segmentation"] = [[]]
    images = [{"id": 1, "file_name": "./a.png", "width": 200, "height": 100}]
    categories = [{"id": 1, "name": "dog", "keypoints": ["n", "t"]}]
    write_json(tmp_path / "a.json", {"images": images, "categories": categories, "annotations": annotations})
    got = take_in(tmp_path, "a.json", "coco")
    assert len(got.instances) == 30 and len(got.result.report.items) == 5
    for words in (
        "30 x annotation without an id",
        "29 x polygon of one or two",
        "30 x num_keypoints",
        "30 x keypoint outside",
    ):
        assert words in got.said


def test_two_entries_of_a_photo_are_joined_unless_their_sizes_differ(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")

    def write(width: int) -> None:
        images = [{"id": n, "file_name": "a.png", "width": w, "height": 100} for n, w in ((1, 200), (2, width))]
        annotations = [{"id": n, "image_id": n, "category_id": 1, "bbox": [n, 2, 3, 4]} for n in (1, 2)]
        write_json(
            tmp_path / "a.json", {"images": images, "categories": [{"id": 1, "name": "d"}], "annotations": annotations}
        )

    write(200)
    got = take_in(tmp_path, "a.json", "coco")
    assert len(got.instances) == 2 and "1 x photo named by two entries" in got.said
    write(300)
    with pytest.raises(ImportFileError, match="200 x 100, the other 300 x 100"):
        take_in(tmp_path, "a.json", "coco")
    assert len(take_in(tmp_path, "a.json", "coco", skip_bad=True).instances) == 1


def test_what_a_file_says_as_a_whole_is_counted(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    labelme(
        tmp_path / "a.json", [shape("dog", "rectangle", [(10, 20), (60, 80)])], description="blurred", checked=False
    )
    assert '1 x "description" of a file' in take_in(tmp_path, "a.json", "labelme").said
    coco(tmp_path / "b.json", ["a.png"])
    data = json.loads((tmp_path / "b.json").read_text()) | {"videos": [{"id": 1}], "captions": []}
    write_json(tmp_path / "b.json", data)
    said = take_in(tmp_path, "b.json", "coco").said
    assert '"videos" of the file' in said and "captions" not in said
    cvat(tmp_path / "c.xml", '<box label="dog" source="auto" xtl="1" ytl="2" xbr="30" ybr="40"/>')
    assert "1 x shape that a model made" in take_in(tmp_path, "c.xml", "cvat").said


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('{"images": [], "categories": [], "annotations": [1], "annotations": []}', True),
        ('{"images": [], "categories": [], "annotations": [], "info": {"a": 1, "a": 1}}', False),
        ("", True),
        (" \n", True),
    ],
)
def test_json_of_which_nothing_or_a_field_stands_twice(tmp_path: Path, text: str, refused: bool) -> None:
    (tmp_path / "a.json").write_text(text)
    if not refused:
        assert take_in(tmp_path, "a.json", "coco").result.nothing
        return
    with pytest.raises(ImportFileError, match=r'"annotations" stands twice|the file is empty'):
        take_in(tmp_path, "a.json", "coco")


def test_a_field_of_data_yaml_that_stands_twice_is_refused(tmp_path: Path) -> None:
    yolo(tmp_path / "set", ["0 0.5 0.5 0.4 0.4"], "names: [dog]\nnc: 1\nnames: [cat]")
    with pytest.raises(ImportFileError, match='"names" stands twice'):
        take_in(tmp_path, "set", "yolo-seg")


def test_photos_of_yolo_behind_links_and_elsewhere(tmp_path: Path) -> None:
    folder = yolo(tmp_path / "set", ["0 0.5 0.5 0.4 0.4"], "names: [dog]")
    (tmp_path / "cfg").mkdir()
    (tmp_path / "cfg" / "data.yaml").write_text(f"path: {folder}\ntrain: images\nnames: [dog]\n")
    got = take_in(tmp_path, "cfg/data.yaml", "yolo-seg")
    assert got.result.nothing and "--images" in got.said
    assert len(take_in(tmp_path, "cfg/data.yaml", "yolo-seg", images_root=folder).instances) == 1
    (folder / "images" / "a.jpg").rename(tmp_path / "a.jpg")
    (folder / "images" / "a.jpg").symlink_to(tmp_path / "a.jpg")
    got = take_in(tmp_path, "set", "yolo-seg")
    assert got.result.nothing and "photo that is a link" in got.said
    (folder / "images").rename(tmp_path / "photos")
    (folder / "images").symlink_to(tmp_path / "photos", target_is_directory=True)
    assert "train: images: it is a link that leads out" in take_in(tmp_path, "set", "yolo-seg").said


@pytest.mark.parametrize("name", ["coco", "cvat", "label-studio", "labelme"])
def test_the_folder_of_an_export_stands_for_its_file(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "in" / "a.png")
    coco(tmp_path / "in" / "a.json", ["a.png"])
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "in" / "a.json", ImportOptions("coco"))
        export_project(project, tmp_path / "out", ExportOptions(name))
        again = import_file(project, tmp_path / "out", ImportOptions(name))
    assert (again.kept, again.added) == (1, 0)
