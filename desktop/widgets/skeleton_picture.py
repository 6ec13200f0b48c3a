"""A keypoint schema drawn as a figure: for template cards, the chooser and the editor without a photo."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QFrame, QWidget

from kinmark.desktop.session.templates import CategoryTemplate
from kinmark.desktop.theme.colours import ACCENT
from kinmark.engine.domain.keypoints import KeypointSchema


def draw_skeleton(
    painter: QPainter, rect: QRectF, schema: KeypointSchema, layout: Sequence[tuple[float, float]], colour: QColor
) -> None:
    """Edges and points of a schema inside `rect`; left solid, right rings."""
    places = [QPointF(rect.left() + x * rect.width(), rect.top() + y * rect.height()) for x, y in layout]
    line = QColor(colour)
    line.setAlpha(150)
    painter.setPen(QPen(line, 1.8))
    for a, b in schema.edges:
        painter.drawLine(places[a], places[b])
    rights = {b for _, b in schema.pairs}
    for i, place in enumerate(places):
        painter.setPen(QPen(colour, 1.4))
        painter.setBrush(Qt.BrushStyle.NoBrush if i in rights else colour)
        painter.drawEllipse(place, 3.0, 3.0)


class TemplateCard(QFrame):
    """One template to choose.

    Signals:
        chosen(str): its id.
    """

    chosen = Signal(str)

    def __init__(self, template: CategoryTemplate, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.template = template
        self.setObjectName("card")
        self.setFixedSize(118, 132)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.title = QCoreApplication.translate("Templates", template.title)
        self.setAccessibleName(self.title)
        self.selected = False

    def set_selected(self, on: bool) -> None:
        """Mark the card."""
        self.selected = on
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(118, 132)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette = self.palette()
        text = palette.color(QPalette.ColorRole.Text)
        if self.selected:
            painter.setPen(QPen(ACCENT, 2))
            wash = QColor(ACCENT)
            wash.setAlpha(28)
            painter.setBrush(wash)
            painter.drawRoundedRect(QRectF(1, 1, self.width() - 2, self.height() - 2), 8, 8)
        area = QRectF(15, 10, 88, 88)
        if self.template.layout:
            draw_skeleton(painter, area, self.template.schema, self.template.layout, ACCENT if self.selected else text)
        else:
            painter.setPen(QPen(text, 1.6))
            middle = area.center()
            painter.drawLine(middle + QPointF(-10, 0), middle + QPointF(10, 0))
            painter.drawLine(middle + QPointF(0, -10), middle + QPointF(0, 10))
        painter.setPen(text)
        painter.drawText(QRectF(4, 104, self.width() - 8, 22), Qt.AlignmentFlag.AlignCenter, self.title)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.chosen.emit(self.template.id)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.chosen.emit(self.template.id)
        else:
            super().keyPressEvent(event)
