"""The open project on the GUI thread: one door for writes, one signal for changes from anywhere.

Steps over many rows go to the store thread: they take seconds, and the window must not stand still meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from kinmark.desktop.messages import Messages
from kinmark.desktop.services.store_thread import StoreTask, StoreThread
from kinmark.engine.domain.errors import AppError
from kinmark.projects.store.changes import OpChanges

if TYPE_CHECKING:
    from kinmark.projects.project import Project
    from kinmark.projects.store.operations import Operations
    from kinmark.projects.store.queries import Queries

POLL_MS = 100
LARGE_STEP = 300
"""Rows from which a step leaves the window's thread (some tens of milliseconds)."""
PATIENCE_S = 0.25
"""How long the window waits behind a transaction of another thread before it says so instead."""
LOOK_BACK = 50
EVERYTHING = frozenset(
    (
        "image",
        "category",
        "instance",
        "keypoint",
        "mask",
        "proposal",
        "identity",
        "tag",
        "tag_link",
        "nothing_here",
        "exhaustive",
        "split",
    )
)
"""What another process may have changed in a project that is open read-only here."""


class ProjectSession(QObject):
    """GUI thread; owned by the program while a project is open.

    Attributes:
        project: this thread's connection; messages: where failures are told.

    Signals:
        changed(OpChanges, initiator): after every operation, whichever thread ran it; initiator is the object that
            asked for it, or None.
        busy_changed(StoreTask | None): a long step began or ended; until then nothing else can be changed.
    """

    changed = Signal(object, object)
    busy_changed = Signal(object)

    def __init__(self, project: Project, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.project = project
        self.messages = messages
        self.store = StoreThread(project.folder, self)
        if not project.read_only:
            project.set_patience(PATIENCE_S)
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

    def write(self, operation: Callable[[Operations], OpChanges], initiator: object = None) -> OpChanges | None:
        """Run one named operation: `session.write(lambda do: do.remove_instances([3]))`. None when it failed (told)."""
        if self._told_to_wait():
            return None
        try:
            with self.project.initiator(initiator):
                return operation(self.project.operations)
        except AppError as error:
            self.messages.error(error)
            return None

    # -- long steps ------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> StoreTask | None:
        """The long step that runs, or None."""
        return next((task for task in self.store.waiting if not task.quiet), None)

    def _told_to_wait(self) -> bool:
        task = self.busy
        if task is not None:
            self.messages.info(
                self.tr("“{step}” is still being written.").format(step=task.title),
                self.tr("Nothing else can be changed until it is done; you can go on looking."),
            )
        return task is not None

    def cancel_long(self) -> bool:
        """Stop the long step; nothing of it stays. False when none runs or it cannot be stopped."""
        task = self.busy
        if task is None or not task.cancellable:
            return False
        task.cancel.cancel()
        return True

    def write_sized(
        self,
        size: int,
        title: str,
        operation: Callable[[Operations], OpChanges],
        initiator: object = None,
        *,
        done: Callable[[OpChanges], object] | None = None,
    ) -> None:
        """Like `write` for a step over about `size` rows: a large one runs on the store thread. `done` comes after it."""
        if size < LARGE_STEP:
            changes = self.write(operation, initiator)
            if changes is not None and done is not None:
                done(changes)
        else:
            self._submit_long(title, lambda project: operation(project.operations), initiator, done)

    def _submit_long(
        self, title: str, work: Callable[[Project], Any], initiator: object, done: Callable[[Any], object] | None
    ) -> None:
        if self._told_to_wait():
            return
        task = StoreTask(
            title,
            work,
            initiator,
            done=done,
            failed=self.messages.error,
            ended=self._long_ended,
        )
        self.store.submit(task)
        self.busy_changed.emit(task)

    def _long_ended(self) -> None:
        self.poll()
        self.busy_changed.emit(self.busy)

    def travel(self, *, forward: bool, done: Callable[[OpChanges | None], object]) -> None:
        """Undo (or redo, `forward`) the last step of the person; `done(changes)` comes at once, or later for a large one."""
        steps = self.project.upcoming_steps(forward=forward, limit=LOOK_BACK)
        count = next((i for i, taken in enumerate(steps) if not taken.by_program), len(steps) - 1) + 1
        if not steps or sum(taken.rows for taken in steps[: 1 if forward else count]) < LARGE_STEP:
            step = self.project.redo if forward else self.project.undo
            done(None if self._told_to_wait() else self._travel(step, forward=forward))
            return
        title = self.tr("Redo: {name}") if forward else self.tr("Undo: {name}")
        self._submit_long(
            title.format(name=steps[0 if forward else count - 1].name),
            lambda project: _travelled(project.redo if forward else project.undo, forward=forward),
            None,
            done,
        )

    # -- undo ------------------------------------------------------------------------------------------------------

    def undo(self) -> str | None:
        """Take the last step of the person back; its name, or None.

        Background improvements that came after it go with it (they are made again by themselves).
        """
        changes = self._travel(self.project.undo, forward=False)
        return changes.name if changes is not None else None

    def redo(self) -> str | None:
        """Do the last undone step again; its name, or None."""
        changes = self._travel(self.project.redo, forward=True)
        return changes.name if changes is not None else None

    def _travel(self, step: Callable[[], OpChanges | None], *, forward: bool) -> OpChanges | None:
        try:
            return _travelled(step, forward=forward)
        except AppError as error:
            self.messages.error(error)
            return None

    def _hear(self, changes: OpChanges, initiator: object = None) -> None:
        self.changed.emit(changes, initiator)

    def poll(self) -> None:
        """Hear what other threads wrote (a sweep of proposals, an import)."""
        try:
            for changes, initiator in self.project.poll_changes():
                self.changed.emit(changes, initiator)
            if self.project.read_only and self.project.changed_elsewhere():
                self.changed.emit(OpChanges("", tables=EVERYTHING), None)
        except AppError as error:
            self._timer.stop()
            self.messages.error(error, retry=self._timer.start)

    def close(self) -> None:
        """Stop listening and close the connection; a long step is finished and a due backup written behind the scenes."""
        self._timer.stop()
        if self.project.backup_is_due:
            self.store.end_with(self.project.close)
        else:
            self.store.finish(self.project.close)


def _travelled(step: Callable[[], OpChanges | None], *, forward: bool) -> OpChanges | None:
    """Take steps until one of a person was among them; what that one changed. Redo takes one."""
    last = None
    while (changes := step()) is not None:
        last = changes
        if forward or not changes.by_program:
            break
    return last
