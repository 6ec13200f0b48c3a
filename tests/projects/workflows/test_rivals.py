"""Left and right individuals: which categories compete, what the engine is told about the other one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.propose import ProposeOptions, propose
from kinmark.projects.workflows.rivals import rival_of, rival_schema
from tests.projects.workflows.test_propose import PlacingEngine

NAMES = ("wrist", "left_thumb", "left_index")


@pytest.fixture
def project(tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(4):
        Image.fromarray(np.full((48, 64, 3), index * 20, np.uint8)).save(photos / f"p{index}.png")
    with Project.create(tmp_path / "t.kinmark") as project:
        add_paths(project, [photos])
        for name, keypoints in (
            ("left hand", NAMES),
            ("right hand", ("right_index", "wrist", "right_thumb")),
            ("cup", ("rim",)),
        ):
            project.operations.add_category(name, KeypointSchema(keypoints))
        yield project


def label(project: Project, name: str, photo: int, x: float) -> None:
    category = project.queries.require_category(name)
    image = [row.id for row in project.queries.images()][photo]
    keypoints = [NewKeypoint(d, x + i, 6.0) for i, d in enumerate(category.definition_ids)]
    project.operations.add_instance(image, category.id, keypoints)


def test_only_a_labelled_category_of_the_other_side_competes(project: Project) -> None:
    left, right, cup = (project.queries.require_category(n) for n in ("left hand", "right hand", "cup"))
    assert rival_of(project.queries, left) is None
    label(project, "right hand", 1, 30.0)
    found = rival_of(project.queries, left)
    assert found is not None and found.name == "right hand"
    assert rival_of(project.queries, right) is None and rival_of(project.queries, cup) is None
    assert rival_schema(left, right).names == ("left_index", "wrist", "left_thumb")


def test_the_engine_hears_of_the_rival_and_of_its_labelled_places(project: Project) -> None:
    label(project, "left hand", 0, 5.0)
    label(project, "right hand", 1, 30.0)
    engine = PlacingEngine()
    propose(project, engine, ProposeOptions("left hand"))
    [asked] = engine.requests
    [rival] = asked.rivals
    assert rival.category == "right hand" and len(rival.exemplars) == 1
    taken = {t.image.path.name: t.taken for t in asked.targets}
    assert [len(places) for places in taken.values()] == [1, 0, 0]
    # right_index, wrist, right_thumb lie at 30, 31, 32; in the order wrist, left_thumb, left_index
    np.testing.assert_allclose(taken["p1.png"][0].xy_image[:, 0], [31, 32, 30])


def test_other_categories_have_no_rival(project: Project) -> None:
    label(project, "cup", 0, 5.0)
    label(project, "right hand", 1, 30.0)
    engine = PlacingEngine()
    propose(project, engine)
    assert [len(request.rivals) for request in engine.requests] == [0, 0]


def test_the_engine_hears_which_photos_are_labelled_completely(project: Project) -> None:
    label(project, "cup", 0, 5.0)
    label(project, "cup", 1, 5.0)
    cup = project.queries.require_category("cup")
    images = [row.id for row in project.queries.images()]
    project.operations.set_exhaustive([images[0]], cup.id, True)
    engine = PlacingEngine()
    propose(project, engine, ProposeOptions("cup"))
    assert [request.complete for request in engine.requests] == [(str(images[0]),)]
