"""What is taller than a small screen scrolls, and the buttons below it stay in sight."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QLayout, QScrollArea, QWidget

FRAME_PX = 40
"""Height that the title bar of a window takes from the screen."""


class Scrolled(QScrollArea):
    """GUI thread. Shows `content` whole where there is room for it, and scrolls it where there is not."""

    def __init__(self, content: QWidget | QLayout, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        if isinstance(content, QLayout):
            inner = QWidget()
            content.setContentsMargins(0, 0, 0, 0)
            inner.setLayout(content)
        else:
            inner = content
        self._inner = inner
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def sizeHint(self) -> QSize:
        return self._inner.sizeHint()

    def minimumSizeHint(self) -> QSize:
        return QSize(160, 100)


def keep_on_screen(window: QWidget) -> None:
    """`fit_to_screen` on the screen that the window is on."""
    screen = window.screen()
    if screen is not None and QGuiApplication.platformName() != "offscreen":  # its screen is made up, and small
        fit_to_screen(window, screen.availableGeometry())


def fit_to_screen(window: QWidget, room: QRect) -> None:
    """Make a window no larger than the screen part `room` and bring it inside (at 200 % a small screen is 683 x 384)."""
    inside = room.adjusted(0, FRAME_PX, 0, 0)
    size = window.size().boundedTo(inside.size())
    if size != window.size():
        window.resize(size)
    place = window.geometry().topLeft()
    x = max(inside.left(), min(place.x(), inside.right() + 1 - window.width()))
    y = max(inside.top(), min(place.y(), inside.bottom() + 1 - window.height()))
    if QPoint(x, y) != place:
        window.setGeometry(QRect(QPoint(x, y), window.size()))
