"""Token attention of one optimised embedding and what it should look like (Hedlin et al., methods/point-optimisation.md).

Checked against `hedlin_attention`. Maps are positions of the network input; `xy01` is a place as a share of its size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class HedlinConfig:
    """Settings of the per-point optimisation; the defaults are the published ones.

    Attributes:
        steps, lr, restarts: of Adam on the embedding `[T, D]`, normal start.
        crop_share: side of the random crops as a share of the image; margin: the point stays this share of the crop
            away from the crop's border where the image allows it.
        sigma_px: of the target Gaussian, at a map of `map_size`.
        map_size: side of the upsampled attention maps.
        max_side: maps larger than this are not stored, which also defines the layer numbers.
        layers: stored cross-attention layers (counted down, mid, up) that are used.
        heads: "second_half" (published: a leftover of guidance batching) or "all".
        token: whose attention is read (published: 1, hard-coded).
        inference_steps, optimise_index, inference_index: timesteps from a schedule with that many steps, offset 0.
        noise: "uniform" in [0, 1) (published) or "normal".
        target_crops: random crops averaged on the target.
        softmax_positions: softmax over positions per layer before averaging.
        crop_pool: draw this many crops once and reuse their latents with new noises (0 = a new crop at every step, as
            published, which runs the image encoder at every step).
        patience: stop when the loss has not fallen by 0.1 % within this many steps (0 = never).
    """

    steps: int = 129
    lr: float = 2.3755632081200314e-3
    restarts: int = 5
    crop_share: float = 0.9316549
    margin: float = 0.15
    sigma_px: float = 27.97853
    map_size: int = 512
    max_side: int = 32
    layers: tuple[int, ...] = (5, 6, 7, 8)
    heads: str = "second_half"
    token: int = 1
    inference_steps: int = 50
    optimise_index: int = -8
    inference_index: int = -3
    noise: str = "uniform"
    target_crops: int = 20
    softmax_positions: bool = True
    crop_pool: int = 0
    patience: int = 0

    def for_map(self, map_size: int) -> HedlinConfig:
        """The same settings at another map size: sigma keeps its share of the map."""
        return replace(self, map_size=map_size, sigma_px=self.sigma_px * map_size / self.map_size)

    def timesteps(self, train_timesteps: int) -> tuple[int, int]:
        """(of the optimisation, of the inference): entries of the offset-0 schedule, published 140 and 40."""
        stride = train_timesteps // self.inference_steps
        schedule = [stride * i for i in range(self.inference_steps)][::-1]
        return schedule[self.optimise_index], schedule[self.inference_index]


def token_attention(q: Tensor, k: Tensor, heads: int, token: int) -> Tensor:
    """Attention probability of one token: q `[B, cells, heads*d]`, k `[B, T, heads*d]` to `[B, heads, cells]` float32."""
    b, cells, inner = q.shape
    depth = inner // heads
    query = q.view(b, cells, heads, depth).transpose(1, 2).float()
    key = k.view(k.shape[0], k.shape[1], heads, depth).transpose(1, 2).float()
    return torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(depth), dim=-1)[..., token]


def head_mean(attention: Tensor, size_hw: tuple[int, int], heads: str) -> Tensor:
    """Mean over heads of `[B, heads, h*w]` as maps `[B, h, w]`."""
    if heads == "second_half" and attention.shape[1] > 1:
        attention = attention[:, attention.shape[1] // 2 :]
    return attention.mean(dim=1).view(len(attention), *size_hw)


def upsample(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """`[..., h, w]` to `[..., H, W]`, bilinear, corners not aligned (published)."""
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    return F.interpolate(flat, size_hw, mode="bilinear", align_corners=False).view(*maps.shape[:-2], *size_hw)


def gaussian_target(xy01: Tensor, map_size: int, sigma_px: float) -> Tensor:
    """Gaussians of peak 1 at `xy01` `[B, 2]` as `[B, map_size, map_size]`."""
    steps = torch.arange(map_size, dtype=torch.float32, device=xy01.device)
    dx = steps[None, None, :] - xy01[:, 0, None, None] * map_size
    dy = steps[None, :, None] - xy01[:, 1, None, None] * map_size
    return torch.exp(-(dx**2 + dy**2) / (2 * sigma_px**2))


def attention_loss(layer_maps: Sequence[Tensor], target: Tensor) -> Tensor:
    """Per restart: MSE of every layer's map `[B, s, s]` to `target` `[B, s, s]`, mean over layers, `[B]`."""
    per_layer = [((m - target) ** 2).mean(dim=(1, 2)) for m in layer_maps]
    return torch.stack(per_layer).mean(dim=0)


def combine_layers(layer_maps: Tensor, softmax_positions: bool = True) -> Tensor:
    """`[..., L, s, s]` to `[..., s, s]`: mean over layers, after a softmax over positions."""
    if softmax_positions:
        flat = torch.softmax(layer_maps.flatten(-2), dim=-1)
        layer_maps = flat.view(layer_maps.shape)
    return layer_maps.mean(dim=-3)


def argmax_xy(maps: Tensor) -> Tensor:
    """`[..., s, s]` to `[..., 2]`: (x, y) of the highest cell + 0.5 (published), i.e. its centre in a corner frame."""
    side = maps.shape[-1]
    flat = maps.flatten(-2).argmax(dim=-1)
    return torch.stack([flat % side, flat // side], dim=-1).float() + 0.5


def uncrop(maps: Tensor, crops_yhxw: Sequence[tuple[int, int, int, int]], size_hw: tuple[int, int]) -> Tensor:
    """Crop maps `[N, ..., s, s]` put back and averaged over what covers each pixel: `[..., H, W]` (uncovered: 0).

    Args:
        crops_yhxw: (y0, height, x0, width) of each crop in pixels of the network input.
        size_hw: of the network input.
    """
    total = maps.new_zeros((*maps.shape[1:-2], *size_hw))
    count = maps.new_zeros(size_hw)
    for values, (y, h, x, w) in zip(maps, crops_yhxw, strict=True):
        total[..., y : y + h, x : x + w] += upsample(values, (h, w))
        count[y : y + h, x : x + w] += 1
    # The published code divides 0 by 0 where no crop came; such places stay at 0 here.
    return total / count.clamp_min(1)
