"""Several instances of a category in one photo: how many there may be, and which places are taken."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.api import MAX_INSTANCES
from engine.domain.errors import UserInputError
from engine.domain.keypoints import InstanceKeypoints
from engine.domain.texts import said

if TYPE_CHECKING:
    from projects.store.queries import Queries
    from projects.store.rows import CategoryRow

AUTO, ONE = "auto", "one"
LEARNED_LEAST = 10
"""Where labels show several in a photo, at least so many are looked for in others; twice the most that are labelled, if more."""


def checked_instances(text: str) -> str:
    """ "auto", "one" or a number from 2 to MAX_INSTANCES as it is stored; UserInputError for anything else."""
    word = str(text).strip().lower()
    if word in (AUTO, ONE):
        return word
    if word.isascii() and word.isdigit() and 1 <= int(word) <= MAX_INSTANCES:
        return ONE if int(word) == 1 else str(int(word))
    if word.isascii() and word.isdigit() and int(word) > MAX_INSTANCES:
        raise UserInputError(
            said("{0} instances in a photo are more than are proposed.", word[:12]),
            said("Use at most {0}; crop or tile photos of crowds.", MAX_INSTANCES),
        )
    raise UserInputError(
        said("{0} does not say how many instances a photo may hold.", f"{word[:40]!r}"),
        said("Use auto, one, or a number up to {0}.", MAX_INSTANCES),
    )


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


def points_to_json(rows: Iterable[tuple[int, float | None, float | None, int]]) -> list[list[float]]:
    """(definition id, x, y, visibility) of the placed keypoints of a rejected proposal, as its decision keeps them."""
    return [[d, round(x, 2), round(y, 2), v] for d, x, y, v in rows if x is not None and y is not None and v]


def keypoints_from_json(points: list[list[float]], definition_ids: tuple[int, ...]) -> InstanceKeypoints:
    """`[K, 2]` in the order of `definition_ids` from `points_to_json`; retired keypoints are left out."""
    xy: NDArray[np.float64] = np.full((len(definition_ids), 2), np.nan)
    visibility = np.zeros(len(definition_ids), dtype=np.int64)
    index = {definition_id: i for i, definition_id in enumerate(definition_ids)}
    for definition_id, x, y, seen in points:
        i = index.get(int(definition_id))
        if i is not None:
            xy[i], visibility[i] = (x, y), int(seen)
    return InstanceKeypoints(xy, visibility)


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
        for proposal in queries.proposals(image_ids=wanted, category_id=category.id, kind="keypoints"):
            if proposal.instance_id is None:
                rows = ((k.definition_id, k.x, k.y, k.visibility) for k in proposal.keypoints)
                found.setdefault(proposal.image_id, []).append(keypoints_from_json(points_to_json(rows), ids))
    return {image_id: tuple(places) for image_id, places in found.items()}


def rejected_points(detail: str) -> list[list[float]]:
    """The points that the decision about a whole proposal keeps ([] where it keeps none: a mask, or an older version)."""
    points = json.loads(detail).get("points")
    return points if isinstance(points, list) else []
