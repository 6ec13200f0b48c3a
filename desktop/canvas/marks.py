"""How each state of a keypoint is drawn: shape + colour + outline, the same on the canvas, in lists and in the legend."""

from __future__ import annotations

import functools

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen, QPixmap

from desktop.canvas.content import PointState
from desktop.theme.colours import STATE_COLOURS

POINT_PX = 9.0
_DASH = [2.2, 1.6]


@functools.lru_cache(maxsize=512)
def _mark_picture(
    state: PointState, hidden: bool, selected: bool, hovered: bool, size_px: float, ratio: float, outline: str
) -> QPixmap:
    """One mark drawn once: stroking antialiased rings anew for every point and frame is what made panning slow."""
    side = int(size_px * 1.45) + 16
    pixmap = QPixmap(round(side * ratio), round(side * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    middle = QPointF(side / 2, side / 2)
    _paint_mark(
        painter, middle, state, hidden=hidden, selected=selected, hovered=hovered, size_px=size_px, outline=outline
    )
    painter.end()
    return pixmap


def draw_mark(
    painter: QPainter,
    centre: QPointF,
    state: PointState,
    *,
    hidden: bool = False,
    selected: bool = False,
    hovered: bool = False,
    size_px: float = POINT_PX,
    outline: str = "",
) -> None:
    """One keypoint at `centre` (viewport pixels): halo, then disc, ring or dashed ring, a slash when hidden.

    `outline`: the keypoint's own colour "#rrggbb" in place of the white outline; shape and filling still tell the state.
    """
    if not state.is_drawn:
        return
    device = painter.device()
    ratio = device.devicePixelRatio() if device is not None else 1.0
    pixmap = _mark_picture(state, hidden, selected, hovered, float(size_px), float(ratio), outline)
    half = pixmap.width() / ratio / 2
    painter.drawPixmap(QPointF(centre.x() - half, centre.y() - half), pixmap)


def _paint_mark(
    painter: QPainter,
    centre: QPointF,
    state: PointState,
    *,
    hidden: bool,
    selected: bool,
    hovered: bool,
    size_px: float,
    outline: str,
) -> None:
    border = QColor(outline) if outline else QColor(255, 255, 255)
    size = size_px * (1.45 if selected else 1.2 if hovered else 1.0)
    rect = QRectF(centre.x() - size / 2, centre.y() - size / 2, size, size)
    colour = STATE_COLOURS[state]
    if selected:
        painter.setPen(QPen(QColor(0, 0, 0, 190), 5.4))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(rect.adjusted(-2.6, -2.6, 2.6, 2.6))
        painter.setPen(QPen(QColor(255, 255, 255), 2.6))
        painter.drawEllipse(rect.adjusted(-2.6, -2.6, 2.6, 2.6))
    filled = not state.is_proposal and not hidden
    if filled:
        painter.setPen(QPen(QColor(0, 0, 0, 200), 3.6))
        painter.setBrush(colour)
        painter.drawEllipse(rect)
        painter.setPen(QPen(border, 2.4 if outline else 1.5))
        painter.drawEllipse(rect)
        return
    painter.setBrush(Qt.BrushStyle.NoBrush)
    ring = rect.adjusted(0.8, 0.8, -0.8, -0.8)
    painter.setPen(QPen(QColor(0, 0, 0, 190), 6.0 if outline else 5.0))
    painter.drawEllipse(ring)
    painter.setPen(QPen(border, 4.6) if outline else QPen(QColor(255, 255, 255, 235), 3.6))
    painter.drawEllipse(ring)
    pen = QPen(colour, 2.2)
    if state is PointState.DOUBTFUL:
        pen.setDashPattern(_DASH)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    painter.setPen(pen)
    painter.drawEllipse(ring)
    if hidden:
        a, b = ring.bottomLeft() + QPointF(-1.5, 1.5), ring.topRight() + QPointF(1.5, -1.5)
        painter.setPen(QPen(QColor(255, 255, 255, 235), 3.6))
        painter.drawLine(a, b)
        painter.setPen(QPen(colour, 2.0))
        painter.drawLine(a, b)


def draw_list_mark(
    painter: QPainter, rect: QRectF, state: PointState, *, hidden: bool, colour_text: QColor, outline: str = ""
) -> None:
    """The mark of a list row, centred in `rect`; absent is a cross, empty a small dot."""
    centre = rect.center()
    if state.is_drawn:
        draw_mark(painter, centre, state, hidden=hidden, outline=outline)
        return
    pen = QPen(colour_text, 1.4)
    painter.setPen(pen)
    if state is PointState.ABSENT:
        painter.drawLine(centre + QPointF(-3.5, -3.5), centre + QPointF(3.5, 3.5))
        painter.drawLine(centre + QPointF(-3.5, 3.5), centre + QPointF(3.5, -3.5))
    else:
        painter.setBrush(colour_text)
        painter.drawEllipse(centre, 1.3, 1.3)


def mark_pixmap(state: PointState, *, hidden: bool = False, side: int = 20, ratio: float = 1.0) -> QPixmap:
    """A `side` x `side` picture of the mark, for legends and headers."""
    pixmap = QPixmap(round(side * ratio), round(side * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw_list_mark(painter, QRectF(0, 0, side, side), state, hidden=hidden, colour_text=STATE_COLOURS[state])
    painter.end()
    return pixmap


def draw_halo_text(painter: QPainter, at: QPointF, text: str, colour: QColor | None = None) -> None:
    """Plain text with its baseline start at `at`, readable on snow and on coal."""
    device = painter.device()
    ratio = device.devicePixelRatio() if device is not None else 1.0
    picture, ascent = _text_picture(text, painter.font().toString(), (colour or QColor("white")).name(), float(ratio))
    painter.drawPixmap(QPointF(at.x() - 3, at.y() - ascent - 3), picture)


@functools.lru_cache(maxsize=600)
def _text_picture(text: str, font_text: str, colour: str, ratio: float) -> tuple[QPixmap, float]:
    """The text with its halo drawn once, and the height of its baseline."""
    font = QFont()
    font.fromString(font_text)
    metrics = QFontMetricsF(font)
    width, height = metrics.horizontalAdvance(text) + 8, metrics.height() + 6
    pixmap = QPixmap(max(1, round(width * ratio)), max(1, round(height * ratio)))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    path = QPainterPath()
    path.addText(QPointF(3, metrics.ascent() + 3), font, text)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    halo = QPen(QColor(0, 0, 0, 220), 3.0)
    halo.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(halo)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(path)
    painter.fillPath(path, QColor(colour))
    painter.end()
    return pixmap, metrics.ascent()
