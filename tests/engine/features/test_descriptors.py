"""The second descriptors of the fusion slot: shapes, unit length, and what they must not care about."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from benchmarks.training.textures import bank_image
from kinmark.engine.features.colour import colour_map
from kinmark.engine.features.descriptors import get_descriptor
from kinmark.engine.features.local_descriptor import BIN_SIZES, PIXELS_PER_STEP, dense_descriptor, orientation_energy

CELLS = (24, 18)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return bank_image(5)[:144, :192].copy()


def _mean_cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum(1).mean())


@pytest.mark.parametrize("name", ["dense_sift", "colour"])
def test_maps_have_unit_cells_of_the_asked_grid(name: str, picture: np.ndarray) -> None:
    maps = get_descriptor(name).compute(np.stack([picture, picture[::-1]]), CELLS)
    assert maps.shape[0] == 2
    assert maps.shape[2:] == (CELLS[1], CELLS[0])
    assert maps.norm(dim=1).numpy() == pytest.approx(np.ones((2, CELLS[1], CELLS[0])), abs=1e-3)


def test_local_descriptor_forgives_light_and_knows_its_place(picture: np.ndarray) -> None:
    darker = np.clip(picture.astype(float) * 0.6 + 12, 0, 255).astype(np.uint8)
    own, changed = (dense_descriptor(p[None], cells_wh=CELLS) for p in (picture, darker))
    assert _mean_cosine(own, changed) > 0.95
    flat = own[0].flatten(1)
    nearest = (flat.T @ changed[0].flatten(1)).argmax(1)
    assert float((nearest == torch.arange(flat.shape[1])).float().mean()) > 0.9
    assert _mean_cosine(own, own.roll(5, dims=3)) < 0.9


@pytest.mark.parametrize("size", [(96, 130), (3, 5), (1, 1)])
def test_local_descriptor_equals_the_plain_way_through_every_pixel(size: tuple[int, int], picture: np.ndarray) -> None:
    small = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    grey = (small.astype(np.float32) / 255) @ np.float32([0.299, 0.587, 0.114])
    parts = []
    for bin_size in BIN_SIZES:
        soft = _blurred(grey, bin_size / 4)
        energy = orientation_energy(torch.from_numpy(soft)[None, None])[0].numpy()
        energy = np.stack([_blurred(e, bin_size / 2) for e in energy])
        xs, ys = np.linspace(0, size[1] - 1, 7), np.linspace(0, size[0] - 1, 5)
        histogram = []
        for oy in (np.arange(4) - 1.5) * bin_size:
            for ox in (np.arange(4) - 1.5) * bin_size:
                gx, gy = np.meshgrid(xs + ox, ys + oy)
                histogram += [
                    cv2.remap(e, np.float32(gx), np.float32(gy), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                    for e in energy
                ]
        unit = np.stack(histogram)
        unit = np.minimum(unit / (np.linalg.norm(unit, axis=0) + 1e-6), 0.2)
        parts.append(np.sqrt(unit / (unit.sum(0) + 1e-6)))
    plain = np.concatenate(parts)
    plain = plain / np.maximum(np.linalg.norm(plain, axis=0), 1e-12)
    found = dense_descriptor(small[None], cells_wh=(7, 5))[0].numpy()
    every_pixel = 128 * sum(b not in PIXELS_PER_STEP for b in BIN_SIZES)
    assert found[:every_pixel] == pytest.approx(plain[:every_pixel], abs=0.02)  # cv2.remap rounds places to 1/32 pixel
    assert (found * plain).sum(axis=0).min() > 0.995


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    side = 2 * max(1, round(3 * sigma)) + 1
    return cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)


def test_local_descriptor_moves_with_the_picture(picture: np.ndarray) -> None:
    shifted = np.roll(picture, 32, axis=1)
    a = dense_descriptor(picture[None], cells_wh=(picture.shape[1], 9))[0]
    b = dense_descriptor(shifted[None], cells_wh=(picture.shape[1], 9))[0]
    inner = slice(64, 128)
    moved = b[:, :, 32:].roll(0)[:, :, inner]
    assert float((a[:, :, inner] * moved).sum(0).mean()) > 0.98


def test_colour_tells_colours_apart_but_not_shadows() -> None:
    red = np.full((1, 64, 64, 3), (180, 40, 40), np.uint8)
    shade = (red * 0.75).astype(np.uint8)
    green = np.full((1, 64, 64, 3), (40, 180, 40), np.uint8)
    maps = [colour_map(p, (8, 8)) for p in (red, shade, green)]
    assert _mean_cosine(maps[0], maps[1]) > 0.5
    assert _mean_cosine(maps[0], maps[2]) < 0.2
