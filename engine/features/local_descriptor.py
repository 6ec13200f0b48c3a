"""Multi-scale dense RootSIFT-like descriptor, batched in torch (Lowe 2004; Arandjelovic & Zisserman 2012).

The classical partner of the embedded model in the fusion slot: sharp where the small model is vague.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

BIN_SIZES = (3.0, 6.0, 12.0)
"""Side of one of the 4 x 4 spatial bins in pixels, per scale."""
PIXELS_PER_STEP = {12.0: 2}
"""So many pixels apart the gradients of a scale are taken: what is blurred so far has nothing finer (cosine to every pixel 0.9995)."""
ORIENTATIONS = 8


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
    height, width = grey.shape[-2:]
    xs = torch.linspace(0, width - 1, cells_wh[0], device=grey.device)
    ys = torch.linspace(0, height - 1, cells_wh[1], device=grey.device)
    parts = [_one_scale(grey, bin_size, xs, ys) for bin_size in BIN_SIZES]
    return F.normalize(torch.cat(parts, dim=1), dim=1)


def _one_scale(grey: Tensor, bin_size: float, xs: Tensor, ys: Tensor) -> Tensor:
    height, width = grey.shape[-2:]
    step, device, dtype = PIXELS_PER_STEP.get(bin_size, 1), grey.device, grey.dtype
    down, across = (_rows(side, bin_size / 4, device, dtype)[::step] for side in (height, width))
    energy = orientation_energy(down @ grey @ across.T)
    offsets = ((torch.arange(4, device=device) - 1.5) * bin_size)[:, None]
    # Blurring and reading at the bins are both linear along an axis: one matrix each, instead of convolving every pixel.
    across, down = (
        _at(((places + offsets) / step).flatten(), side) @ _rows(side, bin_size / 2 / step, device, dtype)
        for places, side in ((xs, energy.shape[-1]), (ys, energy.shape[-2]))
    )
    bins = (down @ energy @ across.T).unflatten(-1, (4, len(xs))).unflatten(2, (4, len(ys)))  # B, 8, oy, y, ox, x
    histogram = bins.permute(0, 2, 4, 1, 3, 5).flatten(1, 3)
    clipped = histogram.div_(histogram.norm(dim=1, keepdim=True) + 1e-6).clamp_max_(0.2)
    return clipped.div_(clipped.sum(dim=1, keepdim=True) + 1e-6).sqrt_()


@lru_cache(maxsize=64)
def _rows(length: int, sigma: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`[length, length]`: Gaussian blur of a row of pixels, the border repeated. Read only."""
    radius = max(1, round(3 * sigma))
    steps = torch.arange(-radius, radius + 1, device=device, dtype=dtype)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    source = (torch.arange(length, device=device)[:, None] + steps.long()).clamp(0, length - 1)
    rows = torch.zeros(length, length, device=device, dtype=dtype)
    return rows.scatter_add_(1, source, (kernel / kernel.sum()).expand(length, -1))


def _at(places: Tensor, length: int) -> Tensor:
    """`[N, length]`: linear interpolation at places in pixels, the border repeated."""
    places = places.clamp(0, length - 1)
    low = places.floor().long().clamp(0, max(length - 2, 0))
    share = places - low
    rows = torch.zeros(len(places), length, device=places.device, dtype=places.dtype)
    rows.scatter_add_(1, low[:, None], (1 - share)[:, None])
    return rows.scatter_add_(1, (low + 1).clamp_max(length - 1)[:, None], share[:, None])
