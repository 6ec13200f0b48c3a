"""`docs/lab/performance.md`: the figures that a person asks for, taken from the last runs of the benchmarks.

    python -m benchmarks.report

Reads `benchmarks/results/*.json` (each written by `kinmark benchmark NAME --json benchmarks/results/NAME.json`): all rows lie
there. `FIGURES` names the few that answer a question; a row that a benchmark no longer writes stops this script.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "lab" / "performance.md"
HEAD = """# Performance

What a person asks, with the figure of the last run; `python -m benchmarks.report` writes this page.
All rows, with machine, date and notes, are in `benchmarks/results/NAME.json`; `kinmark benchmark NAME` measures again,
`python -m benchmarks.all` everything (`--small`: does it run? `--gpu`: what needs a graphics card).
Unless a line says otherwise: two shared cores without a GPU, the embedded model. "Compared": with the plain way as the same run of the
benchmark measured it, or with the limit that we set ourselves.
Speed is never a test: tests check that results are right, benchmarks say how long they take.
More: [extraction](extraction.md), [the store at size](store-performance.md), [real sets](real-sets.md),
[tuning](../guide/tuning.md), [checking labels](../guide/evaluation.md).
"""

FIGURES: dict[str, list[tuple[str, str, str]]] = {
    "Does the window wait?": [
        ("gui_latency", "start to first paint (imports included)", "start to the first paint"),
        ("gui_latency", "open 10000 photos to first paint", "10 000 photos opened to the first paint"),
        ("growth", "100,000 photos, window: open to first paint", "100 000 photos opened to the first paint"),
        ("gui_latency", "engine extracting: delay p99", "event loop while the engine works, 99th percentile"),
        ("gui_latency", "engine extracting: delay max", "the same, longest"),
        ("gui_latency", "switch to a decoded photo, worst", "next photo, worst"),
        ("gui_latency", "accept all: delay max", "everything sure accepted, longest wait"),
        ("leaving", "closed while the first photo is being matched", "closed in the middle of a job"),
        ("startup", "kinmark --help", "`kinmark --help`"),
    ],
    "How long does a collection take?": [
        ("sweep", "ordinary sweep, first time", "proposals, first time"),
        ("sweep", "ordinary sweep, features cached", "proposals, features kept"),
        ("sweep", "first look, first time", "first look, first time"),
        ("sweep", "first look, small maps stored", "first look, small maps kept"),
        ("instances", "shipped mix: processor time per photo", "one individual looked for, one photo (processor time)"),
        (
            "pdm",
            "one-step: processor seconds per photo",
            "its vote alone, of the published inversion of 50 steps there and back",
        ),
        (
            "search",
            "10,000 photos, 128 + 96 dimensions: time per 1000 photos",
            "1000 photos searched again, small maps kept",
        ),
        ("index", "10000 photos, ours: shortlist of 400, median", "400 most alike of 10 000 photos, exact"),
        ("index", "100000 photos, ours: shortlist of 400, median", "400 most alike of 100 000 photos, exact"),
        ("exchange", "coco, 100,000 annotations: import", "100 000 COCO annotations imported (processor time)"),
        ("exchange", "coco: time of one annotation, largest to smallest file", "one of them, against one of 10 000"),
        ("check", "time per check of 47 instances", "labels of 47 instances checked"),
        ("hedlin", "keypoint on one target, batched", "one hard point by its own prompt"),
        ("hedlin", "keypoint on a further target, kept point prompt", "the same point on a further photo"),
    ],
    "How fast are features?": [
        (
            "extraction-sd21-512",
            "sd21: published DIFT, 8 noises, fp32",
            "Stable Diffusion 2.1 at 512 px, published DIFT procedure",
        ),
        ("extraction-sd21-512", "sd21: ours, 8 noises, fp32, same output", "the same output, ours"),
        ("extraction-sd21-512", "sd21: ours, default mode (1 noise, bf16)", "as it is used (1 noise, bf16)"),
        ("extraction", "embedded: whole recipe of the card, bf16, batch 4", "embedded model, whole recipe"),
    ],
    "How much room?": [
        ("sweep", "small maps", "one photo for the first look"),
        ("growth", "100,000 photos, store: database size", "project of 100 000 photos, 1 000 000 keypoints"),
        ("index", "100000 photos, ours: on disk", "index of 100 000 photos"),
        ("growth", "100,000 photos, window: peak memory", "memory of the window with 100 000 photos"),
    ],
    "May I believe it?": [
        ("calibration", "ECE", "expected calibration error of keypoints"),
        ("calibration", "precision at confidence >= 0.8", "right among those with confidence 0.8 and more"),
        ("calibration", "precision at confidence >= 0.9", "right among those with confidence 0.9 and more"),
        ("second_label", "all: PCK@0.1 before", "rendered collections, one label: PCK@0.1"),
        ("second_label", "all: PCK@0.1 after", "the same with a second label"),
        ("check", "displaced: precision", "reported as displaced and truly displaced"),
        ("check", "displaced: recall", "displaced and reported"),
        ("check", "swapped sides: precision", "reported as swapped and truly swapped"),
    ],
}


WHERE_MEASURED: dict[str, list[tuple[str, str, str]]] = {
    "More workers?": [
        ("scaling", "this thread", "proposals of one thread"),
        ("scaling", "1 worker process", "of one worker process"),
        ("scaling", "2 worker processes", "of two"),
        ("scaling", "Ray on this machine", "of two Ray workers"),
        ("scaling", "one store takes", "what one project's writer takes"),
        ("scaling", "modelled: 64 workers", "modelled for 64 workers"),
        ("scaling", "modelled: the writer saturates at", "the writer is the limit from"),
    ],
    "How fast are photos of 12 megapixels?": [
        ("photos", "added, per photo", "added"),
        ("photos", "thumbnail made, per photo", "thumbnail"),
        ("photos", "decoding at an eighth of the size alone", "of which decoding alone"),
        ("photos", "memory to decode one whole, per megapixel", "memory to decode one, per megapixel"),
        (
            "large_input",
            "large photo: memory for it, at most",
            "memory for one of 102 megapixels, opened in the window",
        ),
    ],
    "Half precision and compiled blocks?": [
        (f"extraction{suffix}", f"{backbone}: {row}", f"{title}, {shown}")
        for suffix, backbone, title in (
            ("-sd21-512", "sd21", "Stable Diffusion 2.1 at 512 px"),
            ("-sd15-512", "sd15", "Stable Diffusion 1.5 at 512 px"),
            ("", "embedded", "embedded model"),
        )
        for row, shown in (
            ("ours, 8 noises, fp32, same output", "same output, fp32"),
            ("ours, 1 noise, fp32", "one noise, fp32"),
            ("ours, default mode (1 noise, bf16)", "one noise, bf16"),
            ("card's mode, fp32, batch 4", "fp32, batches of 4"),
            ("card's mode, fp32, batch 4, compiled", "fp32, batches of 4, compiled"),
            ("card's mode, bf16, batch 4", "bf16, batches of 4"),
            ("card's mode, bf16, batch 4, compiled", "bf16, batches of 4, compiled"),
        )
    ],
    "On a graphics card?": [
        (f"extraction-gpu-{backbone}-{side}", f"{backbone}: {row}", f"{title} at {side} px, {shown}")
        for backbone, title in (("sd15", "Stable Diffusion 1.5"), ("sd21", "Stable Diffusion 2.1"))
        for side in (512, 768)
        for row, shown in (
            ("published DIFT, 8 noises, fp32", "published procedure"),
            ("ours, 8 noises, fp32, same output", "same output, ours"),
            ("ours, default mode (1 noise, bf16)", "as it is used"),
        )
    ],
}
"""Shown where there is a result of it: not everybody has a graphics card, or Ray."""


def number(value: float) -> str:
    """Three figures are enough to read; a share that is 1 is 1."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


LIMIT = "limit {limit}"
BASELINES: tuple[tuple[str, str, str], ...] = (
    ("gui_latency", "", LIMIT),
    ("leaving", "", LIMIT),
    ("photos", "", LIMIT),
    ("sweep", "", "{times} x an ordinary sweep"),
    ("pdm", "", "{times} x the published way"),
    ("search", "", "{times} x whole maps in float32"),
    ("hedlin", "", "{times} x one by one"),
    ("scaling", "modelled", ""),
    ("scaling", "", "{times} x one thread"),
    ("extraction", "card's mode", "{times} x one by one"),
    ("extraction", "published DIFT", ""),
    ("extraction", "", "{times} x the published way"),
)
"""Benchmark (how its name begins), part of a row's name, and what the row's ratio is one to; others are not compared."""


def compared(name: str, row: dict[str, Any]) -> str:
    """A row's ratio in words; empty where it has none."""
    ratio = row["ratio_to_baseline"]
    if ratio is None:
        return ""
    words = next((w for benchmark, part, w in BASELINES if name.startswith(benchmark) and part in row["name"]), "")
    return words.format(times=number(ratio), limit=f"{number(round(ratio * row['value'], 6))} {row['unit']}")


def page(results: Path = RESULTS, *, strict: bool = True) -> str:
    """The page; KeyError names a figure that is in no result any more (not `strict`: it is left out)."""
    parts = [HEAD]
    for question, figures in FIGURES.items():
        parts += _section(question, figures, results, strict=strict)
    for question, figures in WHERE_MEASURED.items():
        parts += _section(question, figures, results, strict=False)
    return "\n".join(parts)


def _section(question: str, figures: list[tuple[str, str, str]], results: Path, *, strict: bool) -> list[str]:
    lines = []
    for name, row_name, shown in figures:
        file = results / f"{name}.json"
        data = json.loads(file.read_text(encoding="utf-8")) if strict or file.is_file() else {"rows": []}
        rows = {row["name"]: row for row in data["rows"]}
        if not strict and row_name not in rows:
            continue
        row = rows[row_name]
        value = f"{number(row['value'])} {row['unit']}".strip()
        cells = (shown, value, compared(name, row), f"`{name}`", data["machine"].get("date", ""))
        lines.append("| " + " | ".join(cells) + " |")
    head = [f"## {question}", "", "| | | compared | benchmark | measured |", "|---|---:|---|---|---|"]
    return ["\n".join([*head, *lines]) + "\n"] if lines else []


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
