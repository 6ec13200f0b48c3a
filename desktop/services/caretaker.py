"""Looks after the open project while the person does something else: backups, and one check that the file is sound."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

from kinmark.desktop.services.store_thread import StoreTask
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.progress import CancelToken

if TYPE_CHECKING:
    from kinmark.desktop.services.project_session import ProjectSession
    from kinmark.projects.project import Project

LOOK_EVERY_MS = 60_000
QUIET_FOR_S = 20.0
"""Nothing was changed for so long: the person is reading, or away."""


class Caretaker(QObject):
    """GUI thread; owned by the workspace. Its work runs on the store thread and gives way to any step of the person.

    Attributes:
        checked: whether the project's file was checked since it was opened (at any size; it takes seconds when large).
    """

    def __init__(self, session: ProjectSession, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._changed_at = time.monotonic()
        self._told_backup = False
        self.checked = False
        session.changed.connect(self._changed)
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_EVERY_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def _changed(self, *_: object) -> None:
        self._changed_at = time.monotonic()

    def look(self) -> None:
        """See what is due, when nothing is going on."""
        session = self._session
        if session.read_only or session.store.waiting or time.monotonic() - self._changed_at < QUIET_FOR_S:
            return
        if not self.checked:
            self._check()
        self._back_up()

    def _back_up(self) -> None:
        task = StoreTask(
            "backup",
            lambda project: project.back_up_if_due(task.cancel),
            quiet=True,
            done=self._backed_up,
            failed=self._backup_failed,
        )
        self._session.store.submit(task)

    def _backed_up(self, path: Path | None) -> None:
        if path is not None:
            self._told_backup = False

    def _backup_failed(self, error: AppError) -> None:
        if not self._told_backup:  # once is enough while the disk stays full
            self._told_backup = True
            self._session.messages.error(error)

    def _check(self) -> None:
        task = StoreTask(
            "check",
            lambda project: _damage(project, task.cancel),
            quiet=True,
            done=self._was_checked,
            failed=self._session.messages.error,
        )
        self._session.store.submit(task)

    def _was_checked(self, damage: AppError | None) -> None:
        self.checked = True
        if damage is not None:
            self._session.messages.error(damage)


def _damage(project: Project, cancel: CancelToken) -> AppError | None:
    """What is wrong with the project's file, with the last good backup in its hint. Store thread."""
    problems = project.check_integrity(cancel)
    return project.damage(problems) if problems else None
