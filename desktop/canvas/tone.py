"""Brightness, contrast and inversion of what the canvas shows. The file and what the model sees stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter

from kinmark.desktop.canvas.pyramid import ImagePyramid
from kinmark.desktop.theme.colours import CANVAS_GREY

STEP = 0.1


@dataclass(frozen=True)
class Tone:
    """How grey values are shown: brightness and contrast from -1 to 1 (0: as in the file), then inverted or not."""

    brightness: float = 0.0
    contrast: float = 0.0
    invert: bool = False

    @property
    def plain(self) -> bool:
        """Whether the photo is shown as it is."""
        return self == Tone()

    def changed(self, *, brightness: float = 0.0, contrast: float = 0.0) -> Tone:
        """Moved by these amounts, within the limits."""
        return Tone(_limited(self.brightness + brightness), _limited(self.contrast + contrast), self.invert)

    def table(self) -> NDArray[np.uint8]:
        """uint8 `[256]`: what each value becomes. Contrast turns about mid-grey, from a quarter to four times."""
        x = np.arange(256) / 255.0
        y = (x - 0.5) * 4.0**self.contrast + 0.5 + self.brightness
        if self.invert:
            y = 1.0 - y
        return np.asarray(np.clip(np.rint(y * 255), 0, 255), dtype=np.uint8)


def _limited(value: float) -> float:
    return round(min(1.0, max(-1.0, value)), 3)


def draw_toned(painter: QPainter, pyramid: ImagePyramid, area: QRectF, scale: float, tone: Tone) -> None:
    """Like `ImagePyramid.draw`, with the tone applied to the pixels of the screen only.

    Looking values up for what is exposed costs some milliseconds at any zoom and size of the photo.
    """
    inside = area.intersected(QRectF(0, 0, *pyramid.image_wh))
    if inside.isEmpty():
        return
    transform = painter.worldTransform()
    device = painter.device()
    ratio = device.devicePixelRatio() if device is not None else 1.0
    target = transform.mapRect(inside).toAlignedRect()
    picture = QImage(target.size() * ratio, QImage.Format.Format_RGB32)
    if picture.isNull():
        return
    picture.setDevicePixelRatio(ratio)
    picture.fill(CANVAS_GREY)
    inner = QPainter(picture)
    inner.translate(-target.x(), -target.y())
    inner.setWorldTransform(transform, True)
    pyramid.draw(inner, inside, scale)
    inner.end()
    pixels = np.frombuffer(picture.bits(), dtype=np.uint8).reshape(-1, 4)
    pixels[:] = tone.table()[pixels]
    pixels[:, 3] = 255
    painter.save()
    painter.setClipRect(inside)
    painter.resetTransform()
    painter.drawImage(target.topLeft(), picture)
    painter.restore()
