"""Cheap stand-ins for laboratory and outdoor footage with exact keypoints: an arena from above, a reach, side views.

They are caricatures: good for finding out which settings break, not for quoting as accuracy on animals.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.keypoints import KeypointSchema


@dataclass(frozen=True)
class Frame:
    """`image` uint8 `[H, W]` or `[H, W, 3]`; `xy_image` `[K, 2]`; `visibility` `[K]` (0 absent, 1 hidden, 2 visible)."""

    image: NDArray[np.uint8]
    xy_image: NDArray[np.float64]
    visibility: NDArray[np.int64]


@dataclass(frozen=True)
class Sequence:
    """A set of labelled frames of one category."""

    name: str
    schema: KeypointSchema
    frames: tuple[Frame, ...]

    def write(self, folder: Path) -> list[Path]:
        """Save the frames as PNG; returns their paths in order."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for index, frame in enumerate(self.frames):
            path = folder / f"{self.name}_{index:03d}.png"
            cv2.imwrite(str(path), frame.image if frame.image.ndim == 2 else frame.image[..., ::-1])
            paths.append(path)
        return paths


def _noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    field = cv2.GaussianBlur(rng.normal(size=shape).astype(np.float32), (0, 0), sigma)
    return field / (field.std() + 1e-6)


def _sensor(rng: np.random.Generator, image: NDArray[np.float32], noise: float = 3.0) -> NDArray[np.uint8]:
    image = image * rng.uniform(0.96, 1.04) + rng.normal(0, noise, image.shape).astype(np.float32)
    pixels = image.clip(0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_UNCHANGED)


def _blend(image: NDArray[np.float32], mask: NDArray[np.float32], value: NDArray[np.float32] | float) -> None:
    if image.ndim == 3:
        mask = mask[..., None]
    image[...] = image * (1 - mask) + mask * value


def _shape(size: tuple[int, int], draw) -> NDArray[np.float32]:  # noqa: ANN001 - a local drawing callback
    mask = np.zeros(size, np.uint8)
    draw(mask)
    return cv2.GaussianBlur(mask, (0, 0), 0.8).astype(np.float32) / 255


def _ellipse(mask, centre, axes, angle) -> None:  # noqa: ANN001
    s = 16
    centre = tuple(int(round(v * s)) for v in centre)
    axes = tuple(int(round(v * s)) for v in axes)
    cv2.ellipse(mask, centre, axes, float(np.degrees(angle)), 0, 360, 255, -1, cv2.LINE_AA, 4)


def _line(mask, points, width) -> None:  # noqa: ANN001
    points = np.round(np.asarray(points) * 16).astype(np.int32)
    cv2.polylines(mask, [points], False, 255, max(1, int(round(width))), cv2.LINE_AA, 4)


def _floor(rng: np.random.Generator, w: int, h: int, box: NDArray[np.float64]) -> NDArray[np.float32]:
    """A textured floor inside `box`, darker around it, with scratches."""
    yy, xx = np.mgrid[:h, :w].astype(np.float32)
    floor = 150 + 10 * _noise(rng, (h, w), 40) + 5 * _noise(rng, (h, w), 3) + 4 * _noise(rng, (h, w), 1)
    outside = (xx < box[0]) | (xx > box[2]) | (yy < box[1]) | (yy > box[3])
    floor[outside] = 70 + 12 * _noise(rng, (h, w), 6)[outside]
    for _ in range(25):
        a = rng.uniform(0, [w, h], 2)
        b = a + rng.normal(0, 40, 2)
        _blend(floor, _shape((h, w), lambda m, a=a, b=b: _line(m, [a, b], 1.5)) * 0.5, float(rng.uniform(60, 220)))
    return floor


def arena(count: int = 30, seed: int = 0, size_wh: tuple[int, int] = (640, 480), label_noise: float = 1.5) -> Sequence:
    """A dark animal of about 75 px seen from above by a fixed camera, in every direction, on a textured floor."""
    rng = np.random.default_rng(seed)
    w, h = size_wh
    box = np.array([0.12 * w, 0.08 * h, 0.9 * w, 0.93 * h])
    floor = _floor(rng, w, h, box)
    coat = _noise(rng, (64, 64), 2)
    frames = []
    for _ in range(count):
        image = floor.copy()
        centre = np.array([rng.uniform(box[0] + 60, box[2] - 60), rng.uniform(box[1] + 60, box[3] - 60)])
        heading, bend, scale = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.35), rng.uniform(0.92, 1.08) * 75
        stretch = rng.uniform(0.85, 1.1)
        t = np.linspace(-0.5, 0.5, 9)
        angles = heading + bend * t * 2
        steps = np.stack([np.cos(angles), np.sin(angles)], 1) * scale * stretch / 8
        spine = centre + np.cumsum(steps, 0) - np.cumsum(steps, 0).mean(0)
        radius = scale * np.array([0.09, 0.15, 0.19, 0.21, 0.2, 0.17, 0.14, 0.11, 0.06])
        tail = spine[0] - np.cumsum(
            np.stack(
                [
                    np.cos(angles[0] + np.linspace(0, rng.normal(0, 1.2), 12)),
                    np.sin(angles[0] + np.linspace(0, rng.normal(0, 1.2), 12)),
                ],
                1,
            )
            * scale
            * 0.08,
            0,
        )
        _blend(image, _shape((h, w), lambda m, tail=tail: _line(m, tail, 3)), 70.0)
        body = _shape(
            (h, w), lambda m, s=spine, r=radius: [_ellipse(m, p, (q, q), 0) for p, q in zip(s, r, strict=True)]
        )
        shadow = cv2.GaussianBlur(np.roll(body, (3, 4), (0, 1)), (0, 0), 5)
        image *= 1 - 0.35 * shadow
        turn = cv2.getRotationMatrix2D((32, 32), -np.degrees(heading), scale / 64 * 1.6)
        turn[:, 2] += centre - 32
        texture = cv2.warpAffine(coat, turn, (w, h), borderMode=cv2.BORDER_WRAP)
        _blend(image, body, 38 + 5 * texture)
        direction = angles[-1]
        forward = np.array([np.cos(direction), np.sin(direction)])
        side = np.array([forward[1], -forward[0]])
        ears = [spine[-3] + forward * scale * 0.04 + s * side * scale * 0.13 for s in (1, -1)]
        for ear in ears:
            _blend(
                image, _shape((h, w), lambda m, e=ear: _ellipse(m, e, (scale * 0.075, scale * 0.06), direction)), 75.0
            )
        nose = spine[-1] + forward * scale * 0.05
        _blend(image, _shape((h, w), lambda m, p=nose: _ellipse(m, p, (2.5, 2.5), 0)), 95.0)
        if rng.random() < 0.3:
            image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 1.6)))
        points = np.stack([nose, *ears, spine[0]]) + rng.normal(0, label_noise, (4, 2))
        frames.append(Frame(_sensor(rng, image), points + 0.5, np.full(4, 2)))
    schema = KeypointSchema(("snout", "leftear", "rightear", "tailbase"), ((0, 1), (0, 2), (1, 3), (2, 3)), ((1, 2),))
    return Sequence("arena", schema, tuple(frames))


def reach(count: int = 30, seed: int = 0, size_wh: tuple[int, int] = (832, 747), label_noise: float = 2.5) -> Sequence:
    """A fixed rig with a paw that reaches for a joystick; a tongue that shows only sometimes."""
    rng = np.random.default_rng(seed)
    w, h = size_wh
    rig = 60 + 15 * _noise(rng, (h, w), 50) + 4 * _noise(rng, (h, w), 2)
    for _ in range(14):
        a, size = rng.uniform(0, [w, h], 2), rng.uniform(20, 160, 2)
        shape = _shape((h, w), lambda m, a=a, s=size: cv2.rectangle(m, a.astype(int), (a + s).astype(int), 255, -1))
        _blend(rig, shape * 0.8, float(rng.uniform(20, 200)))
    face = np.array([0.36 * w, 0.42 * h])
    _blend(
        rig, _shape((h, w), lambda m: _ellipse(m, face, (0.2 * w, 0.16 * h), 0.5)), 120 + 12 * _noise(rng, (h, w), 3)
    )
    joystick = np.array([0.62 * w, 0.74 * h])
    skin = 165 + 8 * _noise(rng, (h, w), 2)
    frames = []
    for _ in range(count):
        image = rig.copy()
        stick = joystick + rng.normal(0, 9, 2)
        foot = joystick + [60, 70]
        _blend(image, _shape((h, w), lambda m, s=stick, f=foot: _line(m, [s, f], 9)), 200.0)
        for p, r, v in ((stick, 11, 230.0), (foot, 14, 25.0)):
            _blend(image, _shape((h, w), lambda m, p=p, r=r: _ellipse(m, p, (r, r), 0)), v)
        t = rng.uniform(0, 1)
        paw = np.array([0.3 * w, 0.72 * h]) * (1 - t) + (stick + [-25, -5]) * t + [0, -120 * t * (1 - t)]
        paw = paw + rng.normal(0, 14, 2)
        angle = -0.3 + 0.8 * t + rng.normal(0, 0.25)
        forward = np.array([np.cos(angle), np.sin(angle)])
        side = np.array([-forward[1], forward[0]])
        elbow = np.array([0.24 * w, 0.6 * h])
        _blend(image, _shape((h, w), lambda m, a=elbow, b=paw: _line(m, [a, b], 34)), skin)
        _blend(image, _shape((h, w), lambda m, p=paw, a=angle: _ellipse(m, p, (32, 23), a)), skin * 1.05)
        spread = rng.uniform(0.25, 0.6)
        tips = []
        for k in range(4):
            a = angle + (k - 1.5) * spread * 0.6
            base = paw + forward * 24 + side * (k - 1.5) * 11
            tip = base + np.array([np.cos(a), np.sin(a)]) * rng.uniform(24, 34)
            tips.append(tip)
            _blend(image, _shape((h, w), lambda m, b=base, t=tip: _line(m, [b, t], 9)), skin * (0.92 + 0.05 * k))
        tongue, out = face + [0.17 * w, 0.09 * h] + rng.normal(0, 5, 2), rng.random() < 0.4
        if out:
            _blend(image, _shape((h, w), lambda m, p=tongue: _ellipse(m, p, (20, 9), 0.6)), 210.0)
        image = image * (1 + 0.05 * np.sin(rng.uniform(0, 6)))
        points = np.stack([paw, tips[0], tongue, stick, foot]) + rng.normal(0, label_noise, (5, 2))
        frames.append(Frame(_sensor(rng, image, 4.0), points + 0.5, np.array([2, 2, 2 if out else 0, 2, 2])))
    names = ("hand", "finger1", "tongue", "joystick1", "joystick2")
    return Sequence("reach", KeypointSchema(names, ((0, 1), (3, 4))), tuple(frames))


def _outdoors(rng: np.random.Generator, w: int, h: int) -> np.ndarray:
    """Sky, ground, bushes and posts, `[h, w, 3]` float32."""
    sky = np.linspace(rng.uniform(150, 230), rng.uniform(90, 170), h, dtype=np.float32)[:, None, None]
    image = sky * rng.uniform(0.8, 1.1, 3).astype(np.float32) + np.zeros((h, w, 3), np.float32)
    horizon = int(rng.uniform(0.35, 0.6) * h)
    ground = rng.uniform(60, 160) * rng.uniform(0.7, 1.1, 3).astype(np.float32)
    image[horizon:] = ground + 10 * _noise(rng, (h - horizon, w), 2)[..., None]
    for _ in range(8):
        p, r = rng.uniform([0, 0.1 * h], [w, 0.7 * h]), rng.uniform(6, 30)
        _blend(
            image,
            _shape((h, w), lambda m, p=p, r=r: _ellipse(m, p, (r, r * 0.8), 0)) * 0.8,
            rng.uniform(20, 190, 3).astype(np.float32),
        )
    for x in np.arange(rng.uniform(0, 40), w, rng.uniform(25, 60)):
        _blend(image, _shape((h, w), lambda m, x=x: _line(m, [(x, horizon - 20), (x, horizon + 12)], 2)), 220.0)
    return image


SIDE_VIEW_NAMES = (
    "nose",
    "withers",
    "rump",
    "nearfrontknee",
    "nearfrontfoot",
    "offfrontknee",
    "offfrontfoot",
    "nearhindhock",
    "nearhindfoot",
    "offhindhock",
    "offhindfoot",
    "elbow",
)


def side_views(
    count: int = 30, seed: int = 0, size_wh: tuple[int, int] = (288, 162), mirrored: float = 0.3
) -> Sequence:
    """Four-legged puppets walking outdoors: every frame another coat, proportion, background and gait phase."""
    rng = np.random.default_rng(seed)
    w, h = size_wh
    frames = []
    for _ in range(count):
        image = _outdoors(rng, w, h)
        length = rng.uniform(0.33, 0.45) * w
        centre = np.array([rng.uniform(0.42, 0.58) * w, rng.uniform(0.42, 0.5) * h])
        tall = length * rng.uniform(0.75, 0.9)
        coat = rng.uniform(25, 190) * rng.uniform(0.75, 1.05, 3).astype(np.float32)
        fur = coat + (7 * _noise(rng, (h, w), 1.5) + 7 * _noise(rng, (h, w), 8))[..., None]
        withers, rump = centre + [0.28 * length, -0.14 * length], centre + [-0.34 * length, -0.12 * length]
        shoulder, hip = centre + [0.27 * length, 0.06 * length], centre + [-0.3 * length, 0.03 * length]
        phase = rng.uniform(0, 2 * np.pi)
        joints = {}
        for name, root, shift in (
            ("offfront", shoulder, 2.6),
            ("offhind", hip, 4.4),
            ("nearfront", shoulder, 0),
            ("nearhind", hip, 1.6),
        ):
            swing = 0.42 * np.sin(phase + shift)
            fold = 0.35 * max(0.0, np.cos(phase + shift))
            knee = root + tall * 0.33 * np.array([np.sin(swing), np.cos(swing)])
            low = swing + (-fold if "front" in name else fold * 0.8 - 0.15)
            foot = knee + tall * 0.32 * np.array([np.sin(low), np.cos(low)])
            joints[name] = (knee, foot)
            shade = fur * (0.75 if "off" in name else 0.97)
            _blend(image, _shape((h, w), lambda m, r=root, k=knee: _line(m, [r, k], length * 0.1)), shade)
            _blend(image, _shape((h, w), lambda m, k=knee, f=foot: _line(m, [k, f], length * 0.05)), shade)
        _blend(image, _shape((h, w), lambda m: _ellipse(m, centre, (0.4 * length, 0.17 * length), 0.02)), fur)
        neck = rng.uniform(0.5, 1.0)
        head = withers + length * 0.4 * np.array([np.cos(neck), -np.sin(neck)]) + [0.03 * length, 0.0]
        nose = head + length * 0.24 * np.array([np.cos(-0.6), -np.sin(-0.6)])
        _blend(image, _shape((h, w), lambda m: _line(m, [withers + [0, 0.08 * length], head], length * 0.14)), fur)
        _blend(image, _shape((h, w), lambda m: _line(m, [head, nose], length * 0.09)), fur * 0.98)
        tail = [rump, rump + [-0.08 * length, 0.1 * length], rump + [-0.1 * length, 0.4 * length]]
        _blend(image, _shape((h, w), lambda m: _line(m, tail, length * 0.045)), fur * 0.6)
        points = np.stack(
            [
                nose,
                withers,
                rump,
                *joints["nearfront"],
                *joints["offfront"],
                *joints["nearhind"],
                *joints["offhind"],
                shoulder,
            ]
        )
        if rng.random() < mirrored:
            image, points = image[:, ::-1].copy(), np.stack([w - 1 - points[:, 0], points[:, 1]], 1)
        inside = ((points >= 0) & (points <= [w - 1, h - 1])).all(1)
        points = points + rng.normal(0, 1.0, points.shape)
        frames.append(Frame(_sensor(rng, image), points + 0.5, np.where(inside, 2, 0)))
    return Sequence("side_views", KeypointSchema(SIDE_VIEW_NAMES), tuple(frames))


SEQUENCES = {"arena": arena, "reach": reach, "side_views": side_views}
