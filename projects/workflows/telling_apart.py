"""Which photos a sweep does not ask about a category, because they clearly look like another one.

Decided from the labelled instances of all categories, before anything is placed. A photo that holds an instance of the category
is asked in any case, and so is one that a person asked for by itself; categories that somebody labelled in one photo together,
and left and right ones ("left hand", "right hand"), never stand in each other's way. Nothing is removed: what was proposed on
such a photo before stays.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.api import CategoriesRequest, Engine, Exemplar, ImageInput, TargetFailure
from engine.domain.progress import CancelToken, Progress
from engine.remote import is_there
from projects.project import Project
from projects.store.queries.images import ImageFilter
from projects.store.rows import CategoryRow
from projects.workflows.rivals import rival_of

if TYPE_CHECKING:
    from projects.workflows.propose_options import ProposeOptions

COLLECTION = 24
"""Photos without labels, spread over the project, that stand for the collection."""


@dataclass(frozen=True)
class LeftOut:
    """`looks_like`: image id to the category it looks like; `pending`: how many of them keep proposals of before."""

    looks_like: dict[int, str] = field(default_factory=dict)
    pending: int = 0

    def counted(self, before: dict[str, int]) -> dict[str, int]:
        """Photos by what they look like, added to an earlier count, most first."""
        return dict((Counter(before) + Counter(self.looks_like.values())).most_common())


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
    project: Project, engine: Engine, category: CategoryRow, image_ids: Iterable[int] | None, progress: Progress | None,
    cancel: CancelToken | None,
) -> LeftOut:  # fmt: skip
    """The photos among these (None: all) without an instance of the category that clearly look like another one."""
    known = {name: found for name, found in _labelled(project).items() if found}
    if category.name not in known or len(known) < 2:
        return LeftOut()
    photos_of = {name: {int(exemplar.image.image_id) for exemplar in found} for name, found in known.items()}
    beside = {name for name, photos in photos_of.items() if photos & photos_of[category.name]}
    rival = rival_of(project.queries, category)
    beside |= {rival.name} if rival is not None else set()
    own = {instance.image_id for instance in project.queries.iter_instances(category_id=category.id)}
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    ids = project.queries.image_ids() if image_ids is None else image_ids
    rows = project.queries.images_by_id(id_ for id_ in ids if id_ not in own | nothing)
    request = CategoriesRequest(
        uuid.uuid4().hex, tuple(known.items()), tuple(row.image_input for row in rows.values()), _collection(project)
    )
    looks_like = {}
    for answer in engine.tell_apart(request, progress=progress, cancel=cancel):
        if isinstance(answer, TargetFailure):
            continue  # the sweep itself says what cannot be read
        if category.name not in answer.here and answer.likest not in beside:
            looks_like[int(answer.image_id)] = answer.likest
    waiting = project.queries.images_with_proposals(category.id)
    return LeftOut(looks_like, len(waiting & looks_like.keys()))


def _labelled(project: Project) -> dict[str, tuple[Exemplar, ...]]:
    """Labelled instances by category, on photos that are still there; where each lies is all that matters here."""
    found: dict[str, tuple[Exemplar, ...]] = {}
    for category in project.queries.categories():
        instances = project.queries.exemplar_instances(category.id) if category.definitions else ()
        images = project.queries.images_by_id(instance.image_id for instance in instances)
        found[category.name] = tuple(
            Exemplar(
                images[i.image_id].image_input, i.aligned(category.definition_ids), i.mask.rle if i.mask else None
            )
            for i in instances
            if i.image_id in images and is_there(images[i.image_id].path)
        )
    return found


def _collection(project: Project) -> tuple[ImageInput, ...]:
    ids = project.queries.image_ids(ImageFilter(has_instances=False))
    chosen = [ids[i * len(ids) // COLLECTION] for i in range(COLLECTION)] if len(ids) > COLLECTION else ids
    rows = project.queries.images_by_id(chosen)
    return tuple(rows[id_].image_input for id_ in chosen)
