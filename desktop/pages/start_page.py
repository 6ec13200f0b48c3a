"""The start page: recent projects as cards, sample project, new, open; a folder of photos can be dropped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPixmap, QShowEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.error_texts import message_of
from kinmark.desktop.io.pool import IDLE
from kinmark.desktop.io.thumbnails import make_thumbnail
from kinmark.desktop.program import Program
from kinmark.desktop.theme.colours import IMAGE_STATE_COLOURS
from kinmark.desktop.theme.icons import draw_icon, icon
from kinmark.desktop.widgets.flow import FlowLayout
from kinmark.desktop.widgets.job_card import FIND, KEYPOINTS, JobCard
from kinmark.desktop.widgets.message_bar import plain_label, plain_tip
from kinmark.engine.domain.errors import AppError


@dataclass(frozen=True)
class ProjectSummary:
    """What a card shows; `problem` when the project cannot be opened."""

    folder: Path
    name: str
    photos: int = 0
    done: int = 0
    pending: int = 0
    picture: QImage | None = None
    problem: str = ""


def summarise(folder: Path) -> ProjectSummary:
    """Look into a project without locking it (pool thread)."""
    from kinmark.projects.project import Project

    try:
        with Project.open(folder, read_only=True) as project:
            counts = project.queries.counts()
            picture = None
            for row in project.queries.images(limit=3):
                try:
                    picture = make_thumbnail(row.path)
                    break
                except AppError:
                    continue
            return ProjectSummary(
                folder, project.name, counts.all, counts.done + counts.nothing, counts.pending, picture
            )
    except AppError as error:
        return ProjectSummary(folder, folder.stem, problem=message_of(error))


class ProjectCard(QFrame):
    """One recent project.

    Signals:
        opened(): a click or Enter; forgotten(): take it off the list; located(): choose where it lies now.
    """

    opened = Signal()
    forgotten = Signal()
    located = Signal()

    def __init__(self, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self._row = max(20, self.fontMetrics().height() + 4)
        self.setFixedSize(220, 174 + 2 * self._row)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._summary = ProjectSummary(folder, folder.stem)
        self._known = False
        self._pixmap = QPixmap()
        self.setToolTip(plain_tip(str(folder)))
        self.setAccessibleName(folder.stem)

    def show_summary(self, summary: ProjectSummary) -> None:
        """Take what the pool found."""
        self._summary = summary
        self._known = True
        if summary.picture is not None:
            self._pixmap = QPixmap.fromImage(summary.picture)
        tip = str(summary.folder) + ("\n" + summary.problem if summary.problem else "")
        self.setToolTip(plain_tip(tip))
        self.setAccessibleName(f"{summary.name}, {self._line()}")
        self.update()

    def _line(self) -> str:
        s = self._summary
        if not self._known:
            return ""
        if s.problem:
            return self.tr("cannot be opened")
        return self.tr("%Ln photos, {done} done", "", s.photos).format(done=s.done)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, s = self.palette(), self._summary
        picture = QRect(8, 8, self.width() - 16, 130)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor("#26282b"))
        painter.drawRoundedRect(picture, 5, 5)
        if not self._pixmap.isNull():
            size = self._pixmap.size().scaled(picture.size(), Qt.AspectRatioMode.KeepAspectRatio)
            target = QRect(0, 0, size.width(), size.height())
            target.moveCenter(picture.center())
            painter.drawPixmap(target, self._pixmap)
        else:
            middle = QRect(0, 0, 34, 34)
            middle.moveCenter(picture.center())
            draw_icon(painter, "broken" if s.problem else "image", middle.toRectF(), QColor("#9aa0a8"))
        metrics = self.fontMetrics()
        font = self.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        bold = painter.fontMetrics()
        name = bold.elidedText(s.name, Qt.TextElideMode.ElideMiddle, self.width() - 24)
        painter.drawText(QRect(12, 144, self.width() - 24, self._row), Qt.AlignmentFlag.AlignVCenter, name)
        font.setBold(False)
        painter.setFont(font)
        painter.setPen(palette.color(QPalette.ColorRole.PlaceholderText))
        line = metrics.elidedText(self._line(), Qt.TextElideMode.ElideRight, self.width() - 24)
        painter.drawText(QRect(12, 144 + self._row, self.width() - 24, self._row), Qt.AlignmentFlag.AlignVCenter, line)
        self._paint_progress(painter, QRect(12, 152 + 2 * self._row, self.width() - 24, 6), palette)

    def _paint_progress(self, painter: QPainter, rect: QRect, palette: QPalette) -> None:
        s = self._summary
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(palette.color(QPalette.ColorRole.Mid))
        painter.drawRoundedRect(rect, 3, 3)
        if not s.photos:
            return
        done = round(rect.width() * s.done / s.photos)
        pending = round(rect.width() * s.pending / s.photos)
        painter.setBrush(IMAGE_STATE_COLOURS["done"])
        painter.drawRoundedRect(QRect(rect.left(), rect.top(), done, rect.height()), 3, 3)
        painter.setBrush(IMAGE_STATE_COLOURS["pending"])
        painter.drawRoundedRect(QRect(rect.left() + done, rect.top(), pending, rect.height()), 3, 3)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.opened.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self.opened.emit()
        elif event.key() == Qt.Key.Key_Delete:
            self.forgotten.emit()
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: object) -> None:
        menu = QMenu(self)
        menu.addAction(self.tr("Open"), self.opened.emit)
        menu.addAction(self.tr("It lies elsewhere now..."), self.located.emit)
        menu.addAction(self.tr("Take off this list"), self.forgotten.emit)
        menu.exec(event.globalPos())  # type: ignore[attr-defined]


class StartPage(QWidget):
    """GUI thread; owned by the main window.

    Signals:
        open_wanted(str): open this project folder.
        new_wanted(), choose_wanted(): make a project, choose a folder.
        guide_wanted(str): the sample project is open and somebody wants to be shown this job.
    """

    open_wanted = Signal(str)
    new_wanted = Signal()
    choose_wanted = Signal()
    guide_wanted = Signal(str)

    def __init__(self, program: Program, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._program = program
        self._cards: dict[str, ProjectCard] = {}
        self._wanted_job = ""
        self.new = QPushButton(icon("folder-plus"), self.tr("New project"))
        self.new.clicked.connect(lambda _: self.new_wanted.emit())
        self.choose = QPushButton(icon("folder-open"), self.tr("Open..."))
        self.choose.clicked.connect(lambda _: self.choose_wanted.emit())
        self.sample = QPushButton(icon("sparkle"), self.tr("Try the sample project"))
        self.sample.clicked.connect(lambda _: self.open_sample())
        self.hint = plain_label(
            self.tr("Drop a folder of photos here to start a project with it. The photos stay where they are."),
            name="dim",
        )
        self.jobs = (
            JobCard(
                KEYPOINTS,
                self.tr("Keypoints on every photo"),
                self.tr("Label one animal, the others are proposed; you accept or correct. Shown in a minute."),
            ),
            JobCard(
                FIND,
                self.tr("Find one individual"),
                self.tr("Box it once, it is found on the other photos with its mask. Shown in a minute."),
            ),
        )
        self._caption = plain_label(self.tr("RECENT"), name="caption")
        self._flow_host = QWidget()
        self._flow = FlowLayout(self._flow_host)
        self._build()
        self.refresh()

    def _build(self) -> None:
        mark = QLabel()
        mark.setPixmap(icon("kinmark").pixmap(QSize(40, 40)))
        title = plain_label("Kinmark", name="title")
        lead = plain_label(self.tr("Mark once, find its kin everywhere."), name="dim")
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(title)
        words.addWidget(lead)
        head = QHBoxLayout()
        head.addWidget(mark)
        head.addLayout(words, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for button in (self.new, self.choose, self.sample):
            button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            buttons.addWidget(button)
        buttons.addStretch(1)
        jobs = QWidget()
        flow = FlowLayout(jobs)
        for card in self.jobs:
            card.chosen.connect(self.show_job)
            flow.addWidget(card)
        column = QWidget()
        layout = QVBoxLayout(column)
        layout.setContentsMargins(48, 40, 48, 24)
        layout.setSpacing(16)
        layout.addLayout(head)
        layout.addLayout(buttons)
        layout.addWidget(self.hint)
        layout.addWidget(jobs)
        layout.addSpacing(8)
        layout.addWidget(self._caption)
        layout.addWidget(self._flow_host, 1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(column)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        first = next(iter(self._cards.values()), None)
        (first or self.new).setFocus(Qt.FocusReason.OtherFocusReason)

    def refresh(self) -> None:
        """Cards for the recent projects; what they hold is looked up in the background."""
        recent = self._program.settings.current.recent
        for card in self._cards.values():
            self._flow.removeWidget(card)
            card.deleteLater()
        self._cards = {}
        for folder in recent:
            card = ProjectCard(Path(folder))
            card.opened.connect(lambda f=folder: self.open_wanted.emit(f))
            card.forgotten.connect(lambda f=folder: self._forget(f))
            card.located.connect(lambda f=folder: self._locate(f))
            self._flow.addWidget(card)
            card.show()
            self._cards[folder] = card
            self._program.pool.submit(
                f"summary:{folder}",
                lambda f=folder: summarise(Path(f)),
                lambda summary, f=folder: self._summary_ready(f, summary),
                priority=IDLE,
            )
        self._caption.setVisible(bool(recent))

    def _summary_ready(self, folder: str, summary: ProjectSummary) -> None:
        card = self._cards.get(folder)
        if card is not None:
            card.show_summary(summary)

    def _forget(self, folder: str) -> None:
        self._program.settings.forget_project(folder)
        self.refresh()

    def _locate(self, folder: str) -> None:
        found = QFileDialog.getExistingDirectory(
            self, self.tr("Where does the project lie now?"), str(Path(folder).parent)
        )
        if found:
            self._program.settings.forget_project(folder)
            self.open_wanted.emit(found)

    def _sample_ready(self) -> None:
        self.sample.setEnabled(True)
        self.sample.setText(self.tr("Try the sample project"))

    def show_job(self, job: str) -> None:
        """Open the sample project and guide through one of the two jobs."""
        self._wanted_job = job
        self.open_sample()

    def _opened(self, folder: Path) -> None:
        job, self._wanted_job = self._wanted_job, ""
        self.open_wanted.emit(str(folder))
        if job:
            self.guide_wanted.emit(job)

    def open_sample(self) -> None:
        """Open the sample project; it is made from the sample collection on the first wish."""
        from kinmark.projects.sample import make_sample_project, sample_folder

        folder = sample_folder()
        if (folder / "project.sqlite").exists():
            self._opened(folder)
            return
        self.sample.setEnabled(False)
        self.sample.setText(self.tr("Making the sample project..."))

        def done(made: Path) -> None:
            self._sample_ready()
            self._opened(made)

        def failed(error: AppError) -> None:
            self._sample_ready()
            self._program.messages.error(error, retry=self.open_sample)

        self._program.pool.submit("sample", lambda: make_sample_project(folder), done, failed=failed, priority=IDLE)
