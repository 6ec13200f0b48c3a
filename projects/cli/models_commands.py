"""`kinmark models`: list, add, download, verify, test and remove backbones."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kinmark.engine.domain.errors import KnownError, UserInputError
from kinmark.engine.domain.model_info import DownloadPlan, ModelRow
from kinmark.engine.domain.progress import Progress
from kinmark.engine.domain.texts import said
from kinmark.projects import models as service
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.output import JsonOption, emit, print_note, progress_bar

models = typer.Typer(no_args_is_help=True, help="List, add, download, verify, test or remove backbones.")


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count else ""


@models.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show every known backbone and whether it is installed."""
    rows = service.list_models()
    emit([asdict(row) for row in rows], as_json=as_json, render=lambda: _print_rows(rows))


def _print_rows(rows: tuple[ModelRow, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "what", "kind", "installed", "size", "input", "licence")
    for row in rows:
        state = "problem" if row.problem else "yes" if row.installed else "no"
        size = _size(row.disk_bytes or row.download_bytes)
        seen = f"{row.input_wh[0]} x {row.input_wh[1]}" if row.input_wh[0] else ""
        licence = row.licence + (" (gated)" if row.gated else "")
        table.add_row(row.id, row.title, row.kind, state, size, seen, licence)
    console = Console()
    console.print(table)
    for row in rows:
        if row.good_for:
            console.print(f"{row.id}: {row.good_for}", markup=False)
        if row.published:
            console.print(f"  published: {row.published}", markup=False)
    for row in rows:
        if row.problem:
            console.print(f"{row.id}: {row.problem}", markup=False)


@models.command()
def add(
    path: Annotated[Path, typer.Argument(help="A diffusers folder with safetensors weights.")],
    name: Annotated[str, typer.Option(help="Name for --backbone; the folder's name by default.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a local diffusers folder known under a name (its files stay where they are)."""
    row = service.add_model(path, name)
    emit(asdict(row), as_json=as_json, render=lambda: typer.echo(f"Added '{row.id}': use --backbone {row.id}"))


@models.command()
def download(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="One of `kinmark models list`.")],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", "--yes", help="The licence was read and is accepted: do not ask.")
    ] = False,
    endpoint: Annotated[
        str, typer.Option(help="Mirror of the hub, e.g. http://mirror.example:8080 (HF_ENDPOINT works too).")
    ] = "",
    revision: Annotated[str, typer.Option(help="Another commit than the pinned one.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Download a backbone: only the files needed, resumable, checked, after its licence was shown."""
    plan = service.plan_download(model_id, endpoint=endpoint or None, revision=revision)
    _show_licence(plan)
    if not accept_licence:
        if not sys.stdin.isatty():
            raise UserInputError(
                said("The licence of '{0}' was not accepted.", model_id),
                "Read it, then run again with --accept-licence.",
            )
        if not typer.confirm("Do you accept this licence and want to download?", err=True):
            raise UserInputError("The licence was not accepted, so nothing was downloaded.")
    with cancellable() as cancel, progress_bar(Progress()) as progress:
        row = service.download_model(plan, licence_accepted=True, progress=progress, cancel=cancel)
    data = {**asdict(row), "files": len(plan.files), "bytes": plan.total_bytes, "resumed_bytes": plan.done_bytes}
    emit(data, as_json=as_json, render=lambda: typer.echo(f"Installed '{row.id}' in {row.folder}"))


def _show_licence(plan: DownloadPlan) -> None:
    print_note(f"{plan.model_id}: {plan.repo_id}, commit {plan.commit[:12]}, {_size(plan.total_bytes)}")
    if plan.done_bytes:
        print_note(f"Goes on where it stopped: {_size(plan.done_bytes)} are there already.")
    print_note(f"Licence: {plan.licence} {plan.licence_url}".strip())
    if plan.notice:
        print_note(plan.notice)
    if plan.licence_text:
        print_note("\n" + plan.licence_text.strip() + "\n")


@models.command()
def recommend(
    task: Annotated[str, typer.Argument(help="keypoints, instances or masks.")] = "keypoints",
    device: Annotated[str, typer.Option(help="auto (what is here), cpu, cuda or mps.")] = "auto",
    commercial: Annotated[bool, typer.Option("--commercial", help="Leave out licences that restrict use.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Which model should I take? One answer, for a task on a device."""
    found = service.recommend_model(task, device=device, commercial=commercial)

    def render() -> None:
        typer.echo(f"{found.model_id}: {found.why}")
        typer.echo(f"Get it: {found.command}" if found.command else "It is installed.")
        typer.echo(f"Use it: {found.use}")

    emit(asdict(found), as_json=as_json, render=render)


@models.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A published checkpoint (.pth).")],
    name: Annotated[str, typer.Option("--as", help="Which helper it is: marco or diy-sc.")],
    as_json: JsonOption = False,
) -> None:
    """Keep a published checkpoint as safetensors; it is read without running anything in it."""
    row = service.convert_model(file, name)
    emit(asdict(row), as_json=as_json, render=lambda: typer.echo(f"Installed '{row.id}' in {row.folder}"))


@models.command()
def verify(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="One of `kinmark models list`.")],
    as_json: JsonOption = False,
) -> None:
    """Check an installed backbone's files (every byte against the recorded checksums)."""
    with cancellable() as cancel, progress_bar(Progress()) as progress:
        report = service.verify_model(model_id, progress=progress, cancel=cancel)

    def render() -> None:
        typer.echo(f"{report.files} files, {report.compared} compared with their checksum, in {report.folder}")
        for problem in report.problems:
            typer.echo(problem)

    emit({**asdict(report), "ok": report.ok}, as_json=as_json and report.ok, render=render)
    if not report.ok:
        raise KnownError(
            said("The model '{0}' is damaged: {1}", model_id, report.problems[0]),
            "Download or copy it again.",
            "\n".join(report.problems),
        )


@models.command("test")
def self_test(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="One of `kinmark models list`.")] = "embedded",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Load a backbone and run one image through it."""
    result = service.test_model(model_id, device=device, dtype=dtype)
    shape = " x ".join(str(v) for v in result.feature_shape)
    text = (
        f"{result.model_id} works on {result.device} in {result.dtype}: features {shape}, "
        f"loaded in {result.load_seconds:.1f} s, {result.image_seconds:.2f} s per image"
    )
    emit(asdict(result), as_json=as_json, render=lambda: typer.echo(text))


@models.command()
def remove(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="One of `kinmark models list`.")],
    as_json: JsonOption = False,
) -> None:
    """Delete a downloaded backbone, or forget an added folder (its files stay)."""
    deleted = service.remove_model(model_id)
    text = f"Deleted '{model_id}'." if deleted else f"Forgot '{model_id}'; its files were left alone."
    emit({"id": model_id, "files_deleted": deleted}, as_json=as_json, render=lambda: typer.echo(text))
