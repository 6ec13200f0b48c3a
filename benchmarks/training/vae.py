"""The tiny AutoencoderKL (factor 4, four latent channels): structured start and training.

A default initialisation stays at 14-21 dB for long, because the last GroupNorm removes brightness and contrast. Here the
network starts as an almost linear one: the encoder averages 2x2 blocks, the decoder repeats, every group of the last
GroupNorm holds two large constant channels (so that normalising hardly depends on the picture), and every signal passes
SiLU as a +x / -x pair (`silu(x) - silu(-x) = x`). Residual branches start near zero and learn the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

VAE_CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (16, 32, 64),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "mid_block_add_attention": False,
    "sample_size": 128,
}
_CONSTANT = 8.0
_LUMA = (0.299, 0.587, 0.114)


def build_vae(seed: int, **overrides: object) -> AutoencoderKL:
    """A fresh autoencoder with the structured start."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(**{**VAE_CONFIG, **overrides})
    with torch.no_grad():
        _start_encoder(vae)
        _start_decoder(vae)
    return vae


def _calm_residuals(module: nn.Module) -> None:
    for name, layer in module.named_modules():
        if name.endswith("conv2") and isinstance(layer, nn.Conv2d):
            layer.weight.mul_(0.02)
            layer.bias.zero_()


def _identity_conv(conv: nn.Conv2d, taps: list[tuple[int, int, float]]) -> None:
    """Set a convolution to zero except for (out, in, weight) at its centre tap; small noise breaks ties."""
    conv.weight.normal_(0, 0.003)
    conv.bias.zero_()
    k = conv.kernel_size[0] // 2
    for out, inp, weight in taps:
        conv.weight[out, inp, k, k] += weight


def _pairs(conv: nn.Conv2d, norm: nn.GroupNorm, signals: list[int]) -> list[tuple[int, int]]:
    """Write the 1x1 shortcut that lays out constants and +/- pairs per group; returns (plus, minus) channels."""
    channels, groups = norm.num_channels, norm.num_groups
    width = channels // groups
    conv.weight.normal_(0, 0.01)
    conv.bias.zero_()
    out = []
    for g in range(groups):
        base = g * width
        conv.weight[base : base + 2] = 0
        conv.bias[base], conv.bias[base + 1] = _CONSTANT, -_CONSTANT
        for j in range((width - 2) // 2):
            n = g * ((width - 2) // 2) + j
            plus, minus = base + 2 + 2 * j, base + 3 + 2 * j
            if n < len(signals):
                conv.weight[plus] = 0
                conv.weight[plus, signals[n], 0, 0] = 1.0
            conv.weight[minus] = -conv.weight[plus]
            out.append((plus, minus))
    norm.weight.fill_(_CONSTANT * math.sqrt(2.0 / width))
    return out


def _start_encoder(vae: AutoencoderKL) -> None:
    e = vae.encoder
    _calm_residuals(e)
    _identity_conv(e.conv_in, [(i, i, 1.0) for i in range(3)])
    for c, (dy, dx) in enumerate(((0, 1), (1, 0)), start=3):  # luminance slopes keep some detail from the first step on
        for i, w in enumerate(_LUMA):
            e.conv_in.weight[c, i, 1, 1] += w
            e.conv_in.weight[c, i, 1 + dy, 1 + dx] -= w
    for block in e.down_blocks[:-1]:
        conv = block.downsamplers[0].conv
        conv.weight.normal_(0, 0.01)
        conv.bias.zero_()
        for i in range(min(conv.weight.shape[0], 16)):
            conv.weight[i, i, :2, :2] += 0.25
    _identity_conv(e.down_blocks[1].resnets[0].conv_shortcut, [(i, i, 1.0) for i in range(16)])
    pairs = _pairs(e.down_blocks[2].resnets[0].conv_shortcut, e.conv_norm_out, list(range(16)))
    e.conv_out.weight.normal_(0, 0.003)
    e.conv_out.bias.zero_()
    e.conv_out.bias[4:] = -6.0
    for latent in range(4):
        plus, minus = pairs[latent]
        gain = 1.0 if latent < 3 else 3.0
        e.conv_out.weight[latent, plus, 1, 1] += gain
        e.conv_out.weight[latent, minus, 1, 1] -= gain
    vae.quant_conv.weight.copy_(torch.eye(8)[:, :, None, None])
    vae.quant_conv.bias.zero_()
    vae.post_quant_conv.weight.copy_(torch.eye(4)[:, :, None, None])
    vae.post_quant_conv.bias.zero_()


def _start_decoder(vae: AutoencoderKL) -> None:
    d = vae.decoder
    _calm_residuals(d)
    d.conv_in.weight.normal_(0, 0.03)
    d.conv_in.bias.zero_()
    for i in range(4):
        d.conv_in.weight[i] = 0
        d.conv_in.weight[i, i, 1, 1] = 1.0
    for block in d.up_blocks[:-1]:
        conv = block.upsamplers[0].conv
        conv.weight.normal_(0, 0.005)
        conv.bias.zero_()
        for i in range(conv.weight.shape[0]):
            conv.weight[i, i, 1, 1] += 1.0
    _identity_conv(d.up_blocks[1].resnets[0].conv_shortcut, [(i, i, 1.0) for i in range(32)])
    pairs = _pairs(d.up_blocks[2].resnets[0].conv_shortcut, d.conv_norm_out, list(range(4)))
    d.conv_out.weight.normal_(0, 0.003)
    d.conv_out.bias.zero_()
    for i in range(3):
        plus, minus = pairs[i]
        d.conv_out.weight[i, plus, 1, 1] += 1.0
        d.conv_out.weight[i, minus, 1, 1] -= 1.0


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def train_vae(
    images: NDArray[np.uint8],
    *,
    seed: int,
    steps: int,
    batch: int = 16,
    crop: int = 64,
    rate: float = 1.2e-3,
    report: Callable[[str], None] = print,
    limit: Callable[[], int] | None = None,
) -> AutoencoderKL:
    """Train on uint8 images [N, V, V, 3]. `limit()` tells how many rows are already rendered."""
    vae = build_vae(seed).to(memory_format=torch.channels_last)
    rng = np.random.default_rng([seed, 5])
    optimiser = torch.optim.AdamW(vae.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.08)
    started = time.monotonic()
    for step in range(steps):
        rows = rng.integers(0, limit() if limit else len(images), batch)
        y, x = rng.integers(0, images.shape[1] - crop + 1, 2)
        pixels = np.stack([images[r, y : y + crop, x : x + crop] for r in rows])
        real = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        real = real.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            posterior = vae.encode(real).latent_dist
            fake = vae.decode(posterior.sample()).sample.float()
        error = fake - real
        slope = sum((a - b).abs().mean() for a, b in zip(_slopes(fake), _slopes(real), strict=True))
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        loss = error.abs().mean() + 2 * error.square().mean() + 0.5 * slope + 2e-4 * kl
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step + 1 == steps:
            psnr = 10 * math.log10(4 / error.square().mean().item())
            report(f"vae step {step} loss {loss.item():.4f} psnr {psnr:.2f} dB {time.monotonic() - started:.0f} s")
    return vae.eval()


@torch.no_grad()
def measure_latents(vae: AutoencoderKL, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor, float]:
    """Channel means [4], standard deviations [4] of the latent mean, and the PSNR of the round trip in dB."""
    real = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    z = vae.encode(real).latent_dist.mean
    error = (vae.decode(z).sample.clamp(-1, 1) - real).square().mean().item()
    return z.mean((0, 2, 3)), z.std((0, 2, 3)), 10 * math.log10(4 / error)


@torch.no_grad()
def whiten(vae: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Fold `(z - mean) / std` into the quantisation layers, so that plain `scaling_factor = 1` gives unit latents.

    diffusers' one scalar cannot balance unequal channels. The posterior's log-variances shift along.
    """
    q, p = vae.quant_conv, vae.post_quant_conv
    q.weight[:4] /= std[:, None, None, None]
    q.bias[:4] = (q.bias[:4] - mean) / std
    q.bias[4:] -= 2 * std.log()
    p.bias += (p.weight[:, :, 0, 0] * mean[None]).sum(1)
    p.weight *= std[None, :, None, None]
    vae.register_to_config(scaling_factor=1.0)
