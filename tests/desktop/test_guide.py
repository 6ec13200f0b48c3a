"""The start page names the two jobs; each is shown on the sample project, one step after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from kinmark.desktop.widgets.job_card import FIND, KEYPOINTS
from kinmark.projects.project import Project
from tests.support.window import Driver


@pytest.fixture
def start(make_driver: Callable[..., Driver]) -> Driver:
    driver = make_driver()
    assert driver.window.page_name == "start"
    return driver


def choose(driver: Driver, job: str, by_key: bool = False) -> None:
    card = next(c for c in driver.window.start_page.jobs if c.job == job)
    if by_key:
        card.setFocus()
        driver.key(Qt.Key.Key_Return, widget=card)
    else:
        QTest.mouseClick(card, Qt.MouseButton.LeftButton)
    driver.until(lambda: driver.window.workspace is not None, 120)
    driver.photo_shown()


def text(driver: Driver) -> str:
    return driver.window.guide_bar.text.text() if driver.window.guide_bar.isVisible() else ""


def test_the_start_page_names_the_two_jobs_and_what_to_do_first(start: Driver) -> None:
    assert [c.job for c in start.window.start_page.jobs] == [KEYPOINTS, FIND]
    assert "Ctrl+N" in start.window.job_bar.step.whole_text
    assert start.window.registry["project.new"].shortcut().toString() == "Ctrl+N"
    for card in start.window.start_page.jobs:
        image = card.grab().toImage()
        colours = {image.pixelColor(x, y).name() for x in range(12, image.width() - 12, 2) for y in range(14, 104, 2)}
        assert len(colours) > 12, "a picture, not an empty frame"


def test_the_keypoint_tour_follows_what_is_done(start: Driver) -> None:
    choose(start, KEYPOINTS)
    space = start.space
    space.program.settings.change(live_improve=False)
    assert text(start).startswith("This one was labelled by hand. Press Ctrl+P")
    with Project.open(space.folder) as project:  # what Ctrl+P brings, without the model
        from tests.visual import made_up

        made_up.propose_keypoints(project)
    start.until(lambda: text(start).startswith("Press N"))
    start.key(Qt.Key.Key_N)
    start.until(lambda: text(start).startswith("Enter accepts"))
    start.key(Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    start.until(lambda: "Ctrl+E exports" in text(start))
    assert start.window.guide_bar.count.text() == "4 of 4" and start.window.guide_bar.leave.text() == "Done"
    QTest.mouseClick(start.window.guide_bar.leave, Qt.MouseButton.LeftButton)
    assert text(start) == ""


def test_the_find_tour_begins_by_keyboard_and_can_be_left(start: Driver) -> None:
    choose(start, FIND, by_key=True)
    start.until(lambda: text(start).startswith("Press Ctrl+Shift+F"))  # the labelled one has a box and is selected
    start.key(Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert start.window.commands.dialogs.dialog("find") is not None
    start.window.commands.dialogs.dialog("find").close()
    start.window.close_project()
    assert not start.window.guide_bar.isVisible(), "the tour ends with its project"


def test_without_a_tour_nothing_is_in_the_way(driver: Driver) -> None:
    assert not driver.window.guide_bar.isVisible()
