"""Make a folder of photos for ranking: things on other photos, turned, bent, relit, cut by the border.

    python -m benchmarks.albums OUT --photos DIR [DIR ...] [--cut-outs DIR] [--individuals 16] [--views 5] [--sessions 0.5] [--seed 1]

Things are RGBA pictures of `--cut-outs` (one picture each: their views are warps of it, which flatters local matching) and
rendered individuals of few kinds (each view rendered anew: the back of a thing looks different). `--photos` are the
backgrounds. Photos of a session share light and place, as people take them; `--sessions` is the share of photos that belong to their
thing's session. Writes `identity__N.jpg` and `masks/identity__N.png`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene
from kinmark.engine.imaging import is_image_path, load_image

SIDE = 400
KINDS = ("dog", "cat", "chair", "car", "guitar", "bird", "horse", "mouse")
INDIVIDUALS, SEEDS = HELD_OUT + 130_000, HELD_OUT + 2_000_000
Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Thing:
    """A name and RGBA pictures `[h, w, 4]`: one cut-out, or a rendered picture per view."""

    name: str
    pictures: tuple[Bytes, ...]
    flat: bool


@dataclass(frozen=True)
class Session:
    """Place (photo, offset, share of it, tint, blur) and light (gamma, gain) of one photo, or of several of a session."""

    photo: int
    offset: tuple[float, float]
    share: float
    tint: Floats
    blur: float
    gamma: float
    gain: Floats


def draw_session(rng: np.random.Generator, photos: int) -> Session:
    """A random place and light."""
    gain = (rng.uniform(0.75, 1.2) * rng.uniform(0.88, 1.12, 3)).astype(np.float32)
    return Session(
        int(rng.integers(photos)),
        (float(rng.random()), float(rng.random())),
        float(rng.uniform(0.35, 0.8)),
        rng.uniform(0.7, 1.3, 3).astype(np.float32),
        float(rng.uniform(0.3, 5)) * float(rng.random() < 0.6),
        float(rng.uniform(0.65, 1.5)),
        gain,
    )


def background(photos: list[Bytes], session: Session, rng: np.random.Generator, jitter: float) -> Floats:
    """`[SIDE, SIDE, 3]` 0..1 of the session's place, moved by up to `jitter`."""
    photo = photos[session.photo]
    height, width = photo.shape[:2]
    side = int(min(height, width) * np.clip(session.share * rng.uniform(1 - jitter, 1 + jitter), 0.25, 1))
    y, x = (np.clip(o + rng.uniform(-jitter, jitter), 0, 1) for o in session.offset)
    top, left = int(y * (height - side)), int(x * (width - side))
    part = cv2.resize(photo[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA) / 255
    part = (part * session.tint).astype(np.float32)
    return cv2.GaussianBlur(part, (0, 0), session.blur) if session.blur > 0 else part


def placed(picture: Bytes, rng: np.random.Generator, flat: bool) -> tuple[Floats, Floats]:
    """(colours 0..1 `[SIDE, SIDE, 3]`, alpha `[SIDE, SIDE]`) of a thing: bent, in perspective, turned, scaled, maybe mirrored."""
    height, width = picture.shape[:2]
    side = max(height, width)
    pad = side // 3
    big = np.zeros((height + 2 * pad, width + 2 * pad, 4), np.float32)
    big[pad : pad + height, pad : pad + width] = picture / 255
    big[..., :3] *= big[..., 3:]
    tall, wide = big.shape[:2]
    yy, xx = np.mgrid[0:tall, 0:wide].astype(np.float32)
    u = (xx - wide / 2) / (width / 2)
    if not flat:  # a flat picture is rolled round a cylinder and turned
        seen = np.arcsin(np.clip(0.8 * u, -0.999, 0.999)) + rng.uniform(-0.95, 0.95)
        share = rng.uniform(0.6, 1)
        u = (1 - share) * u + share * np.where(np.abs(u) < 1.2, np.sin(np.clip(seen, -1.5, 1.5)) / 0.8, 9)
    bend = (0.012 if flat else 0.048) * side
    from_x, from_y = (
        (
            base
            + bend * cv2.resize(rng.normal(size=(5, 5)).astype(np.float32), (wide, tall), interpolation=cv2.INTER_CUBIC)
        )
        for base in (u * (width / 2) + wide / 2, yy)
    )
    bent = cv2.remap(big, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
    scale = rng.uniform(0.5, 0.95) * SIDE / side
    turn = np.vstack([cv2.getRotationMatrix2D((wide / 2, tall / 2), rng.normal(0, 12), 1), [0, 0, 1]])
    perspective = np.eye(3)
    perspective[2, :2] = rng.normal(0, 0.2, 2) / side
    stretch = np.diag([*rng.uniform(0.85, 1.15, 2), 1.0])
    centre = np.array([[1, 0, -wide / 2], [0, 1, -tall / 2], [0, 0, 1.0]])
    x, y = SIDE * (0.5 + rng.normal(0, 0.08)), SIDE * (0.53 + rng.normal(0, 0.07))
    matrix = np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]]) @ perspective @ stretch @ centre @ turn
    image = cv2.warpPerspective(bent, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if rng.random() < 0.2:
        image = image[:, ::-1]
    alpha = np.clip(image[..., 3], 0, 1)
    return np.clip(image[..., :3] / np.maximum(alpha[..., None], 1e-3), 0, 1).astype(np.float32), alpha


def photograph(
    thing: Thing, view: int, photos: list[Bytes], shared: Session | None, rng: np.random.Generator
) -> tuple[Bytes, Bytes]:
    """(photo, mask 0 / 255) of a thing, in its session or on its own."""
    session = shared or draw_session(rng, len(photos))
    colours, alpha = placed(thing.pictures[view % len(thing.pictures)], rng, thing.flat)
    behind = background(photos, session, rng, 0.2 if shared else 0.0)

    def lit(values: Floats) -> Floats:
        curved = np.clip(values, 0, 1) ** (session.gamma * rng.uniform(0.95, 1.05))
        return (curved * session.gain * rng.uniform(0.95, 1.05, 3)).astype(np.float32)

    yy, xx = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    side_light = 1 + rng.uniform(0, 1) * (np.cos(angle) * xx + np.sin(angle) * yy)
    shadow = 1 - 0.35 * np.roll(cv2.GaussianBlur(alpha, (0, 0), 9), 12, axis=0)
    mixed = (
        lit(behind) * shadow[..., None] * (1 - alpha[..., None])
        + lit(colours) * side_light[..., None] * alpha[..., None]
    )
    mixed = cv2.GaussianBlur(mixed.astype(np.float32), (0, 0), rng.uniform(0.3, 1)) + rng.normal(0, 0.015, mixed.shape)
    return (np.clip(mixed, 0, 1) * 255).astype(np.uint8), ((alpha > 0.5) * 255).astype(np.uint8)


def rendered_thing(number: int, views: int, seed: int) -> Thing:
    """An individual that the training set never held, each view cut out of a scene of its own."""
    pictures: list[Bytes] = []
    kind, attempt = KINDS[number % len(KINDS)], 0
    while len(pictures) < views:
        options = SceneOptions(
            category=kind, identity=INDIVIDUALS + 1000 * seed + number, distractor=False, supersample=1.5
        )
        scene = render_scene(SEEDS + 10_000 * seed + 300 * number + attempt, 320, options)
        attempt += 1
        own = scene.owner == 0
        if own.mean() >= 0.06:
            ys, xs = np.nonzero(own)
            alpha = 255 * cv2.erode(own.astype(np.uint8), np.ones((3, 3)))
            pictures.append(np.dstack([scene.image, alpha])[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1])
    return Thing(f"{kind}{number:02d}", tuple(pictures), flat=True)


def main(argv: list[str] | None = None) -> int:
    """Write the folder."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--photos", type=Path, nargs="+", required=True)
    arguments.add_argument("--cut-outs", type=Path)
    arguments.add_argument("--individuals", type=int, default=16)
    arguments.add_argument("--views", type=int, default=5)
    arguments.add_argument("--sessions", type=float, default=0.5)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args(argv)
    files = [p for folder in options.photos for p in sorted(folder.iterdir()) if is_image_path(p)]
    photos = [load_image(p).rgb for p in files]
    things = [rendered_thing(i, options.views, options.seed) for i in range(options.individuals)]
    for path in sorted(options.cut_outs.glob("*.png")) if options.cut_outs else []:
        things.append(Thing(path.stem, (np.asarray(Image.open(path).convert("RGBA")),), flat=False))
    (options.out / "masks").mkdir(parents=True, exist_ok=True)
    for number, thing in enumerate(things):
        shared = draw_session(np.random.default_rng([options.seed, number]), len(photos))
        for view in range(options.views):
            rng = np.random.default_rng([options.seed, number, view])
            own = rng.random() >= options.sessions
            photo, mask = photograph(thing, view, photos, None if own else shared, rng)
            Image.fromarray(photo).save(options.out / f"{thing.name}__{view}.jpg", quality=88)
            Image.fromarray(mask).save(options.out / "masks" / f"{thing.name}__{view}.png")
    print(f"{len(things)} things x {options.views} in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
