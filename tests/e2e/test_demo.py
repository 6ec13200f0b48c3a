"""`kinmark demo --photos FOLDER`: the story of the demo on a person's own labelled photos, through the real entry point."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pycocotools.coco import COCO

from kinmark.engine.paths import resources_dir
from kinmark.projects.cli.app import run
from kinmark.projects.project import Project

pytestmark = pytest.mark.e2e
NAMES = ("dog_02", "dog_07", "dog_11", "car_03", "car_06", "car_11")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six photos of the sample collection with their labels, as somebody else's program would leave them."""
    samples, made = resources_dir() / "samples", tmp_path / "my photos"
    (made / "pictures").mkdir(parents=True)
    data: dict[str, Any] = json.loads((samples / "annotations.json").read_text("utf-8"))
    images = [i for i in data["images"] if Path(i["file_name"]).stem in NAMES]
    for image in images:
        name = Path(image["file_name"]).name
        shutil.copy(samples / image["file_name"], made / "pictures" / name)
        image["file_name"] = name
    ids = {image["id"] for image in images}
    annotations = [a for a in data["annotations"] if a["image_id"] in ids]
    (made / "labels.json").write_text(
        json.dumps({**data, "images": images, "annotations": annotations}), encoding="utf-8"
    )
    return made


def test_the_demo_on_an_own_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    assert run(["demo", "--photos", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(folder.rglob("*")) == before, "nothing is written beside a person's photos"
    assert set(found["categories"]) == {"dog", "car"} and found["notes"] == [
        "bird is left out: no photos with keypoints"
    ]
    for own in found["categories"].values():
        assert (own["photos_there"], own["asked_there"], own["asked_elsewhere"]) == (2, 2, 0), (
            "no skeleton on the other kind"
        )
        assert own["proposals"] == 2 and sum(own["apart"].values()) == 3
        assert own["pck_0.1"] > 0.4 and own["accepted_precision"] in (None, pytest.approx(1, abs=0.35))
    assert found["identity"]["searched"] == 5
    with Image.open(found["contact_sheet"]) as sheet:
        assert sheet.width > 1000
    read = COCO(f"{found['coco']}/annotations.json")
    assert {read.cats[a["category_id"]]["name"] for a in read.anns.values()} == {"dog", "car"}
    with Project.open(Path(found["project"]), read_only=True) as project:
        assert project.queries.counts().all == 6


def test_what_is_wrong_with_a_folder_is_said_before_anything_runs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "labels.json").rename(tmp_path / "labels.json")
    assert run(["demo", "--photos", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert "There is no COCO file" in error["message"] and "--labels" in error["hint"]
    assert not (tmp_path / "out").exists()
    assert run(["demo", "--labels", str(tmp_path / "labels.json")]) == 2
