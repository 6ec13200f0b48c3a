"""What a sweep is made from: what a person asks, and the exemplars, photos and places that the engine is asked about."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    Engine,
    Exemplar,
    ImageInput,
    ProposeRequest,
    Rival,
    Target,
)
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import SimilarityMap
from kinmark.engine.domain.texts import said
from kinmark.engine.remote import is_there
from kinmark.projects.places import instance_limit
from kinmark.projects.project import Project
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.store.rows import CategoryRow, DecisionRow, ImageRow, InstanceRow
from kinmark.projects.workflows.match_settings import settings_for
from kinmark.projects.workflows.propose_options import ProposeOptions
from kinmark.projects.workflows.rivals import rival_of, rival_schema
from kinmark.projects.workflows.targets import Round, complete_images, rounds_of

COLLECTION = 24
"""Photos that stand for the project where matching takes its statistics and settings from the collection."""
SAME_PLACE = 0.1
"""A keypoint placed so near (longer sides) to where its proposal was rejected takes the rejection back."""


@dataclass(frozen=True)
class CategoryPlan:
    """One category's work: `request` has the targets of the first round; photos with more to do come again in the next."""

    category: CategoryRow
    request: ProposeRequest
    rounds: tuple[Round, ...]
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
        if instance.image_id in images and is_there(images[instance.image_id].path)
    )


def categories_to_propose(project: Project, name: str) -> tuple[CategoryRow, ...]:
    """The named category, or all that have exemplars; UserInputError when there is nothing to propose from."""
    if name:
        category = project.queries.require_category(name)
        if not category.definitions:
            raise UserInputError(said("The category {0} has no keypoints.", name), "Add keypoints to it first.")
        if not project.queries.exemplar_instances(category.id):
            raise UserInputError(
                said("No photo with keypoints of {0} is labelled yet.", name),
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
    return spread_photos(project, (id_ for id_ in unlabelled_photos(project, glob) if id_ not in nothing))


def unlabelled_photos(project: Project, glob: str = "") -> Sequence[int]:
    """Ids of the photos without labels whose names fit."""
    return project.queries.image_ids(ImageFilter(glob=glob, has_instances=False))


def spread_photos(project: Project, image_ids: Iterable[int]) -> tuple[ImageInput, ...]:
    """At most COLLECTION of these photos, evenly spread."""
    ids = list(image_ids)
    chosen = [ids[i * len(ids) // COLLECTION] for i in range(COLLECTION)] if len(ids) > COLLECTION else ids
    rows = project.queries.images_by_id(chosen)
    return tuple(rows[id_].image_input for id_ in chosen)


def plan_category(
    project: Project, category: CategoryRow, options: ProposeOptions, without: frozenset[int] = frozenset()
) -> CategoryPlan:
    """What a category's sweep asks; UserInputError for unknown keypoints and exemplars whose photos are gone.

    `without`: image ids that are not asked for a new instance.
    """
    names = category.schema.names
    unknown = [name for name in options.only_keypoints if name not in names]
    if unknown:
        raise UserInputError(
            said("{0} has no keypoint {1}.", category.name, unknown[0]), said("It has: {0}.", ", ".join(names))
        )
    limit = instance_limit(project.queries, category, options.instances)
    rounds = rounds_of(project, category, options, limit, without)
    targets = rounds[0].targets if rounds else ()
    only = tuple(names.index(name) for name in options.only_keypoints) or None
    rival = rival_of(project.queries, category)
    rivals = (Rival(rival.name, rival_schema(category, rival), exemplars_of(project, rival)),) if rival else ()
    request = ProposeRequest(
        options.job or uuid.uuid4().hex,
        category.name,
        category.schema,
        exemplars_of(project, category),
        targets,
        options.settings,
        options.backbone,
        options.prompt,
        only_keypoints=only,
        collection=collection_of(project, category, options.targets_glob),
        rivals=rivals,
        complete=complete_images(project, category),
    )
    if not request.exemplars:
        raise UserInputError(
            said("The labelled photos of {0} are not where they were.", category.name),
            "Re-link the moved folder (kinmark relink), then propose.",
        )
    return CategoryPlan(category, request, rounds, limit)


def keypoint_map(
    project: Project,
    engine: Engine,
    image_id: int,
    category: str,
    keypoint: str,
    *,
    backbone: str = DEFAULT_BACKBONE,
    cancel: CancelToken | None = None,
) -> SimilarityMap:
    """What speaks for a keypoint all over a photo, from all labels of the category and with its stored settings.

    Raises:
        UserInputError: unknown category or keypoint, no label to compare with.
    """
    [row] = categories_to_propose(project, category)
    options = ProposeOptions(category, backbone, image_ids=(image_id,), only_keypoints=(keypoint,))
    request = plan_category(project, row, options).request
    images = project.queries.images_by_id([image_id])
    if image_id not in images:
        raise UserInputError("This photo is not in the project any more.", "Choose another one.")
    request = replace(request, targets=(Target(images[image_id].image_input),))
    choice = settings_for(project, engine, request, progress=None, cancel=cancel)
    return engine.keypoint_map(replace(request, settings=choice.settings), keypoint, cancel=cancel)
