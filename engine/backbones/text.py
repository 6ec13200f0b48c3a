"""Text to hidden states: plain text through the tokenizer, assembled token embeddings through the causal transformer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask


def token_ids(tokenizer: Any, texts: list[str]) -> Tensor:
    """`[B, 77]` int64, cut and padded to the tokenizer's length as every Stable Diffusion pipeline does."""
    return tokenizer(
        texts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).input_ids


def _text_model(text_encoder: Any) -> Any:
    """The module with `embeddings`, `encoder`, `final_layer_norm` (nested in the variant with a projection)."""
    return text_encoder if hasattr(text_encoder, "final_layer_norm") else text_encoder.text_model


def embed_ids(text_encoder: Any, ids: Tensor) -> Tensor:
    """Token + position embeddings `[B, T, D]` of ids `[B, T]` (positions 0..T-1)."""
    return _text_model(text_encoder).embeddings(input_ids=ids)


def encode_embeddings(text_encoder: Any, embeddings: Tensor) -> Tensor:
    """Embeddings `[B, T, D]` (positions already in) through the causal transformer and its final layer norm.

    Differentiable. SD4Match's learned tokens replace token and position embedding, so nothing is added here.
    """
    model = _text_model(text_encoder)
    mask = create_causal_mask(config=model.config, inputs_embeds=embeddings, attention_mask=None, past_key_values=None)
    hidden = model.encoder(inputs_embeds=embeddings, attention_mask=mask, is_causal=True).last_hidden_state
    return model.final_layer_norm(hidden)


def encode_ids(text_encoder: Any, ids: Tensor) -> Tensor:
    """Last hidden state `[B, T, D]` after the final layer norm."""
    return text_encoder(input_ids=ids).last_hidden_state


def encode_ids_penultimate(text_encoder: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    """SDXL: (hidden state before the last layer `[B, T, D]`, pooled output `[B, P]`)."""
    output = text_encoder(input_ids=ids, output_hidden_states=True)
    pooled = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
    return output.hidden_states[-2], pooled


def as_dtype(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Move without a copy when nothing changes."""
    return tensor.to(device=device, dtype=dtype)
