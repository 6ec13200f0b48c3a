"""How a request is answered, and how the engine is opened. None = the engine chooses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MATCH_METHODS = ("nn", "bilinear", "softargmax", "kernel_softargmax", "optimise")
SEARCH_METHOD = "search"
"""`MatchSettings.method` of a first look: all photos at once on small stored maps, for proposing only."""
DEFAULT_BACKBONE = "embedded"


@dataclass(frozen=True)
class MatchSettings:
    """How exemplars are matched (methods/matching.md). None = let the engine choose ("auto").

    Attributes:
        method: one of MATCH_METHODS.
        stages: 1 whole image, 2 find-crop-match.
        rotations: 1, 4 or 8 orientations of each exemplar.
        flip: also use mirrored exemplars with left/right names swapped.
        fusion_weight: of the second descriptor (0 diffusion only, 1 second descriptor only).
        fuse_exemplars: "max" or "mean" of similarity maps.
        location_prior: weight (0..1) of the exemplars' keypoint positions for scenes with a fixed camera.
        shape_weight: weight (0..1) of the joint choice of peaks by the exemplars' shape.
        temperature, sigma_cells, top_k, nms_cells: of selection and peaks.
    """

    method: str | None = None
    stages: int | None = None
    rotations: int | None = None
    flip: bool | None = None
    fusion_weight: float | None = None
    fuse_exemplars: str | None = None
    location_prior: float | None = None
    shape_weight: float | None = None
    temperature: float = 0.04
    sigma_cells: float = 7.0
    top_k: int = 3
    nms_cells: int = 2
    extra: dict[str, Any] = field(default_factory=dict)


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
