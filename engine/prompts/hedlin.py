"""Per-point prompt optimisation on one backbone, batched over restarts and crops (Hedlin et al., methods/point-optimisation.md).

The published code runs restarts and crops one by one. Each restart draws its crops and noises from its own generator,
so the batched result is the sequential one up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kinmark.engine.backbones.attention import AttentionTap
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.prompts.attention_target import (
    HedlinConfig,
    argmax_xy,
    attention_loss,
    gaussian_target,
    head_mean,
    token_attention,
    uncrop,
    upsample,
)

Crop = tuple[int, int, int, int]
"""(y0, height, x0, width) in pixels of the network input."""
_LOSS_SCALE = 1024.0


class TokenAttention:
    """Attention maps of one token on one backbone; which layers are "5, 6, 7, 8" is found once per latent size."""

    def __init__(self, backbone: Backbone, config: HedlinConfig, latent_hw: tuple[int, int]) -> None:
        self.backbone, self.config = backbone, config
        self.layers = self._find_layers(latent_hw)

    @torch.no_grad()
    def _find_layers(self, latent_hw: tuple[int, int]) -> tuple[str, ...]:
        bb, config = self.backbone, self.config
        probe = torch.zeros(1, int(bb.unet.config.in_channels), *latent_hw)
        tap = AttentionTap(kinds=("cross",), what=("q",), max_cells=config.max_side**2)
        stored = bb.unet_forward(probe, 0, bb.encode_text([""]), up_blocks=(), attention=tap).attention
        names = [layer.name for layer in bb.layers if layer.name in stored]
        if max(config.layers) < len(names):
            return tuple(names[i] for i in config.layers)
        # A smaller U-Net has no layer of that number: its whole up path takes the place of the published choice.
        up = tuple(layer.name for layer in bb.layers if layer.name in stored and layer.place == "up")
        return up or tuple(names)

    def __call__(self, latents: Tensor, noise: Tensor, t: int, embeds: Tensor) -> list[Tensor]:
        """Head-mean maps `[B, h, w]` per layer (own grid); differentiable in `embeds` `[B, T, D]`."""
        bb = self.backbone
        tap = AttentionTap(layers=self.layers, what=("q", "k"))
        output = bb.unet_forward(bb.add_noise(latents, noise, t), t, embeds, up_blocks=(), attention=tap)
        maps = []
        for name in self.layers:
            capture = output.attention[name]
            if capture.q is None or capture.k is None:
                raise RuntimeError(f"layer {name} was not captured")
            attention = token_attention(capture.q, capture.k, capture.layer.heads, self.config.token)
            maps.append(head_mean(attention, capture.grid_hw, self.config.heads))
        return maps


def random_crop(
    size_hw: tuple[int, int], xy_input: tuple[float, float], config: HedlinConfig, generator: torch.Generator
) -> Crop:
    """A crop of `crop_share` that holds the point, `margin` of the crop away from its border where possible."""
    origin = []
    for length, at in zip(size_hw, (xy_input[1], xy_input[0]), strict=True):
        side = int(length * config.crop_share)
        pad = config.margin * side
        low = min(max(0.0, at - side + pad), length - side)
        high = max(low, min(float(length - side), at - pad))
        draw = float(torch.rand((), generator=generator))
        origin.append((int(low + draw * (high - low) + 0.5), side))
    (y, h), (x, w) = origin
    return y, h, x, w


def take_crop(image: Tensor, crop: Crop) -> Tensor:
    """`[3, H, W]` to the crop resized to `[3, H, W]` (bilinear, corners not aligned)."""
    y, h, x, w = crop
    size = (image.shape[-2], image.shape[-1])
    part = image[:, y : y + h, x : x + w]
    return part if (h, w) == size else F.interpolate(part[None], size, mode="bilinear", align_corners=False)[0]


def draw_noise(shape: tuple[int, ...], config: HedlinConfig, generator: torch.Generator) -> Tensor:
    """Uniform in [0, 1) as published, or normal."""
    if config.noise == "uniform":
        return torch.rand(shape, generator=generator)
    return torch.randn(shape, generator=generator)


def _generators(count: int, seed: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed * 1000 + i) for i in range(count)]


@dataclass(frozen=True)
class OptimisedPoint:
    """Result of `optimise_embedding`: `embeds` `[R, T, D]` float32, `losses` `[R]` of the last step, `steps` done."""

    embeds: Tensor
    losses: Tensor
    steps: int


def optimise_embedding(
    backbone: Backbone,
    image: Tensor,
    xy_input: tuple[float, float],
    config: HedlinConfig,
    *,
    seed: int = 0,
    batch: int = 0,
    cancel: CancelToken | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> OptimisedPoint:
    """Embeddings whose token attends to the point of the image.

    Args:
        image: `[3, H, W]` in [-1, 1], the network input.
        xy_input: the point, continuous pixels of that input (corner origin).
        batch: restarts run together (0 = all; 1 = the published order of work).
        on_step: called with (step, mean loss) after each step of each group.
    """
    group = batch or config.restarts
    parts = [
        _optimise_group(backbone, image, xy_input, config, indices, seed, cancel, on_step)
        for indices in torch.arange(config.restarts).split(group)
    ]
    return OptimisedPoint(
        torch.cat([p.embeds for p in parts]), torch.cat([p.losses for p in parts]), max(p.steps for p in parts)
    )


def _optimise_group(
    backbone: Backbone,
    image: Tensor,
    xy_input: tuple[float, float],
    config: HedlinConfig,
    indices: Tensor,
    seed: int,
    cancel: CancelToken | None,
    on_step: Callable[[int, float], None] | None,
) -> OptimisedPoint:
    generators = [_generators(config.restarts, seed)[i] for i in indices.tolist()]
    tokens, width = backbone.prompt_tokens, backbone.text_dim
    start = torch.stack([torch.randn((tokens, width), generator=g) for g in generators])
    embeds = start.to(backbone.device).requires_grad_()
    adam = torch.optim.Adam([embeds], lr=config.lr)
    size_hw = (image.shape[-2], image.shape[-1])
    latent_hw = (size_hw[0] // backbone.latent_factor, size_hw[1] // backbone.latent_factor)
    attention = TokenAttention(backbone, config, latent_hw)
    t, _ = config.timesteps(int(backbone.scheduler.config.num_train_timesteps))
    scale = _LOSS_SCALE if backbone.dtype == torch.float16 else 1.0
    best, since, step, losses = float("inf"), 0, 0, torch.zeros(len(generators))
    crops_of_step = _crop_source(backbone, image, xy_input, config, generators)
    for step in range(1, config.steps + 1):
        if cancel is not None:
            cancel.check()
        crops, latents = crops_of_step()
        noise = torch.stack([draw_noise((4, *latent_hw), config, g) for g in generators])
        at = torch.tensor([[(xy_input[0] - x) / w, (xy_input[1] - y) / h] for y, h, x, w in crops])
        wanted = gaussian_target(at.to(backbone.device), config.map_size, config.sigma_px)
        maps = attention(latents, noise, t, embeds)
        full = (config.map_size, config.map_size)
        losses = attention_loss([upsample(m, full) for m in maps], wanted)
        adam.zero_grad(set_to_none=True)
        # The restarts are independent: the gradient of the sum is each restart's own.
        (losses.sum() * scale).backward()
        if embeds.grad is not None and scale != 1.0:
            embeds.grad /= scale
        adam.step()
        mean = float(losses.detach().mean())
        if on_step is not None:
            on_step(step, mean)
        best, since = (mean, 0) if mean < best * 0.999 else (best, since + 1)
        if config.patience and since >= config.patience:
            break
    return OptimisedPoint(embeds.detach(), losses.detach().cpu(), step)


def _crop_source(
    backbone: Backbone,
    image: Tensor,
    xy_input: tuple[float, float],
    config: HedlinConfig,
    generators: list[torch.Generator],
) -> Callable[[], tuple[list[Crop], Tensor]]:
    """Gives each restart's crop of a step and its latents `[R, 4, h, w]`: drawn anew, or out of a pool encoded once."""
    size_hw = (image.shape[-2], image.shape[-1])

    def fresh() -> tuple[list[Crop], Tensor]:
        crops = [random_crop(size_hw, xy_input, config, g) for g in generators]
        return crops, backbone.encode_latents(torch.stack([take_crop(image, c) for c in crops]))

    if not config.crop_pool:
        return fresh
    own = torch.Generator().manual_seed(0)
    pool = [random_crop(size_hw, xy_input, config, own) for _ in range(config.crop_pool)]
    latents = torch.cat([backbone.encode_latents(take_crop(image, c)[None]) for c in pool])

    def drawn() -> tuple[list[Crop], Tensor]:
        chosen = [int(torch.randint(len(pool), (), generator=g)) for g in generators]
        return [pool[i] for i in chosen], latents[chosen]

    return drawn


@torch.no_grad()
def locate(
    backbone: Backbone,
    image: Tensor,
    embeds: Tensor,
    config: HedlinConfig,
    *,
    seed: int = 0,
    batch: int = 0,
    cancel: CancelToken | None = None,
) -> tuple[Tensor, Tensor]:
    """Where the optimised embeddings attend on a target.

    The first four crops lie in the corners, the others are drawn around the best place so far (published).

    Args:
        image: `[3, H, W]` in [-1, 1].
        embeds: `[R, T, D]`.
        batch: U-Net passes (crop x restart) run together (0 = all of a round, 1 = one by one).

    Returns:
        `[H, W]` map (mean over layers and restarts after a softmax over positions) and `[R, 2]` the place of each
        restart alone, continuous pixels of the input.
    """
    size_hw = (image.shape[-2], image.shape[-1])
    latent_hw = (size_hw[0] // backbone.latent_factor, size_hw[1] // backbone.latent_factor)
    attention = TokenAttention(backbone, config, latent_hw)
    _, t = config.timesteps(int(backbone.scheduler.config.num_train_timesteps))
    generator = torch.Generator().manual_seed(seed)
    height, width = (int(s * config.crop_share) for s in size_hw)
    low, right = size_hw[0] - height, size_hw[1] - width
    corners: list[Crop] = [(y, height, x, width) for x in (0, right) for y in (0, low)][: config.target_crops]
    stacks = _crop_maps(attention, image, embeds, corners, t, generator, batch, cancel)
    crops = list(corners)
    rest = config.target_crops - len(crops)
    if rest > 0:
        x, y = _fuse(stacks, crops, size_hw, config)[1].mean(dim=0).tolist()
        around = [random_crop(size_hw, (x, y), config, generator) for _ in range(rest)]
        more = _crop_maps(attention, image, embeds, around, t, generator, batch, cancel)
        stacks = [torch.cat([a, b]) for a, b in zip(stacks, more, strict=True)]
        crops += around
    return _fuse(stacks, crops, size_hw, config)


def _crop_maps(
    attention: TokenAttention,
    image: Tensor,
    embeds: Tensor,
    crops: list[Crop],
    t: int,
    generator: torch.Generator,
    batch: int,
    cancel: CancelToken | None,
) -> list[Tensor]:
    """Per layer `[N, R, h, w]`: one VAE pass per crop, one U-Net pass per crop and restart."""
    backbone, restarts = attention.backbone, len(embeds)
    group = batch or len(crops)
    latents = torch.cat(
        [
            backbone.encode_latents(torch.stack([take_crop(image, c) for c in crops[i : i + group]]))
            for i in range(0, len(crops), group)
        ]
    )
    noise = torch.stack([draw_noise(tuple(latents.shape[1:]), attention.config, generator) for _ in crops])
    jobs = [(c, r) for c in range(len(crops)) for r in range(restarts)]
    size = batch or len(jobs)
    layers: list[list[Tensor]] = [[] for _ in attention.layers]
    for i in range(0, len(jobs), size):
        if cancel is not None:
            cancel.check()
        c, r = (torch.tensor(v) for v in zip(*jobs[i : i + size], strict=True))
        maps = attention(latents[c], noise[c], t, embeds[r].to(backbone.device))
        for kept, values in zip(layers, maps, strict=True):
            kept.append(values.float().cpu())
    return [torch.cat(kept).view(len(crops), restarts, *kept[0].shape[-2:]) for kept in layers]


def _fuse(
    stacks: list[Tensor], crops: list[Crop], size_hw: tuple[int, int], config: HedlinConfig
) -> tuple[Tensor, Tensor]:
    """Maps put back on the image, softmax over positions, mean over layers: `[H, W]` and each restart's own place."""
    placed = [uncrop(values, crops, size_hw) for values in stacks]
    if config.softmax_positions:
        placed = [torch.softmax(p.flatten(-2), dim=-1).view(p.shape) for p in placed]
    per_restart = torch.stack(placed).mean(dim=0)
    return per_restart.mean(dim=0), argmax_xy(per_restart)
