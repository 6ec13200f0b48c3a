"""Steps over many rows: the window goes on, one undo takes them back, closing keeps them."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from kinmark.desktop.services import project_session
from kinmark.desktop.services.store_thread import StoreTask, wait_for_stores
from kinmark.projects.project import Project
from tests.support.window import Driver, make_project

Make = Callable[..., Driver]


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_session, "LARGE_STEP", 2)


class Gate:
    """Keeps the store thread inside a task until it is opened."""

    def __init__(self, driver: Driver) -> None:
        self.opened = threading.Event()
        self.inside = threading.Event()
        self.driver = driver

        def hold(_project: Any) -> None:
            self.inside.set()
            self.opened.wait(20)

        driver.space.session.store.submit(StoreTask("before", hold, quiet=True))

    def open(self) -> None:
        self.opened.set()


def accept_all(driver: Driver) -> None:
    driver.key(Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    dialog = driver.window.commands.dialogs.dialog("bulk")
    assert dialog.preview.count == 8
    QTest.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)


def test_accepting_the_queue_runs_beside_the_window(proposed: Driver) -> None:
    driver, space = proposed, proposed.space
    gate = Gate(driver)
    accept_all(driver)
    bar = driver.window.job_bar
    assert bar.job.isVisible() and "8" in bar.job.whole_text and bar.bar.isVisible() and bar.cancel.isVisible()
    # Looking goes on, changing waits and says so.
    shown = space.labelling.image.id
    driver.key(Qt.Key.Key_D)
    assert space.labelling.image.id != shown
    driver.key(Qt.Key.Key_O)
    assert space.session.queries.nothing_here() == ()
    assert "still being written" in driver.window.message_bar.text
    assert space.session.queries.counts().keypoints == 5
    gate.open()
    driver.until(lambda: space.session.busy is None)
    assert space.session.queries.counts().keypoints == 13
    assert not bar.job.isVisible()
    assert "8" in driver.window.message_bar.text
    # What is shown is what is stored, and one undo takes everything back (beside the window too).
    assert all(s.keypoint(0) is not None for s in space.labelling.shown)
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert space.session.busy is not None
    driver.until(lambda: space.session.busy is None)
    assert space.session.queries.counts().keypoints == 5
    assert all(s.keypoint(0) is None for s in space.labelling.shown)
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    driver.until(lambda: space.session.busy is None)
    assert space.session.queries.counts().keypoints == 13


def test_cancel_leaves_everything_as_it_was(proposed: Driver) -> None:
    space = proposed.space
    gate = Gate(proposed)
    accept_all(proposed)
    QTest.mouseClick(proposed.window.job_bar.cancel, Qt.MouseButton.LeftButton)
    gate.open()
    proposed.until(lambda: space.session.busy is None)
    assert space.session.queries.counts().keypoints == 5
    assert not proposed.window.job_bar.job.isVisible()
    proposed.key(Qt.Key.Key_O)  # changing goes on
    assert "still being written" not in proposed.window.message_bar.text


def test_closing_the_window_keeps_what_was_asked_for(proposed: Driver) -> None:
    folder = proposed.space.folder
    gate = Gate(proposed)
    accept_all(proposed)
    assert gate.inside.wait(20)
    proposed.window.close()
    assert not proposed.window.isVisible()
    gate.open()
    assert wait_for_stores(120)
    with Project.open(folder) as project:
        assert project.queries.counts().keypoints == 13
        assert project.undo_name == "Accept 8 keypoints"


def test_a_project_can_be_opened_again_while_its_last_step_is_written(proposed: Driver) -> None:
    window, folder = proposed.window, proposed.space.folder
    gate = Gate(proposed)
    accept_all(proposed)
    window.close_project()
    assert window.open_project(folder)
    proposed.photo_shown()
    assert proposed.space.session.queries.counts().keypoints == 5
    gate.open()
    proposed.until(lambda: proposed.space.session.queries.counts().keypoints == 13)
    assert wait_for_stores(120)


def test_a_failing_step_is_told_and_changes_nothing(proposed: Driver) -> None:
    session = proposed.space.session

    def wrong(do: Any) -> Any:
        do.tag("x", session.queries.image_ids())
        raise ZeroDivisionError("made up")

    told: list[str] = []
    proposed.window.program.messages.crashed.disconnect()
    proposed.window.program.messages.crashed.connect(lambda _report, text: told.append(text))
    session.write_sized(1000, "A wrong step", lambda do: _grouped(session, do, wrong))
    proposed.until(lambda: session.busy is None)
    proposed.until(lambda: told)
    assert "A wrong step" in told[0]
    assert session.queries.tags() == {}


def _grouped(_session: Any, do: Any, wrong: Callable[[Any], Any]) -> Any:
    with do._runner.operation("Wrong"):
        return wrong(do)


def test_the_window_does_not_stand_still_behind_another_writer(driver: Driver) -> None:
    session = driver.space.session
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with Project.open(session.folder) as other, other.group("Import"):
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert inside.wait(20)
        driver.key(Qt.Key.Key_O)
        assert "another step is being written" in driver.window.message_bar.text
    finally:
        leave.set()
        thread.join()
    driver.key(Qt.Key.Key_O)
    assert len(session.queries.nothing_here()) == 1


def test_a_due_backup_is_written_behind_the_closing_window(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = driver.space.folder
    threads: list[str] = []
    made = Project._back_up_at_closing

    def noted(self: Project) -> None:
        threads.append(threading.current_thread().name)
        made(self)

    monkeypatch.setattr(Project, "backup_is_due", property(lambda self: not self._closed))
    monkeypatch.setattr(Project, "_back_up_at_closing", noted)
    driver.window.close_project()
    assert wait_for_stores(120)
    assert "kinmark-store" in threads and "MainThread" not in threads
    assert list((folder / "backups").glob("project-*.sqlite"))
    monkeypatch.undo()
    with Project.open(folder) as project:
        assert len(project.queries.image_ids()) == 4


def test_the_thread_ends_without_work_and_starts_again(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinmark.desktop.services import store_thread

    monkeypatch.setattr(store_thread, "IDLE_S", 0.05)
    session = driver.space.session
    ids = session.queries.image_ids()
    for name in ("x", "y"):
        session.write_sized(100, "Tag", lambda do, tag=name: do.tag(tag, ids))
        driver.until(lambda: session.busy is None)
        driver.until(lambda: not session.store.alive)
    assert session.queries.tags() == {"x": 4, "y": 4}


def test_a_large_file_is_checked_after_a_crash_while_the_window_lives(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinmark.projects import opening

    monkeypatch.setattr(opening, "ALWAYS_CHECKED", 0)
    folder = make_project(tmp_path / "figures.kinmark", photos)
    crashed, again = tmp_path / "crashed.kinmark", tmp_path / "again.kinmark"
    other = make_project(tmp_path / "other.kinmark", photos)
    with Project.open(folder):
        shutil.copytree(folder, crashed)
        shutil.copytree(folder, again)
    held, threads = threading.Event(), []
    real = Project.check_file

    def check(path: Path) -> None:
        threads.append(threading.current_thread())
        held.wait(20)
        real(path)

    monkeypatch.setattr(Project, "check_file", staticmethod(check))
    driver = make_driver()
    assert not driver.window.open_project(crashed)
    driver.until(lambda: threads)
    assert "crashed was not closed properly" in driver.window.message_bar.text and driver.window.workspace is None
    assert threads[0] is not threading.main_thread()
    held.set()
    driver.until(lambda: driver.window.workspace is not None)
    assert driver.space.folder == crashed and driver.window.message_bar.text == ""
    driver.window.close_project()

    held.clear()
    assert not driver.window.open_project(again)
    assert driver.window.open_project(other)
    held.set()
    driver.wait(0.3)
    assert driver.space.folder == other, "the person went on with another one"


def test_what_the_imports_made_is_set_aside(driver: Driver) -> None:
    from kinmark.desktop import settled

    settled._modules = 0
    assert settled.settle() and gc.get_freeze_count() > 10_000
    assert not settled.settle(), "nothing was imported since"
