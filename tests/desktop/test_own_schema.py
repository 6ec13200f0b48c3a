"""A project with keypoints of its own: from "Your own" to the first placed keypoint, by keys and clicks alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from tests.support.window import Driver, figure_points


def new_project(driver: Driver, photos: Path) -> Any:
    """Makes a project with "Your own" keypoints; the schema editor that opens by itself."""
    driver.window.start_page.new.click()
    dialog = driver.window.commands.dialogs.dialog("new")
    dialog.photos.setText(str(photos))
    dialog.choose_template("custom")
    QTest.mouseClick(dialog.create_button, Qt.MouseButton.LeftButton)
    driver.until(lambda: driver.window.workspace is not None and len(driver.space.images.model.ids) == 4)
    return driver.window.commands.dialogs.dialog("schema")


@pytest.fixture
def started(make_driver: Callable[..., Driver], photos: Path) -> tuple[Driver, Any]:
    driver = make_driver()
    return driver, new_project(driver, photos)


def test_the_schema_editor_opens_by_itself_and_the_first_click_places(started: tuple[Driver, Any]) -> None:
    driver, dialog = started
    assert dialog is not None and dialog.isVisible()
    driver.until(lambda: dialog.focusWidget() is dialog.new_name)
    for name in ("nose", "tail"):
        for letter in name:
            driver.key(letter, widget=dialog.focusWidget())
        driver.key(Qt.Key.Key_Return, widget=dialog.focusWidget())
    QTest.mouseClick(dialog.save, Qt.MouseButton.LeftButton)
    dialog.reject()
    driver.photo_shown()
    driver.key(Qt.Key.Key_K)
    assert driver.window.job_bar.step.whole_text.startswith("Click nose")
    driver.click(60, 60)
    driver.click(90, 60)
    [instance] = driver.space.session.queries.instances()
    assert len(instance.keypoints) == 2


def test_keypoints_added_with_the_tool_in_hand_are_placed_by_the_next_click(started: tuple[Driver, Any]) -> None:
    driver, dialog = started
    dialog.reject()
    driver.photo_shown()
    at = driver.space.labelling
    assert "Ctrl+K" in at.next_step() and "All placed" not in at.next_step()
    driver.key(Qt.Key.Key_K)
    dialog = driver.window.commands.dialogs.dialog("schema")
    assert dialog is not None, "K without keypoints opens the place where they are named"
    assert "All placed" not in at.next_step() and "Ctrl+K" in at.next_step()
    for letter in "nose":
        driver.key(letter, widget=dialog.new_name)
    driver.key(Qt.Key.Key_Return, widget=dialog.new_name)
    dialog.save.click()
    dialog.reject()
    x, y = figure_points(0, at.image.size_wh)[0]
    driver.click(float(x), float(y))
    [instance] = driver.space.session.queries.instances()
    assert [d.name for d in at.category.definitions] == ["nose"] and len(instance.keypoints) == 1
