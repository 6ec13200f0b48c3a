"""Accepted keypoints and masks that lie on each other become one instance, in either order, and undo takes it back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project


@pytest.fixture
def project(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    with Project.create(tmp_path / "t.kinmark") as project:
        add_paths(project, [tmp_path / "a.png"])
        project.operations.add_category("dog", KeypointSchema(("nose", "tail")))
        yield project


def _propose_keypoints(project, shift=0.0):
    [image] = project.queries.images()
    keypoints = tuple(
        KeypointProposal(name, 12.0 + 4 * i + shift, 15.0, 0.9, Visibility.VISIBLE, KeypointSignals(0.9, 0.1))
        for i, name in enumerate(("nose", "tail"))
    )
    found = InstanceProposal("r", str(image.id), "dog", keypoints, 0.9, None, RunSpec("match", "embedded"))
    project.operations.add_keypoint_proposals([found], 1)


def _propose_mask(project, identity_id=None):
    [image] = project.queries.images()
    mask = np.zeros((40, 60), bool)
    mask[10:20, 8:24] = True
    found = MaskProposal("r", str(image.id), 1.0, 0.9, MaskRLE.encode(mask), None, RunSpec("pdm", "embedded"))
    project.operations.add_mask_proposals([found], 1, identity_id=identity_id)


@pytest.mark.parametrize("order", ["keypoints first", "mask first", "together"])
def test_one_object_is_one_instance(project, order):
    identity = project.operations.add_identity("Pip", 1).ids[0]
    steps = [_propose_keypoints, lambda p: _propose_mask(p, identity)]
    for step in reversed(steps) if order == "mask first" else steps:
        step(project)
        if order != "together":
            project.operations.accept_proposals()
    if order == "together":
        project.operations.accept_proposals()
    [instance] = project.queries.instances()
    assert len(instance.keypoints) == 2 and instance.mask is not None and instance.identity_id == identity
    project.undo()
    left = project.queries.instances()
    assert len(left) == (0 if order == "together" else 1)
    assert not (left and left[0].mask is not None and left[0].keypoints)


def test_two_objects_stay_two(project):
    _propose_keypoints(project, shift=30.0)
    _propose_mask(project)
    project.operations.accept_proposals()
    assert len(project.queries.instances()) == 2


def test_another_individual_is_not_given_the_mask(project):
    _propose_keypoints(project)
    project.operations.accept_proposals()
    other = project.operations.add_identity("Rex", 1).ids[0]
    project.operations.assign_identity([project.queries.instances()[0].id], other)
    _propose_mask(project, project.operations.add_identity("Pip", 1).ids[0])
    project.operations.accept_proposals()
    assert len(project.queries.instances()) == 2
