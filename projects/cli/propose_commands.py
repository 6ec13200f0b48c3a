"""`kinmark propose`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinmark.engine.api import DEFAULT_BACKBONE, FIRST_LOOK, EngineConfig, MatchSettings, engine_factory
from kinmark.engine.domain.progress import Progress
from kinmark.projects.cli.engine_option import EngineOption, WorkersOption
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.match_option import HELP, settings_of
from kinmark.projects.cli.output import JsonOption, emit, print_note, progress_bar

if TYPE_CHECKING:
    from kinmark.engine.api import EngineInfo
    from kinmark.projects.workflows.propose import CategoryOutcome
    from kinmark.projects.workflows.propose_options import ProposeOptions

_STAGES = {"auto": None, "one": 1, "two": 2}
_ROTATIONS = {"auto": None, "1": 1, "4": 4, "8": 8}
KeypointOption = Annotated[list[str] | None, typer.Option("--keypoint", help="Only this keypoint (may be repeated).")]
InstancesOption = Annotated[
    str,
    typer.Option(
        "--instances",
        help="How many a photo may hold: auto (learned from the labels), one, or a number. Default: the category's own setting.",
    ),
]
ApartOption = Annotated[
    bool | None,
    typer.Option(
        "--apart/--no-apart",
        help="Leave photos out that clearly look like another labelled category (default: with several photos, yes).",
    ),
]
QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="A first look at photos without proposals: coarser, but thousands of photos in seconds once seen.",
    ),
]


def _choice(value: str, known: dict[str, int | None], option: str) -> int | None:
    if value not in known:
        raise typer.BadParameter(f"{option} must be one of: {', '.join(known)}")
    return known[value]


def _what(outcome: CategoryOutcome) -> str:
    """What was counted: photos where each has one, else instances."""
    return "photos" if outcome.limit == 1 else f"instances (up to {outcome.limit} in a photo)"


def propose(
    project: Annotated[Path, typer.Argument(help="The .kinmark project folder.")],
    category: Annotated[
        str, typer.Option("--category", help="Only this category (default: all with a labelled photo).")
    ] = "",
    backbone: Annotated[
        str, typer.Option("--backbone", help="Backbone id or folder (see: kinmark models list).")
    ] = DEFAULT_BACKBONE,
    targets: Annotated[
        str, typer.Option("--targets", help="Only photos whose file name fits this pattern, e.g. 'day2/*'.")
    ] = "",
    stages: Annotated[
        str, typer.Option("--stages", help="auto, one (whole photo) or two (find, crop, match).")
    ] = "auto",
    rotations: Annotated[
        str, typer.Option("--rotations", help="auto, 1, 4 or 8 orientations of each exemplar.")
    ] = "auto",
    match: Annotated[str, typer.Option("--match", help=HELP)] = "auto",
    prompt: Annotated[str, typer.Option("--prompt", help="auto, empty, text:..., or a saved prompt's id.")] = "auto",
    keypoint: KeypointOption = None,
    instances: InstancesOption = "",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    quick: QuickOption = False,
    apart: ApartOption = None,
    compile_model: Annotated[
        bool,
        typer.Option("--compile", help="Compile the model first (minutes; needs a C++ compiler; for long sweeps)."),
    ] = False,
    where: EngineOption = "local",
    workers: WorkersOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Propose keypoints on every other photo from the labelled ones; the settings choose themselves."""
    from kinmark.projects.several import checked_instances
    from kinmark.projects.workflows.propose_options import ProposeOptions

    settings = _settings(match, quick, stages, rotations)
    wanted = checked_instances(instances) if instances else ""
    options = ProposeOptions(
        category,
        backbone,
        prompt,
        targets,
        None,
        settings,
        tuple(keypoint or ()),
        apart=apart,
        instances=wanted,
    )
    config = EngineConfig(device=device, compile=compile_model)
    outcomes, info = _sweep(project, options, where, workers, config)
    data = {
        "device": info.device,
        "dtype": info.dtype,
        "backbone": info.backbone,
        "note": info.note,
        "categories": [asdict(o) for o in outcomes],
    }
    emit(data, as_json=json_output, render=lambda: _say(outcomes, f"{info.device} {info.dtype}"))


def _settings(match: str, quick: bool, stages: str, rotations: str) -> MatchSettings:
    """What the options of matching say; BadParameter where they contradict each other."""
    settings = settings_of(match, "--match")
    if quick and match != "auto":
        raise typer.BadParameter("--quick has its own way of matching: leave out --match")
    return replace(
        settings,
        pipeline=FIRST_LOOK if quick else settings.pipeline,
        stages=_choice(stages, _STAGES, "--stages"),
        rotations=_choice(rotations, _ROTATIONS, "--rotations"),
    )


def _sweep(
    project: Path, options: ProposeOptions, where: str, workers: int, config: EngineConfig
) -> tuple[tuple[CategoryOutcome, ...], EngineInfo]:
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.propose import propose as run_propose

    progress = Progress("Proposing")
    with Project.open(project) as opened, cancellable() as cancel, progress_bar(progress):
        engine = engine_factory(where, replace(config, prompt_dirs=(opened.prompts_dir,)), workers=workers).open()
        try:
            return run_propose(opened, engine, options, progress=progress, cancel=cancel), engine.info()
        finally:
            engine.close()


def _say(outcomes: Sequence[CategoryOutcome], where: str) -> None:
    """What was done, a few lines per category."""
    from kinmark.projects.workflows.telling_apart import left_out_text

    for outcome in outcomes:
        each = outcome.seconds / max(1, outcome.targets)
        typer.echo(
            f"{outcome.category}: {outcome.proposals} {_what(outcome)} with {outcome.keypoints} proposed keypoints from "
            f"{outcome.exemplars} labelled, {each:.2f} s per photo on {where}"
        )
        if outcome.reason:
            typer.echo(f"  settings: {outcome.reason}")
        if outcome.apart:
            typer.echo(
                f"  {left_out_text(outcome.category, outcome.apart, outcome.apart_pending)} (--no-apart asks them, too)"
            )
        for failure in outcome.failures:
            print_note(f"  left out: {failure['error']}")
        if not outcome.targets:
            print_note("  nothing to do: every photo is labelled, or holds nothing of this category")
