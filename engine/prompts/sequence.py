"""How learned vectors become the token sequence of a text encoder (methods/prompts.md).

`[BOS, p_1..p_L, EOS, token 0, token 0, ...]`: BOS, EOS and the padding keep their token and position embeddings, the
learned vectors replace both completely. Source: SD4Match, checked against `sd4match_prompt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said

PAD_TOKEN_ID = 0
"""Published: the sequence is padded with token id 0, not with the tokenizer's pad token."""


class TextEncoding(Protocol):
    """What this module needs of a backbone."""

    tokenizer: object

    def token_embedding(self, ids: Tensor) -> Tensor:
        """Token + position embeddings `[B, T, D]` of ids `[B, T]`."""
        ...


@dataclass(frozen=True)
class SequenceFrame:
    """The fixed part of every assembled sequence of one text encoder.

    Attributes:
        start: `[1, 1, D]` embedding of BOS at position 0.
        end: `[1, T - 1, D]` embeddings of EOS at positions 1..T-1 (only the used one is taken).
        pad: `[1, T - 1, D]` embeddings of token 0 at positions 1..T-1.
    """

    start: Tensor
    end: Tensor
    pad: Tensor

    @property
    def length(self) -> int:
        """T: how many tokens the text encoder takes."""
        return self.end.shape[1] + 1

    @property
    def width(self) -> int:
        """D: the width of a token embedding."""
        return self.start.shape[2]

    @property
    def max_tokens(self) -> int:
        """Learnable positions between BOS and EOS."""
        return self.length - 2

    def assemble(self, learned: Tensor) -> Tensor:
        """`learned` `[B, L, D]` to the whole sequence `[B, T, D]`; raises UserInputError when L does not fit."""
        batch, count, width = learned.shape
        if not 1 <= count <= self.max_tokens or width != self.width:
            raise UserInputError(
                said(
                    "A prompt of {0} tokens of width {1} does not fit this backbone's text encoder ({2} tokens of width {3}).",
                    count,
                    width,
                    self.max_tokens,
                    self.width,
                ),
                "Choose fewer tokens, or the backbone that the prompt was made for.",
            )
        parts = [self.start, self.end[:, count : count + 1], self.pad[:, count + 1 :]]
        start, end, pad = (p.expand(batch, -1, -1) for p in parts)
        return torch.cat([start, learned, end, pad], dim=1)


def token_ids(backbone: TextEncoding) -> tuple[int, int, int]:
    """(BOS id, EOS id, sequence length) of the backbone's tokenizer."""
    tokenizer = backbone.tokenizer
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id  # type: ignore[attr-defined]
    return int(start), int(end), int(tokenizer.model_max_length)  # type: ignore[attr-defined]


@torch.no_grad()
def sequence_frame(backbone: TextEncoding) -> SequenceFrame:
    """The fixed part of the sequences of `backbone`'s text encoder."""
    start, end, length = token_ids(backbone)

    def row(token: int) -> Tensor:
        return backbone.token_embedding(torch.full((1, length), token, dtype=torch.long)).detach().float()

    return SequenceFrame(row(start)[:, :1], row(end)[:, 1:], row(PAD_TOKEN_ID)[:, 1:])


def init_ids(backbone: TextEncoding, count: int, *, text: str | None, seed: int) -> list[int]:
    """Token ids of the initial value: of `text` (cycled to `count`), or random ones when there is no text."""
    start, end, _ = token_ids(backbone)
    generator = torch.Generator().manual_seed(seed)
    size = len(backbone.tokenizer)  # type: ignore[arg-type]
    ids = torch.randint(0, size, (count,), generator=generator).tolist()
    if text:
        words = backbone.tokenizer(text).input_ids  # type: ignore[operator]
        words = [i for i in words if i not in (start, end)]
        ids = [words[i % len(words)] for i in range(count)] if words else ids
    return ids


@torch.no_grad()
def init_tokens(backbone: TextEncoding, count: int, *, text: str | None = None, seed: int = 0) -> Tensor:
    """Initial learned vectors `[1, count, D]` float32: embeddings (token + position 1..count) of `init_ids`."""
    start, _, length = token_ids(backbone)
    ids: Sequence[int] = init_ids(backbone, count, text=text, seed=seed)
    padded = torch.tensor([[start, *ids] + [PAD_TOKEN_ID] * (length - count - 1)])
    return backbone.token_embedding(padded)[:, 1 : count + 1].detach().float().clone()
