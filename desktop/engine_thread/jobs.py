"""What crosses between the window and the engine thread: frozen jobs in, frozen answers out."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kinmark.engine.domain.errors import AppError, BugError
from kinmark.engine.domain.progress import CancelToken, Progress

if TYPE_CHECKING:
    from kinmark.engine.api import Engine
    from kinmark.projects.project import Project

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
        engine: the models; progress, cancel: the job's own.
        opened: this thread's connection to the project, None when none is open.
    """

    engine: Engine
    opened: Project | None
    progress: Progress
    cancel: CancelToken

    @property
    def project(self) -> Project:
        """The project; jobs that need none do not ask for it."""
        if self.opened is None:
            raise BugError("A job that needs a project ran without one.")
        return self.opened


@dataclass(frozen=True, order=True)
class Job:
    """One piece of work. Ordered by priority, then by age.

    Attributes:
        priority, number: number is unique in this process (the request id of the window).
        title: for the job bar.
        run: called on the engine thread with a `JobContext`; returns the answer. A long job is a generator: between two of
            its steps (`yield`) more urgent jobs run; what it yields is news for the window (None: no news), what it
            returns is the answer, and when it is cancelled it is closed.
        group: jobs of one kind ("propose-here"): a new one may replace those still waiting.
        quiet: not shown in the job bar (short work for what is on screen).
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


@dataclass(frozen=True)
class Answer:
    """The end of a job, or news from it.

    Attributes:
        number: of the job; kind: "started", "news", "done", "failed", "cancelled".
        value: the result or the news; error: what went wrong ("failed").
    """

    number: int
    kind: str
    value: object = None
    error: AppError | None = None
