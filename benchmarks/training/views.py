"""Training views: a random crop-rotate-perspective-recolour of a rendered scene, with every label taken along.

Two views of one scene are a warp pair: any pixel of the one is known in the other (through `scene_to_view`), background
included. Views of different scenes correspond through keypoints and dense surface points.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.training.scenes import SURFACE_POINTS, Scene, SceneObject

Floats = NDArray[np.floating]
KEYPOINT_SLOTS = 32
POINT_SLOTS = KEYPOINT_SLOTS + SURFACE_POINTS
OWNER_CELLS = 32


@dataclass(frozen=True)
class View:
    """`image` [V, V, 3] uint8; `owner` [32, 32] int8 (-1 background); `points` [128, 2] float32 pixels of the view
    (keypoints first, then surface points), `visible` [128] bool; `scene_to_view` [3, 3] homography of pixels."""

    image: NDArray[np.uint8]
    owner: NDArray[np.int8]
    points: Floats
    visible: NDArray[np.bool_]
    scene_to_view: Floats


def apply_homography(h: Floats, xy: Floats) -> Floats:
    """Points [N, 2] through a homography [3, 3] (both frames continuous, corner origin)."""
    p = xy @ h[:2, :2].T + h[:2, 2]
    w = xy @ h[2, :2] + h[2, 2]
    return (p / w[:, None]).astype(np.float32)


def random_homography(rng: np.random.Generator, centre: Floats, side: float, size: int, hard: float) -> Floats:
    """Scene -> view homography: a square of `side` pixels around `centre`, turned and sheared by `hard` in [0, 1]."""
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.15 * hard else rng.normal(0, 0.28) * hard
    stretch = np.exp(rng.normal(0, 0.12) * hard)
    c, s = np.cos(angle), np.sin(angle)
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) * [stretch, 1 / stretch]
    corners = corners @ np.array([[c, s], [-s, c]]) * side + centre
    corners += rng.normal(0, 0.035 * hard, (4, 2)) * side
    target = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    return cv2.getPerspectiveTransform(corners.astype(np.float32), target).astype(np.float32)


def warp_image(image: NDArray[np.uint8], scene_to_view: Floats, size: int, nearest: bool = False) -> NDArray[np.uint8]:
    """Warp an image by a homography of *continuous* coordinates (OpenCV's own are pixel centres at integers)."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], np.float64)
    matrix = np.linalg.inv(half) @ scene_to_view.astype(np.float64) @ half
    flag = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.warpPerspective(image, matrix, (size, size), flags=flag, borderMode=cv2.BORDER_REFLECT_101)


def jitter_colours(image: NDArray[np.uint8], rng: np.random.Generator, hard: float) -> NDArray[np.uint8]:
    """Exposure, contrast, white balance, saturation, blur and noise; `hard` in [0, 1]."""
    x = image.astype(np.float32) / 255
    x = x ** np.float32(np.exp(rng.normal(0, 0.25 * hard)))
    x = (x - 0.5) * np.float32(np.exp(rng.normal(0, 0.2 * hard))) + 0.5 + np.float32(rng.normal(0, 0.07 * hard))
    x = x * np.exp(rng.normal(0, 0.08 * hard, 3)).astype(np.float32)
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * np.float32(0.0 if rng.random() < 0.1 * hard else np.exp(rng.normal(0, 0.3 * hard)))
    if rng.random() < 0.3 * hard:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 1.2)))
    if rng.random() < 0.5 * hard:
        x = x + rng.normal(0, rng.uniform(0.005, 0.035), x.shape).astype(np.float32)
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def make_view(scene: Scene, rng: np.random.Generator, size: int, hard: float = 1.0) -> View:
    """A random view of the scene's main object."""
    main = scene.objects[0]
    pixels = scene.image.shape[0]
    ys, xs = np.nonzero(scene.owner == 0)
    if len(xs) < 12:
        ys, xs = np.array([0, pixels - 1]), np.array([0, pixels - 1])
    low, high = np.array([xs.min(), ys.min()]), np.array([xs.max(), ys.max()]) + 1
    box = float((high - low).max())
    side = float(np.clip(box * rng.uniform(1.05, 1.9), 0.45 * pixels, 1.05 * pixels))
    slack = max(0.0, side - box) * 0.4
    centre = (low + high) / 2 + rng.uniform(-1, 1, 2) * (slack + 0.04 * side)
    centre = np.clip(centre, 0.45 * side, pixels - 0.45 * side) if side < pixels else centre * 0 + pixels / 2
    h = random_homography(rng, centre.astype(np.float32), side, size, hard)
    source = cv2.GaussianBlur(scene.image, (0, 0), 0.35 * side / size) if side > 1.4 * size else scene.image
    image = jitter_colours(warp_image(source, h, size), rng, hard)
    owner = cv2.resize(
        warp_image(scene.owner.view(np.uint8), h, size, nearest=True),
        (OWNER_CELLS, OWNER_CELLS),
        interpolation=cv2.INTER_NEAREST,
    ).view(np.int8)
    points, visible = _carry_points(main, h, size)
    return View(image, owner, points, visible, h)


def make_texture_view(image: NDArray[np.uint8], rng: np.random.Generator, size: int, hard: float = 1.0) -> View:
    """A random view of a picture [S, S, 3] without objects: no points, no owner, only the homography."""
    pixels = image.shape[0]
    side = float(rng.uniform(0.42, 0.85)) * pixels
    centre = rng.normal(0.5, 0.09, 2) * pixels
    h = random_homography(rng, centre.astype(np.float32), side, size, hard)
    source = cv2.GaussianBlur(image, (0, 0), 0.35 * side / size) if side > 1.4 * size else image
    view = jitter_colours(warp_image(source, h, size), rng, hard)
    owner = np.full((OWNER_CELLS, OWNER_CELLS), -1, np.int8)
    return View(view, owner, np.zeros((POINT_SLOTS, 2), np.float32), np.zeros(POINT_SLOTS, bool), h)


def _carry_points(main: SceneObject, h: Floats, size: int) -> tuple[Floats, NDArray[np.bool_]]:
    points = np.zeros((POINT_SLOTS, 2), np.float32)
    visible = np.zeros(POINT_SLOTS, bool)
    n = min(len(main.xy_image), KEYPOINT_SLOTS)
    points[:n] = apply_homography(h, main.xy_image[:n])
    visible[:n] = main.visibility[:n] == 2
    points[KEYPOINT_SLOTS:] = apply_homography(h, main.surface_xy)
    visible[KEYPOINT_SLOTS:] = main.surface_visible
    return points, visible & (points >= 0).all(1) & (points < size).all(1)
