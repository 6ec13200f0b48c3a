"""A screen of 1366 x 768 at 200 % has 683 x 384 units: every window keeps its buttons in sight there."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QRect
from PySide6.QtWidgets import QPushButton

from kinmark.desktop.widgets.scrolled import fit_to_screen
from tests.desktop.test_accessible import DIALOGS
from tests.support.window import Driver

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
