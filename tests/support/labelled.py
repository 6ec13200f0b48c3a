"""Toy photos with labelled keypoints: four coloured blobs, placed and turned by the photo's number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from kinmark.engine.api import Exemplar, ImageInput
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema

SCHEMA = KeypointSchema(("nose", "left ear", "right ear", "tail"), pairs=((1, 2),))
_COLOURS = np.array([(230, 40, 40), (40, 220, 60), (50, 70, 230), (230, 220, 40)], dtype=np.float64)
_SHAPE = np.array([(0.5, 0.2), (0.3, 0.35), (0.7, 0.35), (0.5, 0.8)])


def draw_exemplar(folder: Path, number: int) -> Exemplar:
    """A photo-to-be with four coloured blobs at its keypoints, placed and turned by its number."""
    rng = np.random.default_rng(number)
    w, h = 72 + 8 * (number % 3), 64 + 8 * (number % 2)
    angle, scale = rng.uniform(-0.4, 0.4), rng.uniform(0.7, 0.95)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    xy = ((_SHAPE - 0.5) @ turn.T * scale + 0.5 + rng.uniform(-0.05, 0.05, 2)) * (w, h)
    yy, xx = np.mgrid[0:h, 0:w] + 0.5
    picture = rng.uniform(90, 140, (h, w, 3))
    for colour, (x, y) in zip(_COLOURS, xy, strict=True):
        near = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * 4.0**2))[..., None]
        picture = picture * (1 - near) + colour * near
    path = folder / f"photo{number}.png"
    Image.fromarray(picture.astype(np.uint8)).save(path)
    visibility = np.array([2, 2, 2, 2 if number % 3 else 1])
    keypoints = InstanceKeypoints(xy, visibility, (0.1 * w, 0.1 * h, 0.9 * w, 0.9 * h))
    return Exemplar(ImageInput(path.stem, path), keypoints)
