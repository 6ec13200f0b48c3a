"""Photos with several instances each: COCO files, mosaics of photos with one, rendered scenes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.real_sets import load_set, twins
from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene
from kinmark.engine.domain.alike import named_similarity
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.matching.taken import proposed_keypoints

Floats = NDArray[np.float64]
CANVAS = (640, 480)
SCENE = 448
SIDE = (1.2, 1.95)
"""From where bodies are seen, radians: from all round they have little in common."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """One instance: `xy` `[K, 2]` (NaN = not labelled), `length` longer side of its box."""

    xy: Floats
    length: float

    def matches(self, xy: Floats) -> bool:
        """Whether keypoints `[K, 2]` lie on it."""
        shown = np.isfinite(self.xy[:, 0])
        near = np.linalg.norm(xy[shown] - self.xy[shown], axis=1) <= 0.1 * self.length
        return bool(near.mean() >= 0.5) or self.likeness(xy) >= 0.5

    def hits(self, schema: KeypointSchema, proposal: InstanceProposal | None) -> list[bool]:
        """Per labelled keypoint whether it is proposed within 0.1."""
        shown = np.isfinite(self.xy[:, 0])
        if proposal is None:
            return [False] * int(shown.sum())
        xy = np.asarray(proposed_keypoints(schema, proposal).xy_image)
        return list(np.linalg.norm(xy[shown] - self.xy[shown], axis=1) <= 0.1 * self.length)

    def likeness(self, xy: Floats) -> float:
        """Named similarity, 0 without a common keypoint."""
        return float(np.nan_to_num(named_similarity(xy, self.xy, self.length)))


@dataclass(frozen=True)
class SeveralSet:
    """Photos with all their instances."""

    name: str
    schema: KeypointSchema
    paths: tuple[Path, ...]
    instances: tuple[tuple[Labelled, ...], ...]


def read_coco(file: Path, name: str, least: int) -> SeveralSet:
    """Photos of a COCO keypoint file that show instances with at least `least` keypoints."""
    data = json.loads(file.read_text(encoding="utf-8"))
    category = data["categories"][0]
    names = tuple(category["keypoints"])
    edges = tuple((a - 1, b - 1) for a, b in category.get("skeleton", ()))
    own: dict[int, list[Labelled]] = {}
    for item in data["annotations"]:
        points = np.array(item["keypoints"], dtype=np.float64).reshape(-1, 3)
        if (points[:, 2] > 0).sum() >= least:
            xy = np.where(points[:, 2:] > 0, points[:, :2], np.nan)
            own.setdefault(item["image_id"], []).append(Labelled(xy, float(max(item["bbox"][2:]))))
    images = [i for i in data["images"] if i["id"] in own]
    paths = tuple(file.parent / i["file_name"] for i in images)
    return SeveralSet(
        name, KeypointSchema(names, edges, twins(names)), paths, tuple(tuple(own[i["id"]]) for i in images)
    )


def mosaics(folder: Path, out: Path, count: int = 24) -> SeveralSet:
    """One to three photos of a set with one animal each, side by side on a blurred canvas; nobody twice in a row of canvases."""
    real = load_set(folder)
    if real is None:
        raise SystemExit(f"{folder} has photos with several instances: give it as --sets.")
    rng = np.random.default_rng(0)
    order, at = rng.permutation(len(real.paths)), 0
    paths, instances = [], []
    width, height = CANVAS
    while at < len(order) and len(paths) < count:
        chosen = order[at : at + 1 + len(paths) % 3]
        at += len(chosen)
        places = rng.permutation(3)
        canvas, own = np.zeros((height, width, 3), np.uint8), []
        for turn, (index, place) in enumerate(zip(chosen, places, strict=False)):
            tile = cv2.imread(str(real.paths[index]))
            factor = 200 / max(tile.shape[:2]) * float(rng.uniform(0.85, 1.15))
            tile = cv2.resize(tile, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            if turn == 0:
                canvas = cv2.GaussianBlur(cv2.resize(tile, CANVAS), (0, 0), 25)
            x = int(
                np.clip((110, 320, 530)[place] - tile.shape[1] // 2 + rng.integers(-10, 10), 0, width - tile.shape[1])
            )
            y = int(rng.integers(0, height - tile.shape[0]))
            canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
            xy = np.where(real.visible[index][:, None], real.xy[index] * factor + [x, y], np.nan)
            own.append(Labelled(xy, float(real.length[index] * factor)))
        path = out / f"{folder.name}-{len(paths):02d}.png"
        cv2.imwrite(str(path), canvas)
        paths.append(path)
        instances.append(tuple(own))
    return SeveralSet(f"{folder.name} mosaic", real.schema, tuple(paths), tuple(instances))


def scenes(category: str, out: Path, count: int = 20) -> SeveralSet:
    """One to four rendered bodies of one identity, each in a pose of its own, cut out and set before another scene's blur."""
    rng = np.random.default_rng(1)
    paths, instances, names = [], [], ()
    for number in range(count):
        other = SceneOptions(category="dog" if category == "car" else "car", distractor=False)
        canvas = cv2.GaussianBlur(render_scene(HELD_OUT + 90_000 + 4 * number, SCENE, other).image, (0, 0), 12)
        free, own = np.ones((SCENE, SCENE), bool), []
        for turn in range(1 + number % 4):
            options = SceneOptions(category=category, identity=HELD_OUT // 4 + 1234, distractor=False, azimuth=SIDE)
            scene = render_scene(HELD_OUT + 50_000 + 16 * number + turn, SCENE // 2, options)
            factor, body = float(rng.uniform(0.75, 1.05)), scene.objects[0]
            size = round(SCENE // 2 * factor)
            picture = cv2.resize(scene.image, (size, size), interpolation=cv2.INTER_AREA)
            shape = cv2.resize((scene.owner == 0).astype(np.uint8), (size, size)) > 0
            place = _free_place(free, shape, rng)
            if place is None or shape.sum() < 200:
                continue
            x, y = place
            x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + size, SCENE), min(y + size, SCENE)
            inner = shape[y0 - y : y1 - y, x0 - x : x1 - x]
            free[y0:y1, x0:x1] &= ~inner
            canvas[y0:y1, x0:x1][inner] = picture[y0 - y : y1 - y, x0 - x : x1 - x][inner]
            xy = body.xy_image * (size / (SCENE // 2)) + [x, y]
            shown = (body.visibility > 0) & (xy >= 0).all(axis=1) & (xy <= SCENE).all(axis=1)
            if shown.sum() >= 3:
                own.append(Labelled(np.where(shown[:, None], xy, np.nan), float(np.ptp(xy[shown], axis=0).max())))
            names = body.keypoint_names
        path = out / f"{category}-{number:02d}.png"
        cv2.imwrite(str(path), canvas[..., ::-1])
        paths.append(path)
        instances.append(tuple(own))
    return SeveralSet(
        f"rendered {category}", KeypointSchema(tuple(names), (), twins(names)), tuple(paths), tuple(instances)
    )


def _free_place(free: NDArray[np.bool_], shape: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int] | None:
    """Corner at which a body covers next to nothing of the others; it may be cut by the border."""
    size = len(shape)
    for _ in range(30):
        x, y = (int(v) for v in rng.integers(-20, SCENE - size + 20, 2))
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + size, SCENE), min(y + size, SCENE)
        if (~free[y0:y1, x0:x1] & shape[y0 - y : y1 - y, x0 - x : x1 - x]).sum() < 0.05 * shape.sum():
            return x, y
    return None
