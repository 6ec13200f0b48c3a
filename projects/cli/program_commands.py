"""Commands about the program itself: `doctor`, `selfcheck`, `benchmark`, `demo`, `app`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kinmark.engine.domain.errors import KnownError
from kinmark.engine.domain.progress import Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.output import JsonOption, emit, progress_bar


def doctor(json_output: JsonOption = False) -> None:
    """Check the installation: versions, device, backbones, folders, Qt. Exit 3 when something is missing."""
    from kinmark.projects.diagnostics import diagnose

    report = diagnose()

    def render() -> None:
        for section, rows in report.sections.items():
            typer.secho(section, bold=True)
            for key, value in rows.items():
                typer.echo(f"  {key:<22} {value}")
        for problem in report.problems:
            typer.secho(f"PROBLEM: {problem}", fg="red")
        if not report.problems:
            typer.echo("Everything needed is in place.")

    emit(
        {"ok": not report.problems, "problems": report.problems, **report.sections}, as_json=json_output, render=render
    )
    if report.problems:
        raise typer.Exit(3)


def selfcheck(
    model: Annotated[bool, typer.Option(help="Also propose on four sample photos (loads the model).")] = True,
    window: Annotated[bool, typer.Option(help="Also open the window once.")] = True,
    json_output: JsonOption = False,
) -> None:
    """Try everything once in small, in a temporary folder: resources, project, exchange, model, window. Exit 3 when one fails."""
    from kinmark.projects.selfcheck import Step, run_selfcheck

    def show(step: Step) -> None:
        word, colour = ("left out", "yellow") if step.skipped else ("ok", "green") if step.ok else ("FAILED", "red")
        typer.secho(f"{word:<8} {step.name:<10} {step.seconds:6.1f} s  {step.detail}", fg=colour)

    with cancellable() as cancel:
        result = run_selfcheck(cancel=cancel, report=None if json_output else show, model=model, window=window)
    emit(result.to_json(), as_json=json_output, render=lambda: typer.echo(f"kinmark {result.version}"))
    if not result.ok:
        raise typer.Exit(3)


def _benchmarks_dir() -> Path:
    folder = Path(__file__).resolve().parents[2] / "benchmarks"
    if not folder.is_dir():
        raise KnownError(
            "The benchmarks are not part of an installed package: they render, train and need the tests' data.",
            "Run them from a checkout of the sources: python3 packaging/bootstrap.py kinmark benchmark",
        )
    return folder


def benchmark(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which one; without a name the list is shown.")] = "",
) -> None:
    """Run one of the benchmarks; further options go to it (`kinmark benchmark quality --json FILE`)."""
    folder = _benchmarks_dir()
    known = sorted(p.stem for p in folder.glob("*.py") if p.stem != "report" and "\ndef main(" in p.read_text("utf-8"))
    if not name:
        typer.echo("\n".join(known))
        return
    if name not in known:
        raise typer.BadParameter(f"there is no benchmark {name!r}; there are: {', '.join(known)}")
    sys.path.insert(0, str(folder.parent))
    spec = importlib.util.spec_from_file_location(f"benchmarks.{name}", folder / f"{name}.py")
    if spec is None or spec.loader is None:
        raise KnownError(said("The benchmark {0} cannot be loaded.", name), "Reinstall Kinmark.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    raise typer.Exit(int(module.main(context.args) or 0))


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the project, the exports and the contact sheet go.")] = Path(
        "demo-output"
    ),
    photos: Annotated[
        Path | None,
        typer.Option(
            "--photos", help="A folder of your own with a COCO file of keypoints, in place of the sample collection."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="With --photos: the COCO file (default: the only one in the folder)."),
    ] = None,
    most: Annotated[
        int, typer.Option("--most", min=2, help="With --photos: at most so many photos, evenly chosen.")
    ] = 60,
    json_output: JsonOption = False,
) -> None:
    """Run the main job on the sample collection or on photos of your own: label one, propose, find, accept, export, measure."""
    from kinmark.projects.workflows.demo import own_photos, render_demo, run_demo

    if labels is not None and photos is None:
        raise typer.BadParameter("--labels goes with --photos FOLDER")
    chosen = own_photos(photos, labels, most) if photos is not None else None
    progress = Progress("demo")
    with cancellable() as cancel, progress_bar(progress):
        result = run_demo(out, chosen, progress=progress, cancel=cancel)
    data: dict[str, Any] = result.to_json()
    emit(data, as_json=json_output, render=lambda: render_demo(result))


def app(project: Annotated[Path | None, typer.Argument(help="A .kinmark project folder.")] = None) -> None:
    """Open the window."""
    # The window lies above this layer: desktop/main.py answers `kinmark app` itself and comes here only for --help.
    raise KnownError(said("The window cannot be opened from here ({0}).", project or "no project"), "Run: kinmark app")
