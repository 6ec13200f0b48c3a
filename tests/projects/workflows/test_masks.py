"""Masks of accepted keypoint instances: each gets its own, neighbours keep theirs, what is odd is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kinmark.engine.api import open_engine
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.masks import MaskOptions, propose_masks

WORMS = (20, 70)


@pytest.fixture
def project(tmp_path: Path):
    """Two dark worms, 8 pixels thick, on a light ground."""
    picture = Image.new("RGB", (160, 100), (220, 210, 190))
    for y in WORMS:
        ImageDraw.Draw(picture).rounded_rectangle((20, y - 4, 140, y + 4), 4, fill=(60, 40, 30))
    (tmp_path / "photos").mkdir()
    picture.save(tmp_path / "photos" / "worms.png")
    with Project.create(tmp_path / "t.kinmark") as project:
        add_paths(project, [tmp_path / "photos"])
        project.operations.add_category("worm", KeypointSchema(("head", "tail"), ((0, 1),)))
        yield project


def label(project: Project, *rows: tuple[float, float, float, float]) -> list[int]:
    category = project.queries.require_category("worm")
    [image] = project.queries.images()
    made = []
    for ax, ay, bx, by in rows:
        ids = category.definition_ids
        keypoints = [NewKeypoint(ids[0], ax, ay), NewKeypoint(ids[1], bx, by)]
        made.append(project.operations.add_instance(image.id, category.id, keypoints).ids[0])
    return made


def test_every_instance_gets_its_own_mask_and_keeps_its_keypoints(project: Project) -> None:
    ids = label(project, *((26.0, y, 134.0, y) for y in WORMS))
    engine = open_engine()
    outcome = propose_masks(project, engine, MaskOptions("worm"))
    assert (outcome.instances, outcome.proposed, outcome.failures) == (2, 2, [])
    waiting = {p.instance_id: p for p in project.queries.proposals(kind="mask")}
    assert sorted(waiting) == sorted(ids)
    project.operations.accept_proposals([p.id for p in waiting.values()])
    for instance, y in zip(project.queries.instances(ids=ids), WORMS, strict=True):
        assert instance.mask is not None and len(instance.keypoints) == 2
        mask = instance.mask.rle.decode()
        rows = np.flatnonzero(mask.any(axis=1))
        assert abs(rows.mean() - y) < 2 and 7 <= len(rows) <= 13 and 700 < mask.sum() < 1400
    assert propose_masks(project, engine, MaskOptions("worm")).instances == 0
    engine.close()


def test_one_thing_labelled_twice_gets_two_masks_and_limbs_alone_are_a_mask(project: Project) -> None:
    label(project, (26.0, 20.0, 134.0, 20.0), (26.0, 20.0, 134.0, 20.0))
    outcome = propose_masks(project, open_engine(), MaskOptions("worm", refine="threshold"))
    assert (outcome.instances, outcome.proposed) == (2, 2)
    first, second = (p.mask for p in project.queries.proposals(kind="mask"))
    assert first is not None and second is not None and first == second


def test_nothing_to_make_masks_for(project: Project) -> None:
    with pytest.raises(UserInputError, match="No accepted worm has keypoints"):
        propose_masks(project, open_engine(), MaskOptions("worm"))
    with pytest.raises(UserInputError):
        propose_masks(project, open_engine(), MaskOptions("whale"))
