"""Several instances of a category in one photo: storing, deciding, regrouping, and where all of them are labelled."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kinmark.engine.api import MAX_INSTANCES
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals
from kinmark.projects.places import LEARNED_LEAST, instance_limit, taken_places
from kinmark.projects.project import Project
from kinmark.projects.several import checked_instances
from kinmark.projects.store import migrate
from kinmark.projects.store.database import DATABASE_NAME
from kinmark.projects.store.inputs import InstancePart, NewInstance, NewKeypoint
from kinmark.projects.store.queries import ImageFilter
from tests.support.projects import SPEC, a_mask, dump, make_project, mask_proposal

RELEASED = Path(__file__).parents[2] / "fixtures" / "projects"
OFFSETS = ((0.0, 0.0), (4.0, -3.0), (4.0, 3.0), (10.0, 0.0))


def at(image_id: int, x: float, y: float, *, confidence: float = 0.8, exemplar: str = "1") -> InstanceProposal:
    """An otter proposed with its nose at (x, y)."""
    keypoints = tuple(
        KeypointProposal(name, x + dx, y + dy, confidence, Visibility.VISIBLE, KeypointSignals(0.9, 0.1))
        for name, (dx, dy) in zip(("nose", "l_ear", "r_ear", "tail"), OFFSETS, strict=True)
    )
    return InstanceProposal(
        "r", str(image_id), "otter", keypoints, confidence, (x, y - 3, x + 10, y + 3), SPEC, (exemplar,)
    )


def labelled(project: Project, image_id: int, x: float, y: float, names: str = "nose l_ear r_ear tail") -> int:
    """An accepted otter."""
    category = project.queries.categories()[0]
    ids = dict(zip(category.schema.names, category.definition_ids, strict=True))
    points = [
        NewKeypoint(ids[n], x + dx, y + dy)
        for n, (dx, dy) in zip(category.schema.names, OFFSETS, strict=True)
        if n in names.split()
    ]
    return project.operations.add_instance(image_id, category.id, points).ids[0]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with make_project(tmp_path / "p.kinmark") as made:
        yield made


def test_several_wait_in_one_photo_each_with_its_own_confidence(project: Project) -> None:
    category = project.queries.categories()[0]
    three = [at(2, 5, 10, confidence=0.9), at(2, 25, 10, confidence=0.7), at(2, 45, 10, confidence=0.4)]
    changes = project.operations.add_keypoint_proposals(three, category.id, job="a")
    assert changes.count == 3
    rows = project.queries.proposals(image_id=2)
    assert [round(row.confidence, 1) for row in rows] == [0.9, 0.7, 0.4]
    image = project.queries.image(2)
    assert image is not None and image.pending_count == 3 and image.min_confidence == 0.4
    project.operations.accept_proposals([rows[0].id])
    image = project.queries.image(2)
    assert image is not None and (image.state, image.instance_count, image.pending_count) == ("pending", 1, 2)
    project.operations.accept_proposals(image_ids=[2])
    instances = project.queries.instances(image_id=2)
    assert [i.keypoints[0].x for i in instances] == [5, 25, 45], "each is an instance of its own"


def test_a_new_sweep_replaces_what_waits_also_by_nothing(project: Project) -> None:
    category = project.queries.categories()[0]
    project.operations.add_keypoint_proposals([at(2, 5, 10), at(2, 25, 10), at(3, 5, 10)], category.id, job="a")
    project.operations.add_keypoint_proposals(
        [at(2, 45, 10)], category.id, job="b", instance_ids=[None], searched=[2, 3]
    )
    assert [row.keypoints[0].x for row in project.queries.proposals()] == [45], "3 was looked at and holds none"
    project.operations.add_keypoint_proposals([at(2, 15, 30)], category.id, job="b", instance_ids=[None])
    assert len(project.queries.proposals(image_id=2)) == 2, "a later batch of the same job adds"


def test_what_was_accepted_in_part_is_completed_by_the_proposal_that_lies_there(project: Project) -> None:
    category = project.queries.categories()[0]
    project.operations.add_keypoint_proposals([at(2, 5, 10), at(2, 40, 10)], category.id)
    right = project.queries.proposals(image_id=2)[1]
    [instance] = project.operations.accept_keypoints([right.keypoints[0].id]).ids
    project.operations.add_keypoint_proposals([at(2, 4, 11), at(2, 41, 10), at(2, 22, 30)], category.id)
    assert [row.instance_id for row in project.queries.proposals(image_id=2)] == [None, instance, None]


def test_a_rejected_place_is_remembered_and_the_others_are_not(project: Project) -> None:
    category = project.queries.categories()[0]
    project.operations.add_keypoint_proposals([at(2, 5, 10), at(2, 40, 10)], category.id)
    first, second = project.queries.proposals(image_id=2)
    project.operations.reject_proposals([first.id])
    again = project.operations.add_keypoint_proposals([at(2, 5.5, 10), at(2, 40, 10)], category.id)
    assert again.count == 1 and "rejected before" in again.skipped[0]
    assert [row.keypoints[0].x for row in project.queries.proposals(image_id=2)] == [40]
    labelled(project, 2, 20, 30)
    places = taken_places(project.queries, category, [2, 3])
    assert set(places) == {2} and [p.xy_image[0, 0] for p in places[2]] == [20, 5]
    assert all(p.labelled.all() for p in places[2])
    assert len(taken_places(project.queries, category, [2], rejected=False, pending=True)[2]) == 2
    project.operations.add_keypoint_proposals([at(2, 5, 10, exemplar="2")], category.id)
    assert len(project.queries.proposals(image_id=2)) == 1, (
        "another exemplar may say more; the engine is told the place"
    )
    project.undo()
    project.undo()
    project.undo()
    project.undo()
    assert taken_places(project.queries, category, [2]) == {}, "the rejection itself is undone"
    del second


def test_one_rejected_keypoint_is_not_missed_on_the_other_animal(project: Project) -> None:
    category = project.queries.categories()[0]
    pair = [at(2, 5, 10), at(2, 40, 10)]
    project.operations.add_keypoint_proposals(pair, category.id)
    project.operations.reject_keypoints([project.queries.proposals(image_id=2)[0].keypoints[3].id])
    project.operations.add_keypoint_proposals(pair, category.id)
    assert [len(row.keypoints) for row in project.queries.proposals(image_id=2)] == [3, 4]


def test_how_many_a_photo_may_hold(project: Project) -> None:
    queries, operations = project.queries, project.operations
    category = queries.categories()[0]
    assert category.instances == "auto" and instance_limit(queries, category) == 1
    labelled(project, 1, 5, 10)
    labelled(project, 2, 5, 10)
    assert instance_limit(queries, category) == 1
    labelled(project, 1, 30, 10)
    assert instance_limit(queries, category) == LEARNED_LEAST, "one photo shows two"
    assert instance_limit(queries, category, "3") == 3 and instance_limit(queries, category, "one") == 1
    for _ in range(8):
        labelled(project, 1, 30, 30)
    assert instance_limit(queries, category) == 20
    operations.set_instances(category.id, "4")
    assert instance_limit(queries, queries.categories()[0]) == 4
    assert queries.instances_per_photo(category.id) == {1: 1, 10: 1}
    for word, kept in (("AUTO", "auto"), ("1", "one"), ("one", "one"), (str(MAX_INSTANCES), str(MAX_INSTANCES))):
        assert checked_instances(word) == kept
    for word in ("", "0", "many", "-2", "2.5", "²"):
        with pytest.raises(UserInputError, match="does not say"):
            checked_instances(word)
    with pytest.raises(UserInputError, match="more than are proposed"):
        operations.set_instances(category.id, "201")
    assert operations.set_instances(category.id, "4").step_id == 0, "nothing changed, nothing to undo"


def test_two_halves_become_one(project: Project) -> None:
    operations, queries = project.operations, project.queries
    front, back = labelled(project, 1, 5, 10, "nose l_ear"), labelled(project, 1, 6, 10, "l_ear tail")
    operations.set_mask(back, a_mask(3))
    operations.set_box(front, (4, 5, 10, 12))
    [pip] = operations.add_identity("Pip").ids
    operations.assign_identity([back], pip)
    operations.tag("wet", instance_ids=[back])
    before = dump(project.folder / DATABASE_NAME)
    changes = operations.merge_instances(InstancePart(front), [InstancePart(back)])
    [one] = queries.instances(image_id=1)
    assert changes.ids == (front,) and one.id == front
    names = {d.id: d.name for d in queries.categories()[0].definitions}
    assert {names[k.definition_id]: k.x for k in one.keypoints} == {"nose": 5, "l_ear": 9, "tail": 16}
    assert changes.skipped == ("l_ear: both had placed it; that of the selected instance was kept",)
    assert one.mask is not None and one.mask.rle == a_mask(3) and one.identity_id == pip
    assert one.box == (4, 5, 16, 12), "around the first box and all keypoints"
    assert queries.tags_of_instance(front) == ("wet",)
    project.undo()
    assert dump(project.folder / DATABASE_NAME) == before
    project.redo()
    assert len(queries.instances(image_id=1)) == 1


def test_masks_are_united_and_absent_gives_way(project: Project) -> None:
    operations, queries = project.operations, project.queries
    first, second = labelled(project, 1, 5, 10, "nose"), labelled(project, 1, 6, 10, "tail")
    tail = queries.categories()[0].definition_ids[3]
    operations.place_keypoint(first, tail, None, None, 0)
    operations.set_mask(first, a_mask(0))
    operations.set_mask(second, a_mask(10))
    changes = operations.merge_instances(InstancePart(first), [InstancePart(second)])
    [one] = queries.instances(image_id=1)
    assert one.mask is not None and (one.mask.rle.decode() == (a_mask(0).decode() | a_mask(10).decode())).all()
    assert {k.x for k in one.keypoints} == {5, 16} and changes.skipped == ()


def test_pending_halves_stay_pending(project: Project) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0]
    front, back = at(1, 5, 10, confidence=0.9), at(1, 8, 10, confidence=0.5)
    operations.add_keypoint_proposals(
        [replace(front, keypoints=front.keypoints[:3]), replace(back, keypoints=back.keypoints[2:])], category.id
    )
    a, b = queries.proposals(image_id=1)
    changes = operations.merge_instances(InstancePart(None, (a.id,)), [InstancePart(None, (b.id,))])
    [one] = queries.proposals(image_id=1)
    assert changes.ids == () and not queries.instances(image_id=1), "merging accepts nothing"
    assert [k.x for k in one.keypoints] == [5, 9, 9, 18] and one.box == (5, 7, 18, 13)
    assert one.confidence == pytest.approx((3 * 0.9 + 0.5) / 4)
    assert [d.kind for d in queries.decisions()] == ["rejected"], "the second r_ear"
    accepted = labelled(project, 1, 40, 30, "nose")
    operations.merge_instances(InstancePart(None, (one.id,)), [InstancePart(accepted)])
    [rest] = queries.proposals(image_id=1)
    assert rest.instance_id == accepted and len(rest.keypoints) == 3, "what is accepted outweighs what waits"
    operations.accept_proposals([rest.id])
    assert len(queries.instances(image_id=1)) == 1 and len(queries.instances(image_id=1)[0].keypoints) == 4


def test_only_what_belongs_together_is_merged(project: Project) -> None:
    operations = project.operations
    here, there = labelled(project, 1, 5, 10), labelled(project, 2, 5, 10)
    with pytest.raises(UserInputError, match="one photo"):
        operations.merge_instances(InstancePart(here), [InstancePart(there)])
    with pytest.raises(UserInputError, match="with itself"):
        operations.merge_instances(InstancePart(here), [InstancePart(here)])
    operations.remove_instances([there])
    with pytest.raises(UserInputError, match="no longer"):
        operations.merge_instances(InstancePart(here), [InstancePart(there)])


def test_one_becomes_two(project: Project) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0]
    operations.add_keypoint_proposals([at(1, 5, 10)], category.id)
    [proposal] = queries.proposals(image_id=1)
    [whole] = operations.accept_keypoints([k.id for k in proposal.keypoints[:3]]).ids
    nose, l_ear, r_ear, tail = category.definition_ids
    before = dump(project.folder / DATABASE_NAME)
    part = InstancePart(whole, (proposal.id,))
    [new] = operations.split_instance(part, [r_ear, tail]).ids
    first, second = queries.instances(image_id=1)
    assert [k.definition_id for k in first.keypoints] == [nose, l_ear]
    assert second.id == new and [k.definition_id for k in second.keypoints] == [r_ear]
    [waiting] = queries.proposals(image_id=1)
    assert waiting.instance_id == new and [k.definition_id for k in waiting.keypoints] == [tail]
    assert {d.instance_id for d in queries.decisions() if d.definition_id == r_ear} == {new}
    project.undo()
    assert dump(project.folder / DATABASE_NAME) == before
    for marked in ([], [nose, l_ear, r_ear, tail]):
        with pytest.raises(UserInputError, match="both sides"):
            operations.split_instance(part, marked)


def test_a_keypoint_goes_to_the_other_or_is_exchanged(project: Project) -> None:
    operations, queries = project.operations, project.queries
    nose, l_ear, *_ = queries.categories()[0].definition_ids
    a, b = labelled(project, 1, 5, 10, "nose l_ear"), labelled(project, 1, 30, 30, "nose")
    operations.give_keypoint(InstancePart(a), l_ear, InstancePart(b))
    operations.give_keypoint(InstancePart(a), nose, InstancePart(b))
    first, second = queries.instances(image_id=1)
    assert [(k.definition_id, k.x) for k in first.keypoints] == [(nose, 30)], "exchanged: neither is lost"
    assert {(k.definition_id, k.x) for k in second.keypoints} == {(nose, 5), (l_ear, 9)}
    operations.remove_keypoints([k.id for k in second.keypoints if k.definition_id == nose])
    operations.give_keypoint(InstancePart(a), nose, InstancePart(b))
    [left] = queries.instances(image_id=1)
    assert left.id == b, "what has nothing left is no instance"
    with pytest.raises(UserInputError, match="no longer"):
        operations.give_keypoint(InstancePart(a), nose, InstancePart(b))


def test_a_pending_keypoint_is_given_away(project: Project) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0]
    nose, l_ear, _, tail = category.definition_ids
    operations.add_keypoint_proposals([at(1, 5, 10), at(1, 40, 30)], category.id)
    a, b = (InstancePart(None, (row.id,)) for row in queries.proposals(image_id=1))
    operations.give_keypoint(a, tail, b)
    rows = queries.proposals(image_id=1)
    assert [row.keypoints[3].x for row in rows] == [50, 15], "exchanged"
    accepted = labelled(project, 1, 20, 20, "nose")
    operations.give_keypoint(a, l_ear, InstancePart(accepted))
    [instance] = queries.instances(image_id=1)
    assert {(k.definition_id, k.x, k.origin) for k in instance.keypoints} == {
        (nose, 20, "human"),
        (l_ear, 9, "proposal"),
    }
    with pytest.raises(UserInputError, match="nose already"):
        operations.give_keypoint(a, nose, InstancePart(accepted))
    assert operations.give_keypoint(InstancePart(accepted), nose, b).ids, (
        "a pending one that gets truth becomes an instance"
    )
    assert sorted(len(i.keypoints) for i in queries.instances(image_id=1)) == [1, 1]


def test_all_labelled_is_a_state_of_the_photo(project: Project) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0]
    labelled(project, 1, 5, 10)
    labelled(project, 2, 5, 10)
    labelled(project, 3, 5, 10)
    operations.add_keypoint_proposals([at(1, 40, 30)], category.id, instance_ids=[None])
    changes = operations.set_exhaustive([1, 4], category.id, True)
    assert changes.ids == (1,) and "no accepted instance" in changes.skipped[0]
    assert not queries.proposals(image_id=1), "what waits is no further one"
    operations.set_exhaustive([2], category.id, False)
    assert queries.exhaustive() == {1: {category.id: True}, 2: {category.id: False}}
    assert queries.exhaustive(image_id=2, category_id=category.id) == {2: {category.id: False}}
    for which, ids in (("yes", (1,)), ("no", (2,)), ("unknown", (3,))):
        assert queries.image_ids(ImageFilter(exhaustive=which)) == ids
        assert queries.image_ids(ImageFilter(exhaustive=which, category_id=category.id)) == ids
    counts = queries.counts()
    assert (counts.exhaustive, counts.not_exhaustive) == (1, 1)
    labelled(project, 1, 50, 40)
    assert queries.counts().exhaustive == 1, "one more that a person adds is one more that is labelled"
    [seal] = operations.add_category("seal").ids
    operations.add_instance(1, seal, box=(0, 0, 5, 5))
    assert queries.image_ids(ImageFilter(exhaustive="yes")) == (), "nobody said so of the seals"
    operations.set_exhaustive([1], seal, True)
    assert queries.image_ids(ImageFilter(exhaustive="yes")) == (1,)
    operations.remove_instances([queries.instances(image_id=1)[0].id])
    assert queries.exhaustive(image_id=1) == {1: {seal: True}}, "one that was taken away may be missing now"
    project.undo()
    assert queries.counts().exhaustive == 1
    operations.set_exhaustive([1, 2], category.id, None)
    assert queries.exhaustive() == {1: {seal: True}} and queries.counts().not_exhaustive == 0
    operations.mark_nothing_here([4], category.id)
    with pytest.raises(UserInputError, match="yes, no or unknown"):
        queries.image_ids(ImageFilter(exhaustive="maybe"))


def test_filters_by_number(project: Project) -> None:
    queries = project.queries
    for x in (5, 20, 40):
        labelled(project, 1, x, 10)
    labelled(project, 2, 5, 10)
    project.operations.add_instance(2, project.operations.add_category("seal").ids[0], box=(0, 0, 5, 5))
    otter = queries.categories()[0].id
    assert queries.image_ids(ImageFilter(at_least=2)) == (1, 2)
    assert queries.image_ids(ImageFilter(at_least=2, category_id=otter)) == (1,)
    assert queries.image_ids(ImageFilter(at_least=1, at_most=1, category_id=otter)) == (2,)


def test_an_older_project_gets_its_columns_and_can_still_be_undone(tmp_path: Path) -> None:
    """A category that was changed before the migration goes back to what it was, whole."""
    folder = tmp_path / "old.kinmark"
    folder.mkdir()
    (folder / DATABASE_NAME).write_bytes((RELEASED / "v0001.kinmark" / DATABASE_NAME).read_bytes())
    connection = sqlite3.connect(folder / DATABASE_NAME)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    [category] = connection.execute("SELECT id, name, supercategory, colour, position, source_id, extra FROM category")
    [step] = connection.execute("SELECT MAX(id) + 1 FROM undo_step").fetchone()
    connection.execute("DELETE FROM undo_step WHERE undone = 1")
    connection.execute("INSERT INTO undo_step VALUES (?, 'Rename a category', '', 0, 1, '')", (step,))
    slots = ", ".join(f"v{i}" for i in range(6))
    connection.execute(
        f"INSERT INTO undo_row (step_id, table_no, row_id, existed, {slots}) VALUES (?, 2, ?, 1, ?, ?, ?, ?, ?, ?)",
        (step, category[0], "weasel", *category[2:]),
    )
    connection.commit()
    connection.close()
    with Project.open(folder) as project:
        assert project.queries.categories()[0].instances == "auto"
        assert project.queries.counts().exhaustive == 0
        assert project.undo() is not None
        assert project.queries.categories()[0].name == "weasel"
        assert project.queries.categories()[0].instances == "auto"
    assert migrate.VERSION >= 2


def test_masks_that_wait_are_left_alone_by_a_merge(project: Project) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0]
    operations.add_mask_proposals([mask_proposal(1, 0.9)], category.id)
    operations.add_keypoint_proposals([at(1, 5, 10)], category.id)
    mask, points = queries.proposals(image_id=1)
    operations.merge_instances(InstancePart(None, (mask.id,)), [InstancePart(None, (points.id,))])
    assert {row.kind for row in queries.proposals(image_id=1)} == {"mask", "keypoints"}
    operations.add_instances([NewInstance(1, category.id, box=(1, 1, 9, 9))])
