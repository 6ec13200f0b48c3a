"""A message lies over the page: one click takes it away, and it never covers the line with the page's keys."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtTest import QTest

from kinmark.desktop.engine_thread.jobs import Job
from kinmark.desktop.engine_thread.service import JobState
from kinmark.engine.domain.progress import ProgressSnapshot
from tests.support.window import Driver

BOTH = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


def test_a_click_takes_it_away_and_the_next_one_places(driver: Driver) -> None:
    window, bar = driver.window, driver.window.message_bar
    driver.key(Qt.Key.Key_K)
    for _ in range(3):
        driver.key(Qt.Key.Key_Plus, Qt.KeyboardModifier.ControlModifier)  # the photo fills the canvas
    window.program.messages.info("4 photos added.")
    spot = bar.mapTo(window, QPoint(bar.width() // 2, bar.height() // 2))
    below = driver.canvas.viewport().mapFrom(window, spot)
    under = window.childAt(spot)
    assert under is not None and bar.isAncestorOf(under), "the message is on top"
    QTest.mouseClick(under, Qt.MouseButton.LeftButton)
    assert not bar.isVisible() and driver.space.session.queries.instances() == ()
    x, y = driver.canvas.to_image(below.toPointF())
    w, h = driver.space.labelling.image.size_wh
    if not (0 <= x <= w and 0 <= y <= h):
        pytest.fail(f"the message lies beside the photo: {(x, y)}")
    QTest.mouseClick(driver.canvas.viewport(), Qt.MouseButton.LeftButton, pos=below)
    assert len(driver.space.session.queries.instances()) == 1


@pytest.mark.parametrize("page", ["parts", "identities"])
def test_the_keys_of_a_page_are_not_covered(proposed: Driver, page: str) -> None:
    window, bar = proposed.window, proposed.window.message_bar
    space = proposed.space
    instance = space.session.queries.instances()[0]
    space.session.write(
        lambda do: do.assign_identity([instance.id], do.add_identity("Pip", instance.category_id).ids[0])
    )
    window.program.messages.info("41 keypoints accepted.", "Ctrl+Z takes all of them back.")
    window.show_page(page)
    proposed.wait(0.1)
    hint = window.page(page).inner.hint
    line = QRect(hint.mapTo(window, QPoint(0, 0)), hint.size())
    assert hint.isVisible() and hint.text() and not line.intersects(QRect(bar.mapTo(window, QPoint(0, 0)), bar.size()))


def test_what_was_said_about_a_step_ends_when_it_is_taken_back(proposed: Driver) -> None:
    window = proposed.window
    proposed.key(Qt.Key.Key_Return, BOTH)
    proposed.key(Qt.Key.Key_Return, widget=window.commands.dialogs.dialog("bulk"))
    proposed.until(lambda: "accepted" in window.message_bar.text)
    proposed.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.message_bar.text == "" and window.job_bar.step.whole_text.startswith("Undone: Accept")


@pytest.mark.parametrize("width", [800, 900, 1360])
def test_a_running_job_leaves_room_for_the_next_key(proposed: Driver, width: int) -> None:
    window, bar = proposed.window, proposed.window.job_bar
    window.resize(width, 650)
    proposed.key(Qt.Key.Key_N)
    job = Job.make("Proposing the category with a long name", lambda _: None)
    bar.show_job(JobState(job, ProgressSnapshot("", 412, 1204, 87.0), 2))
    proposed.wait(0.1)
    step = bar.step
    assert step.whole_text.startswith("Enter accepts nose and goes to left_ear, Ctrl+Enter all 5")
    shown = step.text().rstrip("…")
    assert step.whole_text.startswith(shown) and "Ctrl+Enter all 5" in shown, shown
    assert bar.pause.isVisible() and bar.cancel.isVisible() and bar.bar.isVisible()
    bar.show_job(None)
    assert bar.saved.isVisible()
