"""Backbones of the true Stable Diffusion architectures with random weights: time does not depend on the numbers."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import torch

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.registry import BackboneSpec, FusionSpec, built_in

_BLOCKS = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
_UP_BLOCKS = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
_UNET: dict[str, dict[str, Any]] = {
    "sd15": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sd21": {
        "sample_size": 96,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
}
_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}


def random_backbone(name: str, *, full: bool = True, device: str = "cpu") -> Backbone:
    """`sd15` or `sd21` without a text encoder (prompts are given as embeddings), fp32.

    Args:
        full: keep the up-blocks behind the feature block (SD4Match's procedure runs them).
        device: "meta" makes the shapes only (for counting operations).
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    spec = built_in(name)
    assert spec is not None
    torch.manual_seed(0)
    with torch.device(device):
        unet = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280, 1280),
            layers_per_block=2,
            down_block_types=_BLOCKS,
            up_block_types=_UP_BLOCKS,
            **_UNET[name],
        )
        vae = AutoencoderKL(**_VAE)
    vae.decoder = torch.nn.Identity()
    if not full:
        unet.up_blocks = unet.up_blocks[: spec.up_block + 1]
    gc.collect()
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1)
    plain: BackboneSpec = replace(spec, fusion=FusionSpec())
    return Backbone(plain, "random", torch.device(device), torch.float32, unet, vae, None, None, scheduler)


def embeds_for(backbone: Backbone) -> torch.Tensor:
    """A random prompt embedding `[1, 77, D]`."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn((1, 77, int(backbone.unet.config.cross_attention_dim)), generator=generator)
