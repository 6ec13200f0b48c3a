"""Performance measured as a whole: every benchmark that needs nothing but this machine, then the page.

    python -m benchmarks.all                     # on a quiet machine: hours; writes benchmarks/results and the page
    python -m benchmarks.all --small             # minutes: does everything run? writes into a folder of its own
    python -m benchmarks.all --only scaling,photos
    python -m benchmarks.all --gpu               # with a graphics card: Stable Diffusion 1.5 and 2.1 at 512 and 768 pixels

Each benchmark runs in a process of its own, one after the other; one that fails or takes too long is named and the others go on.
The page (`docs/lab/performance.md`) is written anew when all that it quotes is there. Raw results lie beside as JSON.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report

LIMIT_S, SMALL_LIMIT_S = 3 * 3600, 600


@dataclass(frozen=True)
class Run:
    """One benchmark with its arguments: for the figures, and in small. `result` is the name of its file."""

    name: str
    full: tuple[str, ...] = ()
    small: tuple[str, ...] | None = ()
    result: str = ""
    gpu: bool = False

    @property
    def file(self) -> str:
        """Name of the result file."""
        return f"{self.result or self.name}.json"


def _gpu(backbone: str, side: int) -> Run:
    arguments = ("--backbones", backbone, "--side", str(side), "--device", "cuda", "--repeat", "5")
    return Run("extraction", arguments, arguments, f"extraction-gpu-{backbone}-{side}", gpu=True)


def _processor(backbone: str) -> Run:
    # Warmed up, then once: the published procedure alone takes minutes.
    arguments = ("--backbones", backbone, "--side", "512", "--repeat", "1")
    return Run("extraction", arguments, None, f"extraction-{backbone}-512")


RUNS: tuple[Run, ...] = (
    Run("startup", small=("--repeat", "1")),
    Run("photos", small=("--photos", "2")),
    Run("scaling", ("--ray",), ("--photos", "8", "--writes", "300")),
    Run("sweep", small=("--photos", "30", "--ordinary", "4")),
    Run("store", small=("--images", "300")),
    Run("search", small=("--counts", "200", "--dims", "64+64")),
    Run("index", small=("--photos", "500")),
    Run("growth", small=("--images", "200", "400", "--parts", "store")),
    Run("leaving", small=("--repeat", "1")),
    Run("gui_events", small=("--times", "2")),
    Run(
        "gui_latency", small=("--images", "20", "--seconds", "3", "--big", "200", "--pending", "200", "--only", "bulk")
    ),
    Run("large_input", small=("--files", "200", "--side", "1200x850")),
    # Compiled blocks and half precision are rows of their own here.
    Run("extraction", ("--backbones", "embedded", "--compile"), ("--backbones", "embedded", "--repeat", "1")),
    *(_processor(backbone) for backbone in ("sd21", "sd15")),
    Run("hedlin", small=None),
    Run("pdm", small=("--photos", "1")),
    Run("storage", small=None),
    Run("tune", ("--part", "speed"), None, "tune-speed"),
    Run("check", small=("--plain", "--seeds", "1")),
    *(_gpu(backbone, side) for backbone in ("sd15", "sd21") for side in (512, 768)),
)
"""Short ones first: an interrupted run has most of them."""


@dataclass(frozen=True)
class Outcome:
    """What became of one run; `problem` "" = a result file."""

    run: Run
    seconds: float
    problem: str = ""


def execute(run: Run, out: Path, *, small: bool) -> Outcome:
    """Run it in a process of its own; its output goes to a file beside the result."""
    arguments = run.small if small else run.full
    assert arguments is not None
    target, log = out / run.file, out / "logs" / f"{run.file.removesuffix('.json')}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    command = [sys.executable, "-m", f"benchmarks.{run.name}", *arguments, "--json", str(fresh)]
    started = time.monotonic()
    problem = ""
    with log.open("w", encoding="utf-8") as file:
        file.write(" ".join(command) + "\n")
        file.flush()
        try:
            code = subprocess.run(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=SMALL_LIMIT_S if small else LIMIT_S,
                check=False,
                env={**os.environ, "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen")},
                cwd=report.ROOT,
            ).returncode
            problem = "" if code == 0 else f"ended with exit code {code}"
        except subprocess.TimeoutExpired:
            problem = "took too long"
    if not problem and not fresh.is_file():
        problem = "wrote no result"
    if not problem:
        fresh.replace(target)  # an old result stays until there is a new one
    fresh.unlink(missing_ok=True)
    return Outcome(run, time.monotonic() - started, problem and f"{problem}; see {log}")


def chosen(arguments: argparse.Namespace) -> list[Run]:
    """The runs that were asked for."""
    names = {name for name in arguments.only.split(",") if name}
    unknown = names - {run.name for run in RUNS}
    if unknown:
        raise SystemExit(f"there is no benchmark {', '.join(sorted(unknown))} here")
    return [
        run
        for run in RUNS
        if (not names or run.name in names)
        and run.gpu == arguments.gpu
        and (run.small is not None or not arguments.small)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run them, then write the page; 1 when one of them gave no result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--small", action="store_true", help="in small, into a folder of its own")
    options.add_argument("--gpu", action="store_true", help="what needs a graphics card, and nothing else")
    options.add_argument("--only", default="", help="names, separated by commas")
    options.add_argument("--out", type=Path, default=None, help="where results go")
    arguments = options.parse_args(argv)
    out = (arguments.out or (Path("benchmarks-small") if arguments.small else report.RESULTS)).resolve()
    outcomes = []
    for run in chosen(arguments):
        print(f"{run.file.removesuffix('.json')} ...", flush=True)
        outcome = execute(run, out, small=arguments.small)
        print(f"  {outcome.problem or 'ok'}, {outcome.seconds:.0f} s", flush=True)
        outcomes.append(outcome)
    page = out / "performance.md" if out != report.RESULTS else report.PAGE
    page.write_text(report.page(out, strict=out == report.RESULTS), encoding="utf-8")
    print(f"page: {page}")
    return 1 if any(outcome.problem for outcome in outcomes) else 0


if __name__ == "__main__":
    raise SystemExit(main())
