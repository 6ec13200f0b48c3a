"""A prompt as the U-Net sees it, with the id that stands in every RunSpec."""

from __future__ import annotations

from dataclasses import dataclass

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
