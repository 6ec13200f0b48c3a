"""How long a person waits before anything happens: command help, light imports, the window's first paint.

    kinmark benchmark startup [--json FILE]

Each figure is the median over fresh processes; the baseline is an empty Python process of the same interpreter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Row, finish, parser, seconds

ROOT = Path(__file__).resolve().parent.parent
_PAINT = """
import sys, time
start = time.perf_counter()
from PySide6.QtCore import QEvent, QTimer
from PySide6.QtWidgets import QApplication
from kinmark.desktop import app
painted = []
class Watch(QApplication):
    def notify(self, receiver, event):
        done = super().notify(receiver, event)
        if event.type() == QEvent.Type.Paint and not painted:
            painted.append(time.perf_counter() - start)
            QTimer.singleShot(0, self.quit)
        return done
import PySide6.QtWidgets
PySide6.QtWidgets.QApplication = Watch
app.QApplication = Watch
app.run_window([])
sys.stdout.write(f"PAINT {painted[0]}")
"""
WORK = (
    ("empty Python process", ["-c", "pass"]),
    ("kinmark --help", ["-m", "kinmark.desktop.main", "--help"]),
    ("import kinmark.engine", ["-c", "import kinmark.engine"]),
    ("import kinmark.engine.api", ["-c", "import kinmark.engine.api"]),
    ("import kinmark.projects.project", ["-c", "import kinmark.projects.project"]),
)


def _run(arguments: list[str]) -> str:
    environment = {**os.environ, "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def _first_paint(repeat: int) -> float:
    _run(["-c", _PAINT])
    taken = sorted(float(_run(["-c", _PAINT]).rsplit("PAINT ", 1)[1]) for _ in range(repeat))
    return taken[len(taken) // 2]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--repeat", type=int, default=5)
    chosen = options.parse_args(argv)
    rows: list[Row] = []
    for name, arguments in WORK:
        taken = seconds(lambda arguments=arguments: _run(arguments), repeat=chosen.repeat)  # type: ignore[misc]
        rows.append(Row(name, taken, "s", rows[0].value / taken if rows else None))
    rows.append(Row("window, first paint", _first_paint(chosen.repeat), "s", None, "from the first import of Qt"))
    finish("startup", rows, chosen.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
