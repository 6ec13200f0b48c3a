"""Doctor: what is installed and whether it works; the text can be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from kinmark.desktop.engine_thread.jobs import Priority
from kinmark.desktop.error_texts import text_of
from kinmark.desktop.widgets.message_bar import plain_label

if TYPE_CHECKING:
    from kinmark.desktop.engine_thread.service import EngineService


class DoctorDialog(QDialog):
    """GUI thread. The look runs on the engine thread (it loads the default model)."""

    def __init__(self, parent: QWidget, engine: EngineService) -> None:
        super().__init__(parent)
        self._engine = engine
        self.setWindowTitle(self.tr("Doctor"))
        self.resize(680, 520)
        self.state = plain_label(self.tr("Looking; this loads the default model ..."), name="dim")
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setAccessibleName(self.tr("Diagnostics"))
        copy = QPushButton(self.tr("Copy"))
        copy.clicked.connect(lambda _: QGuiApplication.clipboard().setText(self.text.toPlainText()))
        close = QPushButton(self.tr("Close"))
        close.setDefault(True)
        close.clicked.connect(self.accept)
        row = QHBoxLayout()
        row.addWidget(self.state, 1)
        row.addWidget(copy)
        row.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.addWidget(self.text, 1)
        layout.addLayout(row)
        self._engine.submit(
            self.tr("Doctor"),
            _diagnose,
            priority=Priority.SCREEN,
            group="doctor",
            replace=True,
            quiet=True,
            on_done=self.show_report,
            on_failed=lambda error: self.text.setPlainText(text_of(error)),
        )

    def show_report(self, report: Any) -> None:
        """Show a finished diagnosis."""
        self.text.setPlainText(report.as_text())
        count = len(report.problems)
        self.state.setText(self.tr("%n problems found.", "", count) if count else self.tr("Everything works."))

    def done(self, result: int) -> None:
        self._engine.cancel_group("doctor")
        super().done(result)


def _diagnose(_context: Any) -> Any:
    from kinmark.projects.diagnostics import diagnose

    return diagnose()
