"""Before and after tuning on a few photos: true places as crosses, matches as dots with a line to the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QWidget

from kinmark.desktop.session.tune_gallery import GalleryPicture
from kinmark.engine.domain.geometry import longer_side

RIGHT, WRONG = QColor("#009E73"), QColor("#D55E00")
SIDE = 150


class BeforeAfterGallery(QWidget):
    """GUI thread; owned by the tune window. Two rows: before, after."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures: tuple[GalleryPicture, ...] = ()
        self.setMinimumHeight(0)
        self.setAccessibleName(self.tr("Before and after"))

    @property
    def count(self) -> int:
        """Photos shown."""
        return len(self._pictures)

    def sizeHint(self) -> QSize:
        return QSize(680, 2 * SIDE + 24 if self._pictures else 0)

    def show_pictures(self, pictures: Sequence[GalleryPicture]) -> None:
        """Replace the photos."""
        self._pictures = tuple(pictures)
        self.setMinimumHeight(2 * SIDE + 24 if self._pictures else 0)
        self.updateGeometry()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        label = max(painter.fontMetrics().horizontalAdvance(t) for t in (self.tr("before"), self.tr("after"))) + 12
        room = (self.width() - label) / max(len(self._pictures), 1) - 8
        side = min(SIDE, room, self.height() / 2 - 12)
        for row, title in enumerate((self.tr("before"), self.tr("after"))):
            top = row * (side + 12)
            painter.setPen(text)
            painter.drawText(QRectF(0, top, label, side), Qt.AlignmentFlag.AlignVCenter, title)
            for place, picture in enumerate(self._pictures):
                area = QRectF(label + place * (side + 8), top, side, side)
                painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
                painter.drawImage(area, picture.crop)
                points = picture.after if row else picture.before
                self._paint_points(painter, picture, points, area)
                painter.setPen(QColor("white"))
                count = f"{picture.right(points)}/{len(points)}"
                wide, high = painter.fontMetrics().horizontalAdvance(count) + 8, painter.fontMetrics().height() + 3
                badge = QRectF(area.right() - wide, area.bottom() - high, wide, high)
                painter.fillRect(badge, QColor(0, 0, 0, 170))
                painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, count)

    @staticmethod
    def _paint_points(painter: QPainter, picture: GalleryPicture, points: np.ndarray, area: QRectF) -> None:
        x0, y0, x1, _ = picture.region
        scale = area.width() / (x1 - x0)
        limit = 0.1 * longer_side(picture.box)
        painter.save()
        painter.setClipRect(area)
        for found, true in zip(points, picture.truth, strict=True):
            a = QPointF(area.left() + (found[0] - x0) * scale, area.top() + (found[1] - y0) * scale)
            b = QPointF(area.left() + (true[0] - x0) * scale, area.top() + (true[1] - y0) * scale)
            colour = RIGHT if np.hypot(*(found - true)) <= limit else WRONG
            painter.setPen(QPen(colour, 1.4))
            painter.drawLine(a, b)
            painter.setPen(QPen(QColor("white"), 1.2))
            painter.setBrush(colour)
            painter.drawEllipse(a, 4, 4)
            painter.drawLine(b + QPointF(-3, -3), b + QPointF(3, 3))
            painter.drawLine(b + QPointF(-3, 3), b + QPointF(3, -3))
        painter.restore()
