"""What crosses between the window and the engine thread: frozen jobs in, frozen answers out."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.domain.errors import AppError
from engine.domain.progress import CancelToken, Progress

_numbers = itertools.count(1)


class Priority(enum.IntEnum):
    """Lower runs first."""

    SCREEN = 0
    NEIGHBOURS = 10
    ASKED = 20
    SWEEP = 30
    IDLE = 40


@dataclass(frozen=True)
class JobContext:
    """What a running job may use. Belongs to the engine thread while the job runs.

    Attributes:
        engine: an `engine.api.Engine`; project: a `projects.project.Project` of this thread, or None.
        progress, cancel: the job's own.
        report: hand frozen data to the window while the job goes on.
        let_in: run the more urgent jobs that wait, now. For long jobs that cannot be cut into pieces (`Requeue`), to be
            called between two of their steps.
    """

    engine: Any
    project: Any
    progress: Progress
    cancel: CancelToken
    report: Callable[[object], None]
    let_in: Callable[[], None] = lambda: None


@dataclass(frozen=True, order=True)
class Job:
    """One piece of work. Ordered by priority, then by age.

    Attributes:
        priority, number: number is unique in this process (the request id of the window).
        title: for the job bar.
        run: called on the engine thread with a `JobContext`; returns the answer.
        group: jobs of one kind ("propose-here"): a new one may replace those still waiting.
        quiet: not shown in the job bar (short work for what is on screen).
        needs_project: False for jobs that need none.
    """

    priority: int
    number: int
    title: str = field(compare=False)
    run: Callable[[JobContext], object] = field(compare=False)
    group: str = field(default="", compare=False)
    quiet: bool = field(default=False, compare=False)
    progress: Progress = field(default_factory=Progress, compare=False)
    cancel: CancelToken = field(default_factory=CancelToken, compare=False)

    @staticmethod
    def make(
        title: str,
        run: Callable[[JobContext], object],
        *,
        priority: int = Priority.ASKED,
        group: str = "",
        quiet: bool = False,
    ) -> Job:
        """A job with the next number."""
        return Job(int(priority), next(_numbers), title, run, group, quiet, Progress(title), CancelToken())


class LettingIn(Progress):
    """The job's progress for work that can be interrupted at each of its steps (files one by one): urgent jobs get in."""

    def __init__(self, context: JobContext) -> None:
        super().__init__()
        self._context = context

    def start(self, label: str, total: int) -> None:
        self._context.progress.start(label, total)

    def step(self, count: int = 1, note: str | None = None) -> None:
        self._context.progress.step(count, note)
        self._context.let_in()

    def note(self, text: str) -> None:
        self._context.progress.note(text)


@dataclass(frozen=True)
class Requeue:
    """A job's answer that asks to be run again after whatever is more urgent (its state lives in its `run` object)."""


@dataclass(frozen=True)
class Answer:
    """The end of a job, or news from it.

    Attributes:
        number: of the job; kind: "started", "news", "done", "failed", "cancelled", "requeued".
        value: the result or the news; error: what went wrong ("failed").
    """

    number: int
    kind: str
    value: object = None
    error: AppError | None = None
