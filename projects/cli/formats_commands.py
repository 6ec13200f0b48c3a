"""`kinmark import export split`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinmark.engine.domain.progress import Progress
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.output import EXIT_KNOWN_ERROR, JsonOption, emit, print_note, progress_bar
from kinmark.projects.formats.base import ReadOptions, WriteOptions
from kinmark.projects.formats.dataset import Report, ReportItem
from kinmark.projects.formats.registry import FORMATS

if TYPE_CHECKING:
    from kinmark.projects.workflows.importing import ImportResult

SHOWN = 20
_READABLE = ", ".join(name for name, spec in FORMATS.items() if spec.reads)
_WRITABLE = ", ".join(name for name, spec in FORMATS.items() if spec.writes)


def _show(items: list[ReportItem]) -> None:
    show_items([(item.kind, item.where, item.reason) for item in items])


def show_items(items: list[tuple[str, str, str]]) -> None:
    """Every kind of remark (kind, where, reason) with its number, and the first few of them."""
    for kind, number in Counter(item[0] for item in items).items():
        print_note(f"{kind}: {number}")
        chosen = [item for item in items if item[0] == kind]
        for _, where, reason in chosen[:SHOWN]:
            print_note(f"  {where}: {reason}")
        if len(chosen) > SHOWN:
            print_note(f"  ... and {len(chosen) - SHOWN} more (--json lists all)")


def _pairs(values: list[str] | None, option: str) -> dict[str, str]:
    result = {}
    for value in values or []:
        left, sign, right = value.partition("=")
        if not sign or not left.strip() or not right.strip():
            raise typer.BadParameter(f"{option} needs NAME=OTHER, found {value!r}")
        result[left.strip()] = right.strip()
    return result


def _exif(values: list[str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The choice for all photos, and (pattern, choice) for some."""
    plain = [value for value in values if "=" not in value]
    if len(plain) > 1:
        raise typer.BadParameter("--exif: one choice for all photos; the others need a pattern: rotate=cam1/*")
    some = tuple((pattern, choice) for choice, _, pattern in (v.partition("=") for v in values if "=" in v))
    return plain[0] if plain else "ask", some


def import_(
    project: Annotated[Path, typer.Argument(help="The .kinmark project folder.", metavar="DIR")],
    file: Annotated[
        Path, typer.Argument(help="The annotation file (or folder, as the format has it).", metavar="FILE")
    ],
    format_: Annotated[str, typer.Option("--format", help=f"One of: {_READABLE}.")] = "coco",
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder that the file's image paths are relative to.")
    ] = None,
    as_: Annotated[str, typer.Option("--as", help="accepted, or proposals (to be reviewed).")] = "accepted",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be added, changed, kept, skipped.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Where labels differ take the file's, not the project's.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave damaged items out instead of refusing the file.")
    ] = False,
    exif: Annotated[
        list[str] | None,
        typer.Option(
            "--exif",
            help="Labels drawn on unrotated pictures: ask, rotate or keep; rotate=cam1/* for some photos (may be repeated).",
        ),
    ] = None,
    frame: Annotated[
        str, typer.Option("--keypoint-frame", help="COCO: auto, pixel (integer indices) or continuous.")
    ] = "auto",
    category: Annotated[str, typer.Option("--category", help="Name for formats that carry none (deeplabcut).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Import annotations: merged by instance and keypoint in one undoable step; accepted work stays."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.importing import ImportOptions, import_file, preview

    if as_ not in ("accepted", "proposals"):
        raise typer.BadParameter("--as must be accepted or proposals")
    if frame not in ("auto", "pixel", "continuous"):
        raise typer.BadParameter("--keypoint-frame must be auto, pixel or continuous")
    options = ImportOptions(
        format_,
        images,
        as_ == "proposals",
        overwrite,
        skip_bad,
        *_exif(exif or []),
        ReadOptions(keypoint_frame=frame, category=category),
    )
    progress = Progress("Importing")
    with Project.open(project, read_only=dry_run) as opened, cancellable() as cancel, progress_bar(progress):
        run = preview if dry_run else import_file
        result = run(opened, file, options, progress=progress, cancel=cancel)

    emit(result.to_json(), as_json=as_json, render=lambda: _show_import(file, result, dry_run=dry_run))
    if result.nothing:
        raise typer.Exit(EXIT_KNOWN_ERROR)


def _show_import(file: Path, result: ImportResult, *, dry_run: bool) -> None:
    if result.nothing:
        print_note(f"Nothing was imported from {file.name}: nothing in it fits this project.")
        _show(result.report.items)
        return
    what = "Would import" if dry_run else "Imported"
    typer.echo(
        f"{what} {file.name}: {result.added} added, {result.changed} changed, {result.kept} kept, {result.skipped} skipped; "
        f"{result.images_added} new photos, {result.images_matched} known ones."
    )
    if result.categories_added:
        typer.echo(f"New categories: {', '.join(result.categories_added)}")
    _show(result.report.items)


def export(
    project: Annotated[Path, typer.Argument(help="The .kinmark project folder.", metavar="DIR")],
    out: Annotated[Path, typer.Argument(help="Folder to write to.", metavar="OUT")],
    format_: Annotated[str, typer.Option("--format", help=f"One of: {_WRITABLE}.")] = "coco",
    with_proposals: Annotated[
        bool, typer.Option("--with-proposals", help="Pending proposals too, marked as such.")
    ] = False,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Only this category (may be repeated).")
    ] = None,
    split: Annotated[list[str] | None, typer.Option("--split", help="Only this split (may be repeated).")] = None,
    masks: Annotated[str, typer.Option("--masks", help="rle (exact) or polygon (where exact).")] = "rle",
    frame: Annotated[
        str, typer.Option("--keypoint-frame", help="COCO: auto, continuous, pixel or integer (floor).")
    ] = "auto",
    copy_images: Annotated[bool, typer.Option("--copy-images", help="Write the pictures too (EXIF applied).")] = False,
    archive: Annotated[str, typer.Option("--archive", help="SPair: write a .zip or .tar.gz instead of a folder.")] = "",
    alias: Annotated[
        list[str] | None, typer.Option("--alias", help="Export a category under another name: mug=bottle.")
    ] = None,
    only_labelled: Annotated[bool, typer.Option("--only-labelled", help="Leave out photos without labels.")] = False,
    max_pairs: Annotated[
        int, typer.Option("--max-pairs", help="SPair: at most so many pairs a category and split.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of every random choice.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what the format would lose.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Export annotations; what the format loses is said before anything is written."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.exporting import ExportOptions, export_project, preview_export

    write = _write_options(WriteOptions(masks, frame, copy_images, archive, _pairs(alias, "--alias"), seed, max_pairs))
    options = ExportOptions(format_, with_proposals, tuple(category or ()), tuple(split or ()), only_labelled, write)
    progress = Progress("Exporting")
    with Project.open(project, read_only=True) as opened, cancellable() as cancel:
        losses = preview_export(opened, options)
        if not as_json:
            _show(losses)
        if dry_run:
            report = Report(options.format, items=losses)
        else:
            with progress_bar(progress):
                report = export_project(opened, out, options, progress=progress, cancel=cancel)

    emit(
        {**report.to_json(), "dry_run": dry_run},
        as_json=as_json,
        render=lambda: _show_export(report, losses, dry_run=dry_run),
    )


def _write_options(given: WriteOptions) -> WriteOptions:
    """What was given, words checked; BadParameter names the option."""
    if given.masks not in ("rle", "polygon"):
        raise typer.BadParameter("--masks must be rle or polygon")
    if given.keypoint_frame not in ("auto", "continuous", "pixel", "integer"):
        raise typer.BadParameter("--keypoint-frame must be auto, continuous, pixel or integer")
    if given.archive and given.archive not in (".zip", ".tar.gz", "zip", "tar.gz"):
        raise typer.BadParameter("--archive must be .zip or .tar.gz")
    archive = given.archive if not given.archive or given.archive.startswith(".") else f".{given.archive}"
    return replace(given, archive=archive)


def _show_export(report: Report, losses: list[ReportItem], *, dry_run: bool) -> None:
    if dry_run:
        typer.echo("Nothing was written (--dry-run).")
        return
    typer.echo(f"Exported {report.extra.get('summary', '')}")
    for file in report.files:
        typer.echo(f"  {file}")
    if "verified" in report.extra:
        typer.echo(f"  {report.extra['verified']}")
    _show([item for item in report.items if item not in losses])


def split(
    project: Annotated[Path, typer.Argument(help="The .kinmark project folder.", metavar="DIR")],
    shares: Annotated[str, typer.Option("--shares", help="Splits and their shares.")] = "train=0.8,val=0.1,test=0.1",
    by: Annotated[
        str, typer.Option("--by", help="What stays together: folder, identity, duplicates (with commas), or nothing.")
    ] = "folder,identity,duplicates",
    seed: Annotated[int, typer.Option("--seed", help="Of the random choice.")] = 0,
    only_labelled: Annotated[bool, typer.Option("--only-labelled", help="Leave photos without labels out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the numbers.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Divide the photos into splits, by groups so that no identity, folder or near-duplicate leaks from one to another."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.splits import assign_splits

    parts = _pairs([p for p in shares.split(",") if p.strip()], "--shares")
    try:
        wanted = {name: float(value) for name, value in parts.items()}
    except ValueError:
        raise typer.BadParameter("--shares needs numbers: train=0.8,val=0.1,test=0.1") from None
    groupings = tuple(b.strip() for b in by.split(",") if b.strip() and b.strip() != "nothing")
    progress = Progress("Splitting")
    with Project.open(project, read_only=dry_run) as opened, cancellable() as cancel, progress_bar(progress):
        result = assign_splits(
            opened,
            wanted,
            by=groupings,
            seed=seed,
            only_labelled=only_labelled,
            dry_run=dry_run,
            progress=progress,
            cancel=cancel,
        )

    def render() -> None:
        numbers = ", ".join(f"{name} {count}" for name, count in result.counts.items())
        typer.echo(f"{'Would assign' if dry_run else 'Assigned'} {numbers} in {result.groups} groups.")
        if result.largest_group > 1:
            typer.echo(f"The largest group has {result.largest_group} photos.")
        for line in result.unreadable[:SHOWN]:
            print_note(line)

    data = {
        "counts": result.counts,
        "groups": result.groups,
        "largest_group": result.largest_group,
        "unreadable": list(result.unreadable),
        "dry_run": dry_run,
    }
    emit(data, as_json=as_json, render=render)
