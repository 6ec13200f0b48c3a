"""The bottom bar: real device, the running job with time left, pause, cancel, what is next, what is done."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QToolButton, QWidget

from kinmark.desktop.engine_thread.service import JobState
from kinmark.desktop.error_texts import in_language
from kinmark.desktop.services.store_thread import StoreTask
from kinmark.desktop.theme.icons import icon
from kinmark.desktop.widgets.message_bar import plain_tip, show_if
from kinmark.engine.api import EngineInfo
from kinmark.engine.domain.progress import ProgressSnapshot

BAR_PX, SHORT_BAR_PX = 110, 40
MOST_OF_THE_BAR = 0.3
NARROW_PX = 1000
"""In a narrower window the next key goes before what the job and the counts say: the photo list has the counts, too."""
QUIET_START_S = 2.0
"""A job that shows nothing for longer says that it is getting ready (the model is loaded, for example)."""


class ElidedLabel(QLabel):
    """A label that cuts long plain text instead of widening its window."""

    def __init__(self, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self._whole = ""
        if name:
            self.setObjectName(name)

    def set_text(self, text: str) -> None:
        """Show `text`, elided; whole in the tooltip."""
        self._whole = text
        self.setToolTip(plain_tip(text))
        self.setAccessibleName(text)
        self._elide()

    def _elide(self) -> None:
        self.setText(self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideRight, max(self.width() - 2, 20)))

    def resizeEvent(self, event: object) -> None:
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._elide()

    def minimumSizeHint(self) -> QSize:
        return QSize(
            min(40, self.sizeHint().width()), super().minimumSizeHint().height()
        )  # one without text needs none

    def sizeHint(self) -> QSize:
        wide = self.fontMetrics().horizontalAdvance(self._whole) + 4 if self._whole else 0
        return QSize(wide, super().sizeHint().height())

    @property
    def whole_text(self) -> str:
        """What was set."""
        return self._whole


def duration_text(seconds: float) -> str:
    """ "40 s", "3 min", "1 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class JobBar(QWidget):
    """GUI thread; owned by the main window.

    Signals:
        pause_clicked(bool): pause (True) or go on.
        cancel_clicked(): stop the job shown.
    """

    pause_clicked = Signal(bool)
    cancel_clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.device = ElidedLabel("dim")
        self.device.hide()  # until it is known
        self.job = ElidedLabel()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(BAR_PX)
        self.pause = self._button("pause", self.tr("Pause"), checkable=True)
        self.cancel = self._button("stop", self.tr("Cancel"))
        self.step = ElidedLabel()
        self.saved = ElidedLabel("dim")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 2, 10, 2)
        layout.setSpacing(10)
        layout.addWidget(self.device)
        layout.addWidget(self.job)
        layout.addWidget(self.bar)
        layout.addWidget(self.pause)
        layout.addWidget(self.cancel)
        layout.addWidget(self.step, 1)
        layout.addWidget(self.saved)
        self._long: StoreTask | None = None
        self._state: JobState | None = None
        self._device_known = False
        self.pause.clicked.connect(self.pause_clicked.emit)
        self.cancel.clicked.connect(lambda _: self.cancel_clicked.emit())
        self.setMinimumHeight(self.pause.sizeHint().height() + 4)  # the canvas must not move when a job begins
        self.show_job(None)

    def _button(self, name: str, tip: str, checkable: bool = False) -> QToolButton:
        button = QToolButton()
        button.setIcon(icon(name))
        button.setIconSize(QSize(14, 14))
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setCheckable(checkable)
        return button

    def show_device(self, info: EngineInfo) -> None:
        """What really runs."""
        memory = ""
        if info.memory_total_bytes:
            memory = f"  {info.memory_used_bytes / 2**30:.1f} / {info.memory_total_bytes / 2**30:.1f} GB"
        self._device_known = True
        self._make_room()
        self.device.set_text(
            f"{info.device}  {info.dtype}{memory}" + (f"  {in_language(info.note)}" if info.note else "")
        )

    def show_job(self, state: JobState | None) -> None:
        """The running job, or nothing. A long step of the project goes first: it is what a person waits for."""
        self._state = state
        if self._long is not None:
            return
        for widget in (self.job, self.bar, self.pause, self.cancel):
            widget.setVisible(state is not None)
        self._make_room()
        if state is None:
            return
        progress = state.progress
        self.bar.setRange(0, progress.total)
        self.bar.setValue(min(progress.done, progress.total) if progress.total else 0)
        self.pause.setChecked(state.job.cancel.paused)
        self.job.set_text(self._job_text(state, progress))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """In a narrow window the job leaves its room to the next key."""
        narrow = self.width() < NARROW_PX
        show_if(self.device, self._device_known and not narrow)
        show_if(self.saved, not narrow or self._state is None)
        self.bar.setFixedWidth(SHORT_BAR_PX if narrow else BAR_PX)
        self.job.setMaximumWidth(round(MOST_OF_THE_BAR * self.width()))

    def show_long(self, task: StoreTask | None) -> None:
        """The long step of the project that is being written, or none any more."""
        self._long = task
        if task is None:
            self.show_job(self._state)
            return
        self.job.set_text(task.title)
        self.bar.setRange(0, 0)  # how far SQLite is nobody knows
        self.job.show()
        self.bar.show()
        self.pause.hide()
        self.cancel.setVisible(task.cancellable)

    def _job_text(self, state: JobState, progress: ProgressSnapshot) -> str:
        parts = [state.job.title or in_language(progress.label)]
        if state.job.cancel.paused:
            parts.append(self.tr("paused"))
        elif progress.total:
            parts.append(self.tr("{done} of {total}").format(done=progress.done, total=progress.total))
            if not progress.done and progress.elapsed_s > QUIET_START_S:
                parts.append(self.tr("getting ready for {time}").format(time=duration_text(progress.elapsed_s)))
            if progress.done:
                parts.append(f"{progress.elapsed_s / progress.done:.2g} s" + self.tr(" each"))
            left = progress.seconds_left
            if left is not None:
                parts.append(self.tr("{time} left").format(time=duration_text(left)))
        elif progress.label and progress.label != state.job.title:
            parts.append(in_language(progress.label))
        if progress.note and len(progress.note) < 60:
            parts.append(in_language(progress.note))
        if state.waiting:
            parts.append(self.tr("{n} waiting").format(n=state.waiting))
        return "  ".join(p for p in parts if p)

    def show_step(self, text: str) -> None:
        """The next thing to do."""
        self.step.set_text(text)

    def show_saved(self, text: str) -> None:
        """Saved, done, pending."""
        self.saved.set_text(text)
