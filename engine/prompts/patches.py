"""Where a conditional prompt's patch features come from: DINOv2, or the backbone itself (methods/prompts.md)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.features.dino import PREFIX, DinoModel, open_dino
from kinmark.engine.features.views import to_network
from kinmark.engine.prompts.heads import is_head, open_head

GRID = 16
PATCHES = GRID * GRID


class PatchSource(Protocol):
    """Patch features of rendered views.

    Attributes:
        name: stands on the prompt's card; width: channels.
    """

    name: str
    width: int

    def patches(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 RGB `[B, H, W, 3]` to `[B, 256, width]` float32 (16 x 16, row by row); heads give `[B, width]`."""
        ...


class BackbonePatches:
    """The backbone's own features under the empty prompt, pooled to 16 x 16: needs no further weights."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.name = f"backbone:{backbone.spec.id}:{backbone.revision}"
        self.width = int(self.patches(np.zeros((1, *backbone.spec.input_wh[::-1], 3), np.uint8)).shape[-1])

    @torch.no_grad()
    def patches(self, images: NDArray[np.uint8]) -> Tensor:
        """See `PatchSource`; images must have the backbone's input size."""
        bb = self.backbone
        latents = bb.encode_latents(to_network(images))
        if not bb.spec.clean:
            # One fixed noise for all: the condition must depend on the picture alone.
            noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(0))
            latents = bb.add_noise(latents, noise.expand(latents.shape), bb.spec.timestep)
        output = bb.unet_forward(latents, bb.spec.timestep, bb.encode_text([""]), up_blocks=(bb.spec.up_block,))
        maps = output.maps[bb.spec.up_block].float()
        if min(maps.shape[-2:]) >= GRID:
            pooled = F.adaptive_avg_pool2d(maps, (GRID, GRID))
        else:
            pooled = F.interpolate(maps, size=(GRID, GRID), mode="bilinear", align_corners=False)
        tokens = pooled.flatten(2).transpose(1, 2)
        # Unit root mean square per patch, the order of magnitude of DINO's features.
        return tokens * (tokens.shape[-1] ** 0.5) / (tokens.norm(dim=-1, keepdim=True) + 1e-6)


class DinoPatches:
    """DINO patch features at 16 x 16 patches (224 px for DINOv2-B/14), class token and registers dropped."""

    def __init__(self, model: DinoModel) -> None:
        self.model, self.width = model, model.width
        self.name = f"{PREFIX}{model.family}:{model.revision}"

    def patches(self, images: NDArray[np.uint8]) -> Tensor:
        """See `PatchSource`."""
        return self.model.tokens(images, (GRID, GRID))


def open_patches(name: str, backbone: Backbone) -> PatchSource:
    """The source of a tuning option: "backbone" or "dino:<folder>"; of imported prompts also the heads."""
    if is_head(name):
        return open_head(name)
    if name == "backbone":
        return BackbonePatches(backbone)
    if name.startswith(PREFIX):
        return DinoPatches(open_dino(name.removeprefix(PREFIX)))
    raise UserInputError(said("'{0}' is no source of patch features.", name), "Use 'backbone' or 'dino:<folder>'.")
