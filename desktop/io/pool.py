"""Two threads for files: decoding, thumbnails, headers. Urgent first, newest first; results arrive on the GUI thread."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal

from kinmark.engine.domain.errors import AppError, BugError

URGENT, AHEAD, THUMBNAIL, IDLE = 0, 10, 20, 30


def is_late(error: RuntimeError) -> bool:
    """Whether an answer came for a widget that was closed meanwhile (it is dropped, like all late answers)."""
    return "already deleted" in str(error)


@dataclass(order=True)
class _Task:
    priority: int
    age: int
    key: str = field(compare=False)
    work: Callable[[], Any] = field(compare=False)
    done: Callable[[Any], object] = field(compare=False)
    failed: Callable[[AppError], object] | None = field(compare=False)
    generation: int = field(default=0, compare=False)


class IoPool(QObject):
    """Owned by the program; `submit` on the GUI thread, `work` runs on a pool thread, `done` on the GUI thread again.

    Signals:
        _ready(object): internal, carries results across threads.
    """

    _ready = Signal(object)

    def __init__(self, threads: int = 2, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks: list[_Task] = []
        self._changed = threading.Condition()
        self._closed = False
        self._generation = 0
        self._ages = itertools.count()
        self._ready.connect(self._deliver, Qt.ConnectionType.QueuedConnection)
        self._threads = [
            threading.Thread(target=self._run, name=f"kinmark-io-{n}", daemon=True) for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        key: str,
        work: Callable[[], Any],
        done: Callable[[Any], object],
        *,
        failed: Callable[[AppError], object] | None = None,
        priority: int = IDLE,
    ) -> None:
        """Queue `work`; a waiting task of the same `key` is replaced."""
        with self._changed:
            if self._closed:
                return
            self._tasks = [t for t in self._tasks if t.key != key]
            # Among thumbnails the newest request is what is on screen now.
            self._tasks.append(_Task(priority, -next(self._ages), key, work, done, failed, self._generation))
            heapq.heapify(self._tasks)
            self._changed.notify()

    def forget(self, prefix: str) -> None:
        """Drop waiting tasks whose key starts with `prefix`."""
        with self._changed:
            self._tasks = [t for t in self._tasks if not t.key.startswith(prefix)]
            heapq.heapify(self._tasks)

    def forget_all(self) -> None:
        """Drop everything that waits, and the answers of what runs (another project: its widgets are gone)."""
        with self._changed:
            self._tasks.clear()
            self._generation += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._tasks and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                task = heapq.heappop(self._tasks)
            try:
                result, error = task.work(), None
            except AppError as known:
                result, error = None, known
            except Exception as bug:  # noqa: BLE001 - a pool thread must live on
                result, error = None, BugError("A file could not be processed.", "", repr(bug))
            if not self._closed:
                self._ready.emit((task, result, error))

    def _deliver(self, item: object) -> None:
        assert isinstance(item, tuple)
        task: _Task = item[0]
        result: Any = item[1]
        error: AppError | None = item[2]
        if self._closed or task.generation != self._generation:
            return
        try:
            if error is None:
                task.done(result)
            elif task.failed is not None:
                task.failed(error)
        except RuntimeError as late:
            if not is_late(late):
                raise

    def close(self, timeout_s: float = 5.0) -> bool:
        """Drop what waits and end the threads; False when one is still inside a file after `timeout_s`."""
        with self._changed:
            self._closed = True
            self._tasks.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)
