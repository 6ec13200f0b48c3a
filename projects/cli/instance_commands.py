"""`kinmark find` and `kinmark identities list|merge|rename|split|export`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinmark.engine.api import DEFAULT_BACKBONE, EngineConfig, InstanceSettings, engine_factory, open_engine
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.cli.engine_option import EngineOption, WorkersOption
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.output import JsonOption, emit, print_note, progress_bar

if TYPE_CHECKING:
    from kinmark.projects.workflows.find_plan import FindOptions, ReferenceSpec

SHOWN = 20
DirArgument = Annotated[Path, typer.Argument(help="The project folder (NAME.kinmark).", metavar="DIR")]
_VARIANTS = ("pdm", "pdm-votes")
_MODES = ("fused", "appearance", "semantic")


def parse_numbers(text: str, count: int, option: str) -> tuple[float, ...]:
    """`a,b,...` as `count` finite numbers; a usage error else."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(abs(v) < 1e9 for v in values):
        raise typer.BadParameter(f"{option} needs {count} numbers separated by commas, got {text!r}")
    return values


def parse_box(text: str, option: str = "--box") -> Box:
    """`x0,y0,x1,y1` with x0 < x1 and y0 < y1 (swapped corners are put in order)."""
    x0, y0, x1, y1 = parse_numbers(text, 4, option)
    if x0 == x1 or y0 == y1:
        raise typer.BadParameter(f"{option} is empty: {text}")
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def read_mask(path: Path) -> MaskRLE:
    """A mask picture (anything not black is the thing); UserInputError when it cannot be read or is empty."""
    from kinmark.engine.imaging import load_image

    mask = load_image(path).rgb.max(axis=2) > 0
    if not mask.any():
        raise UserInputError(
            said("The mask {0} is empty (all black).", path), "Paint the thing white, everything else black."
        )
    return MaskRLE.encode(mask)


def parse_reference(text: str) -> tuple[str, Box | None]:
    """`IMAGE` or `IMAGE@x0,y0,x1,y1`."""
    name, sign, numbers = text.rpartition("@")
    if not sign or numbers.count(",") != 3:
        return text, None
    return name, parse_box(numbers, text)


ReferencesOption = Annotated[
    list[str] | None,
    typer.Option("--references", help="Another photo of it: IMAGE or IMAGE@x0,y0,x1,y1 (may be repeated)."),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="Not this one: IMAGE or IMAGE@x0,y0,x1,y1 (may be repeated)."),
]
CategoryOption = Annotated[
    str,
    typer.Option(
        "--category", help="Instead: a mask for every accepted instance of this category that has keypoints only."
    ),
]


def find_masks(project: Path, category: str, targets: str, refine: str, device: str, *, json_output: bool) -> None:
    """Masks of accepted keypoint instances."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.masks import MaskOptions, propose_masks

    progress = Progress("Masks")
    with Project.open(project) as opened, cancellable() as cancel, progress_bar(progress):
        engine = open_engine(EngineConfig(device=device))
        try:
            outcome = propose_masks(
                opened, engine, MaskOptions(category, targets, refine=refine), progress=progress, cancel=cancel
            )
        finally:
            engine.close()

    def render() -> None:
        typer.echo(
            f"{outcome.category}: {outcome.proposed} pending masks for {outcome.instances} instances without one"
        )
        for text in (*(f["error"] for f in outcome.failures), *outcome.skipped):
            print_note(f"  left out: {text}")

    emit(asdict(outcome), as_json=json_output, render=render)


def find(
    project: DirArgument,
    image: Annotated[str, typer.Option("--image", help="The photo that shows the thing (path in the project).")] = "",
    box: Annotated[str, typer.Option("--box", help="Its box: x0,y0,x1,y1 in pixels.", metavar="X0,Y0,X1,Y1")] = "",
    mask: Annotated[Path | None, typer.Option("--mask", help="Its mask: a PNG of the photo's size.")] = None,
    point: Annotated[str, typer.Option("--point", help="A click on it: x,y in pixels.", metavar="X,Y")] = "",
    name: Annotated[str, typer.Option("--name", help="What kind of thing it is, e.g. dog.")] = "",
    identity: Annotated[str, typer.Option("--identity", help="Who it is, e.g. Rex (remembered).")] = "",
    category: CategoryOption = "",
    top: Annotated[int, typer.Option("--top", min=1, help="Show only the best N.")] = SHOWN,
    references: ReferencesOption = None,
    exclude: ExcludeOption = None,
    targets: Annotated[str, typer.Option("--targets", help="Search only photos whose path fits (* and ?).")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Score every photo, also in large collections (no shortlist).")
    ] = False,
    instances: Annotated[int, typer.Option("--instances", min=1, help="At most so many per photo.")] = 1,
    refine: Annotated[
        str, typer.Option("--refine", help="grabcut, threshold, or the folder of a SAM-family model.")
    ] = "grabcut",
    variant: Annotated[str, typer.Option("--variant", help=f"One of: {', '.join(_VARIANTS)}.")] = "pdm",
    mode: Annotated[str, typer.Option("--mode", help=f"One of: {', '.join(_MODES)}.")] = "fused",
    inversion: Annotated[
        int, typer.Option("--inversion", help="DDIM inversion steps; 0 = one noising; -1 = as measured.")
    ] = -1,
    threshold: Annotated[
        float, typer.Option("--threshold", help="Confidence under which the answer is 'not here'; -1 = as measured.")
    ] = -1.0,
    backbone: Annotated[str, typer.Option("--backbone", help="Backbone id or folder.")] = DEFAULT_BACKBONE,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto",
    where: EngineOption = "local",
    workers: WorkersOption = 0,
    json_output: JsonOption = False,
) -> None:
    """Find one instance in the other photos: ranked, with a mask each, or "not here". With --name alone: that kind of thing."""
    if category:
        if image or box or mask or point or name or identity:
            raise typer.BadParameter("--category goes without --image, --box, --mask, --point, --name and --identity")
        find_masks(project, category, targets, refine, device, json_output=json_output)
        return
    from kinmark.projects.workflows.find_plan import FindOptions

    if variant not in _VARIANTS or mode not in _MODES:
        raise typer.BadParameter(f"--variant is one of {', '.join(_VARIANTS)}; --mode one of {', '.join(_MODES)}")
    settings = InstanceSettings(
        variant=variant,
        mode=mode,
        refine=refine,
        max_instances=instances,
        inversion_steps=None if inversion < 0 else inversion,
        threshold=None if threshold < 0 else threshold,
    )
    shown = _reference(image, box, mask, point) + _references(references)
    options = FindOptions(shown, _references(exclude), name, identity, targets, None, everything, backbone, settings)
    data = _search(project, options, where, workers, device, top)
    emit(data, as_json=json_output, render=lambda: _show(data))


def _reference(image: str, box: str, mask: Path | None, point: str) -> tuple[ReferenceSpec, ...]:
    """What --image and one of --box, --mask and --point say."""
    from kinmark.projects.workflows.find_plan import ReferenceSpec

    if sum(bool(x) for x in (box, mask, point)) > 1:
        raise typer.BadParameter("give only one of --box, --mask and --point")
    if not image:
        if box or mask or point:
            raise typer.BadParameter("--box, --mask and --point belong to --image")
        return ()
    xy = parse_numbers(point, 2, "--point") if point else None
    place = (xy[0], xy[1]) if xy else None
    return (ReferenceSpec(image, read_mask(mask) if mask else None, parse_box(box) if box else None, place),)


def _references(texts: list[str] | None) -> tuple[ReferenceSpec, ...]:
    """What --reference or --exclude say."""
    from kinmark.projects.workflows.find_plan import ReferenceSpec

    return tuple(ReferenceSpec(name, box=box) for name, box in map(parse_reference, texts or ()))


def _search(project: Path, options: FindOptions, where: str, workers: int, device: str, top: int) -> dict[str, Any]:
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.find import find as run_find

    progress = Progress("Searching photos")
    with Project.open(project) as opened, cancellable() as cancel, progress_bar(progress):
        config = EngineConfig(device=device, prompt_dirs=(opened.prompts_dir,))
        engine = engine_factory(where, config, workers=workers).open()
        try:
            outcome = run_find(opened, engine, options, progress=progress, cancel=cancel)
            info = engine.info()
        finally:
            engine.close()
    return outcome_data(outcome, top) | {"device": info.device, "dtype": info.dtype, "backbone": info.backbone}


def outcome_data(outcome: Any, top: int) -> dict[str, Any]:
    """JSON of a search: `results` best first; `here` False has no mask. Boxes are x0, y0, x1, y1; masks COCO RLE."""
    data = {k: v for k, v in vars(outcome).items() if k != "results"}
    data["results"] = [
        {
            "rank": rank,
            "image": row.file_name,
            "image_id": row.image_id,
            "here": row.mask is not None,
            "score": row.score,
            "confidence": row.confidence,
            "box": list(row.box) if row.box else None,
            "peak": list(row.peak_xy_image) if row.peak_xy_image else None,
            "mask": row.mask.to_coco() if row.mask is not None else None,
            "area": row.mask.area if row.mask is not None else 0,
            "seconds": row.seconds,
        }
        for rank, row in enumerate(outcome.results[:top], start=1)
    ]
    return data


def _show(data: dict[str, Any]) -> None:
    what = data["identity"] or data["category"]
    for row in data["results"]:
        if row["here"]:
            box = ",".join(f"{v:.0f}" for v in row["box"])
            typer.echo(f"{row['rank']:4}  {row['confidence']:5.0%}  {row['image']}  box {box}")
        else:
            typer.echo(f"{row['rank']:4}  {row['confidence']:5.0%}  {row['image']}  not here")
    narrowed = f" (shortlist of {data['shortlisted']})" if data["shortlisted"] < data["searched"] else ""
    typer.echo(
        f"{what}: {data['found']} pending masks in {data['searched']} photos{narrowed}, {data['seconds']:.1f} s "
        f"on {data['device']} {data['dtype']}"
    )
    if data["by_name"]:
        print_note(
            f"  searched by the word '{data['category']}' alone: the embedded backbone finds things by it, but hardly "
            "tells kinds apart; mark one on a photo (--image, --box) for a better list"
        )
    elif not data["calibrated"]:
        print_note("  confidence is uncalibrated: confirm or deny some suggestions to calibrate it")
    for failure in data["failures"]:
        print_note(f"  left out: {failure['error']}")


identities = typer.Typer(no_args_is_help=True, help="List, merge, rename, split or export identities.")


@identities.command("list")
def list_(project: DirArgument, json_output: JsonOption = False) -> None:
    """Identities with their confirmed and suggested photos."""
    from kinmark.projects.project import Project

    with Project.open(project, read_only=True) as opened:
        categories = {c.id: c.name for c in opened.queries.categories()}
        rows = [asdict(row) | {"category": categories.get(row.category_id or 0)} for row in opened.queries.identities()]

    def render() -> None:
        for row in rows:
            typer.echo(
                f"{row['name']}  ({row['category']}): {row['instance_count']} confirmed, {row['pending_count']} suggested"
            )
        if not rows:
            print_note("There is no identity yet: kinmark find ... --identity NAME makes one.")

    emit({"identities": rows}, as_json=json_output, render=render)


@identities.command()
def rename(
    project: DirArgument,
    old: Annotated[str, typer.Argument(help="Its name now.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    json_output: JsonOption = False,
) -> None:
    """Give an identity another name."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.identities import require_identity

    with Project.open(project) as opened:
        changes = opened.operations.rename_identity(require_identity(opened, old).id, new)
    emit({"renamed": changes.count, "name": new}, as_json=json_output, render=lambda: typer.echo(f"{old} is now {new}"))


@identities.command()
def merge(
    project: DirArgument,
    keep: Annotated[str, typer.Argument(help="The name that stays.")],
    others: Annotated[list[str], typer.Argument(help="They are the same individual as KEEP.")],
    json_output: JsonOption = False,
) -> None:
    """Several identities are one individual: their photos, suggestions and decisions go over to KEEP."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.identities import require_identity

    with Project.open(project) as opened:
        keeper = require_identity(opened, keep)
        changes = opened.operations.merge_identities(keeper.id, [require_identity(opened, o).id for o in others])
    text = f"{changes.count} merged into {keep}"
    emit({"merged": changes.count, "name": keep}, as_json=json_output, render=lambda: typer.echo(text))


@identities.command()
def split(
    project: DirArgument,
    name: Annotated[str, typer.Argument(help="The identity that is split.")],
    new: Annotated[str, typer.Argument(help="Name of the other individual.")],
    images: Annotated[list[str], typer.Argument(help="Photos whose instance is the other individual.")],
    json_output: JsonOption = False,
) -> None:
    """Some photos of an identity show another individual after all."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.identities import split_by_images

    with Project.open(project) as opened:
        moved = split_by_images(opened, name, new, images)
    text = f"{moved} instances of {name} are now {new}"
    emit({"moved": moved, "name": new}, as_json=json_output, render=lambda: typer.echo(text))


@identities.command()
def export(
    project: DirArgument,
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    name: Annotated[list[str] | None, typer.Option("--identity", help="Only this one (may be repeated).")] = None,
    suggested: Annotated[bool, typer.Option("--suggested", help="Also what is not confirmed yet.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Write crops, cut-outs, masks and a CSV of the confirmed instances."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.identities import export_identities

    progress = Progress("Exporting identities")
    with Project.open(project, read_only=True) as opened, cancellable() as cancel, progress_bar(progress):
        report = export_identities(
            opened, out, names=tuple(name or ()), suggested=suggested, progress=progress, cancel=cancel
        )

    def render() -> None:
        typer.echo(f"{report.instances} instances of {report.identities} identities in {out}")
        for line in report.skipped:
            print_note(f"  left out: {line}")

    emit(asdict(report) | {"out": str(out)}, as_json=json_output, render=render)
