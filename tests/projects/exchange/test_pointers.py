"""Which photo a label file means: paths are followed, names are matched with a word, nothing lands on another folder's photo."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from kinmark.projects.cli.app import run
from tests.support.exchange import coco, labelme, photo, places, shape, take_in


def _point(file: Path, image: str, x: float) -> None:
    labelme(file, [shape("nose", "point", [(x, 12)])], image)


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    """Two folders with photos of the same name, labels for both in a third one."""
    for number, camera in enumerate(("cam1", "cam2")):
        photo(tmp_path / "in" / camera / "0001.jpg", seed=number)
        _point(tmp_path / "in" / "json" / f"{camera}_0001.json", f"..\\{camera}\\0001.jpg", 10.5 + 100 * number)
    return tmp_path


@pytest.mark.parametrize("photos", ["in", "in/cam1", None])
def test_image_path_is_followed_from_the_folder_of_its_file(cameras: Path, photos: str | None) -> None:
    got = take_in(cameras, "in/json", "labelme", photos=photos)
    x = {i.source_path.split("/")[-2]: places(n)["nose"][0] for i in got.images.values() for n in i.instances}
    assert x == {"cam1": 10.5, "cam2": 110.5}


def test_a_label_never_lands_on_the_photo_of_another_folder(cameras: Path) -> None:
    (cameras / "in" / "cam2" / "0001.jpg").unlink()
    for options in ({"photos": "in/cam1"}, {"photos": "in"}):
        got = take_in(cameras, "in/json/cam2_0001.json", "labelme", **options)
        assert got.result.nothing and not got.instances and "lies in another folder" in got.said


def test_photos_outside_the_given_folder_are_named(cameras: Path) -> None:
    got = take_in(cameras, "in/json", "labelme", photos="in/cam1", images_root=cameras / "in" / "cam1")
    assert [places(n)["nose"] for n in got.instances] == [(10.5, 12)]
    assert "..\\cam2\\0001.jpg: it names a photo outside of cam1" in got.said


def test_a_renamed_folder_is_meant_with_images_but_never_its_neighbour(cameras: Path) -> None:
    coco(cameras / "labels" / "c.json", ["D:/trip/cam2/0001.jpg"])
    got = take_in(cameras, "labels/c.json", "coco", images_root=cameras / "in" / "cam1")
    assert got.result.nothing and not got.images
    coco(cameras / "labels" / "c.json", ["D:/trip/summer/0001.jpg"])
    got = take_in(cameras, "labels/c.json", "coco", images_root=cameras / "in" / "cam1")
    assert len(got.instances) == 1 and "recognised by its name as cam1/0001.jpg" in got.said
    assert take_in(cameras, "labels/c.json", "coco", photos="in/cam1").result.nothing


def test_several_photos_that_fit_are_named_and_none_is_taken(cameras: Path) -> None:
    coco(cameras / "in" / "c.json", ["0001.jpg"])
    got = take_in(cameras, "in/c.json", "coco", photos="in")
    assert got.result.nothing and "2 photos fit: cam1/0001.jpg, cam2/0001.jpg" in got.said
    assert got.categories == {}


@pytest.mark.parametrize(
    "told",
    [
        "D:\\data\\images\\a b.jpg",
        "/mnt/other/images/a b.jpg",
        "..\\..\\label-studio\\media\\upload\\4\\a b.jpg",
        "images\\1/a b.jpg",
        "images/a%20b.jpg",
        "http://localhost:8080/data/upload/1/a b.jpg",
        "images/a b.JPG",
        "./images/a b.jpg",
    ],
)
@pytest.mark.parametrize("photos", ["in", "in/images"])
def test_paths_of_another_machine_by_their_longest_tail(tmp_path: Path, told: str, photos: str) -> None:
    photo(tmp_path / "in" / "images" / "a b.jpg")
    photo(tmp_path / "in" / "images" / "c.jpg", seed=1)
    coco(tmp_path / "labels" / "c.json", [told])
    got = take_in(tmp_path, "labels/c.json", "coco", photos=photos)
    [image] = [i for i in got.images.values() if i.instances]
    assert image.rel_path.name == "a b.jpg"
    assert "recognised by its name as images/a b.jpg" in got.said or told == "./images/a b.jpg"


def test_the_longest_tail_wins(tmp_path: Path) -> None:
    for number, folder in enumerate(("day1/cam", "day2/cam")):
        photo(tmp_path / "in" / folder / "x.png", seed=number)
    coco(tmp_path / "labels" / "c.json", ["E:/trip/day2/cam/x.png"])
    got = take_in(tmp_path, "labels/c.json", "coco", photos="in")
    assert [name for name, image in got.images.items() if image.instances] == ["day2/cam/x.png"]


def test_other_unicode_forms_of_a_name(tmp_path: Path) -> None:
    name = "Müller_ä 日本.png"
    photo(tmp_path / "in" / unicodedata.normalize("NFD", name))
    coco(tmp_path / "labels" / "c.json", [unicodedata.normalize("NFC", name)])
    assert len(take_in(tmp_path, "labels/c.json", "coco", photos="in").instances) == 1


def test_a_pointer_opens_nothing_outside_the_project_and_the_folders_of_the_labels(tmp_path: Path) -> None:
    secret = photo(tmp_path / "elsewhere" / "secret.png")
    (tmp_path / "a" / "b").mkdir(parents=True)
    for told in (str(secret), "../../../elsewhere/secret.png"):
        coco(tmp_path / "a" / "b" / "c" / "c.json", [told])
        got = take_in(tmp_path, "a/b/c/c.json", "coco")
        assert got.result.nothing and not got.images and "no such photo" in got.said
    _point(tmp_path / "a" / "b" / "c" / "l.json", "../../../elsewhere/secret.png", 5)
    assert not take_in(tmp_path, "a/b/c/l.json", "labelme").images


def test_names_that_are_allowed_come_back(tmp_path: Path) -> None:
    """`a:b.png` is no drive, a line break no separator; the exports that name photos read what they wrote."""
    from kinmark.projects.images import add_paths
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.exporting import ExportOptions, export_project
    from kinmark.projects.workflows.importing import ImportOptions, import_file

    names = ["a:b.png", "new\nline.png", "back\\slash.png", "tail .png", "#%25&'!.png"]
    for number, name in enumerate(names):
        photo(tmp_path / "in" / name, seed=number)
    with Project.create(tmp_path / "p.kinmark") as project:
        assert len(add_paths(project, [tmp_path / "in"]).image_ids) == len(names)
        for format_, file in (("coco", "annotations.json"), ("labelme", ""), ("cvat", "annotations.xml")):
            export_project(project, tmp_path / format_, ExportOptions(format_))
            result = import_file(project, tmp_path / format_ / file, ImportOptions(format_))
            assert (result.images_matched, result.images_added) == (len(names), 0), format_


def test_a_name_that_is_not_utf8_is_listed_and_the_others_are_added(tmp_path: Path) -> None:
    import os

    from kinmark.projects.images import add_paths
    from kinmark.projects.project import Project

    photo(tmp_path / "in" / "ok.png")
    odd = os.fsencode(photo(tmp_path / "in" / "odd.png", seed=1).parent) + b"/caf\xe9.png"
    try:
        os.rename(os.fsencode(tmp_path / "in" / "odd.png"), odd)  # noqa: PTH104 - bytes
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with Project.create(tmp_path / "p.kinmark") as project:
        report = add_paths(project, [tmp_path / "in"])
    assert len(report.image_ids) == 1
    [sentence] = report.skipped
    assert "not UTF-8" in sentence and sentence.encode("utf-8")


def test_nothing_imported_is_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "in" / "a.png")
    coco(tmp_path / "c.json", ["missing.png"])
    project = str(tmp_path / "p.kinmark")
    assert run(["new", project, "--images", str(tmp_path / "in")]) == 0
    assert run(["import", project, str(tmp_path / "c.json")]) == 3
    assert run(["import", project, str(tmp_path / "c.json"), "--dry-run"]) == 3
    assert "Nothing was imported" in capsys.readouterr().err
    assert run(["export", project, str(tmp_path / "out")]) == 0
    assert '"categories":[]' in (tmp_path / "out" / "annotations.json").read_text()
    assert run(["undo", project]) == 0  # takes the photos back: the import left no step behind
    coco(tmp_path / "c.json", ["in/a.png"])
    assert run(["import", project, str(tmp_path / "c.json")]) == 0
