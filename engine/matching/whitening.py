"""Decorrelating features by the collection's own statistics, so that what is common to every photo counts little.

The cosine of whitened features is the score of a linear discriminant trained against the background (Hariharan et al.
2012): the covariance of ordinary cells is estimated once, shrunk towards the identity, and inverted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kinmark.engine.backbones.devices import cpu_has_bf16
from kinmark.engine.features.fusion import lengths
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
        """`[C, h, w]` -> `[D, h, w]` float32, L2-normalised per cell.

        Where the processor multiplies bfloat16, so does this: what is rounded is a thousandth of a centred cell.
        """
        # One product of the map as it lies, without transposing it.
        cells = maps.flatten(1)
        centred = (cells / (lengths(cells, 0) + NORM_EPS)).sub_(self.mean[:, None])
        small = (self._transposed @ centred.to(self._transposed.dtype)).float()
        return small.div_(lengths(small, 0) + NORM_EPS).unflatten(1, maps.shape[1:])

    @cached_property
    def _transposed(self) -> Tensor:
        on_cpu = self.projection.device.type == "cpu"
        return self.projection.T.contiguous().to(torch.bfloat16 if on_cpu and cpu_has_bf16() else torch.float32)


@dataclass(frozen=True)
class Unchanged(Whitener):
    """Leaves the cosine as it is (published matching)."""

    def __call__(self, features: Tensor) -> Tensor:
        """`[..., C]` L2-normalised features, as they are."""
        return l2_normalise(features)

    def maps(self, maps: Tensor) -> Tensor:
        """`[C, h, w]`, L2-normalised per cell."""
        return l2_normalise(maps, dim=0)


def identity_whitener(channels: int) -> Whitener:
    """Leaves the cosine as it is (published matching)."""
    return Unchanged(torch.zeros(channels), torch.eye(channels))


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
