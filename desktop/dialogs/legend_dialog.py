"""What the marks mean."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QDialog, QGridLayout, QPushButton, QVBoxLayout, QWidget

from kinmark.desktop.canvas.marks import draw_list_mark
from kinmark.desktop.panels.image_delegate import draw_state_dot
from kinmark.desktop.states import PointState
from kinmark.desktop.theme.colours import CANVAS_GREY, STATE_COLOURS
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.desktop.widgets.scrolled import Scrolled


class _Mark(QWidget):
    def __init__(
        self, state: PointState | None = None, hidden: bool = False, image_state: str = "", side: str = ""
    ) -> None:
        super().__init__()
        self._state, self._hidden, self._image_state, self._side = state, hidden, image_state, side
        self.setFixedSize(34, 26)

    def sizeHint(self) -> QSize:
        return QSize(34, 26)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect())
        if self._state is not None:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(CANVAS_GREY)
            painter.drawRoundedRect(area, 4, 4)
            colour = STATE_COLOURS[self._state]
            draw_list_mark(painter, area, self._state, hidden=self._hidden, colour_text=colour, side=self._side)
        else:
            draw_state_dot(painter, QPointF(area.center()), self._image_state)


class LegendDialog(QDialog):
    """GUI thread. Not modal."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Legend"))
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        rows: list[tuple[QWidget, str]] = [
            (_Mark(PointState.HUMAN), self.tr("placed by hand")),
            (_Mark(PointState.ACCEPTED), self.tr("accepted proposal")),
            (_Mark(PointState.HUMAN, side="l"), self.tr("left of a pair: points to the left")),
            (_Mark(PointState.HUMAN, side="r"), self.tr("right of a pair: points to the right")),
            (_Mark(PointState.PENDING), self.tr("pending proposal")),
            (_Mark(PointState.DOUBTFUL), self.tr("doubtful proposal")),
            (_Mark(PointState.HUMAN, hidden=True), self.tr("hidden: known, but covered")),
            (_Mark(PointState.ABSENT), self.tr("absent: not in the photo (listed, not drawn)")),
            (_Mark(image_state="unseen"), self.tr("photo nobody looked at")),
            (_Mark(image_state="pending"), self.tr("photo with proposals")),
            (_Mark(image_state="doubt"), self.tr("photo with a doubtful proposal")),
            (_Mark(image_state="nothing"), self.tr("looked at, nothing here")),
            (_Mark(image_state="partly"), self.tr("labelled partly: keypoints that nobody looked at")),
            (_Mark(image_state="done"), self.tr("labelled")),
            (_Mark(image_state="error"), self.tr("file missing")),
        ]
        for place, (mark, text) in enumerate(rows):
            grid.addWidget(mark, place, 0)
            grid.addWidget(plain_label(text), place, 1)
        grid.setColumnStretch(1, 1)
        close = QPushButton(self.tr("Close"))
        close.setDefault(True)
        close.clicked.connect(self.accept)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.addWidget(Scrolled(grid), 1)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        self.setMinimumWidth(380)
        self.resize(420, 600)
