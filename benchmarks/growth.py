"""How the costs of a project grow from 1 000 to 100 000 photos: store, vector index, window (`kinmark benchmark growth`).

    kinmark benchmark growth [--images 1000 10000 100000] [--parts store,index,window] [--json FILE]

Processor time of this process, so that a busy machine does not bend the curves. A row's ratio is the growth that a linear cost
would show over the growth measured, from the first to the last size: 1 or more = no faster than linear. Sorting and the trees
of the database's indexes add their logarithm: 0.8 is still n log n.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import store
from benchmarks.common import Row, finish, parser, peak_memory_mb
from benchmarks.gui_latency import wait
from benchmarks.gui_material import make_photos

DIMENSIONS = 300
QUERIES = 20
SEARCHED = 400
LINKS = 50_000
"""Names of one file: file systems allow some 65 000."""
NEGLIGIBLE = {"s": 0.005, "ms": 1.0}
"""Costs below this at the largest size are constant for everybody; their growth is noise."""


def store_costs(images: int) -> dict[str, tuple[float, str]]:
    """Figure -> (value, unit) of `benchmarks.store` at one size, by processor time."""
    store.use_clock("cpu")
    found = {}
    for row in store.measure(images):
        name = re.sub(r"\(.*?\)|\b\d+ (?=keypoints|proposals|proposed)", "", row.name.split(": ", 1)[1])
        found[f"store: {' '.join(name.split())}"] = (row.value, row.unit)
    return found


def index_costs(images: int) -> dict[str, tuple[float, str]]:
    """The vector index of instance search: add every photo, save, open and search once, search when open."""
    from kinmark.engine.api import open_vector_index

    table = np.random.default_rng(0).normal(size=(images, DIMENSIONS)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    found: dict[str, tuple[float, str]] = {}

    def took(name: str, started: float, unit: str = "s", times: int = 1) -> None:
        seconds = (time.process_time() - started) / times
        found[f"index: {name}"] = (seconds * (1000 if unit == "ms" else 1), unit)

    with tempfile.TemporaryDirectory() as folder:
        index = open_vector_index(Path(folder), "growth")
        started = time.process_time()
        for number, vector in enumerate(table):
            index.put(number, f"{number:x}", vector[None])
        took("add every photo", started)
        started = time.process_time()
        index.save()
        took("save", started)
        started = time.process_time()
        opened = open_vector_index(Path(folder), "growth", read_only=True)
        opened.search(table[:1], SEARCHED)
        took("open and search once", started)
        started = time.process_time()
        for number in range(QUERIES):
            opened.search(table[number : number + 1], SEARCHED)
        took(f"shortlist of {SEARCHED}", started, "ms", QUERIES)
    return found


def make_linked_project(folder: Path, base: Path, count: int) -> None:
    """A project of `count` photos that are names of a few files (`base/photos`), in `base/linked`."""
    from kinmark.projects.project import Project
    from kinmark.projects.store.inputs import NewImage

    root = base / "linked"
    root.mkdir(exist_ok=True)
    sources = sorted((base / "photos").glob("*.jpg"))
    images = []
    for index in range(count):
        name = f"image_{index:06d}.jpg"
        if not (root / name).exists():
            os.link(sources[index // LINKS], root / name)
        images.append(NewImage(root, name, 960, 720, sha256=f"{index:064x}", size_bytes=1))
    with Project.create(folder) as project:
        project.operations.add_images(images)
        project.operations.add_category("thing")


def window_costs(window: Any, base: Path, images: int) -> dict[str, tuple[float, str]]:
    """Open a project in the real window up to its first paint, and scroll through its list."""
    folder = base / f"n{images}.kinmark"
    make_linked_project(folder, base, images)
    started = time.process_time()
    assert window.open_project(folder)
    window.repaint()
    window.workspace.images.view.viewport().repaint()
    found = {"window: open to first paint": (time.process_time() - started, "s")}
    wait(1.0)
    view = window.workspace.images.view
    bar = view.verticalScrollBar()
    taken = []
    for step in range(60):
        started = time.process_time()
        bar.setValue(round(bar.maximum() * step / 60))
        view.viewport().repaint()
        taken.append((time.process_time() - started) * 1000)
        wait(0.01)
    found["window: jump in the list, median"] = (float(np.median(taken)), "ms")
    # Of the process, which made the project, too: an upper bound of the window's own.
    found["window: peak memory"] = (peak_memory_mb(), "MB")
    return found


def rows_of(costs: dict[int, dict[str, tuple[float, str]]]) -> list[Row]:
    """One row per figure: the value at the largest size, the smaller sizes in the note, linear over measured growth."""
    sizes = sorted(costs)
    first, last = sizes[0], sizes[-1]
    rows = []
    for name, (value, unit) in costs[last].items():
        before = [(size, costs[size][name][0]) for size in sizes[:-1] if name in costs[size]]
        note = ", ".join(f"{size:,}: {smaller:.3g} {unit}" for size, smaller in before)
        ratio = None
        if before and before[0][0] == first and value > NEGLIGIBLE.get(unit, float("inf")):
            ratio = (last / first) / max(value / max(before[0][1], 1e-9), 1.0)
        rows.append(Row(f"{last:,} photos, {name}", value, unit, ratio, note))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--parts", default="store,index,window")
    arguments = options.parse_args(argv)
    parts = arguments.parts.split(",")
    costs: dict[int, dict[str, tuple[float, str]]] = {size: {} for size in arguments.images}
    with tempfile.TemporaryDirectory(prefix="kinmark-growth-") as name:
        base = Path(name)
        if "window" in parts:
            os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
            os.environ["KINMARK_HOME"] = str(base / "home")
            from kinmark.desktop.app import make_window

            make_photos(base / "photos", 1 + max(arguments.images) // LINKS)
            window = make_window([])
            for size in arguments.images:
                costs[size] |= window_costs(window, base, size)
            window.close()
        for size in arguments.images:
            if "store" in parts:
                costs[size] |= store_costs(size)
            if "index" in parts:
                costs[size] |= index_costs(size)
            print(f"{size:,} photos measured", flush=True)
    finish("growth", rows_of(costs), arguments.json, clock="cpu")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
