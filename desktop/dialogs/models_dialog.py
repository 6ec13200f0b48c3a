"""Models: cards with size, licence and place; download (after its licence was shown), verify, self-test, remove."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.engine_thread.jobs import Priority
from kinmark.desktop.error_texts import in_language, text_of
from kinmark.desktop.io.pool import IDLE
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.progress import CancelToken, Progress

if TYPE_CHECKING:
    from kinmark.desktop.program import Program
    from kinmark.desktop.services.project_session import ProjectSession


def size_text(count: int) -> str:
    """Bytes in words."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def _wrapped(text: str, name: str = "") -> QLabel:
    label = plain_label(text, name=name) if name else plain_label(text)
    label.setWordWrap(True)
    return label


class ModelCard(QFrame):
    """One backbone; `dialog` does the work."""

    def __init__(self, dialog: ModelsDialog, row: Any, default: bool) -> None:
        super().__init__()
        self.row = row
        self.setObjectName("card")
        title = plain_label(row.title, name="heading")
        state = self.tr("installed") if row.installed else self.tr("not installed")
        if default:
            state += ", " + self.tr("used by this project")
        size = size_text(row.disk_bytes or row.download_bytes) if (row.disk_bytes or row.download_bytes) else ""
        kinds = {"part": self.tr("descriptor"), "adapter": self.tr("adapter"), "segmenter": self.tr("cuts out masks")}
        seen = f"{row.input_wh[0]} x {row.input_wh[1]}" if row.input_wh[0] else ""
        gated = self.tr("access must be granted first") if row.gated else ""
        facts = [row.id, kinds.get(row.kind, ""), state, size, row.licence, gated, seen]
        layout = QVBoxLayout(self)
        layout.addWidget(title)
        layout.addWidget(plain_label("   ".join(f for f in facts if f), name="dim"))
        if row.good_for:
            layout.addWidget(_wrapped(in_language(row.good_for)))
        if row.published:
            layout.addWidget(
                _wrapped(self.tr("Its publisher says: {figures}").format(figures=in_language(row.published)), "dim")
            )
        if row.folder:
            layout.addWidget(plain_label(str(row.folder), name="dim"))
        if row.problem:
            layout.addWidget(plain_label(row.problem))
        self.note = plain_label(name="dim")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.hide()
        self.buttons: list[QPushButton] = []
        buttons = QHBoxLayout()
        buttons.addWidget(self.note, 1)
        for text, work, there in (
            (self.tr("Download..."), dialog.ask_download, not row.installed and row.source == "download"),
            (self.tr("From a file..."), dialog.convert, not row.installed and row.source == "convert"),
            (
                self.tr("Use in this project"),
                dialog.use,
                row.installed and not default and dialog.has_project and row.kind != "segmenter",
            ),
            (self.tr("Verify"), dialog.verify, row.installed),
            (self.tr("Self-test"), dialog.self_test, row.installed and row.kind != "segmenter"),
            (self.tr("Remove"), dialog.remove, row.installed and row.source != "shipped"),
        ):
            if there:
                button = QPushButton(text)
                button.setAutoDefault(False)
                button.clicked.connect(lambda _=False, w=work: w(self))
                buttons.addWidget(button)
                self.buttons.append(button)
        self.cancel = QPushButton(self.tr("Cancel"))
        self.cancel.setAutoDefault(False)
        self.cancel.hide()
        buttons.addWidget(self.cancel)
        layout.addWidget(self.bar)
        layout.addLayout(buttons)

    def show_download(self, running: bool) -> None:
        """A bar with Cancel while it runs, the other buttons otherwise."""
        self.bar.setVisible(running)
        self.cancel.setVisible(running)
        for button in self.buttons:
            button.setVisible(not running)


class ModelsDialog(QDialog):
    """GUI thread. Not modal; files and network in the pool, self-tests on the engine thread."""

    def __init__(self, parent: QWidget, program: Program, session: Callable[[], ProjectSession | None]) -> None:
        """`session`: that of the open project, which a model can be chosen for; asked each time."""
        super().__init__(parent)
        self._session = session
        self._program = program
        self._downloads: dict[str, tuple[Progress, CancelToken, ModelCard]] = {}
        self.setWindowTitle(self.tr("Models"))
        self.resize(700, 620)
        self._column = QVBoxLayout()
        self._column.setSpacing(10)
        host = QWidget()
        host.setLayout(self._column)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(host)
        add = QPushButton(self.tr("Use a folder..."))
        add.setAutoDefault(False)
        add.clicked.connect(lambda _: self._choose_folder())
        close = QPushButton(self.tr("Close"))
        close.setAutoDefault(False)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        text = self.tr("Nothing is downloaded unless you ask for it. Weights are safetensors only.")
        buttons.addWidget(plain_label(text, name="dim"), 1)
        buttons.addWidget(add)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.addLayout(self._advice_row())
        layout.addWidget(area, 1)
        layout.addLayout(buttons)
        self.cards: list[ModelCard] = []
        self._timer = QTimer(self)
        self._timer.setInterval(100)
        self._timer.timeout.connect(self._poll)
        self.refresh()
        self.advise()

    @property
    def has_project(self) -> bool:
        """Whether a project is open that a model can be chosen for."""
        session = self._session()
        return session is not None and not session.read_only

    def _advice_row(self) -> QVBoxLayout:
        """ "Which should I take?": a task, and one answer for this machine."""
        self.task = QComboBox()
        self.task.setAccessibleName(self.tr("Task"))
        for title, task in (
            (self.tr("keypoints on many photos"), "keypoints"),
            (self.tr("the same individual again"), "instances"),
            (self.tr("exact masks"), "masks"),
        ):
            self.task.addItem(title, task)
        self.advice = _wrapped("")
        question = plain_label(self.tr("Which should I take for"))
        question.setBuddy(self.task)
        question.setWordWrap(False)
        self.task.currentIndexChanged.connect(lambda _: self.advise())
        row = QHBoxLayout()
        row.addWidget(question)
        row.addWidget(self.task)
        row.addStretch(1)
        both = QVBoxLayout()
        both.addLayout(row)
        both.addWidget(self.advice)
        return both

    def advise(self) -> None:
        """Ask on the engine thread, which knows the device."""
        task, device = str(self.task.currentData()), self._program.settings.current.device

        def run(_context: Any) -> Any:
            from kinmark.projects.models import recommend_model

            return recommend_model(task, device=device)

        def done(found: Any) -> None:
            self.advice.setText(f"{found.model_id}: {in_language(found.why)}")

        self._program.engine.submit(
            self.tr("Look for a model"),
            run,
            priority=Priority.ASKED,
            group="advice",
            replace=True,
            on_done=done,
            on_failed=lambda error: self.advice.setText(text_of(error)),
        )

    def refresh(self) -> None:
        """Look at what is installed, in the pool."""

        def work() -> Any:
            from kinmark.projects.models import list_models

            return list_models()

        self._program.pool.submit("models", work, self.show_rows, failed=self._program.messages.error, priority=IDLE)

    def show_rows(self, rows: Any) -> None:
        """One card each, installed ones first."""
        while self._column.count():
            item = self._column.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.deleteLater()
        session = self._session()
        default = str(session.queries.setting("backbone", "embedded")) if session is not None else ""
        ordered = sorted(rows, key=lambda r: (not r.installed, r.title))
        self.cards = [ModelCard(self, row, row.id == default) for row in ordered]
        for card in self.cards:
            self._column.addWidget(card)
        self._column.addStretch(1)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("A folder in the diffusers layout"))
        if folder:
            from pathlib import Path

            from kinmark.projects.models import add_model

            self._in_pool("add-model", lambda: add_model(Path(folder)), lambda _row: self.refresh())

    def _in_pool(self, key: str, work: Any, done: Any, card: ModelCard | None = None) -> None:
        def failed(error: AppError) -> None:
            if card is not None:
                card.note.setText(text_of(error))
            else:
                self._program.messages.error(error)

        self._program.pool.submit(key, work, done, failed=failed, priority=IDLE)

    # -- actions of cards ------------------------------------------------------------------------------------------

    def use(self, card: ModelCard) -> None:
        """The project's backbone from now on."""
        session = self._session()
        if session is not None:
            session.write(lambda do: do.set_setting("backbone", card.row.id), self)
            self.refresh()

    def convert(self, card: ModelCard) -> None:
        """A published checkpoint from the disk; read without running anything in it."""
        file, _ = QFileDialog.getOpenFileName(self, self.tr("The published file"), filter="*.pth *.pt *.PTH")
        if not file:
            return
        model_id = card.row.id

        def run(_context: Any) -> Any:
            from pathlib import Path

            from kinmark.projects.models import convert_model

            return convert_model(Path(file), model_id)

        self._program.engine.submit(
            self.tr("Read {name}").format(name=card.row.title),
            run,
            priority=Priority.ASKED,
            group="convert",
            replace=True,
            on_done=lambda _row: self.refresh(),
            on_failed=lambda error: card.note.setText(text_of(error)),
        )

    def verify(self, card: ModelCard) -> None:
        """Compare the files with their recorded hashes."""
        from kinmark.projects.models import verify_model

        def done(report: Any) -> None:
            text = self.tr("%n files, {m} compared: all right.", "", report.files).format(m=report.compared)
            card.note.setText(text if report.ok else "; ".join(map(in_language, report.problems)))

        card.note.setText(self.tr("Checking..."))
        self._in_pool(f"verify:{card.row.id}", lambda: verify_model(card.row.id), done, card)

    def self_test(self, card: ModelCard) -> None:
        """One real forward pass on the engine thread."""
        settings = self._program.settings.current
        model_id = card.row.id

        def run(_context: Any) -> Any:
            from kinmark.projects.models import test_model

            return test_model(model_id, device=settings.device, dtype=settings.dtype)

        def done(result: Any) -> None:
            card.note.setText(
                self.tr("{device} {dtype}: {s:.2f} s per photo").format(
                    device=result.device, dtype=result.dtype, s=result.image_seconds
                )
            )

        card.note.setText(self.tr("Testing..."))
        self._program.engine.submit(
            self.tr("Self-test of {name}").format(name=card.row.title),
            run,
            priority=Priority.ASKED,
            group="selftest",
            replace=True,
            on_done=done,
            on_failed=lambda error: card.note.setText(text_of(error)),
        )

    def remove(self, card: ModelCard) -> None:
        """Forget a folder or delete a download."""
        from kinmark.projects.models import remove_model

        self._in_pool(f"remove:{card.row.id}", lambda: remove_model(card.row.id), lambda _done: self.refresh(), card)

    def ask_download(self, card: ModelCard) -> None:
        """Look up size and licence first; download only after both were shown."""
        from kinmark.projects.models import plan_download

        card.note.setText(self.tr("Asking for size and licence..."))
        self._in_pool(f"plan:{card.row.id}", lambda: plan_download(card.row.id), lambda p: self._confirm(card, p), card)

    def _confirm(self, card: ModelCard, plan: Any) -> None:
        card.note.setText("")
        box = QMessageBox(self)
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setWindowTitle(self.tr("Download"))
        box.setText(
            self.tr("{name}: {size} from {place}. Licence: {licence}").format(
                name=card.row.title,
                size=size_text(plan.total_bytes - plan.done_bytes),
                place=plan.endpoint,
                licence=plan.licence,
            )
        )
        box.setInformativeText("\n".join(part for part in (in_language(plan.notice), plan.licence_url) if part))
        box.setDetailedText(plan.licence_text or plan.licence_url)
        box.setStandardButtons(QMessageBox.StandardButton.Cancel | QMessageBox.StandardButton.Yes)
        box.button(QMessageBox.StandardButton.Yes).setText(self.tr("Accept the licence and download"))
        if box.exec() == QMessageBox.StandardButton.Yes:
            self._download(card, plan)

    def _download(self, card: ModelCard, plan: Any) -> None:
        from kinmark.projects.models import download_model

        progress, cancel = Progress(), CancelToken()
        self._downloads[card.row.id] = (progress, cancel, card)
        card.show_download(True)
        card.cancel.clicked.connect(lambda _: cancel.cancel())
        self._timer.start()

        def work() -> Any:
            from kinmark.engine.domain.errors import OperationCancelled

            try:
                return download_model(plan, licence_accepted=True, progress=progress, cancel=cancel)
            except OperationCancelled:
                return None

        def done(_row: Any) -> None:
            self._downloads.pop(card.row.id, None)
            self.refresh()

        def failed(error: AppError) -> None:
            self._downloads.pop(card.row.id, None)
            card.show_download(False)
            card.note.setText(text_of(error) + " " + self.tr("Download again to continue."))

        self._program.pool.submit(f"download:{card.row.id}", work, done, failed=failed, priority=IDLE)

    def _poll(self) -> None:
        for progress, _, card in self._downloads.values():
            snapshot = progress.snapshot()
            card.bar.setRange(0, 1000)
            card.bar.setValue(round(1000 * snapshot.done / snapshot.total) if snapshot.total else 0)
            card.note.setText(in_language(snapshot.note or snapshot.label))
        if not self._downloads:
            self._timer.stop()
