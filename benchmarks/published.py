"""The published extraction procedures written plainly, for comparison in the same run (fp32, no cache, one image).

DIFT repeats the image E times *before* the VAE and cuts the U-Net after the up-block; SD4Match encodes once and runs the
full U-Net E times. Both average the E maps. The posterior's mode stands for its sample, so that outputs can be compared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kinmark.engine.backbones.backbone import Backbone


@torch.no_grad()
def dift_features(backbone: Backbone, image: Tensor, noise: Tensor, embeds: Tensor, *, t: int, block: int) -> Tensor:
    """DIFT: `image` `[1, 3, H, W]` in [-1, 1], `noise` `[E, 4, h, w]` -> mean map `[1, C, h', w']`."""
    members = len(noise)
    images = image.repeat(members, 1, 1, 1)
    latents = backbone.vae.encode(images).latent_dist.mode() * backbone.vae.config.scaling_factor
    noisy = backbone.scheduler.add_noise(latents, noise, torch.tensor([t] * members))
    found: list[Tensor] = []
    handle = backbone.unet.up_blocks[block].register_forward_hook(lambda _m, _a, out: found.append(out))
    kept = backbone.unet.up_blocks
    backbone.unet.up_blocks = kept[: block + 1]
    norm, conv = backbone.unet.conv_norm_out, backbone.unet.conv_out
    backbone.unet.conv_norm_out, backbone.unet.conv_out = None, torch.nn.Identity()
    try:
        backbone.unet(noisy, t, encoder_hidden_states=embeds.repeat(members, 1, 1))
    finally:
        backbone.unet.up_blocks, backbone.unet.conv_norm_out, backbone.unet.conv_out = kept, norm, conv
        handle.remove()
    return found[0].mean(0, keepdim=True)


@torch.no_grad()
def sd4match_features(
    backbone: Backbone, image: Tensor, noise: Tensor, embeds: Tensor, *, t: int, block: int
) -> Tensor:
    """SD4Match: the latent once, the full U-Net for the E noises in one batch, hooked at the up-block."""
    members = len(noise)
    latents = backbone.vae.encode(image).latent_dist.mode() * backbone.vae.config.scaling_factor
    noisy = backbone.scheduler.add_noise(latents.repeat(members, 1, 1, 1), noise, torch.tensor([t] * members))
    found: list[Tensor] = []
    handle = backbone.unet.up_blocks[block].register_forward_hook(lambda _m, _a, out: found.append(out))
    try:
        backbone.unet(noisy, t, encoder_hidden_states=embeds.repeat(members, 1, 1))
    finally:
        handle.remove()
    return found[0].mean(0, keepdim=True)
