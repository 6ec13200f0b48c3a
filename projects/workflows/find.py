"""Find one instance across the project's photos: references in, ranked pending masks out.

One way for the command line and the window: a `FindSweep` reads the project, asks the engine, and stores what comes back in
short transactions that are together one undo step. The window goes on step by step, `find()` takes all steps in a row.
Denied suggestions of the identity are hard negatives and are not proposed again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace

from kinmark.engine.api import (
    Calibration,
    Engine,
    FindRequest,
    InstanceSettings,
    TargetFailure,
)
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, PartProgress, Progress
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.domain.texts import said
from kinmark.projects.project import Project
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.store.rows import CategoryRow, ImageRow
from kinmark.projects.workflows.batches import Answers, Batches, OnStored
from kinmark.projects.workflows.find_plan import (
    MAX_NEGATIVES,
    MAX_REFERENCES,
    FindOptions,
    FindPlan,
    by_name,
    confirm_references,
    make_plan,
)
from kinmark.projects.workflows.index import Shortlist
from kinmark.projects.workflows.kept import KeptJob, forget, keep, note_progress

BATCH_SIZE = 16
INDEX_STEP = 4
"""Photos that are described in one step while the index of a large collection is brought up to date."""
RESTS_ON = frozenset(("instance", "mask", "decision", "identity", "nothing_here", "image", "image_root", "category"))
"""Tables that the question to the engine is made from: when a person changes one, it is asked anew."""
SHORTLIST_FROM = 600
"""Collections larger than this are searched by shortlist unless everything is asked for."""
SHORTLIST = 400


@dataclass
class FindOutcome:
    """What the search found; `results` best first, one per found region, then the photos without the instance."""

    category: str
    identity: str = ""
    identity_id: int | None = None
    references: int = 0
    negatives: int = 0
    searched: int = 0
    shortlisted: int = 0
    found: int = 0
    calibrated: bool = False
    seconds: float = 0.0
    results: list[FoundRow] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    by_name: bool = False


@dataclass(frozen=True)
class FoundRow:
    """One line of the ranking; `mask` None = "not here"."""

    image_id: int
    file_name: str
    score: float
    confidence: float
    box: Box | None
    mask: MaskRLE | None
    peak_xy_image: tuple[float, float] | None
    seconds: float


def instance_calibration(project: Project, engine: Engine, category: CategoryRow) -> Calibration | None:
    """Confidence fitted on this category's confirmed and denied masks; None below the minimum number."""
    rows = [
        r
        for r in project.queries.decisions(category_id=category.id, target="mask")
        if r.detail.get("score") is not None
    ]
    if not rows:
        return None
    scores = tuple(float(r.detail["score"]) for r in rows)
    calibration = engine.calibrate_instances(scores, tuple(r.kind == "accepted" for r in rows))
    return calibration if calibration.kind == "project" else None


@dataclass
class _Asked:
    """A question that is under way: the photos from `begin` on, as the project was at `revision`."""

    plan: FindPlan
    begin: int
    revision: int
    rows: dict[int, ImageRow]
    answers: Answers[MaskProposal | TargetFailure]
    batches: Batches[MaskProposal]


class FindSweep:
    """Searching photo by photo: its state lives between the steps, so that a window lets urgent work in between.

    Its thread owns it. The engine is asked once, and anew when a person confirmed or denied something meanwhile: that is
    a further reference or a hard negative from the next step on.

    Attributes:
        outcome: what was found so far; done, total: photos.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        options: FindOptions,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        on_stored: OnStored | None = None,
        kept: KeptJob | None = None,
    ) -> None:
        """`kept`: a search that was cut off and goes on (`options` are `options_of(kept)`).

        Raises:
            UserInputError: unknown image, nothing to search for, bad box or mask.
        """
        self.options = replace(options, job=options.job or uuid.uuid4().hex)
        self._project, self._engine, self._on_stored = project, engine, on_stored
        self._progress, self._cancel = progress or Progress(), cancel or CancelToken()
        plan = self._begin()
        self._ids = self._targets(plan) if kept is None else kept.image_ids
        self.outcome = FindOutcome(
            plan.category.name,
            plan.identity.name if plan.identity else "",
            plan.identity.id if plan.identity else None,
            len(plan.references),
            len(plan.negatives),
            searched=len(self._ids),
            shortlisted=len(self._ids),
            by_name=not plan.references,
        )
        self._nearest: Shortlist | None = None
        if kept is None and not options.exhaustive and len(self._ids) > SHORTLIST_FROM and plan.references:
            self._nearest = Shortlist(project, engine, plan.references, options.backbone, cancel=self._cancel)
        self.done = 0 if kept is None else min(kept.done, len(self._ids))
        self._kept = kept.id if kept is not None else ""
        self._asked: _Asked | None = None
        self._start_progress()

    def _begin(self) -> FindPlan:
        options = self.options
        if by_name(options) and not self._engine.knows_word(options.name, options.backbone):
            # Asked before anything is stored: an unknown word must not leave a category behind.
            raise UserInputError(
                said(
                    "The backbone '{0}' does not know the word '{1}', so it cannot be searched without a photo of it.",
                    options.backbone,
                    options.name,
                ),
                "Mark one on a photo and search for that, or use a backbone with a larger vocabulary.",
            )
        name = options.identity or options.name
        with self._project.group(said("Find {name}", name=name) if name else "Find an instance"):
            plan = make_plan(self._project, options)
            confirm_references(self._project, options, plan)
        return plan

    def _targets(self, plan: FindPlan) -> tuple[int, ...]:
        options = self.options
        rows = self._project.queries.iter_images(ImageFilter(glob=options.targets_glob, ids=options.image_ids))
        return tuple(row.id for row in rows if row.id not in plan.skip)

    @property
    def total(self) -> int:
        """Photos that are searched; only the nearest of a large collection, as soon as they are known."""
        return len(self._ids)

    @property
    def left(self) -> bool:
        """Whether a further step is needed."""
        return self._nearest is not None or self.done < self.total

    def keep(self, job_id: str) -> None:
        """Note the search in the project, so that it can go on after the window was closed in the middle of it."""
        if self._nearest is not None:
            self._kept = job_id  # describing photos is kept by the index itself
            return
        asked = {**asdict(self.options), "image_ids": None, "references": (), "excludes": ()}
        job = KeptJob(
            "find", self.options.identity or self.options.name, asked, self._ids, self.total, self.done, job_id
        )
        self._kept = job_id
        keep(self._project, job)

    def step(self, limit: int | None = None) -> int:
        """Go on with the next `limit` photos (None: all that are left), store what comes, and return how many they were.

        Raises:
            OperationCancelled: after the results so far were stored.
        """
        if self._nearest is not None:
            return self._describe(self._nearest, None if limit is None else INDEX_STEP)
        started, before = time.monotonic(), self.done
        asked = self._current()
        end = self.total if limit is None else min(self.total, before + limit)
        finished = before
        try:
            for image_id in self._ids[before:end]:
                self._go_through(asked, image_id)
                finished += 1
        except BaseException:
            self._asked = None  # its answers have ended; whoever goes on asks again
            raise
        finally:
            asked.batches.flush()
            self.done = finished
            self.outcome.seconds += time.monotonic() - started
            self.outcome.results.sort(key=lambda row: (row.mask is None, -row.score))
            note_progress(self._project, self._kept, self.done)
        self._progress.reach(self.done)
        if not self.left:
            forget(self._project, self._kept)
        return self.done - before

    def _describe(self, nearest: Shortlist, limit: int | None) -> int:
        """Bring the index up to date; at its end the photos to search are the nearest."""
        if nearest.update.left:
            self._progress.start("Describing photos", nearest.update.left + nearest.update.report.added)
            self._progress.step(nearest.update.report.added)
            described = nearest.update.step(limit, progress=PartProgress(self._progress), cancel=self._cancel)
            if nearest.update.left:
                return described
        # Some of the nearest are no targets (confirmed, denied): more are asked for than are wanted.
        targets = frozenset(self._ids)
        order = nearest.nearest(SHORTLIST + MAX_REFERENCES + MAX_NEGATIVES)
        self._ids = tuple(image_id for image_id in order if image_id in targets)[:SHORTLIST]
        self.outcome.shortlisted = self.total
        self._nearest = None
        self._start_progress()
        if self._kept:
            self.keep(self._kept)
        return 0

    def _start_progress(self) -> None:
        self._progress.start("Searching photos", self.total)
        self._progress.step(self.done)

    def _current(self) -> _Asked:
        revision = self._project.revision(RESTS_ON)
        if self._asked is None or self._asked.revision != revision:
            self._asked = self._ask(revision)
        return self._asked

    def _ask(self, revision: int) -> _Asked:
        project, options = self._project, self.options
        plan = make_plan(project, options)
        calibration = None
        if plan.references:  # decisions on individuals say nothing about the score of a word
            calibration = instance_calibration(project, self._engine, plan.category)
        left = [image_id for image_id in self._ids[self.done :] if image_id not in plan.skip]
        rows = project.queries.images_by_id(left)
        request = FindRequest(
            options.job,
            plan.references,
            tuple(rows[i].image_input for i in left if i in rows),
            plan.category.name,
            plan.negatives,
            options.settings,
            options.backbone,
            calibration,
        )
        self.outcome.references, self.outcome.negatives = len(plan.references), len(plan.negatives)
        self.outcome.calibrated = calibration is not None
        progress = PartProgress(self._progress)
        answers = self._engine.find_instance(request, progress=progress, cancel=self._cancel)

        def store(batch: Sequence[MaskProposal]) -> OpChanges:
            return self._store(plan, batch)

        batches = Batches(store, BATCH_SIZE, self._on_stored)
        return _Asked(plan, self.done, revision, rows, Answers(answers), batches)

    def _go_through(self, asked: _Asked, image_id: int) -> None:
        self._cancel.check()
        row = asked.rows.get(image_id)
        if row is None:
            return
        found = []
        for answer in asked.answers.of(image_id, max(1, self.options.settings.max_instances)):
            if isinstance(answer, TargetFailure):
                self.outcome.failures.append({"image": row.file_name, "error": str(answer.error)})
            else:
                found.append(answer)
                self.outcome.found += answer.mask is not None
                self.outcome.results.append(_found_row(row, answer))
        asked.batches.add(found)

    def _store(self, plan: FindPlan, batch: Sequence[MaskProposal]) -> OpChanges:
        identity = plan.identity
        with self._project.by_itself() if self.options.by_itself else nullcontext():
            changes = self._project.operations.add_mask_proposals(
                batch,
                plan.category.id,
                identity_id=identity.id if identity else None,
                job=self.options.job,
                name=self.options.step_name
                or said("Find {name}", name=identity.name if identity else plan.category.name),
            )
        self.outcome.skipped.extend(changes.skipped)
        return changes


def _found_row(row: ImageRow, answer: MaskProposal) -> FoundRow:
    return FoundRow(
        row.id,
        row.file_name,
        answer.score,
        answer.confidence,
        answer.box,
        answer.mask,
        answer.peak_xy_image,
        answer.seconds,
    )


def find(
    project: Project,
    engine: Engine,
    options: FindOptions,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_stored: OnStored | None = None,
) -> FindOutcome:
    """Rank the photos by how surely they show the instance and store its masks as pending proposals.

    All steps of a `FindSweep` in a row.

    Raises:
        UserInputError: unknown image, nothing to search for, bad box or mask.
        OperationCancelled: after the results so far were stored.
    """
    sweep = FindSweep(project, engine, options, progress=progress, cancel=cancel, on_stored=on_stored)
    while sweep.left:
        sweep.step()
    return sweep.outcome


def options_of(kept: KeptJob) -> FindOptions:
    """What a search that was cut off was asked for; its references are confirmed instances by now."""
    return FindOptions(
        name=kept.asked["name"],
        identity=kept.asked["identity"],
        exhaustive=True,
        backbone=kept.asked["backbone"],
        settings=InstanceSettings(**kept.asked["settings"]),
        job=kept.asked["job"],
        step_name=kept.asked["step_name"],
    )
