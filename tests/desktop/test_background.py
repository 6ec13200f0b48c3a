"""What the window does by itself while the person does something else: backups, a check, the index of new photos."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinmark.desktop.services.caretaker import QUIET_FOR_S
from kinmark.desktop.services.store_thread import StoreTask
from kinmark.engine.api import PhotoVectors, VectorRequest
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.store import backup
from kinmark.projects.workflows import find as find_workflow
from tests.support.window import Driver, make_photos, make_project


def quiet(driver: Driver) -> None:
    """Nothing was changed for a while."""
    driver.space.caretaker._changed_at -= QUIET_FOR_S + 1


def backups(driver: Driver) -> list[Path]:
    return backup.backups_of(driver.space.folder)


def test_a_due_backup_is_written_beside_the_window(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    care, session = driver.space.caretaker, driver.space.session
    monkeypatch.setattr(backup, "is_due", lambda folder, interval=timedelta(): True)
    care.look()
    assert session.store.waiting == (), "the person has just been at work"
    quiet(driver)
    care.look()
    assert session.store.waiting and session.busy is None, "editing goes on beside it"
    driver.key("o")
    assert len(session.queries.nothing_here()) == 1
    driver.until(lambda: not session.store.waiting)
    assert len(backups(driver)) == 1 and care.checked
    assert backup.check(backups(driver)[0]) == []
    monkeypatch.undo()


def test_what_a_person_waits_for_stops_the_quiet_work(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    session, ended = driver.space.session, []
    monkeypatch.setattr(backup, "is_due", lambda folder, interval=timedelta(): True)

    def slow(project: Any) -> None:
        task.cancel._cancelled.wait(20)
        project.back_up_if_due(task.cancel)

    task = StoreTask("backup", slow, quiet=True, done=ended.append)
    session.store.submit(task)
    session.write_sized(10_000, "A large step", lambda do: do.tag("x", session.queries.image_ids()))
    driver.until(lambda: not session.store.waiting)
    assert session.queries.tags() == {"x": 4}
    assert ended == [] and backups(driver) == [] and list((driver.space.folder / "backups").iterdir()) == []
    monkeypatch.undo()


def test_a_damaged_file_is_told_with_the_last_good_backup(driver: Driver) -> None:
    space = driver.space
    space.session.project.back_up()
    with sqlite3.connect(space.folder / "project.sqlite") as other:
        other.execute("PRAGMA foreign_keys=OFF")
        other.execute("INSERT INTO nothing_here (image_id, category_id) VALUES (999, NULL)")
    other.close()
    quiet(driver)
    space.caretaker.look()
    driver.until(lambda: "damaged" in driver.window.message_bar.text)
    assert backups(driver)[0].name in driver.window.message_bar._hint.text()


class DescribingEngine:
    """Describes a photo by its number."""

    def __init__(self) -> None:
        self.described: list[str] = []

    def photo_vectors(
        self, request: VectorRequest, *, progress: Any = None, cancel: Any = None
    ) -> Iterator[PhotoVectors]:
        for target in request.targets:
            if cancel is not None:
                cancel.check()
            self.described.append(target.image.image_id)
            vectors = np.eye(8, dtype=np.float32)[[int(target.image.image_id) % 8]]
            yield PhotoVectors(request.request_id, target.image.image_id, vectors, RunSpec("describe", "toy"))

    def info(self) -> Any:
        raise RuntimeError("not asked")

    def close(self) -> None:
        pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> DescribingEngine:
    from kinmark.desktop.program import Program

    engine = DescribingEngine()
    monkeypatch.setattr(Program, "_make_engine", lambda self: engine)
    return engine


def test_new_photos_are_described_while_nothing_else_runs(
    make_driver: Callable[..., Driver],
    tmp_path: Path,
    photos: Path,
    engine: DescribingEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = make_driver()
    assert driver.window.open_project(make_project(tmp_path / "p.kinmark", photos, labelled=1))
    driver.photo_shown()
    space, service = driver.space, driver.window.program.engine
    space.indexer.look()
    assert not service.busy, "a small collection is searched without an index"
    monkeypatch.setattr(find_workflow, "SHORTLIST_FROM", 3)
    space.indexer.look()
    assert not service.busy, "nobody searches individuals here"
    space.session.write(lambda do: do.add_identity("Pip", space.labelling.category.id))
    driver.window.commands.project.add_images([make_photos(tmp_path / "more", 6)])
    driver.until(lambda: len(space.session.queries.image_ids()) > 4 and not service.busy)
    assert space.indexer._timer.isActive()
    space.indexer.look()
    assert service.shown_job is not None and service.shown_job.group == "index"
    driver.until(lambda: not service.busy)
    count = len(space.session.queries.image_ids())
    assert len(set(engine.described)) == count
    assert (space.folder / "index").is_dir()
    before = len(engine.described)
    space.indexer.look()
    driver.until(lambda: not service.busy)
    assert len(engine.described) <= before + 1, "only what is new (and the one photo that tells the model's print)"
    driver.window.program.settings.change(index_ahead=False)
    space.indexer.look()
    assert not service.busy
