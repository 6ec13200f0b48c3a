"""Operations over many rows: stopped in the middle, behind another writer, seen before they are undone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinmark.engine.domain.errors import OperationCancelled, ProjectError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.progress import CancelToken
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewImage, NewKeypoint
from kinmark.projects.store.operations import base
from kinmark.projects.store.queries.images import ImageFilter


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "p.kinmark") as project:
        images = [NewImage(tmp_path, f"{n}.jpg", 100, 80, sha256=f"{n:064x}", size_bytes=1) for n in range(60)]
        project.operations.add_images(images)
        yield project


class _Later(CancelToken):
    """Cancelled after it was looked at `looks` times: in the middle of an operation, on the same thread."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks

    @property
    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_cancelled_operation_leaves_nothing_behind(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "CHECK_EVERY", 200)
    ids = project.queries.image_ids()
    steps = project.queries.history()
    with pytest.raises(OperationCancelled), project.cancellable(_Later(3)):
        project.operations.remove_images(ids)
    assert project.queries.image_ids() == ids
    assert project.queries.history() == steps
    assert project.check_integrity() == []
    # The connection is as good as before, and is not watched any more.
    assert project.operations.remove_images(ids).count == 60
    assert project.undo() is not None
    assert project.queries.image_ids() == ids


def test_a_cancelled_undo_can_be_repeated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "CHECK_EVERY", 200)
    ids = project.queries.image_ids()
    project.operations.tag("x", ids)
    with pytest.raises(OperationCancelled), project.cancellable(_Later(3)):
        project.undo()
    assert project.queries.tags() == {"x": 60}
    assert project.undo() is not None
    assert project.queries.tags() == {}


def test_the_next_steps_tell_how_large_they_are(project: Project) -> None:
    project.operations.tag("x", project.queries.image_ids())
    project.operations.tag("y", project.queries.image_ids()[:1])
    steps = project.upcoming_steps(limit=2)
    (last, small), (before, large) = ((step.name, step.rows) for step in steps)
    assert (last, before) == ("Tag y", "Tag x")
    assert small == 2 and large == 61
    project.undo()
    assert [(step.name, step.rows) for step in project.upcoming_steps(forward=True)] == [("Tag y", 2)]


def test_an_impatient_writer_is_told_and_nothing_changes(project: Project) -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with Project.open(project.folder) as other, other.group("Long step"):
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert inside.wait(20)
        project.set_patience(0.05)
        with pytest.raises(ProjectError, match="another step is being written"):
            project.operations.tag("x", project.queries.image_ids())
    finally:
        leave.set()
        thread.join()
    assert project.queries.tags() == {}
    assert project.operations.tag("x", project.queries.image_ids()).count == 60


def test_images_that_lack_a_keypoint(project: Project) -> None:
    category_id = project.operations.add_category("thing", KeypointSchema(("a", "b"))).ids[0]
    category = project.queries.category(category_id)
    assert category is not None
    a, b = category.definition_ids
    ids = project.queries.image_ids()
    project.operations.add_instance(ids[0], category_id, [NewKeypoint(a, 1, 1)])
    project.operations.add_instance(ids[1], category_id, [NewKeypoint(a, 1, 1), NewKeypoint(b, 2, 2)])
    project.operations.add_instance(ids[1], category_id, [NewKeypoint(b, 2, 2)])
    assert project.queries.image_ids(ImageFilter(missing_definition_id=b)) == (ids[0],)
    assert project.queries.image_ids(ImageFilter(missing_definition_id=a)) == (ids[1],)
    assert len(project.queries.exemplar_ids(category_id)) == 3
    assert project.queries.exemplar_ids(category_id, limit=1) == project.queries.exemplar_ids(category_id)[:1]
