"""What a body is made of: parts in space, keypoints on them, and how they are placed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.training.primitives import CYLINDER, ELLIPSOID, Primitive

Floats = NDArray[np.floating]


def rot(axis: str, angle: float) -> Floats:
    """4x4 rotation about a coordinate axis, radians."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    m = np.eye(4, dtype=np.float32)
    m[i, i] = m[j, j] = c
    m[i, j], m[j, i] = -s, s
    return m


def move(x: float = 0, y: float = 0, z: float = 0) -> Floats:
    """4x4 translation."""
    m = np.eye(4, dtype=np.float32)
    m[:3, 3] = (x, y, z)
    return m


@dataclass
class Body:
    """Primitives and keypoints under construction. `keypoints`: name -> (world point [3], depth tolerance)."""

    owner: int
    primitives: list[Primitive] = field(default_factory=list)
    keypoints: dict[str, tuple[Floats, float]] = field(default_factory=dict)

    def add(
        self, kind: int, frame: Floats, size: tuple[float, float, float], material: int, taper: float = 0.0
    ) -> None:
        """One primitive of half extents `size` at the frame's origin."""
        half = np.maximum(np.asarray(size, np.float32), 1e-3)
        basis = (frame[:3, :3] * half).astype(np.float32)
        self.primitives.append(
            Primitive(kind, basis, frame[:3, 3].astype(np.float32), half, material, self.owner, float(taper))
        )

    def limb(self, frame: Floats, length: float, r0: float, r1: float, material: int) -> Floats:
        """A tapered segment along the frame's +z with a ball at its start; returns the frame of its end."""
        mean = 0.5 * (r0 + r1)
        self.add(ELLIPSOID, frame, (r0, r0, r0), material)
        self.add(CYLINDER, frame @ move(z=length / 2), (mean, mean, length / 2), material, (r1 - r0) / (r0 + r1))
        return frame @ move(z=length)

    def mark(self, name: str, frame: Floats, tolerance: float) -> None:
        """Keypoint at the frame's origin, visible while nothing lies more than `tolerance` in front of it."""
        self.keypoints[name] = (frame[:3, 3].astype(np.float32), float(tolerance))
