"""EXIF rotations are asked of each photo by itself: a file may mix labels of turned and of unrotated pictures."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from kinmark.engine.domain.errors import UserInputError
from kinmark.projects.cli.app import run
from kinmark.projects.formats.base import exif_choice
from kinmark.projects.formats.dataset import DatasetInstance, DatasetKeypoint
from kinmark.projects.formats.orientation import fits_one
from tests.support.exchange import Imported, labelme, photo, places, shape, take_in, write_json

STORED, SHOWN = (10.25, 5.25), (94.75, 10.25)
"""One spot of a photo of orientation 6 (shown 100 x 200): in the unrotated picture (200 x 100), and as it is shown."""


def _photos(folder: Path) -> None:
    for number, name in enumerate(("cam1/a.jpg", "cam2/b.jpg")):
        photo(folder / name, 100, 200, seed=number, orientation=6)


def _spots(got: Imported) -> dict[str, tuple[float, float] | None]:
    return {Path(name).name: places(i.instances[0])["n"] for name, i in got.images.items() if i.instances}


def _coco(folder: Path, sizes: list[tuple[int, int]], spots: list[tuple[float, float]]) -> str:
    _photos(folder)
    names = ("cam1/a.jpg", "cam2/b.jpg")
    data = {
        "images": [
            {"id": i + 1, "file_name": n, "width": w, "height": h}
            for i, (n, (w, h)) in enumerate(zip(names, sizes, strict=True))
        ],
        "categories": [{"id": 1, "name": "dog", "keypoints": ["n"]}],
        "annotations": [
            {"id": i + 1, "image_id": i + 1, "category_id": 1, "keypoints": [*spot, 2], "num_keypoints": 1}
            for i, spot in enumerate(spots)
        ],
    }
    write_json(folder / "c.json", data)
    return "c.json"


def _labelme(folder: Path, sizes: list[tuple[int, int]], spots: list[tuple[float, float]]) -> str:
    _photos(folder)
    for name, (width, height), spot in zip(("cam1/a", "cam2/b"), sizes, spots, strict=True):
        labelme(
            folder / f"{name}.json",
            [shape("n", "point", [spot])],
            f"{Path(name).name}.jpg",
            imageWidth=width,
            imageHeight=height,
        )
    return "."


def _cvat(folder: Path, sizes: list[tuple[int, int]], spots: list[tuple[float, float]]) -> str:
    _photos(folder)
    images = "".join(
        f'<image id="{i}" name="{n}" width="{w}" height="{h}"><skeleton label="dog">'
        f'<points label="n" outside="0" occluded="0" points="{x},{y}"/></skeleton></image>'
        for i, (n, (w, h), (x, y)) in enumerate(zip(("cam1/a.jpg", "cam2/b.jpg"), sizes, spots, strict=True))
    )
    (folder / "c.xml").write_text(f"<annotations><version>1.1</version>{images}</annotations>")
    return "c.xml"


SIZED = [("coco", _coco), ("labelme", _labelme), ("cvat", _cvat)]


@pytest.mark.parametrize(("kind", "write"), SIZED)
def test_sizes_tell_of_each_photo_whether_its_labels_are_turned(tmp_path: Path, kind: str, write: object) -> None:
    file = write(tmp_path, [(200, 100), (100, 200)], [STORED, SHOWN])  # type: ignore[operator]
    got = take_in(tmp_path, file, kind, exif="rotate")
    assert _spots(got) == {"a.jpg": SHOWN, "b.jpg": SHOWN}
    assert "a.jpg: labels turned by its EXIF orientation 6" in got.said and "1 x photo not turned" in got.said
    with pytest.raises(UserInputError, match=r"a\.jpg is 100 x 200 once its EXIF rotation is applied") as error:
        take_in(tmp_path, file, kind)
    assert "--exif rotate=cam1/a.jpg means this photo only" in error.value.hint


@pytest.mark.parametrize(("kind", "write"), SIZED)
def test_a_pattern_says_it_for_some_photos(tmp_path: Path, kind: str, write: object) -> None:
    file = write(tmp_path, [(200, 100), (200, 100)], [STORED, SHOWN])  # type: ignore[operator]
    got = take_in(tmp_path, file, kind, exif="keep", exif_of=(("a.jpg", "rotate"),))
    assert _spots(got) == {"a.jpg": SHOWN, "b.jpg": SHOWN}


def test_a_pattern_says_it_for_shares_of_the_picture(tmp_path: Path) -> None:
    _photos(tmp_path / "images")
    for name, (x, y) in (("cam1/a", (10.25 / 200, 5.25 / 100)), ("cam2/b", (94.75 / 100, 10.25 / 200))):
        label = tmp_path / "labels" / f"{name}.txt"
        label.parent.mkdir(parents=True)
        label.write_text(f"0 0.5 0.5 0.4 0.4 {x} {y} 2\n")
    (tmp_path / "data.yaml").write_text("train: images\nkpt_shape: [1, 3]\nkpt_names:\n  0: [n]\nnames: [dog]\n")
    target = tmp_path / "p.kinmark"
    assert run(["new", str(target)]) == 0
    got = take_in(tmp_path, ".", "yolo-pose", exif_of=(("cam1/*", "rotate"), ("cam2/*", "keep")))
    spots = _spots(got)
    assert spots["a.jpg"] == pytest.approx(SHOWN) and spots["b.jpg"] == pytest.approx(SHOWN)
    assert "EXIF rotation" not in got.said, "both were said by the person"
    command = ["import", str(target), str(tmp_path), "--format", "yolo-pose", "--dry-run"]
    assert run([*command, "--exif", "rotate=cam1/*", "--exif", "keep"]) == 0
    assert run([*command, "--exif", "turn=cam1/*"]) == 3


def _deeplabcut(folder: Path, rows: dict[str, tuple[float, float]]) -> str:
    labels = folder / "labeled-data" / "v"
    (folder / "config.yaml").write_text("Task: dog\nbodyparts:\n- n\n")
    for number, name in enumerate(rows):
        photo(labels / name, 100, 200, seed=number, orientation=6)
    lines = "".join(f"labeled-data,v,{name},{x},{y}\n" for name, (x, y) in rows.items())
    (labels / "CollectedData_A.csv").write_text(f"scorer,,,A,A\nbodyparts,,,n,n\ncoords,,,x,y\n{lines}")
    return "."


def test_places_tell_where_no_size_does(tmp_path: Path) -> None:
    """(180, 95) lies in the unrotated picture of 200 x 100 only, (95, 180) in the shown one of 100 x 200 only."""
    file = _deeplabcut(tmp_path, {"a.jpg": (180.5, 95.0), "b.jpg": (95.0, 180.5)})
    got = take_in(tmp_path, file, "deeplabcut", exif="rotate")
    assert _spots(got) == {"a.jpg": (5.0, 180.5), "b.jpg": (95.0, 180.5)}
    assert "its labels fit the turned picture only" in got.said and "outside" not in got.said
    with pytest.raises(UserInputError, match="its labels lie outside of that, and inside the unrotated picture"):
        take_in(tmp_path, file, "deeplabcut")
    kept = take_in(tmp_path, file, "deeplabcut", exif="keep")
    assert _spots(kept)["a.jpg"] == (180.5, 95.0) and "kept although outside the image" in kept.said


def test_a_person_says_it_where_nothing_tells(tmp_path: Path) -> None:
    file = _deeplabcut(tmp_path, {"a.jpg": STORED, "b.jpg": STORED})
    got = take_in(tmp_path, file, "deeplabcut", exif_of=(("b.jpg", "rotate"),))
    assert _spots(got) == {"a.jpg": STORED, "b.jpg": SHOWN}
    assert "1 x photo with an EXIF rotation" in got.said and "b.jpg: labels turned" in got.said


def test_landmarks_that_count_from_the_bottom_are_asked_photo_by_photo(tmp_path: Path) -> None:
    _photos(tmp_path)
    # In the unrotated picture (height 100) 5.25 from the top is 94.75 from the bottom.
    rows = "".join(f"LM=1\n10.25 94.75\nIMAGE={name}\n" for name in ("cam1/a.jpg", "cam2/b.jpg"))
    (tmp_path / "x.tps").write_text(rows)
    got = take_in(tmp_path, "x.tps", "tps", exif_of=(("cam1/*", "rotate"),))
    found = {Path(name).name: places(i.instances[0])["1"] for name, i in got.images.items()}
    assert found == {"a.jpg": SHOWN, "b.jpg": (10.25, 105.25)}


@pytest.mark.parametrize(
    ("path", "choice"),
    [("cam1/a.jpg", "rotate"), ("x/cam1/a.jpg", "rotate"), ("cam2/IMG_1.jpg", "keep"), ("cam2/a.jpg", "ask")],
)
def test_the_first_pattern_that_fits_counts(path: str, choice: str) -> None:
    assert exif_choice(PurePosixPath(path), "ask", (("cam1/*", "rotate"), ("IMG_*.jpg", "keep"))) == choice


@pytest.mark.parametrize(
    ("place", "answer"),
    [
        ((180.0, 90.0), "stored"),
        ((90.0, 180.0), "shown"),
        ((50.0, 50.0), ""),
        ((300.0, 300.0), ""),
        ((100.9, 50.0), ""),
    ],
)
def test_which_picture_the_places_lie_in(place: tuple[float, float], answer: str) -> None:
    instance = DatasetInstance("dog", {"n": DatasetKeypoint(2, *place)})
    assert fits_one([instance], (100, 200)) == answer
    assert fits_one([instance], (200, 200)) == "" and fits_one([], (100, 200)) == ""


def test_a_pattern_that_means_no_photo_is_said(tmp_path: Path) -> None:
    file = _coco(tmp_path, [(200, 100), (100, 200)], [STORED, SHOWN])
    got = take_in(tmp_path, file, "coco", exif_of=(("cam1/*", "rotate"), ("cam3/*", "rotate"), ("b.jpg", "keep")))
    assert _spots(got) == {"a.jpg": SHOWN, "b.jpg": SHOWN}
    assert 'flagged: pattern "cam3/*": no path or name of a photo fits it' in got.said
    assert "cam1/*:" not in got.said and 'pattern "b.jpg"' not in got.said
