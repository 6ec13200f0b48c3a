"""A prompt as the U-Net sees it, with the id that stands in every RunSpec."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

EMPTY_PROMPT = "empty"
TEXT_PREFIX = "text:"
SAVED_PREFIX = "prompt:"
AUTO_PROMPT = "auto"


@dataclass(frozen=True)
class Prompt:
    """What is given to the U-Net's cross-attention.

    Attributes:
        id: "empty", "text:<the text>" or "prompt:<id of a saved prompt>".
        embeds: `[1, T, D]` hidden states on the backbone's device.
        pooled: `[1, P]` pooled text of SDXL-like models, else None.
    """

    id: str
    embeds: Tensor
    pooled: Tensor | None = None


@dataclass(frozen=True)
class ConditionalPrompt(Prompt):
    """A prompt that depends on what the images show (CPM). `embeds` is the empty prompt and is not what it means.

    Attributes:
        pair: it depends on both images of a pair (then every pair has its own prompt), else on one.
        patches: uint8 RGB `[B, H, W, 3]` at the backbone's input size to patch features `[B, 256, W]`.
        make: patch features of source (and target) to `[B, T, D]`.
    """

    pair: bool = False
    patches: Callable[[NDArray[np.uint8]], Tensor] | None = None
    make: Callable[[Tensor, Tensor | None], Tensor] | None = None

    def for_images(self, source: NDArray[np.uint8], target: NDArray[np.uint8] | None = None) -> Prompt:
        """The ordinary prompt of one view (or of a pair of views), uint8 RGB `[H, W, 3]` each; its id names both."""
        if self.patches is None or self.make is None or self.pair != (target is not None):
            raise ValueError("a conditional prompt needs the images that it was made for (one, or a pair)")
        digest = hashlib.sha256(source.tobytes())
        features = [self.patches(source[None])]
        if target is not None:
            digest.update(target.tobytes())
            features.append(self.patches(target[None]))
        embeds = self.make(features[0], features[1] if target is not None else None)
        return Prompt(f"{self.id}@{digest.hexdigest()[:16]}", embeds, self.pooled)
