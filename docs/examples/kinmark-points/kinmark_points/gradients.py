"""A small descriptor: eight directions of the brightness gradient in 3 x 3 neighbouring cells."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from kinmark.plugins import DenseDescriptor

DIRECTIONS = 8


def compute(images, cells_wh):
    """uint8 `[B, H, W, 3]`, (columns, rows) -> float32 `[B, C, rows, columns]` of unit length per cell."""
    grey = torch.from_numpy(np.ascontiguousarray(images)).float().mean(-1)[:, None]
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    dy = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    angles = torch.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    energy = (dx * torch.cos(angles)[:, None, None] + dy * torch.sin(angles)[:, None, None]).clamp(min=0)
    pooled = F.adaptive_avg_pool2d(energy, (cells_wh[1], cells_wh[0]))
    around = F.unfold(pooled, 3, padding=1).reshape(len(grey), -1, cells_wh[1], cells_wh[0])
    return F.normalize(around + 1e-6, dim=1)


DESCRIPTOR = DenseDescriptor("gradients", "1", compute)
