"""What an instance search runs with: the request's settings resolved against the backbone's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kinmark.engine.backbones.registry import BackboneSpec
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.requests import InstanceSettings

VARIANTS = ("pdm", "pdm-votes")
MODES = ("fused", "appearance", "semantic")
VOTES_PROMPT = "A photo"
VOTES_STEPS = 50
TURBO_STEPS = 4
"""At so few steps each one is large: they are made self-consistent and spaced as turbo models were trained."""


@dataclass(frozen=True)
class EvidenceWeights:
    """Exponents of the parts of the fused map: `attention` (PDM's S), `colour` statistics, `local` descriptor, `natural` cells
    of a network that knows photographs."""

    attention: float = 0.3
    colour: float = 0.8
    local: float = 0.4
    natural: float = 0.5

    def without(
        self, *, attention: bool = False, colour: bool = False, local: bool = False, natural: bool = False
    ) -> EvidenceWeights:
        """A copy with some parts switched off (ablations)."""
        return EvidenceWeights(
            0.0 if attention else self.attention,
            0.0 if colour else self.colour,
            0.0 if local else self.local,
            0.0 if natural else self.natural,
        )


@dataclass(frozen=True)
class ResolvedSettings:
    """Everything that changes the attention features and the maps; part of the RunSpec.

    Attributes:
        variant, mode, inversion_steps, timestep, layer, background_suppression: see `InstanceSettings`, `InstanceSpec`.
        refine: "grabcut", "threshold" or a segmenter folder.
        weights: of the evidence parts.
        max_instances, threshold: of the decision; threshold None = the calibration's own.
        seed: of the one-step noise.
    """

    variant: str
    mode: str
    inversion_steps: int
    timestep: int
    layer: str
    background_suppression: bool
    refine: str
    weights: EvidenceWeights
    max_instances: int
    threshold: float | None
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """JSON-able, for the RunSpec."""
        return asdict(self)

    def attention_part(self) -> dict[str, Any]:
        """Only what changes the attention features (their cache key)."""
        return {
            "variant": self.variant,
            "inversion_steps": self.inversion_steps,
            "layer": self.layer,
        }


def resolve(settings: InstanceSettings, spec: BackboneSpec) -> ResolvedSettings:
    """Fill None from the card; UserInputError for unknown variants, modes or impossible numbers."""
    if settings.variant not in VARIANTS:
        raise UserInputError(
            said("Unknown variant '{0}'.", settings.variant), said("Use one of: {0}.", ", ".join(VARIANTS))
        )
    mode = spec.instance.mode if settings.mode == "fused" else settings.mode
    if mode not in MODES:
        raise UserInputError(said("Unknown mode '{0}'.", settings.mode), said("Use one of: {0}.", ", ".join(MODES)))
    if settings.max_instances < 1:
        raise UserInputError(said("At least one instance per image is needed, not {0}.", settings.max_instances))
    steps = settings.inversion_steps
    if steps is None:
        steps = VOTES_STEPS if settings.variant == "pdm-votes" else spec.instance.inversion_steps
    if steps < 0 or (settings.variant == "pdm-votes" and steps == 0):
        raise UserInputError(said("{0} inversion steps are impossible for the variant {1}.", steps, settings.variant))
    timestep = spec.instance.timestep if spec.instance.timestep is not None else spec.timestep
    suppression = settings.background_suppression
    return ResolvedSettings(
        variant=settings.variant,
        mode=mode,
        inversion_steps=steps,
        timestep=int(settings.extra.get("timestep", timestep)),
        layer=spec.instance.layer,
        background_suppression=spec.instance.background_suppression if suppression is None else suppression,
        refine=settings.refine,
        weights=_weights(settings, spec),
        max_instances=settings.max_instances,
        threshold=settings.threshold,
        seed=int(settings.extra.get("seed", 0)),
    )


def _weights(settings: InstanceSettings, spec: BackboneSpec) -> EvidenceWeights:
    """Card and request override the measured defaults; without training the attention alone is what PDM published."""
    values: dict[str, float] = dict(spec.instance.extra.get("evidence", {}))
    values.update(settings.extra.get("evidence", {}))
    unknown = set(values) - {"attention", "colour", "local", "natural"}
    if unknown:
        raise UserInputError(
            said("Unknown evidence weight '{0}'.", sorted(unknown)[0]), "Known: attention, colour, local, natural."
        )
    return EvidenceWeights(**{k: float(v) for k, v in values.items()})
