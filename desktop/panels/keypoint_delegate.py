"""Draws one keypoint line: mark, side stripe, name, confidence, state."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPalette, QPen
from PySide6.QtWidgets import QListView, QStyledItemDelegate, QStyleOptionViewItem

from kinmark.desktop.canvas.marks import draw_list_mark
from kinmark.desktop.panels.keypoint_model import LINE_ROLE, KeypointLine, KeypointModel

NARROW_PX = 230
"""Below this width the state is told by its mark alone."""


class KeypointDelegate(QStyledItemDelegate):
    """GUI thread; owned by the instance panel."""

    def __init__(self, view: QListView) -> None:
        super().__init__(view)
        self._view = view

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(80, self._view.fontMetrics().height() + 8)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        line = index.data(LINE_ROLE)
        model = self._view.model()
        if not isinstance(line, KeypointLine) or not isinstance(model, KeypointModel):
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(option.rect)  # type: ignore[attr-defined]
        palette = self._view.palette()
        if line.focused:
            wash = QColor(palette.color(QPalette.ColorRole.Highlight))
            wash.setAlpha(48)
            painter.fillRect(rect, wash)
            painter.fillRect(
                QRectF(rect.left(), rect.top(), 3, rect.height()), palette.color(QPalette.ColorRole.Highlight)
            )
        text = palette.color(QPalette.ColorRole.Text)
        dim = palette.color(QPalette.ColorRole.PlaceholderText)
        draw_list_mark(
            painter,
            QRectF(rect.left() + 10, rect.top(), 18, rect.height()),
            line.state,
            hidden=line.hidden,
            colour_text=dim,
            outline=line.colour,
            side=line.side,
        )
        self._side(painter, QRectF(rect.left() + 32, rect.top() + 6, 4, rect.height() - 12), line.side, dim)
        if line.colour:
            painter.fillRect(QRectF(rect.right() - 5, rect.top() + 4, 4, rect.height() - 8), QColor(line.colour))
        metrics = self._view.fontMetrics()
        state = model.state_text(line)
        if rect.width() < NARROW_PX:
            state = ""  # the mark says it too; the name matters more
        state_width = max(metrics.horizontalAdvance(state), metrics.horizontalAdvance("accepted")) if state else 0
        number = f"{line.confidence:.2f}" if line.confidence is not None else ""
        number_width = metrics.horizontalAdvance("0.00")
        painter.setFont(self._view.font())
        painter.setPen(text if line.state.is_drawn or line.focused else dim)
        name_width = rect.width() - 42 - state_width - number_width - 24
        name = metrics.elidedText(line.name, Qt.TextElideMode.ElideMiddle, int(name_width))
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(rect.left() + 42, rect.top(), name_width, rect.height()), middle, name)
        right = rect.right() - 10
        painter.setPen(dim)
        painter.drawText(QRectF(right - state_width, rect.top(), state_width, rect.height()), middle, state)
        painter.setPen(text)
        painter.drawText(
            QRectF(right - state_width - 8 - number_width, rect.top(), number_width, rect.height()),
            middle | Qt.AlignmentFlag.AlignRight,
            number,
        )
        painter.restore()

    @staticmethod
    def _side(painter: QPainter, rect: QRectF, side: str, colour: QColor) -> None:
        """Left solid, right striped."""
        if side == "l":
            painter.fillRect(rect, colour)
        elif side == "r":
            painter.setPen(QPen(colour, 2))
            y = rect.top() + 1
            while y < rect.bottom():
                painter.drawLine(rect.left(), y, rect.right(), y)  # type: ignore[call-overload]
                y += 4
