"""Every window by keyboard and for screen readers: names on whatever can be used, Tab reaches it, focus is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QLineEdit,
    QPlainTextEdit,
    QScrollBar,
    QWidget,
)

from tests.support.window import Driver

INTERACTIVE = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
)
PAGES = ("label", "parts", "identities", "statistics")
DIALOGS: dict[str, Callable[[Any, Any], object]] = {
    "new": lambda d, s: d.new_project(),
    "schema": lambda d, s: d.schema(s),
    "bulk": lambda d, s: d.accept_queue(s),
    "find": lambda d, s: d.find(s),
    "tune": lambda d, s: d.tune(s),
    "import": lambda d, s: d.import_labels(s),
    "export": lambda d, s: d.export(s),
    "relink": lambda d, s: d.relink(s),
    "clip": lambda d, s: d.clips.open(s),
    "settings": lambda d, s: d.settings(),
    "models": lambda d, s: d.models(),
    "keys": lambda d, s: d.keys(),
    "shortcuts": lambda d, s: d.shortcuts(),
    "legend": lambda d, s: d.legend(),
    "about": lambda d, s: d.about(),
}


def own_part_of_another(widget: QWidget) -> bool:
    """Pieces that Qt makes inside its own widgets: they speak for the widget around them."""
    parent = widget.parentWidget()
    if isinstance(widget, QScrollBar) or widget.objectName().startswith("qt_"):
        return True
    while parent is not None:
        if isinstance(parent, QComboBox | QAbstractSpinBox) or type(parent).__name__ in (
            "QKeySequenceEdit",
            "QHeaderView",
            "QTabBar",
        ):
            return True
        if isinstance(parent, QLineEdit):  # its clear and search buttons
            return True
        parent = parent.parentWidget()
    return type(widget).__name__ in ("QHeaderView", "QTableCornerButton")


def usable(root: QWidget) -> Iterator[QWidget]:
    """Interactive widgets that are shown now."""
    for widget in root.findChildren(QWidget):
        if isinstance(widget, INTERACTIVE) and widget.isVisibleTo(root) and not own_part_of_another(widget):
            yield widget


def spoken_name(widget: QWidget) -> str:
    """What a screen reader says."""
    found = QAccessible.queryAccessibleInterface(widget)
    return str(found.text(QAccessible.Text.Name)) if found is not None else ""


def describe(widget: QWidget) -> str:
    owner = widget.parentWidget()
    return f"{type(widget).__name__} {widget.objectName()!r} in {type(owner).__name__ if owner else '-'}"


def check_names(root: QWidget) -> None:
    nameless = [describe(w) for w in usable(root) if not spoken_name(w).strip()]
    assert nameless == [], "call setAccessibleName, or give the label of its row a buddy"


def check_tab(root: QWidget) -> None:
    """Tab comes to everything that can be used and back to where it began."""
    wanted = {
        w
        for w in usable(root)
        if w.isEnabled() and w.focusPolicy() & Qt.FocusPolicy.TabFocus and not isinstance(w, QScrollBar)
    }
    root.activateWindow()
    start = root.focusWidget() or root
    seen: list[QWidget] = []
    widget: QWidget = start
    for _ in range(400):
        widget = widget.nextInFocusChain()
        if widget is start:
            break
        seen.append(widget)
    lost = [describe(w) for w in wanted - set(seen) - {start}]
    assert lost == []
    mouse_only = [
        describe(w)
        for w in usable(root)
        if w.isEnabled() and not w.focusPolicy() & Qt.FocusPolicy.TabFocus and not reachable_otherwise(w)
    ]
    assert mouse_only == [], "Tab must reach it, or a key of the menu must do the same"


def reachable_otherwise(widget: QWidget) -> bool:
    """Buttons that show an action (it is in a menu and has a key), and those that say their key in the tooltip."""
    default = getattr(widget, "defaultAction", None)
    if callable(default) and default() is not None:
        return True
    return "(" in widget.toolTip() and widget.toolTip().split("(")[1][:1].isupper()


def test_start_page(make_driver: Callable[..., Driver]) -> None:
    page = make_driver().window.start_page
    check_names(page)
    check_tab(page)


def test_pages_of_a_project(proposed: Driver) -> None:
    for page in PAGES:
        proposed.window.show_page(page)
        proposed.wait(0.05)
        check_names(proposed.window)
        check_tab(proposed.window)


def check_dialog(driver: Driver, name: str) -> None:
    dialogs = driver.window.commands.dialogs
    DIALOGS[name](dialogs, driver.space)
    dialog = dialogs.dialog(name)
    assert isinstance(dialog, QDialog)
    if name == "models":
        driver.until(lambda: dialog.cards)
    check_names(dialog)
    check_tab(dialog)
    driver.until(lambda: dialog.focusWidget() is not None, 3)
    fields = [w for w in usable(dialog) if isinstance(w, QLineEdit | QComboBox) and w.isEnabled()]
    assert not fields or not isinstance(dialog.focusWidget(), QAbstractButton), "a field has the focus first"
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert dialogs.dialog(name) is None, "Escape closes it"
    assert QApplication.activeModalWidget() is None


def test_dialogs(proposed: Driver) -> None:
    failures = {}
    for name in DIALOGS:
        try:
            check_dialog(proposed, name)
        except AssertionError as error:
            failures[name] = str(error)
            proposed.window.commands.dialogs.dialog(name).close()
    assert failures == {}


def test_one_look_at_names_that_are_missing(qtbot: Any) -> None:
    """The check itself notices a button without a name."""
    from PySide6.QtWidgets import QToolButton, QVBoxLayout

    root = QWidget()
    QVBoxLayout(root).addWidget(QToolButton())
    qtbot.addWidget(root)
    root.show()
    with pytest.raises(AssertionError):
        check_names(root)
