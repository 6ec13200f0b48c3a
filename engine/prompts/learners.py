"""What is learned: tokens, hidden states, or a conditional module; all give the U-Net's prompt, differentiable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.prompts.cpm import ConditionalPromptModule
from kinmark.engine.prompts.sequence import SequenceFrame, token_ids


class PromptLearner(nn.Module):
    """Base of the learned prompts of one backbone.

    Attributes:
        kind: "tokens", "hidden" or "conditional"; conditional: needs patch features, `pair`: of both images.
        base: `[1, T, D]` hidden states of the text that learning starts from; strength: see `kinmark.engine.tuning.options.TuningOptions`.
    """

    kind = ""
    conditional = False
    pair = False

    def embeds(self, backbone: Backbone, source: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """`[1 or B, T, D]` hidden states for the U-Net; conditions `[B, 256, W]` only for conditional prompts."""
        raise NotImplementedError

    def groups(self, lr: float, lr_linear: float) -> list[dict[str, Any]]:
        """Adam's parameter groups; linear layers may learn at a rate of their own."""
        return [{"params": list(self.parameters()), "lr": lr}]


class EncodedLearner(PromptLearner):
    """A prompt whose learned tokens pass the text encoder, or (`direct`) are added behind it.

    The encoder's final norm bounds what tokens can do. A backbone that hardly listens to its prompt needs more:
    `strength` times the difference to the start is given to the U-Net (1 = published). A small causal encoder also makes
    all tokens alike; then the direct variant (methods/prompts.md) learns differences of the hidden states themselves.
    """

    def __init__(self, frame: SequenceFrame, base: Tensor, strength: float, direct: bool = False) -> None:
        super().__init__()
        self.frame, self.strength, self.direct = frame, strength, direct
        self.register_buffer("base", base.detach().clone().float())

    def encoded(self, backbone: Backbone, learned: Tensor) -> Tensor:
        """Learned vectors `[B, L, D]` to hidden states `[B, T, D]`."""
        if self.direct:
            base = self.get_buffer("base").to(learned.device)
            behind = base.shape[1] - 1 - learned.shape[1]
            return base + self.strength * pad(learned, (0, 0, 1, behind))
        # A difference that is multiplied must not carry the rounding of half precision with it.
        hidden = backbone.encode_tokens(_on(self.frame, backbone).assemble(learned), precise=self.strength != 1.0)
        if self.strength == 1.0:
            return hidden
        base = self.get_buffer("base").to(hidden.device)
        return base + self.strength * (hidden.float() - base)


class TokenLearner(EncodedLearner):
    """L learned token embeddings between BOS and EOS (single, class)."""

    kind = "tokens"

    def __init__(
        self, frame: SequenceFrame, initial: Tensor, base: Tensor, strength: float = 1.0, direct: bool = False
    ) -> None:
        super().__init__(frame, base, strength, direct)
        self.tokens = nn.Parameter(initial.detach().clone().float())

    def embeds(self, backbone: Backbone, source: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """See base class; `[1, T, D]`."""
        return self.encoded(backbone, self.tokens.to(backbone.device))


class HiddenLearner(PromptLearner):
    """The T x D hidden states themselves."""

    kind = "hidden"

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.hidden = nn.Parameter(initial.detach().clone().float())

    def embeds(self, backbone: Backbone, source: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """See base class; `[1, T, D]`."""
        return self.hidden


class ConditionalLearner(EncodedLearner):
    """CPM: tokens made from patch features of the pair or the image."""

    kind = "conditional"
    conditional = True

    def __init__(
        self,
        frame: SequenceFrame,
        module: ConditionalPromptModule,
        base: Tensor,
        strength: float = 1.0,
        direct: bool = False,
    ) -> None:
        super().__init__(frame, base, strength, direct)
        self.module = module
        self.pair = module.config.pair

    def embeds(self, backbone: Backbone, source: Tensor | None = None, target: Tensor | None = None) -> Tensor:
        """See base class; `[B, T, D]`."""
        if source is None:
            raise UserInputError("A conditional prompt needs the images' patch features.")
        device = backbone.device
        learned = self.module(source.to(device), None if target is None else target.to(device))
        return self.encoded(backbone, learned)

    def groups(self, lr: float, lr_linear: float) -> list[dict[str, Any]]:
        """Published: linear layers learn at a tenth of the rate."""
        return self.module.parameter_groups(lr, lr_linear)


def _on(frame: SequenceFrame, backbone: Backbone) -> SequenceFrame:
    device = backbone.device
    if frame.start.device == device:
        return frame
    return SequenceFrame(frame.start.to(device), frame.end.to(device), frame.pad.to(device))


def template_tokens(backbone: Backbone, text: str) -> Tensor:
    """`[1, T - 2, D]`: the plain encoding of `text` as learned tokens, so that learning starts exactly there.

    The sequence of a text is words, EOS, padding; taken over whole, its hidden states are those of the text.
    """
    _, _, length = token_ids(backbone)
    ids = backbone.tokenizer([text], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return backbone.token_embedding(ids.input_ids)[:, 1 : length - 1].detach().float()


@torch.no_grad()
def encode_tokens(backbone: Backbone, frame: SequenceFrame, tokens: Tensor, strength: float) -> Tensor:
    """Hidden states `[1, T, D]` float32 on the CPU of tokens `[1, L, D]`."""
    sequence = frame.assemble(tokens.to(frame.start.device).float())
    return backbone.encode_tokens(sequence, precise=strength != 1.0).float().cpu()
