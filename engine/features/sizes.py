"""Sizes of what a view is seen at: whole steps of the U-Net, the second descriptor's input and grid."""

from __future__ import annotations

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.features.views import ImageView


def stride_of(backbone: Backbone) -> int:
    """Input pixels per cell of the diffusion map (of the finest joined block)."""
    spec, count = backbone.spec, len(backbone.unet.up_blocks)
    finest = max([spec.up_block, *(b.block for b in spec.extra_blocks)])
    return backbone.latent_factor * 2 ** max(0, count - 2 - finest)


def scaled_size(backbone: Backbone, input_wh: tuple[int, int], factor: float) -> tuple[int, int]:
    """`input_wh` times `factor`, in whole steps of the U-Net's coarsest level."""
    if factor == 1.0:
        return input_wh
    step = backbone.latent_factor * 2 ** (len(backbone.unet.up_blocks) - 1)
    width, height = (max(step, round(side * factor / step) * step) for side in input_wh)
    return width, height


def descriptor_sizes(backbone: Backbone, view: ImageView) -> tuple[tuple[int, int], tuple[int, int]]:
    """(size at which the descriptor sees the view, grid of its map)."""
    card = backbone.spec.fusion
    seen = card.input_wh or view.input_wh
    if backbone.spec.resize == "fit" and card.input_wh:
        factor = (card.input_wh[0] * card.input_wh[1] / (view.input_wh[0] * view.input_wh[1])) ** 0.5
        seen = round(view.input_wh[0] * factor), round(view.input_wh[1] * factor)
    if card.cells_wh is not None and backbone.spec.resize != "fit":
        return seen, card.cells_wh
    stride = stride_of(backbone)
    return seen, (max(2, view.input_wh[0] // stride), max(2, view.input_wh[1] // stride))
