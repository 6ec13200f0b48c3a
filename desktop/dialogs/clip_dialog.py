"""Frames of a clip: which ones, a look at them, and then they are photos of the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QIcon, QImage, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QWidget,
)

from kinmark.desktop.dialogs.clip_engine import Lent
from kinmark.desktop.error_texts import text_of
from kinmark.desktop.widgets.dialog_layout import foot_of, lay_out, with_button
from kinmark.desktop.widgets.fields import Choice, indented
from kinmark.desktop.widgets.message_bar import plain_label

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace
    from kinmark.projects.videos import FrameChoice, FramePreview

GROUP = "clip"
PICTURE_PX = 128
SHOWN = 24
_USUAL = {"every": 30, "count": 50, "diverse": 50}


class ClipDialog(QDialog):
    """GUI thread. Not modal; clips are read on the engine thread. Exactly the frames of the preview are added.

    Signals:
        chosen(Path, FrameChoice): add these frames of this clip.
    """

    chosen = Signal(object, object)

    def __init__(self, parent: QWidget, workspace: Workspace, clip: Path | None = None) -> None:
        super().__init__(parent)
        self._engine = workspace.program.engine
        self._found: FramePreview | None = None
        self.setWindowTitle(self.tr("Add frames of a clip"))
        self.resize(660, 520)
        self.file = QLineEdit()
        self.file.setPlaceholderText(self.tr("The video file"))
        self.kind = Choice()
        self.kind.addItem(self.tr("one frame of every"), "every")
        self.kind.addItem(self.tr("evenly spread"), "count")
        self.kind.addItem(self.tr("as unlike each other as possible"), "diverse")
        self.kind.setCurrentIndex(1)
        self.number = QSpinBox()
        self.number.setRange(1, 10_000)
        self.number.setValue(_USUAL["count"])
        self.number.setAccessibleName(self.tr("Number of frames"))
        self.pictures = QListWidget()
        self.pictures.setViewMode(QListView.ViewMode.IconMode)
        self.pictures.setIconSize(QSize(PICTURE_PX, PICTURE_PX))
        self.pictures.setResizeMode(QListView.ResizeMode.Adjust)
        self.pictures.setMovement(QListView.Movement.Static)
        self.pictures.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.pictures.setAccessibleName(self.tr("Preview"))
        self.state = plain_label(self.tr("Choose a clip; Preview shows which frames would be added."), name="dim")
        self.state.setWordWrap(True)
        self.look = QPushButton(self.tr("Preview"))
        self.look.setAutoDefault(False)
        self.look.clicked.connect(lambda _: self.start())
        self.take = QPushButton(self.tr("Add"))
        self.take.setDefault(True)
        self.take.clicked.connect(lambda _: self.add())
        self._lay_out()
        self.file.textChanged.connect(lambda _: self._changed())
        self.kind.currentIndexChanged.connect(lambda _: self._kind_changed())
        self.number.valueChanged.connect(lambda _: self._changed())
        self.finished.connect(lambda _: self._engine.cancel_group(GROUP))
        self._changed()
        if clip is not None:
            self.file.setText(str(clip))
            self.start()

    def _lay_out(self) -> None:
        frames = QHBoxLayout()
        frames.addWidget(self.kind, 1)
        frames.addWidget(indented(self.number))
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.tr("Clip"), with_button(self.file, self.tr("Choose..."), self._choose))
        form.addRow(self.tr("Frames"), frames)
        close = QPushButton(self.tr("Close"))
        close.setAutoDefault(False)
        close.clicked.connect(self.reject)
        lay_out(self, form, foot_of(self.state, close, self.look, self.take), self.pictures)

    def _choose(self) -> None:
        from kinmark.projects.images import VIDEO_SUFFIXES

        kinds = " ".join(f"*{s} *{s.upper()}" for s in sorted(VIDEO_SUFFIXES))
        path, _ = QFileDialog.getOpenFileName(self, self.tr("Clip"), "", f"{self.tr('Clips')} ({kinds})")
        if path:
            self.file.setText(path)
            self.start()

    def _kind_changed(self) -> None:
        self.number.setValue(_USUAL[self.kind.currentData()])
        self._changed()

    def _wish(self) -> tuple[str, str, int]:
        return self.file.text().strip(), str(self.kind.currentData()), self.number.value()

    def _changed(self) -> None:
        """What was shown is no longer what was asked for."""
        there = bool(self.file.text().strip())
        if self._found is not None:
            self._found = None
            self.pictures.clear()
            self.state.setText("")
        self.look.setEnabled(there)
        self.take.setEnabled(there)

    def start(self) -> None:
        """Look at the frames that would be added."""
        from kinmark.projects.videos import FrameChoice

        wish = self._wish()
        run = _looking(Path(wish[0]), FrameChoice(wish[1], wish[2]))
        self.state.setText(self.tr("Reading the clip..."))
        self.look.setEnabled(False)
        self._engine.submit(
            self.tr("Reading a clip"),
            run,
            group=GROUP,
            replace=True,
            on_done=lambda found: self._show(found, wish),
            on_failed=lambda error: self.state.setText(text_of(error)),
            on_end=self._ended,
        )

    def add(self) -> None:
        """Add the frames that are shown, or those that are asked for when none are shown; it goes on without this window."""
        from kinmark.projects.videos import FrameChoice

        clip, kind, number = self._wish()
        choice = self._found.choice if self._found is not None else FrameChoice(kind, number)
        self.chosen.emit(Path(clip), choice)
        self.accept()

    def _ended(self) -> None:
        there = bool(self.file.text().strip())
        self.look.setEnabled(there)
        self.take.setEnabled(there)

    def _show(self, found: FramePreview, wish: tuple[str, str, int]) -> None:
        if wish != self._wish():
            return  # something else is wanted meanwhile
        self._found = found
        self.pictures.clear()
        for number, rgb in found.pictures:
            height, width = rgb.shape[:2]
            image = QImage(rgb.tobytes(), width, height, width * 3, QImage.Format.Format_RGB888).copy()
            item = QListWidgetItem(QIcon(QPixmap.fromImage(image)), self._caption(found, number))
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.pictures.addItem(item)
        clip = found.clip
        text = self.tr("%n frames would be added", "", len(found.numbers))
        size = self.tr("of about {frames}, {width} x {height} pixels.").format(
            frames=clip.frames, width=clip.width, height=clip.height
        )
        self.state.setText(f"{text} {size}")

    def _caption(self, found: FramePreview, number: int) -> str:
        if not found.clip.fps:
            return str(number)
        seconds = number / found.clip.fps
        return f"{number}  ({int(seconds // 60)}:{seconds % 60:04.1f})"


def _looking(path: Path, choice: FrameChoice) -> Any:
    def run(context: Any) -> FramePreview:
        from kinmark.projects.videos import preview_clip

        return preview_clip(
            path,
            choice,
            engine=lambda: Lent(context.engine),  # type: ignore[arg-type, return-value]
            pictures=(SHOWN, PICTURE_PX),
            progress=context.progress,
            cancel=context.cancel,
        )

    return run
