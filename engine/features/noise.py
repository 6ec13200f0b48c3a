"""The noise of an image: seeded by (image hash, seed, member), so that the same image always has the same features."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def image_noise(sha256: str, seed: int, member: int, shape: tuple[int, int, int]) -> Tensor:
    """Standard normal `[4, h, w]` float32, drawn on the CPU so that every device gets the same numbers.

    Each ensemble member has its own generator: a smaller ensemble is a prefix of a larger one.
    """
    digest = hashlib.sha256(f"{sha256}:{seed}:{member}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") & (2**63 - 1))
    return torch.randn(shape, generator=generator)
