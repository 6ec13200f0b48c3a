"""Commands about the project and its photos: open, add, drop, undo."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QFileDialog

from kinmark.desktop.engine_thread.jobs import JobContext
from kinmark.desktop.error_texts import in_language
from kinmark.desktop.io.dropped import Dropped
from kinmark.desktop.io.pool import URGENT
from kinmark.desktop.session.operation_names import operation_text
from kinmark.desktop.window.command_group import CommandGroup
from kinmark.engine.imaging import is_image_path

if TYPE_CHECKING:
    from kinmark.desktop.window.dialog_commands import DialogCommands
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace
    from kinmark.projects.formats.recognise import Recognised
    from kinmark.projects.images import AddReport
    from kinmark.projects.store.changes import OpChanges

FEW_DROPPED = 100
"""So many of the dropped things are looked at; tens of thousands of questions to a network drive would take minutes."""
FEW_PHOTOS = 3
LABEL_SUFFIXES = (".json", ".xml", ".csv", ".h5", ".yaml", ".yml", ".txt")


class ProjectCommands(CommandGroup):
    """GUI thread; owned by the commands: the project, its photos, what is dropped, undo."""

    def __init__(self, window: Frame, dialogs: DialogCommands) -> None:
        super().__init__(window)
        self._dialogs = dialogs
        self._drops = 0

    def table(self) -> dict[str, Callable[[Workspace], object]]:
        """What each action does with an open project."""
        return {
            "project.add_images": lambda w: self.choose_images(),
            "edit.undo": self.undo,
            "edit.redo": self.redo,
        }

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
            from kinmark.projects.images import PhotoImport

            given = list(paths)
            adding = PhotoImport(context.project, given, progress=context.progress, cancel=context.cancel)
            while adding.report is None:
                adding.step(1)
                yield
            return adding.report, _labels_beside(given) if not context.project.queries.counts().instances else None

        self._window.program.engine.submit(self.tr("Adding photos"), run, group="add", on_done=self._added)

    def _added(self, outcome: tuple[AddReport, Recognised | None]) -> None:
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

    def _import_found(self, labels: Recognised) -> None:
        if self._space is not None:
            self._dialogs.import_labels(self._space, labels)

    def take_dropped(self, dropped: Dropped) -> None:
        """A folder of photos, photos, labels or a project were dropped on the window: looked at beside it, then taken."""
        self._drops += 1
        labels_too = self._space is not None
        self._window.program.pool.submit(
            f"dropped:{self._drops}",
            lambda: look_at_dropped(dropped.first(FEW_DROPPED), labels_too),
            lambda seen: self._take(dropped, seen),
            priority=URGENT,
        )

    def _take(self, dropped: Dropped, seen: Seen) -> None:
        if seen.project is not None:
            self._window.open_project(seen.project)
        elif self._space is not None:
            if seen.labels is None:
                self.add_images(dropped)
                return
            self._dialogs.import_labels(self._space, seen.labels)
            paths = [p for p in dropped if p != seen.labelled and not _beside(p, seen.labels)]
            if paths:
                self.add_images(paths)
        elif seen.photos is not None:
            self._dialogs.new_project(photos=seen.photos)
        else:
            self._window.program.messages.warning(
                self.tr("Nothing that was dropped is a photo."),
                self.tr("Drop a folder of photos, or a project. Label files can be dropped on an open project."),
            )

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
            self._window.message_bar.end_information()
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


@dataclass(frozen=True)
class Seen:
    """What was dropped: a project, the labels (and the dropped path they were recognised by), a folder of photos."""

    project: Path | None = None
    labels: Recognised | None = None
    labelled: Path | None = None
    photos: Path | None = None


def look_at_dropped(few: list[Path], labels_too: bool) -> Seen:
    """The first of each kind (pool thread: a network drive may take its time)."""
    from kinmark.projects.formats.recognise import recognise
    from kinmark.projects.project import DATABASE_NAME

    project = next((p for p in few if p.is_dir() and (p / DATABASE_NAME).exists()), None)
    if project is not None:
        return Seen(project)
    for path in few if labels_too else ():
        if (found := recognise(path)) is not None:
            return Seen(labels=found, labelled=path)
    first = next((p for p in few if is_image_path(p) or p.is_dir()), None)
    return Seen(photos=first if first is None or first.is_dir() else first.parent)


def _labels_beside(paths: list[Path]) -> Recognised | None:
    """A label file or data set in one of the folders of photos (engine thread: it reads the heads of files)."""
    from kinmark.projects.formats.recognise import recognise

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
    return path.suffix.lower() in LABEL_SUFFIXES or path == labels.path
