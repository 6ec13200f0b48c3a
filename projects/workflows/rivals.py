"""Left and right individuals: two categories whose names differ only in their side compete for the same places.

"left hand" and "right hand" (L/R too) are told apart by which labels explain a place better, one of them per place; what is
labelled as one is no place for the other. Keypoints correspond by name, sides in their names exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.projects.formats.schemas import guess_pairs
from kinmark.projects.places import taken_places
from kinmark.projects.store.queries import Queries
from kinmark.projects.store.rows import CategoryRow


def rival_of(queries: Queries, category: CategoryRow) -> CategoryRow | None:
    """The category of the other side, where it has an exemplar and keypoints of the same names."""
    others = [c for c in queries.categories() if c.definitions]
    names = [c.name for c in others]
    if category.name not in names:
        return None
    own = names.index(category.name)
    for pair in guess_pairs(names):
        if own in pair:
            rival = others[pair[0] if pair[1] == own else pair[1]]
            common = set(rival_schema(category, rival).names) & set(category.schema.names)
            return rival if common and queries.exemplar_ids(rival.id, limit=1) else None
    return None


def rival_schema(category: CategoryRow, rival: CategoryRow) -> KeypointSchema:
    """The rival's schema with its keypoints named as those of the category that they correspond to."""
    own, schema = category.schema.names, rival.schema
    names = list(schema.names)
    strange = [k for k, name in enumerate(names) if name not in own]
    free = [name for name in own if name not in names]
    together = [*free, *(names[k] for k in strange)]
    for a, b in guess_pairs(together):
        low, high = min(a, b), max(a, b)
        if low < len(free) <= high:
            names[strange[high - len(free)]] = together[low]
    return KeypointSchema(tuple(names), schema.edges, schema.pairs)


def rival_places(
    queries: Queries, category: CategoryRow, rival: CategoryRow, image_ids: Iterable[int]
) -> dict[int, tuple[InstanceKeypoints, ...]]:
    """{image id: labelled instances of the rival} in the order of the category's schema."""
    names = rival_schema(category, rival).names
    order = [names.index(name) if name in names else -1 for name in category.schema.names]
    found = taken_places(queries, rival, image_ids, rejected=False)
    return {image_id: tuple(_reordered(one, order) for one in places) for image_id, places in found.items()}


def _reordered(instance: InstanceKeypoints, order: list[int]) -> InstanceKeypoints:
    xy = np.vstack([instance.xy_image, np.full((1, 2), np.nan)])[order]
    visibility = np.append(instance.visibility, 0)[order]
    return InstanceKeypoints(xy, visibility, instance.box)
