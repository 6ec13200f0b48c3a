"""`kinmark tune` and `kinmark prompts`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinmark.engine.api import DEFAULT_BACKBONE, EngineConfig, TuneProgress, open_engine, open_prompts
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.paths import data_dir
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.output import JsonOption, emit, print_note, progress_bar

if TYPE_CHECKING:
    from kinmark.engine.api import EngineInfo
    from kinmark.projects.workflows.tune import TuneOutcome

prompts = typer.Typer(no_args_is_help=True, help="List, show, export, import or delete saved prompts.")

ProjectOption = Annotated[
    Path | None, typer.Option("--project", "-p", help="Prompts of this project (default: your own, for all projects).")
]


def _clean(value: Any) -> Any:
    """JSON has no NaN: it becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(v) for v in value]
    return value


def _settings(given: list[str]) -> dict[str, Any]:
    """`--set name=value` pairs; values are JSON where they can be, else text."""
    found: dict[str, Any] = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--set needs NAME=VALUE, got '{item}'")
        try:
            found[name.strip().replace("-", "_")] = json.loads(text)
        except ValueError:
            found[name.strip().replace("-", "_")] = text
    return found


def tune(
    project: Annotated[Path, typer.Argument(help="The .kinmark project folder.")],
    kind: Annotated[str, typer.Option("--kind", help="class, single, hidden or conditional.")] = "class",
    category: Annotated[str, typer.Option("--category", help="Category (default: the only labelled one).")] = "",
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps (default: by the number of pairs).")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Rounds over all pairs, instead of steps.")
    ] = None,
    backbone: Annotated[str, typer.Option("--backbone", help="Backbone id or folder.")] = DEFAULT_BACKBONE,
    seed: Annotated[int, typer.Option("--seed", help="Of the split, the start and the noise.")] = 0,
    keep_if_worse: Annotated[
        bool, typer.Option("--keep-if-worse", help="Keep the prompt even if the held-out photos got worse.")
    ] = False,
    propose_again: Annotated[
        bool, typer.Option("--propose/--no-propose", help="Propose again what is pending, with the new prompt.")
    ] = True,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A further tuning option, NAME=VALUE (may be repeated).")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    json_output: JsonOption = False,
) -> None:
    """Fine-tune a prompt on the accepted instances; it is kept if clearly better is proposed with it on held-out photos."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.tune import TuneOptions
    from kinmark.projects.workflows.tune import tune as run_tune

    options = TuneOptions(
        category, kind, backbone, steps, epochs, seed, keep_if_worse, propose_again, _settings(set_ or [])
    )
    progress = Progress("Tuning")
    with Project.open(project) as opened, cancellable() as cancel, progress_bar(progress):
        engine = open_engine(EngineConfig(device=device, prompt_dirs=(opened.prompts_dir,)))
        try:
            on_step = None if json_output else _line_printer()
            outcome = run_tune(opened, engine, options, on_step=on_step, progress=progress, cancel=cancel)
            info = engine.info()
        finally:
            engine.close()
    data = _tune_data(outcome, kind, info)
    emit(_clean(data), as_json=json_output, render=lambda: _render_tune(data))


def _tune_data(outcome: TuneOutcome, kind: str, info: EngineInfo) -> dict[str, Any]:
    result = outcome.result
    return {
        "category": outcome.category,
        "kind": kind,
        "exemplars": outcome.exemplars,
        "prompt": result.prompt_id,
        "kept": result.kept,
        "before": result.before,
        "after": result.after,
        "before_interval": result.before_interval,
        "after_interval": result.after_interval,
        "proposals": asdict(result.proposals),
        "better": result.better,
        "uses_prompt": result.uses_prompt,
        "steps": result.steps,
        "seconds": result.seconds,
        "device": info.device,
        "dtype": info.dtype,
        "curve": [asdict(point) for point in result.curve],
        "card": outcome.card,
        "proposed": [asdict(item) for item in outcome.proposed],
    }


def _line_printer() -> Callable[[TuneProgress], None]:
    """Held-out figures as lines on stderr (the losses between them are in the progress bar and in the JSON)."""

    def show(point: TuneProgress) -> None:
        if math.isfinite(point.heldout_pck):
            sys.stderr.write(
                f"step {point.step} of {point.steps}: loss {point.loss:.3f}, held-out PCK@0.1 {100 * point.heldout_pck:.1f}\n"
            )

    return show


def _percent(value: float, interval: tuple[float, float]) -> str:
    if not math.isfinite(value):
        return "not measured"
    low, high = (100 * v for v in interval)
    return f"{100 * value:.1f} ({low:.1f} to {high:.1f})"


def _render_tune(data: dict[str, Any]) -> None:
    typer.echo("Held-out PCK@0.1, with its 95 % interval over photos")
    for title, figures in (("proposals", data["proposals"]), ("score alone", data)):
        before = _percent(figures["before"], figures["before_interval"])
        after = _percent(figures["after"], figures["after_interval"])
        typer.echo(f"  {title + ':':<12} before {before}, after {after}")
    if not data["uses_prompt"]:
        typer.echo(
            "  The labelled photos chose to match by the second descriptor alone: no prompt changes what is proposed."
        )
    typer.echo(f"{data['steps']} steps in {data['seconds']:.0f} s on {data['device']} {data['dtype']}")
    if not data["kept"]:
        typer.echo(
            "Discarded: nothing on the held-out photos says that it is better (--keep-if-worse keeps it all the same)."
        )
        return
    typer.echo(f"Kept as {data['prompt']}; measured on {data['card']['heldout']}.")
    if not data["better"]:
        typer.echo("It is not better, so 'auto' does not take it.")
    for item in data["proposed"]:
        typer.echo(f"{item['category']}: {item['proposals']} pending photos proposed again")


# ---- saved prompts -------------------------------------------------------------------------------------------------


def _folders(project: Path | None) -> tuple[Path, ...]:
    if project is None:
        return (data_dir() / "prompts",)
    if not (project / "project.sqlite").is_file():
        raise UserInputError(
            said("{0} is not a Kinmark project.", project), "Give the .kinmark folder, or leave --project out."
        )
    return (project / "prompts",)


def _row(prompt: Any) -> dict[str, Any]:
    card = prompt.card
    return {
        "id": card.id,
        "kind": card.kind,
        "category": card.category,
        "backbone": card.backbone,
        "revision": card.revision,
        "before": card.before,
        "after": card.after,
        "proposals_before": card.proposals.get("before"),
        "proposals_after": card.proposals.get("after"),
        "better": card.measured_better,
        "created": card.created,
        "source": card.source,
        "folder": str(prompt.folder),
    }


def _change(title: str, before: float | None, after: float | None) -> str:
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return ""
    return f"  PCK@0.1 of the {title} {100 * before:.1f} -> {100 * after:.1f}"


def _render_rows(rows: list[dict[str, Any]]) -> None:
    if not rows:
        typer.echo("No saved prompts.")
    for row in rows:
        gain = _change("proposals", row["proposals_before"], row["proposals_after"])
        gain += _change("score", row["before"], row["after"])
        typer.echo(f"{row['id']}  {row['kind']} {row['category'] or 'all'}  for {row['backbone']}{gain}")


@prompts.command("list")
def list_(
    folder: Annotated[Path | None, typer.Argument(metavar="[PROJECT]", help="The .kinmark project folder.")] = None,
    project: ProjectOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show the saved prompts, newest first."""
    rows = [_row(p) for p in open_prompts(_folders(project or folder)).entries()]
    emit(_clean(rows), as_json=json_output, render=lambda: _render_rows(rows))


@prompts.command()
def show(
    prompt: Annotated[str, typer.Argument(help="Id of the prompt, or its beginning.")],
    project: ProjectOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show one prompt's card: how it was made, for which backbone, what it gained."""
    found = open_prompts(_folders(project)).find(prompt)
    data = {**asdict(found.card), "folder": str(found.folder)}

    def render() -> None:
        for name, value in _clean(data).items():
            if value not in (None, "", [], {}):
                typer.echo(f"{name}: {value if isinstance(value, str | int | float) else json.dumps(value)}")

    emit(_clean(data), as_json=json_output, render=render)


@prompts.command()
def export(
    prompt: Annotated[str, typer.Argument(help="Id of the prompt, or its beginning.")],
    out: Annotated[Path, typer.Argument(help="File to write (.safetensors), or a folder.")],
    project: ProjectOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write one prompt to a single safetensors file with its card inside."""
    file = open_prompts(_folders(project)).export(prompt, out)
    emit({"file": str(file)}, as_json=json_output, render=lambda: typer.echo(f"Written: {file}"))


@prompts.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="An exported prompt, or caption.pt / ckpt.pt of the published SD4Match code.")
    ],
    project: ProjectOption = None,
    backbone: Annotated[str, typer.Option("--backbone", help="What a published prompt is for, e.g. sd21.")] = "",
    category: Annotated[str, typer.Option("--category", help="Category of an unnamed published prompt.")] = "",
    dino: Annotated[str, typer.Option("--dino", help="DINOv2 folder of a published conditional prompt.")] = "",
    dino_head: Annotated[
        str, typer.Option("--dino-head", help="DINOv2 folder of a published DINO-Head prompt (one vector per image).")
    ] = "",
    clip_head: Annotated[
        str, typer.Option("--clip-head", help="CLIP folder of a published CLIP-Head prompt (one vector per image).")
    ] = "",
    json_output: JsonOption = False,
) -> None:
    """Take in a prompt; files of the published code are read without running anything in them."""
    named = {"dino:": dino, "dino-head:": dino_head, "clip-head:": clip_head}
    patches = [prefix + folder for prefix, folder in named.items() if folder]
    if len(patches) > 1:
        raise typer.BadParameter("--dino, --dino-head and --clip-head exclude each other")
    library = open_prompts(_folders(project))
    found = library.import_(file, backbone=backbone, category=category, patches="".join(patches))
    rows = [_row(p) for p in found]

    def render() -> None:
        _render_rows(rows)
        for row in rows:
            print_note(f"  {row['source']}")

    emit(_clean(rows), as_json=json_output, render=render)


@prompts.command()
def delete(
    prompt: Annotated[str, typer.Argument(help="Id of the prompt, or its beginning.")],
    project: ProjectOption = None,
    json_output: JsonOption = False,
) -> None:
    """Delete one prompt."""
    found = open_prompts(_folders(project)).delete(prompt)
    emit({"deleted": found.card.id}, as_json=json_output, render=lambda: typer.echo(f"Deleted: {found.card.id}"))
