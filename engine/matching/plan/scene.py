"""Scenes with a fixed camera: noticing them, the empty scene behind the animals, and what moved against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.imaging import load_image
from kinmark.engine.requests import ImageInput

SIDE = 256
MAX_IMAGES = 48
MINIMUM_IMAGES = 4
STATIC_CORRELATION = 0.8
STATIC_SHARE, STATIC_GREY = 0.85, 12.0
"""Plain floors correlate with nothing: there, most pixels must stay within so many grey levels of the median."""
GAIN_LIMITS = (0.5, 2.0)


@dataclass(frozen=True)
class FixedScene:
    """The empty scene of a fixed camera.

    Attributes:
        background: `[h, w]` float32 grey 0..255, median over the images.
        noise: `[h, w]` float32, robust deviation of the images from it.
        image_wh: size of every image of the scene.
        correlation: median correlation of an image with the background.
    """

    background: NDArray[np.float32]
    noise: NDArray[np.float32]
    image_wh: tuple[int, int]
    correlation: float

    def foreground(self, image: ImageInput) -> NDArray[np.float32]:
        """`[h, w]` float32 0..1 on the scene's grid: how surely a place differs from the empty scene."""
        grey = small_grey(image, (self.background.shape[1], self.background.shape[0]))
        grey = _match_gain(grey, self.background)
        deviation = np.abs(grey - self.background) / (2.5 * self.noise + 6.0)
        smooth = cv2.GaussianBlur(deviation, (0, 0), 1.5)
        # Widened a little: keypoints sit on the edges of animals.
        return cv2.dilate(np.clip(smooth - 0.35, 0, 1).astype(np.float32), np.ones((5, 5), np.uint8))

    def at(self, values: NDArray[np.float32], xy_image: NDArray[np.float64]) -> NDArray[np.float32]:
        """Bilinear reading of a `[h, w]` map of the scene at xy_image `[..., 2]` (clamped to the border)."""
        height, width = values.shape
        scale = np.array([width / self.image_wh[0], height / self.image_wh[1]])
        xy = (np.asarray(xy_image) * scale - 0.5).astype(np.float32)
        flat = xy.reshape(1, -1, 2)
        read = cv2.remap(values, flat[..., 0].clip(0, width - 1), flat[..., 1].clip(0, height - 1), cv2.INTER_LINEAR)
        return read.reshape(xy.shape[:-1])


def small_grey(image: ImageInput, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """The image in grey, float32 `[h, w]`, at `size_wh`; UnreadableImageError."""
    loaded = load_image(image.path, max_side=max(size_wh) * 2)
    grey = cv2.cvtColor(loaded.rgb, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA).astype(np.float32)


def detect_fixed_scene(images: Sequence[ImageInput], sizes_wh: Sequence[tuple[int, int]]) -> FixedScene | None:
    """The fixed scene behind the images, or None when they are not of one camera that stood still.

    Equal sizes, at least four images, and most images nearly equal to their median: by correlation, or by pixels.
    """
    if len(images) < MINIMUM_IMAGES or len(set(sizes_wh)) != 1:
        return None
    step = max(1, len(images) // MAX_IMAGES)
    width, height = sizes_wh[0]
    scale = SIDE / max(width, height)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    stack = []
    for image in list(images)[::step][:MAX_IMAGES]:
        try:
            stack.append(small_grey(image, size))
        except UnreadableImageError:
            continue  # a sweep goes on without it; the target itself will be reported
    if len(stack) < MINIMUM_IMAGES:
        return None
    frames = np.stack(stack)
    background = np.median(frames, axis=0)
    frames = np.stack([_match_gain(f, background) for f in frames])
    background = np.median(frames, axis=0).astype(np.float32)
    correlation = float(np.median([_correlation(f, background) for f in frames]))
    still = float(np.median([(np.abs(f - background) < STATIC_GREY).mean() for f in frames]))
    if correlation < STATIC_CORRELATION and still < STATIC_SHARE:
        return None
    noise = np.median(np.abs(frames - background), axis=0) * 1.4826
    noise = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 1.0)
    return FixedScene(background, noise, sizes_wh[0], correlation)


def _match_gain(frame: NDArray[np.float32], background: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo a change of exposure (median ratio), which is not movement."""
    ratio = float(np.median((background + 4) / (frame + 4)))
    return frame * np.float32(np.clip(ratio, *GAIN_LIMITS))


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    x, y = a.ravel() - a.mean(), b.ravel() - b.mean()
    return float((x @ y) / (np.linalg.norm(x) * np.linalg.norm(y) + 1e-9))
