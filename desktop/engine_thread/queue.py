"""The priority queue in front of the engine thread. Any thread may use it."""

from __future__ import annotations

import heapq
import threading

from kinmark.desktop.engine_thread.jobs import Job


class JobQueue:
    """Jobs by priority, then age; closed at the end."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._changed = threading.Condition()
        self._closed = False

    def put(self, job: Job) -> None:
        """Add a job."""
        with self._changed:
            heapq.heappush(self._jobs, job)
            self._changed.notify()

    def take(self) -> Job | None:
        """Wait for the most urgent job; None when the queue was closed. Cancelled ones go first: they are only put away."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            cancelled = next((job for job in self._jobs if job.cancel.cancelled), None)
            if cancelled is None:
                return heapq.heappop(self._jobs)
            self._jobs.remove(cancelled)
            heapq.heapify(self._jobs)
            return cancelled

    def close(self) -> list[Job]:
        """Let `take` return None; gives back what was still waiting."""
        with self._changed:
            self._closed = True
            waiting, self._jobs = self._jobs, []
            self._changed.notify_all()
            return waiting

    def __len__(self) -> int:
        with self._changed:
            return len(self._jobs)
