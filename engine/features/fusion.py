"""The fusion slot: a second dense descriptor beside the diffusion map (methods/features.md).

Both parts are L2-normalised per cell and concatenated with square-root weights, so that the cosine of two fused cells is
exactly `(1 - w) * cosine_1 + w * cosine_2`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine import plugins
from engine.domain.errors import UserInputError
from engine.domain.texts import said

EPS = 1e-6
NATURAL_BATCH = 8
DescriptorFunction = Callable[[NDArray[np.uint8], tuple[int, int]], Tensor]
"""images uint8 `[B, H, W, 3]`, cells (columns, rows) -> `[B, C, h, w]` float32, L2-normalised per cell."""


@dataclass(frozen=True)
class DenseDescriptor:
    """A registered dense descriptor; `version` stands in every RunSpec that used it, `batch` views are described at once."""

    name: str
    version: str
    compute: DescriptorFunction
    batch: int = 1


def _dense_sift(images: NDArray[np.uint8], cells_wh: tuple[int, int]) -> Tensor:
    from engine.features import local_descriptor

    return local_descriptor.dense_descriptor(images, cells_wh=cells_wh)


def _colour(images: NDArray[np.uint8], cells_wh: tuple[int, int]) -> Tensor:
    module = importlib.import_module("engine.features.colour")
    return module.colour_map(images, cells_wh)


def _efficientnet(name: str, device: torch.device | str) -> DenseDescriptor:
    from engine.features.efficientnet import DESCRIPTOR_PREFIX, VARIANTS, NaturalFeatures

    variant = name.removeprefix(DESCRIPTOR_PREFIX)
    if variant not in VARIANTS:
        raise UserInputError(said("There is no EfficientNet '{0}'.", variant), said("Known: {0}.", ', '.join(VARIANTS)))
    features = NaturalFeatures(variant, device)
    return DenseDescriptor(name, features.version, features.dense, NATURAL_BATCH)


_DESCRIPTORS: dict[str, DenseDescriptor] = {
    "dense_sift": DenseDescriptor("dense_sift", "1", _dense_sift),
    "colour": DenseDescriptor("colour", "1", _colour),
}


def register_descriptor(descriptor: DenseDescriptor) -> None:
    """Add or replace a second descriptor (raise its version when its numbers change)."""
    _DESCRIPTORS[descriptor.name] = descriptor


def get_descriptor(name: str, device: torch.device | str = "cpu") -> DenseDescriptor:
    """A registered descriptor, its network (if it has one) loaded on the device.

    Raises:
        UserInputError: unknown name. ModelMissingError, ModelCorruptError: of its weights.
    """
    if name.startswith("dino:"):
        from engine.features.dino import dino_descriptor

        return dino_descriptor(name, device)
    if name.startswith("efficientnet_"):
        return _efficientnet(name, device)
    if name in _DESCRIPTORS:
        return _DESCRIPTORS[name]
    found = _from_plugins().get(name)
    if found is None:
        known = ", ".join(descriptor_names())
        raise UserInputError(
            said("There is no dense descriptor '{0}'.", name), said("Known: {0}, efficientnet_lite2, dino:<folder>.", known)
        )
    return found


def descriptor_names() -> tuple[str, ...]:
    """Ours and those of plug-ins."""
    return tuple(sorted({**_DESCRIPTORS, **_from_plugins()}))


def _from_plugins() -> dict[str, DenseDescriptor]:
    return plugins.load(plugins.DESCRIPTORS, DenseDescriptor, lambda made: made.name, frozenset(_DESCRIPTORS))


@dataclass(frozen=True)
class DescriptorPart:
    """One term of a descriptor that is a sum: its share of the cosine, and at how many times the input size it looks."""

    name: str
    weight: float = 1.0
    scale: float = 1.0


def parse_parts(text: str) -> tuple[DescriptorPart, ...]:
    """The parts of `name[@scale][*weight] + ...`; weights come back with sum 1.

    Raises:
        UserInputError: a scale or weight that is no positive number, or the same name twice.
    """
    if ("+" not in text and "@" not in text and "*" not in text) or text.startswith("dino:"):
        return (DescriptorPart(text),)
    parts = []
    for term in text.split("+"):
        name, _, weight = term.strip().partition("*")
        name, _, scale = name.partition("@")
        try:
            parts.append(DescriptorPart(name.strip(), float(weight or 1), float(scale or 1)))
        except ValueError:
            raise UserInputError(said("'{0}' is no part of a descriptor.", term.strip()), "Write name@scale*weight.") from None
    if len({p.name for p in parts}) < len(parts) or any(p.weight <= 0 or p.scale <= 0 for p in parts):
        raise UserInputError(said("The descriptor '{0}' names a part twice, or one without weight or size.", text), "Correct it.")
    total = sum(p.weight for p in parts)
    return tuple(DescriptorPart(p.name, p.weight / total, p.scale) for p in parts)


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
    likeness, so one fusion weight serves both cases (measured: docs/embedded-model.md).
    """
    return torch.exp((cosines - 1.0) / width)
