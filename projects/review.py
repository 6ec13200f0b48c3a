"""The review queue: which photo a person should look at next.

`review_order` sorts once; the window walks that order (`desktop/session/queue.py`).

Strategies:
    uncertain     the least sure pending keypoint first; photos on which the thing was hardly found at all come last
    sure          the surest first (to confirm many quickly)
    name          as in the folder
    informative   what helps the next proposals most: doubtful and unlike what is labelled or already chosen
    disagreement  keypoints on which the exemplars disagree first
    sides         where left and right look swapped first
    missing       accepted instances that lack a keypoint
    check         accepted labels that the data check found suspicious (its scores are given), worst first
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.projects.store.queries import ImageFilter, Queries

STRATEGIES = ("uncertain", "sure", "name", "informative", "disagreement", "sides", "missing", "check")
HARDLY_FOUND = 0.25
"""Mean confidence of a proposal below which the thing is as likely not in the photo at all. Where kinds of photos are mixed
(sample collection) 19 of 100 of the first dozen in plain order of doubt show it, 38 when those below this come last."""
CHOSEN_GREEDILY = 100
"""Photos that `informative` picks one by one; the rest follows by doubt (a person sees a few dozen at a time)."""


@dataclass(frozen=True)
class QueueOptions:
    """What narrows or informs an order.

    Attributes:
        category_id, definition_id: only this category / this keypoint (`missing` needs the keypoint).
        vectors: {image id: pooled vector `[D]`, L2-normalised}, for `informative`; without it nearness in the folder
            listing stands in (frames of one video are alike).
        scores: {image id: suspicion}, for `check`.
    """

    category_id: int | None = None
    definition_id: int | None = None
    vectors: Mapping[int, NDArray[np.float32]] | None = None
    scores: Mapping[int, float] | None = None


def review_order(queries: Queries, strategy: str, options: QueueOptions | None = None) -> tuple[int, ...]:
    """Image ids in the order of `strategy`; UserInputError for an unknown one.

    `uncertain`, `sure`, `name` and `missing` cost milliseconds at 100 000 photos; the others read all pending evidence and
    belong on a worker.
    """
    options = options or QueueOptions()
    if strategy in ("uncertain", "sure", "name"):
        return _by_confidence(queries, strategy, options)
    if strategy == "missing":
        if options.definition_id is None:
            raise UserInputError("Which keypoint is missing was not said.", "Choose a keypoint.")
        return queries.image_ids(ImageFilter(missing_definition_id=options.definition_id))
    if strategy == "check":
        scores = options.scores or {}
        return tuple(sorted(scores, key=lambda id_: (-scores[id_], id_)))
    if strategy in ("disagreement", "sides"):
        return queries.pending_by_signal(strategy, category_id=options.category_id)
    if strategy == "informative":
        return _informative(queries, options)
    raise UserInputError(
        said("There is no queue order {0}.", f"{strategy!r}"), said("Use one of {0}.", ", ".join(STRATEGIES))
    )


def _by_confidence(queries: Queries, strategy: str, options: QueueOptions) -> tuple[int, ...]:
    if options.definition_id is not None:
        rows = queries.pending_confidences(definition_id=options.definition_id)
    elif options.category_id is not None:
        rows = queries.pending_confidences(category_id=options.category_id)
    else:
        ids = queries.image_ids(ImageFilter(state="pending"), order="name" if strategy == "name" else "confidence")
        if strategy == "uncertain":
            last = queries.hardly_found(HARDLY_FOUND)
            there = set(last)
            return (*(id_ for id_ in ids if id_ not in there), *last)
        return ids[::-1] if strategy == "sure" else ids
    if strategy == "name":
        return queries.image_ids(ImageFilter(ids=tuple(rows))) if len(rows) < 500 else tuple(sorted(rows))
    return tuple(sorted(rows, key=lambda id_: (rows[id_] if strategy == "uncertain" else -rows[id_], id_)))


def _informative(queries: Queries, options: QueueOptions) -> tuple[int, ...]:
    """Greedy: doubt times distance to the nearest labelled or already chosen photo (feature cover)."""
    lowest = queries.pending_confidences(category_id=options.category_id)
    if not lowest:
        return ()
    ids = np.array(sorted(lowest), dtype=np.int64)
    doubt = 1.0 - np.array([lowest[int(id_)] for id_ in ids])
    labelled = queries.image_ids(ImageFilter(has_instances=True))
    space = _positions(queries, options.vectors, ids, labelled)
    nearest = space.to_labelled()
    order: list[int] = []
    left = np.ones(len(ids), dtype=bool)
    for _ in range(min(CHOSEN_GREEDILY, len(ids))):
        gain = np.where(left, (0.1 + doubt) * nearest, -1.0)
        best = int(np.argmax(gain))
        order.append(best)
        left[best] = False
        nearest = np.minimum(nearest, space.to(best))
    rest = np.flatnonzero(left)
    order += [int(i) for i in rest[np.argsort(-doubt[rest], kind="stable")]]
    return tuple(int(ids[i]) for i in order)


class _VectorSpace:
    """Distances (1 - cosine) between pending and labelled photos by their descriptors `[N, D]`, `[M, D]`."""

    def __init__(self, pending: NDArray[np.float32], labelled: NDArray[np.float32]) -> None:
        self.pending, self.labelled = pending, labelled

    def to_labelled(self) -> NDArray[np.float64]:
        """`[N]` distance to the nearest labelled photo (1 without any)."""
        if not len(self.labelled):
            return np.ones(len(self.pending))
        return np.asarray(1.0 - (self.pending @ self.labelled.T).max(axis=1), dtype=np.float64)

    def to(self, index: int) -> NDArray[np.float64]:
        """`[N]` distance to one pending photo."""
        return np.asarray(1.0 - self.pending @ self.pending[index], dtype=np.float64)


class _ListSpace:
    """Nearness in the folder listing: places `[N]`, `[M]`; 20 places apart count as unlike."""

    REACH = 20.0

    def __init__(self, pending: NDArray[np.int64], labelled: NDArray[np.int64]) -> None:
        self.pending, self.labelled = pending, np.sort(labelled)

    def to_labelled(self) -> NDArray[np.float64]:
        if not len(self.labelled):
            return np.ones(len(self.pending))
        right = np.clip(np.searchsorted(self.labelled, self.pending), 0, len(self.labelled) - 1)
        left = np.maximum(right - 1, 0)
        gap = np.minimum(np.abs(self.labelled[right] - self.pending), np.abs(self.labelled[left] - self.pending))
        return np.minimum(gap / self.REACH, 1.0)

    def to(self, index: int) -> NDArray[np.float64]:
        return np.minimum(np.abs(self.pending - self.pending[index]) / self.REACH, 1.0)


def _positions(
    queries: Queries, vectors: Mapping[int, NDArray[np.float32]] | None, ids: NDArray[np.int64], labelled: Sequence[int]
) -> _VectorSpace | _ListSpace:
    if vectors is not None and all(int(id_) in vectors for id_ in ids):
        known = [vectors[id_] for id_ in labelled if id_ in vectors]
        width = len(next(iter(vectors.values())))
        stacked = np.stack(known) if known else np.zeros((0, width), dtype=np.float32)
        return _VectorSpace(np.stack([vectors[int(id_)] for id_ in ids]), stacked)
    place = {id_: i for i, id_ in enumerate(queries.image_ids())}
    return _ListSpace(
        np.array([place[int(id_)] for id_ in ids], dtype=np.int64),
        np.array([place[id_] for id_ in labelled], dtype=np.int64),
    )
