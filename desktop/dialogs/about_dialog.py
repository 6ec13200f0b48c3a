"""About: version and licences."""

from __future__ import annotations

from importlib import metadata

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from kinmark.desktop.theme.icons import icon
from kinmark.desktop.widgets.message_bar import plain_label


def version() -> str:
    """Of the installed program."""
    try:
        return metadata.version("kinmark")
    except metadata.PackageNotFoundError:
        return "?"


class AboutDialog(QDialog):
    """GUI thread. Not modal."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("About Kinmark"))
        self.setMinimumWidth(400)
        mark = QLabel()
        mark.setPixmap(icon("kinmark").pixmap(QSize(44, 44)))
        close = QPushButton(self.tr("Close"))
        close.setDefault(True)
        close.clicked.connect(self.accept)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 22, 24, 18)
        layout.setSpacing(8)
        layout.addWidget(mark)
        layout.addWidget(plain_label(f"Kinmark {version()}", name="title"))
        layout.addWidget(plain_label(self.tr("Mark once, find its kin everywhere."), name="dim"))
        layout.addWidget(
            plain_label(
                self.tr(
                    "Apache-2.0. Everything runs on this computer; nothing is uploaded, and nothing is downloaded unless "
                    "you ask for it. Uses Qt for Python (LGPL-3.0), PyTorch, Diffusers, SQLAlchemy and others under "
                    "their own licences."
                )
            )
        )
        layout.addSpacing(8)
        layout.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
