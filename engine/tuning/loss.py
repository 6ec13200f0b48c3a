"""The correspondence loss of SD4Match: cross-entropy against a small Gaussian (methods/prompts.md).

Source: SD4Match (Li et al., CVPR 2024), section 3.2, as specified in methods/prompts.md; checked against `sd4match_loss`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class LossConfig:
    """Settings of `correspondence_loss`; the defaults are the published ones, made safe.

    Attributes:
        temperature: of the softmax over target cells.
        kernel_size, sigma_cells: of the Gaussian around the true position (odd size).
        normalise: L2-normalise features (`norm_eps` is added to the norm).
        probability_floor: smallest probability whose logarithm is taken. The published code has none, so an underflowing
            softmax makes the loss infinite (or NaN at the border); 0 reproduces that. Cosines at 0.04 stay above 1e-26.
        renormalise_kernel: give a keypoint at the border the same weight as any other. The published loss does not.
    """

    temperature: float = 0.04
    kernel_size: int = 7
    sigma_cells: float = 1.5
    normalise: bool = True
    norm_eps: float = 1e-6
    probability_floor: float = 1e-30
    renormalise_kernel: bool = False


def gaussian_kernel(config: LossConfig, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Offsets `[k*k, 2]` (x, y) in cells and their density `[k*k]` (not renormalised: it sums to about 0.965)."""
    half = config.kernel_size // 2
    steps = torch.arange(-half, half + 1, dtype=torch.float32, device=device)
    dy, dx = torch.meshgrid(steps, steps, indexing="ij")
    variance = config.sigma_cells**2
    weight = torch.exp(-(dx**2 + dy**2) / (2 * variance)) / (2 * math.pi * variance)
    return torch.stack([dx.reshape(-1), dy.reshape(-1)], dim=1), weight.reshape(-1)


def sample_cells(maps: Tensor, xy_feature: Tensor, padding: str = "zeros") -> Tensor:
    """Bilinear values of `maps` `[B, C, h, w]` at `xy_feature` `[B, N, 2]` (cell indices) as `[B, C, N]`.

    `padding` is grid_sample's: "zeros" outside the map, or the "border" value.
    """
    h, w = maps.shape[-2:]
    size = xy_feature.new_tensor([max(w - 1, 1), max(h - 1, 1)])
    grid = (xy_feature / size * 2 - 1).unsqueeze(1)
    return F.grid_sample(maps, grid.to(maps.dtype), mode="bilinear", padding_mode=padding, align_corners=True).squeeze(
        2
    )


def normalise_channels(x: Tensor, eps: float) -> Tensor:
    """Divide `[B, C, ...]` by (L2 norm over C + eps)."""
    return x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + eps)


def similarity_maps(src: Tensor, tgt: Tensor, src_xy_feature: Tensor, config: LossConfig) -> Tensor:
    """Similarity `[B, N, h, w]` of every source point to every target cell.

    Args:
        src, tgt: feature maps `[B, C, hs, ws]`, `[B, C, h, w]` (sizes may differ).
        src_xy_feature: `[B, N, 2]` points in cells of the source map.
    """
    query = sample_cells(src, src_xy_feature)
    if config.normalise:
        query, tgt = normalise_channels(query, config.norm_eps), normalise_channels(tgt, config.norm_eps)
    return torch.einsum("bcn,bchw->bnhw", query, tgt)


def cross_entropy_of_maps(
    similarity: Tensor, tgt_xy_feature: Tensor, valid: Tensor, config: LossConfig | None = None
) -> Tensor:
    """Scalar loss from similarity maps: mean over points of each pair, then over pairs with at least one point.

    Args:
        similarity: `[B, N, h, w]`.
        tgt_xy_feature: `[B, N, 2]` true positions in target cells.
        valid: `[B, N]` bool; other rows are padding.
    """
    config = config or LossConfig()
    b, n, h, w = similarity.shape
    log_free = (similarity.float() / config.temperature).flatten(2)
    probability = torch.softmax(log_free, dim=-1).view(b * n, 1, h, w)
    offsets, weight = gaussian_kernel(config, similarity.device)
    around = tgt_xy_feature.reshape(b * n, 1, 2).float() + offsets
    p = sample_cells(probability, around, padding="border").squeeze(1).view(b, n, -1)
    size = around.new_tensor([w - 1, h - 1])
    inside = ((around > 0) & (around < size)).all(dim=-1).view(b, n, -1)
    if config.probability_floor > 0:
        # Masked before the logarithm: log(0) times a masked 0 is the NaN of the published code.
        logp = torch.log(torch.where(inside, p, 1.0).clamp_min(config.probability_floor))
        share = weight * inside
        if config.renormalise_kernel:
            share = share * (weight.sum() / share.sum(dim=-1, keepdim=True).clamp_min(1e-6))
        per_point = -(share * logp).sum(dim=-1)
    else:
        per_point = -(weight * torch.log(p) * inside).sum(dim=-1)
    counts = valid.sum(dim=1)
    per_pair = torch.where(valid, per_point, 0.0).sum(dim=1) / counts.clamp_min(1)
    return per_pair.sum() / (counts > 0).sum().clamp_min(1)


def correspondence_loss(
    src: Tensor,
    tgt: Tensor,
    src_xy_feature: Tensor,
    tgt_xy_feature: Tensor,
    valid: Tensor,
    config: LossConfig | None = None,
) -> Tensor:
    """Gaussian cross-entropy of the correspondences of a batch of pairs (shapes as in `similarity_maps`)."""
    config = config or LossConfig()
    return cross_entropy_of_maps(similarity_maps(src, tgt, src_xy_feature, config), tgt_xy_feature, valid, config)
