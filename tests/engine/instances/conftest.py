"""Small drawn photos with known instances: two balls of different colour and pattern over a textured ground."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import ImageInput

RED, BLUE = (210, 40, 30), (40, 70, 200)


def draw(size=(160, 120), balls=(), seed=0, ground=(90, 130, 80)):
    """RGB `[H, W, 3]` and one mask per ball (x, y, radius, colour)."""
    rng = np.random.default_rng(seed)
    width, height = size
    noise = rng.normal(0, 12, (height // 4 + 1, width // 4 + 1, 1)).repeat(4, 0).repeat(4, 1)[:height, :width]
    rgb = np.clip(np.array(ground) + noise, 0, 255)
    ys, xs = np.mgrid[0:height, 0:width]
    masks = []
    for x, y, radius, colour in balls:
        mask = (xs - x) ** 2 + (ys - y) ** 2 <= radius**2
        stripes = 0.75 + 0.25 * np.sin((xs - x) / radius * 9)[..., None]
        rgb = np.where(mask[..., None], np.array(colour) * stripes, rgb)
        masks.append(mask)
    return rgb.astype(np.uint8), masks


@pytest.fixture
def scene(tmp_path):
    """`make(name, balls, ...)` writes a photo and returns (ImageInput, masks)."""

    def make(name, balls, **kwargs):
        rgb, masks = draw(balls=balls, **kwargs)
        path = tmp_path / f"{name}.png"
        Image.fromarray(rgb).save(path)
        return ImageInput(name, path), masks

    return make
