"""PDM's maps from attention projections (methods/instances.md; Samuel et al., NeurIPS 2024), as functions on tensors.

Token tensors are `[N, C]` float32: one row per cell, row-major over the grid, before the split into heads. Maps are
`[h, w]` float32. Nothing here knows images or models.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FOREGROUND_TAU = 0.7
"""Published threshold of the class-attention foreground of a reference without a mask."""


def appearance_tokens(self_q: Tensor, self_k: Tensor) -> Tensor:
    """`F_A = (Q_self + K_self) / 2`, `[N, C]`."""
    if self_q.shape != self_k.shape:
        raise ValueError(f"queries {tuple(self_q.shape)} and keys {tuple(self_k.shape)} differ in shape")
    return (self_q + self_k) / 2


def appearance_scores(reference_foreground: Tensor, target: Tensor) -> Tensor:
    """`S_A`: mean over the reference tokens `[R, C]` of their dot product with each target token `[N, C]`; `[N]`.

    The mean of dot products is the dot product with the mean, so the cost does not grow with R.
    """
    if not len(reference_foreground):
        raise ValueError("the reference has no foreground token")
    return target @ reference_foreground.mean(dim=0)


def semantic_scores(cross_q: Tensor, class_key: Tensor) -> Tensor:
    """`S_S = F_S . c` for cross-attention queries `[N, C]` and the projected class vector `[C]`; `[N]`."""
    return cross_q @ class_key


def unit_range(values: Tensor) -> Tensor:
    """Bring finite values to [0, 1] by their minimum and maximum; a constant map becomes zeros."""
    low, high = values.amin(), values.amax()
    span = high - low
    if not torch.isfinite(span) or float(span) <= 1e-12:
        return torch.zeros_like(values)
    return (values - low) / span


def fuse_maps(appearance: Tensor, semantic: Tensor) -> Tensor:
    """`S = (S_A + S_S) / 2` after bringing both to [0, 1]."""
    return (unit_range(appearance) + unit_range(semantic)) / 2


def retrieval_score(fused: Tensor) -> float:
    """Published retrieval score: the mean of S over the target."""
    return float(fused.mean())


def semantic_foreground(
    cross_q: Tensor, keys: Tensor, class_tokens: list[int], *, tau: float = FOREGROUND_TAU
) -> Tensor:
    """Reference foreground without a mask: `softmax(F_S . c / sqrt(d)) > tau`, boolean `[N]`.

    The softmax runs over the prompt's tokens (row 0, the start token, is left out because it soaks up attention); the
    class tokens' share is brought to [0, 1] over the image, since among 76 tokens no share reaches tau by itself.

    Args:
        cross_q: `[N, C]`; keys: `[T, C]` projected prompt tokens; class_tokens: rows of `keys` that hold the class name.
    """
    logits = cross_q @ keys[1:].T / math.sqrt(cross_q.shape[1])
    share = logits.softmax(dim=1)[:, [i - 1 for i in class_tokens]].sum(dim=1)
    return unit_range(share) > tau


def project_out(tokens: Tensor, background: Tensor, *, energy: float = 0.9, max_rank: int = 16) -> Tensor:
    """Remove the subspace of the reference's background tokens from `tokens` (training-free background suppression).

    The subspace is spanned by the leading right singular vectors that hold `energy` of the squared norm of
    `background` `[B, C]`, at most `max_rank` and at most half of the channels (else nothing would be left).
    """
    if len(background) < 2:
        return tokens
    _, values, rows = torch.linalg.svd(background, full_matrices=False)
    share = torch.cumsum(values**2, 0) / (values**2).sum().clamp_min(1e-12)
    rank = int((share < energy).sum()) + 1
    basis = rows[: min(rank, max_rank, tokens.shape[1] // 2)]
    return tokens - (tokens @ basis.T) @ basis


def upsample_map(values: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear `[h, w]` -> `[H, W]` (align_corners False, as published)."""
    return F.interpolate(values[None, None].float(), size=size_hw, mode="bilinear", align_corners=False)[0, 0]


def first_maximum(values: Tensor) -> tuple[int, int]:
    """(row, column) of the first maximum in row-major order (ties are common in vote maps)."""
    flat = values.flatten()
    index = int(torch.nonzero(flat == flat.max())[0, 0])
    return index // values.shape[1], index % values.shape[1]
