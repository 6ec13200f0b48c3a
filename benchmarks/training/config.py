"""Everything that shapes a training run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainConfig:
    """Everything that shapes a run; stored in the checkpoint and on the model card."""

    seed: int = 0
    steps: int = 6000
    minutes: float = 0.0
    groups: int = 4
    views: int = 8
    rate: float = 1.0e-3
    warmup: int = 200
    weight_decay: float = 0.01
    decay: float = 0.998
    temperature: float = 0.06
    parts: float = 0.65
    strange_word: float = 0.35
    texture_every: int = 3
    texture_views: int = 12
    warp: float = 1.0
    clean_share: float = 0.65
    diffusion: float = 0.5
    coarse: float = 1.0
    fine: float = 1.0
    prototype: float = 0.3
    identity: float = 0.4
    klass: float = 0.5
    vae_steps: int = 900
    sync_every: int = 8
