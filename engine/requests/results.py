"""Frozen answers: each names its request; proposals are in `kinmark.engine.domain.proposals`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.proposals import KeypointProposal, SimilarityMap
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.requests.settings import MatchSettings


@dataclass(frozen=True)
class SettingsChoice:
    """What leave-one-exemplar-out chose, with its figures: `table` rows are (description, PCK@0.1, seconds per image)."""

    settings: MatchSettings
    table: tuple[tuple[str, float, float], ...] = ()
    exemplars: int = 0
    reason: str = ""


@dataclass(frozen=True)
class CategoryAnswer:
    """One photo: the `shares` (>= 0) of it that speak for each category, and those that are taken for `here` (one at least)."""

    request_id: str
    image_id: str
    shares: dict[str, float]
    here: tuple[str, ...]

    @property
    def likest(self) -> str:
        """The category that most of the photo speaks for."""
        return max(self.shares, key=lambda name: self.shares[name])


@dataclass(frozen=True)
class MatchResult:
    """`points_xy_image` `[N, 2]` float64, `scores` `[N]`, one map per point when asked for."""

    request_id: str
    points_xy_image: NDArray[np.float64]
    scores: NDArray[np.float64]
    keypoints: tuple[KeypointProposal, ...]
    maps: tuple[SimilarityMap, ...]
    spec: RunSpec


@dataclass(frozen=True)
class PhotoVectors:
    """`vectors` `[R, D]` float32, L2-normalised: row 0 the whole image/region, further rows sub-regions."""

    request_id: str
    image_id: str
    vectors: NDArray[np.float32]
    spec: RunSpec


@dataclass(frozen=True)
class TuneProgress:
    """One live point of the tuning curve; `heldout_pck` is NaN between evaluations."""

    step: int
    steps: int
    loss: float
    heldout_pck: float = float("nan")


@dataclass(frozen=True)
class HeldOutFigures:
    """PCK@0.1 before and after on held-out photos and the same without its steps (`soft`: mean of 1 / (1 + (error / 0.1)^2)),
    with 95 % bootstrap intervals over photos; gains are paired. NaN = not measured."""

    before: float = float("nan")
    after: float = float("nan")
    before_interval: tuple[float, float] = (float("nan"), float("nan"))
    after_interval: tuple[float, float] = (float("nan"), float("nan"))
    gain_interval: tuple[float, float] = (float("nan"), float("nan"))
    soft_before: float = float("nan")
    soft_after: float = float("nan")
    soft_gain_interval: tuple[float, float] = (float("nan"), float("nan"))


@dataclass(frozen=True)
class TuneResult:
    """The outcome: `prompt_id` ("" when discarded), PCK@0.1 before/after with 95 % bootstrap intervals.

    `before`, `after`: of the score alone (published criterion); `proposals`: of what a sweep proposes on the same photos;
    `better`: whether the figure that decides rose beyond noise; `kept`: better, or kept all the same. `uses_prompt` is
    False where the settings that the exemplars chose look at the second descriptor alone: no prompt changes what is proposed.
    """

    request_id: str
    prompt_id: str
    folder: Path | None
    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    kept: bool
    steps: int
    seconds: float
    curve: tuple[TuneProgress, ...] = ()
    proposals: HeldOutFigures = HeldOutFigures()
    better: bool = False
    uses_prompt: bool = True


@dataclass(frozen=True)
class LabelSuspicion:
    """One label that looks wrong: `kind` "far" (another place fits its namesakes better) or "swapped" (the twin's place).

    `score` 0..1; `suggested_xy_image` is where the others put the keypoint; `keypoint` is an index of the schema.
    """

    image_id: str
    exemplar: int
    keypoint: int
    kind: str
    score: float
    suggested_xy_image: tuple[float, float]


@dataclass(frozen=True)
class TargetFailure:
    """One target that could not be processed; the sweep went on."""

    image_id: str
    error: AppError


@dataclass(frozen=True)
class EngineInfo:
    """What really runs: device and dtype names, memory, backbone id, and the sentence for the job bar."""

    device: str
    dtype: str
    backbone: str
    memory_used_bytes: int = 0
    memory_total_bytes: int = 0
    note: str = ""
