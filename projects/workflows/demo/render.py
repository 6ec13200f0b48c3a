"""The demo's table on the terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from kinmark.projects.workflows.telling_apart import left_out_text

if TYPE_CHECKING:
    from kinmark.projects.workflows.demo.run import DemoResult


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def render_demo(result: DemoResult) -> None:
    """Print what was measured and where everything lies."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    engine = result.engine
    where = f"{engine.device}, {engine.dtype}, backbone {engine.backbone}" if engine else ""
    table = Table(title=f"One labelled photo per category, the rest proposed ({where})")
    for heading in ("category", "asked", "keypoints", "PCK@0.1", "accepted", "right of these", "s per photo"):
        table.add_column(heading, justify="left" if heading == "category" else "right")
    for name, score in result.categories.items():
        outcome = result.outcomes[name]
        table.add_row(
            name,
            f"{score.asked} of {score.there}" + (f" + {score.elsewhere}" if score.elsewhere else ""),
            str(outcome.keypoints),
            _percent(score.pck),
            str(score.accepted),
            _percent(score.precision),
            f"{outcome.seconds / max(1, outcome.targets):.2f}",
        )
    console.print(table)
    console.print(
        "asked: photos with the category that got a proposal, of all with it, + photos without it that got one, too."
    )
    for name, outcome in result.outcomes.items():
        if outcome.apart:
            console.print(left_out_text(name, outcome.apart, outcome.apart_pending))
    found = result.found
    if found is not None and found.photos:
        iou = "" if found.mean_iou is None else f"mask IoU on them {found.mean_iou:.2f}; "
        console.print(
            f"One individual ({found.identity}): {found.hits_at_top} of its {found.photos} other photos are among the first "
            f"{found.photos} of {found.searched}; {iou}{found.seconds_per_image:.2f} s per photo"
        )
    elif found is not None:
        console.print(
            f"One individual ({found.identity}): searched in {found.searched} photos, {found.seconds_per_image:.2f} s per photo; "
            "the labels name no individuals, so look at the contact sheet"
        )
    for note in result.notes:
        console.print(f"Note: {note}", soft_wrap=True, markup=False)
    for format_, report in result.exported.items():
        console.print(f"Exported {format_}: {report['summary']}")
    console.print(f"Contact sheet: {result.sheet}", soft_wrap=True)
    console.print(
        f"Project:       {result.project}   (open it: kinmark app {shlex.quote(str(result.project))})", soft_wrap=True
    )
    console.print(
        f"Done in {result.seconds:.0f} s. PCK@0.1: share of keypoints within 0.1 of the longer side of the true box."
    )
