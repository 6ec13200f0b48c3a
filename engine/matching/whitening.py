"""Decorrelating features by the collection's own statistics, so that what is common to every photo counts little.

The cosine of whitened features is the score of a linear discriminant trained against the background (Hariharan et al.
2012): the covariance of ordinary cells is estimated once, shrunk towards the identity, and inverted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kinmark.engine.matching.sampling import NORM_EPS, l2_normalise

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
        # One product of the map as it lies; lengths and mean are taken into account on the result, which saves copies.
        cells = maps.flatten(1)
        small = self.projection.T.contiguous() @ cells
        small.div_((cells * cells).sum(dim=0).sqrt_().add_(NORM_EPS)).sub_((self.mean @ self.projection)[:, None])
        return small.div_((small * small).sum(dim=0).sqrt_().add_(NORM_EPS)).unflatten(1, maps.shape[1:])


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
