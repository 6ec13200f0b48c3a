"""The dense descriptors that can be asked for by name, as parts of a sum (methods/features.md). Networks load on first use."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine import plugins
from kinmark.engine.backbones.catalogue import ADAPTER, PART, HelperSpec, helper, installed_folder
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.features.fusion import DenseDescriptor

NATURAL_BATCH = 8


def _dense_sift(images: NDArray[np.uint8], cells_wh: tuple[int, int]) -> Tensor:
    from kinmark.engine.features import local_descriptor

    return local_descriptor.dense_descriptor(images, cells_wh=cells_wh)


def _colour(images: NDArray[np.uint8], cells_wh: tuple[int, int]) -> Tensor:
    module = importlib.import_module("kinmark.engine.features.colour")
    return module.colour_map(images, cells_wh)


def _efficientnet(name: str, device: torch.device | str) -> DenseDescriptor:
    from kinmark.engine.features.efficientnet import DESCRIPTOR_PREFIX, VARIANTS, open_natural

    variant = name.removeprefix(DESCRIPTOR_PREFIX)
    if variant not in VARIANTS:
        raise UserInputError(said("There is no EfficientNet '{0}'.", variant), said("Known: {0}.", ", ".join(VARIANTS)))
    features = open_natural(variant, device)
    return DenseDescriptor(name, features.version, features.dense, NATURAL_BATCH)


_DESCRIPTORS: dict[str, DenseDescriptor] = {
    "dense_sift": DenseDescriptor("dense_sift", "2", _dense_sift),
    "colour": DenseDescriptor("colour", "1", _colour),
}


def get_descriptor(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> DenseDescriptor:
    """A registered descriptor, its network (if it has one) loaded on the device in the number format.

    Raises:
        UserInputError: unknown name. ModelMissingError, ModelCorruptError: of its weights.
    """
    if name.startswith("dino:"):
        from kinmark.engine.features.dino import dino_descriptor

        return dino_descriptor(name, device, dtype)
    known = helper(name)
    if known is not None and known.kind in (PART, ADAPTER):
        return _of_catalogue(known, device, dtype)
    if name.startswith("efficientnet_"):
        return _efficientnet(name, device)
    if name in _DESCRIPTORS:
        return _DESCRIPTORS[name]
    found = _from_plugins().get(name)
    if found is None:
        registered = ", ".join(descriptor_names())
        raise UserInputError(
            said("There is no dense descriptor '{0}'.", name),
            said("Known: {0}, efficientnet_lite2, dino:<folder>, and the parts of: kinmark models list", registered),
        )
    return found


def _of_catalogue(known: HelperSpec, device: torch.device | str, dtype: torch.dtype) -> DenseDescriptor:
    """A named part or adapter of the catalogue; ModelMissingError says how to get it."""
    from kinmark.engine.features.adapters import adapted_descriptor
    from kinmark.engine.features.dino import dino_descriptor

    if known.kind == ADAPTER:
        return adapted_descriptor(known, device, dtype)
    return dino_descriptor(known.id, device, dtype, installed_folder(known.id))


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
            raise UserInputError(
                said("'{0}' is no part of a descriptor.", term.strip()), "Write name@scale*weight."
            ) from None
    if len({p.name for p in parts}) < len(parts) or any(p.weight <= 0 or p.scale <= 0 for p in parts):
        raise UserInputError(
            said("The descriptor '{0}' names a part twice, or one without weight or size.", text), "Correct it."
        )
    total = sum(p.weight for p in parts)
    return tuple(DescriptorPart(p.name, p.weight / total, p.scale) for p in parts)
