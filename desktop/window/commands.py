"""What each action does. Commands without an open project do nothing (their actions are off then)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QFileDialog

from desktop.canvas.tone import STEP, Tone
from desktop.engine_thread.jobs import JobContext
from desktop.error_texts import in_language
from desktop.io.dropped import Dropped
from desktop.session.operation_names import operation_text
from desktop.window.dialog_commands import DialogCommands
from desktop.window.photo_commands import PhotoCommands
from desktop.window.point_commands import PointCommands
from desktop.window.several_commands import SeveralCommands
from engine.imaging import is_image_path

if TYPE_CHECKING:
    from desktop.window.frame import MainWindow
    from desktop.workspace import Workspace
    from projects.formats.recognise import Recognised
    from projects.images import AddReport
    from projects.store.changes import OpChanges
    from projects.workflows.find import FindOutcome
    from projects.workflows.propose_all import SweepOutcome

FEW_DROPPED = 100
"""So many of the dropped things are looked at; tens of thousands of questions to a network drive would take minutes."""
FEW_PHOTOS = 3
LABEL_SUFFIXES = (".json", ".xml", ".csv", ".h5", ".yaml", ".yml", ".txt")
TOOLS = ("select", "keypoint", "box", "brush", "eraser", "polygon", "pan")


class Commands(QObject):
    """GUI thread; owned by the main window."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.dialogs = DialogCommands(window)
        self.photos = PhotoCommands(window)
        self.points = PointCommands(window)
        self.several = SeveralCommands(window)
        self.panels_hidden = False

    @property
    def _space(self) -> Workspace | None:
        return self._window.workspace

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
            "project.open": self.choose_project,
            "project.close": window.close_project,
            "project.quit": window.close,
            "edit.settings": dialogs.settings,
            "page.models": dialogs.models,
            "help.keys": dialogs.keys,
            "help.shortcuts": dialogs.shortcuts,
            "help.legend": dialogs.legend,
            "help.doctor": dialogs.doctor,
            "help.about": dialogs.about,
            "view.panels": self.toggle_panels,
            "view.focus_next_panel": self.focus_next_panel,
            "view.fullscreen": self.toggle_fullscreen,
            "view.peek": window.start_peek,
            "go.search": lambda: (window.search.setFocus(), window.search.selectAll()),
            "engine.cancel": self.cancel_job,
            "engine.pause": lambda: self.pause_job(window.registry["engine.pause"].isChecked()),
        }
        for action_id, function in always.items():
            window.registry.connect(action_id, function)
        tables = self._open_table() | self.photos.table() | self.several.table() | dialogs.clips.table()
        for action_id, work in tables.items():
            window.registry.connect(action_id, self._when_open(work))
        for name in TOOLS:
            window.registry.connect(f"tool.{name}", lambda n=name: self.take_tool(n))
        for name in ("label", "parts", "identities", "statistics"):
            window.registry.connect(f"page.{name}", lambda n=name: window.show_page(n))
        window.start_page.new_wanted.connect(dialogs.new_project)
        window.start_page.choose_wanted.connect(self.choose_project)
        window.job_bar.pause_clicked.connect(self.pause_job)
        window.job_bar.cancel_clicked.connect(self.cancel_job)
        for n in (1, 2, 3):
            window.registry[f"point.peak_{n}"].changed.connect(self._show_peak_keys)

    def _open_table(self) -> dict[str, Callable[[Workspace], object]]:
        dialogs = self.dialogs
        table: dict[str, Callable[[Workspace], object]] = {
            "project.add_images": lambda w: self.choose_images(),
            "project.relink": dialogs.relink,
            "project.import": dialogs.import_labels,
            "project.export": dialogs.export,
            "edit.undo": self.undo,
            "edit.redo": self.redo,
            "edit.delete": lambda w: self._on_page("remove", w.editor.delete),
            "edit.delete_instance": lambda w: w.editor.delete_instance(),
            "edit.copy": lambda w: w.editor.copy(),
            "edit.paste": lambda w: w.editor.paste(),
            "edit.schema": dialogs.schema,
            "view.fit": lambda w: w.target.canvas.fit(),
            "view.zoom_instance": lambda w: w.target.zoom_to_instance(),
            "view.actual": lambda w: w.target.canvas.set_zoom(1.0),
            "view.zoom_in": lambda w: w.target.canvas.zoom_by(1.25),
            "view.zoom_out": lambda w: w.target.canvas.zoom_by(0.8),
            "view.brighter": lambda w: w.target.set_tone(w.target.tone.tone.changed(brightness=STEP)),
            "view.darker": lambda w: w.target.set_tone(w.target.tone.tone.changed(brightness=-STEP)),
            "view.more_contrast": lambda w: w.target.set_tone(w.target.tone.tone.changed(contrast=STEP)),
            "view.less_contrast": lambda w: w.target.set_tone(w.target.tone.tone.changed(contrast=-STEP)),
            "view.invert": lambda w: w.target.set_tone(
                replace(w.target.tone.tone, invert=not w.target.tone.tone.invert)
            ),
            "view.plain": lambda w: w.target.set_tone(Tone()),
            "view.source": self.toggle_source,
            "view.link": self.toggle_link,
            "view.loupe": self.toggle_loupe,
            "view.heat": lambda w: w.show_heat_maps(self._window.registry["view.heat"].isChecked()),
            "go.next_image": lambda w: w.step_image(1),
            "go.previous_image": lambda w: w.step_image(-1),
            "go.first_image": lambda w: w.go_to_end(False),
            "go.last_image": lambda w: w.go_to_end(True),
            "go.next_unseen": lambda w: w.next_unseen(),
            "go.next_review": lambda w: w.next_review(),
            "go.previous_review": lambda w: w.previous_review(),
            "go.next_point": lambda w: w.labelling.focus_step(1),
            "go.previous_point": lambda w: w.labelling.focus_step(-1),
            "go.next_instance": lambda w: w.labelling.select_step(1),
            "go.previous_instance": lambda w: w.labelling.select_step(-1),
            "go.source": lambda w: w.go_to_source(),
            "go.next_exemplar": lambda w: w.target.source.step(1),
            "tool.smaller": lambda w: w.target.resize_brush(0.8),
            "tool.larger": lambda w: w.target.resize_brush(1.25),
            "tool.new_instance": self.new_instance,
            "tool.template": self.drop_template,
            "tool.segment": lambda w: w.segment_selected(),
            "point.visibility": lambda w: w.editor.cycle_visibility(),
            "point.mirror": lambda w: w.editor.mirror(),
            "point.absent": lambda w: w.editor.mark_absent(),
            "review.accept": lambda w: self._on_page("accept", lambda: self._decide(w, True)),
            "review.reject": lambda w: self._on_page("reject", lambda: self._decide(w, False)),
            "review.accept_image": self.accept_image,
            "review.accept_instance": lambda w: w.reviewer.accept_instance(),
            "review.reject_image": lambda w: w.reviewer.reject_instance(),
            "review.accept_queue": dialogs.accept_queue,
            "review.nothing": lambda w: w.reviewer.nothing_here(),
            "review.harder": lambda w: w.try_harder(),
            "engine.propose": self.propose,
            "engine.propose_list": lambda w: self.propose(w, image_ids=list(w.images.model.ids)),
            "engine.check": self.check,
            "engine.propose_all": lambda w: self.propose(w, all_categories=True),
            "engine.propose_quick": lambda w: self.propose(w, quick=True),
            "engine.propose_here": self.propose_here,
            "engine.find": dialogs.find,
            "engine.tune": dialogs.tune,
        }
        for name in ("names", "skeleton", "masks", "boxes"):
            table[f"view.{name}"] = lambda w, n=name: self.toggle_layer(w, n)
        for n in range(1, 10):
            table[f"point.pick_{n}"] = lambda w, i=n - 1: self.pick(w, i)
        for n in range(1, 4):
            table[f"point.peak_{n}"] = lambda w, i=n - 1: w.reviewer.take_peak(i)
        return table

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

    # -- project ---------------------------------------------------------------------------------------------------

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
        workspace.jobs.engine_known.connect(self._window.job_bar.show_device)
        workspace.session.busy_changed.connect(self._window.job_bar.show_long)
        workspace.images.menu_wanted.connect(self.photos.show_menu)
        workspace.instances.menu_wanted.connect(self.points.show_menu)
        canvas.menu_wanted.connect(self.points.show_canvas_menu)
        self._show_peak_keys()
        workspace.jobs.sweep_done.connect(self._sweep_done)
        workspace.jobs.find_done.connect(self._find_done)
        workspace.jobs.check_done.connect(self._check_done)
        workspace.tuning.finished.connect(self._tuning_done)
        self.fold_source(self._window.width() < 1100)
        self.refresh_undo()

    def _show_peak_keys(self) -> None:
        if self._space is not None:
            texts = [self._window.registry[f"point.peak_{n}"].shortcut() for n in (1, 2, 3)]
            native = QKeySequence.SequenceFormat.NativeText
            self._space.target.canvas.set_peak_keys(
                tuple(text.toString(native) or str(n) for n, text in enumerate(texts, start=1))
            )

    def choose_project(self) -> None:
        """Ask for a project folder."""
        folder = QFileDialog.getExistingDirectory(
            self._window, self.tr("Open a project (a folder that ends in .kinmark)")
        )
        if folder:
            self._window.open_project(Path(folder))

    def choose_images(self) -> None:
        """Ask for a folder of photos."""
        folder = QFileDialog.getExistingDirectory(self._window, self.tr("Add a folder of photos"))
        if folder:
            self.add_images([Path(folder)])

    def add_images(self, paths: Iterable[Path]) -> None:
        """Add photos in the background (headers and hashes take their time); `paths` is gone through there, too."""
        if self._space is None:
            return

        def run(context: JobContext) -> Generator[None, None, tuple[AddReport, Recognised | None]]:
            from projects.images import PhotoImport

            given = list(paths)
            adding = PhotoImport(context.project, given, progress=context.progress, cancel=context.cancel)
            while adding.report is None:
                adding.step(1)
                yield
            return adding.report, _labels_beside(given) if not context.project.queries.counts().instances else None

        def done(outcome: Any) -> None:
            report, labels = outcome
            count = len(report.image_ids)
            text = self.tr("%n photos added.", "", count)
            hint = ""
            if report.duplicates:
                hint += self.tr("%n have the same bytes as another photo. ", "", len(report.duplicates))
            if report.notes:
                hint += self.tr("%n have further pages that are not looked at. ", "", len(report.notes))
            if report.skipped:
                hint += self.tr("%n files left out, for example: {first}", "", len(report.skipped)).format(
                    first=in_language(report.skipped[0])
                )
            messages = self._window.program.messages
            if labels is not None and self._space is not None:
                found = self.tr("The folder holds labels, too: {name}. ").format(name=labels.path.name)
                other = (self.tr("Import them..."), lambda: self._import_found(labels))
                messages.info(text, found + hint, other=other)
            else:
                (messages.warning if report.skipped and not count else messages.info)(text, hint)
            if self._space is not None and self._space.labelling.image is None:
                self._space.images.refresh()
                self._space.start()

        self._window.program.engine.submit(self.tr("Adding photos"), run, group="add", on_done=done)

    def _import_found(self, labels: Recognised) -> None:
        if self._space is not None:
            self.dialogs.import_labels(self._space, labels)

    def take_dropped(self, dropped: Dropped) -> None:
        """A folder of photos, photos, labels or a project were dropped on the window."""
        from projects.formats.recognise import recognise
        from projects.project import DATABASE_NAME

        few = dropped.first(FEW_DROPPED)
        project = next((p for p in few if p.is_dir() and (p / DATABASE_NAME).exists()), None)
        if project is not None:
            self._window.open_project(project)
        elif self._space is not None:
            labels = next(((p, found) for p in few if (found := recognise(p)) is not None), None)
            if labels is None:
                self.add_images(dropped)
                return
            self.dialogs.import_labels(self._space, labels[1])
            paths = [p for p in dropped if p != labels[0] and not _beside(p, labels[1])]
            if paths:
                self.add_images(paths)
        elif any(is_image_path(p) or p.is_dir() for p in few):
            first = next(p for p in few if is_image_path(p) or p.is_dir())
            self.dialogs.new_project(photos=first if first.is_dir() else first.parent)
        else:
            self._window.program.messages.warning(
                self.tr("Nothing that was dropped is a photo."),
                self.tr("Drop a folder of photos, or a project. Label files can be dropped on an open project."),
            )

    # -- edit ------------------------------------------------------------------------------------------------------

    def undo(self, workspace: Workspace) -> None:
        """Undo, and say what."""
        pattern = self.tr("Undone: {name}")
        workspace.session.travel(forward=False, done=lambda changes: self._after_travel(pattern, changes))

    def redo(self, workspace: Workspace) -> None:
        """Redo, and say what."""
        pattern = self.tr("Done again: {name}")
        workspace.session.travel(forward=True, done=lambda changes: self._after_travel(pattern, changes))

    def _after_travel(self, pattern: str, changes: OpChanges | None) -> None:
        if changes is not None and self._space is not None:
            self._look_at(self._space, changes.image_ids)
            self._window.job_bar.show_step(pattern.format(name=operation_text(changes.name)))
        self.refresh_undo()

    @staticmethod
    def _look_at(workspace: Workspace, image_ids: frozenset[int]) -> None:
        """What was undone on a photo or two is seen there; a step over many photos has no place to go to."""
        here = workspace.labelling.image
        if 0 < len(image_ids) <= FEW_PHOTOS and (here is None or here.id not in image_ids):
            target = min(image_ids)
            if workspace.session.queries.image(target) is not None:
                workspace.go_to(target)

    def refresh_undo(self) -> None:
        """Name what undo and redo would do."""
        workspace = self._space
        if workspace is None:
            return
        project = workspace.session.project
        for action_id, name, text in (
            ("edit.undo", project.undo_name, self.tr("Undo")),
            ("edit.redo", project.redo_name, self.tr("Redo")),
        ):
            self._window.registry[action_id].setText(
                f"{text}: {operation_text(name)}".replace("&", "&&") if name else text
            )
            self._window.registry.set_enabled(action_id, name is not None and not workspace.session.read_only)

    # -- view ------------------------------------------------------------------------------------------------------

    def toggle_layer(self, workspace: Workspace, name: str) -> None:
        """Switch a layer of the canvas."""
        canvas = workspace.target.canvas
        canvas.show_overlays(replace(canvas.overlays, **{name: self._window.registry[f"view.{name}"].isChecked()}))
        if name == "names":
            workspace.program.settings.change(show_names=canvas.overlays.names)

    def toggle_loupe(self, workspace: Workspace) -> None:
        """Loupe on or off."""
        workspace.target.canvas.loupe = self._window.registry["view.loupe"].isChecked()
        workspace.target.canvas.viewport().update()

    def toggle_source(self, workspace: Workspace) -> None:
        """Source exemplar on or off."""
        on = self._window.registry["view.source"].isChecked()
        workspace.target.set_source(on)
        workspace.program.settings.change(show_source=on)

    def fold_source(self, narrow: bool) -> None:
        """In a narrow window the source gives its place to the target (the switch brings it back)."""
        workspace = self._space
        if workspace is None:
            return
        wanted = workspace.program.settings.current.show_source and not narrow
        workspace.target.set_source(wanted)
        self._window.registry.set_checked("view.source", wanted)

    def toggle_link(self, workspace: Workspace) -> None:
        """Link zoom and pan of both views."""
        on = self._window.registry["view.link"].isChecked()
        workspace.target.linked = on
        workspace.program.settings.change(link_views=on)

    def toggle_panels(self) -> None:
        """All panels away, or back where they were."""
        if self._space is None:
            return
        if not self.panels_hidden:
            self._saved_state = self._window.saveState(2)
            self._window.docks.show_all(False)
        else:
            self._window.restoreState(self._saved_state, 2)
        self.panels_hidden = not self.panels_hidden
        self._window.registry.set_checked("view.panels", self.panels_hidden)

    def toggle_fullscreen(self) -> None:
        """Full screen or not."""
        window = self._window
        if window.isFullScreen():
            window.showNormal()
        else:
            window.showFullScreen()

    def focus_next_panel(self) -> None:
        """Move the keyboard: photos, canvas, keypoints, queue, search."""
        workspace = self._space
        if workspace is None:
            return
        stops = [
            workspace.images.view,
            workspace.target.canvas,
            workspace.instances.view,
            workspace.review.view,
            self._window.search,
        ]
        visible = [s for s in stops if s.isVisible()]
        here = next((i for i, s in enumerate(visible) if s.hasFocus()), -1)
        if visible:
            visible[(here + 1) % len(visible)].setFocus()

    # -- tools -----------------------------------------------------------------------------------------------------

    def take_tool(self, name: str) -> None:
        """A person takes a tool: keypoints that have no names yet are named first."""
        self.use_tool(name)
        workspace = self._space
        if name != "keypoint" or workspace is None or workspace.session.read_only:
            return
        category = workspace.labelling.current_category
        if category is None or not category.definitions:
            self.dialogs.schema(workspace)

    def use_tool(self, name: str) -> None:
        """Take a tool in hand."""
        workspace = self._space
        if workspace is None:
            return
        self._window.show_page("label")
        workspace.target.use_tool(name)
        for tool in TOOLS:
            self._window.registry.set_checked(f"tool.{tool}", tool == name)

    def new_instance(self, workspace: Workspace) -> None:
        """Start another instance with the keypoint tool (or the box tool without keypoints)."""
        category = workspace.labelling.category
        workspace.labelling.start_new_instance()
        if workspace.target.tool_name == "select" and category is not None:
            self.use_tool("keypoint" if category.definitions else "box")
            workspace.labelling.start_new_instance()

    def drop_template(self, workspace: Workspace) -> None:
        """All keypoints at once, under the mouse or in the middle."""
        canvas = workspace.target.canvas
        position = canvas.viewport().mapFromGlobal(canvas.cursor().pos())
        if not canvas.viewport().rect().contains(position):
            position = canvas.viewport().rect().center()
        x, y = canvas.to_image(position.toPointF())
        workspace.editor.drop_template(x, y)
        self.use_tool("select")

    def pick(self, workspace: Workspace, index: int) -> None:
        """Focus the n-th keypoint."""
        category = workspace.labelling.current_category
        if category is not None and index < len(category.definitions):
            workspace.labelling.focus(index)

    # -- review and engine -----------------------------------------------------------------------------------------

    def accept_image(self, workspace: Workspace) -> None:
        """Everything sure in this photo."""
        image = workspace.labelling.image
        count = workspace.reviewer.accept_image()
        threshold = workspace.program.settings.current.accept_precision
        here = workspace.labelling.image
        if count and image is not None and here is not None and here.id == image.id and workspace.labelling.has_pending:
            text = self.tr("%n accepted: at least {t:.0%} sure. The rest waits; Ctrl+Enter takes it as it stands.", "", count)
            self._window.job_bar.show_step(text.format(t=threshold))
        if count == 0 and not workspace.labelling.photo_problem:
            workspace.program.messages.info(
                self.tr("Nothing in this photo reaches the threshold of {t:.0%}.").format(t=threshold),
                self.tr("Ctrl+Enter accepts the instance as it stands; what counts as sure is in the settings."),
            )

    def propose(
        self,
        workspace: Workspace,
        *,
        image_ids: list[int] | None = None,
        all_categories: bool = False,
        quick: bool = False,
    ) -> None:
        """Sweep photos for the current category (or all of them) in the background."""
        category = workspace.labelling.current_category
        queries = workspace.session.queries
        names = [c for c in workspace.labelling.categories if c.definitions and queries.exemplar_ids(c.id, limit=1)]
        if not names or (not all_categories and category not in names):
            hint = self.tr("Label one photo: press K and follow the names, then Ctrl+P.")
            if names:
                hint += " " + self.tr("Exemplars exist for: {names}.").format(names=", ".join(c.name for c in names))
            workspace.program.messages.info(self.tr("There is no exemplar of this category yet."), hint)
            return
        name = "" if all_categories or category is None else category.name
        workspace.jobs.propose_all(image_ids, name, quick=quick)
        workspace.jobs.learn_device()

    def propose_here(self, workspace: Workspace) -> None:
        """This photo, now."""
        image, category = workspace.labelling.image, workspace.labelling.current_category
        if image is not None and category is not None:
            workspace.jobs.propose_here(image.id, category.name)
            workspace.jobs.learn_device()

    def _sweep_done(self, outcome: SweepOutcome) -> None:
        messages = self._window.program.messages
        if outcome.failures:
            name, reason = outcome.failures[0]
            messages.warning(
                self.tr("%n photos could not be read, for example {name}.", "", len(outcome.failures)).format(
                    name=name
                ),
                reason,
            )
        elif outcome.proposals == 0:
            messages.info(self.tr("Nothing new to propose."))
        else:
            messages.info(
                self.tr("%n instances proposed.", "", outcome.proposals),
                self.tr("N goes to the one that needs you most."),
            )
        workspace = self._space
        if workspace is not None and not workspace.labelling.has_pending and workspace.target.tool_name == "select":
            workspace.labelling.reload()

    def check(self, workspace: Workspace) -> None:
        """Look for labels that are probably wrong."""
        category = workspace.labelling.current_category
        workspace.jobs.check(category.name if category is not None else "")
        workspace.jobs.learn_device()

    def _check_done(self, findings: Any) -> None:
        workspace = self._space
        if workspace is None:
            return
        if not findings:
            workspace.program.messages.info(self.tr("No label looks wrong."))
            return
        workspace.review.show_findings(findings)
        findings = [f for found in workspace.queue.findings.values() for f in found]
        if not findings:
            workspace.program.messages.info(self.tr("No label looks wrong but those that you called fine."))
            return
        workspace.look_at_finding()
        workspace.program.messages.info(
            self.tr("%n labels look wrong (photos: {m}).", "", len(findings)).format(
                m=len({f.image_id for f in findings})
            ),
            self.tr("N goes through them, worst first. Drag a keypoint to correct it; Enter says that it is fine."),
        )

    def _tuning_done(self) -> None:
        """Told here when the Tune window was closed meanwhile."""
        workspace = self._space
        if workspace is None or self.dialogs.dialog("tune") is not None:
            return
        tuned, problem = workspace.tuning.tuned, workspace.tuning.problem
        if problem is not None:
            workspace.program.messages.error(problem)
        elif tuned is not None:
            text = self.tr("A prompt is tuned. Held-out PCK@0.1: {a:.0%} before, {b:.0%} after.")
            workspace.program.messages.info(
                text.format(a=tuned.before, b=tuned.after), self.tr("Open the Tune window to keep or discard it.")
            )

    def _find_done(self, summary: FindOutcome) -> None:
        text = self.tr("{name}: %n suggestions (photos searched: {searched}).", "", summary.found).format(
            name=summary.identity or summary.category, searched=summary.searched
        )
        hint = self.tr("Confirm or deny them on the identity page.")
        if not summary.identity:
            hint = self.tr("Found by the word alone: kinds may be mixed up. Accept or reject them in the review queue.")
        self._window.program.messages.info(text, hint)

    def cancel_job(self) -> None:
        """Stop the job of the job bar."""
        workspace, engine = self._space, self._window.program.engine
        if workspace is not None and workspace.session.busy is not None:
            workspace.session.cancel_long()
            return
        job = engine.shown_job
        if job is not None:
            engine.cancel(job)
            engine.poll()

    def pause_job(self, on: bool) -> None:
        """Pause or go on with the job of the job bar."""
        job = self._window.program.engine.shown_job
        if job is not None and (self._space is None or self._space.session.busy is None):
            (job.cancel.pause if on else job.cancel.resume)()
            self._window.registry.set_checked("engine.pause", on)


def _labels_beside(paths: list[Path]) -> Recognised | None:
    """A label file or data set in one of the folders of photos (engine thread: it reads the heads of files)."""
    from projects.formats.recognise import recognise

    for folder in (p for p in paths[:FEW_DROPPED] if p.is_dir()):
        found = recognise(folder)
        if found is not None:
            return found
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in LABEL_SUFFIXES)
        for file in files[:FEW_DROPPED]:
            if (found := recognise(file)) is not None:
                return found
    return None


def _beside(path: Path, labels: Recognised) -> bool:
    """Whether a dropped file belongs to the labels that are imported anyway (not a photo to add by itself)."""
    return path.suffix.lower() in LABEL_SUFFIXES or (path.is_dir() and path == labels.path)


def connect_commands(window: MainWindow) -> Commands:
    """Make the commands of a window."""
    commands = Commands(window)
    commands.connect_all()
    return commands
