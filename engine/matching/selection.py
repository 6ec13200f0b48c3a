"""From a similarity map to one position: nn, bilinear, softargmax, kernel_softargmax (methods/matching.md).

All positions are xy_feature (cell indices, x first). Cells at -inf never win and take no part in a softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kinmark.engine.matching.sampling import l2_normalise, sample_features

TEMPERATURE = 0.04
SIGMA_CELLS = 7.0
CORNER_EPS = 1e-5


def nearest(maps: Tensor) -> Tensor:
    """`[..., h, w]` -> `[..., 2]`: the cell of the largest value."""
    width = maps.shape[-1]
    index = maps.flatten(-2).argmax(dim=-1)
    return torch.stack([index % width, index // width], dim=-1).to(maps.dtype)


def soft_argmax(maps: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """`[..., h, w]` -> `[..., 2]`: expected cell under `softmax(values / temperature)`."""
    height, width = maps.shape[-2:]
    weights = torch.softmax(maps.flatten(-2) / temperature, dim=-1).reshape(maps.shape)
    xs = torch.arange(width, dtype=maps.dtype, device=maps.device)
    ys = torch.arange(height, dtype=maps.dtype, device=maps.device)
    return torch.stack([(weights.sum(-2) * xs).sum(-1), (weights.sum(-1) * ys).sum(-1)], dim=-1)


def kernel_soft_argmax(
    maps: Tensor, *, temperature: float = TEMPERATURE, sigma_cells: float = SIGMA_CELLS, centres: Tensor | None = None
) -> Tensor:
    """Soft argmax of the values multiplied by a Gaussian about the argmax (or about `centres` `[..., 2]`).

    As published the factor also lifts negative scores to 0 far away; cells at -inf stay there.
    """
    height, width = maps.shape[-2:]
    middle = nearest(maps) if centres is None else centres
    xs = torch.arange(width, dtype=maps.dtype, device=maps.device)
    ys = torch.arange(height, dtype=maps.dtype, device=maps.device)
    dx = (xs - middle[..., 0:1])[..., None, :]
    dy = (ys - middle[..., 1:2])[..., :, None]
    weighted = maps * torch.exp(-(dx**2 + dy**2) / (2 * sigma_cells**2))
    return soft_argmax(torch.where(torch.isfinite(maps), weighted, maps), temperature=temperature)


def bilinear_match(
    source: Tensor, xy_feature: Tensor, target: Tensor, *, normalise: bool = True, inside: Tensor | None = None
) -> Tensor:
    """Nearest neighbours of the four source cells around each query, blended by the sub-cell position.

    Args:
        source: `[C, h, w]` and target `[C, h', w']`.
        xy_feature: `[N, 2]` queries in the source map; pushed 1e-5 inside its border first (as published).
        inside: `[h', w']` bool, restriction of the target.

    Returns:
        `[N, 2]` xy_feature in the target.
    """
    height, width = source.shape[-2:]
    limit = torch.tensor([width - 1, height - 1], dtype=source.dtype, device=source.device)
    query = torch.minimum(xy_feature.to(source).clamp(min=CORNER_EPS), (limit - CORNER_EPS).clamp(min=0))
    low = query.floor()
    share = query - low
    if normalise:
        source, target = l2_normalise(source, dim=0), l2_normalise(target, dim=0)
    flat = target.flatten(1)
    result = torch.zeros_like(query)
    for dx in (0, 1):
        for dy in (0, 1):
            corner = torch.minimum(low + torch.tensor([dx, dy], dtype=source.dtype, device=source.device), limit)
            features = sample_features(source[None], corner[None])[0]
            maps = (features @ flat).reshape(-1, *target.shape[-2:])
            if inside is not None:
                maps = torch.where(inside, maps, torch.full_like(maps, float("-inf")))
            weight = (share[:, 0] if dx else 1 - share[:, 0]) * (share[:, 1] if dy else 1 - share[:, 1])
            result += weight[:, None] * nearest(maps)
    return result


def select(maps: Tensor, method: str, *, temperature: float = TEMPERATURE, sigma_cells: float = SIGMA_CELLS) -> Tensor:
    """`[N, h, w]` -> `[N, 2]` by a map-based method; "bilinear" needs source maps and falls back to "nn" here.

    Fused exemplars have no single source map around which to blend, so `bilinear` is only exact in `bilinear_match`.
    """
    if method in ("nn", "bilinear"):
        return nearest(maps)
    if method == "softargmax":
        return soft_argmax(maps, temperature=temperature)
    if method == "kernel_softargmax":
        return kernel_soft_argmax(maps, temperature=temperature, sigma_cells=sigma_cells)
    raise ValueError(f"unknown matching method {method!r}")
