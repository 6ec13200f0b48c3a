"""The engine as the window uses it: submit jobs, hear answers as signals, watch progress ten times a second."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from PySide6.QtCore import QObject, QTimer, Signal

from kinmark.desktop.engine_thread.jobs import Answer, Job, JobContext, Priority
from kinmark.desktop.engine_thread.worker import EngineWorker
from kinmark.desktop.io.pool import is_late
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.progress import ProgressSnapshot

if TYPE_CHECKING:
    from kinmark.engine.api import Engine
    from kinmark.projects.project import Project

POLL_MS = 100


class Heard(TypedDict, total=False):
    """What the window wants to hear of a job, on its own thread.

    `on_news` while it runs; then `on_done` or `on_failed` (without it the message bar tells), then `on_end`. A cancelled
    job is heard of by `on_end` alone, after `on_stopped` if that was somebody's wish (not the end of the project).
    """

    on_done: Callable[[Any], object] | None
    on_news: Callable[[Any], object] | None
    on_failed: Callable[[AppError], object] | None
    on_end: Callable[[], object] | None
    on_stopped: Callable[[], object] | None


@dataclass
class _Watch:
    job: Job
    heard: Heard

    def tell(self, name: str, *values: object) -> bool:
        """False when nobody wants to hear it."""
        listener: Any = self.heard.get(name)
        if listener is not None:
            listener(*values)
        return listener is not None


@dataclass(frozen=True)
class JobState:
    """For the job bar: the job, its progress, how many wait behind it."""

    job: Job
    progress: ProgressSnapshot
    waiting: int


class EngineService(QObject):
    """GUI thread; owned by the program. Late answers (of forgotten or cancelled jobs) are dropped by their number.

    Signals:
        polled(JobState | None): ten times a second while something runs, once more when all is quiet.
        failed(Job, AppError): a job failed (cancelled ones say nothing).
        finished(Job): a job came to its end.
    """

    polled = Signal(object)
    failed = Signal(object, object)
    finished = Signal(object)

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        open_project: Callable[[Path], Project],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._make_worker = lambda: EngineWorker(make_engine, open_project)
        self._worker: EngineWorker | None = None
        self._folder: Path | None = None
        self._watched: dict[int, _Watch] = {}
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.poll)
        self._closed = False

    def _started(self) -> EngineWorker:
        if self._worker is None or not self._worker.alive:
            self._worker = self._make_worker()
            self._worker.use_project(self._folder)
        return self._worker

    def use_project(self, folder: Path | None) -> None:
        """Forget the jobs of the project before and work on this one."""
        self.cancel_all()
        self._folder = folder
        if self._worker is not None:
            self._worker.use_project(folder)

    def submit(
        self,
        title: str,
        run: Callable[[JobContext], object],
        *,
        priority: int = Priority.ASKED,
        group: str = "",
        replace: bool = False,
        quiet: bool = False,
        **heard: Unpack[Heard],
    ) -> Job | None:
        """Queue a job; `replace` drops waiting and running ones of the same group first. None while closing."""
        if self._closed:
            return None
        if replace and group:
            self.cancel_group(group)
        job = Job.make(title, run, priority=priority, group=group, quiet=quiet)
        self._watched[job.number] = _Watch(job, heard)
        self._started().queue.put(job)
        self._timer.start()
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job because somebody wants it; its answer is dropped."""
        watch = self._watched.get(job.number)
        self._drop(job)
        if watch is not None:
            watch.tell("on_stopped")

    def _drop(self, job: Job) -> None:
        job.cancel.cancel()
        watch = self._watched.pop(job.number, None)
        if watch is not None:
            watch.tell("on_end")

    def cancel_group(self, group: str) -> None:
        """Stop all jobs of a group."""
        for watch in [w for w in self._watched.values() if w.job.group == group]:
            self.cancel(watch.job)

    def cancel_all(self) -> None:
        """Stop everything: the project is left."""
        for watch in list(self._watched.values()):
            self._drop(watch.job)

    def busy_with(self, group: str) -> bool:
        """Whether a job of the group runs or waits."""
        return any(w.job.group == group for w in self._watched.values())

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return bool(self._watched)

    @property
    def shown_job(self) -> Job | None:
        """The job that the job bar is about: the running one, else the most urgent waiting one; never a quiet one."""
        current = self._worker.current if self._worker else None
        if current is not None and not current.quiet and current.number in self._watched:
            return current
        loud = [w.job for w in self._watched.values() if not w.job.quiet]
        return min(loud, default=None)

    def poll(self) -> None:
        """Deliver what the engine thread answered since the last time."""
        worker = self._worker
        while worker is not None:
            try:
                answer = worker.answers.get_nowait()
            except queue.Empty:
                break
            try:
                self._deliver(answer)
            except RuntimeError as late:
                if not is_late(late):
                    raise
        job = self.shown_job
        waiting = max(0, sum(not w.job.quiet for w in self._watched.values()) - 1)
        self.polled.emit(JobState(job, job.progress.snapshot(), waiting) if job else None)
        if not self._watched:
            self._timer.stop()

    def _deliver(self, answer: Answer) -> None:
        watch = self._watched.get(answer.number)
        if watch is None or answer.kind == "started":
            return
        if answer.kind == "news":
            if answer.value is not None:
                watch.tell("on_news", answer.value)
            return
        del self._watched[answer.number]
        if answer.kind == "done":
            watch.tell("on_done", answer.value)
        elif answer.kind == "failed" and answer.error is not None and not watch.tell("on_failed", answer.error):
            self.failed.emit(watch.job, answer.error)
        watch.tell("on_end")
        self.finished.emit(watch.job)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Cancel all, end the thread; False when it is still inside a step after `timeout_s` (it is a daemon)."""
        self._closed = True
        self._timer.stop()
        self._watched.clear()
        if self._worker is None:
            return True
        ended = self._worker.stop(timeout_s)
        self._worker = None
        return ended
