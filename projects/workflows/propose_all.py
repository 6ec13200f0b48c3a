"""A sweep over all photos: which come first, and what is said at its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kinmark.projects.project import Project
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.workflows.propose import CategoryOutcome


@dataclass(frozen=True)
class SweepOutcome:
    """What a whole sweep did: proposals stored, and (file name, reason) of photos that could not be read.

    `apart`: (category, what they look like, photos) that were not asked, most first; `apart_pending` of them keep proposals.
    """

    proposals: int
    failures: tuple[tuple[str, str], ...]
    skipped: int
    apart: tuple[tuple[str, str, int], ...] = ()
    apart_pending: int = 0


def sweep_outcome(project: Project, outcomes: Iterable[CategoryOutcome]) -> SweepOutcome:
    """The categories' outcomes taken together."""
    outcomes = tuple(outcomes)
    failed = [(failure["image_id"], failure["error"]) for outcome in outcomes for failure in outcome.failures]
    rows = project.queries.images_by_id(int(image_id) for image_id, _ in failed)
    return SweepOutcome(
        sum(outcome.proposals for outcome in outcomes),
        tuple((rows[int(id_)].file_name if int(id_) in rows else id_, error) for id_, error in failed),
        sum(len(outcome.skipped) for outcome in outcomes),
        tuple(
            sorted(((o.category, other, n) for o in outcomes for other, n in o.apart.items()), key=lambda row: -row[2])
        ),
        sum(outcome.apart_pending for outcome in outcomes),
    )


def needing_proposals(project: Project, near: int | None = None) -> tuple[int, ...]:
    """Photos for a full sweep: unseen ones first, then those with proposals, then labelled ones that lack keypoints.

    Each from the photo `near` outwards: what lies beside the photo that is looked at is probably wanted first.
    """
    place = {id_: index for index, id_ in enumerate(project.queries.image_ids())}
    centre = place.get(near, 0) if near is not None else 0
    order: list[int] = []
    for state in ("unseen", "pending", "partly", "done"):
        ids = project.queries.image_ids(ImageFilter(state=state))
        order += sorted(ids, key=lambda id_: abs(place.get(id_, centre) - centre))
    return tuple(order)
