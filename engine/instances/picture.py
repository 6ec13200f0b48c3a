"""A photo at working size and its masks: what colour, local descriptors and refinement look at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.engine.features.views import ImageSource
from kinmark.engine.requests import ImageInput

BoolMask = NDArray[np.bool_]

WORK_SIDE = 384
"""Longer side of the working picture: GrabCut's edges get no better above it, its time does."""
DECODE_SIDE = 1024


@dataclass(frozen=True)
class Picture:
    """`rgb` uint8 `[h, w, 3]`, longer side at most WORK_SIDE; `image_wh` is the size of the oriented photo."""

    image: ImageInput
    rgb: NDArray[np.uint8]
    image_wh: tuple[int, int]

    @property
    def size_hw(self) -> tuple[int, int]:
        """(rows, columns) of the working picture."""
        return int(self.rgb.shape[0]), int(self.rgb.shape[1])

    def to_work_xy(self, xy_image: tuple[float, float]) -> tuple[int, int]:
        """The working pixel (column, row) that holds an xy_image point; clamped to the picture."""
        rows, columns = self.size_hw
        x = int(xy_image[0] * columns / self.image_wh[0])
        y = int(xy_image[1] * rows / self.image_wh[1])
        return min(max(x, 0), columns - 1), min(max(y, 0), rows - 1)

    def to_image_xy(self, column: int, row: int) -> tuple[float, float]:
        """Centre of a working pixel in xy_image."""
        rows, columns = self.size_hw
        centre = np.array([column, row]) + 0.5
        return float(centre[0] * self.image_wh[0] / columns), float(centre[1] * self.image_wh[1] / rows)

    def to_work_mask(self, mask: BoolMask) -> BoolMask:
        """A mask of the photo at working size (a pixel is set when half of it is covered)."""
        rows, columns = self.size_hw
        share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        return share >= 0.5

    def to_image_mask(self, mask: BoolMask) -> MaskRLE:
        """A working mask at the photo's own size, edges smoothed by interpolation."""
        if mask.shape != self.size_hw:
            raise ValueError(f"the mask is {mask.shape}, the working picture {self.size_hw}")
        full = cv2.resize(mask.astype(np.float32), self.image_wh, interpolation=cv2.INTER_LINEAR)
        return MaskRLE.encode(full >= 0.5)


def load_picture(source: ImageSource, image: ImageInput) -> Picture:
    """Decode a photo for instance search; UnreadableImageError."""
    loaded = source.load(image, DECODE_SIDE)
    rgb = loaded.rgb
    scale = WORK_SIDE / max(rgb.shape[:2])
    if scale < 1:
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return Picture(image, np.ascontiguousarray(rgb), source.size_wh(image))


def checked_mask(mask: MaskRLE, picture: Picture) -> BoolMask:
    """Decode a caller's mask of the photo; UserInputError when empty or of another size."""
    mask.validate()
    wanted = (picture.image_wh[1], picture.image_wh[0])
    name = picture.image.path.name
    if (mask.height, mask.width) != wanted:
        raise UserInputError(
            said(
                "The mask is {0} x {1} pixels, the photo {2} {3} x {4}.",
                mask.width,
                mask.height,
                name,
                picture.image_wh[0],
                wanted[0],
            ),
            "Use a mask of the photo's own size (after its EXIF rotation).",
        )
    decoded = mask.decode()
    if not decoded.any():
        raise UserInputError(said("The mask of {0} is empty.", name), "Mark at least a part of the thing to find.")
    return decoded
