"""What the engine proposes: unreviewed, with the evidence behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kinmark.engine.domain.geometry import Box, FloatArray
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.runspec import RunSpec


@dataclass(frozen=True)
class Peak:
    """One candidate position of a keypoint: xy_image and its similarity."""

    x: float
    y: float
    score: float


@dataclass(frozen=True)
class KeypointSignals:
    """Raw evidence of one proposed keypoint (methods/matching.md, methods/confidence.md).

    Attributes:
        peak: similarity at the best peak.
        margin: best minus second distinct peak.
        cycle: forward-backward error relative to the longer side of the source box (NaN when not computed).
        agreement: share (0..1) of exemplars whose own best peak lies within 0.1 box of the fused one.
        twin_margin: own similarity minus that of the left/right twin at the same place (NaN without a twin).
        shape: distance to where the exemplars' shape puts it, relative to the longer side of the box (NaN when unknown).
        present: probability that the keypoint is in the picture at all (NaN when not judged).
        pose: mean similarity of the whole shape at the place that was chosen (NaN when unknown).
        raw: similarity at the place without the shape's part (NaN when unknown, as all that follow).
        usual: `raw` minus what this keypoint reaches between exemplars.
        outside: how far the shape puts it outside the picture (inside: negative), relative to the longer side.
        fit: distance to where the shape puts it when its size is free, relative to the longer side.
        support: mean similarity above average at the places where that shape puts all keypoints.
        shown: share of exemplars, alike ones first, that show the keypoint.
        crowded: 0..1, how much nearer another, better matching keypoint lies than in the exemplar.
        head, cells: evidence of the keypoint heads and of the exemplars' cells at the place, standard deviations of their maps
            (NaN where no heads were asked, as all that follow).
        spread: how surely the joint shape places it, longer sides.
        stray: distance to the best place by its own evidence alone; apart: to where the other keypoints put it; moved: to where
            plain matching put it; longer sides.
        strain: how unusual the whole shape is (1 = as the exemplars); whole: mean evidence of all keypoints.
    """

    peak: float
    margin: float
    cycle: float = float("nan")
    agreement: float = float("nan")
    twin_margin: float = float("nan")
    shape: float = float("nan")
    present: float = float("nan")
    pose: float = float("nan")
    raw: float = float("nan")
    usual: float = float("nan")
    outside: float = float("nan")
    fit: float = float("nan")
    support: float = float("nan")
    shown: float = float("nan")
    crowded: float = float("nan")
    head: float = float("nan")
    cells: float = float("nan")
    spread: float = float("nan")
    stray: float = float("nan")
    apart: float = float("nan")
    moved: float = float("nan")
    strain: float = float("nan")
    whole: float = float("nan")


SIGNALS_OF_BEFORE = {"cycle_px": "cycle"}
"""Names under which projects of earlier versions stored a signal (never a number of pixels), and their names now."""


def stored_signals(detail: Mapping[str, Any]) -> dict[str, float]:
    """The signals in a stored detail of a proposed keypoint, by their names of now, whichever version wrote them."""
    written = detail.get("signals") or {}
    return {SIGNALS_OF_BEFORE.get(name, name): float(value) for name, value in written.items() if value is not None}


@dataclass(frozen=True)
class KeypointProposal:
    """One keypoint: position in xy_image, confidence = expected precision (0..1), other peaks best first.

    `source` is the image_id of the exemplar that the place resembles most, "" when unknown.
    """

    name: str
    x: float
    y: float
    confidence: float
    visibility: Visibility
    signals: KeypointSignals
    peaks: tuple[Peak, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class InstanceProposal:
    """All keypoints proposed for one instance in one target image.

    `image_id` and `request_id` are those of the request; `box` is where the instance was found (xy_image); `index` counts the
    proposals of one target, best first.
    """

    request_id: str
    image_id: str
    category: str
    keypoints: tuple[KeypointProposal, ...]
    confidence: float
    box: Box | None
    spec: RunSpec
    exemplar_ids: tuple[str, ...] = ()
    sides_swapped: float = 0.0
    seconds: float = 0.0
    calibrated: bool = False
    index: int = 0

    @property
    def expected_saving(self) -> float:
        """Actions that reviewing this proposal should save against labelling by hand, by its own confidence: one for each
        point that is right, less one to accept them. Points to take away do not count: a proposal can be rejected whole."""
        return sum(k.confidence for k in self.keypoints if k.visibility != Visibility.ABSENT) - 1


@dataclass(frozen=True)
class MaskProposal:
    """One instance found in one target image: score (retrieval), confidence (calibrated 0..1), mask or None ("not here")."""

    request_id: str
    image_id: str
    score: float
    confidence: float
    mask: MaskRLE | None
    box: Box | None
    spec: RunSpec
    peak_xy_image: tuple[float, float] | None = None
    seconds: float = 0.0
    rank: int = 0
    extra: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class SimilarityMap:
    """Scores of one query over a target: `values` `[h, w]` float32 whose corners are those of the image (xy_image)."""

    values: np.ndarray
    image_wh: tuple[int, int]
    peaks: tuple[Peak, ...] = ()
    xy_matrix: FloatArray | None = None
