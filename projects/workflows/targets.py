"""Which photos a sweep asks about: whole ones for new instances, boxes about instances that lack keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kinmark.engine.api import FIRST_LOOK, Target
from kinmark.engine.domain.geometry import expand_box
from kinmark.projects.places import taken_places
from kinmark.projects.project import Project
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.store.rows import CategoryRow, ImageRow, InstanceRow
from kinmark.projects.workflows.rivals import rival_of, rival_places

if TYPE_CHECKING:
    from kinmark.projects.workflows.propose_options import ProposeOptions


@dataclass(frozen=True)
class Round:
    """Targets of different photos, and by image id which instance each completes (None: it looks for new ones)."""

    targets: tuple[Target, ...]
    completes: dict[str, int | None]

    @cached_property
    def limits(self) -> dict[str, int]:
        """By image id how many answers a target can have."""
        return {target.image.image_id: target.limit for target in self.targets}


def complete_images(project: Project, category: CategoryRow) -> tuple[str, ...]:
    """Ids of the photos of which a person said that all instances of the category are labelled."""
    said = project.queries.exhaustive(category_id=category.id)
    return tuple(str(image_id) for image_id, categories in said.items() if categories[category.id])


def rounds_of(
    project: Project, category: CategoryRow, options: ProposeOptions, limit: int, without: frozenset[int] = frozenset()
) -> tuple[Round, ...]:
    """Photos that may hold (further) instances of the category (whole), and instances that lack keypoints (inside their box).

    Every photo comes once a round, so that an answer's photo tells what it is about.
    """
    filter_ = ImageFilter(glob=options.targets_glob, ids=None)
    wanted = options.image_ids
    images = project.queries.iter_images(filter_)
    rows = {row.id: row for row in images} if wanted is None else project.queries.images_by_id(wanted)
    order = list(rows) if wanted is None else [i for i in wanted if i in rows]
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)} | without
    quick = options.settings.pipeline == FIRST_LOOK
    if quick:
        # A first look is coarser than what may be waiting already.
        nothing |= project.queries.images_with_proposals(category.id)
    own: dict[int, list[InstanceRow]] = {}
    for instance in project.queries.iter_instances(category_id=category.id):
        own.setdefault(instance.image_id, []).append(instance)
    if not options.other_kinds:
        others = project.queries.images_of_other_categories(category.id)
        nothing |= set() if others & own.keys() else others
    complete = {int(i) for i in complete_images(project, category)}
    taken = taken_places(project.queries, category, order) if limit > 1 else {}
    rival = rival_of(project.queries, category)
    for image_id, places in (rival_places(project.queries, category, rival, order) if rival else {}).items():
        taken[image_id] = (*taken.get(image_id, ()), *places)
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
        Round(tuple(target for target, _ in asks.values()), {str(i): instance for i, (_, instance) in asks.items()})
        for asks in rounds
    )


def _target_inside(image: ImageRow, instance: InstanceRow, category: CategoryRow) -> Target:
    keypoints = instance.aligned(category.definition_ids)
    if keypoints.box is None and int(keypoints.labelled.sum()) < 2:
        return Target(image.image_input)
    return Target(image.image_input, box=expand_box(keypoints.box_or_extent(0.5), margin=0.1))
