"""Published adapters on DINOv2: DIY-SC (a small network behind it) and MARCO (adapters inside it, a finer map behind it).

Their checkpoints are pickles. One is read by torch's restricted reader alone (tensors, nothing else), checked for names and
shapes, and kept as safetensors with a card; what loads afterwards never unpickles. Written anew from the published
descriptions (arXiv:2506.05312, arXiv:2604.18267) with the tensors' published names.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from kinmark.engine.backbones.catalogue import ADAPTER_FILE, HelperSpec, installed_folder
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.features.dino import BATCH, DinoModel, _format, folder_revision, open_dino
from kinmark.engine.features.fusion import DenseDescriptor, l2_normalise, resample

MAX_BYTES = 2 << 30
GROUPS = 32
MARCO_SCALE = 0.1
WEIGHTS = "adapter.safetensors"
Tensors = dict[str, Tensor]


class DiyHead:
    """DIY-SC's bottleneck on the patch tokens before the last norm: 1x1, 3x3, 1x1 with group norms, added to its input.

    Args:
        tensors: names from `bottleneck_layers.0.0.` on; `[C, C, 1, 1]`-like shapes.
    """

    PREFIX = "bottleneck_layers.0.0."
    NORMED = False

    def __init__(self, tensors: Tensors, device: torch.device | str, dtype: torch.dtype) -> None:
        self._t = {k: v.to(device, dtype) for k, v in tensors.items()}

    @staticmethod
    def select(tensors: Tensors) -> Tensors:
        """The tensors that are used, under their own names without the prefix; ModelCorruptError when one is missing."""
        wanted = [f"{c}.{p}" for c in ("conv1", "conv2", "conv3") for p in ("weight", "norm.weight", "norm.bias")]
        found = _pick(tensors, DiyHead.PREFIX, wanted)
        width, inner = found["conv1.weight"].shape[1], found["conv1.weight"].shape[0]
        shapes = {
            "conv1.weight": (inner, width, 1, 1),
            "conv2.weight": (inner, inner, 3, 3),
            "conv3.weight": (width, inner, 1, 1),
        }
        _check_shapes(found, shapes)
        return found

    @staticmethod
    def width(tensors: Tensors) -> int:
        """Channels of the patch features that it is for."""
        return int(tensors["conv3.weight"].shape[0])

    def attach(self, model: DinoModel) -> None:
        """Nothing inside the model changes."""

    def __call__(self, maps: Tensor) -> Tensor:
        """`[B, C, h, w]` to the same shape."""
        x = maps
        for name, padding, last in (("conv1", 0, False), ("conv2", 1, False), ("conv3", 0, True)):
            x = F.conv2d(x, self._t[f"{name}.weight"], padding=padding)
            x = F.group_norm(x, GROUPS, self._t[f"{name}.norm.weight"], self._t[f"{name}.norm.bias"])
            x = x if last else F.relu(x)
        return F.relu(x + maps)


class MarcoHead:
    """MARCO: adapters beside the MLPs of the last blocks of DINOv2, and two doublings of its map.

    Args:
        tensors: `blocks.<n>.<part>` and `upscale.<n>.<part>`.
    """

    NORMED = True
    ADAPTER = (
        "adapter_layer_norm_before.weight",
        "adapter_layer_norm_before.bias",
        "down_proj.weight",
        "down_proj.bias",
        "up_proj.weight",
        "up_proj.bias",
    )
    UPSCALE = ("conv1.weight", "conv1.bias", "conv2.weight", "norm.weight", "norm.bias")

    def __init__(self, tensors: Tensors, device: torch.device | str, dtype: torch.dtype) -> None:
        self._t = {k: v.to(device, dtype) for k, v in tensors.items()}
        self.blocks = sorted({int(k.split(".")[1]) for k in tensors if k.startswith("blocks.")})
        self.doublings = len({k.split(".")[1] for k in tensors if k.startswith("upscale.")})

    @staticmethod
    def select(tensors: Tensors) -> Tensors:
        """See `DiyHead.select`."""
        found: Tensors = {}
        numbers = {int(k.split("blocks.")[1].split(".")[0]) for k in tensors if "blocks." in k and ".adapter." in k}
        steps = {int(k.split("upscale.")[1].split(".")[0]) for k in tensors if "upscale." in k}
        if not numbers or not steps:
            raise ModelCorruptError(
                "This checkpoint holds no MARCO adapters.", "Choose marco_release.pth or marco_spair.pth."
            )
        for n in sorted(numbers):
            part = _pick(tensors, f"blocks.{n}.adapter.", MarcoHead.ADAPTER)
            width, inner = part["up_proj.weight"].shape
            _check_shapes(part, {"down_proj.weight": (inner, width), "adapter_layer_norm_before.weight": (width,)})
            found |= {f"blocks.{n}.{k}": v for k, v in part.items()}
        for n in sorted(steps):
            part = _pick(tensors, f"upscale.{n}.", MarcoHead.UPSCALE)
            width = part["norm.weight"].shape[0]
            _check_shapes(part, {"conv1.weight": (width, width, 2, 2), "conv2.weight": (width, 1, 3, 3)})
            found |= {f"upscale.{n}.{k}": v for k, v in part.items()}
        return found

    @staticmethod
    def width(tensors: Tensors) -> int:
        """See `DiyHead.width`."""
        return int(tensors["upscale.0.norm.weight"].shape[0])

    def attach(self, model: DinoModel) -> None:
        """Put the adapters into the model's blocks: `x + adapter(x) + mlp(x)` behind the attention."""
        layers = model.model.encoder.layer
        if self.blocks[-1] >= len(layers):
            raise ModelCorruptError(
                said(
                    "MARCO changes block {0}, and the model in {1} has {2}.", self.blocks[-1], model.folder, len(layers)
                ),
                "Install dinov2-large.",
            )
        for number in self.blocks:
            _Adapted(layers[number], partial(self._adapter, number=number))

    def _adapter(self, x: Tensor, number: int) -> Tensor:
        t = {k: self._t[f"blocks.{number}.{k}"] for k in self.ADAPTER}
        normed = F.layer_norm(
            x, x.shape[-1:], t["adapter_layer_norm_before.weight"], t["adapter_layer_norm_before.bias"]
        )
        inner = F.relu(F.linear(normed, t["down_proj.weight"], t["down_proj.bias"]))
        return F.linear(inner, t["up_proj.weight"], t["up_proj.bias"]) * MARCO_SCALE

    def __call__(self, maps: Tensor) -> Tensor:
        """`[B, C, h, w]` to a grid four times as fine."""
        for n in range(self.doublings):
            t = {k: self._t[f"upscale.{n}.{k}"] for k in self.UPSCALE}
            maps = F.gelu(F.conv_transpose2d(maps, t["conv1.weight"], t["conv1.bias"], stride=2))
            maps = F.conv2d(maps, t["conv2.weight"], padding=1, groups=maps.shape[1])
            channels_last = maps.permute(0, 2, 3, 1)
            normed = F.layer_norm(channels_last, channels_last.shape[-1:], t["norm.weight"], t["norm.bias"], 1e-6)
            maps = normed.permute(0, 3, 1, 2)
        return maps


class _Adapted:
    """Hooks on one transformer block: what enters its second norm goes through the adapter and is added to what it gives."""

    def __init__(self, layer: nn.Module, adapter: Callable[[Tensor], Tensor]) -> None:
        self._seen: Tensor | None = None
        self._adapter = adapter
        layer.norm2.register_forward_pre_hook(self._keep)
        layer.register_forward_hook(self._add)

    def _keep(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._seen = inputs[0]

    def _add(self, _module: nn.Module, _inputs: Any, output: Any) -> Any:
        assert self._seen is not None
        added = self._adapter(self._seen)
        self._seen = None
        return (output[0] + added, *output[1:]) if isinstance(output, tuple) else output + added


HEADS: dict[str, type[DiyHead] | type[MarcoHead]] = {"diy-sc": DiyHead, "marco": MarcoHead}


class AdaptedModel:
    """DINOv2 with a head; thread: the engine thread."""

    def __init__(self, spec: HelperSpec, folder: Path, base: DinoModel) -> None:
        from safetensors.torch import load_file

        kind = HEADS[spec.id]
        tensors = load_file(folder / WEIGHTS)
        if kind.width(tensors) != base.width:
            raise ModelCorruptError(
                said(
                    "'{0}' is made for features of {1} channels, {2} gives {3}.",
                    spec.id,
                    kind.width(tensors),
                    base.folder,
                    base.width,
                ),
                said("Install {0}.", spec.base),
            )
        self.base, self.head = base, kind(tensors, base.device, base.dtype)
        self.head.attach(base)
        self.revision = f"{folder_revision_of(folder)}+{base.revision}"

    @torch.no_grad()
    def dense(self, images: NDArray[np.uint8], cells_wh: tuple[int, int]) -> Tensor:
        """Dense maps `[B, C, h, w]` float32, L2-normalised per cell, of uint8 RGB `[B, H, W, 3]`."""
        height, width = images.shape[1:3]
        grid = (max(2, round(width / self.base.patch)), max(2, round(height / self.base.patch)))
        tokens = self.base.tokens(images, grid, normed=self.head.NORMED).to(self.base.dtype)
        maps = tokens.transpose(1, 2).reshape(len(images), self.base.width, grid[1], grid[0])
        return l2_normalise(resample(self.head(maps).float(), cells_wh))


def folder_revision_of(folder: Path) -> str:
    """12 hex digits of an adapter's folder."""
    return folder_revision(folder, ADAPTER_FILE)


@lru_cache(maxsize=2)
def _open(spec: HelperSpec, folder: Path, base: Path, device: str, dtype: torch.dtype) -> AdaptedModel:
    # A model of its own: hooks on the shared one would change what "dinov2-large" gives.
    own = DinoModel(base, device, dtype) if spec.id == "marco" else open_dino(str(base), device, dtype)
    return AdaptedModel(spec, folder, own)


def adapted_descriptor(spec: HelperSpec, device: torch.device | str, dtype: torch.dtype) -> DenseDescriptor:
    """The descriptor of an adapter of the catalogue; ModelMissingError: it or its base is not installed."""
    model = _open(spec, installed_folder(spec.id), installed_folder(spec.base), str(device), dtype)
    return DenseDescriptor(spec.id, f"{model.revision}-1{_format(dtype)}", model.dense, BATCH)


def convert_checkpoint(file: Path, spec: HelperSpec, target: Path) -> None:
    """Read a published checkpoint with the restricted reader and keep it as safetensors in `target`.

    Raises:
        UserInputError: there is no such file. ModelCorruptError: it holds more than tensors, is damaged, or is another model.
    """
    from safetensors.torch import save_file

    if not file.is_file():
        raise ModelMissingError(said("There is no file {0}.", file), said("Get it from {0}.", spec.address))
    tensors = HEADS[spec.id].select(_flat(_restricted(file)))
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".convert-", dir=target.parent))
    try:
        save_file({k: v.contiguous().float() for k, v in tensors.items()}, staging / WEIGHTS)
        card = {"helper": spec.id, "base": spec.base, "licence": spec.licence, "made_from": file.name}
        (staging / ADAPTER_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        staging.replace(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _restricted(file: Path) -> Any:
    if file.stat().st_size > MAX_BYTES:
        raise UserInputError(
            said("{0} is larger than {1} GB, which no adapter is.", file, MAX_BYTES >> 30), "Choose its checkpoint."
        )
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - refused pickles and damaged archives raise many types
        raise ModelCorruptError(
            said("{0} is damaged, or holds more than tensors and was not opened, because that could run code.", file),
            "Get the published file again.",
            repr(error)[:2000],
        ) from None


def _flat(data: Any, prefix: str = "", depth: int = 0) -> Tensors:
    if isinstance(data, Tensor):
        return {prefix: data}
    found: Tensors = {}
    if isinstance(data, dict) and depth < 4:
        for key, value in data.items():
            found |= _flat(value, f"{prefix}.{key}" if prefix else str(key), depth + 1)
    return found


def _pick(tensors: Tensors, before: str, wanted: Any) -> Tensors:
    """`wanted` names after `before`, whatever stands before that ("model.", "module.dino.")."""
    found: Tensors = {}
    for name in wanted:
        own = next((v for k, v in tensors.items() if k == before + name or k.endswith("." + before + name)), None)
        if own is None:
            raise ModelCorruptError(
                said("The checkpoint lacks {0}{1}.", before, name), "It is another model: choose the published file."
            )
        found[name] = own
    return found


def _check_shapes(tensors: Tensors, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise ModelCorruptError(
                said("The checkpoint's {0} has the shape {1}, not {2}.", name, tuple(tensors[name].shape), shape),
                "It is another model.",
            )
