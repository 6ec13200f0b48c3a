"""What every benchmark shares: rows, the table, the JSON file, and what machine and versions it ran on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "diffusers", "transformers", "numpy", "opencv-python-headless", "SQLAlchemy", "PySide6-Essentials")


@dataclass(frozen=True)
class Row:
    """One figure; `ratio_to_baseline` is how many times better than the baseline named in `note` (None = none)."""

    name: str
    value: float
    unit: str
    ratio_to_baseline: float | None = None
    note: str = ""


def parser(description: str) -> argparse.ArgumentParser:
    """Argument parser with `--json FILE`, to which a benchmark adds its own options."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--json", type=Path, default=None, metavar="FILE", help="also write the rows as JSON")
    return found


def machine() -> dict[str, Any]:
    """Processor, cores, memory, accelerator, system and versions; loads no torch by itself."""
    info: dict[str, Any] = {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    for package in PACKAGES:
        try:
            info[package] = version(package)
        except PackageNotFoundError:
            continue
    return info


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def print_table(rows: Sequence[Row], title: str = "") -> None:
    """Aligned columns on stdout."""
    if title:
        print(f"\n{title}")
    cells = [(r.name, _number(r.value), r.unit, _ratio(r.ratio_to_baseline), r.note) for r in rows]
    heads = ("name", "value", "unit", "ratio", "note")
    widths = [max(len(heads[i]), *(len(c[i]) for c in cells)) if cells else len(heads[i]) for i in range(5)]
    for line in (heads, tuple("-" * w for w in widths), *cells):
        first = line[0].ljust(widths[0])
        print("  ".join((first, line[1].rjust(widths[1]), line[2].ljust(widths[2]), line[3].rjust(widths[3]), line[4])))


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} x"


def finish(name: str, rows: Sequence[Row], json_path: Path | None, **extra: Any) -> None:
    """Print the table and write the JSON file `{benchmark, machine, rows, ...}`."""
    print_table(rows, name)
    if json_path is not None:
        data = {"benchmark": name, "machine": machine(), "rows": [asdict(row) for row in rows], **extra}
        json_path.parent.mkdir(parents=True, exist_ok=True)
        json_path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        print(f"\nwritten: {json_path}")


def seconds(work: Callable[[], object], *, repeat: int = 3, warm_up: int = 1) -> float:
    """Median wall time of `work()`, after `warm_up` calls that do not count."""
    for _ in range(warm_up):
        work()
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def peak_memory_mb() -> float:
    """Largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Darwin" else peak / 2**10


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error (0 for fewer than two values)."""
    if len(values) < 2:
        return (values[0] if values else float("nan")), 0.0
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5
