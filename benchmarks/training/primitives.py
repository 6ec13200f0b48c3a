"""Analytic ray casting of ellipsoids, boxes and tapered cylinders into one depth buffer (NumPy only).

World frame: x forward, y left, z up. A primitive is the image of a unit shape under `p = c + M q`; the ray is taken into
the unit frame instead, where every intersection is a closed formula. Rays are scaled so that the parameter `t` is depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ELLIPSOID, BOX, CYLINDER = 0, 1, 2
_NEAR = 0.05
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float32)

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Primitive:
    """One solid. `basis` [3, 3] and `centre` [3] map the unit shape to the world.

    `taper` (cylinders only) makes the radius `1 + taper * z` for z in [-1, 1]. `size` [3] are the half extents, used to
    give textures a metric scale. `material` indexes the object's materials, `owner` the object.
    """

    kind: int
    basis: Floats
    centre: Floats
    size: Floats
    material: int
    owner: int
    taper: float = 0.0


@dataclass(frozen=True)
class Camera:
    """Pinhole camera. `rotation` [3, 3]: rows are right, down, forward in the world; `focal` in pixels of `size`."""

    position: Floats
    rotation: Floats
    focal: float
    size: int

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """World points [N, 3] -> (xy_image [N, 2] continuous with the origin at the corner, depth [N])."""
        local = (points - self.position) @ self.rotation.T
        depth = np.maximum(local[:, 2], 1e-3)
        xy = local[:, :2] / depth[:, None] * self.focal + self.size / 2.0
        return xy.astype(np.float32), local[:, 2].astype(np.float32)

    def directions(self) -> Floats:
        """Ray directions [S, S, 3] in the world with unit forward component, one through every pixel centre."""
        axis = (np.arange(self.size, dtype=np.float32) + 0.5 - self.size / 2.0) / self.focal
        local = np.empty((self.size, self.size, 3), np.float32)
        local[..., 0] = axis[None, :]
        local[..., 1] = axis[:, None]
        local[..., 2] = 1.0
        return local @ self.rotation


@dataclass(frozen=True)
class Hits:
    """Depth buffer: `depth` [S, S] (inf = background), `index` [S, S] primitive or -1, world `normal` and metric
    texture coordinate `local`, both [S, S, 3] and meaningful only where `index >= 0`."""

    depth: Floats
    index: NDArray[np.int16]
    normal: Floats
    local: Floats


def look_at(position: Floats, target: Floats, roll: float, focal: float, size: int) -> Camera:
    """Camera at `position` looking at `target`, rolled by `roll` radians."""
    forward = target - position
    forward = forward / np.linalg.norm(forward)
    up = np.array([0, 0, 1], np.float32) if abs(forward[2]) < 0.98 else np.array([1, 0, 0], np.float32)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    rotation = np.stack([c * right + s * down, -s * right + c * down, forward]).astype(np.float32)
    return Camera(position.astype(np.float32), rotation, float(focal), size)


def cast(primitives: list[Primitive], camera: Camera) -> Hits:
    """Nearest intersection of every pixel's ray with the primitives."""
    size = camera.size
    depth = np.full((size, size), np.inf, np.float32)
    index = np.full((size, size), -1, np.int16)
    normal = np.zeros((size, size, 3), np.float32)
    local = np.zeros((size, size, 3), np.float32)
    rays = camera.directions()
    for i, prim in enumerate(primitives):
        window = _window(prim, camera)
        if window is None:
            continue
        inverse = np.linalg.inv(prim.basis).astype(np.float32)
        start = inverse @ (camera.position - prim.centre)
        direction = rays[window] @ inverse.T
        t, unit_normal = _INTERSECT[prim.kind](start, direction, prim.taper)
        closer = (t > _NEAR) & (t < depth[window])
        if not closer.any():
            continue
        hit_t, hit_dir = t[closer], direction[closer]
        point = start + hit_t[:, None] * hit_dir
        n = unit_normal(point, hit_dir) @ inverse
        n /= np.linalg.norm(n, axis=1, keepdims=True) + 1e-9
        depth[window][closer] = hit_t
        index[window][closer] = i
        normal[window][closer] = n
        local[window][closer] = point * prim.size
    return Hits(depth, index, normal, local)


def _window(prim: Primitive, camera: Camera) -> tuple[slice, slice] | None:
    scale = np.array([1 + abs(prim.taper), 1 + abs(prim.taper), 1], np.float32)
    corners = prim.centre + (_CORNERS * scale) @ prim.basis.T
    xy, depth = camera.project(corners)
    if depth.min() < 2 * _NEAR:
        return None
    x0, y0 = np.floor(xy.min(0)).astype(int).clip(0, camera.size)
    x1, y1 = (np.ceil(xy.max(0)).astype(int) + 1).clip(0, camera.size)
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def _hit_ellipsoid(o, d, _taper):  # type: ignore[no-untyped-def]
    a = np.einsum("hwc,hwc->hw", d, d)
    b = d @ o
    disc = b * b - a * (o @ o - 1)
    t = np.where(disc > 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.inf)
    return t, lambda p, _d: p


def _hit_box(o, d, _taper):  # type: ignore[no-untyped-def]
    inv = 1.0 / np.where(np.abs(d) < 1e-8, 1e-8, d)
    low, high = (-1 - o) * inv, (1 - o) * inv
    near, far = np.minimum(low, high), np.maximum(low, high)
    t0, t1 = near.max(-1), far.min(-1)

    def normal(p, _d):  # type: ignore[no-untyped-def]
        axis = np.abs(p).argmax(1)
        out = np.zeros_like(p)
        rows = np.arange(len(p))
        out[rows, axis] = np.sign(p[rows, axis])
        return out

    return np.where(t0 < t1, t0, np.inf), normal


def _hit_cylinder(o, d, k):  # type: ignore[no-untyped-def]
    dx, dy, dz = d[..., 0], d[..., 1], d[..., 2]
    radius0 = 1 + k * o[2]
    a = dx * dx + dy * dy - k * k * dz * dz
    a = np.where(np.abs(a) < 1e-9, 1e-9, a)
    b = o[0] * dx + o[1] * dy - k * radius0 * dz
    c = o[0] ** 2 + o[1] ** 2 - radius0**2
    disc = b * b - a * c
    t = (-b - np.sqrt(np.maximum(disc, 0))) / a
    z = o[2] + t * dz
    t = np.where((disc > 0) & (np.abs(z) <= 1) & (t > 0), t, np.inf)
    safe = np.where(np.abs(dz) < 1e-8, 1e-8, dz)
    for cap in (-1.0, 1.0):
        tc = (cap - o[2]) / safe
        x, y = o[0] + tc * dx, o[1] + tc * dy
        t = np.where((x * x + y * y <= (1 + k * cap) ** 2) & (tc > 0) & (tc < t), tc, t)

    def normal(p, _d):  # type: ignore[no-untyped-def]
        side = np.stack([p[:, 0], p[:, 1], -k * (1 + k * p[:, 2])], 1)
        cap_normal = np.stack([0 * p[:, 2], 0 * p[:, 2], np.sign(p[:, 2])], 1)
        return np.where((np.abs(p[:, 2]) > 0.999)[:, None], cap_normal, side).astype(np.float32)

    return t.astype(np.float32), normal


_INTERSECT = {ELLIPSOID: _hit_ellipsoid, BOX: _hit_box, CYLINDER: _hit_cylinder}
