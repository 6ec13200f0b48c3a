"""The priority queue in front of the engine thread. Any thread may use it."""

from __future__ import annotations

import heapq
import threading

from desktop.engine_thread.jobs import Job


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
        """Wait for the most urgent job; None when the queue was closed."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            return None if self._closed else heapq.heappop(self._jobs)

    def take_before(self, priority: int) -> Job | None:
        """The most urgent waiting job if it is more urgent than `priority`; does not wait."""
        with self._changed:
            more_urgent = bool(self._jobs) and not self._closed and self._jobs[0].priority < priority
            return heapq.heappop(self._jobs) if more_urgent else None

    def remove_group(self, group: str) -> list[Job]:
        """Take the waiting jobs of a group out and return them."""
        with self._changed:
            gone = [job for job in self._jobs if job.group == group]
            self._jobs = [job for job in self._jobs if job.group != group]
            heapq.heapify(self._jobs)
            return gone

    def remove(self, number: int) -> Job | None:
        """Take one waiting job out."""
        with self._changed:
            job = next((j for j in self._jobs if j.number == number), None)
            if job is not None:
                self._jobs.remove(job)
                heapq.heapify(self._jobs)
            return job

    def most_urgent(self) -> int | None:
        """Priority of the first waiting job."""
        with self._changed:
            return self._jobs[0].priority if self._jobs else None

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
