"""The viridis colour map (CC0, Smith and van der Walt) from its published anchor colours, for heat maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage

_ANCHORS = np.array(
    [
        (68, 1, 84),
        (72, 36, 117),
        (65, 68, 135),
        (53, 95, 141),
        (42, 120, 142),
        (33, 145, 140),
        (34, 168, 132),
        (68, 191, 112),
        (122, 209, 81),
        (189, 223, 38),
        (253, 231, 37),
    ],
    dtype=np.float64,
)


def viridis(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values in 0..1 of any shape to uint8 `[..., 3]` RGB; NaN becomes the lowest colour."""
    position = np.clip(np.nan_to_num(values, nan=0.0), 0, 1) * (len(_ANCHORS) - 1)
    low = np.minimum(position.astype(np.int64), len(_ANCHORS) - 2)
    part = (position - low)[..., None]
    return np.rint(_ANCHORS[low] * (1 - part) + _ANCHORS[low + 1] * part).astype(np.uint8)


def heat_image(values: NDArray[np.floating], opacity: float = 0.5) -> QImage:
    """`[h, w]` scores to a translucent QImage `[h, w]`: scaled from the median to the maximum, faint where low."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return QImage()
    low, high = float(np.median(finite)), float(finite.max())
    scaled = np.clip((np.nan_to_num(values, nan=low, neginf=low) - low) / max(high - low, 1e-9), 0, 1)
    alpha = opacity * (0.35 + 0.65 * scaled)
    rgba = np.empty((*values.shape, 4), dtype=np.uint8)
    rgba[..., :3] = viridis(scaled)
    rgba[..., 3] = np.rint(alpha * 255)
    height, width = values.shape
    return QImage(rgba.data, width, height, width * 4, QImage.Format.Format_RGBA8888).convertToFormat(
        QImage.Format.Format_ARGB32_Premultiplied
    )
