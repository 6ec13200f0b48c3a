"""Small corrections of Qt's fields that a style sheet cannot make."""

from __future__ import annotations

from PySide6.QtWidgets import QAbstractSpinBox, QLineEdit

INDENT_PX = 5


def indented(box: QAbstractSpinBox) -> QAbstractSpinBox:
    """Let the number of a spin box begin where the text of other fields does (its style sheet padding is not used)."""
    field = box.findChild(QLineEdit)
    if field is not None:
        field.setTextMargins(INDENT_PX, 0, 0, 0)
    return box
