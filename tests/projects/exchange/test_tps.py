"""TPS and MorphoJ: y from the bottom, missing landmarks, curves, scales, and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project, preview_export
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import coco, photo, places, take_in

TPS = """LM=3
10.5 80.0
20 70.25
-1 -1
CURVES=1
POINTS=2
30 60
40 50
IMAGE=fish 1.jpg
ID=pike
SCALE=0.012
COMMENT=left side

LM=3
1 2
3 4
NA NA
IMAGE=C:\\photos\\fish 2.jpg
ID=1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo(tmp_path / "in" / "fish 1.jpg", 200, 100)
    photo(tmp_path / "in" / "fish 2.jpg", 80, 60, seed=1)
    (tmp_path / "in" / "fish.tps").write_text(TPS)
    return tmp_path


@pytest.mark.parametrize("photos", ["in", None])
def test_y_counts_from_the_bottom(folder: Path, photos: str | None) -> None:
    got = take_in(folder, "in/fish.tps", "tps", photos=photos)
    first, second = got.images["fish 1.jpg"].instances[0], got.images["fish 2.jpg"].instances[0]
    assert places(first) == {
        "1": (10.5, 20.0),
        "2": (20.0, 29.75),
        "3": None,
        "curve1.1": (30.0, 40.0),
        "curve1.2": (40.0, 50.0),
    }
    assert places(second) == {"1": (1.0, 58.0), "2": (3.0, 56.0), "3": None}
    assert (first.identity, second.identity) == ("pike", "")
    for words in ("y from the bottom", "SCALE 0.012", "1 x COMMENT=", "2 x missing landmark"):
        assert words in got.said


def test_turned_photos(tmp_path: Path) -> None:
    """tpsDig shows the stored picture: 200 x 100 here, 100 x 200 once turned clockwise."""
    photo(tmp_path / "in" / "a.jpg", 100, 200, orientation=6)
    (tmp_path / "in" / "a.tps").write_text("LM=1\n10 95\nIMAGE=a.jpg\nID=0\n")
    got = take_in(tmp_path, "in/a.tps", "tps", exif="rotate")
    assert places(got.instances[0]) == {"1": (95.0, 10.0)}  # stored (10, 5)
    assert places(take_in(tmp_path, "in/a.tps", "tps").instances[0]) == {"1": (10.0, 105.0)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("LM=2\n1 2\nIMAGE=a.jpg\n", "1 landmarks are missing"),
        ("LM=1\n1 2\n3 4\nIMAGE=a.jpg\n", "no landmark is expected"),
        ("LM3=1\n1 2 3\nIMAGE=a.jpg\n", "three-dimensional"),
        ("LM=1\n1 2\n", "names no photo"),
        ("1 2\n", "before the first LM="),
        ("LM=x\n", "no count"),
        ("LM=1\n1 b\nIMAGE=a.jpg\n", "two numbers"),
        ("LM=2\n1 2\n", "1 landmarks are missing after"),
        ("LM=1\n1e9 2\nIMAGE=a.jpg\n", "absurdly far"),
    ],
)
def test_damaged_files_name_the_line_and_one_specimen_is_left_out_alone(folder: Path, text: str, words: str) -> None:
    file = folder / "in" / "bad.tps"
    file.write_text(text)
    with pytest.raises(ImportFileError, match=words):
        take_in(folder, "in/bad.tps", "tps")
    file.write_text(text.rstrip("\n") + "\n" + TPS)
    assert len(take_in(folder, "in/bad.tps", "tps", skip_bad=True).instances) == 2


def test_the_way_back_is_exact(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.jpg", 200, 100)
    coco(tmp_path / "in" / "c.json", ["a.jpg"], [10.25, 10.125, 2, 0, 0, 0])
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, tmp_path / "in" / "c.json")
        told = preview_export(project, ExportOptions("tps"))
        assert any("boxes" in i.where for i in told)
        report = export_project(project, tmp_path / "out", ExportOptions("tps"))
    assert (report.images, report.instances, report.keypoints) == (1, 1, 1)
    text = (tmp_path / "out" / "dog.tps").read_text()
    assert text.startswith("LM=2\n10.25 89.875\n-1.0 -1.0\nIMAGE=a.jpg\n")
    got = take_in(tmp_path, "out/dog.tps", "tps", photos="in")
    assert got.categories == {"dog": ("n", "t")}
    assert places(got.instances[0]) == {"n": (10.25, 10.125), "t": None}


def test_scale_and_id_go_out_again(folder: Path) -> None:
    with Project.create(folder / "p.kinmark") as project:
        import_file(project, folder / "in" / "fish.tps", ImportOptions("tps"))
        export_project(project, folder / "out", ExportOptions("tps"))
        lines = (folder / "out" / "specimen.tps").read_text().splitlines()
        assert "SCALE=0.012" in lines and "ID=pike" in lines and lines.count("LM=5") == 2
        assert any("SCALE" in i.reason for i in preview_export(project, ExportOptions("cvat")))


def test_morphoj_takes_complete_specimens(tmp_path: Path) -> None:
    for number, name in enumerate(("a.jpg", "b.jpg")):
        photo(tmp_path / "in" / name, 200, 100, seed=number)
    coco(tmp_path / "in" / "c.json", ["a.jpg"], [10.25, 10, 2, 20, 20, 2])
    coco(tmp_path / "in" / "d.json", ["b.jpg"], [10.25, 10, 2, 0, 0, 0])
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, tmp_path / "in" / "c.json")
        import_file(project, tmp_path / "in" / "d.json")
        report = export_project(project, tmp_path / "out", ExportOptions("morphoj"))
    assert (tmp_path / "out" / "dog.txt").read_text() == "Id\tx1\ty1\tx2\ty2\na\t10.25\t90.0\t20.0\t80.0\n"
    assert report.instances == 1 and any("missing landmarks" in i.where for i in report.items)


def test_nothing_to_write_is_said(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.jpg")
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        with pytest.raises(UserInputError, match="no instance has a keypoint"):
            export_project(project, tmp_path / "out", ExportOptions("tps"))
