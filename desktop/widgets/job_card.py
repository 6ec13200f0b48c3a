"""A card of the start page for one of the two jobs, with a drawing of what it does."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import QFrame, QWidget

from kinmark.desktop.canvas.marks import MarkLook, draw_mark
from kinmark.desktop.states import PointState
from kinmark.desktop.theme.colours import ACCENT, CANVAS_GREY

KEYPOINTS, FIND = "keypoints", "find"
WIDTH, PICTURE = 330, 96
_ANIMAL = (
    (0.10, 0.40),
    (0.26, 0.30),
    (0.42, 0.38),
    (0.82, 0.36),
    (0.94, 0.22),
    (0.36, 0.88),
    (0.48, 0.88),
    (0.74, 0.88),
    (0.86, 0.88),
)
_BONES = ((0, 1), (1, 2), (2, 3), (3, 4), (2, 5), (2, 6), (3, 7), (3, 8))


class JobCard(QFrame):
    """GUI thread. Shows the job on the sample project when it is chosen.

    Signals:
        chosen(str): KEYPOINTS or FIND.
    """

    chosen = Signal(str)

    def __init__(self, job: str, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job, self._title, self._text = job, title, text
        self.setObjectName("card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(f"{title}. {text}")
        self.setFixedSize(self.sizeHint())

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(self.font())
        flags = Qt.TextFlag.TextWordWrap.value
        lines = metrics.boundingRect(0, 0, WIDTH - 24, 1000, flags, self._text).height()
        return QSize(WIDTH, PICTURE + metrics.height() + lines + 34)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        third = (self.width() - 24 - 2 * 8) / 3
        for place in range(3):
            frame = QRectF(12 + place * (third + 8), 12, third, PICTURE)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(CANVAS_GREY)
            painter.drawRoundedRect(frame, 4, 4)
            inner = frame.adjusted(12, 16, -12, -14)
            if self.job == KEYPOINTS:
                _draw_animal(painter, inner, by_hand=place == 0, turned=place == 2)
            else:
                _draw_cups(painter, inner, place)
        palette = self.palette()
        font = self.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        height = painter.fontMetrics().height()
        painter.drawText(QRectF(12, PICTURE + 18, self.width() - 24, height), Qt.AlignmentFlag.AlignLeft, self._title)
        font.setBold(False)
        painter.setFont(font)
        painter.setPen(palette.color(QPalette.ColorRole.PlaceholderText))
        below = QRectF(12, PICTURE + 22 + height, self.width() - 24, self.height())
        painter.drawText(below, Qt.TextFlag.TextWordWrap, self._text)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.chosen.emit(self.job)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.chosen.emit(self.job)
        else:
            super().keyPressEvent(event)


def _draw_animal(painter: QPainter, area: QRectF, *, by_hand: bool, turned: bool) -> None:
    """One labelled by hand, the others as they are proposed."""
    points = [
        QPointF(area.left() + (1 - x if turned else x) * area.width(), area.top() + y * area.height())
        for x, y in _ANIMAL
    ]
    painter.setPen(QPen(QColor("#8ba7bd") if by_hand else QColor("#b9a06a"), 2.0))
    for a, b in _BONES:
        painter.drawLine(points[a], points[b])
    for point in points:
        draw_mark(painter, point, PointState.HUMAN if by_hand else PointState.PENDING, MarkLook(size_px=6.0))


def _draw_cups(painter: QPainter, area: QRectF, place: int) -> None:
    """The boxed one among others, then the same one found elsewhere with its mask."""
    width = area.width() / 3
    order = ((1, "#D55E00"), (0, "#9aa0a8"), (2, "#6f8fa8"))
    for slot, (shift, colour) in enumerate(order):
        column = (shift + place) % 3
        body = QRectF(
            area.left() + column * width + 3,
            area.top() + area.height() * (0.25 + 0.08 * slot),
            width - 7,
            area.height() * 0.55,
        )
        path = QPainterPath()
        path.addRoundedRect(body, 4, 4)
        path.addEllipse(QPointF(body.right(), body.center().y()), 4.5, 6.5)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colour))
        painter.drawPath(path.simplified())
        if slot == 0 and place == 0:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor("white"), 1.6))
            painter.drawRect(body.adjusted(-4, -5, 8, 5))
        elif slot == 0:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for ground, wide in ((QColor(0, 0, 0, 200), 4.0), (ACCENT.lighter(150), 2.0)):
                painter.setPen(QPen(ground, wide))
                painter.drawPath(path.simplified())
