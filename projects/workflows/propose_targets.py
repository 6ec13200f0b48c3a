"""What a sweep asks about each photo: for new instances of a category, and for what its labelled ones lack."""

from __future__ import annotations

from dataclasses import dataclass

from engine.api import Target
from engine.domain.geometry import expand_box
from projects.project import Project
from projects.several import taken_places
from projects.store.rows import CategoryRow, ImageRow, InstanceRow


@dataclass(frozen=True)
class Ask:
    """One question about a photo; `completes`: the instance that lacks keypoints (None: it looks for new ones)."""

    target: Target
    completes: int | None = None


def asks_about(
    project: Project, category: CategoryRow, images: dict[int, ImageRow], *, limit: int, quick: bool, lacking: bool,
    other_kinds: bool,
) -> dict[int, tuple[Ask, ...]]:  # fmt: skip
    """Photos that may hold (further) instances (whole), and instances that lack keypoints (inside their box); in the order of
    `images`, without those about which there is nothing to ask.

    Args:
        limit: instances that a photo may hold; quick: a first look, which leaves what waits alone; lacking, other_kinds: see
            `ProposeOptions.include_labelled` and `other_kinds`.
    """
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    if quick:
        # A first look is coarser than what may be waiting already.
        nothing |= project.queries.images_with_proposals(category.id)
    own: dict[int, list[InstanceRow]] = {}
    for instance in project.queries.iter_instances(category_id=category.id):
        own.setdefault(instance.image_id, []).append(instance)
    if not other_kinds:
        others = project.queries.images_of_other_categories(category.id)
        nothing |= set() if others & own.keys() else others
    said = project.queries.exhaustive(category_id=category.id)
    complete = {image_id for image_id, categories in said.items() if categories[category.id]}
    taken = taken_places(project.queries, category, images) if limit > 1 else {}
    found: dict[int, tuple[Ask, ...]] = {}
    for image_id, image in images.items():
        if image_id in nothing:
            continue
        here, asks = own.get(image_id, []), []
        if not here or (limit > len(here) and image_id not in complete and not quick):
            places = taken.get(image_id, ())
            asks.append(Ask(Target(image.image_input, taken=places, limit=max(1, limit - len(here)))))
        partial = [i for i in here if i.missing(category.definition_ids)]
        if partial and lacking and not quick:
            # Where a photo holds one, the first is completed now and another that was labelled all the same next time.
            asks += [Ask(_target_inside(image, i, category), i.id) for i in (partial if limit > 1 else partial[:1])]
        if asks:
            found[image_id] = tuple(asks)
    return found


def _target_inside(image: ImageRow, instance: InstanceRow, category: CategoryRow) -> Target:
    keypoints = instance.aligned(category.definition_ids)
    if keypoints.box is None and int(keypoints.labelled.sum()) < 2:
        return Target(image.image_input)
    return Target(image.image_input, box=expand_box(keypoints.box_or_extent(0.5), margin=0.1))
