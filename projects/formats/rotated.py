"""Turned boxes: what they enclose. A project's boxes are upright."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.domain.geometry import Box


def turned(points: list[tuple[float, float]], centre: tuple[float, float], degrees: float) -> NDArray[np.float64]:
    """`points` `[N, 2]` (xy_image) turned clockwise on the screen about `centre`; exact at quarter turns."""
    turn = np.exp(1j * np.deg2rad(degrees)) if degrees % 90 else (1, 1j, -1, -1j)[int(degrees // 90) % 4]
    z = (np.asarray(points, dtype=np.float64) - centre) @ (1, 1j) * turn
    return np.stack([z.real, z.imag], axis=-1) + centre


def box_around(box: Box, degrees: float) -> Box:
    """The upright box around `box` turned clockwise on the screen about its middle (as CVAT means `rotation`)."""
    x0, y0, x1, y1 = box
    x, y = turned([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], ((x0 + x1) / 2, (y0 + y1) / 2), degrees).T
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())
