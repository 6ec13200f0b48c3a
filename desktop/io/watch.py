"""Is the file that is shown still the same? Told by the system where it can, asked where it cannot (network drives)."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QFileSystemWatcher, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication

SETTLE_MS = 300
AGAIN_MS = 2000


class FileWatch(QObject):
    """GUI thread; owned by the view that shows the file. Looks at one file at a time and reads nothing itself.

    Signals:
        touched(Path): the file changed, vanished or came back, or the person returned to the window.
    """

    touched = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path: Path | None = None
        # Programs write a file in several steps: wait until it is quiet.
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._tell)
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(AGAIN_MS)
        self._again.timeout.connect(self._tell)
        self._watcher = QFileSystemWatcher(self)
        self._watcher.fileChanged.connect(lambda _: self._settle.start())
        application = QGuiApplication.instance()
        if isinstance(application, QGuiApplication):
            application.applicationStateChanged.connect(self._state_changed)

    def watch(self, path: Path | None) -> None:
        """Watch this file instead of the one before."""
        self._settle.stop()
        self._again.stop()
        if files := self._watcher.files():
            self._watcher.removePaths(files)
        self._path = path
        if path is not None:
            self._watcher.addPath(str(path))

    def look_again(self) -> None:
        """The file is gone: ask again soon, the system does not tell when it comes back."""
        self._again.start()

    def _tell(self) -> None:
        if self._path is None:
            return
        # A file that was replaced by another one under the same name is no longer watched.
        if str(self._path) not in self._watcher.files():
            self._watcher.addPath(str(self._path))
        self.touched.emit(self._path)

    def _state_changed(self, state: Qt.ApplicationState) -> None:
        if state == Qt.ApplicationState.ApplicationActive and self._path is not None:
            self._settle.start()
