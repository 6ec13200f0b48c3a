"""Single operations: what they do, what they refuse, what they remember."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.domain.errors import BugError, UserInputError
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.projects.project import Project
from kinmark.projects.store.database import DATABASE_NAME
from kinmark.projects.store.inputs import NewImage, NewInstance, NewKeypoint, keypoints_of
from tests.support.projects import SIZE_WH, a_mask, add_images, dump, keypoint_proposal, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path / "p.kinmark")
    yield made
    made.close()


@pytest.fixture
def ids(project: Project) -> tuple[int, int, int, int]:
    """Definition ids of nose, l_ear, r_ear, tail."""
    a, b, c, d = project.queries.categories()[0].definition_ids
    return a, b, c, d


def _points(project: Project, instance_id: int) -> dict[str, tuple]:
    category = project.queries.categories()[0]
    names = {d.id: d.name for d in (*category.definitions, *category.retired)}
    return {names[k.definition_id]: (k.x, k.y, k.visibility) for k in project.queries.instance(instance_id).keypoints}


def test_labels_survive_every_schema_edit(project: Project, ids: tuple[int, ...]) -> None:
    operations = project.operations
    category = project.queries.categories()[0]
    [instance] = operations.add_instance(1, category.id, [NewKeypoint(ids[0], 1, 2), NewKeypoint(ids[3], 7, 8)]).ids
    operations.rename_keypoint(ids[0], "snout")
    operations.retire_keypoint(ids[3])
    operations.add_keypoint(category.id, "belly")
    order = project.queries.category(category.id).definition_ids
    operations.reorder_keypoints(category.id, order[::-1])
    now = project.queries.category(category.id)
    assert now.schema.names == ("belly", "r_ear", "l_ear", "snout") and now.retired[0].name == "tail"
    assert _points(project, instance) == {"snout": (1, 2, 2), "tail": (7, 8, 2)}
    operations.add_keypoint(category.id, "tail")
    assert project.queries.category(category.id).definition("tail").id == ids[3], (
        "a retired keypoint comes back as itself"
    )
    operations.edit_schema(
        category.id, KeypointSchema(("r_ear", "l_ear")), renamed={"l_ear": "r_ear", "r_ear": "l_ear"}
    )
    assert project.queries.category(category.id).definition_ids == (ids[1], ids[2])


def test_names_are_refused_when_taken_or_unusable(project: Project, ids: tuple[int, ...]) -> None:
    operations = project.operations
    category = project.queries.categories()[0].id
    for attempt, message in (
        (lambda: operations.add_category("otter"), "already a category"),
        (lambda: operations.add_category("  "), "cannot be the name"),
        (lambda: operations.add_category("a\nb"), "cannot be the name"),
        (lambda: operations.add_keypoint(category, "nose"), "already a keypoint"),
        (lambda: operations.rename_keypoint(ids[0], "tail"), "already a keypoint"),
        (lambda: operations.set_pairs(category, [(ids[0], ids[1]), (ids[1], ids[2])]), "more than one"),
        (lambda: operations.set_skeleton(category, [(ids[0], 999)]), "another category"),
        (lambda: operations.reorder_keypoints(category, ids[:2]), "every keypoint"),
        (lambda: operations.rename_category(77, "x"), "no longer in the project"),
    ):
        before = dump(project.folder / DATABASE_NAME)
        with pytest.raises(UserInputError, match=message):
            attempt()
        assert dump(project.folder / DATABASE_NAME) == before


def test_instances_are_checked_before_anything_is_written(project: Project, ids: tuple[int, ...]) -> None:
    operations = project.operations
    category = project.queries.categories()[0].id
    other = operations.add_category("cat", KeypointSchema(("nose",))).ids[0]
    good = NewInstance(1, category, (NewKeypoint(ids[0], 1, 2),))
    before = dump(project.folder / DATABASE_NAME)
    for bad, message in (
        (NewInstance(999, category), "no longer in the project"),
        (NewInstance(1, other, (NewKeypoint(ids[0], 1, 2),)), "does not belong"),
        (NewInstance(1, category, (NewKeypoint(ids[0], float("nan"), 2),)), "no finite position"),
        (NewInstance(1, category, (NewKeypoint(ids[0], 1, 2, 3),)), "visibility 3"),
        (NewInstance(1, category, (NewKeypoint(ids[0], 1, 2), NewKeypoint(ids[0], 3, 4))), "given twice"),
        (NewInstance(1, category, box=(0, 0, float("inf"), 1)), "not a finite number"),
        (NewInstance(1, category, origin="alien"), "no origin"),
    ):
        with pytest.raises(UserInputError, match=message):
            operations.add_instances([good, bad])
        assert dump(project.folder / DATABASE_NAME) == before, "all or nothing"


def test_mirror_and_swap(project: Project, ids: tuple[int, ...]) -> None:
    operations = project.operations
    category = project.queries.categories()[0].id
    nose, left, right, _ = ids
    [one] = operations.add_instance(
        1, category, [NewKeypoint(nose, 10, 5), NewKeypoint(left, 20, 6, 1), NewKeypoint(right, 40, 7)]
    ).ids
    operations.swap_sides(one)
    assert _points(project, one) == {"nose": (10, 5, 2), "l_ear": (40, 7, 2), "r_ear": (20, 6, 1)}
    operations.swap_sides(one)
    operations.mirror_instance(one)
    assert _points(project, one) == {"nose": (40, 5, 2), "l_ear": (10, 7, 2), "r_ear": (30, 6, 1)}
    [lone] = operations.add_instance(1, category, [NewKeypoint(left, 3, 4)]).ids
    operations.swap_sides(lone)
    assert _points(project, lone) == {"r_ear": (3, 4, 2)}


def test_copy_scales_with_the_images_and_takes_warped_keypoints(project: Project, ids: tuple[int, ...]) -> None:
    operations = project.operations
    category = project.queries.categories()[0].id
    root = project.folder.parent / "photos"
    [big] = operations.add_images([NewImage(root, "big.jpg", SIZE_WH[0] * 2, SIZE_WH[1] * 4)]).ids
    [one] = operations.add_instance(
        1, category, [NewKeypoint(ids[0], 10, 5), NewKeypoint(ids[3], None, None, 0)], box=(1, 2, 3, 4), mask=a_mask(1)
    ).ids
    scaled = project.queries.instance(operations.copy_instance(one, big).ids[0])
    assert scaled.box == (2, 8, 6, 16) and scaled.mask is None, "a mask is not stretched"
    assert _points(project, scaled.id) == {"nose": (20, 20, 2), "tail": (None, None, 0)}
    same = project.queries.instance(operations.copy_instance(one, 2).ids[0])
    assert same.mask.rle == a_mask(1) and _points(project, same.id) == _points(project, one)
    warped = operations.copy_instance(one, 3, keypoints=[NewKeypoint(ids[0], 33.5, 22.25)]).ids[0]
    assert _points(project, warped) == {"nose": (33.5, 22.25, 2)}


def test_partial_acceptance_completes_one_instance(project: Project, ids: tuple[int, ...]) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0].id
    operations.add_keypoint_proposals([keypoint_proposal(2, {"nose": 0.9, "l_ear": 0.6, "tail": 0.2})], category)
    [proposal] = queries.proposals()
    nose, _, tail = proposal.keypoints
    [instance] = operations.accept_keypoints([nose.id], positions={nose.id: (11.5, 12.5, 1)}).ids
    assert _points(project, instance) == {"nose": (11.5, 12.5, 1)}
    assert queries.image(2).state == "pending" and queries.proposals()[0].instance_id == instance
    operations.reject_keypoints([tail.id])
    assert operations.accept_proposals().ids == (instance,)
    assert queries.proposals() == () and queries.image(2).state == "partly"
    kinds = {(d.kind, d.definition_id): d for d in queries.decisions()}
    assert set(kinds) == {("accepted", ids[0]), ("accepted", ids[1]), ("rejected", ids[3])}
    moved = kinds["accepted", ids[0]]
    assert (moved.x, moved.y) == (nose.x, nose.y) and (moved.final_x, moved.final_y) == (11.5, 12.5)
    assert kinds["accepted", ids[1]].correct and not kinds["rejected", ids[3]].correct
    assert queries.instance(instance).keypoints[0].origin == "proposal"
    with pytest.raises(UserInputError, match="no longer pending"):
        operations.accept_keypoints([nose.id])


def test_rejected_stays_away_on_the_same_evidence_only(project: Project, ids: tuple[int, ...]) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0].id
    proposals = [keypoint_proposal(2, {"nose": 0.9, "tail": 0.3}), keypoint_proposal(3, {"nose": 0.8})]
    operations.add_keypoint_proposals(proposals, category)
    operations.reject_keypoints([queries.proposals(image_id=2)[0].keypoints[1].id])
    operations.reject_proposals([queries.proposals(image_id=3)[0].id])
    again = operations.add_keypoint_proposals(proposals, category)
    assert again.count == 1 and any("rejected before" in line for line in again.skipped)
    assert [k.definition_id for k in queries.proposals()[0].keypoints] == [ids[0]]
    other = [keypoint_proposal(i, {"nose": 0.8, "tail": 0.3}, exemplar="2") for i in (2, 3)]
    assert operations.add_keypoint_proposals(other, category).count == 2, "a new exemplar is new evidence"
    assert all(len(p.keypoints) == 2 for p in queries.proposals())


def test_proposals_never_touch_what_a_person_placed(project: Project, ids: tuple[int, ...]) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0].id
    [mine] = operations.add_instance(2, category, [NewKeypoint(ids[0], 1.25, 2.5)]).ids
    operations.add_keypoint_proposals(
        [keypoint_proposal(2, {"nose": 0.99, "tail": 0.9})], category, instance_ids=[mine]
    )
    assert [k.definition_id for k in queries.proposals()[0].keypoints] == [ids[3]]
    operations.place_keypoint(mine, ids[3], 9.0, 9.5)
    changes = operations.accept_proposals()
    assert changes.ids == (mine,) and changes.skipped
    assert _points(project, mine) == {"nose": (1.25, 2.5, 2), "tail": (9.0, 9.5, 2)}


def test_a_new_job_replaces_what_is_pending_but_its_own_batches_add_up(project: Project) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0].id
    operations.add_keypoint_proposals([keypoint_proposal(2, {"nose": 0.5})], category, job="one")
    operations.add_keypoint_proposals([keypoint_proposal(2, {"tail": 0.5})], category, job="one")
    assert queries.count_proposals() == 2, "two objects in one photo"
    operations.add_keypoint_proposals([keypoint_proposal(2, {"nose": 0.6})], category, job="two")
    assert [p.keypoints[0].confidence for p in queries.proposals()] == [0.6]


def test_origin_and_provenance(project: Project, ids: tuple[int, ...]) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0].id
    operations.add_keypoint_proposals([keypoint_proposal(2, {"nose": 0.9})], category, job="sweep")
    [instance] = operations.accept_proposals().ids
    point = queries.instance(instance).keypoints[0]
    run = queries.run(point.run_id)
    assert run is not None and run.job == "sweep" and '"backbone":"embedded"' in run.spec and point.confidence == 0.9
    if point.visibility:
        operations.move_keypoint(point.id, 1, 1)
        assert queries.instance(instance).keypoints[0].origin == "proposal"


def test_nudges_are_one_step_and_groups_are_all_or_nothing(project: Project, ids: tuple[int, ...]) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0].id
    [instance] = operations.add_instance(1, category, [NewKeypoint(ids[0], 1, 1)]).ids
    point = queries.instance(instance).keypoints[0].id
    for x in range(5):
        operations.move_keypoint(point, x, 1, merge_key="nudge 1")
    project.undo()
    assert queries.instance(instance).keypoints[0].x == 1 and project.undo_name == "Add an instance"
    operations.move_keypoint(point, 7, 1, merge_key="nudge 2")
    operations.set_box(instance, (0, 0, 1, 1))
    operations.move_keypoint(point, 8, 1, merge_key="nudge 2")
    project.undo()
    assert queries.instance(instance).keypoints[0].x == 7, "something came in between: a step of its own"
    operations.move_keypoint(point, 9, 1, merge_key="nudge 3")
    assert project.redo_name is None
    project.undo(), project.undo(), project.undo()
    before = dump(project.folder / DATABASE_NAME)
    with pytest.raises(ZeroDivisionError), project.group("Import"):
        [new] = add_images(project, 1, start=900)
        operations.add_instance(new, category)
        assert queries.image(new) is not None, "queries see what the group has written"
        raise ZeroDivisionError
    assert dump(project.folder / DATABASE_NAME) == before
    with project.group("Import") as group:
        [new] = add_images(project, 1, start=900)
        operations.add_instance(new, category)
    assert group.changes.name == "Import" and new in group.changes.image_ids
    project.undo()
    assert dump(project.folder / DATABASE_NAME) == before
    with pytest.raises(BugError, match="middle of an operation"), project.group("x"):
        project.undo()


def test_settings_are_kept_and_not_undone(project: Project) -> None:
    project.operations.set_setting("view", {"zoom": 2.5, "image": 3})
    assert project.queries.setting("view") == {"zoom": 2.5, "image": 3}
    assert project.undo_name == "Add 6 images"
    project.operations.set_setting("view", None)
    assert project.queries.setting("view", "gone") == "gone"


def test_keypoints_from_arrays_round_trip(project: Project) -> None:
    category = project.queries.categories()[0]
    xy = np.array([[1.1, 2.2], [np.nan, np.nan], [0.1 + 0.2, 1e-9], [5, 6]])
    given = InstanceKeypoints(xy, np.array([2, 0, 1, 2]), (0.5, 0.25, 30.125, 40.0))
    [instance] = project.operations.add_instance(
        1, category.id, keypoints_of(category.definition_ids, given), box=given.box
    ).ids
    found = project.queries.instance(instance).aligned(category.definition_ids)
    np.testing.assert_array_equal(found.xy_image, xy)
    np.testing.assert_array_equal(found.visibility, given.visibility)
    assert found.box == given.box
