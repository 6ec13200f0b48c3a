"""What a project has to learn from: its accepted instances as the engine sees them, and which photos stand for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from engine.api import Exemplar, ImageInput
from engine.domain.errors import UserInputError
from projects.project import Project
from projects.store.queries.images import ImageFilter
from projects.store.rows import CategoryRow, DecisionRow, ImageRow, InstanceRow

COLLECTION = 24
"""Photos that stand for the project where matching takes its statistics and settings from the collection."""
SAME_PLACE = 0.1
"""A keypoint placed so near (longer sides) to where its proposal was rejected takes the rejection back."""


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


def collection_of(project: Project, category: CategoryRow, glob: str) -> tuple[ImageInput, ...]:
    """Photos without labels whose names fit, spread over the project; none where it is known that the category is not there."""
    nothing = {image for image, kind in project.queries.nothing_here() if kind in (None, category.id)}
    ids = [id_ for id_ in project.queries.image_ids(ImageFilter(glob=glob, has_instances=False)) if id_ not in nothing]
    chosen = [ids[i * len(ids) // COLLECTION] for i in range(COLLECTION)] if len(ids) > COLLECTION else ids
    rows = project.queries.images_by_id(chosen)
    return tuple(rows[id_].image_input for id_ in chosen)
