"""How each state of a keypoint is drawn: shape + colour + outline, the same on the canvas, in lists and in the legend."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen, QPixmap

from kinmark.desktop.states import PointState
from kinmark.desktop.theme.colours import STATE_COLOURS

POINT_PX = 9.0
_DASH = [2.2, 1.6]


@dataclass(frozen=True)
class MarkLook:
    """What a mark says beside its state.

    Attributes:
        side: "l" and "r" of a pair are triangles that point to the left and to the right, the middle "" is round.
        outline: the keypoint's own colour "#rrggbb" in place of the white outline; shape and filling still tell the state.
    """

    hidden: bool = False
    selected: bool = False
    hovered: bool = False
    size_px: float = POINT_PX
    outline: str = ""
    side: str = ""


@functools.lru_cache(maxsize=512)
def _mark_picture(state: PointState, look: MarkLook, ratio: float) -> QPixmap:
    """One mark drawn once: stroking antialiased rings anew for every point and frame is what made panning slow."""
    width = int(look.size_px * 1.45 * 1.25) + 16
    pixmap = QPixmap(round(width * ratio), round(width * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    middle = QPointF(width / 2, width / 2)
    size = look.size_px * (1.45 if look.selected else 1.2 if look.hovered else 1.0)
    _paint_mark(
        painter,
        middle,
        state,
        hidden=look.hidden,
        selected=look.selected,
        size=size,
        outline=look.outline,
        side=look.side,
    )
    painter.end()
    return pixmap


def draw_mark(painter: QPainter, centre: QPointF, state: PointState, look: MarkLook = MarkLook()) -> None:
    """One keypoint at `centre` (viewport pixels): halo, then disc, ring or dashed ring, a slash when hidden."""
    if not state.is_drawn:
        return
    device = painter.device()
    ratio = device.devicePixelRatio() if device is not None else 1.0
    pixmap = _mark_picture(state, look, float(ratio))
    half = pixmap.width() / ratio / 2
    painter.drawPixmap(QPointF(centre.x() - half, centre.y() - half), pixmap)


def _paint_mark(
    painter: QPainter,
    centre: QPointF,
    state: PointState,
    *,
    hidden: bool,
    selected: bool,
    size: float,
    outline: str,
    side: str,
) -> None:
    border = QColor(outline) if outline else QColor(255, 255, 255)
    rect = QRectF(centre.x() - size / 2, centre.y() - size / 2, size, size)
    colour = STATE_COLOURS[state]
    shape = _shape(centre, size, side)
    if selected:
        painter.setPen(QPen(QColor(0, 0, 0, 190), 5.4))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(rect.adjusted(-2.6, -2.6, 2.6, 2.6))
        painter.setPen(QPen(QColor(255, 255, 255), 2.6))
        painter.drawEllipse(rect.adjusted(-2.6, -2.6, 2.6, 2.6))
    filled = not state.is_proposal and not hidden
    if filled:
        painter.setPen(_pen(QColor(0, 0, 0, 200), 3.6))
        painter.setBrush(colour)
        painter.drawPath(shape)
        painter.setPen(_pen(border, 2.4 if outline else 1.5))
        painter.drawPath(shape)
        return
    painter.setBrush(Qt.BrushStyle.NoBrush)
    ring = rect.adjusted(0.8, 0.8, -0.8, -0.8)
    if not side:
        shape = _shape(centre, size - 1.6, side)
    painter.setPen(_pen(QColor(0, 0, 0, 190), 6.0 if outline else 5.0))
    painter.drawPath(shape)
    painter.setPen(_pen(border, 4.6) if outline else _pen(QColor(255, 255, 255, 235), 3.6))
    painter.drawPath(shape)
    pen = _pen(colour, 2.2)
    if state is PointState.DOUBTFUL:
        pen.setDashPattern(_DASH)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    painter.setPen(pen)
    painter.drawPath(shape)
    if hidden:
        a, b = ring.bottomLeft() + QPointF(-1.5, 1.5), ring.topRight() + QPointF(1.5, -1.5)
        painter.setPen(QPen(QColor(255, 255, 255, 235), 3.6))
        painter.drawLine(a, b)
        painter.setPen(QPen(colour, 2.0))
        painter.drawLine(a, b)


def _pen(colour: QColor, width: float) -> QPen:
    pen = QPen(colour, width)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return pen


def _shape(centre: QPointF, size: float, side: str) -> QPainterPath:
    """Circle, or a triangle of about the same area that points to its side; the place itself is its centre of mass."""
    path = QPainterPath()
    if not side:
        path.addEllipse(centre, size / 2, size / 2)
        return path
    tip = -1.0 if side == "l" else 1.0
    reach, half = size * 0.76, size * 0.62
    path.moveTo(centre + QPointF(tip * reach, 0))
    path.lineTo(centre + QPointF(-tip * reach / 2, -half))
    path.lineTo(centre + QPointF(-tip * reach / 2, half))
    path.closeSubpath()
    return path


def draw_list_mark(
    painter: QPainter,
    rect: QRectF,
    state: PointState,
    *,
    hidden: bool,
    colour_text: QColor,
    outline: str = "",
    side: str = "",
) -> None:
    """The mark of a list row, centred in `rect`; absent is a cross, empty a small dot."""
    centre = rect.center()
    if state.is_drawn:
        draw_mark(painter, centre, state, MarkLook(hidden=hidden, outline=outline, side=side))
        return
    pen = QPen(colour_text, 1.4)
    painter.setPen(pen)
    if state is PointState.ABSENT:
        painter.drawLine(centre + QPointF(-3.5, -3.5), centre + QPointF(3.5, 3.5))
        painter.drawLine(centre + QPointF(-3.5, 3.5), centre + QPointF(3.5, -3.5))
    else:
        painter.setBrush(colour_text)
        painter.drawEllipse(centre, 1.3, 1.3)


def mark_pixmap(
    state: PointState, *, hidden: bool = False, side: int = 20, ratio: float = 1.0, pair_side: str = ""
) -> QPixmap:
    """A `side` x `side` picture of the mark, for legends and headers."""
    pixmap = QPixmap(round(side * ratio), round(side * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    rect, colour = QRectF(0, 0, side, side), STATE_COLOURS[state]
    draw_list_mark(painter, rect, state, hidden=hidden, colour_text=colour, side=pair_side)
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
