"""RayPool: workers as actors of a Ray cluster, reached through a process of its own.

Ray ends the process that talks to it when its cluster goes away. That must not be the process that writes the project, so a
small one, the bridge, does the talking; when it ends, what came back stays and a sentence says so. Ray's own output goes to a
file, whose end is in the details of that sentence.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import KnownError
from kinmark.engine.domain.texts import said
from kinmark.engine.parallel.messages import Control, Job, Reply, Shard
from kinmark.engine.parallel.pool import LOST_HINT, WorkersLostError
from kinmark.engine.parallel.processes import END_S, _end, interrupts_wait
from kinmark.engine.parallel.ray_bridge import Alive, BridgeSettings, Refused, Started, bridge, descendants, end_left
from kinmark.engine.requests import EngineConfig

SILENCE_S = 60.0
"""The bridge says once a second that it lives; after so long without a word it hangs on a dead cluster."""
START_S = 180.0
LOG_TAIL = 4000


class RayPool:
    """Workers of a Ray cluster.

    Args:
        config: of every worker's engine; threads 0 = one per worker.
        address: "" starts a cluster on this machine that ends with the pool; else see `EngineFactory`.
        workers: 0 = as many as the cluster has processors (or GPUs, when they are asked for).
        settings: of a cluster that is started here (tests keep it small).

    Raises:
        KnownError: Ray is not installed.
    """

    def __init__(
        self, config: EngineConfig, address: str = "", workers: int = 0, settings: dict[str, Any] | None = None
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise KnownError(
                "Ray is not installed, so the photos cannot be shared out to a cluster.",
                "Install it: pip install 'kinmark[ray]' (on every machine of the cluster), or use --engine processes.",
            )
        self.settings = BridgeSettings(config, address, workers, settings or {})
        self.count = workers
        self.silence_s = SILENCE_S
        self._process: Any = None
        self._pipe: Any = None
        self._log: Path | None = None
        self._heard = 0.0
        self._processes: set[tuple[int, str]] = set()
        self._waiting: list[tuple[int, Reply]] = []
        self.cluster: Started | None = None

    @property
    def name(self) -> str:
        """See `WorkerPool`."""
        return f"{self.count} Ray workers" if self.count else "Ray workers"

    @property
    def bridge_id(self) -> int:
        """Process id of the bridge, 0 when there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """See `WorkerPool`. It waits for nothing: that the cluster cannot be reached or has nothing free is heard in `receive`."""
        if self._process is not None:
            return
        handle, name = tempfile.mkstemp(prefix="kinmark-ray-", suffix=".log")
        os.close(handle)
        self._log = Path(name)
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # No daemon: those may have no children, and a cluster that is started here is some.
        self._process = context.Process(target=bridge, args=(theirs, self.settings, name), name="kinmark-ray-bridge")
        with interrupts_wait():
            self._process.start()
        theirs.close()
        self._heard = time.monotonic()

    def send(self, worker: int, message: Job | Shard | Control) -> None:
        """See `WorkerPool`."""
        self._write((worker, message))

    def replace(self) -> None:
        """See `WorkerPool`."""
        self._write((-1, None))

    def _write(self, message: Any) -> None:
        if self._pipe is not None:
            with contextlib.suppress(OSError):  # its end is received in its turn
                self._pipe.send(message)

    def receive(self, timeout_s: float) -> list[tuple[int, Reply]]:
        """See `WorkerPool`. WorkersLostError, too: the cluster cannot be reached, has nothing free, is full."""
        waiting, self._waiting = self._waiting, []
        return waiting or self._receive(timeout_s)

    def _receive(self, timeout_s: float) -> list[tuple[int, Reply]]:
        replies: list[tuple[int, Reply]] = []
        silence_s = self.silence_s if self.cluster is not None else START_S
        try:
            if not self._pipe.poll(timeout_s):
                if time.monotonic() - self._heard > silence_s:
                    raise self._cut(f"it has not answered for {silence_s:.0f} s")
                return []
            while self._pipe.poll(0):
                message = self._pipe.recv()
                self._heard = time.monotonic()
                if isinstance(message, Refused):
                    error = WorkersLostError(message.user_message, message.hint, message.details)
                    self.close()
                    raise error
                if isinstance(message, Started):
                    self.cluster, self.count = message, message.workers
                elif isinstance(message, Alive):
                    # All that were ever seen: what outlives its parent is nobody's child any more.
                    self._processes |= set(message.processes)
                else:
                    replies.append(message)
        except (EOFError, OSError):
            if replies:
                self._waiting = replies  # what was sent before the end counts
                return replies
            raise self._cut("the connection to it ended") from None
        return replies

    def _cut(self, why: str) -> WorkersLostError:
        details = self._log_tail()
        self.close()
        where = self.settings.address or "on this machine"
        return WorkersLostError(said("The Ray cluster {0} is gone: {1}.", where, why), LOST_HINT, details)

    def _log_tail(self) -> str:
        try:
            return self._log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:] if self._log is not None else ""
        except OSError:
            return ""

    def close(self) -> None:
        """See `WorkerPool`."""
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        runs, self.cluster = self.cluster is not None, None
        self._waiting = []
        if process is not None:
            pipe.close()
            if not self.settings.address:  # also what it started since its last word
                self._processes |= set(descendants(process.pid))
            if runs:  # while Ray starts, it hears nothing
                process.join(4 * END_S)
            _end(process)
            left, self._processes = self._processes, set()
            end_left(left)
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.unlink()
            self._log = None
