"""Rows and Markdown tables of tuning: figures over seeds, one line per kind of prompt."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.common import Row


def _groups_of(cells: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Cells of one category, number of labelled pictures, kind and options, under a name."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for cell in sorted(cells, key=lambda c: (c["set"], c["category"], c["labelled"], c["kind"], c["seed"])):
        name = ", ".join([f"{cell['category']}, {cell['labelled']} labelled, {cell['kind']}", *cell["set"]])
        groups.setdefault(name, []).append(cell)
    return list(groups.items())


def proposal_rows(cells: Sequence[dict[str, Any]]) -> list[Row]:
    """Proposals before, their gain and its spread over seeds, and how many of the prompts would have been kept."""
    rows: list[Row] = []
    for name, group in _groups_of(cells):
        gains = [100 * (c["after"] - c["before"]) for c in group]
        spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
        each = " ".join(f"{g:+.1f}" for g in gains)
        soft = statistics.mean(100 * (c["soft_after"] - c["soft_before"]) for c in group)
        kept = sum(c["better"] for c in group)
        rows += [
            Row(f"{name}: proposals before", 100 * statistics.mean(c["before"] for c in group), "PCK@0.1"),
            Row(f"{name}: gain", statistics.mean(gains), "points", note=f"±{spread:.1f}, {len(gains)} seeds ({each})"),
            Row(f"{name}: gain in the soft figure", soft, "points"),
            Row(f"{name}: kept", kept, "prompts", note=f"of {len(group)}"),
            Row(f"{name}: time", statistics.mean(c["seconds"] for c in group), "s"),
        ]
    return rows


def proposal_table(cells: Sequence[dict[str, Any]]) -> str:
    """The table of full proposals of docs/lab/tuning.md, as Markdown."""
    lines = [
        "| pictures, labelled, prompt | before, mean | gain of each seed | mean ± spread | soft | would be kept | s |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for name, group in _groups_of(cells):
        gains = [100 * (c["after"] - c["before"]) for c in group]
        mean = f"**{statistics.mean(gains):+.1f}**" + (f" ± {statistics.stdev(gains):.1f}" if len(gains) > 1 else "")
        before = 100 * statistics.mean(c["before"] for c in group)
        soft = statistics.mean(100 * (c["soft_after"] - c["soft_before"]) for c in group)
        each = ", ".join(f"{100 * (c['after'] - c['before']):+.1f}{' (kept)' if c['better'] else ''}" for c in group)
        kept, seconds = sum(c["better"] for c in group), statistics.mean(c["seconds"] for c in group)
        lines.append(
            f"| {name} | {before:.1f} | {each} | {mean} | {soft:+.1f} | {kept} of {len(group)} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def gain_rows(cells: Sequence[dict[str, Any]]) -> list[Row]:
    """Mean and spread over seeds of every category, number of labelled pictures and kind."""
    rows: list[Row] = []
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        key = (cell["category"], cell["labelled"], cell["kind"], cell["asked_steps"], *cell["set"])
        groups.setdefault(key, []).append(cell)
    for (category, count, kind, _, *given), group in groups.items():
        before = [100 * c["before"] for c in group]
        gains = [100 * (c["after"] - c["before"]) for c in group]
        spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
        name = ", ".join([f"{category}, {count} labelled, {kind}", *given])
        each = " ".join(f"{g:+.1f}" for g in gains)
        steps = statistics.mean(c["steps"] for c in group)
        rows += [
            Row(f"{name}: before", statistics.mean(before), "PCK@0.1"),
            Row(f"{name}: gain", statistics.mean(gains), "points", note=f"±{spread:.1f}, {len(gains)} seeds ({each})"),
            Row(f"{name}: time", statistics.mean(c["seconds"] for c in group), "s", note=f"{steps:.0f} steps"),
        ]
    return rows


def gain_table(cells: Sequence[dict[str, Any]]) -> str:
    """The gain table of docs/lab/tuning.md, as Markdown."""
    lines = ["| pictures | labelled | prompt | before, mean | gain of each seed | mean ± spread | s of one core |"]
    lines.append("|---|---|---|---|---|---|---|")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        name = ", ".join([cell["kind"], *cell["set"]])
        groups.setdefault((cell["category"], cell["labelled"], name), []).append(cell)
    for (category, count, name), group in sorted(groups.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])):
        gains = [100 * (c["after"] - c["before"]) for c in group]
        mean = f"**{statistics.mean(gains):+.1f}**" + (f" ± {statistics.stdev(gains):.1f}" if len(gains) > 1 else "")
        before = 100 * statistics.mean(c["before"] for c in group)
        each, seconds = ", ".join(f"{g:+.1f}" for g in gains), statistics.mean(c["seconds"] for c in group)
        lines.append(f"| {category} | {count} | {name} | {before:.1f} | {each} | {mean} | {seconds:.0f} |")
    return "\n".join(lines)
