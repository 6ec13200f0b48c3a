"""The sample collection agrees with its labels, and the script makes exactly what is shipped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.training import make_samples as samples
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.paths import resources_dir

FOLDER = resources_dir() / "samples"


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads((FOLDER / "annotations.json").read_text(encoding="utf-8"))


def test_three_categories_twelve_identities_and_one_rotated_file(document: dict) -> None:
    assert len(document["images"]) == 36
    assert [c["name"] for c in document["categories"]] == ["dog", "bird", "car"]
    assert len({a["attributes"]["identity"] for a in document["annotations"]}) == 12
    assert len({(i["width"], i["height"]) for i in document["images"]}) >= 4
    turned = 0
    for entry in document["images"]:
        with Image.open(FOLDER / entry["file_name"]) as stored:
            turned += stored.getexif().get(0x0112, 1) != 1
            assert ImageOps.exif_transpose(stored).size == (entry["width"], entry["height"])
    assert turned == 1
    assert sum(f.stat().st_size for f in FOLDER.rglob("*")) < 3_000_000


def test_labels_agree_with_each_other(document: dict) -> None:
    sizes = {i["id"]: (i["width"], i["height"]) for i in document["images"]}
    names = {c["id"]: c["keypoints"] for c in document["categories"]}
    for found in document["annotations"]:
        width, height = sizes[found["image_id"]]
        rle = MaskRLE(height, width, found["segmentation"]["counts"])
        rle.validate()
        assert rle.area == found["area"]
        x0, y0, x1, y1 = rle.box
        assert found["bbox"] == pytest.approx([x0, y0, x1 - x0, y1 - y0])
        keypoints = np.array(found["keypoints"]).reshape(-1, 3)
        assert len(keypoints) == len(names[found["category_id"]])
        assert found["num_keypoints"] == (keypoints[:, 2] > 0).sum()
        mask = np.asarray(cv2.dilate(rle.decode().astype(np.uint8), np.ones((3, 3), np.uint8)), bool)
        seen = keypoints[keypoints[:, 2] == 2]  # the mask comes from a finer rendering: one pixel of slack
        assert mask[seen[:, 1].astype(int), seen[:, 0].astype(int)].all()
    for category in document["categories"]:
        for a, b in category["flip_pairs"]:
            assert category["keypoints"][a - 1].replace("left", "right") == category["keypoints"][b - 1]


def test_the_script_makes_what_is_shipped(tmp_path: Path, document: dict) -> None:
    dogs = replace(samples.SHIPPED, identities={"dog": samples.SHIPPED.identities["dog"]})
    made = samples.make_samples(tmp_path, dogs, per_identity=1)
    assert len(made["images"]) == 4
    shipped = {i["id"]: i["file_name"] for i in document["images"]}
    assert [i["file_name"] for i in made["images"]] == [shipped[k] for k in (1, 2, 3, 4)]
    by_image = [a for a in document["annotations"] if a["image_id"] <= 4]
    for ours, theirs in zip(made["annotations"], by_image, strict=True):
        assert ours["attributes"] == theirs["attributes"]
        assert ours["keypoints"] == pytest.approx(theirs["keypoints"], abs=0.1)
        assert ours["area"] == pytest.approx(theirs["area"], rel=0.01)


def test_photos_show_several_poses_views_and_companions_but_no_toy(document: dict) -> None:
    by_identity: dict[str, list[dict]] = {}
    for found in document["annotations"]:
        by_identity.setdefault(found["attributes"]["identity"], []).append(found)
    assert all(len(own) >= 3 for own in by_identity.values())
    counts = [sum(a["image_id"] == i["id"] for a in document["annotations"]) for i in document["images"]]
    assert counts.count(2) == 12 and counts.count(1) == 24, "every third photo shows two, both of them well"
    for own in by_identity.values():  # the same animal is never twice in one pose: outlines differ
        shapes = [round(a["bbox"][2] / a["bbox"][3], 2) for a in own]
        assert len(set(shapes)) > 1


def test_the_hard_collection_is_another_one(tmp_path: Path) -> None:
    for collection in (samples.SHIPPED, samples.HARD):
        cars = replace(collection, identities={"car": collection.identities["car"][:1]})
        samples.make_samples(tmp_path / str(collection is samples.HARD), cars, per_identity=1)
    pictures = [np.asarray(Image.open(tmp_path / name / "images" / "car_01.jpg"), float) for name in ("False", "True")]
    grain = [float(np.abs(np.diff(p.mean(axis=2), axis=1)).mean()) for p in pictures]
    assert grain[1] > 1.5 * grain[0], "its surroundings are busier"


def test_the_hard_collection_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        samples.main(["--hard"])
    assert "say where" in capsys.readouterr().err
