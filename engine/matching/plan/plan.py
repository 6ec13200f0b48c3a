"""Plan: every number of one matching run, resolved (methods/matching.md). What is recorded in the RunSpec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.requests import MATCH_METHODS, MatchSettings
from kinmark.engine.requests.settings import NUMBERS

ROTATIONS = (1, 4, 8)


@dataclass(frozen=True)
class Plan(MatchSettings):
    """Settings with nothing left open: what one run matches with. Attributes as in `MatchSettings`."""

    method: str = "kernel_softargmax"
    stages: int = 1
    rotations: int = 1
    flip: bool = False
    fusion_weight: float = 0.42
    fuse: str = "max"
    location: float = 0.0
    shape: float = 0.5
    foreground: float = 0.0
    whiten: float = 1.0
    temperature: float = 0.04
    sigma_cells: float = 7.0
    top_k: int = 3
    nms_cells: int = 2
    crop_margin: float = 0.35
    slack: float = 0.15
    evidence: float = 0.03
    sizes: int = 1
    crop_boxes: bool = False
    mirror_targets: bool = False
    heads: bool = True

    def __post_init__(self) -> None:
        if self.method not in MATCH_METHODS:
            raise UserInputError(
                said("There is no matching method '{0}'.", self.method), said("Known: {0}.", ", ".join(MATCH_METHODS))
            )
        if self.stages not in (1, 2):
            raise UserInputError(said("Matching has one or two stages, not {0}.", self.stages))
        if self.rotations not in ROTATIONS:
            raise UserInputError(said("Exemplars are turned 1, 4 or 8 times, not {0}.", self.rotations))
        if self.sizes not in (1, 3):
            raise UserInputError(said("Targets are looked at in one or three sizes, not {0}.", self.sizes))
        if self.fuse not in ("max", "mean"):
            raise UserInputError(said("Exemplars are fused by 'max' or 'mean', not '{0}'.", self.fuse))
        if not 0 <= self.fusion_weight <= 1:
            raise UserInputError(said("The fusion weight must lie between 0 and 1, got {0}.", self.fusion_weight))
        if self.temperature <= 0 or self.sigma_cells <= 0 or self.top_k < 1:
            raise UserInputError("Temperature, sigma and the number of peaks must be positive.")

    def numbers(self) -> dict[str, Any]:
        """Plain values, for RunSpec.settings."""
        return {name: getattr(self, name) for name in NUMBERS}

    def to_settings(self) -> MatchSettings:
        """As the request's settings, every number set."""
        return MatchSettings(**self.numbers())


def apply_settings(plan: Plan, settings: MatchSettings) -> Plan:
    """The plan with everything that the request has decided."""
    return replace(plan, **settings.decided())
