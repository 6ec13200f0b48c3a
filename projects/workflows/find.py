"""Find one instance across the project's photos: references in, ranked pending masks out.

One way for the command line and the window: `find()` reads the project, asks the engine, and stores what comes back in short
transactions that are together one undo step. Denied suggestions of the identity are hard negatives and are not proposed again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.api import (
    DEFAULT_BACKBONE,
    Calibration,
    Engine,
    FindRequest,
    InstanceSettings,
    Reference,
    TargetFailure,
)
from engine.domain.errors import UserInputError
from engine.domain.geometry import Box, box_iou
from engine.domain.masks import MaskRLE
from engine.domain.progress import CancelToken, Progress
from engine.domain.proposals import MaskProposal
from engine.remote import is_there
from projects.project import Project
from projects.store.inputs import NewInstance
from projects.store.queries.images import ImageFilter
from projects.store.rows import CategoryRow, DecisionRow, IdentityRow, ImageRow

BATCH_SIZE, BATCH_SECONDS = 16, 2.0
MAX_REFERENCES, MAX_NEGATIVES = 12, 12
SHORTLIST_FROM = 600
"""Collections larger than this are searched by shortlist unless everything is asked for."""
SHORTLIST = 400
SAME_REGION = 0.5


@dataclass(frozen=True)
class ReferenceSpec:
    """One reference as a person gives it: an image of the project and at most one of mask, box, point (xy_image)."""

    image: str | int
    mask: MaskRLE | None = None
    box: Box | None = None
    point_xy_image: tuple[float, float] | None = None


@dataclass(frozen=True)
class FindOptions:
    """What a person may ask for.

    Attributes:
        references: what to find; may be empty when `identity` has accepted instances already, or when no individual but
            the kind of thing `name` is looked for by the word alone.
        excludes: things that look alike but are not meant; their images are not searched.
        name: class name ("dog"); needed unless the identity has a category.
        identity: name of the individual; made when new. With an identity the first reference becomes its first
            confirmed instance.
        targets_glob, image_ids: which photos are searched (None = all).
        exhaustive: score every photo instead of a shortlist in large collections.
        job: calls with the same name are one undo step (resuming a paused search); step_name: its name in the undo list.
    """

    references: tuple[ReferenceSpec, ...] = ()
    excludes: tuple[ReferenceSpec, ...] = ()
    name: str = ""
    identity: str = ""
    targets_glob: str = ""
    image_ids: tuple[int, ...] | None = None
    exhaustive: bool = False
    backbone: str = DEFAULT_BACKBONE
    settings: InstanceSettings = InstanceSettings()
    job: str = ""
    step_name: str = ""


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


def image_of(project: Project, which: str | int) -> ImageRow:
    """An image of the project by id, path or unique name; UserInputError when it is not there."""
    row = project.queries.image(which) if isinstance(which, int) else project.queries.image_named(which)
    if row is None:
        raise UserInputError(
            f"There is no image {which} in the project.", "Give its path relative to the image folder."
        )
    if not is_there(row.path):
        raise UserInputError(
            f"The image {row.file_name} is not where it was ({row.path}).", "Restore it, or re-link the moved folder."
        )
    return row


def _reference(project: Project, spec: ReferenceSpec) -> tuple[ImageRow, Reference]:
    image = image_of(project, spec.image)
    return image, Reference(image.image_input, spec.mask, spec.box, spec.point_xy_image)


def _category(project: Project, options: FindOptions, identity: IdentityRow | None) -> CategoryRow:
    """The category by name (made when new: a thing to find needs no keypoints), else that of the identity."""
    if options.name:
        found = project.queries.category(options.name)
        if found is None:
            [id_] = project.operations.add_category(options.name).ids
            found = project.queries.category(id_)
    elif identity is not None and identity.category_id is not None:
        found = project.queries.category(identity.category_id)
    else:
        found = None
    if found is None:
        raise UserInputError("What kind of thing is it?", "Give its class name, e.g. --name dog.")
    return found


def _identity(project: Project, options: FindOptions, category: CategoryRow) -> IdentityRow | None:
    if not options.identity:
        return None
    row = project.queries.identity(options.identity)
    if row is None:
        [id_] = project.operations.add_identity(options.identity, category.id).ids
        row = project.queries.identity(id_)
    return row


def _confirmed_references(project: Project, identity: IdentityRow | None) -> list[tuple[ImageRow, Reference]]:
    """Accepted instances of the identity that have a mask or box, newest last."""
    if identity is None:
        return []
    instances = project.queries.instances(identity_id=identity.id)
    images = project.queries.images_by_id(i.image_id for i in instances)
    found = []
    for instance in instances:
        image = images.get(instance.image_id)
        if image is None or not is_there(image.path):
            continue
        mask = instance.mask.rle if instance.mask else None
        if mask is not None or instance.box is not None:
            found.append((image, Reference(image.image_input, mask=mask, box=None if mask else instance.box)))
    return found


def _denied_box(row: DecisionRow) -> Box | None:
    corners = [row.detail.get(k) for k in ("x0", "y0", "x1", "y1")]
    if any(c is None for c in corners):
        return None
    x0, y0, x1, y1 = (float(c) for c in corners)  # type: ignore[arg-type]
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None


def _denials(project: Project, identity: IdentityRow | None) -> list[tuple[ImageRow, Reference]]:
    """Denied suggestions of the identity whose region is known, as negatives."""
    if identity is None:
        return []
    rows = project.queries.decisions(identity_id=identity.id, kind="rejected", target="mask")
    images = project.queries.images_by_id(row.image_id for row in rows)
    found = []
    for row in rows:
        image, box = images.get(row.image_id), _denied_box(row)
        if image is not None and box is not None and is_there(image.path):
            found.append((image, Reference(image.image_input, box=box)))
    return found


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


@dataclass(frozen=True)
class _Plan:
    category: CategoryRow
    identity: IdentityRow | None
    references: tuple[Reference, ...]
    negatives: tuple[Reference, ...]
    targets: tuple[ImageRow, ...]


def _plan(project: Project, options: FindOptions) -> _Plan:
    known = project.queries.identity(options.identity) if options.identity else None
    given = [_reference(project, spec) for spec in options.references]
    category = _category(project, options, known)
    identity = _identity(project, options, category)
    confirmed = _confirmed_references(project, identity)
    references = [*given, *confirmed[-MAX_REFERENCES:]]
    if not references and not _by_name(options):
        raise UserInputError("There is nothing to search for.", "Box or click the thing on one photo first.")
    excluded = [_reference(project, spec) for spec in options.excludes]
    denied = _denials(project, identity)
    negatives = [*excluded, *denied[-MAX_NEGATIVES:]]
    skip = {image.id for image, _ in [*given, *confirmed, *excluded]}
    if identity is not None:
        skip |= set(project.queries.rejected_images(identity.id))
    skip |= {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    rows = list(project.queries.iter_images(ImageFilter(glob=options.targets_glob, ids=options.image_ids)))
    targets = [row for row in rows if row.id not in skip]
    return _Plan(category, identity, tuple(r for _, r in references), tuple(r for _, r in negatives), tuple(targets))


def _by_name(options: FindOptions) -> bool:
    """Whether a kind of thing is looked for by its word, without any photo of it."""
    return bool(options.name.strip()) and not options.references and not options.identity


def _shortlist(
    project: Project, engine: Engine, options: FindOptions, plan: _Plan, progress: Progress, cancel: CancelToken
) -> tuple[ImageRow, ...]:
    """The targets whose pooled descriptors are nearest; the index is brought up to date first."""
    from projects.workflows.index import shortlist

    # Some of the nearest are no targets (confirmed, denied): ask for more than are wanted.
    wanted = SHORTLIST + MAX_REFERENCES + MAX_NEGATIVES
    order = shortlist(project, engine, plan.references, wanted, options.backbone, progress=progress, cancel=cancel)
    place = {image_id: rank for rank, image_id in enumerate(order)}
    near = sorted((row for row in plan.targets if row.id in place), key=lambda row: place[row.id])
    return tuple(near[:SHORTLIST])


def find(
    project: Project,
    engine: Engine,
    options: FindOptions,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_stored: Callable[[frozenset[int]], None] | None = None,
) -> FindOutcome:
    """Rank the photos by how surely they show the instance and store its masks as pending proposals.

    Raises:
        UserInputError: unknown image, nothing to search for, bad box or mask.
        OperationCancelled: after the results so far were stored.
    """
    progress, cancel = progress or Progress(), cancel or CancelToken()
    job = options.job or uuid.uuid4().hex
    if _by_name(options) and not engine.knows_word(options.name, options.backbone):
        # Asked before anything is stored: an unknown word must not leave a category behind.
        raise UserInputError(
            f"The backbone '{options.backbone}' does not know the word '{options.name}', "
            "so it cannot be searched without a photo of it.",
            "Mark one on a photo and search for that, or use a backbone with a larger vocabulary.",
        )
    with project.group(f"Find {options.identity or options.name or 'an instance'}"):
        plan = _plan(project, options)
        _confirm_references(project, options, plan)
    total = len(plan.targets)
    if not options.exhaustive and total > SHORTLIST_FROM and plan.references:
        plan = replace(plan, targets=_shortlist(project, engine, options, plan, progress, cancel))
    # Decisions on individuals say nothing about the score of a word.
    calibration = instance_calibration(project, engine, plan.category) if plan.references else None
    outcome = FindOutcome(
        plan.category.name,
        plan.identity.name if plan.identity else "",
        plan.identity.id if plan.identity else None,
        len(plan.references),
        len(plan.negatives),
        total,
        len(plan.targets),
        calibrated=calibration is not None,
        by_name=not plan.references,
    )
    request = FindRequest(
        job,
        plan.references,
        tuple(row.image_input for row in plan.targets),
        plan.category.name,
        plan.negatives,
        options.settings,
        options.backbone,
        calibration,
    )
    started = time.monotonic()
    store = _Store(project, plan, job, outcome, on_stored, options.step_name)
    try:
        for result in engine.find_instance(request, progress=progress, cancel=cancel):
            store.take(result)
    finally:
        store.flush()
        outcome.seconds = time.monotonic() - started
        outcome.results.sort(key=lambda row: (row.mask is None, -row.score))
    return outcome


def _confirm_references(project: Project, options: FindOptions, plan: _Plan) -> None:
    """A thing that a person outlined or boxed and named is a confirmed instance of the identity (once).

    A mere click stores nothing: its outline would be the program's guess, not the person's work.
    """
    if plan.identity is None:
        return
    there = project.queries.instances(identity_id=plan.identity.id)
    for spec in options.references:
        image = image_of(project, spec.image)
        box = spec.mask.box if spec.mask is not None else spec.box
        if box is None:
            continue
        boxes = [i.mask.rle.box if i.mask else i.box for i in there if i.image_id == image.id]
        if any(b is not None and box_iou(b, box) >= SAME_REGION for b in boxes):
            continue
        new = NewInstance(image.id, plan.category.id, box=box, mask=spec.mask, identity_id=plan.identity.id)
        project.operations.add_instances([new], name=f"Confirm {plan.identity.name}")


class _Store:
    """Collects results and writes them in short transactions, all part of one undo step."""

    def __init__(
        self,
        project: Project,
        plan: _Plan,
        job: str,
        outcome: FindOutcome,
        on_stored: Callable[[frozenset[int]], None] | None,
        step_name: str,
    ) -> None:
        self._project, self._plan, self._job, self._outcome, self._on_stored = project, plan, job, outcome, on_stored
        self._step_name = step_name
        self._names = {str(row.id): row.file_name for row in plan.targets}
        self._batch: list[MaskProposal] = []
        self._since = time.monotonic()

    def take(self, result: MaskProposal | TargetFailure) -> None:
        """One answer of the engine; the proposals of one photo come in a row and are written together."""
        name = self._names.get(result.image_id, result.image_id)
        if isinstance(result, TargetFailure):
            self._outcome.failures.append({"image": name, "error": str(result.error)})
            return
        if result.rank == 0 and (
            len(self._batch) >= BATCH_SIZE or (self._batch and time.monotonic() - self._since > BATCH_SECONDS)
        ):
            self.flush()
        self._batch.append(result)
        self._outcome.found += result.mask is not None
        self._outcome.results.append(
            FoundRow(
                int(result.image_id),
                name,
                result.score,
                result.confidence,
                result.box,
                result.mask,
                result.peak_xy_image,
                result.seconds,
            )
        )

    def flush(self) -> None:
        """Write what was collected."""
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        self._since = time.monotonic()
        identity = self._plan.identity
        changes = self._project.operations.add_mask_proposals(
            batch,
            self._plan.category.id,
            identity_id=identity.id if identity else None,
            job=self._job,
            name=self._step_name or f"Find {identity.name if identity else self._plan.category.name}",
        )
        self._outcome.skipped.extend(changes.skipped)
        if self._on_stored is not None:
            self._on_stored(changes.image_ids)
