"""The crash window: something unexpected happened; the report can be copied; the work goes on."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from kinmark.desktop.widgets.message_bar import plain_label


class CrashDialog(QDialog):
    """GUI thread. Not modal."""

    def __init__(self, parent: QWidget | None, report: str, text: str) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Something unexpected happened"))
        self.resize(620, 420)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.addWidget(plain_label(self.tr("Kinmark hit a fault of its own. Everything you accepted is saved.")))
        layout.addWidget(plain_label(text, name="dim"))
        self.report = QPlainTextEdit()
        self.report.setReadOnly(True)
        path = Path(report)
        self.report.setPlainText(path.read_text(encoding="utf-8", errors="replace") if path.exists() else text)
        layout.addWidget(self.report, 1)
        layout.addWidget(
            plain_label(self.tr("The report is in {file}. Nothing is sent anywhere.").format(file=report), name="dim")
        )
        row = QHBoxLayout()
        copy = QPushButton(self.tr("Copy report"))
        copy.clicked.connect(lambda _: QGuiApplication.clipboard().setText(self.report.toPlainText()))
        close = QPushButton(self.tr("Go on working"))
        close.setDefault(True)
        close.clicked.connect(self.accept)
        row.addWidget(copy)
        row.addStretch(1)
        row.addWidget(close)
        layout.addLayout(row)


def show_crash(parent: QWidget, report: str, text: str) -> CrashDialog:
    """Show the report beside the work."""
    dialog = CrashDialog(parent, report, text)
    dialog.finished.connect(dialog.deleteLater)
    dialog.show()
    return dialog
