"""Reading feature vectors out of maps, and the normalisation that makes a dot product a cosine (methods/matching.md)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NORM_EPS = 1e-6


def sample_features(maps: Tensor, xy_feature: Tensor) -> Tensor:
    """Bilinear reading with aligned corners; positions outside a map fade into zeros (as in SD4Match).

    Args:
        maps: `[B, C, h, w]` float.
        xy_feature: `[B, N, 2]` cell-index positions in (x, y) order.

    Returns:
        `[B, N, C]`, not normalised.

    Raises:
        ValueError: shapes that do not belong together.
    """
    if maps.ndim != 4 or xy_feature.ndim != 3 or xy_feature.shape[-1] != 2 or len(maps) != len(xy_feature):
        raise ValueError(f"need maps [B,C,h,w] and points [B,N,2], got {tuple(maps.shape)}, {tuple(xy_feature.shape)}")
    height, width = maps.shape[-2:]
    size = torch.tensor([max(width - 1, 1), max(height - 1, 1)], dtype=maps.dtype, device=maps.device)
    grid = xy_feature.to(maps) / size * 2 - 1
    sampled = functional.grid_sample(maps, grid[:, None], mode="bilinear", padding_mode="zeros", align_corners=True)
    return sampled[:, :, 0].transpose(1, 2)


def l2_normalise(features: Tensor, *, dim: int = -1, eps: float = NORM_EPS) -> Tensor:
    """`features / (norm + eps)` along `dim` (the reference adds eps to the norm instead of clamping it)."""
    return features / (torch.linalg.vector_norm(features, dim=dim, keepdim=True) + eps)
