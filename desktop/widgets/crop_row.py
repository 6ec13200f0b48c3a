"""A row of crops around single points, each a button that leads to its photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPointF, QSize, Qt, Signal
from PySide6.QtGui import QIcon, QPainter, QPixmap, QResizeEvent
from PySide6.QtWidgets import QToolButton, QWidget

from kinmark.desktop.canvas.marks import draw_mark
from kinmark.desktop.io.thumbnails import ThumbnailStore
from kinmark.desktop.states import PointState
from kinmark.desktop.widgets.flow import FlowLayout
from kinmark.desktop.widgets.message_bar import plain_tip
from kinmark.engine.domain.geometry import Box

SIDE = 96
SMALLEST_WITH_WORDS = 60


@dataclass(frozen=True)
class Crop:
    """`box` of the photo (xy_image) with the point in its middle; `title` and `value` stand below it."""

    image_id: int
    path: Path
    box: Box
    title: str
    value: str


class CropRow(QWidget):
    """GUI thread. Wraps into as many lines as it needs.

    Signals:
        opened(int): the photo of a crop is wanted.
    """

    opened = Signal(int)

    def __init__(
        self,
        thumbnails: ThumbnailStore,
        parent: QWidget | None = None,
        *,
        side: int = SIDE,
        state: PointState = PointState.DOUBTFUL,
    ) -> None:
        super().__init__(parent)
        self._side, self._state = side, state
        self._thumbnails = thumbnails
        self._crops: tuple[Crop, ...] = ()
        self.buttons: list[QToolButton] = []
        self._layout = FlowLayout(self, 12 if side >= SMALLEST_WITH_WORDS else 2)

    def show_crops(self, crops: Sequence[Crop]) -> None:
        """Replace them."""
        self._crops = tuple(crops)
        while len(self.buttons) < len(self._crops):
            button = QToolButton()
            button.setIconSize(QSize(self._side, self._side))
            button.setAutoRaise(True)
            if self._side < SMALLEST_WITH_WORDS:
                button.setFixedSize(self._side + 8, self._side + 8)
            else:
                button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
                button.setFixedSize(self._side + 16, self._side + 2 * self.fontMetrics().lineSpacing() + 14)
            button.clicked.connect(partial(self._open, len(self.buttons)))
            self._layout.addWidget(button)
            self.buttons.append(button)
        for button in self.buttons[len(self._crops) :]:
            button.hide()
        for button, crop in zip(self.buttons, self._crops, strict=False):
            name = button.fontMetrics().elidedText(crop.title, Qt.TextElideMode.ElideMiddle, self._side + 12)
            button.setText(f"{name}\n{crop.value}".replace("&", "&&"))
            tip = f"{crop.title} {crop.value}, {crop.path.name}" if crop.value else crop.title
            button.setToolTip(plain_tip(tip))
            button.setAccessibleName(tip)
            button.show()
        self._fill()
        self._keep_height()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._keep_height()

    def _keep_height(self) -> None:
        """In a page that scrolls nobody else asks how many lines there are."""
        self.setMinimumHeight(self._layout.heightForWidth(self.width()) if self._crops else 0)

    def _open(self, place: int, _checked: bool = False) -> None:
        if place < len(self._crops):
            self.opened.emit(self._crops[place].image_id)

    def _fill(self) -> None:
        for button, crop in zip(self.buttons, self._crops, strict=False):
            pixmap = self._thumbnails.crop(crop.path, crop.box, self._side, self._fill)
            button.setIcon(QIcon(_marked(pixmap, self._side, self._state)) if pixmap is not None else QIcon())


def _marked(pixmap: QPixmap, side: int, state: PointState) -> QPixmap:
    """As large as its button, with a ring where the point is: in the middle."""
    keep, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    marked = pixmap.scaled(side, side, keep, smooth)
    painter = QPainter(marked)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw_mark(painter, QPointF(marked.width() / 2, marked.height() / 2), state)
    painter.end()
    return marked
