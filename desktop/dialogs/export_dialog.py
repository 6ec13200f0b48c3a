"""Export: format, what goes, what will be lost (asked before anything is written), then the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QWidget,
)

from kinmark.desktop.engine_thread.jobs import Priority
from kinmark.desktop.error_texts import hint_of, message_of
from kinmark.desktop.report_lines import report_lines
from kinmark.desktop.widgets.dialog_layout import foot_of, lay_out, with_button
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.engine.domain.errors import AppError

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace


class ExportDialog(QDialog):
    """GUI thread. Not modal; the work runs on the engine thread (its own connection)."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        from kinmark.projects.formats.registry import FORMATS

        self._space = workspace
        self._writing = self._written = Path()
        self._engine = workspace.program.engine
        self.setWindowTitle(self.tr("Export"))
        self.resize(640, 520)
        self.format = Choice()
        for spec in FORMATS.values():
            if spec.writes:
                self.format.addItem(spec.title, spec.name)
        self.place = QLineEdit(str(workspace.folder.parent / f"{workspace.folder.stem}-export"))
        self.categories = Choice()
        self.categories.addItem(self.tr("all categories"), "")
        for category in workspace.labelling.categories:
            self.categories.addItem(category.name, category.name)
        self.proposals = QCheckBox(self.tr("Pending proposals too, marked as such"))
        self.only_labelled = QCheckBox(self.tr("Only photos with labels"))
        self.report = QPlainTextEdit()
        self.report.setReadOnly(True)
        self.report.setAccessibleName(self.tr("Report"))
        self.state = plain_label(name="dim")
        self.export = QPushButton(self.tr("Export"))
        self.export.setDefault(True)
        self.export.clicked.connect(lambda _: self.start())
        self.show_folder = QPushButton(self.tr("Open the folder"))
        self.show_folder.setAutoDefault(False)
        self.show_folder.hide()
        self.show_folder.clicked.connect(lambda _: _open_folder(self._written))
        self._build()
        self.format.currentIndexChanged.connect(lambda _: self._preview())
        self.categories.currentIndexChanged.connect(lambda _: self._preview())
        self.proposals.toggled.connect(lambda _: self._preview())
        self.only_labelled.toggled.connect(lambda _: self._preview())
        self._preview()

    def _build(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.tr("Format"), self.format)
        form.addRow(self.tr("Folder"), with_button(self.place, self.tr("Choose..."), self._choose))
        form.addRow(self.tr("Category"), self.categories)
        form.addRow("", self.proposals)
        form.addRow("", self.only_labelled)
        copy = QPushButton(self.tr("Copy report"))
        copy.setAutoDefault(False)
        copy.clicked.connect(lambda _: QGuiApplication.clipboard().setText(self.report.toPlainText()))
        close = QPushButton(self.tr("Close"))
        close.clicked.connect(self.reject)
        foot = foot_of(self.state, self.show_folder, close, self.export, before=copy)
        lay_out(
            self, form, foot, plain_label(self.tr("What is lost or changed in this format"), name="dim"), self.report
        )

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Export into this folder"), self.place.text())
        if folder:
            self.place.setText(folder)

    def _options(self) -> Any:
        from kinmark.projects.workflows.exporting import ExportOptions

        category = self.categories.currentData()
        return ExportOptions(
            format=self.format.currentData(),
            with_proposals=self.proposals.isChecked(),
            categories=(category,) if category else (),
            only_labelled=self.only_labelled.isChecked(),
        )

    def _preview(self) -> None:
        options = self._options()

        def run(context: Any) -> Any:
            from kinmark.projects.workflows.exporting import preview_export

            return preview_export(context.project, options)

        self.state.setText(self.tr("Looking..."))
        self._engine.submit(
            self.tr("Export preview"),
            run,
            priority=Priority.SCREEN,
            group="export",
            replace=True,
            quiet=True,
            on_done=self._previewed,
            on_failed=self._failed,
        )

    def _previewed(self, items: Any) -> None:
        self.state.setText("")
        texts = (self._partly(), report_lines(items) or self.tr("Nothing is lost."))
        self.report.setPlainText("\n\n".join(t for t in texts if t))

    def _partly(self) -> str:
        """What goes out although nobody finished it."""
        count = self._space.session.queries.counts().partly
        text = self.tr(
            "%n photos are labelled only partly: keypoints that nobody looked at go out as absent.", "", count
        )
        return text if count else ""

    def start(self) -> None:
        """Write the export."""
        options, out = self._options(), Path(self.place.text().strip())

        def run(context: Any) -> Any:
            from kinmark.projects.workflows.exporting import export_project

            return export_project(context.project, out, options, progress=context.progress, cancel=context.cancel)

        self._writing = out
        self.export.setEnabled(False)
        self.state.setText(self.tr("Exporting..."))
        self._engine.submit(
            self.tr("Exporting"),
            run,
            priority=Priority.SCREEN,
            group="export",
            replace=True,
            on_done=self._done,
            on_failed=self._failed,
            on_end=lambda: self.export.setEnabled(True),
        )

    def _done(self, report: Any) -> None:
        summary = self._summary(report)
        files = "\n".join(report.files[:20])
        self.state.setText(self.tr("Done."))
        texts = (summary, self._partly(), files, report_lines(report.items))
        self.report.setPlainText("\n\n".join(t for t in texts if t))
        self._written = self._writing
        self.show_folder.show()
        written = self._written
        self._space.program.messages.info(
            self.tr("Exported: {summary}").format(summary=summary),
            str(written),
            other=(self.tr("Open the folder"), lambda: _open_folder(written)),
        )

    def _summary(self, report: Any) -> str:
        parts = [self.tr("%n photos", "", report.images), self.tr("%n instances", "", report.instances)]
        left_out = sum(item.kind == "skipped" for item in report.items)
        if left_out:
            parts.append(self.tr("%n left out", "", left_out))
        return ", ".join(parts)

    def _failed(self, error: AppError) -> None:
        self.state.setText(self.tr("Not exported."))
        self.report.setPlainText("\n".join(t for t in (message_of(error), hint_of(error), error.details) if t))

    def done(self, result: int) -> None:
        self._engine.cancel_group("export")
        super().done(result)


def _open_folder(folder: Path) -> None:
    """In the file manager of the system."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
