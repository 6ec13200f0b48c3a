"""Colours, solid textures for object surfaces and a bank of background images (dead leaves, noise, bricks, stripes).

Everything is a pure function of its seed. Backgrounds matter more than they look: dense warps of them teach the network
local matching that carries over to photographs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.floating]
BANK_SIZE = 192
BANK_PIXELS = 384
PATTERNS = ("plain", "stripes", "spots", "noise", "rings", "patches", "gradient")


@dataclass(frozen=True)
class Material:
    """Surface look: two RGB colours in [0, 1], a solid pattern of them, its scale and direction, and the gloss."""

    colour_a: Floats
    colour_b: Floats
    pattern: str
    scale: float
    direction: Floats
    offset: Floats
    gloss: float


def random_colour(rng: np.random.Generator) -> Floats:
    """Photo-like colour: half are muted browns, greys and blacks, half are saturated."""
    hue, value = rng.random(), rng.uniform(0.08, 0.98)
    if rng.random() < 0.55:
        hue, saturation = rng.normal(0.08, 0.05) % 1.0, rng.uniform(0.0, 0.6)
    else:
        saturation = rng.uniform(0.3, 1.0)
    k = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    rgb = value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)
    return rgb.astype(np.float32)


def muted_colour(rng: np.random.Generator) -> Floats:
    """Colour of a wall, a meadow, a road: little saturation, middle brightness."""
    hue, value, saturation = rng.uniform(0.03, 0.65), rng.uniform(0.5, 0.85), rng.uniform(0.05, 0.4)
    k = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    rgb = value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)
    return rgb.astype(np.float32)


def random_material(rng: np.random.Generator) -> Material:
    """One material, drawn from `rng`."""
    direction = rng.normal(size=3)
    colour = random_colour(rng)
    other = random_colour(rng) if rng.random() < 0.6 else np.clip(colour * rng.uniform(0.4, 1.7), 0, 1)
    return Material(
        colour_a=colour,
        colour_b=other.astype(np.float32),
        pattern=str(rng.choice(PATTERNS, p=[0.22, 0.16, 0.14, 0.2, 0.08, 0.12, 0.08])),
        scale=float(np.exp(rng.uniform(np.log(3.0), np.log(16.0)))),
        direction=(direction / np.linalg.norm(direction)).astype(np.float32),
        offset=rng.uniform(0, 8, 3).astype(np.float32),
        gloss=float(rng.choice([0.0, 0.15, 0.5], p=[0.5, 0.3, 0.2])),
    )


@lru_cache(maxsize=1)
def _noise_volume() -> Floats:
    """Tileable smooth noise [64, 64, 64] in about [0, 1]."""
    rng = np.random.default_rng(4242)
    spectrum = np.fft.rfftn(rng.normal(size=(64, 64, 64)))
    f = [np.fft.fftfreq(64)[:, None, None], np.fft.fftfreq(64)[None, :, None], np.fft.rfftfreq(64)[None, None, :]]
    radius = np.sqrt(f[0] ** 2 + f[1] ** 2 + f[2] ** 2)
    volume = np.fft.irfftn(spectrum * np.exp(-((radius / 0.08) ** 2)) / (radius + 0.02), s=(64, 64, 64), axes=(0, 1, 2))
    volume = (volume - volume.mean()) / volume.std()
    return (0.5 + 0.22 * volume).astype(np.float32)


def solid_noise(points: Floats) -> Floats:
    """Noise at 3-D points [N, 3] -> [N]; one octave per call, nearest cell (rays are dense enough)."""
    cell = (points * 4.0).astype(np.int32) & 63
    return _noise_volume()[cell[:, 0], cell[:, 1], cell[:, 2]]


def shade_material(material: Material, points: Floats) -> Floats:
    """Albedo [N, 3] of a material at metric object coordinates [N, 3]."""
    p = points * material.scale + material.offset
    along = p @ material.direction
    mix: Floats
    fine = solid_noise(p * 2.3 + 100)
    if material.pattern == "plain":
        mix = np.zeros(len(p), np.float32)
    elif material.pattern == "stripes":
        mix = expit(8 * np.sin(2.2 * along + 2 * (fine - 0.5)))
    elif material.pattern == "spots":
        mix = expit(30 * (solid_noise(p * 1.6 + 64) - 0.66))
    elif material.pattern == "noise":
        mix = solid_noise(p + 64)
    elif material.pattern == "rings":
        mix = (np.sin(2.5 * np.linalg.norm(p - material.offset, axis=1)) > 0.2).astype(np.float32)
    elif material.pattern == "patches":
        mix = (solid_noise(p * 0.6 + 64) > 0.52).astype(np.float32)
    else:
        mix = expit(along - material.offset @ material.direction)
    mix = np.clip(mix, 0, 1)[:, None].astype(np.float32)
    colour = material.colour_a * (1 - mix) + material.colour_b * mix
    return colour * (0.86 + 0.28 * fine[:, None])


def fractal_noise(rng: np.random.Generator, size: int, slope: float) -> Floats:
    """Noise image [size, size] with a 1/f^slope spectrum, zero mean, unit variance."""
    f = np.sqrt(np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None, :] ** 2)
    f[0, 0] = 1.0
    image = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(size, size))) / f**slope, s=(size, size))
    return ((image - image.mean()) / (image.std() + 1e-9)).astype(np.float32)


def _colour_noise(rng: np.random.Generator, size: int) -> Floats:
    base = fractal_noise(rng, size, rng.uniform(0.7, 1.6))
    tint = fractal_noise(rng, size, rng.uniform(1.0, 1.8))
    a, b, c = random_colour(rng), random_colour(rng), random_colour(rng)
    mix = 1 / (1 + np.exp(-rng.uniform(0.8, 3.0) * base))[..., None]
    mix2 = 1 / (1 + np.exp(-2 * tint))[..., None]
    return (a * mix + b * (1 - mix)) * (1 - 0.5 * mix2) + 0.5 * mix2 * c


def _dead_leaves(rng: np.random.Generator, size: int) -> Floats:
    image = (_colour_noise(rng, size) * 255).astype(np.uint8)
    count, biggest = int(rng.integers(60, 500)), size * rng.uniform(0.08, 0.3)
    kind = rng.integers(0, 4)
    radii = np.sort(np.clip(3.0 / np.maximum(rng.random(count), 3.0 / biggest), 3, biggest))[::-1]
    for r in radii:
        centre = tuple(int(v) for v in rng.uniform(0, size, 2))
        colour = tuple(int(v) for v in random_colour(rng) * 255)
        shape = int(rng.integers(0, 3)) if kind == 3 else int(kind)
        if shape == 0:
            axes = (int(r) + 1, int(r * rng.uniform(0.3, 1)) + 1)
            cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            corners = 4 if shape == 1 else int(rng.integers(3, 8))
            angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
            poly = np.stack([np.cos(angle), np.sin(angle)], 1) * r * rng.uniform(0.6, 1.2, (corners, 1)) + centre
            cv2.fillPoly(image, [poly.astype(np.int32)], colour, cv2.LINE_AA)
    out = image.astype(np.float32) / 255
    return out * (1 + 0.12 * fractal_noise(rng, size, rng.uniform(0.3, 1.2)))[..., None]


def _grid(rng: np.random.Generator, size: int) -> Floats:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    angle, w, h = rng.uniform(-0.5, 0.5), rng.uniform(14, 70), rng.uniform(10, 40)
    wob = 4 * fractal_noise(rng, size, 1.5) * rng.random()
    u = np.cos(angle) * x + np.sin(angle) * y + wob
    v = -np.sin(angle) * x + np.cos(angle) * y + wob
    row = np.floor(v / h)
    u = u + (row % 2) * w / 2 * (rng.random() < 0.6)
    joint = ((u % w) < 0.08 * w) | ((v % h) < 0.1 * h)
    cell = (np.sin(np.floor(u / w) * 12.9898 + row * 78.233) * 43758.5453) % 1.0
    if rng.random() < 0.4:
        joint, cell = joint & False, ((np.floor(u / w) + row) % 2) * 0.8
    image = random_colour(rng) * (0.7 + 0.5 * cell[..., None]) + 0.08 * fractal_noise(rng, size, 1.0)[..., None]
    return np.where(joint[..., None], random_colour(rng), image)


def _grass(rng: np.random.Generator, size: int) -> Floats:
    image = _colour_noise(rng, size)
    for _ in range(2):
        n = fractal_noise(rng, size, 0.2)
        kernel = np.zeros((21, 21), np.float32)
        a = rng.uniform(0, np.pi)
        cv2.line(
            kernel,
            (int(10 - 10 * np.cos(a)), int(10 - 10 * np.sin(a))),
            (int(10 + 10 * np.cos(a)), int(10 + 10 * np.sin(a))),
            1.0,
        )
        n = cv2.filter2D(n, -1, kernel / kernel.sum(), borderType=cv2.BORDER_WRAP)
        image = image * (1 + 0.5 * n / (n.std() + 1e-6) * rng.uniform(0.2, 0.6))[..., None]
    return image


@lru_cache(maxsize=2 * BANK_SIZE)
def bank_image(number: int) -> NDArray[np.uint8]:
    """Background `number` as RGB [384, 384, 3] uint8; made on first use (10-30 ms) and kept."""
    rng = np.random.default_rng([77, number])
    return (np.clip(_texture(rng), 0, 1) * 255).astype(np.uint8)


def texture_scene(seed: int) -> NDArray[np.uint8]:
    """A picture without objects, RGB [384, 384, 3] uint8: two or three fresh textures meeting along blobs or straight
    edges, under uneven light. Far more varied than the bank; for warp pairs only."""
    rng = np.random.default_rng([78, seed])
    image = _texture(rng)
    for _ in range(int(rng.integers(1, 3))):
        edge = fractal_noise(rng, BANK_PIXELS, rng.uniform(1.4, 2.2))
        if rng.random() < 0.4:
            y, x = np.mgrid[0:BANK_PIXELS, 0:BANK_PIXELS] / BANK_PIXELS - rng.uniform(0.2, 0.8, (2, 1, 1))
            angle = rng.uniform(0, 2 * np.pi)
            edge = 12 * (np.cos(angle) * x + np.sin(angle) * y) + 0.2 * edge
        sharp = np.exp(rng.uniform(np.log(2.0), np.log(40.0)))
        mix = (1 / (1 + np.exp(-np.clip(sharp * edge, -30, 30))))[..., None]
        shadow = 1 - 0.4 * rng.random() * np.exp(-np.square(edge * 3))[..., None]
        image = (image * mix + _texture(rng) * (1 - mix)) * shadow
    light = np.exp(rng.uniform(0, 0.35) * fractal_noise(rng, BANK_PIXELS, 2.0))[..., None]
    return (np.clip(image * light, 0, 1) * 255).astype(np.uint8)


def _texture(rng: np.random.Generator) -> Floats:
    makers = (_colour_noise, _dead_leaves, _dead_leaves, _dead_leaves, _grid, _grass)
    return makers[int(rng.integers(len(makers)))](rng, BANK_PIXELS)
