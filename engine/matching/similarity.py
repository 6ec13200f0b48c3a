"""Similarity maps: many queries against one target in one matrix product, restricted and fused (methods/matching.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from kinmark.engine.domain.geometry import Box, ImageTransform
from kinmark.engine.matching.sampling import l2_normalise

OUTSIDE = float("-inf")


def similarity_maps(queries: Tensor, target: Tensor, *, normalise: bool = True) -> Tensor:
    """Cosine (or, without `normalise`, dot product) of every query with every cell.

    Args:
        queries: `[N, C]`.
        target: `[C, h, w]`.
        normalise: L2-normalise both sides first (eps 1e-6 added to the norm).

    Returns:
        `[N, h, w]`.
    """
    if queries.ndim != 2 or target.ndim != 3 or queries.shape[1] != target.shape[0]:
        raise ValueError(f"need [N,C] and [C,h,w], got {tuple(queries.shape)} and {tuple(target.shape)}")
    if normalise:
        queries, target = l2_normalise(queries), l2_normalise(target, dim=0)
    channels, height, width = target.shape
    return (queries @ target.reshape(channels, -1)).reshape(-1, height, width)


def fuse_exemplars(maps: Tensor, weights: Tensor | None = None, *, how: str = "max") -> Tensor:
    """Join the similarity maps of several exemplars of the same keypoint (maps, not points).

    Args:
        maps: `[E, N, h, w]`; -inf marks what an exemplar cannot say (its keypoint is absent, or outside the region).
        weights: `[E]` or `[E, N]`, >= 0; None = all equal. With "max" a weight below 1 pulls a map towards its own mean.
        how: "max" or "mean".

    Returns:
        `[N, h, w]`; -inf where no exemplar has a say.
    """
    if how not in ("max", "mean"):
        raise ValueError(f"exemplars are fused by 'max' or 'mean', not {how!r}")
    weight = torch.ones(maps.shape[:2]) if weights is None else weights.to(torch.float32)
    weight = (weight[:, None].expand(maps.shape[:2]) if weight.ndim == 1 else weight)[..., None, None].to(maps.device)
    known = torch.isfinite(maps)
    if how == "max":
        finite = torch.where(known, maps, torch.zeros_like(maps))
        centre = finite.sum((-2, -1), keepdim=True) / known.sum((-2, -1), keepdim=True).clamp(min=1)
        pulled = torch.where(known, centre + (finite - centre) * weight.clamp(max=1), maps)
        return pulled.amax(dim=0)
    share = weight * known
    total = share.sum(0)
    mean = (torch.where(known, maps, torch.zeros_like(maps)) * share).sum(0) / total.clamp(min=1e-12)
    return torch.where(total > 0, mean, torch.full_like(mean, OUTSIDE))


def cell_centres_xy_image(transform: ImageTransform, cells_wh: tuple[int, int]) -> Tensor:
    """`[h, w, 2]` float64: where each cell of a corner-aligned map lies in xy_image."""
    width, height = cells_wh
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([xs, ys], dim=-1).to(torch.float64)
    return torch.from_numpy(transform.from_feature(grid.numpy(), cells_wh))


def inside_region(
    centres_xy_image: Tensor,
    *,
    box: Box | None = None,
    mask: Tensor | None = None,
    image_wh: tuple[int, int] | None = None,
) -> Tensor:
    """`[h, w]` bool: cells whose centre lies in the box, on a true pixel of `mask` `[H, W]`, and inside the image."""
    x, y = centres_xy_image[..., 0], centres_xy_image[..., 1]
    inside = torch.ones_like(x, dtype=torch.bool)
    if box is not None:
        inside &= (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])
    if image_wh is not None:
        inside &= (x >= 0) & (x <= image_wh[0]) & (y >= 0) & (y <= image_wh[1])
    if mask is not None:
        column, row = x.floor().long(), y.floor().long()
        on_mask = (column >= 0) & (column < mask.shape[1]) & (row >= 0) & (row < mask.shape[0])
        inside &= on_mask & mask[row.clamp(0, mask.shape[0] - 1), column.clamp(0, mask.shape[1] - 1)].bool()
    return inside


def restrict(maps: Tensor, inside: Tensor) -> Tensor:
    """-inf outside `inside` `[h, w]`; when the region holds no cell at all, the maps come back unrestricted."""
    if not bool(inside.any()):
        return maps
    return torch.where(inside, maps, torch.full_like(maps, OUTSIDE))
