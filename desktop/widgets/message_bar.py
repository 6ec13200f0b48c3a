"""The bar over the foot of the page: what happened, what to do, copy details, try again."""

from __future__ import annotations

import html
from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtGui import QGuiApplication, QMouseEvent, QPalette, Qt
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from kinmark.desktop.theme.icons import icon

INFO_MS = 9000
MARGIN_PX, WIDEST_PX, ONE_ROW_PX = 14, 760, 520


def plain_label(text: str = "", parent: QWidget | None = None, name: str = "") -> QLabel:
    """A label that never interprets its text (file names may hold anything)."""
    label = QLabel(parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setText(text)
    label.setWordWrap(True)
    if name:
        label.setObjectName(name)
    return label


def plain_tip(text: str) -> str:
    """A tooltip that shows its text as it is: Qt would take a file name like "<img src=...>" for rich text."""
    return f"<span>{html.escape(text)}</span>" if Qt.mightBeRichText(text) else text


def show_if(widget: QWidget, visible: bool) -> None:
    """`setVisible` only when it changes something: it invalidates layouts even when it does not."""
    if widget.isHidden() == visible:
        widget.setVisible(visible)


class MessageBar(QFrame):
    """GUI thread; owned by the main window. Shows the newest message; information goes away by itself.

    It lies over the page instead of above it: nothing moves under a hand that places keypoints when it comes or goes. A click
    on it takes it away, so that nobody has to wait for what lies below.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("messageBar")
        self._details = ""
        self._level = ""
        self._retry: Callable[[], object] | None = None
        self._other_work: Callable[[], object] | None = None
        self._icon = QLabel()
        self._text = plain_label()
        self._hint = plain_label(name="dim")
        self._copy = QPushButton(self.tr("Copy details"))
        self._again = QPushButton(self.tr("Try again"))
        self._other = QPushButton()
        self._close = QToolButton()
        self._close.setIcon(icon("cross"))
        self._close.setToolTip(self.tr("Close"))
        self._close.setAccessibleName(self.tr("Close message"))
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self._text)
        words.addWidget(self._hint)
        head = QHBoxLayout()
        head.addWidget(self._icon)
        head.addLayout(words, 1)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self._copy)
        buttons.addWidget(self._other)
        buttons.addWidget(self._again)
        buttons.addWidget(self._close)
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._row.setContentsMargins(10, 6, 6, 6)
        self._row.addLayout(head, 1)
        self._row.addLayout(buttons)
        self._copy.clicked.connect(self._copy_details)
        self._again.clicked.connect(self._try_again)
        self._other.clicked.connect(self._do_other)
        self._close.clicked.connect(self.hide)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        self._foot: Callable[[], int] = lambda: 0
        self.hide()

    def float_over(self, page: QWidget, foot: Callable[[], int] = lambda: 0) -> None:
        """Stay at the foot of `page`, above the `foot()` pixels that it must not cover."""
        self._foot = foot
        self.setParent(page)
        page.installEventFilter(self)
        self.hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click beside its buttons: it was read, and what lies below is wanted."""
        self.hide()
        event.accept()

    def place_again(self) -> None:
        """Another page is in front."""
        if self.isVisible():
            self._place()

    def _place(self) -> None:
        page = self.parentWidget()
        if page is None:
            return
        width = min(page.width() - 2 * MARGIN_PX, WIDEST_PX)
        direction = QBoxLayout.Direction
        self._row.setDirection(direction.LeftToRight if width >= ONE_ROW_PX else direction.TopToBottom)
        height = self._row.totalHeightForWidth(width)
        self.setGeometry((page.width() - width) // 2, page.height() - height - MARGIN_PX - self._foot(), width, height)
        self.raise_()

    def show_message(self, level: str, text: str, hint: str, details: str, retry: object, other: object = None) -> None:
        """Replace what is shown; `other` is (text, work) of one more button."""
        self._level = level
        self._other_work = other[1] if isinstance(other, tuple) else None
        self._other.setText(str(other[0]) if isinstance(other, tuple) else "")
        self._other.setVisible(self._other_work is not None)
        self._text.setText(text)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        self._details = "\n".join(part for part in (text, hint, details) if part)
        self._retry = retry if callable(retry) else None
        self._copy.setVisible(level == "error")
        self._again.setVisible(self._retry is not None)
        self._icon.setPixmap(icon("info" if level in ("info", "wait") else "warning").pixmap(20, 20))
        colour = {"info": "#0072B2", "wait": "#0072B2", "warning": "#E69F00"}.get(level, "#D55E00")
        base, line = (self.palette().color(role).name() for role in (QPalette.ColorRole.Base, QPalette.ColorRole.Mid))
        self.setStyleSheet(
            f"QFrame#messageBar {{ background: {base}; border: 1px solid {line}; border-left: 4px solid {colour};"
            " border-radius: 6px; }"
        )
        self.setAccessibleName(text)
        self.show()
        self._place()
        if level == "info":
            self._timer.start(INFO_MS)
        else:
            self._timer.stop()

    def withdraw(self, text: str) -> None:
        """Take the message with this text away, if it is shown."""
        if self.text == text:
            self.hide()

    def end_information(self) -> None:
        """A step was taken back or done again: what was said about it holds no longer."""
        if self._level == "info":
            self.hide()

    @property
    def text(self) -> str:
        """What is shown ("" when hidden)."""
        return self._text.text() if self.isVisible() else ""

    def _copy_details(self) -> None:
        QGuiApplication.clipboard().setText(self._details)

    def _do_other(self) -> None:
        work = self._other_work
        self.hide()
        if work is not None:
            work()

    def _try_again(self) -> None:
        retry = self._retry
        self.hide()
        if retry is not None:
            retry()
