"""Steps over many rows off the window's thread: one thread per open project with its own connection.

A step that was asked for is finished also when the window closes meanwhile: the thread is not a daemon, so the process
stays until the commit, without a window. Without work the thread ends by itself after some seconds.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Qt, Signal

from kinmark.desktop.io.pool import is_late
from kinmark.engine.domain.errors import AppError, BugError, OperationCancelled
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.texts import said

if TYPE_CHECKING:
    from kinmark.projects.project import Project

THREAD_NAME = "kinmark-store"
IDLE_S = 8.0


@dataclass(frozen=True, eq=False)
class StoreTask:
    """One piece of work for the store thread.

    Attributes:
        title: what the window calls it; work: called on the store thread with its `Project`.
        initiator: carried to the listeners of what it changes.
        cancellable: whether stopping it midway is offered; cancel: how.
        quiet: writes nothing that a person waits for (a backup, a check): editing goes on beside it.
        done, failed: called on the GUI thread with the result or the AppError; neither when it was cancelled.
        ended: called on the GUI thread in any case, before those two.
    """

    title: str
    work: Callable[[Project], Any]
    initiator: object = None
    cancellable: bool = True
    quiet: bool = False
    done: Callable[[Any], object] | None = None
    failed: Callable[[AppError], object] | None = None
    ended: Callable[[], object] | None = None
    cancel: CancelToken = field(default_factory=CancelToken)


@dataclass(frozen=True)
class _Outcome:
    task: StoreTask
    value: Any = None
    error: AppError | None = None
    cancelled: bool = False


class StoreThread(QObject):
    """Made, asked and closed on the GUI thread; owned by the project session. The thread starts with its first task.

    Signals:
        _ended(object): internal, carries outcomes across threads.
    """

    _ended = Signal(object)

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._tasks: queue.SimpleQueue[StoreTask | None] = queue.SimpleQueue()
        self._waiting: list[StoreTask] = []
        self._closing = threading.Event()
        self._after: Callable[[], object] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._ended.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def waiting(self) -> tuple[StoreTask, ...]:
        """Tasks that have not ended yet, the running one first."""
        return tuple(self._waiting)

    def submit(self, task: StoreTask) -> None:
        """Do `task` after those before it; what a person waits for stops the quiet ones (they come again)."""
        if not task.quiet:
            self._stop_quiet()
        self._waiting.append(task)
        with self._lock:
            self._tasks.put(task)
            self._start()

    def _stop_quiet(self) -> None:
        for task in self._waiting:
            if task.quiet:
                task.cancel.cancel()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=THREAD_NAME)
            self._thread.start()

    def finish(self, after: Callable[[], object]) -> None:
        """Take no more; steps that were asked for are finished, then `after()` runs (on the store thread when it lives).

        Quiet tasks are dropped. Nothing is delivered to the window any more.
        """
        self._closing.set()
        self._stop_quiet()
        with self._lock:
            alive = self._thread is not None
            if alive:
                self._after = after
                self._tasks.put(None)
        if not alive:
            after()

    def end_with(self, after: Callable[[], object]) -> None:
        """Like `finish`, but `after()` runs on the store thread in any case (it takes its time)."""
        with self._lock:
            self._start()
            self._after = after
            self._tasks.put(None)
        self._closing.set()
        self._stop_quiet()

    # -- store thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        project: Project | None = None
        while (task := self._next()) is not None:
            try:
                task.cancel.check()
                project = project or self._open()
                with project.initiator(task.initiator), project.cancellable(task.cancel):
                    outcome = _Outcome(task, task.work(project))
            except OperationCancelled:
                outcome = _Outcome(task, cancelled=True)
            except AppError as error:
                outcome = _Outcome(task, error=error)
            except Exception:  # noqa: BLE001 - the thread must live on; the crash door gets the whole story
                bug = BugError(
                    said("“{0}” stopped with an unexpected error.", task.title),
                    "Nothing of it was written.",
                    traceback.format_exc(),
                )
                outcome = _Outcome(task, error=bug)
            if not self._closing.is_set():
                self._tell(outcome)
        if project is not None:
            project.close(back_up=False)
        with self._lock:  # another thread may have begun since this one ran out of work
            after, self._after = self._after, None
        if after is not None:
            after()

    def _next(self) -> StoreTask | None:
        """The next task; None at the end, or after a while without any (the next task starts another thread)."""
        while True:
            try:
                return self._tasks.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._tasks.empty():
                        self._thread = None
                        return None

    def _open(self) -> Project:
        from kinmark.projects.project import Project

        return Project.open(self._folder)

    def _tell(self, outcome: _Outcome) -> None:
        try:
            self._ended.emit(outcome)
        except RuntimeError as late:  # the window went in between
            if not is_late(late):
                raise

    # -- GUI thread ------------------------------------------------------------------------------------------------

    def _deliver(self, outcome: object) -> None:
        assert isinstance(outcome, _Outcome)
        task = outcome.task
        self._waiting.remove(task)
        if self._closing.is_set():
            return
        if task.ended is not None:
            task.ended()
        if outcome.error is not None:
            if task.failed is not None:
                task.failed(outcome.error)
        elif not outcome.cancelled and task.done is not None:
            task.done(outcome.value)


def wait_for_stores(timeout_s: float | None = None) -> bool:
    """Wait until every store thread of this process has committed and closed; False when one has not after `timeout_s`."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    threads = [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]
    for thread in threads:
        thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
