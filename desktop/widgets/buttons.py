"""Small buttons with an icon, and the question whether somebody is sure."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QMessageBox, QToolButton, QWidget

from kinmark.desktop.theme.icons import icon

ICON_PX = 18


def tool_button(name: str, tip: str, work: Callable[[], object]) -> QToolButton:
    """A button that shows an icon and says `tip` to mouse and screen reader."""
    button = QToolButton()
    button.setIcon(icon(name))
    button.setIconSize(QSize(ICON_PX, ICON_PX))
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.clicked.connect(lambda _=False: work())
    return button


def is_sure(parent: QWidget, title: str, text: str) -> bool:
    """Ask; the text is shown as it is, whatever names are in it."""
    box = QMessageBox(parent)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setWindowTitle(title)
    box.setText(text)
    box.setStandardButtons(QMessageBox.StandardButton.Cancel | QMessageBox.StandardButton.Yes)
    return box.exec() == QMessageBox.StandardButton.Yes
