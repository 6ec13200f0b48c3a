"""Draws a photo of the list: thumbnail, state dot, name, counts; a broken tile with the reason when unreadable."""

from __future__ import annotations

import functools

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPalette, QPen, QPixmap
from PySide6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from kinmark.desktop.panels.image_model import ROW_ROLE, ImageModel
from kinmark.desktop.panels.tile_overlays import TileOverlays, draw_overlay
from kinmark.desktop.theme.colours import IMAGE_STATE_COLOURS
from kinmark.desktop.theme.icons import draw_icon
from kinmark.projects.store.rows import ImageRow

Index = QModelIndex | QPersistentModelIndex
KEPT_PICTURES = 400


def state_of(row: ImageRow, doubt_below: float) -> str:
    """The state that the dot shows."""
    if row.file_state == "missing":
        return "error"
    if row.state == "pending" and row.min_confidence is not None and row.min_confidence < doubt_below:
        return "doubt"
    return row.state


DOT_PX = 16


def draw_state_dot(painter: QPainter, centre: QPointF, state: str) -> None:
    """Shape and colour of an image state: ring unseen, half pending, dashed doubt, three quarters partly, tick done, slash
    nothing."""
    device = painter.device()
    picture = _dot_picture(state, float(device.devicePixelRatio()) if device is not None else 1.0)
    painter.drawPixmap(QPointF(round(centre.x()) - DOT_PX / 2, round(centre.y()) - DOT_PX / 2), picture)


@functools.lru_cache(maxsize=64)
def _dot_picture(state: str, ratio: float) -> QPixmap:
    """Drawn once: antialiased rings, stroked anew for each row, are what makes painting the list slow."""
    pixmap = QPixmap(round(DOT_PX * ratio), round(DOT_PX * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _paint_state_dot(painter, QPointF(DOT_PX / 2, DOT_PX / 2), state)
    painter.end()
    return pixmap


def _paint_state_dot(painter: QPainter, centre: QPointF, state: str) -> None:
    colour = IMAGE_STATE_COLOURS.get(state, IMAGE_STATE_COLOURS["unseen"])
    rect = QRectF(centre.x() - 5, centre.y() - 5, 10, 10)
    painter.setPen(QPen(colour, 2.0))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if state == "done":
        painter.setBrush(colour)
        painter.drawEllipse(rect)
        painter.setPen(QPen(QColor("white"), 1.6))
        painter.drawPolyline([centre + QPointF(-2.6, 0.2), centre + QPointF(-0.6, 2.2), centre + QPointF(2.8, -2.2)])
    elif state == "pending":
        painter.drawEllipse(rect)
        painter.setBrush(colour)
        painter.drawPie(rect, 90 * 16, 180 * 16)
    elif state == "partly":
        painter.drawEllipse(rect)
        painter.setBrush(colour)
        painter.drawPie(rect, -180 * 16, 270 * 16)
    elif state == "doubt":
        pen = QPen(colour, 2.2)
        pen.setDashPattern([1.6, 1.2])
        painter.setPen(pen)
        painter.drawEllipse(rect)
        painter.drawPoint(centre)
    elif state == "nothing":
        painter.drawEllipse(rect)
        painter.drawLine(rect.bottomLeft() + QPointF(1.5, -1.5), rect.topRight() + QPointF(-1.5, 1.5))
    elif state == "error":
        painter.drawLine(rect.topLeft(), rect.bottomRight())
        painter.drawLine(rect.topRight(), rect.bottomLeft())
    else:
        painter.drawEllipse(rect)


def draw_exhaustive(painter: QPainter, centre: QPointF, every: bool) -> None:
    """Two ticks where all instances are labelled, dots where some are missing."""
    badge = QRectF(centre.x() - 9, centre.y() - 6.5, 18, 13)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(20, 21, 24, 205))
    painter.drawRoundedRect(badge, 4, 4)
    if every:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(IMAGE_STATE_COLOURS["done"].lighter(150), 1.8))
        for shift in (-2.6, 2.2):
            at = centre + QPointF(shift, 0)
            painter.drawPolyline([at + QPointF(-3.0, 0.2), at + QPointF(-0.9, 2.4), at + QPointF(3.2, -2.8)])
        return
    painter.setBrush(IMAGE_STATE_COLOURS["doubt"].lighter(140))
    for shift in (-4.5, 0.0, 4.5):
        painter.drawEllipse(centre + QPointF(shift, 0), 1.5, 1.5)


def _has_labels(row: ImageRow) -> bool:
    return bool(row.instance_count or row.pending_count)


class ImageDelegate(QStyledItemDelegate):
    """GUI thread; owned by the image panel. Rows in list mode, tiles in grid mode."""

    def __init__(
        self, view: QListView, doubt_below: float, overlays: TileOverlays, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._view = view
        self.overlays = overlays
        self.grid = False
        self.tile = 116
        self.doubt_below = doubt_below
        self._pictures: dict[tuple[int, int, int, float], QPixmap] = {}

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        line = self._view.fontMetrics().height()
        if self.grid:
            return QSize(self.tile, self.tile + line + 10)
        return QSize(100, max(48, line * 2 + 12))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        model = self._view.model()
        row = index.data(ROW_ROLE)
        if not isinstance(model, ImageModel) or row is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect: QRect = option.rect  # type: ignore[attr-defined]
        selected = bool(option.state & QStyle.StateFlag.State_Selected)  # type: ignore[attr-defined]
        palette: QPalette = option.palette  # type: ignore[attr-defined]
        if selected:
            wash = QColor(palette.color(QPalette.ColorRole.Highlight))
            wash.setAlpha(48)
            painter.fillRect(rect, wash)
            painter.fillRect(
                QRect(rect.left(), rect.top(), 3, rect.height()), palette.color(QPalette.ColorRole.Highlight)
            )
        line = self._view.fontMetrics().height()
        if self.grid:
            picture = QRect(rect.left() + 6, rect.top() + 6, rect.width() - 12, rect.height() - line - 14)
            words = QRect(rect.left() + 22, rect.bottom() - line - 4, rect.width() - 26, line)
            dot = QPointF(rect.left() + 13, words.center().y() + 1)
        else:
            side = rect.height() - 8
            picture = QRect(rect.left() + 8, rect.top() + 4, round(side * 1.25), side)
            left = picture.right() + 28
            words = QRect(left, rect.top() + 5, rect.right() - left - 6, line)
            dot = QPointF(picture.right() + 15, rect.center().y() + 1)
        self._picture(painter, picture, model, index, row, palette)
        draw_state_dot(painter, dot, state_of(row, self.doubt_below))
        if row.exhaustive is not None:
            corner = (
                QPointF(words.right() - 10, dot.y()) if self.grid else QPointF(picture.right() - 10, picture.top() + 9)
            )
            draw_exhaustive(painter, corner, row.exhaustive == 1)
            words.setWidth(words.width() - (22 if self.grid else 0))
        self._words(painter, words, row, palette, line)
        painter.restore()

    def _picture(
        self, painter: QPainter, rect: QRect, model: ImageModel, index: Index, row: ImageRow, palette: QPalette
    ) -> None:
        place = QPersistentModelIndex(index)  # type: ignore[arg-type]
        pixmap = model.thumbnail(index.row(), lambda: self._ready(place))
        if pixmap is not None and not pixmap.isNull():
            size = pixmap.size().scaled(rect.size(), Qt.AspectRatioMode.KeepAspectRatio)
            target = QRect(0, 0, size.width(), size.height())
            target.moveCenter(rect.center())
            painter.drawPixmap(target, self._scaled(pixmap, target.size(), painter))
            known = self.overlays.get(row.id, row.size_wh) if self.grid and _has_labels(row) else None
            if known is not None:
                draw_overlay(painter, QRectF(target), known)
            return
        base = palette.color(QPalette.ColorRole.Mid)
        base.setAlpha(90)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(base)
        painter.drawRoundedRect(rect, 4, 4)
        if model.error_text(row):
            centre = QRectF(0, 0, 20, 20)
            centre.moveCenter(QRectF(rect).center())
            draw_icon(painter, "broken", centre, IMAGE_STATE_COLOURS["error"])

    def _scaled(self, pixmap: QPixmap, size: QSize, painter: QPainter) -> QPixmap:
        """The thumbnail in the pixels of the screen, kept: scaling it smoothly costs more than the rest of its row."""
        device = painter.device()
        ratio = float(device.devicePixelRatio()) if device is not None else 1.0
        key = pixmap.cacheKey(), size.width(), size.height(), ratio
        found = self._pictures.get(key)
        if found is None:
            if len(self._pictures) >= KEPT_PICTURES:
                self._pictures.clear()
            smooth = Qt.TransformationMode.SmoothTransformation
            found = pixmap.scaled(size * ratio, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
            found.setDevicePixelRatio(ratio)
            self._pictures[key] = found
        return found

    def _ready(self, place: QPersistentModelIndex) -> None:
        if place.isValid():
            self._view.update(QModelIndex(place))  # type: ignore[call-overload]

    def _words(self, painter: QPainter, rect: QRect, row: ImageRow, palette: QPalette, line: int) -> None:
        metrics = self._view.fontMetrics()
        painter.setFont(self._view.font())
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        name = row.file_name.rsplit("/", 1)[-1]
        painter.drawText(
            rect, Qt.AlignmentFlag.AlignVCenter, metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, rect.width())
        )
        if self.grid:
            return
        details = self._details(row)
        painter.setPen(palette.color(QPalette.ColorRole.PlaceholderText))
        below = QRect(rect.left(), rect.bottom() + 2, rect.width(), line)
        painter.drawText(
            below,
            Qt.AlignmentFlag.AlignVCenter,
            metrics.elidedText(details, Qt.TextElideMode.ElideRight, below.width()),
        )

    def _details(self, row: ImageRow) -> str:
        if row.file_state == "missing":
            return self.tr("file missing")
        if row.file_state == "changed":
            return self.tr("file changed")
        if row.pending_count:
            low = f"  {row.min_confidence:.2f}" if row.min_confidence is not None else ""
            return self.tr("{n} pending").format(n=row.pending_count) + low
        if row.instance_count:
            text = self.tr("{n} labelled partly") if row.state == "partly" else self.tr("{n} labelled")
            if row.exhaustive == 1:
                text = self.tr("all {n} labelled partly") if row.state == "partly" else self.tr("all {n} labelled")
            elif row.exhaustive == 0:
                text = self.tr("{n} labelled, not all")
            return text.format(n=row.instance_count)
        if row.state == "nothing":
            return self.tr("nothing here")
        return f"{row.width} x {row.height}"
