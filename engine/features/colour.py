"""Dense colour statistics: a soft histogram of the colours around every cell (for the fusion slot and comparisons).

Colour tells instances apart where shape does not; it says nothing about parts, so it is no matching descriptor by itself.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

LIGHTNESS_CENTRES = (0.12, 0.37, 0.63, 0.88)
CHROMA_CENTRES = (-0.32, -0.16, -0.05, 0.05, 0.16, 0.32)
CHROMA_WIDTH = 0.09
LIGHTNESS_WIDTH = 0.16
WINDOW = 1 / 16
"""Side of the averaging window as a share of the longer image side."""
WORK_SIDE = 96
"""Longer side at which colours are counted: the window is six pixels there, and finer costs much for nothing."""


def opponent_channels(pixels: Tensor) -> Tensor:
    """RGB `[B, 3, H, W]` in 0..1 -> lightness in 0..1, red-green and blue-yellow in -1..1, `[B, 3, H, W]`."""
    r, g, b = pixels.unbind(1)
    light = (r + g + b) / 3
    strength = light.clamp_min(0.15)  # chroma relative to brightness, so that a shadow does not change the colour
    return torch.stack([light, (r - g) / (2 * strength), (b - (r + g) / 2) / (2 * strength)], dim=1)


def colour_map(images: NDArray[np.uint8] | Tensor, cells_wh: tuple[int, int]) -> Tensor:
    """Square-rooted local colour histogram on a corner-aligned grid.

    Args:
        images: uint8 `[B, H, W, 3]`.
        cells_wh: (columns, rows) of the grid.

    Returns:
        `[B, 4 * 6 * 6, h, w]` float32, L2-normalised per cell (a dot product is a Bhattacharyya coefficient).
    """
    pixels = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255.0
    scale = WORK_SIDE / max(pixels.shape[-2:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in pixels.shape[-2:]]
        pixels = F.interpolate(pixels, size=size, mode="area")
    height, width = pixels.shape[-2:]
    light, first, second = opponent_channels(pixels).unbind(1)
    bins_l = _soft_bins(light, LIGHTNESS_CENTRES, LIGHTNESS_WIDTH)
    bins_a = _soft_bins(first, CHROMA_CENTRES, CHROMA_WIDTH)
    bins_b = _soft_bins(second, CHROMA_CENTRES, CHROMA_WIDTH)
    side = max(1, round(max(height, width) * WINDOW)) | 1
    joint = torch.einsum("blhw,bahw,bchw->blachw", bins_l, bins_a, bins_b).flatten(1, 3)
    pooled = F.avg_pool2d(joint, side, stride=1, padding=side // 2, count_include_pad=False)
    xs = torch.linspace(-1, 1, cells_wh[0], device=pixels.device)
    ys = torch.linspace(-1, 1, cells_wh[1], device=pixels.device)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1).expand(len(pixels), -1, -1, -1)
    cells = F.grid_sample(pooled, grid, align_corners=True, padding_mode="border")
    return F.normalize(cells.clamp_min(0).sqrt(), dim=1)


def _soft_bins(values: Tensor, centres: tuple[float, ...], width: float) -> Tensor:
    """`[B, H, W]` -> `[B, N, H, W]` Gaussian memberships that sum to one."""
    middle = torch.tensor(centres, device=values.device, dtype=values.dtype).view(1, -1, 1, 1)
    return torch.softmax(-0.5 * ((values[:, None] - middle) / width) ** 2, dim=1)
