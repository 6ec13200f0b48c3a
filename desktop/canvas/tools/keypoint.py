"""Keypoint: click after click, the next name is chosen for you; right or Shift click = hidden; Backspace goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QKeyEvent, QPainter, QPen

from kinmark.desktop.canvas.intents import FinishPlacing, PlacePoint, StepBack, ToggleHidden
from kinmark.desktop.canvas.marks import draw_halo_text
from kinmark.desktop.canvas.tools.base import ToolEvent
from kinmark.desktop.canvas.tools.select import SelectTool

if TYPE_CHECKING:
    from kinmark.desktop.canvas.surface import Surface


class KeypointTool(SelectTool):
    """Places keypoints; pressing near an existing one drags it as the select tool does.

    Attributes:
        next_name: what the next click places ("" when nothing is left), written beside the cursor.
    """

    name = "keypoint"
    cursor = Qt.CursorShape.CrossCursor

    def __init__(self, view: Surface) -> None:
        super().__init__(view)
        self.next_name = ""
        self._ghost: QPointF | None = None

    def press(self, event: ToolEvent) -> None:
        hit = self._hit(event.position)
        if hit is not None and event.button == Qt.MouseButton.RightButton:
            self.emit(ToggleHidden(hit.key, hit.index))
            return
        if hit is not None or event.has(Qt.KeyboardModifier.AltModifier):
            super().press(event)
            return
        right = event.button == Qt.MouseButton.RightButton
        if event.button != Qt.MouseButton.LeftButton and not right:
            return
        if not self.next_name:
            return
        w, h = self.view.image_wh
        x, y = event.xy_image
        if 0 <= x <= w and 0 <= y <= h:
            self.emit(PlacePoint(x, y, right or event.has(Qt.KeyboardModifier.ShiftModifier)))

    def move(self, event: ToolEvent) -> None:
        self._ghost = event.position
        super().move(event)
        if self._start is None:
            self.view.viewport().update()

    def left(self) -> None:
        self._ghost = None

    def key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Backspace:
            self.emit(StepBack())
            return True
        if event.key() == Qt.Key.Key_Escape and self._start is None:
            self.emit(FinishPlacing())
            return True
        return super().key(event)

    def paint(self, painter: QPainter) -> None:
        if self._ghost is None or self._start is not None or not self.next_name or self._hit(self._ghost):
            return
        # A hair cross, not a mark: nothing is there yet.
        for colour, width in ((QColor(0, 0, 0, 150), 2.6), (QColor(255, 255, 255, 220), 1.0)):
            painter.setPen(QPen(colour, width))
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                painter.drawLine(self._ghost + QPointF(3 * dx, 3 * dy), self._ghost + QPointF(10 * dx, 10 * dy))
        font = painter.font()
        font.setPixelSize(13)
        font.setBold(True)
        painter.setFont(font)
        draw_halo_text(painter, self._ghost + QPointF(14, -10), self.next_name, QColor("#ffffff"))
