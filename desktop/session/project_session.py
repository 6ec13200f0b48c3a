"""The open project on the GUI thread: one door for writes, one signal for changes from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from desktop.messages import Messages
from engine.domain.errors import AppError
from projects.store.changes import OpChanges

if TYPE_CHECKING:
    from projects.project import Project
    from projects.store.queries import Queries

POLL_MS = 100
IMPROVE = "Improve "
"""Steps that the program makes by itself in the background begin with this in the undo list."""


class ProjectSession(QObject):
    """GUI thread; owned by the program while a project is open.

    Attributes:
        project: this thread's connection; messages: where failures are told.

    Signals:
        changed(OpChanges, initiator): after every operation, whichever thread ran it; initiator is the object that
            asked for it, or None.
    """

    changed = Signal(object, object)

    def __init__(self, project: Project, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.project = project
        self.messages = messages
        project.on_change.append(self._hear)
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.poll)
        self._timer.start()

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.project.folder

    @property
    def name(self) -> str:
        """What the window calls the project."""
        return self.project.name

    @property
    def read_only(self) -> bool:
        """Whether nothing can be changed."""
        return self.project.read_only

    @property
    def queries(self) -> Queries:
        """Reading."""
        return self.project.queries

    def write(self, operation: Callable[[Any], OpChanges], initiator: object = None) -> OpChanges | None:
        """Run one named operation: `session.write(lambda do: do.remove_instances([3]))`. None when it failed (told)."""
        try:
            with self.project.initiator(initiator):
                return operation(self.project.operations)
        except AppError as error:
            self.messages.error(error)
            return None

    def undo(self) -> str | None:
        """Take the last step of the person back; its name, or None.

        Background improvements that came after it go with it (they are made again by themselves).
        """
        name = self._travel(self.project.undo)
        while name is not None and name.startswith(IMPROVE):
            following = self._travel(self.project.undo)
            if following is None:
                break
            name = following
        return name

    def redo(self) -> str | None:
        """Do the last undone step again; its name, or None."""
        return self._travel(self.project.redo)

    def _travel(self, step: Callable[[], OpChanges | None]) -> str | None:
        try:
            changes = step()
        except AppError as error:
            self.messages.error(error)
            return None
        return changes.name if changes is not None else None

    def _hear(self, changes: OpChanges, initiator: object = None) -> None:
        self.changed.emit(changes, initiator)

    def poll(self) -> None:
        """Hear what other threads wrote (a sweep of proposals, an import)."""
        try:
            for changes, initiator in self.project.poll_changes():
                self.changed.emit(changes, initiator)
        except AppError as error:
            self._timer.stop()
            self.messages.error(error, retry=self._timer.start)

    def close(self) -> None:
        """Stop listening and close the connection."""
        self._timer.stop()
        self.project.close()
