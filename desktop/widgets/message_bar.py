"""The bar above the canvas: what happened, what to do, copy details, try again. Never in the way of the work."""

from __future__ import annotations

import html
from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtGui import QGuiApplication, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from desktop.theme.icons import icon

INFO_MS = 9000


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
    """GUI thread; owned by the main window. Shows the newest message; information goes away by itself."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("messageBar")
        self._details = ""
        self._retry: Callable[[], object] | None = None
        self._icon = QLabel()
        self._text = plain_label()
        self._hint = plain_label(name="dim")
        self._copy = QPushButton(self.tr("Copy details"))
        self._again = QPushButton(self.tr("Try again"))
        self._close = QToolButton()
        self._close.setIcon(icon("cross"))
        self._close.setToolTip(self.tr("Close"))
        self._close.setAccessibleName(self.tr("Close message"))
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self._text)
        words.addWidget(self._hint)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 6, 6, 6)
        row.addWidget(self._icon)
        row.addLayout(words, 1)
        for button in (self._copy, self._again, self._close):
            row.addWidget(button)
        self._copy.clicked.connect(self._copy_details)
        self._again.clicked.connect(self._try_again)
        self._close.clicked.connect(self.hide)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def show_message(self, level: str, text: str, hint: str, details: str, retry: object) -> None:
        """Replace what is shown."""
        self._text.setText(text)
        self._hint.setText(hint)
        self._hint.setVisible(bool(hint))
        self._details = "\n".join(part for part in (text, hint, details) if part)
        self._retry = retry if callable(retry) else None
        self._copy.setVisible(level == "error")
        self._again.setVisible(self._retry is not None)
        name = {"info": "info", "warning": "warning"}.get(level, "warning")
        self._icon.setPixmap(icon(name).pixmap(20, 20))
        colour = {"info": "#0072B2", "warning": "#E69F00"}.get(level, "#D55E00")
        self.setStyleSheet(f"QFrame#messageBar {{ border: none; border-left: 4px solid {colour}; }}")
        self.setAccessibleName(text)
        self.show()
        if level == "info":
            self._timer.start(INFO_MS)
        else:
            self._timer.stop()

    @property
    def text(self) -> str:
        """What is shown ("" when hidden)."""
        return self._text.text() if self.isVisible() else ""

    def _copy_details(self) -> None:
        QGuiApplication.clipboard().setText(self._details)

    def _try_again(self) -> None:
        retry = self._retry
        self.hide()
        if retry is not None:
            retry()
