"""A photo as QImages at 1, 1/2, 1/4 ... so that any zoom draws a region of about the screen's own size.

Built in the input/output pool (QImage is safe there); drawn on the GUI thread without copying.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter

from kinmark.engine.domain.texts import said

SMALLEST_SIDE = 512


def to_qimage(rgb: NDArray[np.uint8]) -> QImage:
    """uint8 `[H, W, 3]` to a QImage of Qt's fastest raster format, owning its pixels."""
    height, width = rgb.shape[:2]
    image = QImage(width, height, QImage.Format.Format_RGB32)
    if image.isNull():
        raise MemoryError(said("a picture of {0} x {1} pixels does not fit in memory", width, height))
    # Written in place: a photo of 100 megapixels would otherwise take its 400 MB three times over.
    bgra = np.frombuffer(image.bits(), dtype=np.uint8).reshape(height, image.bytesPerLine())[:, : width * 4]
    bgra = bgra.reshape(height, width, 4)
    for channel in range(3):
        bgra[..., channel] = rgb[..., 2 - channel]
    bgra[..., 3] = 255
    return image


def halve(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of 2 x 2 blocks, uint8 `[H, W, 3]`; an odd last row or column is dropped."""
    h, w = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    out = rgb[0:h:2, 0:w:2].astype(np.uint16)
    out += rgb[1:h:2, 0:w:2]
    out += rgb[0:h:2, 1:w:2]
    out += rgb[1:h:2, 1:w:2]
    out += 2
    out >>= 2
    return out.astype(np.uint8)


@dataclass(frozen=True)
class ImagePyramid:
    """Levels of one photo, level n at 1 / 2**n; `image_wh` is the oriented full size (xy_image frame).

    The first level may itself be smaller than `image_wh` (a preview shown until the full photo is decoded).
    """

    image_wh: tuple[int, int]
    levels: tuple[QImage, ...]
    preview: bool = False

    @staticmethod
    def build(rgb: NDArray[np.uint8], image_wh: tuple[int, int] | None = None) -> ImagePyramid:
        """All levels down to 512 pixels; `rgb` uint8 `[H, W, 3]`, smaller than `image_wh` for a preview."""
        size = image_wh or (rgb.shape[1], rgb.shape[0])
        levels = [to_qimage(rgb)]
        while max(rgb.shape[:2]) > SMALLEST_SIDE and min(rgb.shape[:2]) >= 2:
            rgb = halve(rgb)
            levels.append(to_qimage(rgb))
        return ImagePyramid(size, tuple(levels), preview=levels[0].width() < size[0])

    @property
    def byte_count(self) -> int:
        """Memory held by all levels."""
        return sum(level.sizeInBytes() for level in self.levels)

    def level_for(self, scale: float) -> QImage:
        """The smallest level that still has a pixel per screen pixel at `scale` (screen pixels per image pixel)."""
        for level in reversed(self.levels):
            if level.width() / self.image_wh[0] >= scale:
                return level
        return self.levels[0]

    def draw(self, painter: QPainter, exposed: QRectF, scale: float) -> None:
        """Draw the exposed part (xy_image) with the level that fits `scale`; hard pixels from 300 % on."""
        area = exposed.intersected(QRectF(0, 0, *self.image_wh))
        if area.isEmpty():
            return
        level = self.level_for(scale)
        fx, fy = level.width() / self.image_wh[0], level.height() / self.image_wh[1]
        source = QRectF(area.x() * fx, area.y() * fy, area.width() * fx, area.height() * fy)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, scale < 3)
        painter.drawImage(area, level, source)
