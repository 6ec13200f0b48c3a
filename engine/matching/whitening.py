"""Decorrelating features by the collection's own statistics, so that what is common to every photo counts little.

The cosine of whitened features is the score of a linear discriminant trained against the background (Hariharan et al.
2012): the covariance of ordinary cells is estimated once, shrunk towards the identity, and inverted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.matching.sampling import l2_normalise

SHRINK = 0.3
MINIMUM_SAMPLES = 64


@dataclass(frozen=True)
class Whitener:
    """`mean` `[C]` and `projection` `[C, D]` of L2-normalised features."""

    mean: Tensor
    projection: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """`[..., C]` L2-normalised features -> `[..., D]`, L2-normalised again."""
        return l2_normalise((features - self.mean) @ self.projection)

    def maps(self, maps: Tensor) -> Tensor:
        """`[C, h, w]` -> `[D, h, w]`, L2-normalised per cell."""
        channels, height, width = maps.shape
        cells = l2_normalise(maps.reshape(channels, -1).T)
        return self(cells).T.reshape(-1, height, width)


def identity_whitener(channels: int) -> Whitener:
    """Leaves the cosine as it is (published matching)."""
    return Whitener(torch.zeros(channels), torch.eye(channels))


def fit_whitener(cells: Tensor, *, strength: float = 1.0, shrink: float = SHRINK) -> Whitener:
    """Fit on `[N, C]` cells of ordinary places.

    Args:
        cells: features, any scale.
        strength: 0 = the plain cosine, 1 = full whitening; between: eigenvalues to the power -strength/2 and a part of
            the mean.
        shrink: share of the mean eigenvalue that is added to all.
    """
    if len(cells) < MINIMUM_SAMPLES or strength <= 0:
        return identity_whitener(cells.shape[1])
    unit = l2_normalise(cells.to(torch.float64))
    mean = unit.mean(dim=0)
    centred = unit - mean
    covariance = centred.T @ centred / len(unit)
    values, vectors = torch.linalg.eigh(covariance)
    values = values.clamp(min=0)
    scale = (values + shrink * values.mean() + 1e-9) ** (-strength / 2)
    projection = vectors * scale / scale.max()
    return Whitener((mean * strength).float(), projection.float())
