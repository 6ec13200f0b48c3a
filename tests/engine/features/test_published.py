"""Our extraction gives what the published procedures give (the benchmark's two plain re-writings), on real classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from benchmarks.published import dift_features, sd4match_features
from kinmark.engine.api import ImageInput
from kinmark.engine.backbones.prompt import Prompt
from kinmark.engine.features.extractor import FeatureExtractor
from kinmark.engine.features.noise import image_noise
from kinmark.engine.features.views import render_view, to_network, whole_view

if TYPE_CHECKING:
    from kinmark.engine.backbones.backbone import Backbone


@pytest.mark.parametrize("procedure", [dift_features, sd4match_features])
@pytest.mark.parametrize("block", [0, 1, 2])
def test_same_output_as_the_published_procedures(
    toy_backbone: Backbone, toy_images: tuple[ImageInput, ...], procedure: object, block: int
) -> None:
    extractor = FeatureExtractor(toy_backbone)
    view = whole_view(toy_images[0], (96, 64), (64, 64))
    pixels = render_view(view, (96, 64))
    noise = torch.stack([image_noise(extractor.source.sha256(toy_images[0]), 0, m, (4, 16, 16)) for m in range(8)])
    embeds = toy_backbone.encode_text(["a photo of a cat"])
    assert callable(procedure)
    expected = procedure(toy_backbone, to_network(pixels[None]), noise, embeds, t=261, block=block)
    recipe = extractor.recipe(ensemble=8, up_block=block, timestep=261)
    ours = extractor.compute([view], Prompt("text:a photo of a cat", embeds), recipe)
    torch.testing.assert_close(ours, expected, atol=1e-3, rtol=0)


def test_the_published_way_leaves_the_model_as_it_was(
    toy_backbone: Backbone, tmp_path: Path, toy_images: tuple[ImageInput, ...]
) -> None:
    before = len(toy_backbone.unet.up_blocks)
    image = torch.zeros((1, 3, 64, 64))
    noise = torch.zeros((2, 4, 16, 16))
    dift_features(toy_backbone, image, noise, toy_backbone.encode_text([""]), t=10, block=1)
    assert len(toy_backbone.unet.up_blocks) == before and toy_backbone.unet.conv_norm_out is not None
