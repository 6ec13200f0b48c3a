"""The cross-hair loupe: a magnified circle beside the cursor for placing points exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

if TYPE_CHECKING:
    from kinmark.desktop.canvas.surface import Surface

SIDE_PX = 148
MAGNIFY = 4.0


def draw_loupe(painter: QPainter, view: Surface, cursor: QPointF) -> None:
    """Draw the loupe for `cursor` (viewport pixels), on whichever side has room."""
    if view.pyramid is None:
        return
    room = view.viewport().rect()
    x = cursor.x() + 28 if cursor.x() + 28 + SIDE_PX < room.width() else cursor.x() - 28 - SIDE_PX
    y = cursor.y() + 28 if cursor.y() + 28 + SIDE_PX < room.height() else cursor.y() - 28 - SIDE_PX
    frame = QRectF(x, y, SIDE_PX, SIDE_PX)
    scale = max(view.scale_factor * MAGNIFY, 2.0)
    centre_x, centre_y = view.to_image(cursor)
    painter.save()
    clip = QPainterPath()
    clip.addEllipse(frame)
    painter.setClipPath(clip)
    painter.fillRect(frame, QColor("#26282b"))
    painter.translate(frame.center())
    painter.scale(scale, scale)
    painter.translate(-centre_x, -centre_y)
    half = SIDE_PX / 2 / scale
    view.draw_photo(painter, QRectF(centre_x - half, centre_y - half, 2 * half, 2 * half), scale)
    painter.restore()
    middle = frame.center()
    for colour, width in ((QColor(0, 0, 0, 170), 3.0), (QColor(255, 255, 255, 230), 1.0)):
        painter.setPen(QPen(colour, width))
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            painter.drawLine(middle + QPointF(dx * 5, dy * 5), middle + QPointF(dx * 26, dy * 26))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(frame)
