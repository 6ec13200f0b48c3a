"""ProcessPool: workers as processes of this machine, each on its own pipe.

A worker is our own interpreter, started again by `multiprocessing` ("spawn": no lock or thread of ours is copied).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from kinmark.engine.parallel.messages import Control, Job, Lost, Reply, Shard
from kinmark.engine.requests import EngineConfig

END_S = 3.0
"""How long a worker may take to end by itself."""


@dataclass
class _Worker:
    process: Any
    pipe: Any


class ProcessPool:
    """`count` worker processes that share this machine's processors.

    Args:
        config: of every worker's engine; its `threads` (0 = all processors) are divided among them.
    """

    def __init__(self, config: EngineConfig, count: int) -> None:
        threads = config.threads or processors()
        self.config = replace(config, threads=max(1, threads // count))
        self.count = count
        self._workers: dict[int, _Worker] = {}
        self._next = 0
        self._unsent: list[tuple[int, Reply]] = []

    @property
    def name(self) -> str:
        """See `WorkerPool`."""
        return f"{self.count} processes"

    @property
    def process_ids(self) -> dict[int, int]:
        """Worker -> process id, of those that run."""
        return {number: worker.process.pid for number, worker in self._workers.items()}

    def start(self) -> None:
        """See `WorkerPool`."""
        for _ in range(self.count - len(self._workers)):
            self.replace()

    def replace(self) -> None:
        """See `WorkerPool`."""
        context = multiprocessing.get_context("spawn")
        own, theirs = context.Pipe()
        number = self._next
        self._next += 1
        process = context.Process(
            target=serve, args=(theirs, self.config), name=f"kinmark-worker-{number}", daemon=True
        )
        with interrupts_wait():
            process.start()
        theirs.close()  # ours must be the only other end, or its death would not be seen
        self._workers[number] = _Worker(process, own)

    def send(self, worker: int, message: Job | Shard | Control) -> None:
        """See `WorkerPool`."""
        known = self._workers.get(worker)
        if known is not None:
            with contextlib.suppress(OSError):  # its end is received in its turn
                known.pipe.send(message)

    def receive(self, timeout_s: float) -> list[tuple[int, Reply]]:
        """See `WorkerPool`."""
        pipes = {worker.pipe: number for number, worker in self._workers.items()}
        replies: list[tuple[int, Reply]] = []
        for pipe in wait(list(pipes), timeout_s):
            number = pipes[pipe]
            try:
                replies.append((number, self._workers[number].pipe.recv()))
            except (EOFError, OSError):
                replies.append((number, Lost(self._ended(number))))
        return replies

    def _ended(self, number: int) -> str:
        worker = self._workers.pop(number)
        worker.pipe.close()
        worker.process.join(END_S)
        code = worker.process.exitcode
        _end(worker.process)
        if code is not None and code < 0:
            return f"it was ended by signal {-code}" + (" (perhaps for lack of memory)" if code == -9 else "")
        return f"it ended with exit code {code}"

    def close(self) -> None:
        """See `WorkerPool`."""
        workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.pipe.close()  # the worker's reader ends its process
        for worker in workers:
            worker.process.join(END_S)
            _end(worker.process)


def _end(process: Any) -> None:
    if process.is_alive():
        process.kill()
        process.join(END_S)
    with contextlib.suppress(ValueError):  # it did not die within the time: leave it to the system
        process.close()


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Ctrl-C goes to every process of a terminal: one that is started in this block does not hear it, ours a moment later.

    Blocked signals are inherited. Otherwise a worker that is not yet so far as to ignore Ctrl-C would end with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupts() -> None:
    """In a process that was started while interrupts wait: ignore Ctrl-C, and start others as usual."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def processors() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serve(pipe: Connection, config: EngineConfig) -> None:
    """A worker's process: asked by messages until the pipe closes. Ctrl-C is the caller's to handle."""
    ignore_interrupts()
    from kinmark.engine.parallel.work import ShardWorker

    worker = ShardWorker(config)
    inbox: queue.SimpleQueue[Job | Shard] = queue.SimpleQueue()
    # A thread of its own reads, so that a word in the middle of a photo is heard and the caller never waits to send.
    threading.Thread(target=_read, args=(pipe, worker, inbox), name="kinmark-worker-reader", daemon=True).start()
    pipe.send(worker.ready())
    while True:
        message = inbox.get()
        if isinstance(message, Job):
            worker.take(message)
            continue
        for reply in worker.work(message):
            pipe.send(reply)


def _read(pipe: Connection, worker: Any, inbox: queue.SimpleQueue[Job | Shard]) -> None:
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)  # the caller is gone; nothing here is worth keeping
        if isinstance(message, Control):
            worker.control(message)
        else:
            inbox.put(message)
