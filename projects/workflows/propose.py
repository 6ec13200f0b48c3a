"""Propose keypoints: every accepted instance of a category is an exemplar for every other photo.

One way for the command line and the window: `propose()` reads the project, asks the engine, and stores what comes back
in short transactions that are together one undo step. What was stored stays when the job is cancelled or fails.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from engine.api import (
    DEFAULT_BACKBONE,
    SEARCH_METHOD,
    Engine,
    Exemplar,
    ImageInput,
    MatchSettings,
    ProposeRequest,
    SettingsChoice,
    Target,
    TargetFailure,
)
from engine.domain.errors import UserInputError
from engine.domain.geometry import expand_box
from engine.domain.progress import CancelToken, Progress
from engine.domain.proposals import InstanceProposal, SimilarityMap
from projects.project import Project
from projects.several import instance_limit, taken_places
from projects.store.queries.images import ImageFilter
from projects.store.rows import CategoryRow, DecisionRow, ImageRow, InstanceRow
from projects.workflows.calibrate import project_calibration
from projects.workflows.telling_apart import leave_out

BATCH_SIZE, BATCH_SECONDS = 24, 2.0
COLLECTION = 24
"""Photos that stand for the project where matching takes its statistics and settings from the collection."""
CHOOSE_AGAIN_FROM = 4
"""Holding out one of two or three exemplars says too little: the settings of the first one are better until then."""
CHOICE_KEY = "match-settings:"
SAME_PLACE = 0.1
"""A keypoint placed so near (longer sides) to where its proposal was rejected takes the rejection back."""
_AUTO_FIELDS = (
    "method", "stages", "rotations", "flip", "fusion_weight", "fuse_exemplars", "location_prior", "shape_weight",
)  # fmt: skip


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
        apart: leave photos out that clearly look like another category (None: on a sweep, not on photos asked for by id).
        without: image ids that are not asked for a new instance.
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
    apart: bool | None = None
    without: frozenset[int] = frozenset()
    instances: str = ""
    job: str = ""
    step_name: str = ""


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
class _Round:
    """Targets of different photos, and by image id which instance each completes (None: it looks for new ones)."""

    targets: tuple[Target, ...]
    completes: dict[str, int | None]


@dataclass(frozen=True)
class _Job:
    """One category's work: `request` has the targets of the first round; photos with more to do come again in the next."""

    category: CategoryRow
    request: ProposeRequest
    rounds: tuple[_Round, ...]
    limit: int


def exemplar_of(
    image: ImageRow, instance: InstanceRow, category: CategoryRow, rejected: Sequence[DecisionRow] = ()
) -> Exemplar:
    """An accepted instance as the engine sees it; its `image_id` is the image's.

    Args:
        rejected: decisions against proposals of its keypoints.
    """
    keypoints = instance.aligned(category.definition_ids)
    order = {definition: index for index, definition in enumerate(category.definition_ids)}
    said = {order[k.definition_id] for k in instance.keypoints if k.visibility == 0 and k.definition_id in order}
    denied = []
    for decision in rejected:
        index = order.get(decision.definition_id or 0)
        if index is None or decision.x is None or decision.y is None or not decision.visibility:
            continue
        place = np.array([decision.x, decision.y])
        near = SAME_PLACE * (decision.side_px or 0.0)
        if not (keypoints.labelled[index] and np.linalg.norm(keypoints.xy_image[index] - place) <= near):
            denied.append((index, decision.x, decision.y))
    mask = instance.mask.rle if instance.mask else None
    return Exemplar(image.image_input, keypoints, mask, absent=tuple(sorted(said)), denied=tuple(sorted(set(denied))))


def exemplars_of(project: Project, category: CategoryRow) -> tuple[Exemplar, ...]:
    """All accepted instances of the category with at least one placed keypoint, on images that are still there."""
    instances = project.queries.exemplar_instances(category.id)
    images = project.queries.images_by_id(instance.image_id for instance in instances)
    rejected: dict[int, list[DecisionRow]] = {}
    for decision in project.queries.decisions(category_id=category.id, kind="rejected", target="keypoints"):
        rejected.setdefault(decision.image_id, []).append(decision)
    alone = {image_id for image_id, count in Counter(i.image_id for i in instances).items() if count == 1}

    def against(instance: InstanceRow) -> list[DecisionRow]:
        """What was rejected on this instance, or on its photo before there was one (which of several is not known then)."""
        own = (instance.id, None) if instance.image_id in alone else (instance.id,)
        return [d for d in rejected.get(instance.image_id, ()) if d.instance_id in own]

    return tuple(
        exemplar_of(images[instance.image_id], instance, category, against(instance))
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


def _rounds(project: Project, category: CategoryRow, options: ProposeOptions, limit: int) -> tuple[_Round, ...]:
    """Photos that may hold (further) instances of the category (whole), and instances that lack keypoints (inside their box).

    Every photo comes once a round, so that an answer's photo tells what it is about.
    """
    filter_ = ImageFilter(glob=options.targets_glob, ids=None)
    wanted = options.image_ids
    images = project.queries.iter_images(filter_)
    rows = {row.id: row for row in images} if wanted is None else project.queries.images_by_id(wanted)
    order = list(rows) if wanted is None else [i for i in wanted if i in rows]
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)} | options.without
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
    said = project.queries.exhaustive(category_id=category.id)
    complete = {image_id for image_id, categories in said.items() if categories[category.id]}
    taken = taken_places(project.queries, category, order) if limit > 1 else {}
    rounds: list[dict[int, tuple[Target, int | None]]] = []
    for image_id in order:
        if image_id in nothing:
            continue
        image, here = rows[image_id], own.get(image_id, [])
        asked: list[tuple[Target, int | None]] = []
        if not here or (limit > len(here) and image_id not in complete and not quick):
            places = taken.get(image_id, ())
            asked.append((Target(image.image_input, taken=places, limit=max(1, limit - len(here))), None))
        partial = [i for i in here if i.missing(category.definition_ids)]
        if partial and options.include_labelled and not quick:
            # Where a photo holds one, the first is completed now and another that was labelled all the same next time.
            asked += [(_target_inside(image, i, category), i.id) for i in (partial if limit > 1 else partial[:1])]
        for place, ask in enumerate(asked):
            if place == len(rounds):
                rounds.append({})
            rounds[place][image_id] = ask
    return tuple(
        _Round(tuple(target for target, _ in asks.values()), {str(i): instance for i, (_, instance) in asks.items()})
        for asks in rounds
    )


def _target_inside(image: ImageRow, instance: InstanceRow, category: CategoryRow) -> Target:
    keypoints = instance.aligned(category.definition_ids)
    if keypoints.box is None and int(keypoints.labelled.sum()) < 2:
        return Target(image.image_input)
    return Target(image.image_input, box=expand_box(keypoints.box_or_extent(0.5), margin=0.1))


def _is_complete(settings: MatchSettings) -> bool:
    return all(getattr(settings, name) is not None for name in _AUTO_FIELDS)


def settings_for(
    project: Project, engine: Engine, request: ProposeRequest, *, progress: Progress | None, cancel: CancelToken | None
) -> SettingsChoice:
    """The project's stored choice while it fits, else a new one (stored): methods/matching.md.

    A choice is made again when the number of exemplars has doubled (from four on) or backbone or prompt changed.
    """
    if _is_complete(request.settings):
        return SettingsChoice(request.settings, exemplars=len(request.exemplars), reason="given")
    key = f"{CHOICE_KEY}{request.category}"
    stored = project.queries.setting(key)
    overridden = any(getattr(request.settings, name) is not None for name in _AUTO_FIELDS)
    if stored and not overridden and _still_fits(stored, request):
        return SettingsChoice(
            _settings_from_json(stored["settings"]),
            tuple((str(a), float(b), float(c)) for a, b, c in stored["table"]),
            int(stored["exemplars"]),
            str(stored["reason"]),
        )
    choice = engine.choose_settings(request, progress=progress, cancel=cancel)
    if not overridden and not project.read_only:
        project.operations.set_setting(
            key,
            {
                "settings": asdict(choice.settings), "table": [list(row) for row in choice.table], "exemplars": len(request.exemplars),
                "reason": choice.reason, "backbone": request.backbone, "prompt": request.prompt,
            },
        )  # fmt: skip
    return choice


def _still_fits(stored: dict[str, Any], request: ProposeRequest) -> bool:
    same = stored.get("backbone") == request.backbone and stored.get("prompt") == request.prompt
    return same and not choose_again(int(stored.get("exemplars", 0)), len(request.exemplars))


def choose_again(chosen_with: int, exemplars: int) -> bool:
    """Whether settings that were chosen with so many exemplars should be chosen again: with twice as many, and enough."""
    return exemplars >= max(CHOOSE_AGAIN_FROM, 2 * chosen_with)


def collection_of(project: Project, category: CategoryRow, glob: str) -> tuple[ImageInput, ...]:
    """Photos without labels whose names fit, spread over the project; none where it is known that the category is not there."""
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    ids = [id_ for id_ in project.queries.image_ids(ImageFilter(glob=glob, has_instances=False)) if id_ not in nothing]
    chosen = [ids[i * len(ids) // COLLECTION] for i in range(COLLECTION)] if len(ids) > COLLECTION else ids
    rows = project.queries.images_by_id(chosen)
    return tuple(rows[id_].image_input for id_ in chosen)


def _settings_from_json(data: dict[str, Any]) -> MatchSettings:
    known = {f.name for f in fields(MatchSettings)}
    return MatchSettings(**{key: value for key, value in data.items() if key in known})


def propose(
    project: Project,
    engine: Engine,
    options: ProposeOptions | None = None,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_stored: Callable[[frozenset[int]], None] | None = None,
) -> tuple[CategoryOutcome, ...]:
    """Propose keypoints and store them as pending.

    Args:
        on_stored: told the image ids of each stored batch (the window shows proposals while the sweep runs).

    Raises:
        UserInputError: unknown category, no exemplar, unknown keypoint names.
        OperationCancelled: after the proposals so far were stored.
    """
    options = options or ProposeOptions()
    progress, cancel = progress or Progress(), cancel or CancelToken()
    outcomes = []
    for category in categories_to_propose(project, options.category):
        outcomes.append(_propose_category(project, engine, category, options, progress, cancel, on_stored))
    return tuple(outcomes)


def _prepare(project: Project, category: CategoryRow, options: ProposeOptions) -> _Job:
    names = category.schema.names
    unknown = [name for name in options.only_keypoints if name not in names]
    if unknown:
        raise UserInputError(f"{category.name} has no keypoint {unknown[0]}.", f"It has: {', '.join(names)}.")
    limit = instance_limit(project.queries, category, options.instances)
    rounds = _rounds(project, category, options, limit)
    targets = rounds[0].targets if rounds else ()
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
    return _Job(category, request, rounds, limit)


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


def _propose_category(
    project: Project, engine: Engine, category: CategoryRow, options: ProposeOptions, progress: Progress, cancel: CancelToken,
    on_stored: Callable[[frozenset[int]], None] | None,
) -> CategoryOutcome:  # fmt: skip
    left = leave_out(project, engine, category, options, progress, cancel)
    job = _prepare(project, category, replace(options, without=options.without | left.looks_like.keys()))
    count = sum(len(round_.targets) for round_ in job.rounds)
    outcome = CategoryOutcome(category.name, len(job.request.exemplars), count, limit=job.limit)
    outcome.apart, outcome.apart_pending = left.counted({}), left.pending
    if not job.request.targets:
        return outcome
    started = time.monotonic()
    choice = settings_for(project, engine, job.request, progress=progress, cancel=cancel)
    calibration = project_calibration(project, engine, category)
    request = replace(job.request, settings=choice.settings, calibration=calibration)
    outcome.settings = {name: getattr(choice.settings, name) for name in _AUTO_FIELDS}
    outcome.table, outcome.reason = [list(row) for row in choice.table], choice.reason
    outcome.calibrated = calibration is not None and calibration.kind == "project"
    progress.start(f"Proposing {category.name}", count)
    store = _Store(project, job, outcome, on_stored, options.step_name or f"Propose {category.name}")
    try:
        for round_ in job.rounds:
            store.begin(round_)
            for result in engine.propose_keypoints(replace(request, targets=round_.targets), progress=progress, cancel=cancel):
                store.take(result)
            store.end()
    finally:
        store.flush()
        outcome.seconds = time.monotonic() - started
    return outcome


class _Store:
    """Collects results and writes them in short transactions, all part of one undo step."""

    def __init__(
        self, project: Project, job: _Job, outcome: CategoryOutcome, on_stored: Callable[[frozenset[int]], None] | None,
        step_name: str,
    ) -> None:  # fmt: skip
        self._project, self._job, self._outcome, self._on_stored = project, job, outcome, on_stored
        self._step_name = step_name
        self._batch: list[InstanceProposal] = []
        self._completes: dict[str, int | None] = {}
        self._open: deque[str] = deque()
        self._searched: list[int] = []
        self._since = time.monotonic()

    def begin(self, round_: _Round) -> None:
        """The answers that come now are about these targets, in their order."""
        self._completes = round_.completes
        self._open = deque(target.image.image_id for target in round_.targets)

    def end(self) -> None:
        """All targets of the round are answered; what is left gave nothing."""
        self._close(None)
        self.flush()

    def _close(self, upto: str | None) -> None:
        """The targets before that of the image `upto` are done (None: all): nothing more comes for them."""
        while self._open and self._open[0] != upto:
            image_id = self._open.popleft()
            if self._completes[image_id] is None:
                self._searched.append(int(image_id))

    def take(self, result: InstanceProposal | TargetFailure) -> None:
        """One answer of the engine."""
        if result.image_id in self._open:
            self._close(result.image_id)
        if isinstance(result, TargetFailure):
            if self._open and self._open[0] == result.image_id:
                self._open.popleft()  # what waits there may still be right
            self._outcome.failures.append({"image_id": result.image_id, "error": str(result.error)})
            return
        self._batch.append(result)
        if len(self._batch) >= BATCH_SIZE or time.monotonic() - self._since > BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        if not self._batch and not self._searched:
            return
        (batch, self._batch), (searched, self._searched) = (self._batch, []), (self._searched, [])
        self._since = time.monotonic()
        changes = self._project.operations.add_keypoint_proposals(
            batch,
            self._job.category.id,
            job=self._job.request.request_id,
            name=self._step_name,
            instance_ids=[self._completes[proposal.image_id] for proposal in batch],
            searched=searched,
        )
        self._outcome.proposals += changes.count
        self._outcome.keypoints += sum(len(proposal.keypoints) for proposal in batch)
        self._outcome.skipped.extend(changes.skipped)
        if self._on_stored is not None:
            self._on_stored(changes.image_ids)
