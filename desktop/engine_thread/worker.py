"""The engine thread: owns the engine and its own connection to the project; runs one job at a time."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from kinmark.desktop.engine_thread.jobs import Answer, Job, JobContext
from kinmark.desktop.engine_thread.queue import JobQueue
from kinmark.desktop.settled import settle
from kinmark.engine.domain.errors import AppError, BugError, KnownError, OperationCancelled
from kinmark.engine.domain.texts import said

if TYPE_CHECKING:
    from kinmark.engine.api import Engine
    from kinmark.projects.project import Project

NICENESS = 10


class EngineWorker:
    """Created on the GUI thread; `_run` and everything it calls run on the engine thread.

    Attributes:
        queue: jobs in; answers: frozen answers out (drained by the window's timer).
    """

    def __init__(self, make_engine: Callable[[], Engine], open_project: Callable[[Path], Project]) -> None:
        self.queue = JobQueue()
        self.answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._make_engine = make_engine
        self._open_project = open_project
        self._folder: Path | None = None
        self._lock = threading.Lock()
        self._running: Job | None = None
        self._begun: dict[int, Generator[object, None, object]] = {}
        self._engine: Engine | None = None
        self._project: Project | None = None
        self._project_folder: Path | None = None
        self._thread = threading.Thread(target=self._run, name="kinmark-engine", daemon=True)
        self._thread.start()

    # -- called from the GUI thread --------------------------------------------------------------------------------

    def use_project(self, folder: Path | None) -> None:
        """Jobs that start from now on use this project."""
        with self._lock:
            self._folder = folder

    @property
    def current(self) -> Job | None:
        """The running job."""
        with self._lock:
            return self._running

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Cancel the running job, drop the waiting ones, end the thread; False when it did not end in time."""
        self.queue.close()
        with self._lock:
            running = self._running
        if running is not None:
            running.cancel.cancel()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- engine thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        # The window's thread must win the processor whenever it wants it; on Linux niceness is per thread and the
        # numerical libraries' own threads inherit it from this one.
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while (job := self.queue.take()) is not None:
            self._perform(job)
            settle()  # the libraries come with the first jobs
        self._close()

    def _perform(self, job: Job) -> None:
        """A short job, or one step of a long one, which then waits behind what is more urgent."""
        with self._lock:
            self._running = job
            folder = self._folder
        if job.number not in self._begun:
            self.answers.put(Answer(job.number, "started", job))
        answer = self._answer(job, folder)
        self.answers.put(answer)
        with self._lock:
            self._running = None
        if answer.kind == "news":
            self.queue.put(job)

    def _answer(self, job: Job, folder: Path | None) -> Answer:
        steps = self._begun.pop(job.number, None)
        try:
            job.cancel.check()
            if steps is None:
                value = job.run(self._context(job, folder))
                if not isinstance(value, Generator):
                    return Answer(job.number, "done", value)
                steps = value
            news = next(steps)
        except StopIteration as end:
            return Answer(job.number, "done", end.value)
        except OperationCancelled:
            _put_away(steps)
            return Answer(job.number, "cancelled")
        except AppError as error:
            return Answer(job.number, "failed", error=error)
        except MemoryError as error:
            return Answer(job.number, "failed", error=_out_of_memory(job, error))
        except Exception as error:  # noqa: BLE001 - the thread must live on; the crash door gets the whole story
            if "out of memory" in str(error).lower():
                return Answer(job.number, "failed", error=_out_of_memory(job, error))
            details = traceback.format_exc()
            message = said("An unexpected error stopped the job “{0}”.", job.title)
            return Answer(job.number, "failed", error=BugError(message, "Your labels are safe. Try again.", details))
        self._begun[job.number] = steps
        return Answer(job.number, "news", news)

    def _context(self, job: Job, folder: Path | None) -> JobContext:
        self._follow_project(folder)
        if self._engine is None:
            self._engine = self._make_engine()
        return JobContext(self._engine, self._project, job.progress, job.cancel)

    def _follow_project(self, folder: Path | None) -> None:
        if folder == self._project_folder:
            return
        self._put_all_away()
        self._close_project()
        if folder is not None:
            self._project = self._open_project(folder)
        self._project_folder = folder

    def _put_all_away(self) -> None:
        """Close what was begun and does not go on."""
        begun, self._begun = self._begun, {}
        for steps in begun.values():
            _put_away(steps)

    def _close_project(self) -> None:
        if self._project is not None:
            with contextlib.suppress(AppError, OSError):
                self._project.close(back_up=False)  # the window sees to that; this thread may end in the middle of it
        self._project, self._project_folder = None, None

    def _close(self) -> None:
        self._put_all_away()
        self._close_project()
        if self._engine is not None:
            with contextlib.suppress(Exception):
                self._engine.close()


def _put_away(steps: Generator[object, None, object] | None) -> None:
    """Close a job between two steps; it keeps what it has done."""
    if steps is not None:
        with contextlib.suppress(AppError, OperationCancelled, OSError):
            steps.close()


def _out_of_memory(job: Job, error: BaseException) -> KnownError:
    return KnownError(
        said("There was not enough memory for the job “{0}”.", job.title),
        "Close other programs, choose a smaller model or the CPU in the settings, then try again.",
        repr(error),
    )
