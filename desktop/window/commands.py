"""What each action does. Commands without an open project do nothing (their actions are off then)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kinmark.desktop.io.dropped import Dropped
from kinmark.desktop.window.command_group import CommandGroup
from kinmark.desktop.window.dialog_commands import DialogCommands
from kinmark.desktop.window.engine_commands import EngineCommands
from kinmark.desktop.window.photo_commands import PhotoCommands
from kinmark.desktop.window.point_commands import PointCommands
from kinmark.desktop.window.project_commands import ProjectCommands
from kinmark.desktop.window.several_commands import SeveralCommands
from kinmark.desktop.window.tool_commands import TOOLS, ToolCommands
from kinmark.desktop.window.view_commands import ViewCommands

if TYPE_CHECKING:
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace


class Commands(CommandGroup):
    """GUI thread; owned by the main window: the work of all actions, divided by what it is about."""

    def __init__(self, window: Frame) -> None:
        super().__init__(window)
        self.dialogs = DialogCommands(window, lambda photos: self.project.add_images(photos))
        self.project = ProjectCommands(window, self.dialogs)
        self.view = ViewCommands(window)
        self.tools = ToolCommands(window, self.dialogs)
        self.engine = EngineCommands(window, self.dialogs)
        self.several = SeveralCommands(window)
        self.photos = PhotoCommands(window, self.several, self.engine.propose)
        self.points = PointCommands(window)

    def _when_open(self, function: Callable[[Workspace], object]) -> Callable[[], None]:
        def run() -> None:
            if self._space is not None:
                function(self._space)

        return run

    # -- table -----------------------------------------------------------------------------------------------------

    def connect_all(self) -> None:
        """Give every action its work."""
        window, dialogs = self._window, self.dialogs
        always: dict[str, Callable[[], object]] = {
            "project.new": dialogs.new_project,
            "project.open": self.project.choose_project,
            "project.close": window.close_project,
            "project.quit": window.close,
            "edit.settings": dialogs.settings,
            "page.models": dialogs.models,
            "help.keys": dialogs.keys,
            "help.shortcuts": dialogs.shortcuts,
            "help.legend": dialogs.legend,
            "help.doctor": dialogs.doctor,
            "help.about": dialogs.about,
            "view.panels": self.view.toggle_panels,
            "view.focus_next_panel": self.view.focus_next_panel,
            "view.fullscreen": self.view.toggle_fullscreen,
            "view.peek": window.start_peek,
            "go.search": lambda: (window.search.setFocus(), window.search.selectAll()),
            "engine.cancel": self.engine.cancel_job,
            "engine.pause": lambda: self.engine.pause_job(window.registry["engine.pause"].isChecked()),
        }
        for action_id, function in always.items():
            window.registry.connect(action_id, function)
        parts = (self.project, self.view, self.tools, self.engine, self.photos, self.several, dialogs.clips)
        tables = self._table()
        for part in parts:
            tables |= part.table()
        for action_id, work in tables.items():
            window.registry.connect(action_id, self._when_open(work))
        for name in TOOLS:
            window.registry.connect(f"tool.{name}", lambda n=name: self.tools.take_tool(n))
        for name in ("label", "parts", "identities", "statistics"):
            window.registry.connect(f"page.{name}", lambda n=name: window.show_page(n))
        window.start_page.new_wanted.connect(dialogs.new_project)
        window.start_page.choose_wanted.connect(self.project.choose_project)
        window.job_bar.pause_clicked.connect(self.engine.pause_job)
        window.job_bar.cancel_clicked.connect(self.engine.cancel_job)
        for n in (1, 2, 3):
            window.registry[f"point.peak_{n}"].changed.connect(self.tools.show_peak_keys)

    def _table(self) -> dict[str, Callable[[Workspace], object]]:
        dialogs = self.dialogs
        return {
            "project.relink": dialogs.relink,
            "project.import": dialogs.import_labels,
            "project.export": dialogs.export,
            "edit.delete": lambda w: self._on_page("remove", w.editor.delete),
            "edit.delete_instance": lambda w: w.editor.delete_instance(),
            "edit.copy": lambda w: w.copier.copy(),
            "edit.paste": lambda w: w.copier.paste(),
            "edit.schema": dialogs.schema,
            "review.accept": lambda w: self._on_page("accept", lambda: self._decide(w, True)),
            "review.reject": lambda w: self._on_page("reject", lambda: self._decide(w, False)),
            "review.accept_image": self.accept_image,
            "review.accept_instance": lambda w: w.reviewer.accept_instance(),
            "review.reject_image": lambda w: w.reviewer.reject_instance(),
            "review.accept_queue": dialogs.accept_queue,
            "review.nothing": lambda w: w.reviewer.nothing_here(),
            "review.harder": lambda w: w.try_harder(),
        }

    def _on_page(self, command: str, otherwise: Callable[[], object]) -> None:
        """Enter and X work on the page in front: its focused card, or the canvas."""
        if self._window.page_name == "label":
            otherwise()
            return
        own = getattr(self._window.pages.currentWidget(), command, None)
        if callable(own):
            own()

    def _decide(self, workspace: Workspace, accept: bool) -> None:
        """Enter or X beside the canvas: the photos selected in the grid, else what is focused on the photo."""
        if workspace.images.decides:
            ids = workspace.images.selected_ids()
            (self.photos.accept if accept else self.photos.reject)(workspace, ids)
            workspace.images.select_after(ids)
        elif accept:
            if not workspace.label_is_fine():
                workspace.reviewer.accept()
        else:
            workspace.reviewer.reject()

    def accept_image(self, workspace: Workspace) -> None:
        """Everything sure in this photo."""
        image = workspace.labelling.image
        count = workspace.reviewer.accept_image()
        threshold = workspace.program.settings.current.accept_precision
        here = workspace.labelling.image
        if count and image is not None and here is not None and here.id == image.id and workspace.labelling.has_pending:
            text = self.tr(
                "%n accepted: at least {t:.0%} sure. The rest waits; Ctrl+Enter takes it as it stands.", "", count
            )
            self._window.job_bar.show_step(text.format(t=threshold))
        if count == 0 and not workspace.labelling.photo_problem:
            workspace.program.messages.info(
                self.tr("Nothing in this photo reaches the threshold of {t:.0%}.").format(t=threshold),
                self.tr("Ctrl+Enter accepts the instance as it stands; what counts as sure is in the settings."),
            )

    # -- what the frame asks for -------------------------------------------------------------------------------------

    def project_opened(self, workspace: Workspace) -> None:
        """Bring switches and tools into their state of the settings."""
        registry, settings = self._window.registry, workspace.program.settings.current
        self.use_tool("select")
        registry.set_checked("view.source", settings.show_source)
        registry.set_checked("view.link", settings.link_views)
        canvas = workspace.target.canvas
        canvas.show_overlays(replace(canvas.overlays, names=settings.show_names))
        for name in ("names", "skeleton", "masks", "boxes"):
            registry.set_checked(f"view.{name}", getattr(canvas.overlays, name))
        registry.set_checked("view.heat", False)
        registry.set_checked("view.loupe", False)
        workspace.images.menu_wanted.connect(self.photos.show_menu)
        workspace.instances.menu_wanted.connect(self.points.show_menu)
        canvas.menu_wanted.connect(self.points.show_canvas_menu)
        self.tools.show_peak_keys()
        self.engine.listen(workspace)
        self.fold_source(self._window.width() < 1100)
        self.refresh_undo()

    def project_closes(self) -> None:
        """Its windows go first, and save what is edited in them."""
        self.dialogs.close_those_of_the_project()

    def dropped(self, things: Dropped) -> None:
        """A clip has a window of its own; everything else is opened, added or imported."""
        if not self.dialogs.clips.take(things):
            self.project.take_dropped(things)

    def use_tool(self, name: str) -> None:
        """Take a tool in hand."""
        self.tools.use_tool(name)

    def refresh_undo(self) -> None:
        """Name what undo and redo would do."""
        self.project.refresh_undo()

    def fold_source(self, narrow: bool) -> None:
        """In a narrow window the source gives its place to the target."""
        self.view.fold_source(narrow)

    @property
    def panels_hidden(self) -> bool:
        """Whether all panels are away."""
        return self.view.panels_hidden


def connect_commands(window: Frame) -> Commands:
    """Make the commands of a window."""
    commands = Commands(window)
    commands.connect_all()
    return commands
