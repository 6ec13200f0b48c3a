"""A photo is done when every keypoint of its instances was looked at; before that it is labelled partly."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.project import DATABASE_NAME, Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.store.queries import ImageFilter
from tests.support.projects import make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path / "p.kinmark")
    yield made
    made.close()


def state(project: Project, image_id: int = 1) -> str:
    row = project.queries.image(image_id)
    assert row is not None
    return row.state


def test_one_keypoint_of_four_is_not_done(project: Project) -> None:
    do, category = project.operations, project.queries.categories()[0]
    assert len(category.definition_ids) == 4
    first, *others = category.definition_ids
    [instance] = do.add_instance(1, category.id, [NewKeypoint(first, 1, 1)]).ids
    assert state(project) == "partly"
    for id_ in others[:-1]:
        do.place_keypoint(instance, id_, 2, 2, 1)
    assert state(project) == "partly" and project.queries.counts().partly == 1
    do.place_keypoint(instance, others[-1], None, None, 0)
    assert state(project) == "done", "absent was looked at"
    assert project.queries.counts().done == 1 and project.queries.counts().partly == 0
    project.undo()
    assert state(project) == "partly"
    assert project.queries.image_ids(ImageFilter(state="partly")) == (1,)


def test_a_bare_box_is_partly_with_keypoints_and_done_without(project: Project) -> None:
    do, category = project.operations, project.queries.categories()[0]
    do.add_instance(1, category.id, box=(1, 1, 9, 9))
    [bare] = do.add_category("thing", KeypointSchema(())).ids
    do.add_instance(2, bare, box=(1, 1, 9, 9))
    assert (state(project, 1), state(project, 2)) == ("partly", "done")


def test_another_schema_changes_what_is_done(project: Project) -> None:
    do, category = project.operations, project.queries.categories()[0]
    do.add_instance(1, category.id, [NewKeypoint(d, 1, 1) for d in category.definition_ids])
    assert state(project) == "done"
    names = category.schema.names
    do.edit_schema(category.id, KeypointSchema((*names, "whisker")))
    assert state(project) == "partly" and project.queries.counts().partly == 1
    do.edit_schema(category.id, KeypointSchema(names))
    assert state(project) == "done", "what is retired is not asked for"
    project.undo()
    project.undo()
    assert state(project) == "done" and project.queries.counts().done == 1


def test_a_project_of_an_older_version_is_counted_anew_once(project: Project, tmp_path: Path) -> None:
    do, category = project.operations, project.queries.categories()[0]
    do.add_instance(1, category.id, [NewKeypoint(category.definition_ids[0], 1, 1)])
    project.close()
    with sqlite3.connect(tmp_path / "p.kinmark" / DATABASE_NAME) as database:
        database.execute("UPDATE image SET state = 'done' WHERE id = 1")
        database.execute("DELETE FROM image_total WHERE state = 'partly'")
        database.execute("UPDATE image_total SET images = 1, instances = 1, keypoints = 1 WHERE state = 'done'")
    database.close()
    with Project.open(tmp_path / "p.kinmark", read_only=True) as old:
        assert old.queries.counts().done == 1, "who only reads sees it as it was"
    with Project.open(tmp_path / "p.kinmark") as opened:
        counts = opened.queries.counts()
        assert (counts.partly, counts.done, counts.all, counts.keypoints) == (1, 0, 6, 1)
