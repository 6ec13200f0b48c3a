"""How late the window's event loop runs while the engine thread extracts features of the embedded model.

    python -m benchmarks.gui_latency [--images 200] [--seconds 60] [--platform offscreen|xcb] [--json FILE]

A timer of 5 ms measures how late it fires while a script pans, zooms, pages and accepts in the real window. Then: switching
to a decoded photo, opening a project of 10 000 photos, scrolling its list; and in a project with 10 000 pending proposals
accepting all of them in one step, paging meanwhile, and undoing that step. `--platform xcb` needs a display (for example
`xvfb-run -a python -m benchmarks.gui_latency --platform xcb`).
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import Row, finish, parser
from benchmarks.gui_material import make_big_project, make_photos, make_project

PARTS = ("engine", "large", "bulk")
TICK_S = 0.005
ACTION_MS = 60
P99_MS, MAX_MS, SWITCH_MS, OPEN_S, STALL_MS = 16.0, 100.0, 50.0, 2.0, 33.0


def wait(seconds: float) -> None:
    """Let the event loop run."""
    from PySide6.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


def wait_until(ready: Callable[[], object], seconds: float) -> bool:
    """Let the event loop run until `ready()`; whether it came to that."""
    end = time.perf_counter() + seconds
    while not ready() and time.perf_counter() < end:
        wait(0.02)
    return bool(ready())


class Meter:
    """A 5 ms timer that notes how late it fires, and what was done last before a late one.

    `own_ms` is the window's own processor time between two ticks: what it would be late on a machine with nothing else to do.
    """

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self.late_ms: list[float] = []
        self.worst: dict[str, float] = {}
        self.doing = ""
        self.cpu_ms: list[float] = []
        self.own_ms: list[float] = []
        self._cpu = 0.0
        self._own = 0.0
        self._due = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(round(TICK_S * 1000))
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        """Begin to measure."""
        self._due = time.perf_counter() + TICK_S
        self._own = time.thread_time()
        self._timer.start()

    def stop(self) -> None:
        """Stop measuring."""
        self._timer.stop()

    def _tick(self) -> None:
        own = time.thread_time()
        self.own_ms.append((own - self._own) * 1000)
        self._own = own
        now = time.perf_counter()
        late = max(0.0, (now - self._due) * 1000)
        self.late_ms.append(late)
        self.worst[self.doing] = max(late, self.worst.get(self.doing, 0.0))
        self._due = now + TICK_S

    def count_cpu(self) -> None:
        """Processor time of this thread since the last action: what the window itself needs, whatever else runs."""
        now = time.thread_time() * 1000
        if self._cpu:
            self.cpu_ms.append(now - self._cpu)
        self._cpu = now

    def percentile(self, share: float) -> float:
        """Lateness in milliseconds that `share` of the ticks stay under."""
        return percentile(self.late_ms, share)


def percentile(values: Sequence[float], share: float) -> float:
    """What `share` of the values stay under."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def script(window: Any, meter: Meter) -> Callable[[], None]:
    """One action per call: pan, zoom, page, accept in turn."""
    space = window.workspace
    canvas = space.target.canvas
    turn = [0]

    def pan() -> None:
        canvas.pan_by(14, -9)

    def zoom(factor: float) -> Callable[[], None]:
        return lambda: canvas.zoom_by(factor)

    def page() -> None:
        space.step_image(1)

    def accept() -> None:
        space.reviewer.accept()

    def focus() -> None:
        space.labelling.focus_step(1)

    actions: list[tuple[str, Callable[[], None]]] = [
        ("pan", pan),
        ("pan", pan),
        ("zoom", zoom(1.25)),
        ("pan", pan),
        ("zoom", zoom(0.8)),
        ("focus", focus),
        ("accept", accept),
        ("pan", pan),
        ("accept", accept),
        ("page", page),
        ("fit", canvas.fit),
    ]

    def step() -> None:
        name, action = actions[turn[0] % len(actions)]
        turn[0] += 1
        meter.doing = name
        meter.count_cpu()
        action()

    return step


def run_script(window: Any, seconds: float, *, engine: bool) -> tuple[Meter, int]:
    """The script for `seconds`, with or without the engine at work; returns the meter and photos extracted meanwhile."""
    from PySide6.QtCore import QTimer

    space = window.workspace
    progress: list[int] = [0]
    service = window.program.engine
    inputs = tuple(row.image_input for row in space.session.queries.images())

    def extract(context: Any) -> int:
        return int(context.engine.prepare(inputs, "embedded", progress=context.progress, cancel=context.cancel))

    job = None
    if engine:
        warm: list[object] = []
        service.submit("warm up", lambda context: context.engine.warm_up("embedded"), on_done=warm.append)
        if not wait_until(lambda: warm, 300):
            raise SystemExit("the embedded model did not load")
        job = service.submit("extracting", extract)
    meter = Meter()
    actor = QTimer()
    actor.setInterval(ACTION_MS)
    actor.timeout.connect(script(window, meter))
    wait(0.3)
    meter.start()
    actor.start()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        wait(0.5)
        if job is not None:
            progress[0] = job.progress.snapshot().done
    actor.stop()
    meter.stop()
    if job is not None:
        service.cancel(job)
    return meter, progress[0]


def measure_switch(window: Any) -> list[float]:
    """Milliseconds from asking for a decoded photo to its pixels being on the widget."""
    space = window.workspace
    canvas = space.target.canvas
    ids = list(space.images.model.ids)[:12]
    for image_id in ids:
        space.go_to(image_id)
        wait_until(lambda: canvas.pyramid is not None, 20)
        wait(0.05)
    taken = []
    for image_id in (*ids, *reversed(ids)):
        if space.labelling.image.id == image_id:
            continue
        start = time.perf_counter()
        space.go_to(image_id)
        canvas.viewport().repaint()
        taken.append((time.perf_counter() - start) * 1000)
        assert canvas.pyramid is not None
        wait(0.02)
    return taken


def measure_big(window: Any, folder: Path) -> tuple[float, list[float]]:
    """Seconds to open and paint a large project, and milliseconds of each step of scrolling through its list."""
    start = time.perf_counter()
    assert window.open_project(folder)
    window.repaint()
    window.workspace.images.view.viewport().repaint()
    opened = time.perf_counter() - start
    wait(1.0)
    view = window.workspace.images.view
    bar = view.verticalScrollBar()
    taken = []
    for step in range(160):
        begin = time.perf_counter()
        bar.setValue(round(bar.maximum() * step / 160) if step % 2 else bar.value() + 120)
        view.viewport().repaint()
        taken.append((time.perf_counter() - begin) * 1000)
        wait(0.01)
    return opened, taken


def measure_bulk(window: Any, folder: Path) -> list[Row]:
    """Accepting all sure proposals of a large project in one step, undoing and redoing it, while a person pages on."""
    from PySide6.QtCore import QTimer

    start = time.perf_counter()
    assert window.open_project(folder)
    window.repaint()
    opened = time.perf_counter() - start
    space = window.workspace
    session = space.session
    wait_until(lambda: space.target.canvas.pyramid is not None, 20)
    pending = session.queries.counts().pending
    wait(1.0)
    window.commands.dialogs.accept_queue(space)
    dialog = window.commands.dialogs.dialog("bulk")
    rows = [row(f"open {pending} photos with proposals to first paint", opened, OPEN_S, "s")]
    for name, begin in (
        ("accept all", dialog.take),
        ("undo it", lambda: window.commands.project.undo(space)),
        ("redo it", lambda: window.commands.project.redo(space)),
    ):
        meter = Meter()
        pager = QTimer()
        pager.setInterval(400)
        pager.timeout.connect(lambda: space.step_image(1))
        meter.start()
        pager.start()
        start = time.perf_counter()
        begin()
        assert session.busy is not None
        wait_until(lambda: session.busy is None, 600)
        taken = time.perf_counter() - start
        wait(2.0)  # what the panels do afterwards counts too
        pager.stop()
        meter.stop()
        note = f"{pending} pending, {taken:.1f} s, paging meanwhile; own work in one go {max(meter.own_ms):.0f} ms"
        rows.append(row(f"{name}: delay max", max(meter.late_ms), MAX_MS, "ms", note))
        rows.append(Row(f"{name}: delay p99", meter.percentile(0.99), "ms"))
    return rows


def row(name: str, value: float, limit: float, unit: str, note: str = "") -> Row:
    """A figure with the limit it is held against."""
    return Row(name, value, unit, limit / value if value > 0 else None, (note + f" (limit {limit:g})").strip())


def figures(meter: Meter, name: str, note: str) -> list[Row]:
    """The rows of one run of the script."""
    late, cpu, what = meter.late_ms, sorted(meter.cpu_ms), "own processor time per action"
    worst = ", ".join(f"{k} {v:.0f}" for k, v in sorted(meter.worst.items(), key=lambda kv: -kv[1])[:4])
    return [
        row(f"{name}: delay p99", meter.percentile(0.99), P99_MS, "ms", note),
        row(f"{name}: delay max", max(late), MAX_MS, "ms", f"worst by action: {worst}"),
        row(
            f"{name}: own work between ticks, p99",
            percentile(meter.own_ms, 0.99),
            P99_MS,
            "ms",
            "processor time of the window",
        ),
        row(f"{name}: own work between ticks, max", max(meter.own_ms), MAX_MS, "ms"),
        Row(f"{name}: delay median", statistics.median(late), "ms", None, f"{len(late)} ticks"),
        Row(f"{name}: {what}, median", statistics.median(cpu), "ms", None, "everything it sets off"),
        Row(f"{name}: {what}, p99", cpu[int(0.99 * (len(cpu) - 1))], "ms"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; returns 0."""
    options = parser(__doc__ or "")
    options.add_argument("--images", type=int, default=200)
    options.add_argument("--seconds", type=float, default=45.0)
    options.add_argument("--platform", default="offscreen")
    options.add_argument("--only", choices=PARTS, help="measure this part only")
    options.add_argument("--big", type=int, default=10_000)
    options.add_argument("--pending", type=int, default=10_001, help="photos of the project with pending proposals")
    arguments = options.parse_args(argv)
    os.environ["QT_QPA_PLATFORM"] = arguments.platform
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:  # the engine thread may still write
        base = Path(temporary)
        os.environ["KINMARK_HOME"] = str(base / "home")
        make_project(base / "small.kinmark", make_photos(base / "photos", arguments.images))
        if arguments.only in (None, "large"):
            make_big_project(base / "big.kinmark", base / "many", arguments.big)
        if arguments.only in (None, "bulk"):
            make_big_project(base / "pending.kinmark", base / "many", arguments.pending, pending=True)
        rows = measure(base, arguments)
        shutil.rmtree(base / "many", ignore_errors=True)
    load = os.getloadavg()
    name = f"gui_latency ({arguments.platform})"
    finish(name, rows, arguments.json, load_average=load, platform=arguments.platform, images=arguments.images)
    return 0


def measure(base: Path, arguments: Any) -> list[Row]:
    """Everything in one window."""
    start = time.perf_counter()
    from PySide6.QtWidgets import QApplication

    from kinmark.desktop.app import make_window

    window = make_window([])
    app = QApplication.instance()
    assert app is not None
    app.processEvents()
    painted = time.perf_counter() - start
    window.program.settings.change(live_improve=False)
    rows = [row("start to first paint (imports included)", painted, 1.0, "s")]
    if arguments.only in (None, "engine"):
        rows += measure_small(window, base, arguments)
    if arguments.only in (None, "large"):
        opened, scrolled = measure_big(window, base / "big.kinmark")
        note = f"median {statistics.median(scrolled):.1f}"
        rows.append(row(f"open {arguments.big} photos to first paint", opened, OPEN_S, "s"))
        rows.append(row("scroll step, worst", max(scrolled), STALL_MS, "ms", note))
    if arguments.only in (None, "bulk"):
        rows += measure_bulk(window, base / "pending.kinmark")
    window.close()
    return rows


def measure_small(window: Any, base: Path, arguments: Any) -> list[Row]:
    """A project of some hundred photos, with and without the engine at work, and switching between decoded photos."""
    assert window.open_project(base / "small.kinmark")
    wait_until(lambda: window.workspace.target.canvas.pyramid is not None, 20)
    idle, _ = run_script(window, arguments.seconds / 3, engine=False)
    rows = figures(idle, "engine idle", "")
    assert window.open_project(base / "small.kinmark")
    wait_until(lambda: window.workspace.target.canvas.pyramid is not None, 20)
    busy, extracted = run_script(window, arguments.seconds, engine=True)
    rows += figures(busy, "engine extracting", f"{extracted} photos extracted meanwhile")
    switch = measure_switch(window)
    rows.append(
        row("switch to a decoded photo, worst", max(switch), SWITCH_MS, "ms", f"median {statistics.median(switch):.1f}")
    )
    return rows


if __name__ == "__main__":
    sys.exit(main())
