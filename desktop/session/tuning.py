"""Tuning a prompt in the open project: it goes on while its window is closed, and its result waits for a decision."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, Signal

from kinmark.desktop.engine_thread.jobs import JobContext, Priority
from kinmark.desktop.engine_thread.service import EngineService
from kinmark.desktop.session.tune_gallery import GalleryPicture, make_gallery
from kinmark.engine.api import TuneProgress
from kinmark.engine.domain.errors import AppError
from kinmark.projects.workflows.kept import KeptJob, forget, kept_jobs
from kinmark.projects.workflows.tune import (
    TuneOptions,
    TuneOutcome,
    Tuning,
    discard,
    keep_and_propose_again,
    options_of,
    undecided_prompt,
)

GROUP = "tune"
GALLERY = 4


@dataclass(frozen=True)
class TuneWish:
    """What a person asked for: category by name, kind of prompt, steps (None: by the number of pairs)."""

    category: str
    kind: str = "class"
    steps: int | None = None


@dataclass(frozen=True)
class TunedPrompt:
    """A prompt that waits for "keep" or "discard"; PCK@0.1 on photos that were held out, with its 95 % interval.

    Attributes:
        before, after, interval: of what is proposed (of the score alone where proposals were not measured).
        better: whether the figure that decides rose beyond noise; score: of the score alone, before and after.
    """

    prompt_id: str
    category: str
    kind: str
    before: float
    after: float
    interval: tuple[float, float]
    steps: int
    seconds: float
    heldout: str
    better: bool = False
    score: tuple[float, float] = (math.nan, math.nan)

    @staticmethod
    def from_card(card: Any) -> TunedPrompt:
        """From a saved prompt's card."""
        figures = card.proposals
        if figures.get("before") is None or figures.get("after") is None:
            before, after, interval = card.before, card.after, tuple(card.after_interval)
        else:
            before, after, interval = figures["before"], figures["after"], tuple(figures["after_interval"])
        return TunedPrompt(
            f"prompt:{card.id}",
            card.category,
            card.kind,
            before,
            after,
            interval,
            card.steps,
            card.seconds,
            card.heldout,
            card.measured_better,
            (card.before, card.after),
        )


class PromptTuning(QObject):
    """GUI thread; one per open project. At most one tuning at a time.

    Attributes:
        wish: what runs, or None; points: its curve so far; tuned: the result that waits for a decision, or None.
        pictures: before and after on held-out photos, when they are made; problem: why the last run failed, or None.

    Signals:
        changed(): any of these.
        point_added(): a further point of the curve.
        finished(): a run came to its end by itself (result or failure).
    """

    changed = Signal()
    point_added = Signal()
    finished = Signal()

    def __init__(self, engine: EngineService, backbone: Callable[[], str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._backbone = backbone
        self.wish: TuneWish | None = None
        self.points: tuple[Any, ...] = ()
        self.tuned: TunedPrompt | None = None
        self.pictures: tuple[GalleryPicture, ...] = ()
        self.problem: AppError | None = None

    @property
    def running(self) -> bool:
        """Whether a tuning waits or runs."""
        return self.wish is not None

    def look_for_undecided(self, category: str) -> None:
        """A prompt of the category that was tuned but not decided about (its window or the program was closed)."""
        if self.running or self.tuned is not None:
            return
        backbone = self._backbone()

        def run(context: JobContext) -> Any:
            return undecided_prompt(context.project, backbone, category)

        def done(card: Any) -> None:
            if card is not None and not self.running and self.tuned is None:
                self._show_result(TunedPrompt.from_card(card))

        self._engine.submit(
            self.tr("Looking for a tuned prompt"),
            run,
            priority=Priority.SCREEN,
            group="tune-look",
            replace=True,
            quiet=True,
            on_done=done,
            on_failed=lambda _error: None,
        )

    def start(self, wish: TuneWish) -> None:
        """Tune in the background; proposals change only when the prompt is kept."""
        options = TuneOptions(
            category="" if wish.kind == "single" else wish.category,
            kind=wish.kind,
            backbone=self._backbone(),
            steps=wish.steps,
            keep_if_worse=True,
            propose_again=False,
            undecided=True,
        )
        self._tune(wish, options)

    def go_on_with(self, kept: KeptJob) -> None:
        """Go on with a tuning that was cut off."""
        options = options_of(kept)
        self._tune(TuneWish(options.category, options.kind, options.steps), options)

    def _tune(self, wish: TuneWish, options: TuneOptions) -> None:
        def run(context: JobContext) -> Generator[TuneProgress | None, None, TuneOutcome | None]:
            tuning = Tuning(context.project, context.engine, options, progress=context.progress, cancel=context.cancel)
            tuning.keep(uuid.uuid4().hex)
            try:
                while tuning.left:
                    yield tuning.step()  # what is on screen does not wait for minutes
            finally:
                tuning.close()
            return tuning.outcome

        self.wish, self.points, self.tuned, self.pictures, self.problem = wish, (), None, (), None
        self.changed.emit()
        self._engine.submit(
            self.tr("Tuning {name}").format(name=wish.category),
            run,
            group=GROUP,
            replace=True,
            on_news=self._add_point,
            on_done=self._done,
            on_failed=self._failed,
            on_end=self._ended,
            on_stopped=self._forget_kept,
        )

    def _forget_kept(self) -> None:
        """Stopped by a person: what was tuned so far waits for the next start, but is not offered."""

        def run(context: JobContext) -> None:
            for job in kept_jobs(context.project):
                if job.kind == "tune":
                    forget(context.project, job.id)

        self._engine.submit(
            self.tr("Forgetting a job"), run, priority=Priority.SCREEN, quiet=True, on_failed=lambda _error: None
        )

    def stop(self) -> None:
        """Cancel within a step; what was tuned so far is continued the next time."""
        self._engine.cancel_group(GROUP)

    def _add_point(self, point: Any) -> None:
        # An evaluation tells its step once more, now with the held-out figure.
        kept = self.points[:-1] if self.points and self.points[-1].step == point.step else self.points
        self.points = (*kept, point)
        self.point_added.emit()

    def _done(self, outcome: Any) -> None:
        result, wish = outcome.result, self.wish
        self.points = tuple(result.curve) or self.points
        self.wish = None
        card = outcome.card or {}
        figures = result.proposals if math.isfinite(result.proposals.after) else result
        self._show_result(
            TunedPrompt(
                result.prompt_id,
                outcome.category,
                wish.kind if wish else "",
                figures.before,
                figures.after,
                figures.after_interval,
                result.steps,
                result.seconds,
                str(card.get("heldout", "")),
                result.better,
                (result.before, result.after),
            )
        )
        self.finished.emit()

    def _failed(self, error: AppError) -> None:
        self.wish, self.problem = None, error
        self.changed.emit()
        self.finished.emit()

    def _ended(self) -> None:
        """Also when it was cancelled, by whatever button."""
        if self.running:
            self.wish = None
            self.changed.emit()

    def _show_result(self, tuned: TunedPrompt) -> None:
        self.tuned, self.pictures = tuned, ()
        self.changed.emit()
        backbone = self._backbone()

        def done(pictures: tuple[GalleryPicture, ...]) -> None:
            if self.tuned == tuned:
                self.pictures = pictures
                self.changed.emit()

        self._engine.submit(
            self.tr("Before and after"),
            lambda context: make_gallery(
                context, category=tuned.category, backbone=backbone, prompt=tuned.prompt_id, count=GALLERY
            ),
            priority=Priority.SCREEN,
            group="tune-gallery",
            replace=True,
            quiet=True,
            on_done=done,
            on_failed=lambda _error: None,
        )

    def keep(self) -> None:
        """Take the prompt from now on, and propose again what is pending."""
        tuned, backbone = self.tuned, self._backbone()
        if tuned is None:
            return

        def run(context: JobContext) -> Generator[None, None, None]:
            sweeps = keep_and_propose_again(
                context.project,
                context.engine,
                tuned.prompt_id,
                category=tuned.category,
                backbone=backbone,
                progress=context.progress,
                cancel=context.cancel,
            )
            for sweep in sweeps:
                while sweep.left:
                    sweep.step(1)
                    yield

        title = self.tr("Proposing {name} again").format(name=tuned.category)
        self._engine.submit(title, run, group="tune-propose", replace=True)
        self._forget()

    def discard(self) -> None:
        """Delete the new prompt."""
        tuned = self.tuned
        if tuned is None:
            return

        def run(context: JobContext) -> Any:
            return discard(context.project, tuned.prompt_id)

        self._engine.submit(self.tr("Discarding"), run, priority=Priority.SCREEN, quiet=True)
        self._forget()

    def _forget(self) -> None:
        self._engine.cancel_group("tune-gallery")
        self.tuned, self.pictures = None, ()
        self.changed.emit()

    @property
    def loss_top(self) -> float:
        """The largest loss of the curve (1 without one): what the drawn loss is divided by."""
        return max((float(p.loss) for p in self.points if math.isfinite(p.loss)), default=1.0) or 1.0
