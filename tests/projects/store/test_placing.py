"""What a person places on an object that is only proposed makes one instance of it, with what waits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import InstancePart, NewKeypoint
from tests.support.proposals import propose_figures
from tests.support.window import SCHEMA, make_photos, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = make_project(tmp_path / "p.kinmark", make_photos(tmp_path / "photos"), labelled=1)
    propose_figures(folder)
    with Project.open(folder) as made:
        yield made


def first(project: Project) -> InstancePart:
    """The first proposed object; two of its keypoints are rejected."""
    proposal = project.queries.proposals()[0]
    project.operations.reject_keypoints([k.id for k in proposal.keypoints[3:]])
    return InstancePart(None, (proposal.id,))


def test_a_keypoint_goes_on_the_object_and_the_rest_waits(project: Project) -> None:
    part = first(project)
    category = project.queries.categories()[0]
    changes = project.operations.place_on_proposed(part, [NewKeypoint(category.definition_ids[3], 5.0, 6.0)])
    [instance] = project.queries.instances(ids=changes.ids)
    [waiting] = project.queries.proposals(ids=part.proposal_ids)
    assert waiting.instance_id == instance.id and len(waiting.keypoints) == 3
    assert [(k.x, k.y, k.origin) for k in instance.keypoints] == [(5.0, 6.0, "human")]
    assert project.undo_name == "Place left_paw"
    project.operations.accept_proposals(part.proposal_ids)
    assert len(project.queries.instances(ids=changes.ids)[0].keypoints) == 4
    for _ in range(2):
        project.undo()
    assert project.queries.instances(ids=changes.ids) == ()
    assert project.queries.proposals(ids=part.proposal_ids)[0].instance_id is None


def test_absent_ones_of_proposed_and_accepted_objects_are_one_step(project: Project) -> None:
    part, ids = first(project), project.queries.categories()[0].definition_ids
    [made] = project.operations.mark_absent(part, ids[3:]).ids
    assert project.undo_name == "Mark 2 keypoints as absent"
    project.operations.accept_proposals(part.proposal_ids)
    [instance] = project.queries.instances(ids=[made])
    assert sorted(k.visibility for k in instance.keypoints) == [0, 0, 2, 2, 2]
    assert project.queries.image(instance.image_id).state == "done"
    project.operations.mark_absent(InstancePart(made), ids[:1])
    assert project.undo_name == "Mark a keypoint as absent"
    row = next(k for k in project.queries.instances(ids=[made])[0].keypoints if k.definition_id == ids[0])
    assert (row.x, row.y, row.visibility) == (None, None, 0)


def test_keypoints_on_a_found_mask_go_on_its_instance(project: Project) -> None:
    part = first(project)
    category, proposal = project.queries.categories()[0], project.queries.proposals()[0]
    row = project.queries.image(proposal.image_id)
    mask = MaskRLE.encode(np.ones((row.height, row.width), bool))
    [found] = project.operations.add_instance(row.id, category.id, mask=mask).ids
    new = NewKeypoint(category.definition_ids[4], 9.0, 9.0)
    assert project.operations.place_on_proposed(part, [new]).ids == (found,)
    assert len(project.queries.instances(image_id=row.id)) == 1


def test_what_does_not_fit_is_refused_and_changes_nothing(project: Project) -> None:
    part = first(project)
    other = project.operations.add_category("other", SCHEMA).ids[0]
    before, [strange] = project.queries.counts(), project.queries.category(other).definition_ids[:1]
    with pytest.raises(AppError, match="does not belong"):
        project.operations.place_on_proposed(part, [NewKeypoint(strange, 1.0, 1.0)])
    with pytest.raises(AppError, match="does not fit its image"):
        project.operations.place_on_proposed(part, mask=MaskRLE.encode(np.ones((3, 3), bool)))
    with pytest.raises(ValueError, match="nothing is accepted"):
        project.operations.place_on_proposed(InstancePart(1, part.proposal_ids), box=(0, 0, 5, 5))
    assert project.queries.counts() == before
