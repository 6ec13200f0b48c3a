"""What a search for one instance is made from: what a person asks, and the references, denials and photos that follow."""

from __future__ import annotations

from dataclasses import dataclass

from kinmark.engine.api import DEFAULT_BACKBONE, InstanceSettings, Reference
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box, box_iou
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.engine.remote import is_there
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewInstance
from kinmark.projects.store.rows import CategoryRow, DecisionRow, IdentityRow, ImageRow

MAX_REFERENCES, MAX_NEGATIVES = 12, 12
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
        by_itself: nobody asked for it (a background improvement); undo takes it back with the step of the person before it.
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
    by_itself: bool = False


def image_of(project: Project, which: str | int) -> ImageRow:
    """An image of the project by id, path or unique name; UserInputError when it is not there."""
    row = project.queries.image(which) if isinstance(which, int) else project.queries.image_named(which)
    if row is None:
        raise UserInputError(
            said("There is no image {0} in the project.", which), "Give its path relative to the image folder."
        )
    if not is_there(row.path):
        raise UserInputError(
            said("The image {0} is not where it was ({1}).", row.file_name, row.path),
            "Restore it, or re-link the moved folder.",
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


@dataclass(frozen=True)
class FindPlan:
    """What the engine is asked with; `skip`: photos that need no search."""

    category: CategoryRow
    identity: IdentityRow | None
    references: tuple[Reference, ...]
    negatives: tuple[Reference, ...]
    skip: frozenset[int]


def make_plan(project: Project, options: FindOptions) -> FindPlan:
    """References, negatives, and the photos that need no search: shown by a reference, denied, or known to be without."""
    known = project.queries.identity(options.identity) if options.identity else None
    given = [_reference(project, spec) for spec in options.references]
    category = _category(project, options, known)
    identity = _identity(project, options, category)
    confirmed = _confirmed_references(project, identity)
    references = [*given, *confirmed[-MAX_REFERENCES:]]
    if not references and not by_name(options):
        raise UserInputError("There is nothing to search for.", "Box or click the thing on one photo first.")
    excluded = [_reference(project, spec) for spec in options.excludes]
    denied = _denials(project, identity)
    negatives = [*excluded, *denied[-MAX_NEGATIVES:]]
    skip = {image.id for image, _ in [*given, *confirmed, *excluded]}
    if identity is not None:
        skip |= set(project.queries.rejected_images(identity.id))
    skip |= {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    return FindPlan(
        category, identity, tuple(r for _, r in references), tuple(r for _, r in negatives), frozenset(skip)
    )


def by_name(options: FindOptions) -> bool:
    """Whether a kind of thing is looked for by its word, without any photo of it."""
    return bool(options.name.strip()) and not options.references and not options.identity


def confirm_references(project: Project, options: FindOptions, plan: FindPlan) -> None:
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
        project.operations.add_instances([new], name=said("Confirm {name}", name=plan.identity.name))
