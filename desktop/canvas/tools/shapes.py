"""Box, polygon, brush and eraser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QKeyEvent, QPainter, QPen, QPolygonF

from kinmark.desktop.canvas.hit import nearest_edge, nearest_point
from kinmark.desktop.canvas.intents import SetBox, SetMask
from kinmark.desktop.canvas.outline import fill_polygon, stamp_stroke, trace_borders
from kinmark.desktop.canvas.simplify import simplify_ring
from kinmark.desktop.canvas.tools.base import Tool, ToolEvent
from kinmark.desktop.theme.colours import instance_colour
from kinmark.engine.domain.geometry import apply_affine

if TYPE_CHECKING:
    from kinmark.desktop.canvas.surface import Surface


class BoxTool(Tool):
    """Drag a box: a new instance, or the box of the selected one that has none."""

    name = "box"
    cursor = Qt.CursorShape.CrossCursor

    def __init__(self, view: Surface) -> None:
        super().__init__(view)
        self._start: tuple[float, float] | None = None
        self._end = (0.0, 0.0)

    def press(self, event: ToolEvent) -> None:
        if event.button == Qt.MouseButton.LeftButton:
            self._start = self._end = self._clamp(event.xy_image)

    def _clamp(self, xy: tuple[float, float]) -> tuple[float, float]:
        w, h = self.view.image_wh
        return min(max(xy[0], 0.0), float(w)), min(max(xy[1], 0.0), float(h))

    def move(self, event: ToolEvent) -> None:
        if self._start is not None:
            self._end = self._clamp(event.xy_image)
        self.view.viewport().update()

    def release(self, event: ToolEvent) -> None:
        if self._start is None:
            return
        (x0, y0), (x1, y1) = self._start, self._clamp(event.xy_image)
        self._start = None
        self.view.viewport().update()
        if abs(x1 - x0) >= 2 and abs(y1 - y0) >= 2:
            selected = self.view.content.selected_instance
            key = selected.key if selected is not None and selected.box is None else None
            self.emit(SetBox(key, (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))))

    def key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Escape and self._start is not None:
            self.cancel()
            return True
        return False

    def cancel(self) -> None:
        self._start = None
        self.view.viewport().update()

    def paint(self, painter: QPainter) -> None:
        if self._start is None:
            return
        a, b = apply_affine(self.view.matrix(), np.array([self._start, self._end])).tolist()
        rect = QRectF(QPointF(*a), QPointF(*b)).normalized()
        painter.setPen(QPen(QColor(0, 0, 0, 160), 3.5))
        painter.setBrush(QColor(255, 255, 255, 24))
        painter.drawRect(rect)
        painter.setPen(QPen(QColor(255, 255, 255), 1.5, Qt.PenStyle.DashLine))
        painter.drawRect(rect)


class BrushTool(Tool):
    """Paint into the selected instance's mask (a new instance without one); `erase` takes away. [ and ] change the size."""

    name = "brush"
    cursor = Qt.CursorShape.CrossCursor
    erase = False

    def __init__(self, view: Surface) -> None:
        super().__init__(view)
        self.radius_px = 12.0
        self._mask: np.ndarray | None = None
        self._last: tuple[float, float] | None = None
        self._at: QPointF | None = None
        self._preview = QImage()

    @property
    def _radius(self) -> float:
        return max(self.radius_px / max(self.view.scale_factor, 1e-6), 0.6)

    def press(self, event: ToolEvent) -> None:
        if event.button != Qt.MouseButton.LeftButton:
            return
        w, h = self.view.image_wh
        selected = self.view.content.selected_instance
        if selected is not None and selected.mask is not None:
            self._mask = selected.mask.decode().copy()
        else:
            self._mask = np.zeros((h, w), dtype=bool)
        self._last = event.xy_image
        self._stroke(event)

    def _stroke(self, event: ToolEvent) -> None:
        assert self._mask is not None and self._last is not None
        erase = self.erase != event.has(Qt.KeyboardModifier.ControlModifier)
        stamp_stroke(self._mask, self._last, event.xy_image, self._radius, not erase)
        self._last = event.xy_image
        self._render()

    def _render(self) -> None:
        assert self._mask is not None
        selected = self.view.content.selected_instance
        colour = instance_colour(selected.number if selected else len(self.view.content.instances))
        factor = max(1, -(-max(self._mask.shape) // 1024))
        small = np.ascontiguousarray(self._mask[::factor, ::factor])
        rgba = np.zeros((*small.shape, 4), dtype=np.uint8)
        rgba[small] = (colour.red(), colour.green(), colour.blue(), 120)
        height, width = small.shape
        self._preview = QImage(rgba.data, width, height, width * 4, QImage.Format.Format_RGBA8888).copy()

    def move(self, event: ToolEvent) -> None:
        self._at = event.position
        if self._mask is not None:
            self._stroke(event)
        self.view.viewport().update()

    def left(self) -> None:
        self._at = None

    def release(self, event: ToolEvent) -> None:
        if self._mask is None:
            return
        mask, self._mask, self._last = self._mask, None, None
        self._preview = QImage()
        selected = self.view.content.selected_instance
        if selected is None and not mask.any():
            return
        self.emit(SetMask(selected.key if selected else None, mask))

    def key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Escape and self._mask is not None:
            self.cancel()
            return True
        return False

    def resize_to(self, radius_px: float) -> None:
        """Another size of the brush."""
        self.radius_px = float(min(max(radius_px, 1.5), 200))
        self.view.viewport().update()

    def cancel(self) -> None:
        self._mask = self._last = None
        self._preview = QImage()
        self.view.viewport().update()

    def paint(self, painter: QPainter) -> None:
        if not self._preview.isNull():
            w, h = self.view.image_wh
            (x0, y0), (x1, y1) = apply_affine(self.view.matrix(), np.array([(0, 0), (w, h)])).tolist()
            painter.drawImage(QRectF(QPointF(x0, y0), QPointF(x1, y1)), self._preview)
        if self._at is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            style = Qt.PenStyle.DashLine if self.erase else Qt.PenStyle.SolidLine
            for colour, width in ((QColor(0, 0, 0, 170), 3.0), (QColor(255, 255, 255), 1.4)):
                painter.setPen(QPen(colour, width, style))
                painter.drawEllipse(self._at, self.radius_px, self.radius_px)


class EraserTool(BrushTool):
    """The brush that takes away."""

    name = "eraser"
    erase = True


class PolygonTool(Tool):
    """Click the outline; drag vertices, click an edge to add one, Backspace or Alt+click removes; Enter or a double
    click adds it to the selected instance's mask, or takes it away: with Ctrl held at the first or the last click.

    Taken in hand with a masked instance selected, it opens the mask's outline: dragging its vertices changes the mask, a
    click elsewhere begins another polygon.

    Attributes:
        subtract: the mode that a person chose; `taking_away`: what the polygon in work will do.
    """

    name = "polygon"
    cursor = Qt.CursorShape.CrossCursor

    def __init__(self, view: Surface) -> None:
        super().__init__(view)
        self.points: list[tuple[float, float]] = []
        self._drag: int | None = None
        self._at: QPointF | None = None
        self._closed = self._edited = False
        self.subtract = self.taking_away = False

    def activated(self) -> None:
        selected = self.view.content.selected_instance
        self.points, self._closed, self._edited = [], False, False
        if selected is not None and selected.mask is not None:
            rings = trace_borders(selected.mask.decode())
            if len(rings) == 1:  # several parts or holes: a polygon could not hold them, the brush can
                self.points = [tuple(p) for p in simplify_ring(rings[0], 1.5).tolist()]
                self._closed = True

    def _viewport_points(self) -> np.ndarray:
        return apply_affine(self.view.matrix(), np.array(self.points).reshape(-1, 2))

    def press(self, event: ToolEvent) -> None:
        if event.button != Qt.MouseButton.LeftButton:
            return
        cursor = (event.position.x(), event.position.y())
        points = self._viewport_points()
        vertex = nearest_point(points=points, cursor=cursor, radius_px=8)
        if event.double and len(self.points) >= 3:
            self.finish()
        elif vertex is not None and event.has(Qt.KeyboardModifier.AltModifier):
            del self.points[vertex[0]]
            self._edited = True
        elif vertex is not None and vertex[0] == 0 and len(self.points) >= 3 and not self._closed:
            self.finish(event.has(Qt.KeyboardModifier.ControlModifier))
        elif vertex is not None:
            self._drag = vertex[0]
        elif not self._insert(event, points, cursor):
            self._append(event)
        self.view.viewport().update()

    def _insert(self, event: ToolEvent, points: np.ndarray, cursor: tuple[float, float]) -> bool:
        """A vertex more on the edge under the mouse, of an outline or with Ctrl held."""
        if not self._closed and not (event.has(Qt.KeyboardModifier.ControlModifier) and len(self.points) >= 2):
            return False
        edge = nearest_edge(polygon=points, cursor=cursor, radius_px=8)
        if edge is None:
            return False
        self.points.insert(edge[0] + 1, event.xy_image)
        self._drag, self._edited = edge[0] + 1, True
        return True

    def _append(self, event: ToolEvent) -> None:
        if self._closed:  # away from the opened outline: another polygon begins
            if self._edited:
                self.finish()
            self.cancel()
        if not self.points:
            self.taking_away = self.subtract != event.has(Qt.KeyboardModifier.ControlModifier)
        self.points.append(event.xy_image)

    def move(self, event: ToolEvent) -> None:
        self._at = event.position
        if self._drag is not None:
            self.points[self._drag] = event.xy_image
            self._edited = True
        self.view.viewport().update()

    def release(self, event: ToolEvent) -> None:
        self._drag = None

    def wants(self, event: QKeyEvent) -> bool:
        keys = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Backspace, Qt.Key.Key_Escape)
        return bool(self.points) and event.key() in keys

    def key(self, event: QKeyEvent) -> bool:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and len(self.points) >= 3:
            self.finish(bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier))
        elif event.key() == Qt.Key.Key_Backspace and self.points:
            self.points.pop()
            self.view.viewport().update()
        elif event.key() == Qt.Key.Key_Escape and self.points:
            self.cancel()
        else:
            return False
        return True

    def set_subtract(self, on: bool) -> None:
        """The mode: polygons take away from the mask instead of adding to it."""
        self.subtract = self.taking_away = on
        self.view.viewport().update()

    def finish(self, take_away: bool = False) -> None:
        """Add the polygon to the selected instance's mask or take it away; an edited outline is the mask."""
        filled = fill_polygon(np.array(self.points), self.view.image_wh)
        outline, edited, take_away = self._closed, self._edited, take_away or self.taking_away
        self.cancel()
        selected = self.view.content.selected_instance
        before = selected.mask.decode() if selected is not None and selected.mask is not None else None
        if outline:
            mask = filled if edited else None
        elif before is None:
            mask = filled if filled.any() and not take_away else None
        else:
            mask = before & ~filled if take_away else before | filled
        if mask is not None and (before is None or (mask != before).any()):
            self.emit(SetMask(selected.key if selected else None, mask))

    def cancel(self) -> None:
        self.points, self._drag, self._closed, self._edited = [], None, False, False
        self.taking_away = self.subtract
        self.view.viewport().update()

    def paint(self, painter: QPainter) -> None:
        if not self.points:
            return
        corners = [QPointF(x, y) for x, y in self._viewport_points().tolist()]
        if self._at is not None and not self._closed and self._drag is None:
            corners.append(self._at)
        painter.setBrush(QColor(0, 0, 0, 70) if self.taking_away else QColor(255, 255, 255, 26))
        style = Qt.PenStyle.DashLine if self.taking_away else Qt.PenStyle.SolidLine  # as the eraser's ring
        for colour, width in ((QColor(0, 0, 0, 170), 3.2), (QColor(255, 255, 255), 1.4)):
            painter.setPen(QPen(colour, width, style))
            painter.drawPolygon(QPolygonF(corners))
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(0, 0, 0), 1))
        painter.setBrush(QColor(255, 255, 255))
        for corner in corners[: len(self.points)]:
            painter.drawEllipse(corner, 4, 4)


class PanTool(Tool):
    """Drag the photo."""

    name = "pan"
    cursor = Qt.CursorShape.OpenHandCursor

    def press(self, event: ToolEvent) -> None:
        if event.button == Qt.MouseButton.LeftButton:
            self.view.start_pan(event.position)
