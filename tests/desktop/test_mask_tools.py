"""Masks by hand: brush, eraser and polygon add to what is there and take away from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest

from tests.support.window import Driver

CONTROL = Qt.KeyboardModifier.ControlModifier


def mask_of(driver: Driver) -> Any:
    [instance] = driver.space.session.queries.instances(image_id=driver.space.labelling.image.id)
    return instance.mask.rle.decode()


def polygon(driver: Driver, *points: tuple[float, float], last: Qt.KeyboardModifier | None = None) -> None:
    for x, y in points:
        driver.click(x, y)
    driver.key(Qt.Key.Key_Return, last or Qt.KeyboardModifier.NoModifier)


def painted(driver: Driver) -> Any:
    driver.key(Qt.Key.Key_B)
    driver.drag((40, 60), (60, 60))
    driver.key(Qt.Key.Key_V)
    return mask_of(driver)


def test_a_polygon_adds_to_the_mask(driver: Driver) -> None:
    before = painted(driver)
    driver.key(Qt.Key.Key_P)
    polygon(driver, (150, 20), (220, 20), (220, 90))
    after = mask_of(driver)
    assert (after & before).sum() == before.sum() and after[30, 200] and not after[85, 160]
    polygon(driver, (20, 120), (60, 120), (60, 160))
    assert (mask_of(driver) & after).sum() == after.sum() and mask_of(driver)[125, 55]
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert (mask_of(driver) == after).all(), "each polygon is a step of its own"


def test_ctrl_or_the_mode_takes_away(driver: Driver) -> None:
    driver.key(Qt.Key.Key_P)
    polygon(driver, (20, 20), (200, 20), (200, 160), (20, 160))
    whole = mask_of(driver)
    polygon(driver, (40, 40), (80, 40), (80, 80), (40, 80), last=CONTROL)
    first = mask_of(driver)
    assert not first[60, 60] and first[60, 100] and first.sum() < whole.sum()
    driver.click(100, 100, modifiers=CONTROL)  # the first click says it
    polygon(driver, (140, 100), (140, 140), (100, 140))
    second = mask_of(driver)
    assert not second[120, 120] and second[120, 60]
    box = driver.space.target.mask_bar.take_away
    assert box.isVisible()
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    polygon(driver, (150, 30), (190, 30), (190, 60), (150, 60))
    assert not mask_of(driver)[45, 170]


def test_the_opened_outline_is_edited_and_a_click_elsewhere_adds(driver: Driver) -> None:
    driver.key(Qt.Key.Key_P)
    polygon(driver, (20, 20), (80, 20), (80, 80), (20, 80))
    first = mask_of(driver)
    driver.key(Qt.Key.Key_V)
    driver.key(Qt.Key.Key_P)
    assert len(driver.space.target.tools["polygon"].points) == 4
    driver.key(Qt.Key.Key_Return)
    assert (mask_of(driver) == first).all(), "an outline that was not touched changes nothing"
    driver.key(Qt.Key.Key_V)
    driver.key(Qt.Key.Key_P)
    driver.drag((80, 80), (120, 120))
    polygon(driver, (150, 20), (200, 20), (200, 60))
    after = mask_of(driver)
    assert after[100, 100] and after[30, 190] and not first[100, 100]
    assert len(driver.space.session.queries.instances()) == 1


def test_the_brush_has_a_size_control_and_the_status_line_says_how(driver: Driver) -> None:
    bar, tool = driver.space.target.mask_bar, driver.space.target.tools["brush"]
    assert not bar.isVisible()
    driver.key(Qt.Key.Key_B)
    assert bar.slider.isVisible() and not bar.take_away.isVisible()
    before = tool.radius_px
    driver.key(Qt.Key.Key_BracketRight)
    assert tool.radius_px > before and bar.text.text() == f"{round(2 * tool.radius_px)} px"
    bar.slider.setFocus()
    before = tool.radius_px
    driver.key(Qt.Key.Key_Right, widget=bar.slider)
    assert tool.radius_px == driver.space.target.tools["eraser"].radius_px > before
    step = driver.window.job_bar.step.whole_text
    assert "Drag to paint" in step and "[ and ]" in step
    driver.canvas.setFocus()
    driver.key(Qt.Key.Key_P)
    assert "Ctrl+Enter takes it away" in driver.window.job_bar.step.whole_text
    driver.key(Qt.Key.Key_V)
    assert not bar.isVisible() and "Drag to paint" not in driver.window.job_bar.step.whole_text


def test_after_a_box_the_status_line_names_find(driver: Driver) -> None:
    driver.key(Qt.Key.Key_R)
    assert driver.window.job_bar.step.whole_text.startswith("Drag a box around figure")
    driver.drag((30, 40), (120, 130))
    assert driver.space.labelling.image.state == "partly", "a bare box is not done: its keypoints are missing"
    assert driver.window.job_bar.step.whole_text.startswith("Ctrl+Shift+F finds this figure")
    assert driver.window.registry["engine.find"].shortcut().toString() == "Ctrl+Shift+F"
    assert driver.window.registry["tool.segment"].shortcut().toString() == "Ctrl+M"
    assert np.isfinite(driver.space.labelling.selected.box).all()


def last_inked(image: QImage) -> int:
    """The last column that anything is drawn in."""
    ground = image.pixel(0, 0)
    return max(x for x in range(image.width()) for y in range(image.height()) if image.pixel(x, y) != ground)


@pytest.mark.parametrize("words", ["take away", "wegnehmen"])
def test_the_words_of_the_switch_are_whole_in_a_narrow_window(driver: Driver, words: str) -> None:
    driver.window.resize(800, 650)  # as narrow as German panels leave it at 900
    box = driver.space.target.mask_bar.take_away
    box.setText(words)
    driver.key(Qt.Key.Key_P)
    driver.space.target.zoom.setText("eingepasst  112 %")
    assert driver.space.target.tags.minimumSizeHint().width() == 0, "what says nothing takes no room from the others"
    driver.wait(0.1)
    shown = box.grab().toImage()
    box.resize(box.width() + 60, box.height())
    roomy = box.grab().toImage()
    assert last_inked(shown) == last_inked(roomy) < shown.width() - 1
