"""Drawing a skeleton by clicking: first one keypoint, then the other; the same again removes the line. Dragging moves."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QGuiApplication, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from kinmark.desktop.canvas.hit import nearest_point, place_labels
from kinmark.desktop.canvas.marks import draw_halo_text
from kinmark.desktop.theme.colours import ACCENT, CANVAS_GREY


class SkeletonEditor(QWidget):
    """GUI thread. Keypoints over a photo (or a silhouette); names are the keys.

    Signals:
        edge_toggled(str, str): join or part two keypoints.
        point_chosen(str): a keypoint was clicked.
        point_moved(str, float, float): a keypoint was dragged to this place (fractions of the picture).
    """

    edge_toggled = Signal(str, str)
    point_chosen = Signal(str)
    point_moved = Signal(str, float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.places: dict[str, tuple[float, float]] = {}
        self.edges: list[tuple[str, str]] = []
        self.colours: dict[str, str] = {}
        self.rights: set[str] = set()
        self.pairs: list[tuple[str, str]] = []
        self.fixed: set[str] = set()
        self._pressed: tuple[str, QPointF] | None = None
        self._dragging = False
        self.first: str | None = None
        self.current = ""
        self._picture = QPixmap()
        self._cursor = QPointF()
        self.setMouseTracking(True)
        self.setMinimumSize(260, 240)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Skeleton"))

    def sizeHint(self) -> QSize:
        return QSize(420, 380)

    def show_picture(self, pixmap: QPixmap) -> None:
        """Photo behind the keypoints (null: plain ground)."""
        self._picture = pixmap
        self.update()

    def show_schema(
        self,
        places: dict[str, tuple[float, float]],
        edges: list[tuple[str, str]],
        pairs: list[tuple[str, str]],
        colours: dict[str, str],
        fixed: set[str],
    ) -> None:
        """Keypoint places as fractions of the picture, the lines between them, and the (left, right) pairs.

        `fixed` keypoints are labels of the photo behind them: they are not dragged here.
        """
        self.places, self.edges, self.pairs, self.colours, self.fixed = places, edges, pairs, colours, fixed
        self.rights = {right for _, right in pairs}
        if self.first not in places:
            self.first = None
        self.update()

    def _area(self) -> QRectF:
        room = QRectF(self.rect()).adjusted(14, 14, -14, -14)
        if self._picture.isNull():
            side = min(room.width(), room.height())
            size = QSize(int(side), int(side))
        else:
            size = self._picture.size().scaled(room.size().toSize(), Qt.AspectRatioMode.KeepAspectRatio)
        area = QRectF(0, 0, size.width(), size.height())
        area.moveCenter(room.center())
        return area

    def _place(self, name: str) -> QPointF:
        x, y = self.places[name]
        area = self._area()
        return QPointF(area.left() + x * area.width(), area.top() + y * area.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), CANVAS_GREY)
        if not self._picture.isNull():
            painter.drawPixmap(self._area().toRect(), self._picture)
        for a, b in self.edges:
            if a in self.places and b in self.places:
                for colour, width in ((QColor(0, 0, 0, 150), 4.0), (QColor("#56B4E9"), 2.2)):
                    painter.setPen(QPen(colour, width))
                    painter.drawLine(self._place(a), self._place(b))
        for a, b in self.pairs:
            if a in self.places and b in self.places:
                marked = self.current in (a, b)
                for colour, width in ((QColor(0, 0, 0, 120), 3.0), (QColor("white"), 1.6 if marked else 1.0)):
                    painter.setPen(QPen(colour, width, Qt.PenStyle.DotLine))
                    painter.drawLine(self._place(a), self._place(b))
        if self.first is not None:
            painter.setPen(QPen(ACCENT, 2, Qt.PenStyle.DashLine))
            painter.drawLine(self._place(self.first), self._cursor)
        for name in self.places:
            self._paint_point(painter, name)
        self._paint_names(painter)

    def _paint_point(self, painter: QPainter, name: str) -> None:
        place = self._place(name)
        colour = QColor(self.colours.get(name) or "#E69F00")
        chosen = name in (self.current, self.first)
        painter.setPen(QPen(QColor("white"), 3.0 if chosen else 1.6))
        painter.setBrush(QColor(0, 0, 0, 90) if name in self.rights else colour)
        painter.drawEllipse(place, 6.5 if chosen else 5, 6.5 if chosen else 5)
        if name in self.rights:
            painter.setPen(QPen(colour, 2.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(place, 4, 4)

    def _paint_names(self, painter: QPainter) -> None:
        import numpy as np

        if not self.places:
            return
        font = self.font()
        font.setPixelSize(11)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        names = list(self.places)
        anchors = np.array([(self._place(n).x(), self._place(n).y()) for n in names])
        sizes = np.array([(metrics.horizontalAdvance(n) + 4, metrics.height()) for n in names])
        priority = [2.0 if n in (self.current, self.first) else 1.0 for n in names]
        for name, corner in zip(
            names,
            place_labels(
                anchors=anchors,
                sizes=sizes,
                priority=priority,
                obstacles=anchors,
                offset_px=9,
                bounds_wh=(self.width(), self.height()),
            ),
            strict=True,
        ):
            if corner is not None:
                draw_halo_text(painter, QPointF(corner[0] + 2, corner[1] + metrics.ascent()), name)

    def _hit(self, position: QPointF) -> str | None:
        names = list(self.places)
        points = [(self._place(n).x(), self._place(n).y()) for n in names]
        found = nearest_point(points=points, cursor=(position.x(), position.y()), radius_px=12) if points else None
        return names[found[0]] if found is not None else None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        name = self._hit(event.position())
        self._pressed = (name, event.position()) if name is not None else None
        self._dragging = False
        if name is None:
            self.first = None
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        pressed, dragged = self._pressed, self._dragging
        self._pressed, self._dragging = None, False
        if pressed is None:
            return
        name = pressed[0]
        if dragged:
            self.point_moved.emit(name, *self.places[name])
        elif self.first is None or self.first == name:
            self.first = None if self.first == name else name
            self.point_chosen.emit(name)
        else:
            first, self.first = self.first, None
            self.edge_toggled.emit(first, name)
        self._cursor = event.position()
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._cursor = event.position()
        if self._pressed is not None:
            self._drag(*self._pressed)
            return
        self.setCursor(Qt.CursorShape.PointingHandCursor if self._hit(event.position()) else Qt.CursorShape.ArrowCursor)
        if self.first is not None:
            self.update()

    def _drag(self, name: str, start: QPointF) -> None:
        far = (self._cursor - start).manhattanLength() >= QGuiApplication.styleHints().startDragDistance()
        if name in self.fixed or not (far or self._dragging):
            return
        self._dragging, self.first = True, None
        area = self._area()
        x = (self._cursor.x() - area.left()) / max(area.width(), 1.0)
        y = (self._cursor.y() - area.top()) / max(area.height(), 1.0)
        self.places[name] = (min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0))
        self.update()
