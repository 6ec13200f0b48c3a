"""The fusion slot: a second dense descriptor beside the diffusion map (methods/features.md).

Both parts are L2-normalised per cell and concatenated with square-root weights, so that the cosine of two fused cells is
exactly `(1 - w) * cosine_1 + w * cosine_2`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said

EPS = 1e-6
DescriptorFunction = Callable[[NDArray[np.uint8], tuple[int, int]], Tensor]
"""images uint8 `[B, H, W, 3]`, cells (columns, rows) -> `[B, C, h, w]` float32, L2-normalised per cell."""


@dataclass(frozen=True)
class DenseDescriptor:
    """A second dense descriptor; `version` stands in every RunSpec that used it, `batch` views are described at once."""

    name: str
    version: str
    compute: DescriptorFunction
    batch: int = 1


def lengths(features: Tensor, dim: int) -> Tensor:
    """Along `dim`, which stays with one entry; several times quicker than `norm` where that axis is strided."""
    return (features * features).sum(dim=dim, keepdim=True).sqrt_()


def l2_normalise(maps: Tensor) -> Tensor:
    """Unit length per cell along dim -3 of `[..., C, h, w]`."""
    return maps / (maps.norm(dim=-3, keepdim=True) + EPS)


def resample(maps: Tensor, cells_wh: tuple[int, int]) -> Tensor:
    """`[B, C, h, w]` to another corner-aligned grid (bilinear); the same tensor when nothing changes."""
    if (maps.shape[-1], maps.shape[-2]) == cells_wh:
        return maps
    return F.interpolate(maps, size=(cells_wh[1], cells_wh[0]), mode="bilinear", align_corners=True)


def fuse(maps: Tensor, descriptor_maps: Tensor, weight: float) -> Tensor:
    """Fuse `[B, C1, h, w]` and `[B, C2, h2, w2]` to `[B, C1 + C2, H, W]` on the finer of the two grids.

    Args:
        weight: of the descriptor in the cosine, 0..1.
    """
    if not 0.0 <= weight <= 1.0:
        raise UserInputError(said("The fusion weight must lie between 0 and 1, got {0}.", weight))
    cells = max((m.shape[-1], m.shape[-2]) for m in (maps, descriptor_maps))
    first = l2_normalise(resample(maps, cells)) * (1.0 - weight) ** 0.5
    second = l2_normalise(resample(descriptor_maps.to(maps.device, maps.dtype), cells)) * weight**0.5
    return torch.cat([first, second], dim=-3)


def join_blocks(maps: list[Tensor], weights: list[float]) -> Tensor:
    """Join up-block maps `[B, C_i, h_i, w_i]` on the finest grid, each L2-normalised, square-root weighted."""
    cells = max((m.shape[-1], m.shape[-2]) for m in maps)
    return torch.cat([l2_normalise(resample(m, cells)) * w**0.5 for m, w in zip(maps, weights, strict=True)], dim=-3)


def kernel_scores(cosines: Tensor, width: float) -> Tensor:
    """Gaussian kernel of unit vectors from their cosines: `exp((cosine - 1) / width)`, any shape, values in (0, 1].

    The cosines of a histogram descriptor are high everywhere and differ little; in a plain sum they blur the learned
    part where they know nothing and say too little where they are sure. The kernel is close to zero but for real
    likeness, so one fusion weight serves both cases (measured: docs/lab/embedded-model.md).
    """
    return torch.exp((cosines - 1.0) / width)
