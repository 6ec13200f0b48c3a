"""Render training sets ahead into memory-mapped arrays: `python -m benchmarks.training.render_sets OUT --first 0 --count N`.

One folder per set: `images.npy` [2N, V, V, 3] uint8 (two views of each scene, in a row), `owner.npy`, `points.npy`,
`visible.npy`, `warp.npy`, `meta.npy` and `set.json`. A killed run continues where `set.json` says it stopped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.training.bodies import BUILDERS
from benchmarks.training.scenes import render_scene
from benchmarks.training.textures import texture_scene
from benchmarks.training.views import OWNER_CELLS, POINT_SLOTS, make_texture_view, make_view

SCENE_PIXELS = 224
MAX_BODIES = 3
_SAVE_EVERY = 64


@dataclass(frozen=True)
class RenderedSet:
    """Memory maps of one set; row 2i and 2i + 1 are views of scene i. `meta` [N, 2 + 3] int64: seed, identity, and the
    category number of up to three bodies (-1 none)."""

    images: NDArray[np.uint8]
    owner: NDArray[np.int8]
    points: NDArray[np.float32]
    visible: NDArray[np.bool_]
    warp: NDArray[np.float32]
    meta: NDArray[np.int64]
    done: int


def _shapes(count: int, size: int) -> dict[str, tuple[tuple[int, ...], str]]:
    return {
        "images": ((2 * count, size, size, 3), "u1"),
        "owner": ((2 * count, OWNER_CELLS, OWNER_CELLS), "i1"),
        "points": ((2 * count, POINT_SLOTS, 2), "f4"),
        "visible": ((2 * count, POINT_SLOTS), "?"),
        "warp": ((2 * count, 3, 3), "f4"),
        "meta": ((count, 2 + MAX_BODIES), "i8"),
    }


def open_set(folder: Path) -> RenderedSet:
    """Open a set (also one that is still being written) read-only."""
    info = json.loads((folder / "set.json").read_text())
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _shapes(1, 1)}
    return RenderedSet(**arrays, done=int(info["done"]))


def render_set(
    folder: Path, first: int, count: int, size: int, hard: float = 1.0, kind: Literal["objects", "textures"] = "objects"
) -> None:
    """Render scenes `first .. first + count - 1`, continuing an interrupted set. `kind` textures: pictures without
    objects, whose category number is -1 and whose two views are always a warp pair."""
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "set.json"
    info = {"first": first, "count": count, "size": size, "hard": hard, "kind": kind, "done": 0}
    if state.exists():
        old = {"kind": "objects", **json.loads(state.read_text())}
        if {k: old[k] for k in info if k != "done"} != {k: v for k, v in info.items() if k != "done"}:
            raise ValueError(f"{folder} holds another set ({old}); choose another folder or delete it")
        info = old
        arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r+") for n in _shapes(1, 1)}
    else:
        arrays = {
            n: np.lib.format.open_memmap(folder / f"{n}.npy", mode="w+", dtype=t, shape=s)
            for n, (s, t) in _shapes(count, size).items()
        }
    names = list(BUILDERS)
    for i in range(int(info["done"]), count):
        seeds = [np.random.default_rng([71, first + i, k]) for k in (0, 1)]
        if kind == "textures":
            picture = texture_scene(first + i)
            arrays["meta"][i] = [first + i, first + i, *[-1] * MAX_BODIES]
            views = [make_texture_view(picture, rng, size, hard) for rng in seeds]
        else:
            scene = render_scene(first + i, SCENE_PIXELS)
            bodies = [names.index(o.category) for o in scene.objects]
            arrays["meta"][i] = [first + i, scene.objects[0].identity, *bodies, *[-1] * (MAX_BODIES - len(bodies))]
            views = [make_view(scene, rng, size, hard) for rng in seeds]
        for k, view in enumerate(views):
            row = 2 * i + k
            arrays["images"][row], arrays["owner"][row] = view.image, view.owner
            arrays["points"][row], arrays["visible"][row] = view.points, view.visible
            arrays["warp"][row] = view.scene_to_view
        if (i + 1) % _SAVE_EVERY == 0 or i + 1 == count:
            info["done"] = i + 1
            part = state.with_suffix(".part")
            part.write_text(json.dumps(info))
            part.replace(state)


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=12_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--hard", type=float, default=1.0)
    parser.add_argument("--kind", choices=("objects", "textures"), default="objects")
    args = parser.parse_args(argv)
    render_set(args.out, args.first, args.count, args.size, args.hard, args.kind)


if __name__ == "__main__":
    main()
