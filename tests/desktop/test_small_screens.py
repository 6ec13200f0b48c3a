"""A screen of 1366 x 768 at 200 % has 683 x 384 units: every window keeps its buttons in sight there."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QStyleOptionComboBox, QToolButton

from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.job_card import FIND
from kinmark.desktop.widgets.plot import Plot, Series
from kinmark.desktop.widgets.scrolled import fit_to_screen
from tests.desktop.test_accessible import DIALOGS
from tests.support.window import Driver, make_project

ROOM = QRect(0, 0, 683, 384)


@pytest.mark.parametrize("name", sorted(DIALOGS))
def test_the_buttons_of_every_dialog_are_on_the_screen(proposed: Driver, name: str) -> None:
    DIALOGS[name](proposed.window.commands.dialogs, proposed.space)
    dialog = proposed.window.commands.dialogs.dialog(name)
    proposed.wait(0.05)
    fit_to_screen(dialog, ROOM)
    proposed.wait(0.1)
    assert ROOM.adjusted(0, 0, 4, 4).contains(dialog.geometry()), (dialog.geometry(), dialog.minimumSizeHint())
    last = [b for b in dialog.findChildren(QPushButton) if b.isVisible() and b.parentWidget() is dialog]
    for button in last:
        assert dialog.rect().contains(QRect(button.pos(), button.size())), (name, button.text(), button.geometry())
    assert last or name in ("shortcuts", "settings", "relink", "models", "keys"), "a dialog ends with its buttons"


@pytest.mark.parametrize("width", [900, 1000, 1360])
def test_undo_and_redo_stay_in_the_tool_bar(driver: Driver, width: int) -> None:
    driver.window.resize(width, 650)
    driver.wait(0.1)
    bar = driver.window.tool_bar
    for name in ("edit.undo", "edit.redo", "tool.select", "tool.keypoint", "page.label"):
        widget = bar.widgetForAction(driver.window.registry[name])
        assert widget.isVisible() and widget.width() >= 20, name
        assert bar.rect().contains(widget.geometry()), name
    assert driver.window.search.width() >= 110


def test_another_projects_name_does_not_push_the_search_field_out(driver: Driver, tmp_path: Path, photos: Path) -> None:
    """The bar decides again which words it has room for when a name changes, not only when the window does."""
    window = driver.window
    bar = window.tool_bar
    widths = bar._needed()
    window.resize(sum(widths[:2]) + 8, 700)
    driver.wait(0.1)
    assert bar.shrinking[0].toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonTextBesideIcon
    folder = make_project(tmp_path / "Brown bears of the river, summer and autumn.kinmark", photos)
    assert window.open_project(folder)
    driver.photo_shown()
    driver.wait(0.1)
    more = bar.findChild(QToolButton, "qt_toolbar_ext_button")
    assert bar._needed()[0] > widths[0] + 40 and not more.isVisible()
    assert window.search.isVisible() and bar.rect().contains(window.search.geometry())


@pytest.mark.parametrize(("width", "words"), [(900, False), (1360, True)])
def test_the_tour_keeps_its_sentence_short_in_height(driver: Driver, width: int, words: bool) -> None:
    driver.window.resize(width, 650)
    driver.window.guide.start(FIND)
    driver.wait(0.2)
    guide = driver.window.guide_bar
    assert guide.isVisible() and bool(guide.leave.text()) is words and guide.leave.accessibleName() == "Leave the tour"
    assert guide.text.height() <= 5 * guide.text.fontMetrics().height(), "a column of single words"
    QTest.mouseClick(guide.leave, Qt.MouseButton.LeftButton)
    assert not guide.isVisible()


def test_a_title_of_a_figure_that_is_too_long_goes_on_in_a_second_line(qapp: QApplication) -> None:
    plot = Plot("Right at first sight, by number of labels")
    plot.show_series([Series("a", ((0.0, 1.0), (1.0, 2.0)), QColor("#000000"))])
    line = plot.fontMetrics().height()
    second = {}
    for width in (500, 180):
        plot.resize(width, 200)
        picture = plot.grab().toImage()
        background = picture.pixel(0, 199)
        second[width] = any(
            picture.pixel(x, y) != background for x in range(60, width) for y in range(line + 5, 2 * line - 2)
        )
        assert all(picture.pixel(width - 1, y) == background for y in range(2, 2 * line)), "a word is cut at the edge"
    assert second == {500: False, 180: True}


def test_a_choice_that_is_too_narrow_ends_with_dots(qapp: QApplication) -> None:
    box = Choice()
    box.addItem("any tag, identity, keypoint")
    shown = {}
    for width in (400, 120):
        box.resize(width, 30)
        option = QStyleOptionComboBox()
        box.initStyleOption(option)
        shown[width] = option.currentText
    assert shown[400] == "any tag, identity, keypoint" and shown[120].endswith("\u2026") and len(shown[120]) > 5
