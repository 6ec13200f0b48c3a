"""What the queries give back: frozen rows that may cross threads. Coordinates are xy_image."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.api import ImageInput
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.masks import MaskRLE


@dataclass(frozen=True)
class ImageRow:
    """One photo of the project. `file_name` is POSIX relative to the image root; `path` is where it lies now.

    `state`: unseen, pending, partly (an instance lacks keypoints that nobody looked at), done, nothing.
    `file_state`: ok, changed (differs from what was labelled), missing.
    `width`, `height` are those of the oriented image. `min_confidence`: lowest pending confidence.
    `exhaustive`: 1 all instances of its categories are labelled, 0 some are not, None nobody said.
    """

    id: int
    root_id: int
    file_name: str
    path: Path
    width: int
    height: int
    orientation: int
    sha256: str
    size_bytes: int
    mtime_ns: int
    source_id: str | None
    file_state: str
    state: str
    instance_count: int
    keypoint_count: int
    mask_count: int
    pending_count: int
    min_confidence: float | None
    exhaustive: int | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """(width, height) of the oriented image."""
        return self.width, self.height

    @property
    def image_input(self) -> ImageInput:
        """For the engine; its `image_id` is our id as text."""
        return ImageInput(str(self.id), self.path, self.sha256)


@dataclass(frozen=True)
class DefinitionRow:
    """A keypoint definition; `retired` ones keep their labels but are not asked for any more."""

    id: int
    name: str
    position: int
    colour: str
    retired: bool


@dataclass(frozen=True)
class CategoryRow:
    """A category. `definitions` are the active ones in display order; edges and pairs are definition ids.

    `instances`: how many of it a photo may hold: "auto", "one" or a number (`kinmark.projects.several`).
    """

    id: int
    name: str
    supercategory: str
    colour: str
    position: int
    source_id: str | None
    extra: dict[str, Any]
    definitions: tuple[DefinitionRow, ...]
    retired: tuple[DefinitionRow, ...]
    edge_ids: tuple[tuple[int, int], ...]
    pair_ids: tuple[tuple[int, int], ...]
    instances: str = "auto"

    @cached_property
    def definition_ids(self) -> tuple[int, ...]:
        """Ids of the active keypoints, in the order of `schema.names`."""
        return tuple(definition.id for definition in self.definitions)

    @cached_property
    def schema(self) -> KeypointSchema:
        """The active keypoints with edges and pairs as indices."""
        index = {definition.id: i for i, definition in enumerate(self.definitions)}
        edges = tuple((index[a], index[b]) for a, b in self.edge_ids if a in index and b in index)
        pairs = tuple((index[a], index[b]) for a, b in self.pair_ids if a in index and b in index)
        return KeypointSchema(tuple(definition.name for definition in self.definitions), edges, pairs)

    def definition(self, name: str) -> DefinitionRow | None:
        """The active or retired definition of that name."""
        return next((d for d in (*self.definitions, *self.retired) if d.name == name), None)


@dataclass(frozen=True)
class KeypointRow:
    """One accepted keypoint; x, y None when absent. `confidence` is the proposal's when it came from one."""

    id: int
    image_id: int
    instance_id: int
    definition_id: int
    x: float | None
    y: float | None
    visibility: int
    origin: str
    run_id: int | None
    confidence: float | None


@dataclass(frozen=True)
class MaskRow:
    """The accepted mask of an instance."""

    id: int
    instance_id: int
    rle: MaskRLE
    area: int
    origin: str
    run_id: int | None


@dataclass(frozen=True)
class InstanceRow:
    """One accepted instance with its keypoints (rows exist only for keypoints that were looked at) and mask."""

    id: int
    image_id: int
    category_id: int
    identity_id: int | None
    box: Box | None
    origin: str
    run_id: int | None
    source_id: str | None
    extra: dict[str, Any]
    keypoints: tuple[KeypointRow, ...] = ()
    mask: MaskRow | None = None

    def aligned(self, definition_ids: tuple[int, ...]) -> InstanceKeypoints:
        """`[K, 2]` keypoints in the order of `definition_ids` (NaN, visibility 0 where there is none).

        The box is the stored one, else the mask's.
        """
        xy = np.full((len(definition_ids), 2), np.nan)
        visibility = np.zeros(len(definition_ids), dtype=np.int64)
        index = {definition_id: i for i, definition_id in enumerate(definition_ids)}
        for keypoint in self.keypoints:
            i = index.get(keypoint.definition_id)
            if i is not None and keypoint.x is not None and keypoint.y is not None:
                xy[i] = keypoint.x, keypoint.y
                visibility[i] = keypoint.visibility
        box = self.box if self.box is not None or self.mask is None else self.mask.rle.box
        return InstanceKeypoints(xy, visibility, box)

    def missing(self, definition_ids: tuple[int, ...]) -> tuple[int, ...]:
        """Those of `definition_ids` that nobody has looked at on this instance."""
        there = {keypoint.definition_id for keypoint in self.keypoints}
        return tuple(definition_id for definition_id in definition_ids if definition_id not in there)


@dataclass(frozen=True)
class PeakRow:
    """One further candidate position of a proposed keypoint."""

    x: float
    y: float
    score: float


@dataclass(frozen=True)
class KeypointProposalRow:
    """One pending proposed keypoint with its evidence; `peaks` best first, `source` the id of the photo it resembles most."""

    id: int
    image_id: int
    proposal_id: int
    definition_id: int
    x: float | None
    y: float | None
    visibility: int
    confidence: float
    peaks: tuple[PeakRow, ...] = ()
    signals: dict[str, float] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class WeakPlace:
    """Where a pending proposal needs a person most: its box, and the place of its least sure keypoint that is there."""

    image_id: int
    box: Box | None
    xy: tuple[float, float] | None


@dataclass(frozen=True)
class ProposalRow:
    """A pending proposed instance. `kind` keypoints or mask; `here` False: "not here" (only for the ranking)."""

    id: int
    image_id: int
    category_id: int
    run_id: int | None
    instance_id: int | None
    identity_id: int | None
    kind: str
    here: bool
    confidence: float
    score: float | None
    rank: int
    box: Box | None
    evidence: str
    extra: dict[str, Any]
    keypoints: tuple[KeypointProposalRow, ...] = ()
    mask: MaskRLE | None = None


@dataclass(frozen=True)
class RunRow:
    """Provenance of proposals: RunSpec as canonical JSON."""

    id: int
    fingerprint: str
    spec: str
    job: str
    created_at: str


@dataclass(frozen=True)
class IdentityRow:
    """The same individual in many images; `instance_count` accepted, `pending_count` proposed."""

    id: int
    name: str
    category_id: int | None
    note: str
    instance_count: int = 0
    pending_count: int = 0


@dataclass(frozen=True)
class DecisionRow:
    """One decision about a proposal; (x, y) where the run had put it.

    `final_x`, `final_y`, `final_visibility`: the accepted keypoint now (None when it was removed since).
    """

    id: int
    image_id: int
    category_id: int
    definition_id: int | None
    identity_id: int | None
    instance_id: int | None
    run_id: int | None
    kind: str
    target: str
    evidence: str
    confidence: float | None
    x: float | None
    y: float | None
    visibility: int | None
    side_px: float | None
    detail: dict[str, Any]
    final_x: float | None = None
    final_y: float | None = None
    final_visibility: int | None = None

    @property
    def correct(self) -> bool:
        """Accepted and since not moved by more than 0.1 of the box (methods/confidence.md), with the same visible/absent answer."""
        if self.kind != "accepted" or self.final_visibility is None:
            return False
        if (self.final_visibility == 0) != (self.visibility == 0):
            return False
        if self.x is None or self.y is None or self.final_x is None or self.final_y is None:
            return self.final_visibility == 0
        distance = float(np.hypot(self.final_x - self.x, self.final_y - self.y))
        return distance <= 0.1 * (self.side_px or 0.0) or distance == 0.0


@dataclass(frozen=True)
class StepRow:
    """One entry of the history list."""

    id: int
    name: str
    undone: bool
    rows: int
    created_at: str
