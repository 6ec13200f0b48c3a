"""How long the process lives on after its window was closed, or told to end, in the middle of a job of the shipped model.

    python -m benchmarks.leaving [--json FILE]

A real process each time (`tests/support/window_process.py`), offscreen unless QT_QPA_PLATFORM says otherwise; the clock runs
from the click on the close button to the end of the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Row, finish, parser

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 2.0
STAGES = {
    "open": "nothing runs",
    "importing": "the model's libraries are being loaded",
    "working": "the first photo is being matched",
    "stored": "proposals are being stored",
    "paused": "the job is paused",
    "tuning": "a prompt is being tuned",
}


def make_project(folder: Path) -> Path:
    """The dogs of the sample collection; four are labelled by their truth (tuning needs them), the others wait."""
    from benchmarks.second_label import label
    from kinmark.projects.images import add_paths
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.demo.truth import read_truth, samples_dir

    truth = read_truth()
    dogs = [i for i in truth.images if any(o.category == "dog" for o in i.instances)]
    with Project.create(folder) as project:
        add_paths(project, [samples_dir() / image.rel_path for image in dogs])
        project.operations.add_category("dog", next(c.schema for c in truth.categories if c.name == "dog"))
        for image in [i for i in dogs if len(i.instances) == 1][:4]:
            label(project, image, "dog")
    return folder


def leave(project: Path, stage: str, ending: str) -> float:
    """Seconds from leaving to the end of the process."""
    command = [sys.executable, "-m", "tests.support.window_process", str(project), stage, ending]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    end = time.monotonic()
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("leaving ")]
    if len(lines) != 1 or "Traceback" in done.stderr:
        raise SystemExit(f"{stage}: the window did not come so far\n{done.stderr}")
    return end - float(lines[0][1])


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; returns the exit code."""
    options = parser(__doc__ or "")
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args(argv)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    rows = []
    for stage, words in STAGES.items():
        taken = []
        for number in range(chosen.repeat):
            with tempfile.TemporaryDirectory() as folder:
                os.environ["KINMARK_HOME"] = str(Path(folder) / "home")
                ending = ("close", "SIGTERM", "SIGINT")[number % 3]
                taken.append(leave(make_project(Path(folder) / "dogs.kinmark"), stage, ending))
        note = f"longest of {len(taken)}: closed, SIGTERM, SIGINT (limit {LIMIT_S:g})"
        rows.append(Row(f"closed while {words}", max(taken), "s", LIMIT_S / max(taken), note))
    finish("leaving", rows, chosen.json, load_average=os.getloadavg())
    return 0


if __name__ == "__main__":
    sys.exit(main())
