"""Multi-scale dense RootSIFT-like descriptor, batched in torch (Lowe 2004; Arandjelovic & Zisserman 2012).

The classical partner of the embedded model in the fusion slot: sharp where the small model is vague.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.features.fusion import lengths

BIN_SIZES = (3.0, 6.0, 12.0)
"""Side of one of the 4 x 4 spatial bins in pixels, per scale."""
PIXELS_PER_STEP = {12.0: 2}
"""So many pixels apart the gradients of a scale are taken: what is blurred so far has nothing finer (cosine to every pixel 0.9995)."""
ORIENTATIONS = 8
BLOCKS = 6
"""Into so many blocks of rows the matrices along an axis are cut: a block reaches a sixth of the pixels and some neighbours."""


def orientation_energy(grey: Tensor) -> Tensor:
    """`[B, 1, H, W]` in 0..1 -> gradient energy softly split over orientations `[B, 8, H, W]`."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    dy = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    magnitude = torch.sqrt(dx * dx + dy * dy + 1e-12)
    angle = torch.atan2(dy, dx).mul_(ORIENTATIONS / (2 * torch.pi))
    centres = torch.arange(ORIENTATIONS, device=grey.device, dtype=grey.dtype).view(1, -1, 1, 1)
    apart = (angle - centres).abs_()
    around = (apart - ORIENTATIONS).abs_()
    share = torch.minimum(apart, around, out=around).neg_().add_(1).clamp_min_(0)
    return share.mul_(magnitude)


def dense_descriptor(images: NDArray[np.uint8] | Tensor, *, cells_wh: tuple[int, int]) -> Tensor:
    """RootSIFT at every cell of a corner-aligned grid, scales concatenated.

    Args:
        images: uint8 `[B, H, W, 3]`.
        cells_wh: (columns, rows) of the grid.

    Returns:
        `[B, 3 * 128, h, w]` float32, L2-normalised per cell.
    """
    pixels = torch.as_tensor(images).float() / 255.0
    grey = (pixels @ torch.tensor([0.299, 0.587, 0.114], device=pixels.device))[:, None]
    parts = [_one_scale(grey, bin_size, cells_wh) for bin_size in BIN_SIZES]
    joined = torch.cat(parts, dim=1)
    return joined.div_(lengths(joined, 1).clamp_min_(1e-12))


def _one_scale(grey: Tensor, bin_size: float, cells_wh: tuple[int, int]) -> Tensor:
    height, width = grey.shape[-2:]
    step, device = PIXELS_PER_STEP.get(bin_size, 1), grey.device
    down, across = (_blurred(side, bin_size / 4, step, device) for side in (height, width))
    energy = orientation_energy(down.along_columns(across.along_rows(grey)))
    down, across = (
        _bins(side, cells, bin_size, step, device) for side, cells in ((height, cells_wh[1]), (width, cells_wh[0]))
    )
    bins = down.along_columns(across.along_rows(energy))
    bins = bins.unflatten(-1, (cells_wh[0], 4)).unflatten(2, (cells_wh[1], 4))  # B, 8, y, oy, x, ox
    histogram = bins.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)
    clipped = histogram.div_(lengths(histogram, 1).add_(1e-6)).clamp_max_(0.2)
    return clipped.div_(clipped.sum(dim=1, keepdim=True) + 1e-6).sqrt_()


@dataclass(frozen=True)
class _Band:
    """A matrix `[N, length]` whose rows reach a few neighbours each: by blocks of rows, with the columns that they reach."""

    blocks: tuple[tuple[slice, Tensor], ...]

    def along_rows(self, images: Tensor) -> Tensor:
        """`[B, C, H, length]` -> `[B, C, H, N]`."""
        return torch.cat([images[..., reach] @ block.T for reach, block in self.blocks], dim=-1)

    def along_columns(self, images: Tensor) -> Tensor:
        """`[B, C, length, W]` -> `[B, C, N, W]`."""
        flat = images.flatten(0, 1)
        found = [block.expand(len(flat), -1, -1).bmm(flat[:, reach]) for reach, block in self.blocks]
        return torch.cat(found, dim=1).unflatten(0, images.shape[:2])


def _band(matrix: Tensor) -> _Band:
    blocks = []
    for rows in matrix.chunk(BLOCKS):
        reached = (rows != 0).any(dim=0).nonzero()
        reach = slice(int(reached[0]), int(reached[-1]) + 1)
        blocks.append((reach, rows[:, reach].contiguous()))
    return _Band(tuple(blocks))


@lru_cache(maxsize=64)
def _blurred(length: int, sigma: float, step: int, device: torch.device) -> _Band:
    """Gaussian blur of a row of pixels, every `step`-th of the result."""
    return _band(_rows(length, sigma, device)[::step])


@lru_cache(maxsize=64)
def _bins(side: int, cells: int, bin_size: float, step: int, device: torch.device) -> _Band:
    """From an axis of `side` pixels, blurred and thinned by `step`, to the four bins about each of `cells` places.

    Blurring and reading are both linear along an axis: one matrix, instead of convolving every pixel.
    """
    length = -(-side // step)
    places = torch.linspace(0, side - 1, cells, device=device)[:, None]
    offsets = (torch.arange(4, device=device) - 1.5) * bin_size
    return _band(_at(((places + offsets) / step).flatten(), length) @ _rows(length, bin_size / 2 / step, device))


def _rows(length: int, sigma: float, device: torch.device) -> Tensor:
    """`[length, length]`: Gaussian blur of a row of pixels, the border repeated."""
    radius = max(1, round(3 * sigma))
    steps = torch.arange(-radius, radius + 1, device=device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    source = (torch.arange(length, device=device)[:, None] + steps.long()).clamp(0, length - 1)
    rows = torch.zeros(length, length, device=device)
    return rows.scatter_add_(1, source, (kernel / kernel.sum()).expand(length, -1))


def _at(places: Tensor, length: int) -> Tensor:
    """`[N, length]`: linear interpolation at places in pixels, the border repeated."""
    places = places.clamp(0, length - 1)
    low = places.floor().long().clamp(0, max(length - 2, 0))
    share = places - low
    rows = torch.zeros(len(places), length, device=places.device, dtype=places.dtype)
    rows.scatter_add_(1, low[:, None], (1 - share)[:, None])
    return rows.scatter_add_(1, (low + 1).clamp_max(length - 1)[:, None], share[:, None])
