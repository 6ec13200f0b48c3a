"""Which photos a sweep does not ask about a category, because they clearly look like another one.

Decided from the labelled instances of all categories, before anything is placed. A photo that holds an instance of the category
is asked in any case, and so is one that a person asked for by itself; categories that somebody labelled in one photo together,
and left and right ones ("left hand", "right hand"), never stand in each other's way. Nothing is removed: what was proposed on
such a photo before stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kinmark.engine.api import CategoriesRequest, Engine, TargetFailure
from kinmark.engine.domain.progress import CancelToken
from kinmark.projects.project import Project
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.store.rows import CategoryRow
from kinmark.projects.workflows.propose_plan import exemplars_of, spread_photos, unlabelled_photos
from kinmark.projects.workflows.rivals import rival_of

if TYPE_CHECKING:
    from kinmark.projects.workflows.propose_options import ProposeOptions


def left_out_text(category: str, apart: dict[str, int], pending: int) -> str:
    """One sentence: what was not asked, and what stays; "" when nothing was left out."""
    if not apart:
        return ""
    parts = [f"{count} {'look' if count > 1 else 'looks'} like {name}" for name, count in apart.items()]
    count = sum(apart.values())
    text = f"{count} photo{'s' if count > 1 else ''} not asked for {category}: {', '.join(parts)}"
    return text + (f"; {pending} of them keep{'s' if pending == 1 else ''} what was proposed before" if pending else "")


def wants_apart(project: Project, options: ProposeOptions) -> bool:
    """Whether a sweep with these options leaves out what looks like another category: unless they say otherwise, one over
    several photos that nobody named one by one."""
    if options.apart is not None:
        return options.apart
    if not options.other_kinds or options.by_itself:
        return True
    if options.image_ids is not None:
        return False
    return not options.targets_glob or len(project.queries.image_ids(ImageFilter(glob=options.targets_glob))) > 1


def look_alikes(
    project: Project, engine: Engine, category: CategoryRow, image_ids: Iterable[int], cancel: CancelToken | None
) -> dict[int, str]:
    """The photos among these without an instance of the category that clearly look like another one: image id to that one."""
    labelled = ((c.name, exemplars_of(project, c)) for c in project.queries.categories() if c.definitions)
    known = {name: found for name, found in labelled if found}
    if category.name not in known or len(known) < 2:
        return {}
    photos_of = {name: {int(exemplar.image.image_id) for exemplar in found} for name, found in known.items()}
    beside = {name for name, photos in photos_of.items() if photos & photos_of[category.name]}
    rival = rival_of(project.queries, category)
    beside |= {rival.name} if rival is not None else set()
    own = {instance.image_id for instance in project.queries.iter_instances(category_id=category.id)}
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    rows = project.queries.images_by_id(id_ for id_ in image_ids if id_ not in own | nothing)
    request = CategoriesRequest(
        uuid.uuid4().hex,
        tuple(known.items()),
        tuple(row.image_input for row in rows.values()),
        spread_photos(project, unlabelled_photos(project)),
    )
    looks_like = {}
    for answer in engine.tell_apart(request, cancel=cancel):
        if isinstance(answer, TargetFailure):
            continue  # the sweep itself says what cannot be read
        if category.name not in answer.here and answer.likest not in beside:
            looks_like[int(answer.image_id)] = answer.likest
    return looks_like
