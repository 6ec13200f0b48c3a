"""Noise of a tuning job: a function of what it is for, so that a job continued from a checkpoint draws the same again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from kinmark.engine.features.noise import image_noise


def step_noise(seed: int, step: int, names: Sequence[str], latents: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """One `[B, 4, h, w]` per scale: of every view (named) in this step of the job.

    Args:
        latents: of each view, one `[4, h, w]` per scale: what the noise is as large as.
    """

    def draw(view: int, number: int) -> Tensor:
        text = f"{seed}:{step}:{names[view]}" + (f":{number}" if number else "")
        own = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") & (2**63 - 1)
        return torch.randn(latents[view][number].shape, generator=torch.Generator().manual_seed(own))

    return [torch.stack([draw(view, n) for view in range(len(names))]) for n in range(len(latents[0]))]


def extraction_noise(hashes: Sequence[str], latents: Sequence[Tensor]) -> list[Tensor]:
    """The first member of the noise that extraction uses, one `[B, 4, h, w]` per scale, as large as `latents`."""
    sizes = [(int(z.shape[0]), int(z.shape[1]), int(z.shape[2])) for z in latents]
    return [torch.stack([image_noise(sha, 0, 0, size) for sha in hashes]) for size in sizes]
