"""Small corrections of Qt's fields that a style sheet cannot make."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractSpinBox, QComboBox, QLineEdit, QStyle, QStyleOptionComboBox

INDENT_PX = 5
WIDEST_LIST_PX = 520


class Choice(QComboBox):
    """GUI thread. A combo box whose list is as wide as its texts, also where the box itself is narrow and ends its text with dots."""

    def initStyleOption(self, option: QStyleOptionComboBox) -> None:
        super().initStyleOption(option)
        kind, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(kind, option, part, self).width() - INDENT_PX
        option.currentText = self.fontMetrics().elidedText(option.currentText, Qt.TextElideMode.ElideRight, room)

    def showPopup(self) -> None:
        view = self.view()
        bar = view.verticalScrollBar().sizeHint().width() if self.count() > self.maxVisibleItems() else 0
        view.setMinimumWidth(min(view.sizeHintForColumn(0) + bar + 4 * INDENT_PX, WIDEST_LIST_PX))
        super().showPopup()


def indented(box: QAbstractSpinBox) -> QAbstractSpinBox:
    """Let the number of a spin box begin where the text of other fields does (its style sheet padding is not used)."""
    field = box.findChild(QLineEdit)
    if field is not None:
        field.setTextMargins(INDENT_PX, 0, 0, 0)
    return box
