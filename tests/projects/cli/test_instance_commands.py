"""`kinmark find` and `kinmark identities` through the command door, with the real engine on a toy pipeline."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from kinmark.projects.cli.app import run
from tests.engine.instances.conftest import BLUE, RED, draw
from tests.support.toy_pipeline import make_toy_pipeline


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return make_toy_pipeline(tmp_path_factory.mktemp("toy") / "toy-sd")


@pytest.fixture
def folder(tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    shots = {
        "reference": [(60, 60, 30, RED)],
        "both": [(110, 70, 24, RED), (40, 50, 24, BLUE)],
        "blue": [(80, 60, 26, BLUE)],
    }
    for seed, (name, balls) in enumerate(shots.items()):
        rgb, masks = draw(balls=balls, seed=seed)
        Image.fromarray(rgb).save(photos / f"{name}.png")
        if name == "reference":
            Image.fromarray((masks[0] * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    assert run(["new", str(tmp_path / "p.kinmark"), "--images", str(photos)]) == 0
    capsys.readouterr()
    return tmp_path


def result(capsys):
    return json.loads(capsys.readouterr().out)


def test_find_accept_list_rename_merge_export(folder, backbone, capsys):
    project = str(folder / "p.kinmark")
    find = ["find", project, "--image", "reference.png", "--name", "toy", "--backbone", str(backbone), "--json"]
    assert run([*find, "--mask", str(folder / "mask.png"), "--identity", "Red"]) == 0
    data = result(capsys)
    assert [r["image"] for r in data["results"]] == ["both.png", "blue.png"]
    best, other = data["results"]
    assert best["here"] and not other["here"] and other["mask"] is None
    x0, _, x1, _ = best["box"]
    assert x0 > 75 and x1 > 120 and best["mask"]["size"] == [120, 160] and best["score"] > other["score"]
    assert run([*find, "--box", "28,28,92,92", "--top", "1"]) == 0
    assert len(result(capsys)["results"]) == 1
    assert run(["identities", "list", project, "--json"]) == 0
    [row] = result(capsys)["identities"]
    assert (row["name"], row["instance_count"], row["pending_count"]) == ("Red", 1, 1)
    assert run(["identities", "rename", project, "Red", "Ball", "--json"]) == 0
    assert run(["accept", project, "--min-confidence", "0.1", "--json"]) == 0
    capsys.readouterr()
    out = folder / "out"
    assert run(["identities", "export", project, str(out), "--json"]) == 0
    assert result(capsys)["instances"] == 2 and (out / "identities.csv").is_file()
    assert run(["identities", "list", project]) == 0
    assert "Ball  (toy): 2 confirmed" in capsys.readouterr().out
    assert run(["identities", "merge", project, "Ball", "Nobody", "--json"]) == 3
    assert "Nobody" in result(capsys)["error"]["message"]


def test_bad_questions_are_usage_or_known_errors(folder, backbone, capsys):
    project = str(folder / "p.kinmark")
    base = ["find", project, "--name", "toy", "--backbone", str(backbone), "--json"]
    assert run([*base, "--image", "reference.png", "--box", "1,2,3"]) == 2
    assert run([*base, "--image", "reference.png", "--box", "1,1,9,9", "--point", "3,3"]) == 2
    assert run([*base, "--box", "1,1,9,9"]) == 2
    assert run([*base, "--image", "reference.png", "--mode", "sideways"]) == 2
    capsys.readouterr()
    assert run([*base, "--image", "nothing.png", "--box", "1,1,9,9"]) == 3
    assert "nothing.png" in result(capsys)["error"]["message"]
    Image.new("L", (160, 120)).save(folder / "black.png")
    assert run([*base, "--image", "reference.png", "--mask", str(folder / "black.png")]) == 3
    assert "empty" in result(capsys)["error"]["message"]
    Image.new("L", (16, 12), 255).save(folder / "small.png")
    assert run([*base, "--image", "reference.png", "--mask", str(folder / "small.png")]) == 3
    assert "160 x 120" in result(capsys)["error"]["message"]
