"""Names in other spellings: case, suffixes, Unicode forms of photos, categories and keypoints."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewInstance, NewKeypoint
from kinmark.projects.workflows.exporting import ExportOptions, export_project, project_dataset
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import coco, labelme, photo, shape, take_in, write_json, yolo


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("told", "there"),
    [
        ("fish/img_01.jpg", "Fish/IMG_01.JPG"),
        ("a.jpg", "a.jpeg"),
        ("x/a.TIFF", "x/a.tif"),
        ("0001", "0001.jpg"),
        ("f.0002", "f.0002.png"),
    ],
)
def test_a_photo_in_another_spelling_is_found_and_said(tmp_path: Path, told: str, there: str, given: bool) -> None:
    photo(tmp_path / "in" / there)
    coco(tmp_path / "a.json", [told])
    where = {"images_root": tmp_path / "in"} if given else {"photos": "in"}
    got = take_in(tmp_path, "a.json", "coco", **where)
    assert list(got.images) == [there] and len(got.instances) == 1
    assert f"changed: {told}: recognised by its name" in got.said or "name of a photo without its suffix" in got.said


def test_of_names_that_differ_in_case_the_same_one_is_meant(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "A.jpg")
    photo(tmp_path / "in" / "a.jpg", seed=1)
    coco(tmp_path / "a.json", ["a.JPG"])
    got = take_in(tmp_path, "a.json", "coco", photos="in")
    assert {name: len(i.instances) for name, i in got.images.items()} == {"A.jpg": 0, "a.jpg": 1}


def test_two_photos_of_a_name_without_suffix_are_named(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "0001.jpg")
    photo(tmp_path / "in" / "0001.png", seed=1)
    coco(tmp_path / "a.json", ["0001"])
    assert "2 photos fit: 0001.jpg, 0001.png" in take_in(tmp_path, "a.json", "coco", photos="in").said


def test_a_name_that_the_file_has_twice_tells_no_photo_alone(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "0001.jpg")
    coco(tmp_path / "a.json", ["train/0001.jpg", "val/0001.jpg"])
    got = take_in(tmp_path, "a.json", "coco", photos="in")
    assert got.result.nothing and got.said.count("0001.jpg has its name but lies in another folder") == 2


def test_the_photo_named_like_its_json_stands_for_one_that_was_stored_anew(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    labelme(tmp_path / "a.json", [shape("dog", "rectangle", [(10, 20), (60, 80)])], image="a.bmp")
    got = take_in(tmp_path, "a.json", "labelme")
    assert list(got.images) == ["a.png"] and "1 x photo that is not there" in got.said
    labelme(tmp_path / "a.json", [shape("dog", "rectangle", [(10, 20), (60, 80)])], image="../cam2/a.bmp")
    assert take_in(tmp_path, "a.json", "labelme").result.nothing


def test_two_unicode_forms_of_a_category_are_not_two_that_look_the_same(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    images = [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}]
    categories = [{"id": 1, "name": "caf\u00e9"}, {"id": 2, "name": "cafe\u0301", "keypoints": ["o\u0308", "u"]}]
    keypoints = [5, 5, 2, 6, 6, 2]
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [10, 2, 3, 4], "keypoints": keypoints, "num_keypoints": 2},
    ]
    write_json(tmp_path / "a.json", {"images": images, "categories": categories, "annotations": annotations})
    got = take_in(tmp_path, "a.json", "coco")
    assert got.categories == {"caf\u00e9": (), "caf\u00e9 (2)": ("\u00f6", "u")}
    assert set(got.instances[1].keypoints) == {"\u00f6", "u"} and "in two Unicode forms" in got.said


def test_a_name_that_cannot_be_held_is_left_out_alone(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    shapes = [
        shape("dog", "rectangle", [(10, 20), (60, 80)], 0),
        shape("nose", "point", [(20, 30)], 0),
        shape("a\nb", "point", [(20, 50)], 0),
        shape("x" * 400, "rectangle", [(1, 50), (5, 60)]),
    ]
    labelme(tmp_path / "a.json", shapes)
    got = take_in(tmp_path, "a.json", "labelme", skip_bad=True)
    assert got.categories == {"dog": ("nose",)} and len(got.instances) == 1
    assert "1 x keypoint that is left out" in got.said and "1 x instance of a category that is left out" in got.said


@pytest.mark.parametrize(
    ("format_", "file"),
    [("label-studio", "tasks.json"), ("masks", "."), ("tps", "."), ("yolo-pose", "."), ("voc", ".")],
)
def test_labels_of_photos_with_odd_names_come_back(tmp_path: Path, format_: str, file: str) -> None:
    names = [
        "a:b.png",
        "new\nline.png",
        "back\\slash.png",
        " lead.png",
        "per%20cent.png",
        "#%25&'!.png",
        "A.PNG",
        "a.png",
    ]
    for number, name in enumerate(names):
        photo(tmp_path / "in" / name, seed=number)
    pixels = np.zeros((100, 200), dtype=bool)
    pixels[2:9, 3:9] = True
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        category = project.operations.add_category("dog", KeypointSchema(("n",))).ids[0]
        [point] = project.queries.categories()[0].definitions
        new = [
            NewInstance(
                image.id,
                category,
                (NewKeypoint(point.id, 3.0 + number, 4.0, 2, "human"),),
                None,
                MaskRLE.encode(pixels),
            )
            for number, image in enumerate(project.queries.iter_images())
        ]
        project.operations.add_instances(new)
        export_project(project, tmp_path / "out", ExportOptions(format_))
        before, _ = project_dataset(project)
    with Project.create(tmp_path / "q.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        result = import_file(project, tmp_path / "out" / file, ImportOptions(format_))
        after, _ = project_dataset(project)
    assert result.added == len(names)
    if format_ in ("label-studio", "tps"):
        places = [{i.rel_path: [n.keypoints["n"].x for n in i.instances] for i in d.images} for d in (before, after)]
        assert places[0] == places[1]


def test_paths_that_are_no_text_are_read_or_named(tmp_path: Path) -> None:
    """A label file's own name is never stored; a photo's is, and a project's must be."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/l\xff.json"))
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/set\xff"))
    photo(tmp_path / "a.png")
    coco(tmp_path / "a.json", ["a.png"])
    try:
        (tmp_path / "a.json").rename(odd)
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    yolo(folder, ["0 0.5 0.5 0.4 0.4"], "names: [dog]")
    with Project.create(tmp_path / "p.kinmark") as project:
        assert import_file(project, odd, ImportOptions("coco")).added == 1
        result = import_file(project, folder, ImportOptions("yolo-seg"))
    said = "\n".join(f"{i.where}: {i.reason}" for i in result.report.items)
    assert result.nothing and "1 x photo whose path is not UTF-8 text" in said
    with pytest.raises(UserInputError, match="is not UTF-8 text"):
        Project.create(folder / "p.kinmark")


def test_a_photo_that_is_found_by_another_spelling_is_not_counted_as_unlabelled(tmp_path: Path) -> None:
    photo(tmp_path / "A.JPG")
    photo(tmp_path / "c.png", seed=1)
    for name, told in (("A", "a.jpg"), ("c", "c.bmp")):
        labelme(tmp_path / f"{name}.json", [shape("dog", "rectangle", [(10, 20), (60, 80)])], image=told)
    got = take_in(tmp_path, ".", "labelme")
    assert len(got.instances) == 2 and "photo without labels" not in got.said


def test_mask_pictures_that_say_so_in_their_names(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "a.jpg")
    (tmp_path / "m").mkdir()
    Image.fromarray(np.pad(np.full((5, 5), 255, np.uint8), ((5, 90), (5, 190)))).save(tmp_path / "m" / "a_mask.png")
    got = take_in(tmp_path, "m", "masks", images_root=tmp_path / "photos")
    assert len(got.instances) == 1 and "1 x name that ends in _mask" in got.said


def test_lvis_names_its_photos_by_their_address(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "0139.jpg")
    image = {"id": 139, "coco_url": "http://images.example.org/val2017/0139.jpg", "width": 200, "height": 100}
    annotation = {"id": 1, "image_id": 139, "category_id": 1, "bbox": [1, 2, 3, 4]}
    data = {"images": [image], "categories": [{"id": 1, "name": "dog"}], "annotations": [annotation]}
    write_json(tmp_path / "a.json", data)
    assert list(take_in(tmp_path, "a.json", "coco", images_root=tmp_path / "in").images) == ["0139.jpg"]
