"""How a window that asks for something is laid out: its fields, what they lead to, and the buttons with what is to be said."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QHBoxLayout, QLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from kinmark.desktop.widgets.scrolled import Scrolled


def lay_out(window: QWidget, fields: QLayout, foot: QLayout, *middle: QWidget) -> None:
    """`fields` on top (they scroll on a small screen), `middle` below it, the last of it as high as there is room, then `foot`."""
    layout = QVBoxLayout(window)
    layout.setContentsMargins(20, 18, 20, 16)
    layout.setSpacing(10)
    layout.addWidget(Scrolled(fields), 0 if middle else 1)
    for widget in middle:
        layout.addWidget(widget, 1 if widget is middle[-1] else 0)
    layout.addLayout(foot)


def foot_of(note: QWidget, *buttons: QWidget, before: QWidget | None = None) -> QHBoxLayout:
    """The row at the foot: `before`, the note in the room that is left, then the buttons."""
    row = QHBoxLayout()
    if before is not None:
        row.addWidget(before)
    row.addWidget(note, 1)
    for button in buttons:
        row.addWidget(button)
    return row


def with_button(field: QLineEdit, text: str, choose: Callable[[], object]) -> QHBoxLayout:
    """A field for a place on the disk, and the button that chooses it; Enter in the field is not meant for the button."""
    row = QHBoxLayout()
    row.addWidget(field, 1)
    button = QPushButton(text)
    button.setAutoDefault(False)
    button.clicked.connect(lambda _: choose())
    row.addWidget(button)
    return row
