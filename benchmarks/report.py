"""Turn the JSON files of the benchmarks into docs/performance.md.

    python -m benchmarks.report

Reads `docs/results/*.json` (each written by `kinmark benchmark NAME --json docs/results/NAME.json`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEAD = """# Performance

Every table is the last run of one benchmark, as its script wrote it; `python -m benchmarks.report` makes this page from
`docs/results/`. Ratios compare with the baseline named in the note, in the same run on the same machine. Speed is never a
test: tests check that results are right, benchmarks say how long they take.
"""

INTRO = {
    "growth": "Processor time. Ratio: growth of a linear cost over the growth measured; 1 or more is no faster than linear. The trees of "
    "the database's indexes add their logarithm (0.8 to 0.95 for the steps that write many rows; "
    "[store-performance.md](store-performance.md)).",
    "search": "Two threads, with nothing else running.",
    "sweep": "`--photos 400 --ordinary 60`, on a machine with ten waiting jobs. Baselines: the ordinary sweep, first time and cached.",
    "check": "Errors planted into a tenth of the sample collection, seeds never used before: [evaluation.md](evaluation.md). With all "
    "kinds together only 4 % of the keypoints are displaced; the same false alarms (about 1.5 % of the sound keypoints) then are "
    "a larger share of the findings.",
}  # fmt: skip


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _section(data: dict[str, Any]) -> str:
    machine = data.get("machine", {})
    where = ", ".join(str(machine[k]) for k in ("cpu", "cores", "memory_gb", "python", "torch", "date") if k in machine)
    where = where.replace(f", {machine.get('cores')}, ", f", {machine.get('cores')} cores, ", 1)
    lines = [f"## {data['benchmark']}", "", f"`kinmark benchmark {data['benchmark']}` on {where}", ""]
    if data["benchmark"] in INTRO:
        lines += [INTRO[data["benchmark"]], ""]
    lines += ["| | value | unit | ratio | note |", "|---|---:|---|---:|---|"]
    for row in data["rows"]:
        ratio = "" if row.get("ratio_to_baseline") is None else f"{row['ratio_to_baseline']:.2f} x"
        lines.append(f"| {row['name']} | {_number(row['value'])} | {row['unit']} | {ratio} | {row.get('note', '')} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page."""
    sections = [
        _section(json.loads(file.read_text(encoding="utf-8"))) for file in sorted((DOCS / "results").glob("*.json"))
    ]
    (DOCS / "performance.md").write_text("\n".join([HEAD, *sections]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
