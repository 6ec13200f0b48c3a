"""Plan: every number of one matching run, resolved (methods/matching.md). What is recorded in the RunSpec."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from engine.domain.errors import UserInputError
from engine.domain.texts import said
from engine.requests import MATCH_METHODS, MatchSettings

ROTATIONS = (1, 4, 8)


@dataclass(frozen=True)
class Plan:
    """Resolved settings.

    Attributes:
        method, stages, rotations, flip, fuse: as in `engine.api.MatchSettings`.
        fusion_weight: share of the second descriptor in the similarity.
        location: strength of the prior on absolute positions (fixed camera), 0 = none.
        shape: strength of the exemplars' shape in the joint choice, 0 = every keypoint for itself.
        foreground: strength of "it moved against the background" (fixed camera), 0 = none.
        whiten: strength 0..1 of decorrelating the features by the collection's own statistics.
        temperature, sigma_cells: of the (kernel) soft argmax; top_k, nms_cells: of the peaks.
        crop_margin: of the second stage's crop, share of the longer side of the exemplar's box on each side.
        slack: how far a keypoint may stray from the exemplar's shape, share of the longer side.
        evidence: score difference between two pose hypotheses that makes one e times as likely.
        sizes: 1, or 3 to look at each target at three sizes (photos from nearer and farther); the best pose decides.
        crop_boxes: match a target that comes with the box of its instance in a crop there, whatever `stages` says.
        mirror_targets: a target that clearly shows the instance from its other side is matched with mirrored exemplars,
            whatever `flip` says.
        heads: keypoint heads on the natural-image part have the last word on the places (`engine.heads`).
    """

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

    def to_json(self) -> dict[str, Any]:
        """Plain values, for RunSpec.settings and for the stored choice."""
        return asdict(self)

    def to_settings(self) -> MatchSettings:
        """As the request's settings, everything set."""
        extra = {"foreground": self.foreground, "whiten": self.whiten, "crop_margin": self.crop_margin,
                 "slack": self.slack, "evidence": self.evidence, "sizes": self.sizes,
                 "crop_boxes": self.crop_boxes, "mirror_targets": self.mirror_targets,
                 "heads": self.heads}  # fmt: skip
        return MatchSettings(
            method=self.method, stages=self.stages, rotations=self.rotations, flip=self.flip,
            fusion_weight=self.fusion_weight, fuse_exemplars=self.fuse, location_prior=self.location,
            shape_weight=self.shape, temperature=self.temperature, sigma_cells=self.sigma_cells, top_k=self.top_k,
            nms_cells=self.nms_cells, extra=extra,
        )  # fmt: skip


_NAMES = {"fuse_exemplars": "fuse", "location_prior": "location", "shape_weight": "shape"}


def fixed_fields(settings: MatchSettings) -> dict[str, Any]:
    """Fields of the plan that the request has decided."""
    known = {f.name for f in fields(Plan)}
    chosen: dict[str, Any] = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name == "extra":
            chosen.update({k: v for k, v in value.items() if k in known})
        elif value is not None:
            chosen[_NAMES.get(field.name, field.name)] = value
    return chosen


def apply_settings(plan: Plan, settings: MatchSettings) -> Plan:
    """The plan with everything that the request has decided."""
    return replace(plan, **fixed_fields(settings))


def is_decided(settings: MatchSettings) -> bool:
    """Whether nothing is left to choose (a stored choice is used again)."""
    return all(getattr(settings, name) is not None for name in (
        "method", "stages", "rotations", "flip", "fusion_weight", "fuse_exemplars", "location_prior", "shape_weight",
    ))  # fmt: skip
