"""Propose keypoints: every accepted instance of a category is an exemplar for every other photo.

One way for the command line and the window: a `ProposeSweep` reads the project, asks the engine, and stores what comes back
in short transactions that are together one undo step. What was stored stays when the job is cancelled or fails. The window
goes on step by step, `propose()` takes all steps in a row.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kinmark.engine.api import CHOSEN_FIELDS, FIRST_LOOK, Engine, MatchSettings, ProposeRequest, TargetFailure
from kinmark.engine.domain.progress import CancelToken, PartProgress, Progress
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.domain.texts import said
from kinmark.projects.project import Project
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.store.rows import CategoryRow
from kinmark.projects.workflows.batches import Answers, Batches, OnStored
from kinmark.projects.workflows.calibrate import project_calibration
from kinmark.projects.workflows.kept import KeptJob, forget, keep, note_progress
from kinmark.projects.workflows.match_settings import settings_for
from kinmark.projects.workflows.propose_options import ProposeOptions
from kinmark.projects.workflows.propose_plan import CategoryPlan, categories_to_propose, plan_category
from kinmark.projects.workflows.telling_apart import look_alikes, wants_apart

BATCH_SIZE = 24
APART_AT_ONCE, APART_UNWATCHED = 24, 240
"""Photos in one question where categories are told apart: when somebody watches, and when nobody does."""
RESTS_ON = frozenset(
    (
        "instance",
        "keypoint",
        "mask",
        "nothing_here",
        "exhaustive",
        "decision",
        "image",
        "image_root",
        "category",
        "keypoint_definition",
        "skeleton_edge",
        "side_pair",
    )
)
"""Tables that the question to the engine is made from: when a person changes one, it is asked anew."""


@dataclass
class CategoryOutcome:
    """What happened to one category; `apart`: photos that were not asked, by the category they look like."""

    category: str
    exemplars: int = 0
    targets: int = 0
    proposals: int = 0
    keypoints: int = 0
    seconds: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    table: list[list[Any]] = field(default_factory=list)
    reason: str = ""
    calibrated: bool = False
    limit: int = 1
    apart: dict[str, int] = field(default_factory=dict)
    apart_pending: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Done:
    """One target that was answered: the instance it completes (None: new ones were looked for), and what came."""

    image_id: int
    instance_id: int | None
    proposals: tuple[InstanceProposal, ...]


@dataclass
class _Asked:
    """A question that is under way: the photos from `begin` to `end` of the sweep, as the project was at `revision`.

    `answers`: of each round, when it was begun.
    """

    plan: CategoryPlan
    begin: int
    end: int
    revision: int
    batches: Batches[_Done]
    request: ProposeRequest | None = None
    answers: dict[int, Answers[InstanceProposal | TargetFailure]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pace:
    """How a sweep takes its photos (None: all).

    Attributes:
        at_once: photos that the engine is asked for in one request.
        span: photos of one category in a row before it is the next one's turn.
    """

    at_once: int | None = None
    span: int | None = None


class ProposeSweep:
    """Proposing photo by photo: its state lives between the steps, so that a window lets urgent work in between.

    Its thread owns it. The engine is asked once for many photos, and anew when a person changed what the question rests
    on: accepted work is an exemplar from the next step on, and a photo that was labelled meanwhile is left out.

    Attributes:
        outcomes: one per category; done, total: photos times categories.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        options: ProposeOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        on_stored: OnStored | None = None,
        pace: Pace | None = None,
        kept: KeptJob | None = None,
    ) -> None:
        """`kept`: a sweep that was cut off and goes on.

        Raises:
            UserInputError: unknown category, no exemplar.
        """
        if kept is not None:
            options = options_of(kept)
        options = options or ProposeOptions()
        self.options = replace(options, job=options.job or uuid.uuid4().hex)
        self._project, self._engine, self._on_stored = project, engine, on_stored
        self._progress, self._cancel = progress or Progress(), cancel or CancelToken()
        self._categories = categories_to_propose(project, options.category)
        glob = ImageFilter(glob=options.targets_glob)
        ids = kept.image_ids if kept is not None else options.image_ids
        self._ids = tuple(ids if ids is not None else project.queries.image_ids(glob))
        pace = pace or Pace()
        self._at_once, self._span = pace.at_once, pace.span or max(1, len(self._ids))
        self.outcomes = tuple(CategoryOutcome(category.name) for category in self._categories)
        self.total = len(self._ids) * len(self._categories)
        self.done = 0 if kept is None else min(kept.done, self.total)
        self._kept = kept.id if kept is not None else ""
        self._asked: dict[int, _Asked] = {}
        self._answered = [0] * len(self._categories)
        self._apart = wants_apart(project, options)
        self._looks_like: list[dict[int, str]] = [{} for _ in self._categories]
        self._progress.start(_title(self._categories), self.total)
        self._progress.step(self.done)
        if not self._ids:  # what is wrong with the question is said all the same
            for number in range(len(self._categories)):
                self._ask(number, 0)

    @property
    def left(self) -> int:
        """Photos times categories that still wait."""
        return self.total - self.done

    def keep(self, job_id: str) -> None:
        """Note the sweep in the project, so that it can go on after the window was closed in the middle of it."""
        asked = _asked_of(self.options)
        job = KeptJob("propose", self.options.category, asked, self._ids, self.total, self.done, job_id)
        self._kept = job_id
        keep(self._project, job)

    def step(self, limit: int | None = None) -> int:
        """Go on with the next `limit` photos (None: all that are left), store what comes, and return how many they were.

        Raises:
            UserInputError: an exemplar's photo is gone, unknown keypoint names.
            OperationCancelled: after the proposals so far were stored.
        """
        before = self.done
        number, begin, end = self._place()
        goal = end if limit is None else min(end, begin + limit)
        asked = self._current(number, begin)
        outcome, started = self.outcomes[number], time.monotonic()
        finished = begin
        try:
            for image_id in self._ids[begin : min(goal, asked.end)]:
                self._answered[number] += self._go_through(asked, outcome, image_id)
                finished += 1
        except BaseException:
            self._asked.pop(number, None)  # its answers have ended; whoever goes on asks again
            raise
        finally:
            asked.batches.flush()
            self.done += finished - begin
            outcome.seconds += time.monotonic() - started
            note_progress(self._project, self._kept, self.done)
        self._progress.reach(self.done)
        if not self.left:
            forget(self._project, self._kept)
        return self.done - before

    def _place(self) -> tuple[int, int, int]:
        """(category, first photo, end of its photos in a row) of what comes next: spans of photos, in each all categories."""
        count, many = len(self._ids), len(self._categories)
        begin = self.done // (self._span * many) * self._span
        length = min(self._span, count - begin)
        number, within = divmod(self.done - begin * many, max(1, length))
        return number, begin + within, begin + length

    def _current(self, number: int, begin: int) -> _Asked:
        """The question under way for a category, asked anew when it is answered or does not fit any more."""
        asked = self._asked.get(number)
        if asked is None or not asked.begin <= begin < asked.end or asked.revision != self._project.revision(RESTS_ON):
            asked = self._ask(number, begin)
        return asked

    def _ask(self, number: int, begin: int) -> _Asked:
        end = min(len(self._ids), begin + self._asked_at_once())
        revision = self._project.revision(RESTS_ON)
        category = self._project.queries.require_category(self._categories[number].name)
        outcome, ids = self.outcomes[number], self._ids[begin:end]
        without = self._leave_out(number, category, ids, outcome) if self._apart else frozenset()
        plan = plan_category(self._project, category, replace(self.options, image_ids=ids), without)
        outcome.exemplars, outcome.limit = len(plan.request.exemplars), plan.limit
        outcome.targets = self._answered[number] + sum(len(round_.targets) for round_ in plan.rounds)

        def store(batch: Sequence[_Done]) -> OpChanges:
            return self._store(plan, outcome, batch)

        asked = _Asked(plan, begin, end, revision, Batches(store, BATCH_SIZE, self._on_stored))
        self._asked[number] = asked
        return asked

    def _asked_at_once(self) -> int:
        """Photos in one question: few where each is looked at first to tell the categories apart, so that the first proposals, and
        those after every decision that has the question asked anew, do not wait for hundreds of looks."""
        at_once = self._at_once or len(self._ids)
        if not self._apart or self.options.settings.pipeline == FIRST_LOOK:  # a first look takes its photos together
            return at_once
        if len(categories_to_propose(self._project, "")) < 2:
            return at_once
        return min(at_once, APART_AT_ONCE if self._at_once is not None else APART_UNWATCHED)

    def _leave_out(
        self, number: int, category: CategoryRow, ids: Sequence[int], outcome: CategoryOutcome
    ) -> frozenset[int]:
        """Photos among these that are not asked, because they look like another category; the outcome counts them."""
        left = look_alikes(self._project, self._engine, category, ids, self._cancel)
        known = self._looks_like[number]
        for id_ in ids:
            known.pop(id_, None)  # labels that came in between may have changed what a photo looks like
        known |= left
        outcome.apart = dict(Counter(known.values()).most_common())
        waiting = self._project.queries.images_with_proposals(category.id)
        outcome.apart_pending = len(waiting & known.keys())
        return frozenset(left)

    def _go_through(self, asked: _Asked, outcome: CategoryOutcome, image_id: int) -> int:
        """One photo in all rounds; how many targets it had."""
        count = 0
        for number, round_ in enumerate(asked.plan.rounds):
            self._cancel.check()
            if str(image_id) not in round_.completes:
                break  # what is not in a round is in no later one
            if number not in asked.answers:
                asked.answers[number] = self._answers(asked, outcome, number)
            answers = asked.answers[number].of(image_id, round_.limits[str(image_id)])
            failures = [answer for answer in answers if isinstance(answer, TargetFailure)]
            outcome.failures += [{"image_id": failure.image_id, "error": str(failure.error)} for failure in failures]
            found = tuple(answer for answer in answers if not isinstance(answer, TargetFailure))
            if found or not failures:  # where it could not be looked, what waits may still be right
                asked.batches.add([_Done(image_id, round_.completes[str(image_id)], found)])
            count += 1
        return count

    def _answers(
        self, asked: _Asked, outcome: CategoryOutcome, number: int
    ) -> Answers[InstanceProposal | TargetFailure]:
        """Ask the engine for a round."""
        if asked.request is None:
            asked.request = self._decided(asked.plan, outcome)
        request = replace(asked.request, targets=asked.plan.rounds[number].targets)
        progress = PartProgress(self._progress)
        return Answers(self._engine.propose_keypoints(request, progress=progress, cancel=self._cancel))

    def _decided(self, plan: CategoryPlan, outcome: CategoryOutcome) -> ProposeRequest:
        """The request with its settings chosen and its confidence fitted."""
        choice = settings_for(self._project, self._engine, plan.request, progress=self._progress, cancel=self._cancel)
        calibration = project_calibration(self._project, self._engine, plan.category)
        outcome.settings = {name: getattr(choice.settings, name) for name in CHOSEN_FIELDS}
        outcome.table, outcome.reason = [list(row) for row in choice.table], choice.reason
        outcome.calibrated = calibration is not None and calibration.kind == "project"
        self._progress.start(_title(self._categories), self.total)
        self._progress.step(self.done)
        return replace(plan.request, settings=choice.settings, calibration=calibration)

    def _store(self, plan: CategoryPlan, outcome: CategoryOutcome, batch: Sequence[_Done]) -> OpChanges:
        by_itself = self.options.by_itself
        named = said("Improve {name}" if by_itself else "Propose {name}", name=plan.category.name)
        with self._project.by_itself() if by_itself else nullcontext():
            changes = self._project.operations.add_keypoint_proposals(
                [proposal for done in batch for proposal in done.proposals],
                plan.category.id,
                job=self.options.job,
                name=self.options.step_name or named,
                instance_ids=[done.instance_id for done in batch for _ in done.proposals],
                searched=[done.image_id for done in batch if done.instance_id is None],
            )
        outcome.proposals += changes.count
        outcome.keypoints += sum(len(proposal.keypoints) for done in batch for proposal in done.proposals)
        outcome.skipped.extend(changes.skipped)
        return changes


def _title(categories: Sequence[CategoryRow]) -> str:
    return f"Proposing {categories[0].name}" if len(categories) == 1 else "Proposing keypoints"


def propose(
    project: Project,
    engine: Engine,
    options: ProposeOptions | None = None,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_stored: OnStored | None = None,
) -> tuple[CategoryOutcome, ...]:
    """Propose keypoints and store them as pending: all steps of a `ProposeSweep` in a row.

    Args:
        on_stored: told the image ids of each stored batch.

    Raises:
        UserInputError: unknown category, no exemplar, unknown keypoint names.
        OperationCancelled: after the proposals so far were stored.
    """
    sweep = ProposeSweep(project, engine, options, progress=progress, cancel=cancel, on_stored=on_stored)
    while sweep.left:
        sweep.step()
    return sweep.outcomes


def _asked_of(options: ProposeOptions) -> dict[str, Any]:
    return {**asdict(options), "image_ids": None}


def options_of(kept: KeptJob) -> ProposeOptions:
    """What a sweep that was cut off was asked for."""
    asked = {**kept.asked, "only_keypoints": tuple(kept.asked["only_keypoints"])}
    return ProposeOptions(**{**asked, "settings": MatchSettings.from_json(asked["settings"])})
