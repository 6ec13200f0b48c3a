"""Propose keypoints: every accepted instance of a category is an exemplar for every other photo.

One way for the command line and the window: a `ProposeSweep` reads the project, asks the engine, and stores what comes back
in short transactions that are together one undo step. What was stored stays when the job is cancelled or fails. The window
goes on step by step, `propose()` takes all steps in a row.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.api import (
    DEFAULT_BACKBONE,
    SEARCH_METHOD,
    Engine,
    MatchSettings,
    ProposeRequest,
    Target,
    TargetFailure,
)
from engine.domain.errors import UserInputError
from engine.domain.progress import CancelToken, PartProgress, Progress
from engine.domain.proposals import InstanceProposal, SimilarityMap
from projects.project import Project
from projects.several import instance_limit
from projects.store.changes import OpChanges
from projects.store.queries.images import ImageFilter
from projects.store.rows import CategoryRow
from projects.workflows.batches import Answers, Batches, OnStored
from projects.workflows.calibrate import project_calibration
from projects.workflows.exemplars import categories_to_propose, collection_of, exemplars_of
from projects.workflows.kept import KeptJob, forget, keep, note_progress
from projects.workflows.match_settings import AUTO_FIELDS, settings_for, settings_from_json
from projects.workflows.propose_targets import Ask, asks_about

BATCH_SIZE = 24
RESTS_ON = frozenset(
    ("instance", "keypoint", "mask", "nothing_here", "exhaustive", "image", "image_root", "category", "keypoint_definition",
     "skeleton_edge", "side_pair")
)  # fmt: skip
"""Tables that the question to the engine is made from: when a person changes one, it is asked anew."""


@dataclass(frozen=True)
class ProposeOptions:
    """What a person may ask for; the defaults need nothing.

    Attributes:
        category: by name; "" = every category with an exemplar.
        targets_glob: only file names that fit; image_ids: only these (None = all), in this order.
        settings: fields that are set override the automatic choice.
        only_keypoints: names; () = all of the schema.
        include_labelled: complete instances that lack keypoints, too.
        instances: how many a photo may hold, in place of the category's own setting: auto, one, or a number ("" = its own).
        other_kinds: also on photos that hold other categories only. Without it those are left out, as long as no photo of
            the project holds this category together with another: then each photo shows one kind of thing.
        job: calls with the same name are one undo step ("" = this call alone); step_name: what the undo list calls it.
    """

    category: str = ""
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    targets_glob: str = ""
    image_ids: tuple[int, ...] | None = None
    settings: MatchSettings = MatchSettings()
    only_keypoints: tuple[str, ...] = ()
    include_labelled: bool = True
    other_kinds: bool = True
    instances: str = ""
    job: str = ""
    step_name: str = ""


@dataclass
class CategoryOutcome:
    """What happened to one category."""

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
    failures: list[dict[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """One category's question: `asks` by photo; `request` has the first of each photo as its targets."""

    category: CategoryRow
    request: ProposeRequest
    asks: dict[int, tuple[Ask, ...]]
    limit: int

    @property
    def count(self) -> int:
        """Questions in all."""
        return sum(len(asks) for asks in self.asks.values())


@dataclass(frozen=True)
class _Found:
    """What an ask about a photo brought (perhaps nothing); `completes` as there."""

    image_id: int
    completes: int | None
    proposals: tuple[InstanceProposal, ...]


@dataclass
class _Asked:
    """A question that is under way: the photos from `begin` to `end` of the sweep, as the project was at `revision`."""

    job: _Job
    request: ProposeRequest
    begin: int
    end: int
    revision: int
    batches: Batches[_Found]
    answers: Answers[InstanceProposal | TargetFailure] | None = None


def _prepare(project: Project, category: CategoryRow, options: ProposeOptions) -> _Job:
    names = category.schema.names
    unknown = [name for name in options.only_keypoints if name not in names]
    if unknown:
        raise UserInputError(f"{category.name} has no keypoint {unknown[0]}.", f"It has: {', '.join(names)}.")
    limit = instance_limit(project.queries, category, options.instances)
    wanted = options.image_ids
    if wanted is None:
        rows = {row.id: row for row in project.queries.iter_images(ImageFilter(glob=options.targets_glob, ids=None))}
    else:
        known = project.queries.images_by_id(wanted)
        rows = {id_: known[id_] for id_ in wanted if id_ in known}
    asks = asks_about(
        project, category, rows, limit=limit, quick=options.settings.method == SEARCH_METHOD,
        lacking=options.include_labelled, other_kinds=options.other_kinds,
    )  # fmt: skip
    only = tuple(names.index(name) for name in options.only_keypoints) or None
    request = ProposeRequest(
        options.job or uuid.uuid4().hex, category.name, category.schema, exemplars_of(project, category),
        tuple(own[0].target for own in asks.values()), options.settings, options.backbone, options.prompt,
        only_keypoints=only, collection=collection_of(project, category, options.targets_glob),
    )  # fmt: skip
    if not request.exemplars:
        raise UserInputError(
            f"The labelled photos of {category.name} are not where they were.",
            "Re-link the moved folder (kinmark relink), then propose.",
        )
    return _Job(category, request, asks, limit)


def keypoint_map(
    project: Project, engine: Engine, image_id: int, category: str, keypoint: str, *, backbone: str = DEFAULT_BACKBONE,
    cancel: CancelToken | None = None,
) -> SimilarityMap:  # fmt: skip
    """What speaks for a keypoint all over a photo, from all labels of the category and with its stored settings.

    Raises:
        UserInputError: unknown category or keypoint, no label to compare with.
    """
    [row] = categories_to_propose(project, category)
    options = ProposeOptions(category, backbone, only_keypoints=(keypoint,))
    request = _prepare(project, row, options).request
    images = project.queries.images_by_id([image_id])
    if image_id not in images:
        raise UserInputError("This photo is not in the project any more.", "Choose another one.")
    request = replace(request, targets=(Target(images[image_id].image_input),))
    choice = settings_for(project, engine, request, progress=None, cancel=cancel)
    return engine.keypoint_map(replace(request, settings=choice.settings), keypoint, cancel=cancel)


class ProposeSweep:
    """Proposing photo by photo: its state lives between the steps, so that a window lets urgent work in between.

    Its thread owns it. The engine is asked once for many photos, and anew when a person changed what the question rests
    on: accepted work is an exemplar from the next step on, and a photo that was labelled meanwhile is left out.

    Attributes:
        outcomes: one per category; done, total: photos times categories.
    """

    def __init__(
        self, project: Project, engine: Engine, options: ProposeOptions | None = None, *,
        progress: Progress | None = None, cancel: CancelToken | None = None, on_stored: OnStored | None = None,
        at_once: int | None = None, span: int | None = None, kept: KeptJob | None = None,
    ) -> None:  # fmt: skip
        """`at_once`: photos that the engine is asked for in one request; `span`: photos of one category in a row before
        the next one's turn (None: all); `kept`: a sweep that was cut off and goes on.

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
        self._at_once, self._span = at_once, span or max(1, len(self._ids))
        self.outcomes = tuple(CategoryOutcome(category.name) for category in self._categories)
        self.total = len(self._ids) * len(self._categories)
        self.done = 0 if kept is None else min(kept.done, self.total)
        self._kept = kept.id if kept is not None else ""
        self._asked: dict[int, _Asked] = {}
        self._answered = [0] * len(self._categories)
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
        end = len(self._ids) if self._at_once is None else min(len(self._ids), begin + self._at_once)
        revision = self._project.revision(RESTS_ON)
        category = self._project.queries.require_category(self._categories[number].name)
        part = replace(self.options, image_ids=self._ids[begin:end])
        job = _prepare(self._project, category, part)
        outcome = self.outcomes[number]
        outcome.exemplars = len(job.request.exemplars)
        outcome.targets = self._answered[number] + job.count
        outcome.limit = job.limit

        def store(batch: Sequence[_Found]) -> OpChanges:
            return self._store(job, outcome, batch)

        asked = _Asked(job, job.request, begin, end, revision, Batches(store, BATCH_SIZE, self._on_stored))
        self._asked[number] = asked
        return asked

    def _go_through(self, asked: _Asked, outcome: CategoryOutcome, image_id: int) -> int:
        """One photo; how many questions about it were answered."""
        self._cancel.check()
        asks = asked.job.asks.get(image_id, ())
        if not asks:
            return 0
        if asked.answers is None:
            asked.answers = self._answers(asked, outcome)
        found = [self._take(outcome, image_id, asks[0], asked.answers.of(image_id, asks[0].target.limit))]
        for further in asks[1:]:
            # Asked alone: among the others its answers could not be told from those of the first.
            request = replace(asked.request, targets=(further.target,))
            answers = list(self._engine.propose_keypoints(request, progress=Progress(), cancel=self._cancel))
            found.append(self._take(outcome, image_id, further, answers))
        asked.batches.add([one for one in found if one is not None])
        return len(asks)

    def _take(
        self, outcome: CategoryOutcome, image_id: int, ask: Ask, answers: Sequence[InstanceProposal | TargetFailure]
    ) -> _Found | None:
        """What an ask brought; None where the photo could not be read (what waits there may still be right)."""
        failures = [answer for answer in answers if isinstance(answer, TargetFailure)]
        outcome.failures += [{"image_id": failure.image_id, "error": str(failure.error)} for failure in failures]
        if failures:
            return None
        return _Found(image_id, ask.completes, tuple(a for a in answers if isinstance(a, InstanceProposal)))

    def _answers(self, asked: _Asked, outcome: CategoryOutcome) -> Answers[InstanceProposal | TargetFailure]:
        """Choose the settings and ask the engine."""
        job = asked.job
        choice = settings_for(self._project, self._engine, job.request, progress=self._progress, cancel=self._cancel)
        calibration = project_calibration(self._project, self._engine, job.category)
        asked.request = request = replace(job.request, settings=choice.settings, calibration=calibration)
        outcome.settings = {name: getattr(choice.settings, name) for name in AUTO_FIELDS}
        outcome.table, outcome.reason = [list(row) for row in choice.table], choice.reason
        outcome.calibrated = calibration is not None and calibration.kind == "project"
        self._progress.start(_title(self._categories), self.total)
        self._progress.step(self.done)
        progress = PartProgress(self._progress)
        return Answers(self._engine.propose_keypoints(request, progress=progress, cancel=self._cancel))

    def _store(self, job: _Job, outcome: CategoryOutcome, batch: Sequence[_Found]) -> OpChanges:
        proposals = [(proposal, found.completes) for found in batch for proposal in found.proposals]
        changes = self._project.operations.add_keypoint_proposals(
            [proposal for proposal, _ in proposals],
            job.category.id,
            job=job.request.request_id,
            name=self.options.step_name or f"Propose {job.category.name}",
            instance_ids=[completes for _, completes in proposals],
            searched=[found.image_id for found in batch if found.completes is None],
        )
        outcome.proposals += changes.count
        outcome.keypoints += sum(len(proposal.keypoints) for proposal, _ in proposals)
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
    return ProposeOptions(**{**asked, "settings": settings_from_json(asked["settings"])})
