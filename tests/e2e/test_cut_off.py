"""Jobs that the window is closed in the middle of: offered at the next start, gone on with, nothing done twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from kinmark.projects.project import Project
from kinmark.projects.workflows.kept import KeptJob, keep, kept_jobs
from tests.support.window import Driver, leave, make_photos, make_project

pytestmark = pytest.mark.e2e


def opened(make_driver: Callable[..., Driver], folder: Path) -> Driver:
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.photo_shown()
    return driver


def offer(driver: Driver) -> Any:
    return driver.window.message_bar


def go_on(driver: Driver) -> None:
    button = offer(driver)._other
    assert button.isVisible() and button.text() == "Go on"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def left(folder: Path) -> list[str]:
    with Project.open(folder) as project:
        return [job.kind for job in kept_jobs(project)]


def test_a_sweep_goes_on_after_the_window_was_closed_in_the_middle(
    make_driver: Callable[..., Driver], toy_dir: Path, tmp_path: Path
) -> None:
    photos = make_photos(tmp_path / "photos", 15)
    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=1, backbone=str(toy_dir))
    driver = opened(make_driver, folder)
    queries = driver.space.session.queries
    driver.key(Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    driver.until(lambda: queries.counts().pending >= 6, 300)
    leave(driver.window)
    with Project.open(folder) as project:
        before = {proposal.image_id: proposal.id for proposal in project.queries.proposals()}
        [job] = kept_jobs(project)
        assert 6 <= len(before) < 14 and job.done == len(before) and project.undo_name == "Propose figure"

    driver = opened(make_driver, folder)
    assert offer(driver).text == f"Proposing figure was cut off: {len(before)} of 15 done."
    go_on(driver)
    engine, queries = driver.window.program.engine, driver.space.session.queries
    driver.until(lambda: engine.shown_job is not None and engine.shown_job.progress.snapshot().total == 15, 300)
    assert engine.shown_job.progress.snapshot().done >= len(before)
    driver.until(lambda: not engine.busy, 300)
    after = {proposal.image_id: proposal.id for proposal in queries.proposals()}
    assert len(after) == 14 and all(after[image] == id_ for image, id_ in before.items()), "nothing was done twice"
    driver.space.session.poll()
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert queries.counts().pending == 0, "both parts are one step"
    leave(driver.window)
    assert left(folder) == []
    assert offer(opened(make_driver, folder)).text == ""


def test_a_sweep_that_a_person_stops_is_not_offered(
    make_driver: Callable[..., Driver], toy_dir: Path, tmp_path: Path
) -> None:
    photos = make_photos(tmp_path / "photos", 15)
    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=1, backbone=str(toy_dir))
    driver = opened(make_driver, folder)
    driver.key(Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    driver.until(lambda: driver.space.session.queries.counts().pending > 0, 300)
    QTest.mouseClick(driver.window.job_bar.cancel, Qt.MouseButton.LeftButton)
    driver.until(lambda: not driver.window.program.engine.busy, 60)
    leave(driver.window)
    assert left(folder) == []


def test_the_offer_leaves_when_the_same_is_begun_anew(
    make_driver: Callable[..., Driver], toy_dir: Path, tmp_path: Path
) -> None:
    folder = make_project(
        tmp_path / "figures.kinmark", make_photos(tmp_path / "photos"), labelled=1, backbone=str(toy_dir)
    )
    with Project.open(folder) as project:
        ids = project.queries.image_ids()
        keep(project, KeptJob("propose", "figure", {"category": "figure"}, ids, len(ids), 1))
    driver = opened(make_driver, folder)
    assert offer(driver).text.startswith("Proposing figure was cut off: 1 of 4")
    driver.key(Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    assert offer(driver).text == ""
    driver.until(lambda: driver.space.session.queries.counts().pending == 3, 300)
    driver.until(lambda: not driver.window.program.engine.busy, 60)
    leave(driver.window)
    assert left(folder) == []


def test_a_tuning_goes_on_from_its_checkpoint(
    make_driver: Callable[..., Driver], toy_dir: Path, tmp_path: Path
) -> None:
    photos = make_photos(tmp_path / "photos", 6)
    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=4, backbone=str(toy_dir))
    driver = opened(make_driver, folder)
    driver.window.registry["engine.tune"].trigger()
    dialog = driver.window.commands.dialogs.dialog("tune")
    dialog.steps.setValue(5000)
    QTest.mouseClick(dialog.start_button, Qt.MouseButton.LeftButton)
    driver.until(lambda: len(driver.space.tuning.points) >= 4, 300)
    reached = driver.space.tuning.points[-1].step
    leave(driver.window)
    assert left(folder) == ["tune"]

    driver = opened(make_driver, folder)
    assert offer(driver).text.startswith("Tuning figure was cut off: ") and "of 5000 steps" in offer(driver).text
    go_on(driver)
    assert driver.space.tuning.wish is not None
    driver.until(lambda: driver.space.tuning.points, 300)
    assert driver.space.tuning.points[0].step >= reached, "it began from the first step again"
    driver.space.tuning.stop()
    driver.until(lambda: not driver.window.program.engine.busy, 60)
    leave(driver.window)
    assert left(folder) == []
