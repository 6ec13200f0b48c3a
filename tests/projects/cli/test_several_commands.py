"""`kinmark propose --instances` and `kinmark find --category` through the command door."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.cli.app import run
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint


@pytest.fixture
def folder(tmp_path, capsys):
    """Two photos of two dark worms; both worms of the first are labelled."""
    (tmp_path / "photos").mkdir()
    for number in range(2):
        picture = Image.fromarray(np.full((100, 160, 3), 200, np.uint8))
        for y in (20, 70):
            ImageDraw.Draw(picture).rounded_rectangle((20, y - 4, 140, y + 4), 4, fill=(60, 40 + number, 30))
        picture.save(tmp_path / "photos" / f"w{number}.png")
    assert run(["new", str(tmp_path / "w.kinmark"), "--images", str(tmp_path / "photos")]) == 0
    with Project.open(tmp_path / "w.kinmark") as project:
        project.operations.add_category("worm", KeypointSchema(("head", "tail"), ((0, 1),)))
        category = project.queries.require_category("worm")
        image = next(iter(project.queries.images()))
        for y in (20.0, 70.0):
            keypoints = [NewKeypoint(d, x, y) for d, x in zip(category.definition_ids, (26.0, 134.0), strict=True)]
            project.operations.add_instance(image.id, category.id, keypoints)
    capsys.readouterr()
    return tmp_path


def test_masks_for_accepted_keypoints(folder, capsys):
    assert run(["find", str(folder / "w.kinmark"), "--category", "worm", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["instances"], data["proposed"], data["failures"]) == (2, 2, [])
    assert run(["find", str(folder / "w.kinmark"), "--category", "worm", "--image", "w0.png"]) == 2
    assert "--category goes without" in capsys.readouterr().err
    assert run(["find", str(folder / "w.kinmark"), "--category", "whale"]) != 0


def test_how_many_a_photo_may_hold(folder, capsys):
    for word in ("some", "201", "-3"):
        assert run(["propose", str(folder / "w.kinmark"), "--instances", word]) != 0
        assert "instances" in capsys.readouterr().err
    limits = {}
    for word in ("one", "auto", "4"):
        assert run(["propose", str(folder / "w.kinmark"), "--instances", word, "--json"]) == 0
        [category] = json.loads(capsys.readouterr().out)["categories"]
        limits[word] = category["limit"]
    assert limits == {"one": 1, "auto": 10, "4": 4}
