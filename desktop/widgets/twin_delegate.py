"""A keypoint in the schema editor's list: its name, and the name of its other side."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QPainter, QPalette
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

TWIN = int(Qt.ItemDataRole.UserRole) + 1
"""Item data: the name of the other side, or ""."""
ARROWS = "\u21c4 "


class TwinDelegate(QStyledItemDelegate):
    """GUI thread. The name stays editable: the twin is drawn beside it, not part of the text."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        super().paint(painter, option, index)
        twin = index.data(TWIN)
        if not twin:
            return
        rect: QRect = option.rect  # type: ignore[attr-defined]
        metrics = option.fontMetrics  # type: ignore[attr-defined]
        name_width = 34 + metrics.horizontalAdvance(str(index.data(Qt.ItemDataRole.DisplayRole)))
        room = rect.adjusted(name_width + 10, 0, -8, 0)
        if room.width() < 40:
            return
        selected = bool(option.state & option.state.State_Selected)  # type: ignore[attr-defined]
        palette: QPalette = option.palette  # type: ignore[attr-defined]
        role = QPalette.ColorRole.HighlightedText if selected else QPalette.ColorRole.PlaceholderText
        painter.save()
        painter.setPen(palette.color(role))
        text = metrics.elidedText(ARROWS + twin, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, text)
        painter.restore()
