"""Losses of the embedded model: correspondence, identity and class on U-Net features, next to the diffusion loss.

Grids: a feature map [B, C, h, w] covers the whole view of `size` pixels; pixel x lies at x / size * w - 0.5 in cells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def sample_grid(maps: Tensor, xy: Tensor, size: int) -> Tensor:
    """Bilinear samples of `maps` [B, C, h, w] at `xy` [B, M, 2] pixels -> [B, M, C]."""
    grid = (xy / size * 2 - 1)[:, :, None]
    return F.grid_sample(maps, grid, align_corners=False, padding_mode="border")[..., 0].transpose(1, 2)


def bilinear_cells(xy: Tensor, size: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The four cells around pixel points [..., 2] -> (flat index [..., 4], weight [..., 4])."""
    x = (xy[..., 0] / size * width - 0.5).clamp(0, width - 1)
    y = (xy[..., 1] / size * height - 0.5).clamp(0, height - 1)
    x0, y0 = x.floor().clamp(max=width - 2), y.floor().clamp(max=height - 2)
    fx, fy = x - x0, y - y0
    base = (y0 * width + x0).long()
    index = torch.stack([base, base + 1, base + width, base + width + 1], -1)
    weight = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], -1)
    return index, weight


def correspondence_loss(
    maps: Tensor,
    query_image: Tensor,
    query_xy: Tensor,
    target_xy: Tensor,
    weight: Tensor,
    size: int,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the similarity over all target cells against the true position (bilinear soft target).

    `maps` [B, C, h, w]; per target picture M queries: `query_image` [B, M], `query_xy`, `target_xy` [B, M, 2] pixels,
    `weight` [B, M] (0 = none). Returns (weighted mean loss, per-query hit within 1.5 cells [B, M]).
    """
    b, _, h, w = maps.shape
    maps = F.normalize(maps, dim=1)
    m = query_xy.shape[1]
    index, share = bilinear_cells(query_xy, size, h, w)
    flat = maps.flatten(2).transpose(1, 2).reshape(b * h * w, -1)
    cells = index + (query_image * (h * w))[..., None]
    queries = (flat[cells.reshape(-1)].view(b, m, 4, -1) * share[..., None]).sum(2)
    queries = F.normalize(queries, dim=-1)
    logits = torch.bmm(queries, maps.flatten(2)) / temperature
    index, share = bilinear_cells(target_xy, size, h, w)
    log_p = torch.gather(F.log_softmax(logits, -1), 2, index)
    loss = -(share * log_p).sum(-1)
    with torch.no_grad():
        best = logits.argmax(-1)
        dx = (best % w + 0.5) / w * size - target_xy[..., 0]
        dy = (best // w + 0.5) / h * size - target_xy[..., 1]
        hit = (dx * dx + dy * dy).sqrt() <= 1.5 * size / w
    return (loss * weight).sum() / weight.sum().clamp(min=1e-6), hit


def prototype_loss(
    maps: Tensor, points: Tensor, visible: Tensor, prototypes: Tensor, weight: Tensor, size: int, temperature: float
) -> Tensor:
    """Every visible point of a picture must pick its own prototype among its category's (a canonical body chart).

    `points` [B, P, 2], `visible` [B, P], `prototypes` [B, P, C] (already chosen by category), `weight` [B].
    """
    features = F.normalize(sample_grid(maps, points, size), dim=-1)
    logits = torch.bmm(features, F.normalize(prototypes, dim=-1).transpose(1, 2)) / temperature
    target = torch.arange(points.shape[1]).expand(points.shape[:2])
    loss = F.cross_entropy(logits.flatten(0, 1), target.reshape(-1), reduction="none").view(visible.shape)
    mass = visible.float() * weight[:, None]
    return (loss * mass).sum() / mass.sum().clamp(min=1e-6)


def identity_loss(tokens: Tensor, mine: Tensor, identity: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Appearance loss for the instance method: the mean of an instance's foreground tokens must score the tokens of
    the same identity in the other pictures of its group above everything else there (same-class distractors included).

    `tokens` [B, N, C] = (Q + K) / 2, `mine` [B, N] float foreground of the main instance, `identity` [B].
    """
    b, n, c = tokens.shape
    v = b // groups
    mean = (tokens * mine[..., None]).sum(1) / mine.sum(1, keepdim=True).clamp(min=1.0)
    t, r = tokens.view(groups, v, n, c), mean.view(groups, v, c)
    logits = torch.einsum("gic,gjnc->gijn", r, t) / c**0.5
    other = ~torch.eye(v, dtype=torch.bool)[None, :, :, None]
    same = (identity.view(groups, v, 1) == identity.view(groups, 1, v))[..., None] & other
    positive = (mine.view(groups, 1, v, n) * same).flatten(2)
    log_p = F.log_softmax(logits.masked_fill(~other, -1e4).flatten(2), -1)
    count = positive.sum(-1)
    mass = weight.view(groups, v) * (count > 0) * (mine.view(groups, v, n).sum(-1) > 0)
    loss = -(log_p * positive).sum(-1) / count.clamp(min=1.0)
    return (loss * mass).sum() / mass.sum().clamp(min=1e-6)


def class_loss(queries: Tensor, keys: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Cross-attention queries [B, N, C] against the class token's key [B, C]: balanced BCE to the class mask [B, N]."""
    logits = torch.einsum("bnc,bc->bn", queries, keys) / queries.shape[-1] ** 0.5
    loss = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    share = mask.mean(1, keepdim=True).clamp(0.1, 0.9)
    balance = torch.where(mask > 0.5, 0.5 / share, 0.5 / (1 - share))
    return ((loss * balance).mean(1) * weight).sum() / weight.sum().clamp(min=1e-6)
