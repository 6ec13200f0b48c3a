"""`kinmark evaluate`, `kinmark simulate`, `kinmark check`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    EngineConfig,
    EvaluateRequest,
    MatchSettings,
    open_engine,
)
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.match_option import HELP_OF_PAIRS, settings_of_pairs
from kinmark.projects.cli.output import JsonOption, emit, print_note, progress_bar

if TYPE_CHECKING:
    from kinmark.projects.workflows.evaluate import ProjectEvaluation

BackboneOption = Annotated[str, typer.Option("--backbone", help="Backbone id or folder (see: kinmark models list).")]
PromptOption = Annotated[str, typer.Option("--prompt", help="auto, empty, text:..., or a saved prompt's id.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]


def _percent(values: list[float | None]) -> str:
    return " / ".join("-" if v is None else f"{100 * v:.1f}" for v in values)


def evaluate(
    dataset: Annotated[
        str,
        typer.Option("--dataset", help="spair, pfpascal, pfwillow, cub, ap10k; folder, perseg, permis, permir, davis."),
    ] = "",
    root: Annotated[Path | None, typer.Option("--root", help="Folder of the unpacked data set.")] = None,
    project: Annotated[
        Path | None, typer.Option("--project", help="Cross-validate on this project's own labels.")
    ] = None,
    category: Annotated[str, typer.Option("--category", help="With --project: only this category.")] = "",
    method: Annotated[str, typer.Option("--method", help=HELP_OF_PAIRS)] = "auto",
    protocol: Annotated[
        str, typer.Option("--protocol", help="ours, dift, sd4match, hedlin or geoaware: how PCK is counted.")
    ] = "ours",
    split: Annotated[str, typer.Option("--split", help="trn, val or test.")] = "test",
    limit: Annotated[int, typer.Option("--limit", min=0, help="Only the first so many pairs (0 = all).")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write JSON, Markdown and a plot here; a stopped run goes on from here."),
    ] = None,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    prompt: PromptOption = "auto",
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
) -> None:
    """Measure on a published data set under a named protocol, or on a project's own labels."""
    from kinmark.projects.workflows.evaluate import ProjectEvaluation, write_report

    if bool(dataset) == (project is not None):
        raise typer.BadParameter("give either --dataset with --root, or --project")
    if dataset and root is None:
        raise typer.BadParameter("--dataset needs --root, the folder of the unpacked data set")
    settings = settings_of_pairs(method, "--method")
    if project is not None:
        report = _on_project(
            project, ProjectEvaluation(category, backbone=backbone, prompt=prompt, settings=settings), device
        )
        if out is not None:
            write_report(report, out)
    else:
        request = EvaluateRequest(dataset, root or Path(), split, protocol, settings, backbone, prompt, limit)
        report = _on_dataset(request, out, device)
    emit(report, as_json=json_output, render=lambda: _show_evaluation(report))


def _on_project(project: Path, options: ProjectEvaluation, device: str) -> dict[str, Any]:
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.evaluate import evaluate_project

    progress = Progress("Evaluating")
    with cancellable() as cancel, progress_bar(progress), Project.open(project, read_only=True) as opened:
        engine = open_engine(EngineConfig(device=device, prompt_dirs=(opened.prompts_dir,)))
        try:
            return evaluate_project(opened, engine, options, progress=progress, cancel=cancel)
        finally:
            engine.close()


def _on_dataset(request: EvaluateRequest, out: Path | None, device: str) -> dict[str, Any]:
    from kinmark.projects.workflows.evaluate import evaluate_dataset

    progress = Progress("Evaluating")
    with cancellable() as cancel, progress_bar(progress):
        engine = open_engine(EngineConfig(device=device))
        try:
            return evaluate_dataset(engine, request, out, progress=progress, cancel=cancel)
        finally:
            engine.close()


def _show_evaluation(report: dict[str, Any]) -> None:
    if "categories" in report:
        for row in report["categories"]:
            typer.echo(
                f"{row['category']}: {row['instances']} instances, {row['folds']} folds, PCK@"
                f"{'/'.join(f'{a:g}' for a in report['alphas'])} per point {_percent(row['per_point'])}"
            )
    elif "per_image" in report:
        typer.echo(
            f"{report['dataset']}, protocol {report['protocol']}: {report['pairs']} pairs, {report['points']} points"
        )
        typer.echo(f"  PCK@{'/'.join(f'{a:g}' for a in report['alphas'])} per image {_percent(report['per_image'])}")
        typer.echo(f"  per point {_percent(report['per_point'])}")
        typer.echo(f"  {report['note']}")
    else:
        for key, value in report.items():
            if not isinstance(value, (dict, list)):
                typer.echo(f"{key}: {value}")


def simulate(
    dataset: Annotated[Path, typer.Option("--dataset", help="A fully labelled COCO keypoint file.")],
    images: Annotated[Path, typer.Option("--images", help="Folder that its file names are relative to.")],
    exemplars: Annotated[int, typer.Option("--exemplars", min=1, help="How many instances are labelled by hand.")] = 5,
    category: Annotated[str, typer.Option("--category", help="Only this category.")] = "",
    tune: Annotated[bool, typer.Option("--tune", help="Tune a class prompt on the hand-labelled ones first.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many instances per category (0 = all).")] = 0,
    instances: Annotated[
        str, typer.Option("--instances", help="one: the person points at each; auto or N: so many of a photo at once.")
    ] = "one",
    backbone: BackboneOption = DEFAULT_BACKBONE,
    prompt: PromptOption = "auto",
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
) -> None:
    """Count the human actions that a fully labelled set would have taken with proposals."""
    import tempfile

    from kinmark.projects.workflows.annotator import SimulateOptions
    from kinmark.projects.workflows.simulate import simulate as run

    if not dataset.is_file():
        raise UserInputError(said("{0} is not there.", dataset), "Give a COCO keypoint file.")
    if not images.is_dir():
        raise UserInputError(said("{0} is no folder.", images), "Give the folder with the photos.")
    progress = Progress("Simulating")
    options = SimulateOptions(exemplars, category, backbone, prompt, MatchSettings(), tune, limit, instances)
    with (
        tempfile.TemporaryDirectory(prefix="kinmark-") as folder,
        cancellable() as cancel,
        progress_bar(progress),
    ):
        engine = open_engine(EngineConfig(device=device, prompt_dirs=(Path(folder),)))
        try:
            report = run(engine, dataset, images, options, work_dir=Path(folder), progress=progress, cancel=cancel)
        finally:
            engine.close()

    def render() -> None:
        for row in report["categories"]:
            typer.echo(
                f"{row['category']}: {row['instances']} instances, {row['by_hand']} by hand: {row['actions']} actions "
                f"instead of {row['manual_actions']} ({100 * row['ratio']:.0f} %; after the first {row['by_hand']}: "
                f"{100 * (row['later_ratio'] or 0):.0f} %)"
            )
        typer.echo(
            f"all: {report['actions']} actions for {report['correct_keypoints']} correct keypoints, "
            f"{100 * report['ratio']:.0f} % of labelling by hand ({report['manual_actions']})"
        )

    emit(report, as_json=json_output, render=render)


def check(
    project: Annotated[Path, typer.Argument(help="The .kinmark project folder.")],
    category: Annotated[str, typer.Option("--category", help="Only this category.")] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Only the checks that need no model.")] = False,
    top: Annotated[int, typer.Option("--top", min=0, help="Show at most so many (0 = all).")] = 0,
    fine: Annotated[bool, typer.Option("--fine", help="Also those that a person called fine in the window.")] = False,
    backbone: BackboneOption = DEFAULT_BACKBONE,
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
) -> None:
    """List labels that look wrong: far from their namesakes, sides swapped, outside the mask, labelled twice."""
    from kinmark.projects.called_fine import split_fine
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.check import CheckOptions, to_json
    from kinmark.projects.workflows.check import check as run

    progress = Progress("Checking")
    with Project.open(project, read_only=True) as opened, cancellable() as cancel, progress_bar(progress):
        engine = open_engine(EngineConfig(device=device, prompt_dirs=(opened.prompts_dir,)))
        try:
            findings = run(
                opened, engine, CheckOptions(category, backbone, not plain), progress=progress, cancel=cancel
            )
            left, called_fine = split_fine(opened.queries, findings)
        finally:
            engine.close()
    findings = findings if fine else left
    shown = findings[:top] if top else findings
    kinds = Counter(f.kind for f in findings)

    def render() -> None:
        for finding in shown:
            typer.echo(
                f"{finding.score:4.2f}  {finding.kind:13s} {finding.image}  {finding.category}: {finding.reason}"
            )
        if not findings:
            print_note("Nothing looks wrong.")
        if called_fine and not fine:
            print_note(f"{len(called_fine)} that a person called fine are left out (--fine lists them).")

    data = {"findings": to_json(shown), "counts": dict(kinds), "called_fine": len(called_fine)}
    emit(data, as_json=json_output, render=render)
