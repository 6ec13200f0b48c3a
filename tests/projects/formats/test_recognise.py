"""What is dropped on the window: every format that we write is recognised, and read from where recognising says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinmark.projects.formats.recognise import recognise
from kinmark.projects.formats.registry import FORMATS
from tests.support.datasets import sample_dataset, write_picture

READ_BACK = [n for n, s in FORMATS.items() if n not in ("pf-willow", "coco-wholebody") and s.reads and not s.optional]


@pytest.mark.parametrize("name", READ_BACK)
def test_every_written_format_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    spec = FORMATS[name]
    out = tmp_path / "out"
    spec.writer(sample_dataset(tmp_path / "photos", count=4), out)
    dropped = out
    if name == "labelme":  # a folder with photos and their side files is a folder of photos; one of the files tells
        assert recognise(out) is None
        dropped = next(out.rglob("*.json"))
    found = recognise(dropped)
    assert found is not None and found.format == name
    dataset, _ = spec.reader(found.path)
    # PerSeg and mask pictures hold what has a mask.
    assert len(dataset.images) == {"labelme": 1, "perseg": 3, "masks": 3}.get(name, 4)


def test_pf_willow_by_its_table(tmp_path: Path) -> None:
    (tmp_path / "PF-WILLOW").mkdir()
    (tmp_path / "PF-WILLOW" / "test_pairs.csv").write_text("imageA,imageB\n")
    for dropped in (tmp_path, tmp_path / "PF-WILLOW", tmp_path / "PF-WILLOW" / "test_pairs.csv"):
        found = recognise(dropped)
        assert found is not None and (found.format, found.path) == ("pf-willow", dropped)


def test_a_file_inside_a_data_set_leads_to_its_folder(tmp_path: Path) -> None:
    for name in ("voc", "yolo-pose", "deeplabcut"):
        FORMATS[name].writer(sample_dataset(tmp_path / f"photos-{name}", count=2), tmp_path / name)
    voc = recognise(next((tmp_path / "voc" / "Annotations").glob("*.xml")))
    assert voc is not None and (voc.format, voc.path) == ("voc", tmp_path / "voc")
    yolo = recognise(tmp_path / "yolo-pose" / "data.yaml")
    assert yolo is not None and yolo.format == "yolo-pose"
    csv = recognise(next((tmp_path / "deeplabcut").rglob("*.csv")))
    assert csv is not None and csv.format == "deeplabcut"


def test_other_things_are_not_taken_for_labels(tmp_path: Path) -> None:
    write_picture(tmp_path / "photos" / "a.png", 8, 6, 0)
    others = {
        "a.json": "[1, 2]",
        "b.json": '{"name": 1}',
        "c.xml": "<html/>",
        "d.csv": "x,y\n1,2",
        "e.txt": "hello",
        "f.json": "",
        "g.pdf": "%PDF",
        "h.yaml": "a: 1",
    }
    for name, text in others.items():
        (tmp_path / name).write_text(text)
        assert recognise(tmp_path / name) is None, name
    assert recognise(tmp_path / "photos") is None and recognise(tmp_path / "photos" / "a.png") is None
    assert recognise(tmp_path / "missing.json") is None
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00{")
    assert recognise(tmp_path / "binary.json") is None
