"""Small honest charts: lines, bars, points on axes. Painted by hand, no chart library needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

UPRIGHT_PX = 110
"""Longest name of a bar that is written upwards."""


@dataclass(frozen=True)
class Series:
    """One line ("line"), row of points ("points") or set of bars ("bars"); `xy` in data units, NaN leaves gaps."""

    name: str
    xy: tuple[tuple[float, float], ...]
    colour: QColor
    kind: str = "line"
    colours: tuple[QColor, ...] = ()
    """Of the single bars, where they differ."""


def nice_top(high: float) -> float:
    """The smallest multiple of four of the kind 4, 8, 20, 40, 80 ... that `high` fits below: four whole grid steps."""
    size = 1
    while True:
        for top in (4, 8, 12, 20, 28):
            if high <= top * size:
                return float(top * size)
        size *= 10


class Plot(QWidget):
    """GUI thread. `title` above, series below; ranges from the data unless given."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._series: tuple[Series, ...] = ()
        self._x_label = self._y_label = ""
        self._ranges: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None)
        self._labels: tuple[str, ...] = ()
        self._upright = False
        self._empty = self.tr("Nothing to show yet")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setAccessibleName(title)

    def sizeHint(self) -> QSize:
        return QSize(360, 220)

    def minimumSizeHint(self) -> QSize:
        return QSize(220, 150)

    def show_series(
        self,
        series: Sequence[Series],
        *,
        x_label: str = "",
        y_label: str = "",
        x_range: tuple[float, float] | None = None,
        y_range: tuple[float, float] | None = None,
        bar_labels: Sequence[str] = (),
        empty: str = "",
    ) -> None:
        """Replace what is drawn."""
        self._series = tuple(series)
        self._x_label, self._y_label = x_label, y_label
        self._ranges = (x_range, y_range)
        self._labels = tuple(bar_labels)
        self._empty = empty or self._empty
        self.update()

    def _points(self) -> list[tuple[float, float]]:
        return [p for s in self._series for p in s.xy if all(map(math.isfinite, p))]

    def _limits(self, axis: int) -> tuple[float, float]:
        given = self._ranges[axis]
        if given is not None:
            return given
        values = [p[axis] for p in self._points()] or [0.0, 1.0]
        low, high = min(values), max(values)
        if axis == 1 or any(s.kind == "bars" for s in self._series):
            low = min(low, 0.0)
        if axis == 1 and self._counts:
            return low, nice_top(high)
        return (low, high) if high > low else (low, low + 1.0)

    @property
    def _counts(self) -> bool:
        """Bars of whole numbers: their axis shows whole numbers too."""
        bars = [s for s in self._series if s.kind == "bars"]
        return bool(bars) and len(bars) == len(self._series) and all(float(y).is_integer() for _, y in self._points())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette = self.palette()
        text = palette.color(QPalette.ColorRole.WindowText)
        dim = palette.color(QPalette.ColorRole.PlaceholderText)
        font = self.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(text)
        head = QRectF(4, 2, self.width() - 8, self.height())
        wrapped = Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap
        head = painter.boundingRect(head, wrapped, self._title)  # a narrow window has it in two lines
        painter.drawText(head, wrapped, self._title)
        font.setBold(False)
        font.setPixelSize(max(9, font.pixelSize() - 2))
        painter.setFont(font)
        metrics = painter.fontMetrics()
        line = metrics.height()
        bottom = line * (2 if self._x_label or self._labels else 1) + 6
        self._upright = self._labels_stand(metrics, self.width() - metrics.horizontalAdvance("0.000") - 28)
        if self._upright:
            bottom = min(max(metrics.horizontalAdvance(name) for name in self._labels), UPRIGHT_PX) + 8
        left = metrics.horizontalAdvance("0.000") + 14
        top = head.bottom() + line + 3
        area = QRectF(left, top, self.width() - left - 14, self.height() - top - 2 - bottom)
        if not self._points() or area.width() < 40 or area.height() < 30:
            painter.setPen(dim)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._empty)
            return
        self._paint_axes(painter, area, dim, line)
        x_range, y_range = self._limits(0), self._limits(1)
        for number, series in enumerate(self._series):
            self._paint_series(painter, series, area, x_range, y_range)
            if len(self._series) > 1:
                key = area.left() + 6 + number * area.width() / len(self._series)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(series.colour)
                painter.drawRoundedRect(QRectF(key, area.top() - 16, 8, 8), 2, 2)
                painter.setPen(text)
                painter.drawText(QPointF(key + 13, area.top() - 8), series.name)

    def _paint_axes(self, painter: QPainter, area: QRectF, dim: QColor, line: int) -> None:
        grid = QColor(dim)
        grid.setAlpha(60)
        (x0, x1), (y0, y1) = self._limits(0), self._limits(1)
        steps = 4 if area.height() >= 5 * line else 2 if area.height() >= 3 * line else 1
        for step in range(steps + 1):
            y = area.bottom() - area.height() * step / steps
            painter.setPen(QPen(grid, 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(dim)
            label = f"{y0 + (y1 - y0) * step / steps:.3g}"
            painter.drawText(QRectF(0, y - line / 2, area.left() - 6, line), Qt.AlignmentFlag.AlignRight, label)
        if self._labels:
            width = area.width() / max(len(self._labels), 1)
            for n, label in enumerate(self._labels):
                if self._upright:
                    self._paint_upright(painter, label, area.left() + (n + 0.5) * width, area.bottom() + 5)
                    continue
                box = QRectF(area.left() + n * width, area.bottom() + 3, width, line)
                elided = painter.fontMetrics().elidedText(label, Qt.TextElideMode.ElideRight, int(width) - 2)
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, elided)
        else:
            for step in range(3):
                x = area.left() + area.width() * step / 2
                box = QRectF(min(x - 40, self.width() - 80), area.bottom() + 3, 80, line)
                side = Qt.AlignmentFlag.AlignHCenter if box.left() == x - 40 else Qt.AlignmentFlag.AlignRight
                painter.drawText(box, side, f"{x0 + (x1 - x0) * step / 2:.3g}")
        if self._x_label:
            box = QRectF(area.left(), area.bottom() + line + 3, area.width(), line)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._x_label)
        if self._y_label and len(self._series) <= 1:
            painter.drawText(QPointF(area.left(), area.top() - 4), self._y_label)

    def _labels_stand(self, metrics: QFontMetrics, width: float) -> bool:
        """Whether names of bars must be written upwards, because they do not fit side by side."""
        room = width / max(len(self._labels), 1) - 2
        return any(metrics.horizontalAdvance(name) > room for name in self._labels)

    @staticmethod
    def _paint_upright(painter: QPainter, label: str, x: float, top: float) -> None:
        metrics = painter.fontMetrics()
        text = metrics.elidedText(label, Qt.TextElideMode.ElideMiddle, UPRIGHT_PX)
        painter.save()
        painter.translate(x, top)
        painter.rotate(-90)
        painter.drawText(QPointF(-metrics.horizontalAdvance(text), metrics.ascent() / 2 - 1), text)
        painter.restore()

    def _paint_series(
        self,
        painter: QPainter,
        series: Series,
        area: QRectF,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
    ) -> None:
        def place(x: float, y: float) -> QPointF:
            fx = (x - x_range[0]) / (x_range[1] - x_range[0])
            fy = (y - y_range[0]) / (y_range[1] - y_range[0])
            return QPointF(area.left() + area.width() * fx, area.bottom() - area.height() * min(max(fy, 0), 1))

        if series.kind == "bars":
            width = area.width() / max(len(series.xy), 1)
            bar = max(min(width - 4, 64), 2)
            painter.setPen(Qt.PenStyle.NoPen)
            for n, (_, y) in enumerate(series.xy):
                if math.isfinite(y):
                    painter.setBrush(series.colours[n] if n < len(series.colours) else series.colour)
                    top = place(x_range[0], y).y()
                    left = area.left() + (n + 0.5) * width - bar / 2
                    painter.drawRect(QRectF(left, top, bar, area.bottom() - top))
            return
        painter.setPen(
            QPen(series.colour, 1.8, Qt.PenStyle.DashLine if series.kind == "dashes" else Qt.PenStyle.SolidLine)
        )
        last: QPointF | None = None
        for x, y in series.xy:
            here = place(x, y) if math.isfinite(x) and math.isfinite(y) else None
            if series.kind == "points" and here is not None:
                painter.setBrush(series.colour)
                painter.drawEllipse(here, 3.5, 3.5)
            elif here is not None and last is not None:
                painter.drawLine(last, here)
            last = here if here is not None or series.kind != "line" else last
