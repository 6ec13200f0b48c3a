"""Jobs that the window was closed in the middle of are offered again when their project is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from kinmark.engine.domain.errors import AppError
from kinmark.projects.workflows.kept import KeptJob, kept_jobs

if TYPE_CHECKING:
    from kinmark.desktop.messages import Messages
    from kinmark.desktop.services.project_session import ProjectSession
    from kinmark.desktop.session.jobs import EngineJobs
    from kinmark.desktop.session.tuning import PromptTuning


class CutOffJobs(QObject):
    """GUI thread; one per open project."""

    def __init__(
        self, session: ProjectSession, jobs: EngineJobs, tuning: PromptTuning, messages: Messages, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._jobs = jobs
        self._tuning = tuning
        self._messages = messages
        self._offered = ""
        jobs.began.connect(self._withdraw)

    def offer(self) -> None:
        """Say what was cut off, and go on with it when the person wants that. Nothing in a project that is only read."""
        if self._session.read_only:
            return
        try:
            kept = kept_jobs(self._session.project)
        except (AppError, KeyError, TypeError, ValueError):  # of another version: not worth a message
            return
        if kept:
            self._offered = " ".join(self._what(job) for job in kept)
            self._messages.offer(
                self._offered,
                self.tr("What is done stays; nothing is done twice."),
                (self.tr("Go on"), lambda: self._go_on(kept)),
            )

    def _withdraw(self) -> None:
        """Something of the kind was begun anew: the offer would begin it twice."""
        if self._offered:
            self._messages.withdraw(self._offered)
            self._offered = ""

    def _what(self, job: KeptJob) -> str:
        texts = {
            "propose": self.tr("Proposing {name} was cut off: {done} of {total} done."),
            "find": self.tr("Finding {name} was cut off: {done} of {total} done."),
            "tune": self.tr("Tuning {name} was cut off: {done} of {total} steps done."),
        }
        name = job.name or self.tr("all categories")
        return texts[job.kind].format(name=name, done=job.done, total=job.total or self.tr("an open number"))

    def _go_on(self, kept: tuple[KeptJob, ...]) -> None:
        for job in kept:
            (self._tuning if job.kind == "tune" else self._jobs).go_on_with(job)
        self._jobs.learn_device()
