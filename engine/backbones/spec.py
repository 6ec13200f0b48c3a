"""What is known about one backbone, as frozen data, and its overrides from a folder's `kinmark.json`. Loads no torch.

Every published or measured number of a backbone is a field here (methods/features.md, methods/instances.md), never a literal in a function.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True)
class BlockWeight:
    """A further up-block whose L2-normalised map is joined with weight `weight` (that of the main block is 1 - sum)."""

    block: int
    weight: float


@dataclass(frozen=True)
class ScaleWeight:
    """A further pass over the same view at `factor` times the input size, joined with weight `weight` (that of the pass
    at full size is 1 - sum)."""

    factor: float
    weight: float


@dataclass(frozen=True)
class FusionSpec:
    """The second dense descriptor of the fusion slot (methods/features.md).

    Attributes:
        descriptor: registered name ("dense_sift", "colour") or "" for none.
        weight: of the second descriptor in the cosine (0 diffusion only .. 1 descriptor only).
        input_wh: size at which the descriptor sees the image; None = that of the network input.
        cells_wh: grid of the fused map; None = that of the diffusion map.
        instance_weights: named weights for instance search (e.g. {"colour": 0.5}).
        extra: settings of a newer version.
    """

    descriptor: str = ""
    weight: float = 0.0
    input_wh: tuple[int, int] | None = None
    cells_wh: tuple[int, int] | None = None
    instance_weights: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InstanceSpec:
    """How instance search (methods/instances.md) runs on this backbone.

    Attributes:
        layer: module path of the self-attention whose Q/K are the appearance; "last" = last one of the U-Net.
        timestep: of the one-step variant; None = the most noisy of the inverted steps.
        inversion_steps: 0 = one seeded noising.
        mode: "fused", "appearance" or "semantic".
        colour_weight: exponent of the colour statistics in the fused map (0 = none).
        threshold: calibrated score under which the answer is "not here"; None = uncalibrated default.
        background_suppression: project out the background subspace of the reference.
        extra: measured numbers of further parts, named by the part.
    """

    layer: str = "last"
    timestep: int | None = None
    inversion_steps: int = 0
    mode: str = "fused"
    colour_weight: float = 0.0
    threshold: float | None = None
    background_suppression: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BackboneSpec:
    """One diffusion backbone.

    Attributes:
        id, title: registry name and what a person reads.
        repo_id, revision: where a download comes from ("" = never downloaded); the revision is pinned.
        licence, licence_url, notice: shown before a download and recorded with it.
        good_for, published: one sentence each, for a person who chooses: what it is good for, its publisher's figures.
        input_wh: network input in pixels; `resize` "squash" (published) or "fit" (keep the aspect ratio).
        timestep, up_block, ensemble: of the feature extraction; `clean` True adds no noise at all.
        extra_blocks: further up-blocks joined to the main one; extra_scales: further passes at other input sizes.
        prompt: template; "{category}" is replaced; "" is the empty prompt.
        fusion, instance: see their classes.
        cpu_dtype: measured faster dtype on the CPU ("" = device policy).
        batch: images per forward that suit a 8 GB device at `input_wh`.
        variant: "fp16" when the repository has half-precision files.
        size_bytes: of the download.
        opt_in: needs a separate look at the licence.
        folder: where the weights lie ("" until resolved).
        variant_of: id of the backbone whose weights it shares and whose fitted tables serve it, too.
        package: module that must be installed beside the weights ("" = none).
        extra: settings of the folder's `kinmark.json` that have no field here.
    """

    id: str
    title: str
    repo_id: str = ""
    revision: str = ""
    licence: str = ""
    licence_url: str = ""
    notice: str = ""
    input_wh: tuple[int, int] = (512, 512)
    resize: str = "squash"
    timestep: int = 261
    up_block: int = 1
    ensemble: int = 1
    clean: bool = False
    extra_blocks: tuple[BlockWeight, ...] = ()
    extra_scales: tuple[ScaleWeight, ...] = ()
    prompt: str = "a photo of a {category}"
    fusion: FusionSpec = FusionSpec()
    instance: InstanceSpec = InstanceSpec()
    cpu_dtype: str = ""
    batch: int = 4
    variant: str = ""
    size_bytes: int = 0
    opt_in: bool = False
    good_for: str = ""
    published: str = ""
    folder: str = ""
    variant_of: str = ""
    package: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def base_id(self) -> str:
        """The backbone whose weights and fitted tables it uses: its own, or those of the one it is a variant of."""
        return self.variant_of or self.id

    def text_for(self, category: str) -> str:
        """The prompt text of a category: the template filled in, or the empty prompt without a category."""
        return self.prompt.replace("{category}", category) if category and self.prompt else ""

    def input_size_for(self, image_wh: tuple[int, int], multiple: int = 64) -> tuple[int, int]:
        """Network input for an image: `input_wh`, or with resize "fit" the same area in the image's own proportions."""
        if self.resize != "fit":
            return self.input_wh
        area, ratio = self.input_wh[0] * self.input_wh[1], image_wh[0] / image_wh[1]
        ratio = min(max(ratio, 1 / 3), 3.0)
        step = min(multiple, *self.input_wh)
        width = max(step, round((area * ratio) ** 0.5 / step) * step)
        height = max(step, round((area / ratio) ** 0.5 / step) * step)
        return width, height


def read_card(path: Path) -> dict[str, Any]:
    """The JSON object of a `kinmark.json`; ValueError or OSError when it is none."""
    if path.stat().st_size > MAX_CARD_BYTES:
        raise ValueError("file too large")
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return values


def apply_card(spec: BackboneSpec, values: dict[str, Any]) -> BackboneSpec:
    """The spec with the card's values, each checked; `id` and `folder` are not the card's to say.

    Raises:
        ValueError, TypeError, KeyError: a value of the wrong kind or out of range.
    """
    own = {
        name: value
        for name, value in values.items()
        if name not in ("id", "folder", "repo_id", "revision", "variant_of", "package")
    }
    if "input_size" in own:
        size = own.pop("input_size")
        own["input_wh"] = [size, size] if isinstance(size, int) else size
    filled: BackboneSpec = _fill(spec, own)
    if filled.input_wh is None or filled.timestep is None:
        raise ValueError("input_wh and timestep must be given")
    return filled


def _fill(base: Any, values: dict[str, Any]) -> Any:
    """`base` with `values`; what this version does not know is kept in `extra` (a newer model must still load)."""
    if not isinstance(values, dict):
        raise TypeError(f"expected an object, got {type(values).__name__}")
    known = {f.name for f in dataclasses.fields(base)}
    unknown = {name: value for name, value in values.items() if name not in known}
    given = values.get("extra", {})
    if not isinstance(given, dict):
        raise TypeError("extra must be an object")
    fields = {name: _checked(base, name, value) for name, value in values.items() if name in known - {"extra"}}
    return replace(base, extra={**base.extra, **given, **unknown}, **fields)


def _checked(base: Any, name: str, value: Any) -> Any:
    if name in _CHECKS:
        return _CHECKS[name](value)
    kind = type(getattr(base, name))
    if kind is bool or isinstance(value, bool):
        if not isinstance(value, bool) or kind is not bool:
            raise TypeError(f"{name} must be {kind.__name__}")
        return value
    if kind is float:
        return _number(value)
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {kind.__name__}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{value!r} is not a whole number between {low} and {high}")
        return value

    return check


def _share(value: Any) -> float:
    if not 0.0 <= _number(value) <= 1.0:
        raise ValueError(f"{value!r} is not between 0 and 1")
    return float(value)


def _one_of(*names: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in names:
            raise ValueError(f"{value!r} is none of {', '.join(names)}")
        return str(value)

    return check


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _size(value: Any) -> tuple[int, int]:
    side = _integer(8, 4096)
    width, height = value
    return side(width), side(height)


def _blocks(value: Any) -> tuple[BlockWeight, ...]:
    return tuple(BlockWeight(_integer(0, 15)(item["block"]), _share(item["weight"])) for item in value)


def _scales(value: Any) -> tuple[ScaleWeight, ...]:
    scales = tuple(ScaleWeight(_number(item["factor"]), _share(item["weight"])) for item in value)
    if any(not 0.25 <= scale.factor <= 4.0 for scale in scales):
        raise ValueError("a factor of extra_scales is not between 0.25 and 4")
    return scales


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "input_wh": _optional(_size),
    "cells_wh": _optional(_size),
    "resize": _one_of("squash", "fit"),
    "timestep": _optional(_integer(0, 999)),
    "up_block": _integer(0, 15),
    "ensemble": _integer(1, 64),
    "batch": _integer(1, 1024),
    "size_bytes": _integer(0, 1 << 50),
    "extra_blocks": _blocks,
    "extra_scales": _scales,
    "weight": _share,
    "cpu_dtype": _one_of("", "fp32", "bf16", "fp16"),
    "inversion_steps": _integer(0, 1000),
    "mode": _one_of("fused", "appearance", "semantic"),
    "threshold": _optional(_number),
    "fusion": lambda value: _fill(FusionSpec(), value),
    "instance": lambda value: _fill(InstanceSpec(), value),
}
