"""`kinmark merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kinmark.engine.domain.progress import Progress
from kinmark.projects.cli.formats_commands import SHOWN, show_items
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.output import JsonOption, emit, print_note, progress_bar


def merge(
    project: Annotated[Path, typer.Argument(help="The .kinmark project folder that takes.", metavar="DIR")],
    other: Annotated[Path, typer.Argument(help="The .kinmark project folder that gives; only read.", metavar="OTHER")],
    conflicts: Annotated[
        str,
        typer.Option(
            "--conflicts",
            help="Where both label a thing differently: keep (DIR stays), theirs, or both (as two instances).",
        ),
    ] = "keep",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan and the agreement.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take the labels of another project into this one, as one undo step; photos are matched by content, names by name."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.merging import merge_project, preview_merge

    progress = Progress("Merging")
    with (
        Project.open(project, read_only=dry_run) as opened,
        Project.open(other, read_only=True) as second,
        cancellable() as cancel,
        progress_bar(progress),
    ):
        if not as_json and not dry_run:
            _show(preview_merge(opened, second, conflicts, progress=progress, cancel=cancel).to_json(), "Plan")
        run = preview_merge if dry_run else merge_project
        result = run(opened, second, conflicts, progress=progress, cancel=cancel)
    data = result.to_json()

    def render() -> None:
        if dry_run:
            _show(data, "Plan (nothing was written)")
            _agreement(data["agreement"])
            return
        if result.changes is None:
            typer.echo("There was nothing to merge.")
        else:
            typer.echo(f"Merged: {_counts(data)}. One undo takes it back.")
        _agreement(data["agreement"])

    emit(data, as_json=as_json, render=render)


def _counts(data: dict[str, Any]) -> str:
    return (
        f"{data['added']} instances added, {data['completed']} completed, {data['replaced']} replaced, {data['kept']} kept, "
        f"{data['same']} equal; {data['photos_added']} new photos, {data['photos_common']} common ones"
    )


def _show(data: dict[str, Any], head: str) -> None:
    typer.echo(f"{head}: {_counts(data)}.")
    for what, key in (
        ("Categories of both", "categories_matched"),
        ("New categories", "categories_added"),
        ("Identities of both", "identities_joined"),
        ("New identities", "identities_added"),
    ):
        if data[key]:
            typer.echo(f"{what}: {', '.join(data[key])}")
    conflicts = data["conflicts"]
    if conflicts:
        outcome = {"keep": "this project's stay", "theirs": "the other's are taken", "both": "both become instances"}
        print_note(f"{len(conflicts)} conflicts ({outcome[data['rule']]}):")
        for conflict in conflicts[:SHOWN]:
            print_note(f"  {conflict['photo']}, {conflict['category']}: {'; '.join(conflict['differences'])}")
        if len(conflicts) > SHOWN:
            print_note(f"  ... and {len(conflicts) - SHOWN} more (--json lists all)")
    show_items([(i["kind"], i["where"], i["reason"]) for i in data["report"]["items"]])


def _agreement(figures: dict[str, Any]) -> None:
    if not figures["photos"]:
        return
    typer.echo(
        f"Agreement on {figures['photos']} photos that both labelled: {figures['pairs']} instances of both, "
        f"{figures['only_first']} only here, {figures['only_second']} only there"
    )

    def line(name: str, row: dict[str, Any]) -> None:
        if row["both_placed"]:
            shares = ", ".join(
                f"{key.upper()} {100 * value:.1f} %" for key, value in row.items() if key.startswith("pck")
            )
            typer.echo(f"  {name}: {row['both_placed']} of both, {row['mean_px']:.2f} px apart on average, {shares}")

    line("all keypoints", figures)
    if figures["oks"] is not None:
        typer.echo(f"  OKS {figures['oks']:.3f} ({figures['protocol']})")
    if figures["mask_iou"] is not None:
        typer.echo(f"  masks: IoU {figures['mask_iou']:.3f} ({figures['masks']})")
    for category, rows in figures["keypoints"].items():
        for name, row in rows.items():
            line(f"{category}, {name}", row)
