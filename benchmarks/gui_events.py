"""Processor time of single events of the window: what a gesture costs, whatever else the machine does.

    python -m benchmarks.gui_events [--times 12] [--platform offscreen|xcb] [--json FILE]

Each event is done some times in a project with a labelled photo and proposals; the figure is the processor time of the GUI
thread from the gesture until its events are handled. `--platform xcb` needs a display (`xvfb-run -a python -m ...`).
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

from benchmarks.common import Row, finish, parser
from benchmarks.gui_latency import P99_MS, row, wait, wait_until
from benchmarks.gui_material import make_photos, make_project

PHOTOS, WIDE, NARROW = 40, (1360, 860), (1240, 800)


def events(window: Any) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """{name: (the gesture, what brings the state of before back)}."""
    space = window.workspace
    canvas = space.target.canvas
    sizes = [WIDE, NARROW]

    def resize() -> None:
        sizes.reverse()
        window.resize(*sizes[0])

    def nothing() -> None:
        return

    return {
        "pan": (lambda: canvas.pan_by(14, -9), nothing),
        "zoom in": (lambda: canvas.zoom_by(1.25), lambda: canvas.zoom_by(0.8)),
        "zoom out": (lambda: canvas.zoom_by(0.8), lambda: canvas.zoom_by(1.25)),
        "fit": (canvas.fit, lambda: canvas.zoom_by(1.5)),
        "focus": (lambda: space.labelling.focus_step(1), nothing),
        "resize": (resize, nothing),
        "page": (lambda: space.step_image(1), nothing),
        "accept": (space.reviewer.accept, nothing),
    }


def measure(window: Any, app: Any, times: int) -> list[Row]:
    """The rows of all events; limits as for a delay of the event loop."""
    rows = []
    for name, (act, back) in events(window).items():
        taken = []
        for _ in range(times):
            wait(0.05)
            start = time.thread_time()
            act()
            app.processEvents()
            taken.append((time.thread_time() - start) * 1000)
            back()
        rows.append(row(f"{name}, median", statistics.median(taken), P99_MS, "ms", f"longest {max(taken):.1f}"))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; returns 0."""
    options = parser(__doc__ or "")
    options.add_argument("--times", type=int, default=12)
    options.add_argument("--platform", default="offscreen")
    arguments = options.parse_args(argv)
    os.environ["QT_QPA_PLATFORM"] = arguments.platform
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        base = Path(temporary)
        os.environ["KINMARK_HOME"] = str(base / "home")
        make_project(base / "small.kinmark", make_photos(base / "photos", PHOTOS))
        from PySide6.QtWidgets import QApplication

        from kinmark.desktop.app import make_window

        window = make_window([])
        window.program.settings.change(live_improve=False)
        window.resize(*WIDE)
        assert window.open_project(base / "small.kinmark")
        wait_until(lambda: window.workspace.target.canvas.pyramid is not None, 20)
        window.workspace.step_image(1)
        wait(1.0)
        rows = measure(window, QApplication.instance(), arguments.times)
        window.close()
    finish(f"gui_events ({arguments.platform})", rows, arguments.json, load_average=os.getloadavg())
    return 0


if __name__ == "__main__":
    sys.exit(main())
