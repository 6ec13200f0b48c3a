"""How a request is answered, and how the engine is opened. None = the engine chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

MATCH_METHODS = ("nn", "bilinear", "softargmax", "kernel_softargmax")
"""How a position is read from a similarity map."""
SWEEP, FIRST_LOOK, OPTIMISED, PAIRS = "sweep", "search", "optimise", "pairs"
"""Names of pipelines (`kinmark.engine.pipelines.registry`): the sweep; all photos at once on small stored maps; one prompt per point;
one prompt per pair of photos. A first look and optimised points stand in their RunSpec as its method."""
DEFAULT_BACKBONE = "embedded"


@dataclass(frozen=True)
class MatchSettings:
    """How a request for keypoints is answered (methods/matching.md). None = the engine chooses; a `Plan` has nothing open.

    Attributes:
        pipeline: which way; None = the sweep, or pairs where the prompt is made for pairs. options: of the pipeline alone.
        method: one of MATCH_METHODS.
        stages: 1 whole image, 2 find-crop-match.
        rotations: 1, 4 or 8 orientations of each exemplar; flip: also mirrored, with left/right names swapped.
        fusion_weight: share of the second descriptor in the similarity (0 diffusion only, 1 second descriptor only).
        fuse: "max" or "mean" of the exemplars' similarity maps.
        location: strength (0..1) of the prior on absolute positions (fixed camera), 0 = none.
        shape: strength (0..1) of the exemplars' shape in the joint choice, 0 = every keypoint for itself.
        foreground: strength of "it moved against the background" (fixed camera), 0 = none.
        whiten: strength (0..1) of decorrelating the features by the collection's own statistics.
        temperature, sigma_cells: of the (kernel) soft argmax; top_k, nms_cells: of the peaks.
        crop_margin: of the second stage's crop, share of the longer side of the exemplar's box on each side.
        slack: how far a keypoint may stray from the exemplar's shape, share of the longer side.
        evidence: score difference between two pose hypotheses that makes one e times as likely.
        sizes: 1, or 3 to look at each target at three sizes (photos from nearer and farther); the best pose decides.
        crop_boxes: match a target that comes with the box of its instance in a crop there, whatever `stages` says.
        mirror_targets: a target that clearly shows the instance from its other side is matched with mirrored exemplars,
            whatever `flip` says.
        heads: keypoint heads on the natural-image part have the last word on the places (`kinmark.engine.heads`).
    """

    method: str | None = None
    stages: int | None = None
    rotations: int | None = None
    flip: bool | None = None
    fusion_weight: float | None = None
    fuse: str | None = None
    location: float | None = None
    shape: float | None = None
    foreground: float | None = None
    whiten: float | None = None
    temperature: float | None = None
    sigma_cells: float | None = None
    top_k: int | None = None
    nms_cells: int | None = None
    crop_margin: float | None = None
    slack: float | None = None
    evidence: float | None = None
    sizes: int | None = None
    crop_boxes: bool | None = None
    mirror_targets: bool | None = None
    heads: bool | None = None
    pipeline: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def decided(self) -> dict[str, Any]:
        """The numbers of matching that are not left to the engine."""
        values = {name: getattr(self, name) for name in NUMBERS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to choose."""
        return all(getattr(self, name) is not None for name in CHOSEN_FIELDS)

    def to_json(self) -> dict[str, Any]:
        """What is decided, as plain values; `from_json` reads it."""
        own = {"pipeline": self.pipeline, "options": dict(self.options)}
        return self.decided() | {name: value for name, value in own.items() if value}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> MatchSettings:
        """Settings as they were stored, by older versions, too; what is not known any more is left out."""
        values = dict(data) | dict(data.get("extra") or {})
        values = {_OLDER_NAMES.get(name, name): value for name, value in values.items()}
        if values.get("method") in (FIRST_LOOK, OPTIMISED):
            values |= {"pipeline": values["method"], "method": None}
        known = {f.name for f in fields(MatchSettings)}
        return MatchSettings(**{name: value for name, value in values.items() if name in known})


NUMBERS = tuple(f.name for f in fields(MatchSettings) if f.name not in ("pipeline", "options"))
"""Fields of `MatchSettings` that say how one run matches."""
CHOSEN_FIELDS = ("method", "stages", "rotations", "flip", "fusion_weight", "fuse", "location", "shape")
"""Those that the engine chooses for a collection; with all of them given nothing is left to choose (a stored choice is used again)."""
_OLDER_NAMES = {"fuse_exemplars": "fuse", "location_prior": "location", "shape_weight": "shape"}


@dataclass(frozen=True)
class InstanceSettings:
    """PDM settings (methods/instances.md). None = the backbone card's choice.

    Attributes:
        variant: "pdm" (paper) or "pdm-votes" (released code).
        inversion_steps: 0 = one seeded noising (one-step), else DDIM inversion steps.
        mode: "fused", "appearance" or "semantic".
        refine: "grabcut", "threshold", or a path / id of a SAM-family folder.
        max_instances: distinct instances per image.
        threshold: calibrated confidence under which the answer is "not here".
    """

    variant: str = "pdm"
    inversion_steps: int | None = None
    mode: str = "fused"
    refine: str = "grabcut"
    background_suppression: bool | None = None
    max_instances: int = 1
    threshold: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineConfig:
    """How to open the local engine.

    Attributes:
        device: "auto", "cpu", "cuda", "mps"; dtype: "auto", "fp32", "bf16", "fp16".
        cache_dir: feature cache folder (None = platform cache folder); cache_bytes its cap (0 = no cache).
        models_dir: folder of downloaded / added backbones (None = platform data folder).
        prompt_dirs: folders searched for saved prompts (a project's `prompts/`).
        threads: CPU threads for torch (0 = all cores).
        compile: compile the model's blocks at their first use (torch.compile; needs a C++ compiler, minutes at first).
    """

    device: str = "auto"
    dtype: str = "auto"
    cache_dir: Path | None = None
    cache_bytes: int = 4 << 30
    models_dir: Path | None = None
    prompt_dirs: tuple[Path, ...] = ()
    threads: int = 0
    compile: bool = False
