"""A photo of 102 megapixels and a drop of 50 000 files in the real window: how late the event loop runs, time, memory.

    python -m benchmarks.large_input [--files 50000] [--side 12000x8500] [--json FILE]

The photo is opened, panned at 100 %, zoomed in and out, and left and come back to; then the files are dropped on the
window while a script pages. The model is not used. `own` is the window's processor time between two ticks of a 5 ms timer:
what it would be late on a machine with nothing else to do.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import Row, finish, parser, peak_memory_mb
from benchmarks.gui_latency import Meter, wait, wait_until

P99_MS, MAX_MS = 16.0, 100.0


def make_large(folder: Path, width: int, height: int) -> Path:
    """A JPEG with detail everywhere, and two ordinary photos beside it."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    Image.fromarray(tile).resize((width, height), Image.Resampling.BILINEAR).save(folder / "z_large.jpg", quality=85)
    for name in ("b.jpg", "c.jpg"):
        Image.fromarray(tile[:600, :800]).save(folder / name, quality=85)
    return folder


def make_many(folder: Path, count: int) -> list[Path]:
    """Small pictures that differ in their bytes."""
    from PIL import Image

    folder.mkdir()
    Image.new("RGB", (16, 12), (90, 120, 60)).save(folder / "00000.png")
    one = (folder / "00000.png").read_bytes()
    for number in range(1, count):
        (folder / f"{number:05d}.png").write_bytes(one + number.to_bytes(4, "big"))
    return sorted(folder.iterdir())


def late_rows(meter: Meter, name: str) -> list[Row]:
    """p99 and maximum of how late the loop was, and of the window's own processor time."""
    rows = []
    for kind, values in (("late", meter.late_ms), ("own", meter.own_ms)):
        ordered = sorted(values)
        p99 = ordered[int(0.99 * (len(ordered) - 1))] if ordered else 0.0
        note = f"wanted {P99_MS:.0f} / {MAX_MS:.0f}" if kind == "late" else ""
        rows.append(Row(f"{name}, {kind} p99", p99, "ms", None, note))
        rows.append(Row(f"{name}, {kind} max", max(values, default=0.0), "ms", None, note))
    return rows


def steps(meter: Meter, name: str, count: int, work: Callable[[int], object], pause_s: float = 0.03) -> list[Row]:
    """Do `work(n)` in the window `count` times; its own time per step, and how late the loop was meanwhile."""
    meter.late_ms, meter.own_ms = [], []
    taken = []
    for n in range(count):
        begin = time.process_time()
        work(n)
        wait(pause_s)
        taken.append(1000 * (time.process_time() - begin))
    return [Row(f"{name}, processor time per step", statistics.median(taken), "ms"), *late_rows(meter, name)]


def large_photo(window: Any, folder: Path, size_wh: tuple[int, int], meter: Meter) -> list[Row]:
    """Open, pan, zoom, leave, come back."""
    window.open_project(folder)
    canvas = window.workspace.target.canvas
    wait_until(lambda: canvas.pyramid is not None, 60)
    wait(2)
    start_mb = peak_memory_mb()
    meter.late_ms, meter.own_ms = [], []
    begin = time.perf_counter()
    window.workspace.go_to_end(True)
    wait_until(lambda: canvas.pyramid is not None and canvas.image_wh == size_wh, 60)
    rows = [Row("large photo: first picture", time.perf_counter() - begin, "s")]
    wait_until(lambda: canvas.pyramid is not None and not canvas.pyramid.preview, 120)
    assert canvas.image_wh == size_wh, canvas.image_wh
    rows.append(Row("large photo: all pixels", time.perf_counter() - begin, "s"))
    rows += late_rows(meter, "opening")
    rows.append(Row("large photo: memory for it, at most", peak_memory_mb() - start_mb, "MB"))
    rows.append(Row("large photo: memory that it keeps", canvas.pyramid.byte_count / 2**20, "MB"))
    canvas.set_zoom(1.0)
    wait(0.2)
    rows += steps(meter, "pan at 100 %", 60, lambda n: canvas.pan_by(25 if n % 40 < 20 else -25, 15))
    rows += steps(meter, "zoom", 60, lambda n: canvas.zoom_by(1.15 if n % 40 < 20 else 1 / 1.15))
    canvas.fit()
    rows += steps(
        meter, "leave and come back", 10, lambda n: window.workspace.step_image(1 if n % 2 == 0 else -1), 0.15
    )
    return rows


def dropped(window: Any, files: list[Path], meter: Meter) -> list[Row]:
    """Drop them, page meanwhile, until all are in the list."""
    from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
    from PySide6.QtGui import QDropEvent

    start_mb, space = peak_memory_mb(), window.workspace
    before = space.session.queries.counts().all
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in files])
    wait(0.5)
    meter.late_ms, meter.own_ms = [], []
    begin, own = time.perf_counter(), time.process_time()
    event = QDropEvent(
        QPointF(200, 200), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    window.dropEvent(event)
    rows = [Row("drop event", 1000 * (time.process_time() - own), "ms")]
    turn = 0
    while space.session.queries.counts().all < before + len(files) and time.perf_counter() - begin < 1800:
        space.step_image(1 if turn % 2 == 0 else -1)
        turn += 1
        wait(0.1)
    rows.append(Row("all in the project", time.perf_counter() - begin, "s", None, f"{len(files)} files"))
    wait_until(lambda: len(space.images.model.ids) == before + len(files), 60)
    rows.append(Row("all in the list", time.perf_counter() - begin, "s"))
    rows += late_rows(meter, "while adding")
    rows.append(Row("many photos: memory above the peak before", peak_memory_mb() - start_mb, "MB"))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    options = parser(__doc__ or "")
    options.add_argument("--files", type=int, default=50_000, help="dropped files (0: none)")
    options.add_argument("--side", default="12000x8500", help="width x height of the large photo")
    chosen = options.parse_args(argv)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    width, height = (int(v) for v in chosen.side.split("x"))
    with tempfile.TemporaryDirectory(prefix="kinmark-large-") as temporary:
        folder = Path(temporary)
        os.environ["KINMARK_HOME"] = str(folder / "home")
        from kinmark.desktop.app import make_application, make_window
        from kinmark.projects.images import add_paths
        from kinmark.projects.project import Project

        with Project.create(folder / "large.kinmark") as project:
            add_paths(project, [make_large(folder / "photos", width, height)])
            project.operations.add_category("thing")
        many = make_many(folder / "many", chosen.files) if chosen.files else []
        make_application([])
        window = make_window([])
        wait(0.5)
        meter = Meter()
        meter.start()
        rows = large_photo(window, folder / "large.kinmark", (width, height), meter)
        if many:
            rows += dropped(window, many, meter)
        meter.stop()
        window.close()
    finish("large_input", rows, chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
