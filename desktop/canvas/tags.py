"""Small tags that tell the instances of a photo apart: number, confidence while nothing of it is accepted, and a frame
around the one that Enter accepts as a whole."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from kinmark.desktop.canvas.content import CanvasContent, InstanceContent
from kinmark.desktop.theme.colours import instance_colour
from kinmark.engine.domain.geometry import apply_affine

PAD_PX = 12.0
"""Between the outermost marks and the frame."""
PALE = 0.85


def extent_of(instance: InstanceContent, matrix: np.ndarray) -> QRectF | None:
    """Viewport rectangle around the box, or the drawn keypoints; None without either."""
    if instance.box is not None:
        corners = apply_affine(matrix, np.array(instance.box).reshape(2, 2))
    elif len(instance.names) and instance.drawn.any():
        corners = apply_affine(matrix, instance.xy_image[instance.drawn])
    else:
        return None
    low, high = corners.min(axis=0), corners.max(axis=0)
    return QRectF(QPointF(*low.tolist()), QPointF(*high.tolist())).adjusted(-PAD_PX, -PAD_PX, PAD_PX, PAD_PX)


def tag_text(instance: InstanceContent) -> str:
    """ "2" or, while nothing of it is accepted, "2  0.87"."""
    number = str(instance.number + 1)
    return number if instance.sure is None else f"{number}  {instance.sure:.2f}"


def paint_tags(
    painter: QPainter, content: CanvasContent, matrix: np.ndarray, view_wh: tuple[float, float] | None
) -> None:
    """All tags, the selected instance's last and on top."""
    font = painter.font()
    font.setPixelSize(11)
    font.setBold(True)
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    for instance in sorted(content.instances, key=lambda i: i.key == content.selected):
        extent = extent_of(instance, matrix)
        if extent is None:
            continue
        selected = instance.key == content.selected
        painter.setOpacity(1.0 if selected else PALE)
        if selected and content.focused is None and instance.box is None:
            _paint_frame(painter, extent, instance)
        text = tag_text(instance)
        size = (metrics.horizontalAdvance(text) + 10, metrics.height() + 2)
        _paint_tag(painter, tag_rect(extent, size, view_wh), text, instance, selected)
    painter.setOpacity(1.0)


def tag_rect(extent: QRectF, size: tuple[float, float], view_wh: tuple[float, float] | None) -> QRectF:
    """Above the top left corner, moved inside the view where the instance is in sight."""
    rect = QRectF(extent.left(), extent.top() - size[1], *size)
    if view_wh is not None and extent.intersects(QRectF(0, 0, *view_wh)):
        rect.moveLeft(min(max(rect.left(), 0.0), max(0.0, view_wh[0] - size[0])))
        rect.moveTop(min(max(rect.top(), 0.0), max(0.0, view_wh[1] - size[1])))
    return rect


def _paint_frame(painter: QPainter, extent: QRectF, instance: InstanceContent) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for colour, width in ((QColor(0, 0, 0, 170), 4.0), (QColor(255, 255, 255), 1.8)):
        pen = QPen(colour, width)
        if instance.sure is not None:
            pen.setDashPattern([10.0 / width, 6.0 / width])
        painter.setPen(pen)
        painter.drawRoundedRect(extent, 6, 6)


def _paint_tag(painter: QPainter, rect: QRectF, text: str, instance: InstanceContent, selected: bool) -> None:
    ground = QColor(255, 255, 255, 235) if selected else QColor(30, 31, 34, 220)
    painter.setPen(QPen(QColor(0, 0, 0, 200), 1))
    painter.setBrush(ground)
    painter.drawRoundedRect(rect, 4, 4)
    painter.setPen(QPen(QColor(instance_colour(instance.number)), 3))
    painter.drawLine(rect.topLeft() + QPointF(2.5, 3.5), rect.bottomLeft() + QPointF(2.5, -3.5))
    painter.setPen(QColor(20, 20, 20) if selected else QColor(240, 240, 240))
    painter.drawText(rect.adjusted(4, 0, 0, 0), Qt.AlignmentFlag.AlignCenter, text)
