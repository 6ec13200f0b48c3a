"""VOC files of Roboflow, roLabelImg and VOC2012 itself: what an object says beyond one upright box."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.domain.errors import ImportFileError
from tests.support.exchange import photo, take_in

BOX = "<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>60</xmax><ymax>80</ymax></bndbox>"


def _voc(folder: Path, body: str, name: str = "a.xml") -> None:
    photo(folder / "JPEGImages" / "a.png")
    file = folder / "Annotations" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    size = "<size><width>200</width><height>100</height><depth>3</depth></size>"
    file.write_text(f"<annotation><filename>a.png</filename>{size}<object><name>dog</name>{body}</object></annotation>")


@pytest.mark.parametrize(("angle", "box"), [(math.pi / 2, (90, 30, 110, 70)), (0, (80, 40, 120, 60))])
def test_a_turned_box_of_rolabelimg_is_the_box_around_it(tmp_path: Path, angle: float, box: tuple[float, ...]) -> None:
    body = f"<type>robndbox</type><robndbox><cx>100</cx><cy>50</cy><w>40</w><h>20</h><angle>{angle}</angle></robndbox>"
    _voc(tmp_path, body)
    got = take_in(tmp_path, ".", "voc")
    assert got.instances[0].box == pytest.approx(box) and "1 x rotated box" in got.said


def test_two_boxes_of_an_object_are_refused(tmp_path: Path) -> None:
    _voc(tmp_path, BOX + BOX)
    with pytest.raises(ImportFileError, match=r"a\.xml.*object 1.*2 boxes"):
        take_in(tmp_path, ".", "voc")


def test_an_outline_beside_the_box_is_the_mask(tmp_path: Path) -> None:
    corners = ((10, 20), (60, 20), (60, 80))
    ring = "".join(f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in enumerate(corners, start=1))
    _voc(tmp_path, f"{BOX}<polygon>{ring}</polygon>")
    [dog] = take_in(tmp_path, ".", "voc").instances
    assert dog.extra["outline"]["rings"] == [[v for corner in corners for v in corner]]
    assert dog.box == (10, 20, 60, 80) and dog.mask is not None
    _voc(tmp_path, f"{BOX}<polygon><x1>1</x1><y1>1</y1></polygon>")
    assert "1 x <polygon>: it encloses nothing" in take_in(tmp_path, ".", "voc").said


def test_what_an_object_says_besides_is_counted(tmp_path: Path) -> None:
    _voc(
        tmp_path,
        f"{BOX}<actions><jumping>1</jumping></actions><point><x>1</x></point><confidence>0.4</confidence><id>0</id>",
    )
    said = take_in(tmp_path, ".", "voc").said
    assert all(f"1 x <{tag}>" in said for tag in ("actions", "point", "confidence")) and "<id>" not in said


def test_files_lists_and_masks_that_are_not_read_are_counted(tmp_path: Path) -> None:
    _voc(tmp_path, BOX)
    _voc(tmp_path, BOX, "sub/b.xml")
    (tmp_path / "SegmentationClass").mkdir()
    Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / "SegmentationClass" / "a.png")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    for name in ("train", "val", "dog_train", "minival"):
        (tmp_path / "ImageSets" / "Main" / f"{name}.txt").write_text("a\n")
    got = take_in(tmp_path, ".", "voc")
    for words in (
        "1 x label file in a folder of Annotations",
        "1 x mask of classes",
        "1 x photo of several splits",
        "2 x further list in ImageSets",
    ):
        assert words in got.said
    assert [i.split for i in got.images.values()] == ["train"]
    assert len(take_in(tmp_path, "Annotations", "voc").instances) == 1  # the folder itself, too
