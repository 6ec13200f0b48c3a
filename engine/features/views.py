"""Views: which region of an image, how turned or mirrored, becomes which network input."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kinmark.engine.domain.geometry import Box, ImageTransform, invert_affine
from kinmark.engine.domain.kept import Kept
from kinmark.engine.imaging import LoadedImage, file_sha256, load_image, read_header
from kinmark.engine.remote import local_file
from kinmark.engine.requests import ImageInput

DECODE_MARGIN = 2.0
"""Images are decoded at no less than this many times the resolution that a view needs."""
CROP_MARGIN = 0.2
"""Free space about an instance in a crop that a prompt is learned on, in its longer sides."""


@dataclass(frozen=True)
class ImageView:
    """A region of an image as network input; what crosses into the extractor."""

    image: ImageInput
    transform: ImageTransform

    @property
    def input_wh(self) -> tuple[int, int]:
        """Size of the network input in pixels."""
        return self.transform.input_wh

    def key(self) -> str:
        """16 hex digits of the transform: with the image's hash, the cache key of the view."""
        numbers = [round(v, 6) + 0.0 for row in self.transform.matrix for v in row]
        return hashlib.sha256(repr((numbers, self.input_wh)).encode()).hexdigest()[:16]


def whole_view(image: ImageInput, image_wh: tuple[int, int], input_wh: tuple[int, int]) -> ImageView:
    """The whole image squashed to `input_wh` (the published procedures)."""
    return ImageView(image, ImageTransform.resize(image_wh, input_wh))


def crop_view(
    image: ImageInput, box: Box, input_wh: tuple[int, int], rotation_rad: float = 0.0, flip: bool = False
) -> ImageView:
    """`box` (xy_image, may reach over the border) scaled to `input_wh`, turned about its centre, then mirrored."""
    return ImageView(image, ImageTransform.crop(box, input_wh, rotation_rad, flip))


class ImageSource:
    """Decodes and hashes images for the engine thread, keeping the last few decoded ones.

    Rotations and crops of one image come in a row, so a handful of decoded pictures saves most decoding.
    """

    def __init__(self, keep_bytes: int = 256 << 20) -> None:
        self._decoded: Kept[tuple[str, int, int, int], LoadedImage] = Kept(keep_bytes, lambda i: i.rgb.nbytes)
        self._hashes: dict[tuple[str, int, int], str] = {}
        self._sizes: dict[tuple[str, int, int], tuple[int, int]] = {}

    @staticmethod
    def _stamp(image: ImageInput) -> tuple[str, int, int]:
        try:
            stat = local_file(image.path).stat()
            return str(image.path), stat.st_mtime_ns, stat.st_size
        except OSError:
            return str(image.path), 0, 0

    def sha256(self, image: ImageInput) -> str:
        """The caller's hash, or that of the file's bytes; UnreadableImageError."""
        if image.sha256:
            return image.sha256
        stamp = self._stamp(image)
        if stamp not in self._hashes:
            self._hashes[stamp] = file_sha256(image.path)
        return self._hashes[stamp]

    def size_wh(self, image: ImageInput) -> tuple[int, int]:
        """Size of the oriented image from its header; UnreadableImageError."""
        local_file(image.path, image.sha256)
        stamp = self._stamp(image)
        if stamp not in self._sizes:
            self._sizes[stamp] = read_header(image.path).size_wh
        return self._sizes[stamp]

    def load(self, image: ImageInput, max_side: int) -> LoadedImage:
        """Decoded image whose longer side is the original's or at most `max_side`; UnreadableImageError."""
        local_file(image.path, image.sha256)
        key = (*self._stamp(image), max_side)
        return self._decoded.get(key) or self._decoded.put(key, load_image(image.path, max_side=max_side))

    def clear(self) -> None:
        """Forget the decoded images."""
        self._decoded.clear()


def needed_side(view: ImageView, image_wh: tuple[int, int]) -> int:
    """Longer side (power of two) at which the image should be decoded for this view."""
    a = np.asarray(view.transform.matrix)[:, :2]
    magnification = float(np.linalg.norm(a, axis=0).max())
    side = max(image_wh) * min(1.0, magnification * DECODE_MARGIN)
    return 1 << math.ceil(math.log2(max(64.0, side)))


def render_view(view: ImageView, image_wh: tuple[int, int], source: ImageSource | None = None) -> NDArray[np.uint8]:
    """Pixels of the view: uint8 RGB `[H, W, 3]` of `view.input_wh`.

    Upright regions inside the image are resized with Pillow's antialiased bicubic filter (what the published
    evaluations use); turned, mirrored or overhanging ones are warped, after antialiased shrinking, with the border
    mirrored outwards.

    Raises:
        UnreadableImageError: the file cannot be decoded.
    """
    source = source or ImageSource()
    loaded = source.load(view.image, needed_side(view, image_wh))
    return render_pixels(loaded.rgb, view.transform, image_wh)


def render_pixels(rgb: NDArray[np.uint8], transform: ImageTransform, image_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """`render_view` for pixels already decoded: uint8 `[h, w, 3]`, any reduction of an image of size `image_wh`."""
    height, width = rgb.shape[:2]
    ratio = np.array([width / image_wh[0], height / image_wh[1]])
    box = _upright_box(transform, image_wh)
    if box is not None:
        scaled = (box[0] * ratio[0], box[1] * ratio[1], box[2] * ratio[0], box[3] * ratio[1])
        picture = Image.fromarray(rgb)
        return np.array(picture.resize(transform.input_wh, Image.Resampling.BICUBIC, box=scaled))
    return _warp(rgb, transform, ratio)


def _upright_box(transform: ImageTransform, image_wh: tuple[int, int]) -> Box | None:
    """The source box of an unrotated, unmirrored view inside the image; None for any other."""
    (a, b, c), (d, e, f) = transform.matrix
    if abs(b) > 1e-9 or abs(d) > 1e-9 or a <= 0 or e <= 0:
        return None
    x0, y0 = -c / a, -f / e
    x1, y1 = (transform.input_wh[0] - c) / a, (transform.input_wh[1] - f) / e
    slack = 1e-6
    if x0 < -slack or y0 < -slack or x1 > image_wh[0] + slack or y1 > image_wh[1] + slack:
        return None
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(image_wh[0])), min(y1, float(image_wh[1]))


def _warp(rgb: NDArray[np.uint8], transform: ImageTransform, ratio: NDArray[np.float64]) -> NDArray[np.uint8]:
    matrix = np.asarray(transform.matrix, dtype=np.float64).copy()
    matrix[:, :2] /= ratio
    shrink = np.linalg.norm(matrix[:, :2], axis=0)
    height, width = rgb.shape[:2]
    size = (max(1, round(width * min(1.0, shrink[0]))), max(1, round(height * min(1.0, shrink[1]))))
    if size != (width, height):
        # A warp samples four pixels; without this reduction small inputs would alias.
        matrix[:, 0] *= width / size[0]
        matrix[:, 1] *= height / size[1]
        rgb = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
    index_matrix = ImageTransform(tuple(map(tuple, matrix)), transform.input_wh).index_matrix  # type: ignore[arg-type]
    return cv2.warpAffine(
        np.ascontiguousarray(rgb),
        index_matrix,
        transform.input_wh,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def visible_share(view: ImageView, image_wh: tuple[int, int]) -> float:
    """Share of the network input that lies inside the image (1 for whole views)."""
    width, height = view.input_wh
    grid = np.stack(np.meshgrid((np.arange(16) + 0.5) * width / 16, (np.arange(16) + 0.5) * height / 16), axis=-1)
    inverse = invert_affine(view.transform.matrix)
    points = grid @ inverse[:, :2].T + inverse[:, 2]
    inside = (points >= 0).all(axis=-1) & (points <= np.asarray(image_wh)).all(axis=-1)
    return float(inside.mean())


def with_input(view: ImageView, input_wh: tuple[int, int]) -> ImageView:
    """The same region at another input size."""
    if input_wh == view.input_wh:
        return view
    factor = (input_wh[0] / view.input_wh[0], input_wh[1] / view.input_wh[1])
    rows = tuple(tuple(v * f for v in row) for row, f in zip(view.transform.matrix, factor, strict=True))
    return ImageView(view.image, replace(view.transform, matrix=rows, input_wh=input_wh))  # type: ignore[arg-type]


def to_network(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 `[B, H, W, 3]` to float32 `[B, 3, H, W]` in [-1, 1], NCHW-contiguous."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0
