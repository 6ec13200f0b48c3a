"""What one photo holds, as the window shows it: accepted rows and the proposals that complete them, side by side.

Pure functions on frozen rows; no Qt, no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kinmark.desktop.canvas.content import CanvasContent, InstanceContent
from kinmark.desktop.states import PointState
from kinmark.engine.domain.geometry import Box, box_of_points, expand_box
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.proposals import Peak, SimilarityMap
from kinmark.projects.store.inputs import InstancePart
from kinmark.projects.store.rows import (
    CategoryRow,
    IdentityRow,
    ImageRow,
    InstanceRow,
    KeypointProposalRow,
    KeypointRow,
    ProposalRow,
)


@dataclass(frozen=True)
class ShownInstance:
    """One object of the shown photo.

    Attributes:
        key: "i<instance id>", or "p<proposal id>" while nothing of it is accepted.
        number: position in the photo, 0-based.
        category: its category; identity: its name or "".
        instance: the accepted part, or None; proposals: pending parts.
        accepted, pending: per definition id.
    """

    key: str
    number: int
    category: CategoryRow
    identity: str
    instance: InstanceRow | None
    proposals: tuple[ProposalRow, ...]
    accepted: dict[int, KeypointRow]
    pending: dict[int, KeypointProposalRow]

    @property
    def definition_ids(self) -> tuple[int, ...]:
        """Active keypoints in display order."""
        return self.category.definition_ids

    def keypoint(self, index: int) -> KeypointRow | None:
        """The accepted keypoint at a schema index."""
        return self.accepted.get(self.definition_ids[index])

    def proposal(self, index: int) -> KeypointProposalRow | None:
        """The pending keypoint at a schema index."""
        return self.pending.get(self.definition_ids[index])

    def state(self, index: int, doubt_below: float) -> PointState:
        """Where a keypoint stands."""
        row = self.keypoint(index)
        if row is not None:
            if row.visibility == Visibility.ABSENT:
                return PointState.ABSENT
            return PointState.ACCEPTED if row.origin == "proposal" else PointState.HUMAN
        proposal = self.proposal(index)
        if proposal is None:
            return PointState.EMPTY
        return PointState.DOUBTFUL if proposal.confidence < doubt_below else PointState.PENDING

    @property
    def mask_proposal(self) -> ProposalRow | None:
        """The pending mask, if any."""
        return next((p for p in self.proposals if p.mask is not None), None)

    @property
    def lacks(self) -> int:
        """Keypoints that are neither placed (or said to be absent) nor proposed."""
        return sum(id_ not in self.accepted and id_ not in self.pending for id_ in self.definition_ids)

    @property
    def expected_precision(self) -> float:
        """Share of the pending keypoints that should be right if they are taken as they stand: confidence means just that."""
        sure = [row.confidence for row in self.pending.values()]
        return sum(sure) / len(sure) if sure else 0.0

    @property
    def has_pending(self) -> bool:
        """Whether anything of it waits for a decision."""
        return bool(self.pending) or self.mask_proposal is not None

    @property
    def sure(self) -> float | None:
        """The confidence of an instance of which nothing is accepted yet; None of others."""
        if self.instance is not None or not self.proposals:
            return None
        return max(p.confidence for p in self.proposals)

    @property
    def part(self) -> InstancePart:
        """For operations that regroup keypoints."""
        return InstancePart(
            self.instance.id if self.instance is not None else None, tuple(p.id for p in self.proposals)
        )

    @property
    def sides_swapped(self) -> float:
        """How likely the run thought left and right to be exchanged (0..1)."""
        return max((float(p.extra.get("sides_swapped", 0.0) or 0.0) for p in self.proposals), default=0.0)

    @property
    def box(self) -> Box | None:
        """The accepted box, else the proposed one of a mask."""
        if self.instance is not None and self.instance.box is not None:
            return self.instance.box
        if self.instance is None and self.mask_proposal is not None:
            return self.mask_proposal.box
        return None

    @property
    def extent(self) -> Box | None:
        """Box, mask box or extent of all its points, whichever exists first."""
        if self.box is not None:
            return self.box
        if self.instance is not None and self.instance.mask is not None:
            return self.instance.mask.rle.box
        rows: list[KeypointRow | KeypointProposalRow] = [*self.accepted.values(), *self.pending.values()]
        points = [(r.x, r.y) for r in rows if r.x is not None and r.y is not None]
        if not points:
            return next((p.box for p in self.proposals if p.box is not None), None)
        return expand_box(box_of_points(points), margin=0.1)


def shown_instances(
    *,
    categories: Sequence[CategoryRow],
    identities: Iterable[IdentityRow],
    instances: Sequence[InstanceRow],
    proposals: Sequence[ProposalRow],
) -> tuple[ShownInstance, ...]:
    """Accepted instances first (with the proposals that complete them), then those only proposed."""
    by_id = {category.id: category for category in categories}
    names = {identity.id: identity.name for identity in identities}
    known = {instance.id for instance in instances}
    result: list[ShownInstance] = []
    for instance in instances:
        category = by_id.get(instance.category_id)
        if category is not None:
            attached = tuple(p for p in proposals if p.instance_id == instance.id)
            result.append(_shown(f"i{instance.id}", len(result), category, names, instance, attached))
    for proposal in proposals:
        category = by_id.get(proposal.category_id)
        if category is not None and proposal.here and proposal.instance_id not in known:
            result.append(_shown(f"p{proposal.id}", len(result), category, names, None, (proposal,)))
    return tuple(result)


def _shown(
    key: str,
    number: int,
    category: CategoryRow,
    names: dict[int, str],
    instance: InstanceRow | None,
    proposals: tuple[ProposalRow, ...],
) -> ShownInstance:
    accepted = {k.definition_id: k for k in instance.keypoints} if instance else {}
    pending = {k.definition_id: k for p in proposals for k in p.keypoints if k.definition_id not in accepted}
    identity_id = instance.identity_id if instance else proposals[0].identity_id
    return ShownInstance(
        key, number, category, names.get(identity_id or -1, ""), instance, proposals, accepted, pending
    )


def sides_of(schema: KeypointSchema) -> tuple[str, ...]:
    """ "l" and "r" for the members of left/right pairs, "" for the rest."""
    sides = [""] * len(schema)
    for left, right in schema.pairs:
        sides[left], sides[right] = "l", "r"
    return tuple(sides)


def instance_content(shown: ShownInstance, doubt_below: float) -> InstanceContent:
    """For the canvas."""
    schema = shown.category.schema
    count = len(schema)
    xy = np.full((count, 2), np.nan)
    visibility = np.zeros(count, dtype=np.int64)
    confidence = np.full(count, np.nan)
    states = []
    for index in range(count):
        states.append(shown.state(index, doubt_below))
        row: KeypointRow | KeypointProposalRow | None = shown.keypoint(index) or shown.proposal(index)
        if row is None:
            continue
        visibility[index] = row.visibility
        if row.confidence is not None:
            confidence[index] = row.confidence
        if row.x is not None and row.y is not None:
            xy[index] = row.x, row.y
    mask: MaskRLE | None = None
    if shown.instance is not None and shown.instance.mask is not None:
        mask = shown.instance.mask.rle
    elif shown.mask_proposal is not None:
        mask = shown.mask_proposal.mask
    return InstanceContent(
        key=shown.key,
        title=instance_title(shown),
        names=schema.names,
        xy_image=xy,
        states=tuple(states),
        visibility=visibility,
        confidence=confidence,
        edges=schema.edges,
        sides=sides_of(schema),
        box=shown.box,
        mask=mask,
        mask_pending=shown.mask_proposal is not None,
        sure=shown.sure,
        number=shown.number,
        colours=tuple(d.colour for d in shown.category.definitions),
    )


def instance_title(shown: ShownInstance) -> str:
    """ "1  otter" or "1  otter “Pip”"."""
    name = f" “{shown.identity}”" if shown.identity else ""
    return f"{shown.number + 1}  {shown.category.name}{name}"


def canvas_content(
    image: ImageRow | None,
    shown: Sequence[ShownInstance],
    *,
    selected: str | None,
    focused: int | None,
    doubt_below: float,
    heat: SimilarityMap | None = None,
    marked: frozenset[int] = frozenset(),
) -> CanvasContent:
    """Everything the canvas draws over `image`."""
    if image is None:
        return CanvasContent()
    contents = tuple(instance_content(s, doubt_below) for s in shown)
    peaks: tuple[Peak, ...] = ()
    current = next((s for s in shown if s.key == selected), None)
    if current is not None and focused is not None and focused < len(current.definition_ids):
        row = current.proposal(focused)
        if row is not None:
            peaks = tuple(Peak(p.x, p.y, p.score) for p in row.peaks[:3])
        elif heat is not None:
            peaks = heat.peaks[:3]
    return CanvasContent(image.size_wh, contents, selected, focused, heat, peaks, marked=marked)
