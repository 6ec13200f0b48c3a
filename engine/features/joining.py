"""Maps of several sources made one: the parts of a second descriptor, and that with the diffusion part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.features.descriptors import DescriptorPart
from kinmark.engine.features.fusion import fuse, join_blocks
from kinmark.engine.features.maps import FeatureMap


def fused_map(diffusion: FeatureMap, described: FeatureMap, weight: float) -> FeatureMap:
    """One fused map of the two parts of a view."""
    features = fuse(diffusion.features[None], described.features[None], weight)[0]
    fusion = {"descriptor": described.spec.backbone, "version": described.spec.revision, "weight": round(weight, 6)}
    spec = replace(diffusion.spec, settings={**diffusion.spec.settings, "fusion": fusion})
    return FeatureMap(features, diffusion.transform, diffusion.image_wh, spec)


def joined_map(parts: Sequence[DescriptorPart], maps: Sequence[FeatureMap]) -> FeatureMap:
    """The parts of a descriptor on their common grid, by their weights."""
    first = maps[0]
    features = join_blocks([m.features[None] for m in maps], [part.weight for part in parts])[0]
    settings = {"parts": [[p.name, m.spec.revision, p.weight, p.scale] for p, m in zip(parts, maps, strict=True)]}
    name = "+".join(p.name for p in parts)
    revision = "+".join(m.spec.revision for m in maps)
    spec = RunSpec("descriptor", name, revision, prompt="", input_wh=first.spec.input_wh, settings=settings)
    return FeatureMap(features, first.transform, first.image_wh, spec)
