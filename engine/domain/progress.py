"""Progress and cancellation, shared by every long job.

The worker writes a `Progress`; whoever watches polls `snapshot()` (the window ten times a second). Cancelling sets a
flag that the worker reads at every step (at most one U-Net forward apart) through `CancelToken.check()`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from kinmark.engine.domain.errors import OperationCancelled


class CancelToken:
    """A flag that any thread may set and the worker checks; pausing blocks inside `check()`."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._running = threading.Event()
        self._running.set()

    def cancel(self) -> None:
        """Ask the worker to stop at its next step (also when it is paused)."""
        self._cancelled.set()
        self._running.set()

    def pause(self) -> None:
        """Ask the worker to wait at its next step."""
        if not self._cancelled.is_set():
            self._running.clear()

    def resume(self) -> None:
        """Let a paused worker go on."""
        self._running.set()

    @property
    def cancelled(self) -> bool:
        """Whether cancelling was asked for."""
        return self._cancelled.is_set()

    @property
    def paused(self) -> bool:
        """Whether pausing was asked for."""
        return not self._running.is_set()

    def check(self) -> None:
        """Wait while paused, then raise `OperationCancelled` if cancelled."""
        self._running.wait()
        if self._cancelled.is_set():
            raise OperationCancelled


@dataclass(frozen=True)
class ProgressSnapshot:
    """What a progress bar shows: `done` of `total` steps (total 0 = unknown), a label, seconds since the start."""

    label: str
    done: int
    total: int
    elapsed_s: float
    note: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the mean pace so far; None before ten steps or when the total is unknown."""
        if self.total <= 0 or self.done < min(10, self.total) or self.done <= 0:
            return None
        return self.elapsed_s / self.done * (self.total - self.done)


class Progress:
    """Written by one worker, read by anybody through `snapshot()`."""

    def __init__(self, label: str = "", total: int = 0) -> None:
        self._lock = threading.Lock()
        self._label, self._done, self._total, self._note = label, 0, total, ""
        self._start = time.monotonic()

    def start(self, label: str, total: int) -> None:
        """Begin a new phase; the clock restarts."""
        with self._lock:
            self._label, self._done, self._total, self._note = label, 0, total, ""
            self._start = time.monotonic()

    def step(self, count: int = 1, note: str | None = None) -> None:
        """Record `count` finished steps and, optionally, what is being worked on."""
        with self._lock:
            self._done += count
            if note is not None:
                self._note = note

    def reach(self, done: int) -> None:
        """Count at least `done` finished steps (what needed no work counts as finished, too)."""
        with self._lock:
            self._done = max(self._done, done)

    def note(self, text: str) -> None:
        """Replace the note without a step (for instance a rung of the memory ladder)."""
        with self._lock:
            self._note = text

    def snapshot(self) -> ProgressSnapshot:
        """The state now, as frozen data."""
        with self._lock:
            elapsed = time.monotonic() - self._start
            return ProgressSnapshot(self._label, self._done, self._total, elapsed, self._note)


class PartProgress(Progress):
    """The progress of one part of a job: its steps and notes count for the whole, the phases that it begins do not."""

    def __init__(self, whole: Progress) -> None:
        super().__init__()
        self._whole = whole

    def step(self, count: int = 1, note: str | None = None) -> None:
        """Steps of the part are steps of the whole."""
        self._whole.step(count, note)

    def note(self, text: str) -> None:
        """What the part says, the whole says."""
        self._whole.note(text)
