"""Scene items: masks and the heat map in image coordinates; points, skeleton, boxes and names at screen size."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QImage, QPainter, QPainterPath, QPen, QTransform
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from kinmark.desktop.canvas.content import CanvasContent, InstanceContent, Overlays
from kinmark.desktop.canvas.hit import box_handles, place_labels
from kinmark.desktop.canvas.marks import MarkLook, draw_halo_text, draw_mark
from kinmark.desktop.canvas.outline import mask_path
from kinmark.desktop.canvas.tags import paint_tags
from kinmark.desktop.canvas.viridis import heat_image
from kinmark.desktop.states import PointState
from kinmark.desktop.theme.colours import STATE_COLOURS, instance_colour
from kinmark.engine.domain.geometry import apply_affine

NAMES_FROM_SCALE = 2.0
FULL_SIZE_FROM_PX = 160.0


def matrix_of(transform: QTransform) -> np.ndarray:
    """`[2, 3]` affine of a QTransform (xy_image to viewport pixels)."""
    t = transform
    return np.array([[t.m11(), t.m21(), t.dx()], [t.m12(), t.m22(), t.dy()]], dtype=np.float64)


class MaskItem(QGraphicsItem):
    """One mask: 35 % fill and an outline of 1.5 px on a dark ground at any zoom, dashed while it is a proposal."""

    def __init__(self) -> None:
        super().__init__()
        self._path = QPainterPath()
        self._bounds = QRectF()
        self._colour = QColor()
        self._pending = False
        self.setZValue(1)

    def show_mask(self, mask: np.ndarray, colour: QColor, pending: bool) -> None:
        """Take a boolean `[H, W]` mask."""
        self.prepareGeometryChange()
        self._path = mask_path(mask)
        self._bounds = self._path.boundingRect().adjusted(-4, -4, 4, 4)
        self._colour, self._pending = colour, pending
        self.update()

    def boundingRect(self) -> QRectF:
        return self._bounds

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        fill = QColor(self._colour)
        fill.setAlphaF(0.35)
        painter.fillPath(self._path, fill)
        ground = QPen(
            QColor(0, 0, 0, 190), 3.5
        )  # whole under the dashes: pale colours vanish on pale photos without it
        ground.setCosmetic(True)
        painter.strokePath(self._path, ground)
        pen = QPen(self._colour.lighter(125), 1.5)
        pen.setCosmetic(True)
        if self._pending:
            pen.setStyle(Qt.PenStyle.DashLine)
        painter.strokePath(self._path, pen)


class HeatItem(QGraphicsItem):
    """The similarity map of the focused keypoint, stretched over the photo."""

    def __init__(self) -> None:
        super().__init__()
        self._image = QImage()
        self._bounds = QRectF()
        self.setZValue(2)

    def show_values(self, values: np.ndarray | None, image_wh: tuple[int, int]) -> None:
        """Take `[h, w]` scores, or None for nothing."""
        self.prepareGeometryChange()
        self._image = QImage() if values is None else heat_image(np.asarray(values))
        self._bounds = QRectF() if values is None else QRectF(0, 0, *image_wh)
        self.update()

    def boundingRect(self) -> QRectF:
        return self._bounds

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if not self._image.isNull():
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(self._bounds, self._image)


class MarksItem(QGraphicsItem):
    """Points, skeleton, boxes, peaks and names of all instances, drawn in viewport pixels so that sizes stay.

    `hovered` is (instance key, keypoint index) or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.content = CanvasContent()
        self.overlays = Overlays()
        self.hovered: tuple[str, int] | None = None
        self.point_px = 9.0
        self.peak_keys: tuple[str, ...] = ("1", "2", "3")
        self._bounds = QRectF()
        self.setZValue(5)

    def show_content(self, content: CanvasContent, overlays: Overlays) -> None:
        """Take what to draw."""
        w, h = content.image_wh
        bounds = QRectF(-w, -h, 3 * w, 3 * h)
        if bounds != self._bounds:
            self.prepareGeometryChange()
            self._bounds = bounds
        self.content, self.overlays = content, overlays
        self.update()

    def boundingRect(self) -> QRectF:
        return self._bounds

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if self.overlays.peek:
            return
        transform = painter.worldTransform()
        matrix = matrix_of(transform)
        painter.save()
        painter.setWorldTransform(QTransform())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for instance in sorted(self.content.instances, key=lambda i: i.key == self.content.selected):
            self._paint_instance(painter, instance, matrix)
        if self.content.several and self.overlays.points:
            paint_tags(painter, self.content, matrix, self._view_wh())
        self._paint_peaks(painter, matrix)
        if self.overlays.points:
            self._paint_names(painter, matrix, abs(transform.m11()))
        painter.restore()

    def _paint_instance(self, painter: QPainter, instance: InstanceContent, matrix: np.ndarray) -> None:
        selected = instance.key == self.content.selected
        if self.overlays.boxes and instance.box is not None:
            self._paint_box(painter, instance, matrix, selected)
        if not len(instance.names):
            return
        points = apply_affine(matrix, instance.xy_image)
        drawn = instance.drawn
        if self.overlays.skeleton:
            self._paint_skeleton(painter, instance, points, drawn, selected, self._strength(selected))
        if not self.overlays.points:
            return
        size = mark_size(points[drawn], self.point_px)
        painter.setOpacity(self._strength(selected))
        focused = self.content.focused if selected else None
        marked = self.content.marked if selected else frozenset()
        for index in np.flatnonzero(drawn):
            if index == focused:
                continue
            self._paint_point(painter, instance, points, int(index), int(index) in marked, size)
        if focused is not None and focused < len(drawn) and drawn[focused]:
            self._paint_point(painter, instance, points, focused, True, size)
        painter.setOpacity(1.0)

    def _strength(self, selected: bool) -> float:
        """Opacity: among several, the others step back behind the selected one."""
        if selected or self.content.selected is None:
            return 1.0
        return 0.5 if self.content.several else 0.75

    def _paint_point(
        self, painter: QPainter, instance: InstanceContent, points: np.ndarray, index: int, focused: bool, size: float
    ) -> None:
        draw_mark(
            painter,
            QPointF(*points[index].tolist()),
            instance.states[index],
            MarkLook(
                instance.is_hidden(index),
                focused,
                self.hovered == (instance.key, index),
                float(size),
                instance.colour_of(index),
                instance.side_of(index),
            ),
        )

    @staticmethod
    def _paint_skeleton(
        painter: QPainter,
        instance: InstanceContent,
        points: np.ndarray,
        drawn: np.ndarray,
        selected: bool,
        strength: float = 1.0,
    ) -> None:
        """All edges in a few calls of solid lines: Qt draws those without building a stroke outline first."""
        firm: list[QLineF] = []
        pending: list[QLineF] = []
        for a, b in instance.edges:
            if drawn[a] and drawn[b]:
                waits = instance.states[a].is_proposal or instance.states[b].is_proposal
                (pending if waits else firm).append(QLineF(*points[a].tolist(), *points[b].tolist()))
        colour = QColor(instance_colour(instance.number))
        colour.setAlphaF(0.85 if selected else 0.6 * strength)
        for lines, width in ((firm, 2.0), (pending, 1.2)):
            if lines:
                painter.setPen(QPen(QColor(0, 0, 0, round(110 * strength)), width + 1.4))
                painter.drawLines(lines)
                painter.setPen(QPen(colour, width))
                painter.drawLines(lines)

    def _paint_box(self, painter: QPainter, instance: InstanceContent, matrix: np.ndarray, selected: bool) -> None:
        assert instance.box is not None
        (x0, y0), (x1, y1) = apply_affine(matrix, np.array(instance.box).reshape(2, 2)).tolist()
        rect = QRectF(QPointF(x0, y0), QPointF(x1, y1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(0, 0, 0, 150), 3.5))
        painter.drawRect(rect)
        pen = QPen(instance_colour(instance.number), 2.0 if selected else 1.4)
        if any(s.is_proposal for s in instance.states) or instance.mask_pending:
            pen.setDashPattern([5, 3])
        painter.setPen(pen)
        painter.drawRect(rect)
        if selected and self.content.editable:
            painter.setBrush(QColor(255, 255, 255))
            painter.setPen(QPen(QColor(0, 0, 0), 1))
            for x, y in apply_affine(matrix, box_handles(instance.box)).tolist():
                painter.drawRect(QRectF(x - 3.5, y - 3.5, 7, 7))

    def _paint_peaks(self, painter: QPainter, matrix: np.ndarray) -> None:
        font = painter.font()
        font.setPixelSize(11)
        font.setBold(True)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        taken: list[QRectF] = []
        for number, peak in enumerate(self.content.peaks[:3], start=1):
            x, y = apply_affine(matrix, (peak.x, peak.y)).tolist()
            text = self.peak_keys[number - 1] if number <= len(self.peak_keys) else str(number)
            badge = QRectF(x + 8, y - 20, max(15.0, metrics.horizontalAdvance(text) + 7), 15)
            while any(badge.intersects(other) for other in taken):
                badge.translate(0, 16)
            taken.append(badge)
            painter.setPen(QPen(QColor(0, 0, 0, 200), 1))
            painter.setBrush(QColor(255, 255, 255, 235))
            painter.drawRoundedRect(badge, 4, 4)
            painter.setPen(QColor(20, 20, 20))
            painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, text)
            if number > 1:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                for colour, width in ((QColor(0, 0, 0, 190), 3.2), (QColor(255, 255, 255), 1.5)):
                    painter.setPen(QPen(colour, width))
                    painter.drawLine(QPointF(x - 5, y), QPointF(x + 5, y))
                    painter.drawLine(QPointF(x, y - 5), QPointF(x, y + 5))

    def _named(self, scale: float) -> list[tuple[InstanceContent, int, float]]:
        named: list[tuple[InstanceContent, int, float]] = []
        for instance in self.content.instances:
            selected = instance.key == self.content.selected
            for index in np.flatnonzero(instance.drawn) if len(instance.names) else ():
                focused = selected and index == self.content.focused
                hovered = self.hovered == (instance.key, int(index))
                if focused or hovered or (selected and self.overlays.names) or scale >= NAMES_FROM_SCALE:
                    named.append((instance, int(index), 4.0 * focused + 3.0 * hovered + 1.0 * selected))
        return named

    def _view_wh(self) -> tuple[float, float] | None:
        """Size of the view that shows the scene, where names must stay inside."""
        views = self.scene().views() if self.scene() is not None else []
        return (views[0].viewport().width(), views[0].viewport().height()) if views else None

    def _paint_names(self, painter: QPainter, matrix: np.ndarray, scale: float) -> None:
        named = self._named(scale)
        if not named:
            return
        font = painter.font()
        font.setPixelSize(12)
        font.setBold(False)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        anchors = np.array([apply_affine(matrix, i.xy_image[k]) for i, k, _ in named])
        texts = [label_text(i, k) for i, k, _ in named]
        sizes = np.array([(metrics.horizontalAdvance(t) + 4, metrics.height()) for t in texts])
        everything = [i.xy_image[i.drawn] for i in self.content.instances if len(i.names)]
        badges = [(p.x, p.y) for p in self.content.peaks[:3]]
        obstacles = apply_affine(matrix, np.concatenate(everything)) if everything else np.zeros((0, 2))
        if badges:
            beside = apply_affine(matrix, badges)
            obstacles = np.concatenate([obstacles, *(beside + np.array([dx, -12.0]) for dx in (15.0, 32.0, 46.0))])
        corners = place_labels(
            anchors=anchors,
            sizes=sizes,
            priority=[p for *_, p in named],
            obstacles=obstacles,
            offset_px=11,
            bounds_wh=self._view_wh(),
        )
        for corner, text, (_, _, priority) in zip(corners, texts, named, strict=True):
            if corner is None and priority < 3:
                continue
            place = corner if corner is not None else anchors[texts.index(text)] + (11, -8)
            draw_halo_text(painter, QPointF(place[0] + 2, place[1] + metrics.ascent()), text)


def mark_size(points: np.ndarray, wanted_px: float) -> float:
    """Diameter of the marks of an instance whose keypoints lie at `points` `[N, 2]` (viewport pixels).

    As wanted on an animal of 160 pixels and more, smaller on smaller ones (at half of it, half as large) so that they do
    not hide it, never under 4. In half pixels, so that few pictures are kept.
    """
    if len(points) < 2:
        return wanted_px
    side = float(np.ptp(points, axis=0).max())
    return max(4.0, round(2 * wanted_px * min(1.0, max(0.4, side / FULL_SIZE_FROM_PX))) / 2)


def label_text(instance: InstanceContent, index: int) -> str:
    """Name of a keypoint, with its confidence while it is a proposal."""
    text = instance.names[index]
    confidence = instance.confidence[index]
    if instance.states[index].is_proposal and np.isfinite(confidence):
        text += f"  {confidence:.2f}"
    return text


def state_colour(state: PointState) -> QColor:
    """The colour of a state."""
    return STATE_COLOURS[state]
