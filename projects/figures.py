"""The numbers of the statistics page, from the project's own record. No Qt; runs in the pool."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from kinmark.engine.api import MINIMUM_DECISIONS
from kinmark.engine.domain.runspec import RunSpec

BINS = 10
HISTORY = 200_000
LABEL_STEPS = (1, 2, 3, 5, 10, 20, 50)
"""Numbers of labels from which a column of the learning curve counts; each ends where the next begins."""
SHOWN_WRONG = 12


@dataclass(frozen=True)
class WrongProposal:
    """A proposal that a person rejected or moved: where it lay (xy_image), how long the instance's longer side is."""

    image_id: int
    keypoint: str
    x: float
    y: float
    side_px: float
    confidence: float


@dataclass(frozen=True)
class KeypointCount:
    """How often a keypoint was labelled, waits as a proposal, or is lacking on accepted instances."""

    name: str
    visible: int
    hidden: int
    absent: int
    pending: int
    lacking: int


@dataclass(frozen=True)
class Figures:
    """Counts and curves.

    Attributes:
        per_day: (ISO day, steps) of the last days with work.
        per_keypoint: (name, share right, decisions), worst first.
        reliability: per confidence bin (mean confidence, share right, decisions).
        actions_per_keypoint: steps made by a person (placing, dragging, accepting, rejecting ...) per keypoint that is in
            the project now, from the undo history; None without keypoints.
        wrong: the last proposals that were not right, newest first.
        per_photo: (labelled instances in a photo, photos with so many), of the category or of the one with the most.
        exhaustive, not_exhaustive: photos of which a person said that all instances are labelled, or not all.
        learning: (labelled photos the proposals were made from, as "1" or "3-4", share right at first sight, decisions).
    """

    photos: int
    unseen: int
    pending: int
    done: int
    nothing: int
    instances: int
    keypoints: int
    decisions: int
    accepted: int
    actions_per_keypoint: float | None
    per_day: tuple[tuple[str, int], ...]
    per_keypoint: tuple[tuple[str, float, int], ...]
    reliability: tuple[tuple[float, float, int], ...]
    wrong: tuple[WrongProposal, ...] = ()
    partly: int = 0
    keypoint_counts: tuple[KeypointCount, ...] = ()
    learning: tuple[tuple[str, float, int], ...] = ()
    per_photo: tuple[tuple[int, int], ...] = ()
    exhaustive: int = 0
    not_exhaustive: int = 0


def figures_of(project: Any, category_id: int | None = None) -> Figures:
    """Read everything the page shows."""
    queries = project.queries
    counts = queries.counts()
    decisions = [
        d for d in queries.decisions(category_id=category_id, target="keypoints") if d.definition_id is not None
    ]
    names = {d.id: d.name for c in queries.categories() for d in (*c.definitions, *c.retired)}
    accepted = [d for d in decisions if d.kind == "accepted"]
    history = queries.history(limit=HISTORY)
    days = Counter(step.created_at[:10] for step in history if not step.undone and step.created_at)
    per_day = tuple(sorted(days.items())[-14:])
    by_part: dict[str, list[bool]] = {}
    for decision in decisions:
        by_part.setdefault(names.get(decision.definition_id or 0, "?"), []).append(decision.correct)
    per_keypoint = tuple(
        sorted(((n, sum(v) / len(v), len(v)) for n, v in by_part.items()), key=lambda row: row[1])[:24]
    )
    return Figures(
        counts.all,
        counts.unseen,
        counts.pending,
        counts.done,
        counts.nothing,
        counts.instances,
        counts.keypoints,
        len(decisions),
        len(accepted),
        queries.count_actions() / counts.keypoints if counts.keypoints else None,
        per_day,
        per_keypoint,
        _reliability(decisions) if len(decisions) >= MINIMUM_DECISIONS else (),
        _wrong(decisions, names),
        counts.partly,
        _keypoint_counts(queries, category_id),
        _learning(queries, decisions),
        _per_photo(queries, category_id),
        *_said(queries, category_id),
    )


def _per_photo(queries: Any, category_id: int | None) -> tuple[tuple[int, int], ...]:
    """Of the category; of all, that which has the most instances in one photo."""
    ids = [category_id] if category_id is not None else [c.id for c in queries.categories()]
    counts = [queries.instances_per_photo(id_) for id_ in ids]
    return tuple(sorted(max(counts, key=lambda own: max(own, default=0), default={}).items()))


def _said(queries: Any, category_id: int | None) -> tuple[int, int]:
    """Photos where all are labelled, and where some are not, as a person said."""
    if category_id is None:
        counts = queries.counts()
        return counts.exhaustive, counts.not_exhaustive
    said = [own[category_id] for own in queries.exhaustive(category_id=category_id).values()]
    return sum(said), len(said) - sum(said)


def _learning(queries: Any, decisions: list[Any]) -> tuple[tuple[str, float, int], ...]:
    """How many proposals were right as they stood, by the number of labels that they were made from."""
    runs = {run_id: queries.run(run_id) for run_id in {d.run_id for d in decisions} if run_id is not None}
    labels = {run_id: RunSpec.from_json(run.spec).labels for run_id, run in runs.items() if run is not None}
    columns: dict[int, list[bool]] = {}
    for decision in decisions:
        count = labels.get(decision.run_id, 0)
        if count:
            columns.setdefault(max(n for n in LABEL_STEPS if n <= count), []).append(decision.correct)
    return tuple((_step_name(n), sum(own) / len(own), len(own)) for n, own in sorted(columns.items()))


def _step_name(start: int) -> str:
    later = [n for n in LABEL_STEPS if n > start]
    if not later:
        return f"{start}+"
    return str(start) if later[0] == start + 1 else f"{start}-{later[0] - 1}"


def _keypoint_counts(queries: Any, category_id: int | None) -> tuple[KeypointCount, ...]:
    """In the order of the schemas; with several categories the name of each stands before its keypoints."""
    placed, pending = queries.keypoint_counts(category_id), queries.pending_keypoint_counts()
    instances, found = queries.instance_counts(), []
    categories = [c for c in queries.categories() if category_id in (None, c.id)]
    for category in categories:
        for definition in category.definitions:
            visible, hidden, absent = placed.get(definition.id, (0, 0, 0))
            lacking = max(0, instances.get(category.id, 0) - visible - hidden - absent)
            name = definition.name if len(categories) == 1 else f"{category.name}: {definition.name}"
            found.append(KeypointCount(name, visible, hidden, absent, pending.get(definition.id, 0), lacking))
    return tuple(found)


def _wrong(decisions: list[Any], names: dict[int, str]) -> tuple[WrongProposal, ...]:
    """The newest that were rejected or moved, one per photo and keypoint."""
    found: dict[tuple[int, str], WrongProposal] = {}
    for d in reversed(decisions):
        if not d.correct and d.x is not None and d.y is not None and d.visibility:
            name = names.get(d.definition_id, "?")
            wrong = WrongProposal(d.image_id, name, d.x, d.y, d.side_px or 0.0, d.confidence or 0.0)
            found.setdefault((d.image_id, name), wrong)
        if len(found) == SHOWN_WRONG:
            break
    return tuple(found.values())


def _reliability(decisions: list[Any]) -> tuple[tuple[float, float, int], ...]:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for decision in decisions:
        if decision.confidence is not None:
            place = min(int(decision.confidence * BINS), BINS - 1)
            bins[place].append((decision.confidence, decision.correct))
    return tuple((sum(c for c, _ in b) / len(b), sum(r for _, r in b) / len(b), len(b)) for b in bins if b)
