"""The frame of the main window: start page or workspace, tool bar, panels, job bar, status. It knows no action's work."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCloseEvent,
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
)
from PySide6.QtWidgets import QMainWindow, QVBoxLayout, QWidget

from kinmark.desktop.actions.keymap import load_keys
from kinmark.desktop.actions.registry import ActionRegistry
from kinmark.desktop.io.dropped import Dropped
from kinmark.desktop.io.pool import URGENT
from kinmark.desktop.pages.start_page import StartPage
from kinmark.desktop.panels.job_bar import JobBar
from kinmark.desktop.program import Program
from kinmark.desktop.settled import settle
from kinmark.desktop.widgets.message_bar import MessageBar, plain_tip
from kinmark.desktop.widgets.pages import Pages
from kinmark.desktop.window.action_work import ActionWork
from kinmark.desktop.window.docks import Docks
from kinmark.desktop.window.guide import Guide, GuideBar
from kinmark.desktop.window.menus import fill_menu_bar, make_tool_bar
from kinmark.engine.domain.errors import AppError, ProjectLockedError

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace

PEEK_TAP_S = 0.25
PAGES = ("label", "parts", "identities", "statistics")

TITLE_PX = 40
"""Room that the frame around the window takes from the screen."""


class Frame(QMainWindow):
    """GUI thread; base of the main window, which makes `commands` and the pages.

    Attributes:
        program: settings, pools, engine; registry: the actions; workspace: the open project, or None.

    Signals:
        project_changed(): a project was opened or closed.
    """

    project_changed = Signal()

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.workspace: Workspace | None = None
        self.setWindowTitle("Kinmark")
        self.setAcceptDrops(True)
        room = self.screen().availableGeometry()
        if QGuiApplication.platformName() == "offscreen":  # its screen is made up, and small
            room = QRect(0, 0, 1920, 1080)
        self.resize(min(1360, room.width()), min(860, room.height() - TITLE_PX))
        self.setMinimumSize(640, 440)
        preset, keys = self._keys()
        self.registry = ActionRegistry(self, keys, preset)
        self.menus = fill_menu_bar(self, self.registry)
        self.tool_bar, self.search, self.project_button = make_tool_bar(self, self.registry)
        self.message_bar = MessageBar()
        self.start_page = StartPage(program)
        self.pages = Pages()
        self.pages.addWidget(self.start_page)
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.guide_bar = GuideBar()
        column.addWidget(self.guide_bar)
        column.addWidget(self.pages, 1)
        self.setCentralWidget(middle)
        self.message_bar.float_over(middle, self._foot_of_the_page)
        self.docks = Docks(self)
        self.menus["view"].addMenu(self.docks.menu(self))
        self.menus["recent"].aboutToShow.connect(self._fill_recent)
        self.menus["recent"].setToolTipsVisible(True)
        self._step = ""
        self.job_bar = JobBar()
        self.statusBar().addWidget(self.job_bar, 1)
        self.statusBar().setSizeGripEnabled(False)
        self._peek_since = 0.0
        self._closed = False
        self._checking: Path | None = None
        self._page_widgets: dict[str, QWidget] = {}
        self._connect()
        self.commands: ActionWork = self._make_commands()
        self._geometry_known = self.docks.restore()
        self.docks.fill({})
        self._update_mode()

    def _make_commands(self) -> ActionWork:
        """Give every action its work."""
        raise NotImplementedError

    def _make_pages(self, workspace: Workspace) -> dict[str, QWidget]:
        """The pages of an open project by name."""
        raise NotImplementedError

    def _keys(self) -> tuple[str, dict[str, tuple[str, ...]]]:
        from kinmark.desktop.actions.keymap import DEFAULT_PRESET, preset_keys

        try:
            return load_keys()
        except AppError as problem:
            error = problem
            QTimer.singleShot(0, lambda: self.program.messages.error(error))
            return DEFAULT_PRESET, preset_keys(DEFAULT_PRESET)

    def _connect(self) -> None:
        messages, engine = self.program.messages, self.program.engine
        self.program.app.focusChanged.connect(self._say_step)
        messages.shown.connect(self.message_bar.show_message)
        messages.withdrawn.connect(self.message_bar.withdraw)
        messages.crashed.connect(self._show_crash)
        engine.polled.connect(self.job_bar.show_job)
        engine.failed.connect(lambda job, error: messages.error(error))
        self.guide = Guide(self.guide_bar, lambda: self.workspace, self)
        self.project_changed.connect(self.guide.end)
        self.start_page.guide_wanted.connect(self.guide.start)
        self.start_page.open_wanted.connect(lambda folder: self.open_project(Path(folder)))
        self.search.textChanged.connect(self._search_soon)
        self._search_timer = QTimer(self)
        self._search_timer.setSingleShot(True)
        self._search_timer.setInterval(200)
        self._search_timer.timeout.connect(self._search_now)
        self.search.returnPressed.connect(self._leave_search)

    # -- project ---------------------------------------------------------------------------------------------------

    def open_project(self, folder: Path, *, read_only: bool = False) -> bool:
        """Open a project folder; what goes wrong is told with what to do. True when it is open.

        A large file that was not closed properly is looked through by a file thread first, and opened afterwards.
        """
        from kinmark.projects.project import Project

        self.close_project()
        self.message_bar.hide()
        self._checking = None  # what is still being checked does not open any more
        if Project.opens_slowly(folder):
            self._check_first(folder, read_only)
            return False
        return self._open(folder, read_only)

    def _check_first(self, folder: Path, read_only: bool) -> None:
        from kinmark.projects.project import Project

        def done(_: object) -> None:
            if self._checking == folder:
                self.message_bar.hide()
                self._open(folder, read_only, checked=True)

        def failed(error: AppError) -> None:
            if self._checking == folder:
                self._offer_after_failure(folder, error)
                self.start_page.refresh()

        self.program.messages.wait(
            self.tr("The project {name} was not closed properly: its file is being checked.").format(name=folder.stem),
            self.tr("It opens by itself when it is sound. You can open another project meanwhile."),
        )
        self._checking = folder
        self.program.pool.submit("check", lambda: Project.check_file(folder), done, failed=failed, priority=URGENT)

    def _open(self, folder: Path, read_only: bool, *, checked: bool = False) -> bool:
        from kinmark.desktop.workspace import Workspace  # the database comes with it: not before the first paint
        from kinmark.projects.project import Project

        try:
            project = Project.open(folder, read_only=read_only, checked=checked)
        except AppError as error:
            self._offer_after_failure(folder, error)
            self.start_page.refresh()
            return False
        # Drops waiting pictures: before the views ask for theirs.
        self.program.use_project(project.folder, read_only=project.read_only)
        self._show_project(Workspace(self.program, project, self))
        QTimer.singleShot(0, settle)  # after the first paint: the database's library came with the project
        return True

    def _offer_after_failure(self, folder: Path, error: AppError) -> None:
        look = None
        if isinstance(error, ProjectLockedError):
            look = (self.tr("Open read-only"), lambda: self.open_project(folder, read_only=True))
        self.program.messages.error(error, retry=lambda: self.open_project(folder), other=look)

    def _show_project(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.program.settings.remember_project(workspace.folder)
        self._page_widgets = self._make_pages(workspace)
        for name in PAGES:
            self.pages.addWidget(self._page_widgets[name])
        self.docks.fill(
            {
                "images": workspace.images,
                "instances": workspace.instances,
                "evidence": workspace.evidence,
                "review": workspace.review,
            }
        )
        self.show_page("label")
        workspace.labelling.step_changed.connect(self._show_step)
        workspace.session.changed.connect(lambda *_: self._saved_soon())
        workspace.placing_finished.connect(lambda: self.commands.use_tool("select"))
        workspace.images.searched.connect(self._search_problem)
        self.registry.bind_to(workspace.target.canvas, "go.next_instance", "go.previous_instance")
        self._saved_timer = QTimer(workspace)
        self._saved_timer.setSingleShot(True)
        self._saved_timer.setInterval(250)
        self._saved_timer.timeout.connect(self._show_saved)
        self._update_mode()
        self.commands.project_opened(workspace)
        workspace.start()
        self.search.blockSignals(True)
        self.search.setText(workspace.images.search_text)
        self.search.blockSignals(False)
        self._show_saved()
        workspace.target.canvas.setFocus()
        if self.width() < 1100:
            self.docks.fit_width(self.width())
        self.project_changed.emit()

    def close_project(self, *, leaving: bool = False) -> None:
        """Back to the start page (not when `leaving`); running jobs are cancelled, everything is saved already."""
        workspace = self.workspace
        if workspace is None:
            return
        self.commands.project_closes()
        self.message_bar.hide()  # what it says is about this project
        self.workspace = None
        self.program.use_project(None)
        workspace.close()
        self.docks.fill({})
        for widget in self._page_widgets.values():
            self.pages.removeWidget(widget)
            widget.deleteLater()
        self._page_widgets = {}
        workspace.deleteLater()
        self.job_bar.show_step("")
        self.job_bar.show_saved("")
        self.pages.setCurrentWidget(self.start_page)
        if not leaving:  # reading the recent projects would keep the program from ending
            self.start_page.refresh()
        self._update_mode()
        self.project_changed.emit()

    def _update_mode(self) -> None:
        workspace = self.workspace
        title = f"{workspace.session.name} — Kinmark" if workspace is not None else "Kinmark"
        if workspace is not None and workspace.session.read_only:
            title += "  " + self.tr("(read-only)")
        self.setWindowTitle(title)
        name = workspace.session.name if workspace is not None else "Kinmark"
        self.project_button.setText(self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, 160))
        self.search.setEnabled(workspace is not None)
        if workspace is None:
            self.job_bar.show_step(
                self.tr("Ctrl+N begins with a folder of your photos. New here? Choose one of the two jobs above.")
            )
        always = ("project.new", "project.open", "project.quit", "edit.settings", "page.models", "view.fullscreen")
        for action_id in self.registry.actions:
            self.registry.set_enabled(
                action_id, workspace is not None or action_id in always or action_id.startswith("help.")
            )

    def _fill_recent(self) -> None:
        menu = self.menus["recent"]
        menu.clear()
        for folder in self.program.settings.current.recent:
            path = Path(folder)
            action = menu.addAction(path.stem.replace("&", "&&"))
            action.setToolTip(plain_tip(folder))
            here = self.workspace is not None and self.workspace.folder == path
            action.setEnabled(not here)
            action.triggered.connect(lambda _=False, p=path: self.open_project(p))
        if menu.isEmpty():
            menu.addAction(self.tr("none yet")).setEnabled(False)

    # -- pages -----------------------------------------------------------------------------------------------------

    def show_page(self, name: str) -> None:
        """Canvas, part grid, identities or statistics."""
        widget = self._page_widgets.get(name)
        if widget is None:
            return
        self.pages.setCurrentWidget(widget)
        for page in PAGES:
            self.registry.set_checked(f"page.{page}", page == name)
        self.registry.set_on_canvas(name == "label")
        self.docks.show_right(name == "label" and not self.commands.panels_hidden)
        self.job_bar.show_step(self._step if name == "label" else "")
        shown = getattr(widget, "page_shown", None)
        if callable(shown):
            shown()
        self.message_bar.place_again()

    def _foot_of_the_page(self) -> int:
        """Height of the line with the keys of the page in front, which a message must not cover."""
        page = self.pages.currentWidget()
        hint = getattr(getattr(page, "inner", page), "hint", None)
        return hint.height() if isinstance(hint, QWidget) and hint.isVisible() else 0

    def _show_step(self, text: str) -> None:
        """Name the next thing to do, where it can be done: the other pages have keys of their own."""
        self._step = text
        self._say_step()

    def _say_step(self, *_: object) -> None:
        """The sentence for where the keyboard is: in the grid Enter and X are for the selected photos."""
        if self.page_name != "label" or self.workspace is None:
            return
        if self.workspace.images.decides:
            text = self.tr(
                "Enter accepts what is proposed on the selected photos, X rejects it. F6 goes on to the photo."
            )
            self.job_bar.show_step(text)
        else:
            self.job_bar.show_step(self._step)

    @property
    def page_name(self) -> str:
        """The page in front."""
        current = self.pages.currentWidget()
        return next((n for n, w in self._page_widgets.items() if w is current), "start")

    def page(self, name: str) -> QWidget:
        """One page of the open project."""
        return self._page_widgets[name]

    # -- search and status -----------------------------------------------------------------------------------------

    def _search_soon(self, _text: str) -> None:
        self._search_timer.start()

    def _search_now(self) -> None:
        if self.workspace is not None:
            self.workspace.images.search(self.search.text())

    def _leave_search(self) -> None:
        self._search_timer.stop()
        self._search_now()
        if self.workspace is None:
            return
        found, shown = self.workspace.images.model.ids, self.workspace.labelling.image
        if found and self.search.text().strip() and (shown is None or shown.id not in found):
            self.workspace.go_to(found[0])
        self.workspace.target.canvas.setFocus()

    def _search_problem(self, words: str) -> None:
        text = self.tr("Not understood: {words}").format(words=words) if words else ""
        self.search.setToolTip(plain_tip(text))
        self.search.setStyleSheet("QLineEdit { border-color: #D55E00; }" if words else "")

    def _saved_soon(self) -> None:
        self._saved_timer.start()

    def _show_saved(self) -> None:
        workspace = self.workspace
        if workspace is None:
            return
        counts = workspace.session.queries.counts()
        text = self.tr("saved   {done} done, {pending} pending").format(done=counts.done, pending=counts.pending)
        if counts.partly:
            text += self.tr(", {n} partly").format(n=counts.partly)
        self.job_bar.show_saved(text)
        self.commands.refresh_undo()

    def _show_crash(self, report: str, text: str) -> None:
        from kinmark.desktop.dialogs.crash_dialog import show_crash

        show_crash(self, report, text)

    # -- events ----------------------------------------------------------------------------------------------------

    def start_peek(self) -> None:
        """The peek key went down."""
        if self.workspace is not None:
            self._peek_since = time.monotonic()
            canvas = self.workspace.target.canvas
            canvas.set_peek(not canvas.overlays.peek)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if self._peek_since and not event.isAutoRepeat() and self._is_peek_key(event):
            held = time.monotonic() - self._peek_since
            self._peek_since = 0.0
            if held >= PEEK_TAP_S and self.workspace is not None:
                self.workspace.target.canvas.set_peek(False)
            return
        super().keyReleaseEvent(event)

    def _is_peek_key(self, event: QKeyEvent) -> bool:
        return any(
            QKeySequence(event.key()).matches(s) != QKeySequence.SequenceMatch.NoMatch
            for s in self.registry["view.peek"].shortcuts()
            if s.count()
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Right: 1, Qt.Key.Key_Left: -1}.get(Qt.Key(event.key()))
        if step is not None and self.workspace is not None and self.page_name == "label":
            self.workspace.step_image(step)
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.workspace is not None:
            self.docks.fit_width(event.size().width())
            self.commands.fold_source(self.docks.narrow)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        event.acceptProposedAction()  # what came in may be let go anywhere

    def dropEvent(self, event: QDropEvent) -> None:
        dropped = Dropped(event.mimeData().urls())
        event.acceptProposedAction()
        QTimer.singleShot(0, lambda: self.commands.dropped(dropped))

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self._closed:
            self._closed = True
            self.docks.save()
            self.close_project(leaving=True)
            self.registry.close()
            self.program.close()
        event.accept()
