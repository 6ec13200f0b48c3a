"""The canvas widget: photo, overlays, zoom and pan; gestures go to the current tool, intents come out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QResizeEvent,
    QTransform,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QGraphicsScene, QGraphicsView, QWidget

from kinmark.desktop.canvas.content import CanvasContent, Overlays
from kinmark.desktop.canvas.items import HeatItem, MarksItem, MaskItem, matrix_of
from kinmark.desktop.canvas.loupe import draw_loupe
from kinmark.desktop.canvas.pyramid import ImagePyramid
from kinmark.desktop.canvas.tone import Tone, draw_toned
from kinmark.desktop.canvas.tools.base import Tool, ToolEvent
from kinmark.desktop.canvas.tools.select import SelectTool
from kinmark.desktop.canvas.transforms import scrolled_instance
from kinmark.desktop.theme.colours import CANVAS_GREY, instance_colour

MIN_SCALE, MAX_SCALE = 0.005, 64.0
ZOOM_STEP = 1.25


class CanvasView(QGraphicsView):
    """GUI thread. Shows one photo and what is known about it; changes nothing itself.

    Signals:
        intent(object): one of `kinmark.desktop.canvas.intents`.
        zoomed(float): screen pixels per image pixel after any change of the view.
        view_changed(): zoom or position changed by the person (for linked views).
        cursor_moved(float, float): xy_image under the mouse; NaN when it left.
        menu_wanted(str | None, int | None, QPoint): the menu of an instance and its keypoint, at a global position.
    """

    intent = Signal(object)
    zoomed = Signal(float)
    view_changed = Signal()
    cursor_moved = Signal(float, float)
    menu_wanted = Signal(object, object, QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = QGraphicsScene(self)
        self.setScene(self._scene)
        self._pyramid: ImagePyramid | None = None
        self._masks: dict[str, tuple[object, MaskItem]] = {}
        self._heat = HeatItem()
        self._marks = MarksItem()
        self._scene.addItem(self._heat)
        self._scene.addItem(self._marks)
        self.content = CanvasContent()
        self.overlays = Overlays()
        self.message = ""
        self.loupe = False
        self.tone = Tone()
        self._fitting = True
        self._panning: QPointF | None = None
        self._space = False
        self._cursor: QPointF | None = None
        self._tool: Tool = SelectTool(self)
        self._configure()

    def _configure(self) -> None:
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setBackgroundBrush(CANVAS_GREY)
        self.setCacheMode(QGraphicsView.CacheModeFlag.CacheBackground)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.SmartViewportUpdate)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.NoAnchor)
        self.setResizeAnchor(QGraphicsView.ViewportAnchor.NoAnchor)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMouseTracking(True)
        self.viewport().setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Photo canvas"))
        self.setMinimumSize(120, 100)
        # A scene asks its items, which want nothing, and refuses: what is dropped here is meant for the window.
        self.viewport().setAcceptDrops(False)

    # -- what is shown ---------------------------------------------------------------------------------------------

    def show_image(self, pyramid: ImagePyramid | None, *, keep_view: bool = False) -> None:
        """Show a photo (None: nothing). `keep_view` keeps zoom and relative position across photos."""
        old = self._pyramid
        relative = self.relative_centre() if keep_view and old is not None and not self._fitting else None
        same = old is not None and pyramid is not None and old.image_wh == pyramid.image_wh
        self._pyramid = pyramid
        if pyramid is not None:
            w, h = pyramid.image_wh
            # A wide border lets any corner be brought to the middle of the window.
            self._scene.setSceneRect(QRectF(-2 * w, -2 * h, 5 * w, 5 * h))
        self.resetCachedContent()
        if pyramid is None:
            self.viewport().update()
        elif self._fitting:
            self.fit()
        elif relative is not None and not same:
            self.centre_on_relative(relative)
        self.viewport().update()

    @property
    def image_wh(self) -> tuple[int, int]:
        """Size of the shown photo, (0, 0) without one."""
        return self._pyramid.image_wh if self._pyramid is not None else (0, 0)

    @property
    def pyramid(self) -> ImagePyramid | None:
        """The shown photo's levels."""
        return self._pyramid

    def show_content(self, content: CanvasContent) -> None:
        """Replace the overlays' data; cheap when only points moved."""
        heat_changed = content.heat is not self.content.heat or content.image_wh != self.content.image_wh
        self.content = content
        self._marks.show_content(content, self.overlays)
        self._show_masks()
        if heat_changed:
            self._heat.show_values(content.heat.values if content.heat else None, content.image_wh)
        self._tool.content_changed()
        self._scene.update()  # of the viewport itself would paint once more, after the items have painted

    def show_overlays(self, overlays: Overlays) -> None:
        """Choose the visible layers."""
        self.overlays = overlays
        self._marks.show_content(self.content, overlays)
        self._heat.setVisible(overlays.heat and not overlays.peek)
        for _, item in self._masks.values():
            item.setVisible(overlays.masks and not overlays.peek)
        self.viewport().update()

    def set_peek(self, on: bool) -> None:
        """Hide all overlays while a key is held."""
        if self.overlays.peek != on:
            self.show_overlays(replace(self.overlays, peek=on))

    def set_tone(self, tone: Tone) -> None:
        """Show the photo brighter, with more contrast, inverted ...; overlays keep their colours."""
        if tone != self.tone:
            self.tone = tone
            self.resetCachedContent()
            self.viewport().update()

    def show_message(self, text: str) -> None:
        """Plain text in the middle instead of a photo ("" removes it)."""
        if text != self.message:
            self.message = text
            self.viewport().update()

    def _show_masks(self) -> None:
        wanted = {i.key: i for i in self.content.instances if i.mask is not None}
        for key in [k for k in self._masks if k not in wanted]:
            self._scene.removeItem(self._masks.pop(key)[1])
        for key, instance in wanted.items():
            mark = (instance.mask, instance.mask_pending, instance.number)
            known = self._masks.get(key)
            if known is not None and known[0] == mark:
                continue
            item = known[1] if known else MaskItem()
            if known is None:
                self._scene.addItem(item)
                item.setVisible(self.overlays.masks and not self.overlays.peek)
            assert instance.mask is not None
            item.show_mask(instance.mask.decode(), instance_colour(instance.number), instance.mask_pending)
            self._masks[key] = (mark, item)

    # -- zoom and pan ----------------------------------------------------------------------------------------------

    @property
    def scale_factor(self) -> float:
        """Screen pixels per image pixel."""
        return self.transform().m11()

    @property
    def fitting(self) -> bool:
        """Whether the photo follows the window's size."""
        return self._fitting

    def matrix(self) -> np.ndarray:
        """`[2, 3]` affine from xy_image to viewport pixels."""
        return matrix_of(self.viewportTransform())

    def fit(self) -> None:
        """Whole photo in the window; stays fitted when the window changes."""
        if self._pyramid is None:
            return
        w, h = self._pyramid.image_wh
        room = self.viewport().rect()
        scale = min(room.width() / w, room.height() / h) * 0.985
        self._set_scale(max(min(scale, MAX_SCALE), MIN_SCALE))
        self.centerOn(w / 2, h / 2)
        self._fitting = True
        self._announce()

    def zoom_to_box(self, box: tuple[float, float, float, float], margin: float = 0.15) -> None:
        """Fill the window with `box` (xy_image)."""
        x0, y0, x1, y1 = box
        room = self.viewport().rect()
        side_x, side_y = max(x1 - x0, 4) * (1 + 2 * margin), max(y1 - y0, 4) * (1 + 2 * margin)
        self._fitting = False
        self._set_scale(min(room.width() / side_x, room.height() / side_y, 16))
        self.centerOn((x0 + x1) / 2, (y0 + y1) / 2)
        self._announce()

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom, keeping the image point under `at` (viewport pixels; default the middle) where it is."""
        if self._pyramid is None:
            return
        anchor = at if at is not None else QPointF(self.viewport().rect().center())
        before = self.mapToScene(anchor.toPoint())
        self._fitting = False
        self._set_scale(max(MIN_SCALE, min(MAX_SCALE, self.scale_factor * factor)))
        after = self.mapToScene(anchor.toPoint())
        centre = self.mapToScene(self.viewport().rect().center())
        self.centerOn(centre + before - after)
        self._announce()

    def set_zoom(self, scale: float) -> None:
        """An exact zoom, about the middle."""
        self.zoom_by(scale / max(self.scale_factor, 1e-9))

    def _set_scale(self, scale: float) -> None:
        self.setTransform(QTransform.fromScale(scale, scale))

    def pan_by(self, dx: float, dy: float) -> None:
        """Move the photo by viewport pixels."""
        self._fitting = False
        horizontal, vertical = self.horizontalScrollBar(), self.verticalScrollBar()
        horizontal.setValue(horizontal.value() - round(dx))
        vertical.setValue(vertical.value() - round(dy))
        self._announce()

    def relative_centre(self) -> tuple[float, float]:
        """Middle of the window as fractions of the photo."""
        centre = self.mapToScene(self.viewport().rect().center())
        w, h = self.image_wh
        return centre.x() / max(w, 1), centre.y() / max(h, 1)

    def centre_on(self, xy_image: tuple[float, float]) -> None:
        """Bring a place of the photo to the middle; the zoom stays."""
        self._fitting = False
        self.centerOn(*xy_image)
        self._announce()

    def centre_on_relative(self, relative: tuple[float, float]) -> None:
        """Bring a relative position to the middle (no signal: used by links)."""
        w, h = self.image_wh
        self.centerOn(relative[0] * w, relative[1] * h)
        self.zoomed.emit(self.scale_factor)

    def _announce(self) -> None:
        self.zoomed.emit(self.scale_factor)
        self.view_changed.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._fitting:
            self.fit()

    # -- painting --------------------------------------------------------------------------------------------------

    def drawBackground(self, painter: QPainter, rect: QRectF | object) -> None:
        area = QRectF(rect)  # type: ignore[arg-type]
        painter.fillRect(area, CANVAS_GREY)
        if self._pyramid is not None:
            self.draw_photo(painter, area, self.scale_factor * self.viewport().devicePixelRatioF())

    def draw_photo(self, painter: QPainter, area: QRectF, scale: float) -> None:
        """Draw the part `area` (xy_image) of the photo in the tone of the view; the painter maps xy_image to the device."""
        if self._pyramid is None:
            return
        if self.tone.plain:
            self._pyramid.draw(painter, area, scale)
        else:
            draw_toned(painter, self._pyramid, area, scale, self.tone)

    def drawForeground(self, painter: QPainter, rect: QRectF | object) -> None:
        painter.save()
        painter.setWorldTransform(QTransform())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._pyramid is None or self.message:
            painter.setPen(QColor("#b9bec6"))
            area = self.viewport().rect().adjusted(24, 24, -24, -24)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.message)
        if self._pyramid is not None:
            self._tool.paint(painter)
            if self.loupe and self._cursor is not None:
                draw_loupe(painter, self, self._cursor)
        painter.restore()

    # -- tools and events ------------------------------------------------------------------------------------------

    @property
    def tool(self) -> Tool:
        """The current tool."""
        return self._tool

    def set_tool(self, tool: Tool) -> None:
        """Switch tools; an unfinished gesture is dropped."""
        self._tool.cancel()
        self._tool = tool
        self.viewport().setCursor(tool.cursor)
        tool.activated()
        self.viewport().update()

    def set_hovered(self, hovered: tuple[str, int] | None) -> None:
        """Emphasise a keypoint (key, index) under the mouse or hovered in a list."""
        if self._marks.hovered != hovered:
            self._marks.hovered = hovered
            self._marks.update()

    def set_point_size(self, size_px: float) -> None:
        """Diameter of the marks on screen."""
        self._marks.point_px = size_px
        self._marks.update()

    def to_image(self, position: QPointF) -> tuple[float, float]:
        """Viewport pixels to xy_image, exact (QGraphicsView's own mapping rounds to whole pixels)."""
        inverse, _ = self.viewportTransform().inverted()
        point = inverse.map(position)
        return point.x(), point.y()

    def _tool_event(self, event: QMouseEvent, double: bool = False) -> ToolEvent:
        return ToolEvent.of(event, self.to_image(event.position()), double)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        if self._pyramid is None:
            return
        if event.button() == Qt.MouseButton.MiddleButton or self._space:
            self.start_pan(event.position())
            return
        self._tool.press(self._tool_event(event))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self._pyramid is not None and event.button() != Qt.MouseButton.MiddleButton:
            self._tool.press(self._tool_event(event, double=True))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._cursor = event.position()
        if self._panning is not None:
            delta = event.position() - self._panning
            self._panning = event.position()
            self.pan_by(delta.x(), delta.y())
            return
        if self._pyramid is None:
            return
        self.cursor_moved.emit(*self.to_image(event.position()))
        self._tool.move(self._tool_event(event))
        if self.loupe:
            self.viewport().update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._panning is not None:
            self._panning = None
            self.viewport().setCursor(Qt.CursorShape.OpenHandCursor if self._space else self._tool.cursor)
            return
        if self._pyramid is not None:
            self._tool.release(self._tool_event(event))

    def start_pan(self, position: QPointF) -> None:
        """Begin dragging the photo (also used by tools that pan on empty ground)."""
        self._panning = position
        self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.accept()
        modifiers, pixels, angle = event.modifiers(), event.pixelDelta(), event.angleDelta()
        steps = (angle.y() or angle.x()) / 120
        if modifiers & Qt.KeyboardModifier.AltModifier:
            self._turn_or_scale(steps, bool(modifiers & Qt.KeyboardModifier.ShiftModifier))
        elif modifiers & Qt.KeyboardModifier.ShiftModifier:
            self.pan_by(steps * 60, 0)
        elif not pixels.isNull() and not modifiers & Qt.KeyboardModifier.ControlModifier:
            self.pan_by(pixels.x(), pixels.y())
        elif steps:
            self.zoom_by(ZOOM_STEP**steps, event.position())

    def _turn_or_scale(self, steps: float, scale: bool) -> None:
        moved = scrolled_instance(self.content.selected_instance, steps, scale=scale)
        if moved is not None:
            self.intent.emit(moved)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and self._tool.wants(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = True
            self.viewport().setCursor(Qt.CursorShape.OpenHandCursor)
            return
        if not self._tool.key(event):
            event.ignore()  # the main window's keys come next

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = False
            self.viewport().setCursor(self._tool.cursor)
            return
        super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._space = False
        super().focusOutEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._cursor = None
        self._tool.left()
        self.set_hovered(None)
        self.cursor_moved.emit(float("nan"), float("nan"))
        self.viewport().update()
        super().leaveEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The menu key: the menu of what is focused. (The right button belongs to the tools.)"""
        event.accept()
        if event.reason() != QContextMenuEvent.Reason.Keyboard or self._pyramid is None:
            return
        instance, focused = self.content.selected_instance, self.content.focused
        place, xy = self.viewport().rect().center(), self.content.focused_xy
        if xy is not None:
            place = self.viewportTransform().map(QPointF(*xy)).toPoint()
        key = instance.key if instance is not None else None
        self.menu_wanted.emit(key, focused if instance is not None else None, self.viewport().mapToGlobal(place))

    def set_peak_keys(self, keys: tuple[str, ...]) -> None:
        """What the badges of the peaks say: the keys that take them."""
        self._marks.peak_keys = keys
        self._marks.update()

    def focusNextPrevChild(self, next_child: bool) -> bool:
        return False  # Tab walks the instances here; F6 leaves the canvas
