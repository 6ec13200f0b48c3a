"""Keeps the index of a large collection up to date while nothing else runs, so that the next search begins at once."""

from __future__ import annotations

from collections.abc import Generator

from PySide6.QtCore import QObject, QTimer

from kinmark.desktop.engine_thread.jobs import JobContext, Priority
from kinmark.desktop.engine_thread.service import EngineService
from kinmark.desktop.services.project_session import ProjectSession
from kinmark.desktop.settings import SettingsStore
from kinmark.projects.store.changes import OpChanges

AFTER_MS = 20_000
"""After the last photo was added, and again while the engine has something better to do."""
CHUNK = 4


def describe(context: JobContext, backbone: str, title: str) -> Generator[None, None, int]:
    """The steps of an index job, a few photos each; returns how many photos were described. Engine thread."""
    from kinmark.projects.workflows.index import IndexUpdate

    update = IndexUpdate(context.project, context.engine, backbone, cancel=context.cancel)
    context.progress.start(title, update.left)
    try:
        while update.left:
            context.progress.step(update.step(CHUNK, cancel=context.cancel))
            yield
    finally:
        update.save()
    return update.report.added


class Indexer(QObject):
    """GUI thread; owned by the workspace.

    Only collections that are searched by index are worth it (more than 600 photos), and only where individuals are searched
    at all: there is an identity. Shown in the job bar, so it can be paused and cancelled there.
    """

    def __init__(
        self, service: EngineService, session: ProjectSession, settings: SettingsStore, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._service = service
        self._session = session
        self._settings = settings
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(AFTER_MS)
        self._timer.timeout.connect(self.look)
        session.changed.connect(self._changed)

    def _changed(self, changes: OpChanges, _initiator: object) -> None:
        if changes.tables & {"image", "image_root", "identity"}:
            self._timer.start()

    def wanted(self) -> bool:
        """Whether this project is searched by index."""
        from kinmark.projects.workflows.find import SHORTLIST_FROM

        queries = self._session.queries
        return not self._session.read_only and queries.counts().all > SHORTLIST_FROM and bool(queries.identities())

    def look(self) -> None:
        """Bring the index up to date when it is wanted and the engine is free."""
        if not self._settings.current.index_ahead or not self.wanted():
            return
        if self._service.busy:
            self._timer.start()
            return
        title = self.tr("Describing new photos")
        backbone = str(self._session.queries.setting("backbone", "embedded"))
        self._service.submit(
            title,
            lambda context: describe(context, backbone, title),
            priority=Priority.IDLE,
            group="index",
            replace=True,
            on_failed=lambda _error: None,  # asked for by nobody; the next search will tell
        )
