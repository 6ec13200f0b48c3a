"""Procedural scenes: `render_scene(seed, size)` is a pure function of its arguments.

A scene holds one to three posed bodies over a photo-like background. The first body is the main one: its keypoints and
dense surface points are returned. Scenes come in groups of `SCENES_PER_IDENTITY` consecutive seeds that show the same
identity in other poses, views, light and surroundings. Seeds of `HELD_OUT` and above never meet the training set: other
identities, other background images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.training.bodies import BUILDERS, CATEGORIES, CREATURE_CATEGORIES
from benchmarks.training.body import Body
from benchmarks.training.primitives import BOX, CYLINDER, Camera, Hits, Primitive, cast, look_at
from benchmarks.training.textures import (
    BANK_PIXELS,
    BANK_SIZE,
    Material,
    bank_image,
    muted_colour,
    random_colour,
    random_material,
    shade_material,
)

Floats = NDArray[np.floating]
HELD_OUT = 1_000_000_000
SCENES_PER_IDENTITY = 4
SURFACE_POINTS = 96
VIEWS = {"mouse": (0.75, 1.5), "hand": (0.1, 1.45), "airplane": (-0.5, 0.8), "guitar": (-0.2, 0.6)}
"""Camera elevation range by category, radians; the default is a person's view of an animal."""
ROLLS = {"mouse": np.pi, "hand": np.pi, "airplane": 0.4, "guitar": 0.6}


@dataclass(frozen=True)
class SceneObject:
    """One body of a scene. `xy_image` [K, 2] float32 pixels (continuous, corner origin), `visibility` [K] int8 with
    0 = outside the picture, 1 = hidden, 2 = visible; names in `keypoint_names`. `surface_xy` [96, 2] and
    `surface_visible` [96] bool are the dense surface points in the same frame."""

    category: str
    identity: int
    keypoint_names: tuple[str, ...]
    xy_image: Floats
    visibility: NDArray[np.int8]
    surface_xy: Floats
    surface_visible: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """`image` [S, S, 3] uint8 RGB, `owner` [S, S] int8 (-1 background, else index into `objects`), `objects`."""

    seed: int
    image: NDArray[np.uint8]
    owner: NDArray[np.int8]
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class SceneOptions:
    """What to draw. `category` fixes the main body's category (default: drawn by the identity), `distractor` forces
    (True) or forbids (False) a second body of the same category, `identity` overrides the seed's own identity,
    `companions` lists the identities of the same category that stand beside it instead of drawn ones, `azimuth` limits
    the camera's angle round the main body (0 = it faces the camera, radians); with `elevation` (its height, radians) it
    takes in all bodies. `supersample` renders larger first. `breed`, a number and a share: so much of every body's
    proportions is that breed's, the rest its own. `place`: the surroundings are that calm place (wall out of focus, even
    ground) instead of drawn ones."""

    category: str | None = None
    identity: int | None = None
    distractor: bool | None = None
    companions: tuple[int, ...] | None = None
    azimuth: tuple[float, float] | None = None
    elevation: tuple[float, float] | None = None
    supersample: float = 1.0
    breed: tuple[int, float] | None = None
    place: int | None = None


@lru_cache(maxsize=512)
def surface_table(category: str) -> tuple[NDArray[np.int16], Floats]:
    """Dense points of a category: primitive number [96] and unit-shape position [96, 3], the same on all identities."""
    number = list(BUILDERS).index(category)
    rng = np.random.default_rng([555, number])
    body = Body(0)
    BUILDERS[category](body, np.random.default_rng([1, number]), np.random.default_rng([2, number]))
    area = np.array([float(p.size @ np.roll(p.size, 1)) for p in body.primitives]) ** 0.6
    pick = np.sort(rng.choice(len(area), SURFACE_POINTS, p=area / area.sum()))
    direction = rng.normal(size=(SURFACE_POINTS, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    unit = direction.copy()
    for row, k in enumerate(pick):
        prim = body.primitives[k]
        if prim.kind == BOX:
            unit[row] = direction[row] / np.abs(direction[row]).max()
        elif prim.kind == CYLINDER:
            z = rng.uniform(-0.95, 0.95)
            flat = direction[row, :2] / np.linalg.norm(direction[row, :2]) * (1 + prim.taper * z)
            unit[row] = (*flat, z)
    return pick.astype(np.int16), unit.astype(np.float32)


def scene_category(identity: int) -> str:
    """Category of an identity: named ones twice as often as all random creatures together."""
    rng = np.random.default_rng([31, identity])
    pool = list(CATEGORIES) if rng.random() < 0.67 else list(CREATURE_CATEGORIES)
    return pool[int(rng.integers(len(pool)))]


def identity_of(seed: int) -> int:
    """Identity number of a scene seed's main body."""
    return seed // SCENES_PER_IDENTITY


def make_materials(identity: int) -> list[Material]:
    """The five materials (body, limb, head, accent, dark) of an identity; parts often share the body's."""
    rng = np.random.default_rng([41, identity])
    body = random_material(rng)
    parts = [body]
    for share in (0.5, 0.55, 0.2):
        own = random_material(rng)
        parts.append(body if rng.random() < share else own)
    dark = random_material(rng)
    keep = rng.random() < 0.8
    scale = np.float32(0.18 if keep else 1.0)
    parts.append(Material(dark.colour_a * scale, dark.colour_b * scale, "plain", 5.0, dark.direction, dark.offset, 0.5))
    return parts


class _Bred(np.random.Generator):
    """Proportions of an individual of a breed: every uniform draw lies that share of the way to the breed's own draw."""

    def __init__(self, identity: int, breed: int, share: float) -> None:
        super().__init__(np.random.PCG64([51, identity]))
        self._breed, self._share = np.random.default_rng([52, breed]), share

    def uniform(self, *args: float) -> float:  # type: ignore[override]
        """Builders draw single numbers only."""
        return (1 - self._share) * float(super().uniform(*args)) + self._share * float(self._breed.uniform(*args))  # type: ignore[call-overload]


def _pose_body(
    category: str, identity: int, owner: int, rng: np.random.Generator, breed: tuple[int, float] | None = None
) -> Body:
    body = Body(owner)
    own = np.random.default_rng([51, identity]) if breed is None else _Bred(identity, *breed)
    BUILDERS[category](body, own, rng)
    return body


def _place(body: Body, yaw: float, offset: Floats, scale: float) -> Body:
    """Body turned by `yaw`, scaled, set with its lowest point on z = 0 and moved by `offset`."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = scale * np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
    low = min(float(p.centre[2] - np.linalg.norm(p.basis[2])) for p in body.primitives)
    shift = np.array([0, 0, -low * scale], np.float32) + offset
    out = Body(body.owner)
    for p in body.primitives:
        out.primitives.append(
            Primitive(
                p.kind,
                (turn @ p.basis).astype(np.float32),
                (turn @ p.centre + shift).astype(np.float32),
                p.size,
                p.material,
                p.owner,
                p.taper,
            )
        )
    out.keypoints = {n: ((turn @ x + shift).astype(np.float32), t * scale) for n, (x, t) in body.keypoints.items()}
    return out


def _frame_camera(
    bodies: list[Body],
    category: str,
    rng: np.random.Generator,
    size: int,
    heading: tuple[float, float] | None,
    heights: tuple[float, float] | None = None,
) -> Camera:
    """Camera that shows the main body (with `heights`: all bodies) at 40-90 % of the picture, somewhat off centre."""
    low, high = heights or VIEWS.get(category, (-0.05, 0.75))
    elevation, azimuth = rng.uniform(low, high), rng.uniform(*(heading or (0, 2 * np.pi)))
    centres = np.stack([p.centre for b in (bodies if heights else bodies[:1]) for p in b.primitives])
    middle = 0.5 * (centres.min(0) + centres.max(0))
    radius = max(0.25, float(np.linalg.norm(centres - middle, axis=1).max()))
    fov = rng.uniform(0.35, 0.9)
    fill = rng.uniform(*((0.55, 0.9) if heights else (0.55, 1.0) if len(bodies) == 1 else (0.4, 0.75)))
    distance = radius / (np.tan(fov / 2) * fill) + radius * 0.4
    direction = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], np.float32
    )
    focal = size / 2 / np.tan(fov / 2)
    jitter = rng.normal(size=3).astype(np.float32) * (1.1 - fill) * 0.25 * distance * np.tan(fov / 2)
    limit = ROLLS.get(category)
    roll = rng.normal(0, 0.12) if limit is None else rng.uniform(-limit, limit)
    return look_at(middle + direction * distance, middle + jitter, float(roll), focal, size)


def _crop_bank(rng: np.random.Generator, bank: int, size: int) -> Floats:
    """Random crop of a bank image as float32 [size, size, 3] in [0, 1], recoloured."""
    source = bank_image(bank + int(rng.integers(BANK_SIZE)))
    side = int(rng.integers(BANK_PIXELS // 3, BANK_PIXELS + 1))
    y, x = rng.integers(0, BANK_PIXELS - side + 1, 2)
    crop = cv2.resize(source[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    image = crop.astype(np.float32) / 255
    if rng.random() < 0.5:
        image = image.mean(2, keepdims=True) * (0.4 + random_colour(rng)) * rng.uniform(0.6, 1.2)
    return image * rng.uniform(0.65, 1.25)


def _background(
    camera: Camera, rng: np.random.Generator, bank: int, feet: list[Floats], light: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Wall and, mostly, a ground plane in perspective with soft contact shadows -> ([S, S, 3], ground mask)."""
    size = camera.size
    wall = _crop_bank(rng, bank, size)
    if rng.random() < 0.3:
        wall = cv2.GaussianBlur(wall, (0, 0), float(rng.uniform(1, 6)))
    if rng.random() < 0.2:
        ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
        wall = random_colour(rng) * ramp + random_colour(rng) * (1 - ramp) + 0.25 * (wall - wall.mean())
    if rng.random() < 0.2:
        return wall, np.zeros((size, size), bool)
    x, y, t, ground = _ground(camera)
    texture = _crop_bank(rng, bank, 256)
    density = rng.uniform(40, 160)
    floor = cv2.remap(
        texture,
        np.abs((x * density) % 510 - 255).astype(np.float32),
        np.abs((y * density) % 510 - 255).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    far = np.clip(t / 12, 0, 1)[..., None]
    floor = (floor * (1 - 0.5 * far) + 0.5 * far * wall.mean((0, 1))) * _contact(x, y, feet, light)[..., None]
    return np.where(ground[..., None], floor, wall), ground


def _ground(camera: Camera) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """x, y and distance `[S, S]` of the ground plane in every pixel, and where there is ground."""
    rays = camera.directions()
    t = -camera.position[2] / np.where(np.abs(rays[..., 2]) < 1e-6, -1e-6, rays[..., 2])
    ground = (t > 0) & (t < 12)
    x = camera.position[0] + np.where(ground, t, 0) * rays[..., 0]
    y = camera.position[1] + np.where(ground, t, 0) * rays[..., 1]
    return x, y, t, ground


def _contact(x: Floats, y: Floats, feet: list[Floats], light: Floats) -> Floats:
    """Soft shadows under the bodies: factor `[S, S]` float32 of the ground's light."""
    shade = np.ones(x.shape, np.float32)
    for foot in feet:
        dx, dy = x - foot[0] + 0.25 * light[0], y - foot[1] + 0.25 * light[1]
        shade *= 1 - 0.55 * np.exp(-(dx * dx + dy * dy) / (2 * foot[2] ** 2))
    return shade


def _calm_place(
    camera: Camera, rng: np.random.Generator, bank: int, place: int, feet: list[Floats], light: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """The same wall and ground in every picture of a place, seen through another window each time -> as `_background`."""
    own = np.random.default_rng([63, place])
    wall_image, floor_image = (bank_image(bank + int(own.integers(BANK_SIZE))) for _ in range(2))
    wall_colour, floor_colour = (muted_colour(own) for _ in range(2))
    size = camera.size
    y, x = rng.integers(0, BANK_PIXELS // 2, 2)
    half = BANK_PIXELS // 2
    window = cv2.resize(wall_image[y : y + half, x : x + half], (size, size), interpolation=cv2.INTER_LINEAR)
    blurred = cv2.GaussianBlur(window.astype(np.float32) / 255, (0, 0), 0.03 * size)
    wall = wall_colour * (0.75 + 0.5 * blurred.mean(2, keepdims=True)) + 0.25 * (blurred - blurred.mean((0, 1)))
    x, y, t, ground = _ground(camera)
    texture = cv2.GaussianBlur(floor_image.astype(np.float32) / 255, (0, 0), 1.5).mean(2)
    grain = cv2.remap(
        texture,
        np.abs((x * 60) % 510 - 255).astype(np.float32),
        np.abs((y * 60) % 510 - 255).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    floor = floor_colour * (0.8 + 0.4 * grain[..., None])
    far = np.clip(t / 12, 0, 1)[..., None] ** 0.5
    floor = (floor * (1 - 0.5 * far) + 0.5 * far * wall.mean((0, 1))) * _contact(x, y, feet, light)[..., None]
    return np.where(ground[..., None], floor, wall), ground


def _shade(
    hits: Hits,
    primitives: list[Primitive],
    materials: list[list[Material]],
    camera: Camera,
    light: Floats,
    gain: Floats,
) -> Floats:
    """Colours [N, 3] of the pixels that hit something: solid texture, wrapped diffuse light, sky light, gloss."""
    where = hits.index >= 0
    index, normal, local = hits.index[where], hits.normal[where], hits.local[where]
    number = np.array([p.owner * 8 + p.material for p in primitives], np.int16)[index]
    offset = np.array([[i * 0.37, i * 0.71, i * 0.13] for i in range(len(primitives))], np.float32)[index]
    albedo, gloss = np.empty((len(index), 3), np.float32), np.empty(len(index), np.float32)
    for value in np.unique(number):
        rows = number == value
        material = materials[value // 8][value % 8]
        albedo[rows] = shade_material(material, local[rows] + offset[rows] * 0.15)
        gloss[rows] = material.gloss
    facing = normal @ light
    diffuse = np.clip((facing + 0.25) / 1.25, 0, None)
    sky = 0.5 + 0.5 * normal[:, 2]
    view = -camera.rotation[2]
    half = (light + view) / (np.linalg.norm(light + view) + 1e-6)
    shine = gloss * np.clip(normal @ half, 0, None) ** 24
    ambient = 0.28 + 0.3 * sky
    colour: Floats = albedo * (ambient[:, None] + gain * diffuse[:, None]) + shine[:, None]
    return colour


def _describe(
    body: Body, category: str, identity: int, depth: Floats, owner: NDArray[np.int8], camera: Camera
) -> SceneObject:
    names = tuple(body.keypoints)
    world = np.stack([body.keypoints[n][0] for n in names])
    tolerance = np.array([body.keypoints[n][1] for n in names], np.float32)
    pick, unit = surface_table(category)
    dense = np.stack(
        [body.primitives[k].centre + body.primitives[k].basis @ q for k, q in zip(pick, unit, strict=True)]
    )
    scale = float(np.linalg.norm(world - world.mean(0), axis=1).max())
    own = owner == body.owner
    xy, inside, seen = _visible(world, tolerance, own, depth, camera)
    sxy, _, sseen = _visible(dense, np.full(len(dense), 0.03 * scale, np.float32), own, depth, camera)
    visibility = np.where(inside, np.where(seen, 2, 1), 0).astype(np.int8)
    return SceneObject(category, identity, names, xy, visibility, sxy, sseen)


def _visible(
    points: Floats, tolerance: Floats, own: NDArray[np.bool_], depth: Floats, camera: Camera
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Project -> (xy_image, inside the picture, in front of the depth buffer and on the body's own pixels)."""
    xy, z = camera.project(points)
    cell = np.floor(xy).astype(int)
    inside = (cell >= 0).all(1) & (cell < camera.size).all(1) & (z > 0.1)
    cell = cell.clip(0, camera.size - 1)
    near = depth[cell[:, 1], cell[:, 0]]
    return xy, inside, inside & own[cell[:, 1], cell[:, 0]] & (near > z - tolerance)


def _cast_of(seed: int, options: SceneOptions, rng: np.random.Generator) -> list[tuple[str, int]]:
    """(category, identity) of every body: the main one, then distractors."""
    identity = identity_of(seed) if options.identity is None else options.identity
    category = options.category or scene_category(identity)
    people = [(category, identity)]
    if options.companions is not None:
        return people + [(category, i) for i in options.companions]
    base = (seed // HELD_OUT) * HELD_OUT + 700_000_000
    same = rng.random() < 0.38 if options.distractor is None else options.distractor
    if same:
        people.append((category, base + int(rng.integers(10_000_000))))
    if rng.random() < 0.22:
        other = base + int(rng.integers(10_000_000))
        people.append((scene_category(other), other))
    return people


def render_scene(seed: int, size: int, options: SceneOptions | None = None) -> Scene:
    """The scene of `seed` as a square picture of `size` pixels. Pure: same arguments, same bytes."""
    options = options or SceneOptions()
    rng = np.random.default_rng([61, seed])
    people = _cast_of(seed, options, rng)
    bank = (seed // HELD_OUT) * 10_000
    bodies, materials = [], []
    slots = rng.permutation(np.array([[0.0, 0.0], [0.95, 0.5], [-0.75, 0.85]], np.float32)) * rng.uniform(0.75, 1.1)
    heading = None
    for k, (category, identity) in enumerate(people):
        body = _pose_body(category, identity, k, rng, options.breed)
        offset: Floats = np.array([*slots[k], 0], np.float32) if len(people) > 1 else np.zeros(3, np.float32)
        yaw = float(rng.uniform(0, 2 * np.pi))
        if options.azimuth is not None:
            heading = heading or (yaw + options.azimuth[0], yaw + options.azimuth[1])
            yaw = heading[0] - options.azimuth[0] + (yaw * 0.15 if k else 0.0)
            offset = np.zeros(3, np.float32)
            if k:  # beside the main body as the camera sees it, not behind it
                across = sum(heading) / 2
                offset = np.array([-np.sin(across), np.cos(across), 0], np.float32) * (-1) ** k * rng.uniform(0.9, 1.15)
                offset = offset.astype(np.float32)
        bodies.append(_place(body, yaw, offset, float(rng.uniform(0.85, 1.15))))
        materials.append(make_materials(identity))
    inner = round(size * options.supersample)
    camera = _frame_camera(bodies, people[0][0], rng, inner, heading, options.elevation)
    toward = -camera.rotation[2] + rng.normal(size=3) * 0.8 + np.array([0, 0, 0.8])
    light = (toward / np.linalg.norm(toward)).astype(np.float32)
    primitives = [p for b in bodies for p in b.primitives]
    hits = cast(primitives, camera)
    owners = np.array([p.owner for p in primitives] + [-1], np.int8)
    owner = owners[hits.index]
    feet = [np.array([*np.mean([p.centre[:2] for p in b.primitives], 0), 0.26], np.float32) for b in bodies]
    if options.place is None:
        image, _ = _background(camera, rng, bank, feet, light)
    else:
        image, _ = _calm_place(camera, rng, bank, options.place, feet, light)
    tint = (1 + rng.normal(0, 0.08, 3)).astype(np.float32)
    image[owner >= 0] = _shade(hits, primitives, materials, camera, light, tint * np.float32(rng.uniform(0.5, 1.0)))
    objects = tuple(_describe(b, c, i, hits.depth, owner, camera) for b, (c, i) in zip(bodies, people, strict=True))
    return _develop(seed, image, owner, objects, rng, size)


def _develop(
    seed: int,
    image: Floats,
    owner: NDArray[np.int8],
    objects: tuple[SceneObject, ...],
    rng: np.random.Generator,
    size: int,
) -> Scene:
    """Lens and sensor: exposure, gamma, vignette, blur, noise; then down to the asked size."""
    inner = image.shape[0]
    axis = np.linspace(-1, 1, inner, dtype=np.float32)
    vignette = 1 - rng.uniform(0, 0.25) * (axis[:, None] ** 2 + axis[None, :] ** 2)
    image = np.clip(image * rng.uniform(0.85, 1.3) * vignette[..., None], 0, 1) ** np.float32(rng.uniform(0.75, 1.2))
    if inner != size:
        ratio = size / inner
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        owner = cv2.resize(owner.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST).view(np.int8)
        objects = tuple(
            SceneObject(
                o.category,
                o.identity,
                o.keypoint_names,
                o.xy_image * ratio,
                o.visibility,
                o.surface_xy * ratio,
                o.surface_visible,
            )
            for o in objects
        )
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.0)) * size / 192)
    image = image + rng.normal(0, rng.uniform(0, 0.02), (*image.shape[:2], 1)).astype(np.float32)
    return Scene(seed, (np.clip(image, 0, 1) * 255).astype(np.uint8), owner, objects)
