"""Several instances of a category in one photo: how many a setting allows, and how rejected places are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.api import MAX_INSTANCES
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.domain.texts import said

AUTO, ONE = "auto", "one"


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


def rejected_points(detail: str) -> list[list[float]]:
    """The points that the decision about a whole proposal keeps ([] where it keeps none: a mask, or an older version)."""
    points = json.loads(detail).get("points")
    return points if isinstance(points, list) else []
