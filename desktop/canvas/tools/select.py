"""Select: focus and drag keypoints, move whole instances with Alt, resize boxes, pan on empty ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QKeyEvent

from kinmark.desktop.canvas.content import CanvasContent, InstanceContent
from kinmark.desktop.canvas.hit import PointHit, drag_box_handle, hit_box, hit_point, instances_at
from kinmark.desktop.canvas.intents import (
    AcceptPoint,
    FocusPoint,
    MarkPoint,
    MovePoint,
    Nudge,
    SelectInstance,
    SetBox,
)
from kinmark.desktop.canvas.tools.base import Tool, ToolEvent
from kinmark.desktop.canvas.transforms import shifted_instance
from kinmark.engine.domain.geometry import Box

if TYPE_CHECKING:
    from kinmark.desktop.canvas.surface import Surface

DRAG_START_PX = 3.0
_ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}


def nudge_of(event: QKeyEvent) -> Nudge | None:
    """Arrow keys as a move of 1 pixel, 10 with Shift, 0.1 with Alt; None for other keys."""
    arrow = _ARROWS.get(Qt.Key(event.key()))
    modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    step = {
        Qt.KeyboardModifier.NoModifier: 1.0,
        Qt.KeyboardModifier.ShiftModifier: 10.0,
        Qt.KeyboardModifier.AltModifier: 0.1,
    }.get(modifiers)
    return Nudge(arrow[0] * step, arrow[1] * step) if arrow and step else None


class SelectTool(Tool):
    """The default tool. A drag moves the drawing only; the release makes one intent."""

    name = "select"

    def __init__(self, view: Surface) -> None:
        super().__init__(view)
        self._point: PointHit | None = None
        self._whole: InstanceContent | None = None
        self._handle: tuple[str, int, Box] | None = None
        self._empty = False
        self._start: ToolEvent | None = None
        self._dragging = False
        self._before: CanvasContent | None = None
        self._offset = (0.0, 0.0)
        self._cycle = 0

    def _hit(self, position: QPointF) -> PointHit | None:
        if not self.view.overlays.points or self.view.overlays.peek:
            return None
        cursor = (position.x(), position.y())
        return hit_point(content=self.view.content, matrix=self.view.matrix(), cursor=cursor)

    def press(self, event: ToolEvent) -> None:
        hit = self._hit(event.position)
        if event.button == Qt.MouseButton.RightButton:
            self._ask_menu(hit, event)
            return
        if event.button != Qt.MouseButton.LeftButton:
            return
        if event.double:
            self._double(hit, event)
            return
        self._start, self._dragging = event, False
        self._before = self.view.content
        if event.has(Qt.KeyboardModifier.AltModifier):
            keys = (hit.key,) if hit else instances_at(content=self.view.content, xy_image=event.xy_image)
            self._whole = self.view.content.instance(keys[0] if keys else self.view.content.selected)
            if self._whole is not None:
                self.emit(SelectInstance(self._whole.key))
                return
        if hit is not None and event.has(Qt.KeyboardModifier.ControlModifier):
            self._start = None
            self.emit(MarkPoint(hit.key, hit.index))
            return
        if hit is not None:
            self._press_point(hit, event)
            return
        box = hit_box(
            content=self.view.content, matrix=self.view.matrix(), cursor=(event.position.x(), event.position.y())
        )
        if box is not None and box.handle >= 0:
            instance = self.view.content.instance(box.key)
            if instance is not None and instance.box is not None:
                self._handle = (box.key, box.handle, instance.box)
                return
        self._empty = True

    def _ask_menu(self, hit: PointHit | None, event: ToolEvent) -> None:
        view = self.view
        keys = (hit.key,) if hit else instances_at(content=view.content, xy_image=event.xy_image)
        key = keys[0] if keys else None
        place = view.viewport().mapToGlobal(event.position.toPoint())
        view.menu_wanted.emit(key, hit.index if hit else None, place)

    def _press_point(self, hit: PointHit, event: ToolEvent) -> None:
        self._point = hit
        instance = self.view.content.instance(hit.key)
        assert instance is not None
        x, y = instance.xy_image[hit.index]
        self._offset = (float(x) - event.xy_image[0], float(y) - event.xy_image[1])
        self.emit(FocusPoint(hit.key, hit.index))
        self._before = self.view.content

    def _double(self, hit: PointHit | None, event: ToolEvent) -> None:
        if hit is None:
            return
        instance = self.view.content.instance(hit.key)
        if instance is not None and instance.states[hit.index].is_proposal:
            self.emit(AcceptPoint(hit.key, hit.index))

    def move(self, event: ToolEvent) -> None:
        if self._start is None:
            hit = self._hit(event.position)
            self.view.set_hovered((hit.key, hit.index) if hit else None)
            self.view.viewport().setCursor(Qt.CursorShape.PointingHandCursor if hit else self.cursor)
            return
        gap = event.position - self._start.position
        if not self._dragging and abs(gap.x()) + abs(gap.y()) < DRAG_START_PX:
            return
        self._dragging = True
        if self._empty:
            self.view.start_pan(event.position)
            self._reset()
        else:
            self._preview(event)

    def _preview(self, event: ToolEvent) -> None:
        content = self._before
        if content is None or self._start is None:
            return
        if self._point is not None:
            instance = content.instance(self._point.key)
            if instance is not None:
                points = instance.xy_image.copy()
                points[self._point.index] = self._target(event)
                self._show(content, instance.with_points(points))
        elif self._whole is not None:
            moved = shifted_instance(self._whole, *self._shift(event))
            self._show(content, _with_box(self._whole.with_points(moved.xy_image), moved.box))
        elif self._handle is not None:
            key, handle, box = self._handle
            instance = content.instance(key)
            if instance is not None:
                self._show(content, _with_box(instance, drag_box_handle(box, handle, event.xy_image)))

    def _show(self, content: CanvasContent, changed: InstanceContent) -> None:
        from dataclasses import replace

        instances = tuple(changed if i.key == changed.key else i for i in content.instances)
        self.view.show_content(replace(content, instances=instances))

    def _target(self, event: ToolEvent) -> tuple[float, float]:
        w, h = self.view.image_wh
        x, y = event.xy_image[0] + self._offset[0], event.xy_image[1] + self._offset[1]
        return min(max(x, 0.0), float(w)), min(max(y, 0.0), float(h))

    def _shift(self, event: ToolEvent) -> tuple[float, float]:
        assert self._start is not None
        return event.xy_image[0] - self._start.xy_image[0], event.xy_image[1] - self._start.xy_image[1]

    def release(self, event: ToolEvent) -> None:
        if self._start is None or event.button != Qt.MouseButton.LeftButton:
            return
        point, whole, handle, empty, dragged = self._point, self._whole, self._handle, self._empty, self._dragging
        target, shift = self._target(event), self._shift(event)
        self._reset()
        if empty and not dragged:
            self._click(event)
        elif point is not None and dragged:
            self.emit(MovePoint(point.key, point.index, *target))
        elif whole is not None and dragged:
            self.emit(shifted_instance(whole, *shift))
        elif handle is not None and dragged:
            self.emit(SetBox(handle[0], drag_box_handle(handle[2], handle[1], event.xy_image)))

    def _click(self, event: ToolEvent) -> None:
        keys = instances_at(content=self.view.content, xy_image=event.xy_image)
        if not keys:
            self.emit(SelectInstance(None))
            return
        # A second click on a pile of instances takes the next one below.
        current = self.view.content.selected
        key = keys[(keys.index(current) + 1) % len(keys)] if current in keys else keys[0]
        self.emit(SelectInstance(key))

    def _reset(self) -> None:
        self._point = self._whole = self._handle = self._start = self._before = None
        self._empty = self._dragging = False

    def cancel(self) -> None:
        if self._dragging and self._before is not None:
            self.view.show_content(self._before)
        self._reset()

    def key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Escape and self._start is not None:
            self.cancel()
            return True
        nudge = nudge_of(event)
        instance = self.view.content.selected_instance
        focused = self.view.content.focused
        if nudge is None or instance is None or focused is None or not len(instance.names):
            return False
        if not instance.drawn[focused]:
            return False
        self.emit(nudge)
        return True


def _with_box(instance: InstanceContent, box: Box | None) -> InstanceContent:
    from dataclasses import replace

    return replace(instance, box=box)
