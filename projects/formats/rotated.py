"""Turned boxes and ellipses: a project's boxes are upright, its masks are pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.geometry import Box


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


def ellipse_ring(centre: tuple[float, float], radii: tuple[float, float], degrees: float) -> list[float]:
    """An ellipse as a flat ring of 72 corners, turned clockwise on the screen about its centre."""
    turn = np.deg2rad(np.arange(0, 360, 5))
    x, y = centre[0] + radii[0] * np.cos(turn), centre[1] + radii[1] * np.sin(turn)
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    return [float(v) for v in turned(points, centre, degrees).reshape(-1)]
