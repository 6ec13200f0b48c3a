"""Import: file, format, how; a dry run tells what would be added, changed and kept before anything is written."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QWidget,
)

from kinmark.desktop.engine_thread.jobs import JobContext, Priority
from kinmark.desktop.error_texts import hint_of, message_of
from kinmark.desktop.io.pool import URGENT
from kinmark.desktop.report_lines import report_lines
from kinmark.desktop.widgets.dialog_layout import foot_of, lay_out, with_button
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.engine.domain.errors import AppError

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace
    from kinmark.projects.formats.recognise import Recognised
    from kinmark.projects.workflows.importing import ImportResult

PHOTOS_AT_ONCE = 50
"""Of an import, before what the screen waits for comes in between; a new photo is read whole for its hash."""


class ImportDialog(QDialog):
    """GUI thread. Not modal; reading runs on the engine thread."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        from kinmark.projects.formats.registry import FORMATS

        self._space = workspace
        self._engine = workspace.program.engine
        self._formats = FORMATS
        self._looked_at = ""
        self._recognising = False
        self._wanted: bool | None = None
        self.setWindowTitle(self.tr("Import labels"))
        self.resize(640, 600)
        self.format = Choice()
        for spec in FORMATS.values():
            if spec.reads:
                self.format.addItem(spec.title, spec.name)
        self.file = QLineEdit()
        self.file.setPlaceholderText(self.tr("The label file or folder"))
        self.images = QLineEdit()
        self.images.setPlaceholderText(self.tr("Found by itself when left empty"))
        self.mode = Choice()
        self.mode.addItem(self.tr("as accepted labels"), False)
        self.mode.addItem(self.tr("as proposals to review"), True)
        self.overwrite = QCheckBox(self.tr("Where both differ, take the file's"))
        self.skip_bad = QCheckBox(self.tr("Leave damaged items out instead of refusing the file"))
        self._make_exif()
        self.report = QPlainTextEdit()
        self.report.setReadOnly(True)
        self.report.setPlaceholderText(
            self.tr("Choose a file; Preview shows what would come in, and what not and why.")
        )
        self.report.setAccessibleName(self.tr("Report"))
        self.state = plain_label(name="dim")
        self.look = QPushButton(self.tr("Preview"))
        self.look.setAutoDefault(False)
        self.look.clicked.connect(lambda _: self.start(dry=True))
        self.take = QPushButton(self.tr("Import"))
        self.take.setDefault(True)
        self.take.clicked.connect(lambda _: self.start(dry=False))
        self._build()
        self.file.textChanged.connect(lambda _: self._check())
        self.file.editingFinished.connect(self._chosen)
        self._check()

    def _make_exif(self) -> None:
        """What holds for photos with an EXIF rotation, and for those of them that are an exception."""
        self.exif = Choice()
        for key, text in (
            ("ask", self.tr("refuse when photo sizes contradict")),
            ("rotate", self.tr("labels were drawn on the unrotated photo: rotate them")),
            ("keep", self.tr("labels fit the upright photo: keep them")),
        ):
            self.exif.addItem(text, key)
        self.exif_photos = QLineEdit()
        self.exif_photos.setPlaceholderText(self.tr("for example cam1/*, IMG_2*.jpg"))
        self.exif_photos.setToolTip(
            self.tr("Photos whose path or name fits one of these patterns; * stands for anything, commas between.")
        )
        self.exif_photos.setAccessibleName(self.tr("Photos that are an exception"))
        self.exif_else = Choice()
        self.exif_else.addItem(self.tr("rotate them"), "rotate")
        self.exif_else.addItem(self.tr("keep them"), "keep")
        self.exif_else.setAccessibleName(self.tr("What holds for the exceptions"))
        self.exif_else.setEnabled(False)
        self.exif_photos.textChanged.connect(lambda text: self.exif_else.setEnabled(bool(text.strip())))

    def _build(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.tr("Format"), self.format)
        form.addRow(self.tr("Labels"), with_button(self.file, self.tr("Choose..."), self._choose_file))
        form.addRow(self.tr("Photos in"), with_button(self.images, self.tr("Choose..."), self._choose_images))
        form.addRow(self.tr("Bring in"), self.mode)
        form.addRow(self.tr("Rotated photos"), self.exif)
        exceptions = QHBoxLayout()
        exceptions.addWidget(self.exif_photos, 1)
        exceptions.addWidget(self.exif_else)
        form.addRow(self.tr("Except for"), exceptions)
        form.addRow("", self.overwrite)
        form.addRow("", self.skip_bad)
        close = QPushButton(self.tr("Close"))
        close.clicked.connect(self.reject)
        lay_out(self, form, foot_of(self.state, close, self.look, self.take), self.report)

    def _choose_file(self) -> None:
        spec = self._formats[self.format.currentData()]
        if spec.reads == "folder":
            path = QFileDialog.getExistingDirectory(self, self.tr("Folder with the labels"))
        else:
            path, _ = QFileDialog.getOpenFileName(self, self.tr("Label file"))
        if path:
            self.file.setText(path)
            self._chosen()

    def _choose_images(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Folder of the photos"))
        if folder:
            self.images.setText(folder)

    def fill_in(self, found: Recognised) -> None:
        """Labels that were dropped: file and format are known, the preview is made at once."""
        self.file.setText(str(found.path))
        self._looked_at = str(found.path)
        self.format.setCurrentIndex(max(0, self.format.findData(found.format)))
        self.start(dry=True)

    def _chosen(self) -> None:
        """Another file: its format is recognised where that is possible."""
        from kinmark.projects.formats.recognise import recognise

        text = self.file.text().strip()
        if text == self._looked_at:
            return  # the person may have chosen another format since
        self._looked_at = text
        if not text:
            return
        asked, self._recognising = self.format.currentIndex(), True

        def done(found: Recognised | None) -> None:
            if text != self._looked_at:
                return  # another file is looked at meanwhile
            if found is not None and self.format.currentIndex() == asked:
                self.format.setCurrentIndex(max(0, self.format.findData(found.format)))
            self._recognising = False
            wanted, self._wanted = self._wanted, None
            if wanted is not None:
                self.start(dry=wanted)

        # Files may lie on a drive that answers late.
        self._space.program.pool.submit(
            f"recognise:{text}", lambda: recognise(Path(text)), done, failed=lambda _: done(None), priority=URGENT
        )

    def _check(self) -> None:
        there = bool(self.file.text().strip())
        self.look.setEnabled(there)
        self.take.setEnabled(there)

    def _exceptions(self) -> list[str]:
        """Patterns of photos whose labels are turned, or not, unlike those of the others."""
        return [part for text in self.exif_photos.text().split(",") if (part := text.strip())]

    def start(self, *, dry: bool) -> None:
        """Look (dry run) or import, in one undoable step; once the file's format is recognised."""
        from kinmark.projects.workflows.importing import ImportOptions

        self.state.setText(self.tr("Reading..."))
        self.look.setEnabled(False)
        self.take.setEnabled(False)
        if self._recognising:
            self._wanted = dry
            return
        images = self.images.text().strip()
        options = ImportOptions(
            format=self.format.currentData(),
            images_root=Path(images) if images else None,
            as_proposals=bool(self.mode.currentData()),
            overwrite=self.overwrite.isChecked(),
            skip_bad=self.skip_bad.isChecked(),
            exif=self.exif.currentData(),
            exif_of=tuple((pattern, self.exif_else.currentData()) for pattern in self._exceptions()),
        )
        path = Path(self.file.text().strip())

        def run(context: JobContext) -> Generator[None, None, ImportResult]:
            from kinmark.projects.workflows.importing import LabelImport

            importing = LabelImport(
                context.project, path, options, dry=dry, progress=context.progress, cancel=context.cancel
            )
            while importing.result is None:
                importing.step(PHOTOS_AT_ONCE)
                yield
            return importing.result

        self._engine.submit(
            self.tr("Importing"),
            run,
            priority=Priority.NEIGHBOURS,  # before what runs for minutes, behind what the photo on screen waits for
            group="import",
            replace=True,
            on_done=lambda result: self._done(result, dry),
            on_failed=self._failed,
            on_end=self._check,
        )

    def _done(self, result: Any, dry: bool) -> None:
        text = self.tr(
            "Instances: {added} added, {changed} changed, {kept} kept, {skipped} left out.\n"
            "Photos: {new} new, {known} known. New categories: {categories}"
        ).format(
            added=result.added,
            changed=result.changed,
            kept=result.kept,
            skipped=result.skipped,
            new=result.images_added,
            known=result.images_matched,
            categories=", ".join(result.categories_added) or "-",
        )
        head = self.tr("This would happen:") if dry else self.tr("Done (one Undo takes it back):")
        if result.nothing:
            head = self.tr("Nothing in the file fits this project; nothing is imported:")
        self.state.setText("")
        self.report.setPlainText("\n\n".join(t for t in (head, text, report_lines(result.report.items)) if t))
        if not dry and self._space.labelling.image is None:
            self._space.images.refresh()
            self._space.start()

    def _failed(self, error: AppError) -> None:
        self.state.setText(self.tr("Not imported."))
        self.report.setPlainText("\n".join(t for t in (message_of(error), hint_of(error), error.details) if t))

    def done(self, result: int) -> None:
        self._engine.cancel_group("import")
        super().done(result)
