"""WorkerPool: workers behind numbers, reached by messages. What it is made of (processes, Ray) is not the dispatcher's matter."""

from __future__ import annotations

from typing import Protocol

from kinmark.engine.domain.errors import KnownError
from kinmark.engine.parallel.messages import Control, Job, Reply, Shard


class WorkersLostError(KnownError):
    """No worker is left that may be asked, or the way to them is cut; what came back before stays, and the pool has to start anew."""


LOST_HINT = "What came back is kept. Now run the same command again: it asks for every photo, and is quick where maps are in the cache."


class WorkerPool(Protocol):
    """Thread: the caller's. Workers keep their models between jobs."""

    @property
    def name(self) -> str:
        """For messages and the job bar: "2 processes", "4 Ray workers"."""
        ...

    def start(self) -> None:
        """Begin to start the workers unless they run; each answers `Ready` when it can be asked."""
        ...

    def send(self, worker: int, message: Job | Shard | Control) -> None:
        """To one worker; to one that is gone it does nothing (its `Lost` comes)."""
        ...

    def receive(self, timeout_s: float) -> list[tuple[int, Reply]]:
        """What has come, (worker, reply), waiting at most so long for the first.

        Raises:
            WorkersLostError: the way to all workers is cut, or none can be had.
        """
        ...

    def replace(self) -> None:
        """Start one more worker, under a new number, for one that was lost."""
        ...

    def close(self) -> None:
        """End the workers; the pool may be started again."""
        ...
