"""Undo restores the database exactly, row by row; redo likewise; both survive a restart."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinmark.engine.domain.texts import Text
from kinmark.projects.project import Project
from kinmark.projects.store import database, undo
from kinmark.projects.store.database import DATABASE_NAME
from tests.support.projects import RandomWork, add_images, dump, keypoint_proposal, make_project


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project to copy; hundreds of commits need no fsync here (durability has its own tests)."""
    patch = pytest.MonkeyPatch()
    patch.setattr(database, "_WRITE_PRAGMAS", ("journal_mode=WAL", "synchronous=OFF"))
    folder = tmp_path_factory.mktemp("template") / "p.kinmark"
    make_project(folder).close()
    yield folder
    patch.undo()


STEPS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10**9)), min_size=3, max_size=14)


@given(steps=STEPS, restart_at=st.integers(0, 14))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_sequence_then_undo_all_then_redo_all(
    template: Path, steps: list[tuple[int, int]], restart_at: int
) -> None:
    folder = Path(tempfile.mkdtemp()) / "p.kinmark"
    try:
        shutil.copytree(template, folder)
        project = Project.open(folder)
        path = folder / DATABASE_NAME
        work = RandomWork(project)
        states, merged = [dump(path)], False
        depth = len(project.queries.history(1000))
        for index, (number, seed) in enumerate(steps):
            if index == restart_at:
                project.close()
                project = Project.open(folder)
                work = RandomWork(project)
            work.run(number, seed)
            state = dump(path)
            new_depth = len(project.queries.history(1000))
            if new_depth == depth:
                # Nothing changed, or a batch joined an earlier step of its job: that step now leads to this state.
                if state != states[-1]:
                    merged = True
                    states[-1] = state
                    _check_travel_is_identity(project, path, state)
                continue
            # One operation may be several steps (a kind that calls two operations): only its last state is known here.
            states += [{}] * (new_depth - depth - 1) + [state]
            depth = new_depth
        _undo_and_redo(project, path, states, merged=merged)
        project.close()
    finally:
        shutil.rmtree(folder.parent)


def _check_travel_is_identity(project: Project, path: Path, state: dict) -> None:
    steps = len([step for step in project.queries.history(1000) if not step.undone])
    for _ in range(steps):
        assert project.undo()
    for _ in range(steps):
        assert project.redo()
    assert dump(path) == state


def _undo_and_redo(project: Project, path: Path, states: list[dict], *, merged: bool) -> None:
    for state in reversed(states[:-1]):
        assert project.undo() is not None
        # Intermediate states are compared where no background batch joined an earlier step out of order.
        if state and not merged:
            assert dump(path) == state
    assert merged or dump(path) == states[0]
    while project.undo():
        pass
    empty = dump(path)
    assert all(not rows for table, rows in empty.items() if table != "image_total"), "undoing everything leaves nothing"
    assert not any(any(row[1:]) for row in empty["image_total"])
    while project.redo():
        pass
    assert dump(path) == states[-1]
    assert project.check_integrity() == []


def test_undo_survives_a_restart_and_has_names(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p.kinmark")
    before = dump(project.folder / DATABASE_NAME)
    [image, *_] = project.queries.image_ids()
    category = project.queries.categories()[0]
    project.operations.add_instance(image, category.id, box=(0, 0, 10, 10))
    after = dump(project.folder / DATABASE_NAME)
    project.close()
    with Project.open(tmp_path / "p.kinmark") as project:
        assert project.undo_name == "Add an instance"
        changes = project.undo()
        assert changes is not None and changes.name == "Add an instance" and image in changes.image_ids
        assert dump(project.folder / DATABASE_NAME) == before
        assert project.redo_name == "Add an instance"
    with Project.open(tmp_path / "p.kinmark") as project:
        project.redo()
        assert dump(project.folder / DATABASE_NAME) == after
        assert project.redo() is None


def test_bulk_accept_is_one_step(tmp_path: Path) -> None:
    with make_project(tmp_path / "p.kinmark", images=50) as project:
        category = project.queries.categories()[0]
        ids = project.queries.image_ids()
        proposals = [keypoint_proposal(i, {"nose": 0.9, "tail": 0.2}) for i in ids]
        project.operations.add_keypoint_proposals(proposals, category.id, job="j")
        before = dump(project.folder / DATABASE_NAME)
        changes = project.operations.accept_proposals(min_confidence=0.5)
        assert changes.count == 50 and project.queries.counts().pending == 50
        assert project.undo_name == "Accept 50 keypoints"
        project.undo()
        assert dump(project.folder / DATABASE_NAME) == before


def test_a_new_operation_forgets_what_could_be_redone_but_a_running_job_does_not(tmp_path: Path) -> None:
    with make_project(tmp_path / "p.kinmark") as project:
        category = project.queries.categories()[0]
        first, second, third, *_ = project.queries.image_ids()
        operations = project.operations
        operations.add_keypoint_proposals([keypoint_proposal(first, {"nose": 0.9})], category.id, job="sweep")
        operations.add_instance(third, category.id, box=(0, 0, 5, 5))
        project.undo()
        operations.add_keypoint_proposals([keypoint_proposal(second, {"nose": 0.9})], category.id, job="sweep")
        assert project.redo_name == "Add an instance"
        project.redo()
        assert len(project.queries.instances()) == 1
        project.undo()
        add_images(project, 1, start=500)
        assert project.redo_name is None
        project.undo()
        assert project.undo_name == "Propose keypoints"
        project.undo()
        assert project.queries.count_proposals() == 0, "all batches of a job are one step"


def test_undo_under_a_running_job_keeps_what_the_job_added(tmp_path: Path) -> None:
    """A person accepts while a sweep goes on; undo takes back the acceptance only, also if the sweep replaced the rest."""
    with make_project(tmp_path / "p.kinmark") as project:
        category = project.queries.categories()[0]
        image, other, *_ = project.queries.image_ids()
        add = project.operations.add_keypoint_proposals
        add([keypoint_proposal(image, {"nose": 0.9, "tail": 0.8})], category.id, job="old")
        [proposal] = project.queries.proposals()
        add([keypoint_proposal(other, {"nose": 0.7})], category.id, job="new")
        project.operations.accept_keypoints([proposal.keypoints[0].id])
        add([keypoint_proposal(image, {"nose": 0.6, "tail": 0.5}, seed=7)], category.id, job="new")
        changes = project.undo()
        assert changes is not None and changes.name == "Accept a keypoint"
        assert project.queries.instances() == ()
        assert project.check_integrity() == [], "no row points to the proposal that the job replaced"
        pending = project.queries.proposals(image_id=image)
        # What was accepted is pending again beside what the job said since: nothing is lost, nothing points nowhere.
        assert [(p.instance_id, len(p.keypoints)) for p in pending] == [(None, 1), (None, 1)]
        while project.undo():
            pass
        assert project.queries.count_images() == 0


def test_history_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "MAX_HISTORY_ROWS", 40)
    with make_project(tmp_path / "p.kinmark", images=30) as project:
        for start in range(100, 200, 10):
            add_images(project, 10, start=start)
        kept = project.queries.history()
        assert sum(step.rows for step in kept) <= 40 and len(kept) >= 3
        assert project.undo() is not None
        assert project.check_integrity() == []


def test_a_step_keeps_what_its_name_was_made_from_and_who_took_it(tmp_path: Path) -> None:
    with make_project(tmp_path / "p.kinmark", images=2) as project:
        ids = project.queries.image_ids()
        project.operations.tag("3 {name} & Improve it", ids)
        with project.by_itself():
            project.operations.tag("own", ids)
        project.operations.tag("x", ids)
    with Project.open(tmp_path / "p.kinmark") as project:
        last, own, first = project.upcoming_steps(limit=3)
        assert isinstance(first.name, Text) and first.name.template == "Tag {name}"
        assert first.name.values == {"name": "3 {name} & Improve it"} and first.name == "Tag 3 {name} & Improve it"
        assert [step.by_program for step in (last, own, first)] == [False, True, False]
        changes = project.undo()
        assert changes is not None and not changes.by_program and isinstance(changes.name, Text)
        changes = project.undo()
        assert changes is not None and changes.by_program
        [again] = project.upcoming_steps(forward=True)
        assert again.by_program and again.name == "Tag own"
