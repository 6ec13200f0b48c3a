"""Is the project's folder still where it was opened? A drive may go away, a folder may be renamed by another program."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, QTimer

from kinmark.desktop.io.pool import AHEAD, IoPool
from kinmark.desktop.messages import Messages
from kinmark.projects.project import DATABASE_NAME

LOOK_MS = 3000


class FolderWatch(QObject):
    """GUI thread; owned by the workspace. Looks from a file thread (a dead network drive answers after a minute)."""

    def __init__(self, folder: Path, pool: IoPool, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._file = folder / DATABASE_NAME
        self._pool = pool
        self._messages = messages
        self._there = True
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.look)
        self._timer.start()

    def look(self) -> None:
        """Ask once."""
        self._pool.submit("project-folder", self._file.exists, self._known, priority=AHEAD)

    def _known(self, there: bool) -> None:
        if there == self._there:
            return
        self._there = there
        folder = str(self._file.parent)
        if there:
            self._messages.info(self.tr("The project folder {folder} is back.").format(folder=folder))
        else:
            self._messages.warning(
                self.tr("The project folder {folder} is not there any more.").format(folder=folder),
                self.tr(
                    "Connect the drive again, or give the folder its name back. What is accepted before it is there "
                    "again is stored only if the folder was merely renamed; a step that cannot be stored says so."
                ),
            )
