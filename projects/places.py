"""How many instances of a category a photo may hold, and which places in it are taken."""

from __future__ import annotations

from collections.abc import Iterable

from kinmark.engine.api import MAX_INSTANCES
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.projects.several import AUTO, ONE, checked_instances, keypoints_from_json, points_to_json
from kinmark.projects.store.queries import Queries
from kinmark.projects.store.rows import CategoryRow

LEARNED_LEAST = 10
"""Where labels show several in a photo, at least so many are looked for in others; twice the most that are labelled, if more."""


def instance_limit(queries: Queries, category: CategoryRow, instances: str = "") -> int:
    """How many instances of the category a photo may hold, labelled ones included.

    `instances`: in place of the category's own setting. "auto" learns from the labels: one, until a photo holds two.
    """
    word = checked_instances(instances or category.instances)
    if word == ONE:
        return 1
    if word != AUTO:
        return int(word)
    most = queries.most_in_a_photo(category.id)
    return 1 if most < 2 else min(MAX_INSTANCES, max(LEARNED_LEAST, 2 * most))


def taken_places(
    queries: Queries, category: CategoryRow, image_ids: Iterable[int], *, rejected: bool = True, pending: bool = False
) -> dict[int, tuple[InstanceKeypoints, ...]]:
    """{image id: instances where none is to be proposed}: the labelled ones, `[K, 2]` in the schema's order.

    Args:
        rejected: also the places of proposals that a person rejected as a whole.
        pending: also proposals that wait (a sweep replaces those of the photos that it looks at).
    """
    wanted, ids = list(dict.fromkeys(image_ids)), category.definition_ids
    found: dict[int, list[InstanceKeypoints]] = {}
    for instance in queries.instances(image_ids=wanted, category_id=category.id):
        found.setdefault(instance.image_id, []).append(instance.aligned(ids))
    if rejected:
        for image_id, points in queries.rejected_places(category.id, wanted):
            found.setdefault(image_id, []).append(keypoints_from_json(points, ids))
    if pending:
        for proposal in queries.proposals(image_id=wanted, category_id=category.id, kind="keypoints"):
            if proposal.instance_id is None:
                rows = ((k.definition_id, k.x, k.y, k.visibility) for k in proposal.keypoints)
                found.setdefault(proposal.image_id, []).append(keypoints_from_json(points_to_json(rows), ids))
    return {image_id: tuple(places) for image_id, places in found.items()}
