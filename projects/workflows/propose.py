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
    Exemplar,
    ImageInput,
    MatchSettings,
    ProposeRequest,
    Target,
    TargetFailure,
)
from engine.domain.errors import UserInputError
from engine.domain.geometry import expand_box
from engine.domain.progress import CancelToken, PartProgress, Progress
from engine.domain.proposals import InstanceProposal
from projects.project import Project
from projects.store.changes import OpChanges
from projects.store.queries.images import ImageFilter
from projects.store.rows import CategoryRow, ImageRow, InstanceRow
from projects.workflows.batches import Answers, Batches, OnStored
from projects.workflows.calibrate import project_calibration
from projects.workflows.kept import KeptJob, forget, keep, note_progress
from projects.workflows.match_settings import AUTO_FIELDS, settings_for, settings_from_json

BATCH_SIZE = 24
RESTS_ON = frozenset(
    ("instance", "keypoint", "mask", "nothing_here", "image", "image_root", "category", "keypoint_definition",
     "skeleton_edge", "side_pair")
)  # fmt: skip
"""Tables that the question to the engine is made from: when a person changes one, it is asked anew."""
COLLECTION = 24
"""Photos that stand for the project where matching takes its statistics and settings from the collection."""



@dataclass(frozen=True)
class ProposeOptions:
    """What a person may ask for; the defaults need nothing.

    Attributes:
        category: by name; "" = every category with an exemplar.
        targets_glob: only file names that fit; image_ids: only these (None = all), in this order.
        settings: fields that are set override the automatic choice.
        only_keypoints: names; () = all of the schema.
        include_labelled: complete instances that lack keypoints, too.
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
    failures: list[dict[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Job:
    """One category's question: which instance (or None: a new one) each target completes."""

    category: CategoryRow
    request: ProposeRequest
    completes: dict[str, int | None]


@dataclass
class _Asked:
    """A question that is under way: the photos from `begin` to `end` of the sweep, as the project was at `revision`."""

    job: _Job
    begin: int
    end: int
    revision: int
    batches: Batches[InstanceProposal]
    answers: Answers[InstanceProposal | TargetFailure] | None = None


def exemplar_of(image: ImageRow, instance: InstanceRow, category: CategoryRow) -> Exemplar:
    """An accepted instance as the engine sees it; its `image_id` is the image's."""
    keypoints = instance.aligned(category.definition_ids)
    return Exemplar(image.image_input, keypoints, instance.mask.rle if instance.mask else None)


def exemplars_of(project: Project, category: CategoryRow) -> tuple[Exemplar, ...]:
    """All accepted instances of the category with at least one placed keypoint, on images that are still there."""
    instances = project.queries.exemplar_instances(category.id)
    images = project.queries.images_by_id(instance.image_id for instance in instances)
    return tuple(
        exemplar_of(images[instance.image_id], instance, category)
        for instance in instances
        if instance.image_id in images and images[instance.image_id].path.is_file()
    )


def categories_to_propose(project: Project, name: str) -> tuple[CategoryRow, ...]:
    """The named category, or all that have exemplars; UserInputError when there is nothing to propose from."""
    if name:
        category = project.queries.require_category(name)
        if not category.definitions:
            raise UserInputError(f"The category {name} has no keypoints.", "Add keypoints to it first.")
        if not project.queries.exemplar_instances(category.id):
            raise UserInputError(
                f"No photo with keypoints of {name} is labelled yet.",
                "Label one photo (or import labels), then propose.",
            )
        return (category,)
    found = tuple(
        category
        for category in project.queries.categories()
        if category.definitions and project.queries.exemplar_instances(category.id)
    )
    if not found:
        raise UserInputError(
            "No photo is labelled yet, so there is nothing to propose from.",
            "Label the keypoints of one photo per category (or import labels), then propose.",
        )
    return found


def _targets(
    project: Project, category: CategoryRow, options: ProposeOptions
) -> tuple[tuple[Target, ...], dict[str, int | None]]:
    """Photos without an instance of the category (whole), and instances that lack keypoints (inside their box)."""
    filter_ = ImageFilter(glob=options.targets_glob, ids=None)
    wanted = options.image_ids
    images = project.queries.iter_images(filter_)
    rows = {row.id: row for row in images} if wanted is None else project.queries.images_by_id(wanted)
    order = list(rows) if wanted is None else [i for i in wanted if i in rows]
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    quick = options.settings.method == SEARCH_METHOD
    if quick:
        # A first look is coarser than what may be waiting already.
        nothing |= project.queries.images_with_proposals(category.id)
    own: dict[int, list[InstanceRow]] = {}
    for instance in project.queries.iter_instances(category_id=category.id):
        own.setdefault(instance.image_id, []).append(instance)
    if not options.other_kinds:
        others = project.queries.images_of_other_categories(category.id)
        nothing |= set() if others & own.keys() else others
    targets: list[Target] = []
    completes: dict[str, int | None] = {}
    for image_id in order:
        if image_id in nothing:
            continue
        image = rows[image_id]
        if image_id not in own:
            targets.append(Target(image.image_input))
            completes[str(image_id)] = None
            continue
        partial = [i for i in own[image_id] if i.missing(category.definition_ids)]
        # One target per image: with several incomplete instances the first is completed now, the next one next time.
        if partial and options.include_labelled and not quick:
            targets.append(_target_inside(image, partial[0], category))
            completes[str(image_id)] = partial[0].id
    return tuple(targets), completes


def _target_inside(image: ImageRow, instance: InstanceRow, category: CategoryRow) -> Target:
    keypoints = instance.aligned(category.definition_ids)
    if keypoints.box is None and int(keypoints.labelled.sum()) < 2:
        return Target(image.image_input)
    return Target(image.image_input, box=expand_box(keypoints.box_or_extent(0.5), margin=0.1))


def collection_of(project: Project, category: CategoryRow, glob: str) -> tuple[ImageInput, ...]:
    """Photos without labels whose names fit, spread over the project; none where it is known that the category is not there."""
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    ids = [id_ for id_ in project.queries.image_ids(ImageFilter(glob=glob, has_instances=False)) if id_ not in nothing]
    chosen = [ids[i * len(ids) // COLLECTION] for i in range(COLLECTION)] if len(ids) > COLLECTION else ids
    rows = project.queries.images_by_id(chosen)
    return tuple(rows[id_].image_input for id_ in chosen)


def _prepare(project: Project, category: CategoryRow, options: ProposeOptions) -> _Job:
    names = category.schema.names
    unknown = [name for name in options.only_keypoints if name not in names]
    if unknown:
        raise UserInputError(f"{category.name} has no keypoint {unknown[0]}.", f"It has: {', '.join(names)}.")
    targets, completes = _targets(project, category, options)
    only = tuple(names.index(name) for name in options.only_keypoints) or None
    request = ProposeRequest(
        options.job or uuid.uuid4().hex, category.name, category.schema, exemplars_of(project, category), targets, options.settings,
        options.backbone, options.prompt, only_keypoints=only, collection=collection_of(project, category, options.targets_glob),
    )  # fmt: skip
    if not request.exemplars:
        raise UserInputError(
            f"The labelled photos of {category.name} are not where they were.",
            "Re-link the moved folder (kinmark relink), then propose.",
        )
    return _Job(category, request, completes)


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
        outcome.targets = self._answered[number] + len(job.request.targets)

        def store(batch: Sequence[InstanceProposal]) -> OpChanges:
            return self._store(job, outcome, batch)

        asked = _Asked(job, begin, end, revision, Batches(store, BATCH_SIZE, self._on_stored))
        self._asked[number] = asked
        return asked

    def _go_through(self, asked: _Asked, outcome: CategoryOutcome, image_id: int) -> bool:
        """One photo; False when nothing is to be proposed on it."""
        self._cancel.check()
        if str(image_id) not in asked.job.completes:
            return False
        if asked.answers is None:
            asked.answers = self._answers(asked.job, outcome)
        answers = asked.answers.of(image_id)
        outcome.failures += [
            {"image_id": answer.image_id, "error": str(answer.error)}
            for answer in answers
            if isinstance(answer, TargetFailure)
        ]
        asked.batches.add([answer for answer in answers if not isinstance(answer, TargetFailure)])
        return True

    def _answers(self, job: _Job, outcome: CategoryOutcome) -> Answers[InstanceProposal | TargetFailure]:
        """Choose the settings and ask the engine."""
        choice = settings_for(self._project, self._engine, job.request, progress=self._progress, cancel=self._cancel)
        calibration = project_calibration(self._project, self._engine, job.category)
        request = replace(job.request, settings=choice.settings, calibration=calibration)
        outcome.settings = {name: getattr(choice.settings, name) for name in AUTO_FIELDS}
        outcome.table, outcome.reason = [list(row) for row in choice.table], choice.reason
        outcome.calibrated = calibration is not None and calibration.kind == "project"
        self._progress.start(_title(self._categories), self.total)
        self._progress.step(self.done)
        progress = PartProgress(self._progress)
        return Answers(self._engine.propose_keypoints(request, progress=progress, cancel=self._cancel))

    def _store(self, job: _Job, outcome: CategoryOutcome, batch: Sequence[InstanceProposal]) -> OpChanges:
        changes = self._project.operations.add_keypoint_proposals(
            batch,
            job.category.id,
            job=job.request.request_id,
            name=self.options.step_name or f"Propose {job.category.name}",
            instance_ids=[job.completes[proposal.image_id] for proposal in batch],
        )
        outcome.proposals += changes.count
        outcome.keypoints += sum(len(proposal.keypoints) for proposal in batch)
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
