"""`kinmark new add status accept reject undo redo relink backup`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.progress import Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.output import JsonOption, emit, print_note, progress_bar
from kinmark.projects.images import (
    AddReport,
    RelinkReport,
    add_paths,
    check_files,
    joined,
    relink_folder,
    relink_missing,
)
from kinmark.projects.project import Project
from kinmark.projects.remote_photos import add_addresses, split_addresses
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.queries import ImageFilter

DirArgument = Annotated[Path, typer.Argument(help="The project folder (NAME.kinmark).", metavar="DIR")]
CategoryOption = Annotated[str | None, typer.Option("--category", help="Only this category.")]
TargetsOption = Annotated[str, typer.Option("--targets", help="Only images whose path fits this pattern (* and ?).")]
KindOption = Annotated[str | None, typer.Option("--kind", help="Only keypoints, or only mask proposals.")]
NewCategoryOption = Annotated[str | None, typer.Option("--category", help="Name of a category to create.")]
KeypointsOption = Annotated[str, typer.Option("--keypoints", help="Its keypoints: a,b,c", metavar="A,B,C")]
PairsOption = Annotated[str, typer.Option("--pairs", help="Left/right pairs: l_ear=r_ear,...", metavar="L=R,...")]
SkeletonOption = Annotated[str, typer.Option("--skeleton", help="Skeleton lines: nose-tail,...", metavar="A-B,...")]
SHOWN = 20


def parse_schema(keypoints: str, pairs: str, skeleton: str) -> KeypointSchema:
    """`a,b,c`, `l=r,...`, `a-b,...` as a schema; a keypoint name may hold `-` as long as it can be told apart."""
    names = tuple(name.strip() for name in keypoints.split(",") if name.strip())
    index = {name: i for i, name in enumerate(names)}
    if (pairs or skeleton) and not names:
        raise UserInputError("Pairs or a skeleton were given without keypoints.", "Add --keypoints a,b,c.")
    return KeypointSchema(names, _links(skeleton, "-", index), _links(pairs, "=", index))


def _links(text: str, sign: str, index: dict[str, int]) -> tuple[tuple[int, int], ...]:
    links = []
    for item in (part.strip() for part in text.split(",") if part.strip()):
        cuts = [(item[:i].strip(), item[i + 1 :].strip()) for i, char in enumerate(item) if char == sign]
        fits = [(a, b) for a, b in cuts if a in index and b in index]
        if len(fits) != 1:
            known = ", ".join(index) or "none"
            raise UserInputError(
                said("{0} does not join two keypoints.", f"{item!r}"),
                said("Write A{0}B with names of: {1}.", sign, known),
            )
        links.append((index[fits[0][0]], index[fits[0][1]]))
    return tuple(links)


def new(
    folder: DirArgument,
    more_images: Annotated[list[Path] | None, typer.Argument(hidden=True)] = None,
    images: Annotated[list[Path] | None, typer.Option("--images", help="Photos or folders to add.")] = None,
    category: NewCategoryOption = None,
    keypoints: KeypointsOption = "",
    pairs: PairsOption = "",
    skeleton: SkeletonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Create a project folder.

    A folder given with --images becomes an image root: its photos are known by their path below it.
    """
    schema = parse_schema(keypoints, pairs, skeleton)
    if len(schema) and not category:
        raise UserInputError("Keypoints were given without a category.", "Add --category NAME.")
    paths = [*(images or []), *(more_images or [])]
    for path in paths:
        if not path.exists():
            raise UserInputError(said("There is no file or folder {0}.", path), "Check the path.")
    existed = folder.exists()
    project = Project.create(folder)
    try:
        with project:
            report = _add(project, paths) if paths else None
            if category:
                project.operations.add_category(category, schema)
            data = {"project": str(project.folder), **_added(report), **({"category": category} if category else {})}
    except BaseException:
        # Created empty a moment ago: a cancelled or failed `new` leaves nothing half-made behind.
        _remove_created(project.folder, keep_folder=existed)
        raise
    emit(data, as_json=as_json, render=lambda: _print_added(f"Created {data['project']}.", report))


def _remove_created(folder: Path, *, keep_folder: bool) -> None:
    if not keep_folder:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def add(
    folder: DirArgument,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Photos, folders (searched recursively), clips with --frames, or addresses (s3://BUCKET/FOLDER, gs://, sftp://, https://)."
        ),
    ] = None,
    frames: Annotated[
        str,
        typer.Option("--frames", help="Frames of clips: every=30, count=50, diverse=50 (unlike ones) or list=0,15,30."),
    ] = "",
    category: NewCategoryOption = None,
    keypoints: KeypointsOption = "",
    pairs: PairsOption = "",
    skeleton: SkeletonOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add photos, folders of photos or frames of clips; files that are no photos are skipped and listed."""
    addresses, files = split_addresses(paths or [])
    if not paths and not category:
        raise UserInputError("Nothing to add was given.", "Name photos, folders or a --category.")
    schema = parse_schema(keypoints, pairs, skeleton)
    with Project.open(folder) as project:
        report = _add_all(project, files, frames) if files else None
        if addresses:
            with cancellable() as cancel, progress_bar(Progress()) as progress:
                report = joined(report, add_addresses(project, addresses, progress=progress, cancel=cancel))
        if category:
            project.operations.add_category(category, schema)
        data = {"project": str(project.folder), **_added(report), **({"category": category} if category else {})}
    emit(data, as_json=as_json, render=lambda: _print_added("", report))


def _add_all(project: Project, paths: list[Path], frames: str) -> AddReport:
    """Photos and, with `frames`, the chosen frames of clips."""
    if not frames:
        return _add(project, paths)
    from kinmark.engine.api import EngineConfig, open_engine
    from kinmark.projects.videos import add_clip, parse_choice, split_clips

    choice = parse_choice(frames)
    clips, others = split_clips(paths)
    if not clips:
        raise UserInputError("--frames was given, but no clip.", "Name a clip (.mp4, .avi, .mov, .mkv ...).")
    with (
        cancellable() as cancel,
        progress_bar(Progress()) as progress,
        project.group(said("Add frames of {name}", name=clips[0].name)),
    ):
        reports = [add_paths(project, others, progress=progress, cancel=cancel)] if others else []
        for clip in clips:
            reports.append(
                add_clip(
                    project, clip, choice, engine=lambda: open_engine(EngineConfig()), progress=progress, cancel=cancel
                )
            )
    return joined(*reports)


def _add(project: Project, paths: list[Path]) -> AddReport:
    with cancellable() as cancel, progress_bar(Progress()) as progress:
        return add_paths(project, paths, progress=progress, cancel=cancel)


def _added(report: AddReport | None) -> dict[str, Any]:
    if report is None:
        return {"added": 0, "skipped": [], "duplicates": [], "notes": []}
    return {
        "added": len(report.image_ids),
        "skipped": list(report.skipped),
        "duplicates": [list(p) for p in report.duplicates],
        "notes": list(report.notes),
    }


def _print_added(head: str, report: AddReport | None) -> None:
    if head:
        typer.echo(head)
    if report is None:
        return
    typer.echo(f"{len(report.image_ids)} photos added.")
    if report.duplicates:
        typer.echo(f"{len(report.duplicates)} of them have the same content as another photo of the project.")
    _list("skipped", report.skipped)
    _list("note", report.notes)


def _list(what: str, items: tuple[str, ...]) -> None:
    for item in items[:SHOWN]:
        print_note(f"{what}: {item}")
    if len(items) > SHOWN:
        print_note(f"{what}: {len(items) - SHOWN} more (see --json)")


def status(
    folder: DirArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the photos and the database with the disk too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is done and what is pending. Works while another program has the project open."""
    with Project.open(folder, read_only=True) as project:
        data = project_status(project)
        if check:
            with cancellable() as cancel, progress_bar(Progress()) as progress:
                files = check_files(project, progress=progress, cancel=cancel)
            cut_off = [row.file_name for row in project.queries.images_by_id(files.cut_off).values()]
            data["files"] = {"changed": len(files.changed), "missing": len(files.missing), "cut_off": cut_off}
            data["problems"] = project.check_integrity()
    emit(data, as_json=as_json, render=lambda: _print_status(data))


def project_status(project: Project) -> dict[str, Any]:
    """Numbers of a project as JSON-able data."""
    queries = project.queries
    counts = queries.counts()
    instances = queries.instance_counts()
    pending = queries.pending_counts()
    return {
        "project": str(project.folder),
        "name": project.name,
        "images": {n: getattr(counts, n) for n in ("all", "unseen", "pending", "partly", "done", "nothing", "doubt")},
        "instances": counts.instances,
        "keypoints": counts.keypoints,
        "masks": counts.masks,
        "all_labelled": {"yes": counts.exhaustive, "no": counts.not_exhaustive},
        "categories": [
            {
                "name": category.name,
                "keypoints": list(category.schema.names),
                "instances": instances.get(category.id, 0),
                "pending": pending.get(category.id, 0),
                "in_a_photo": category.instances,
                "most_in_a_photo": queries.most_in_a_photo(category.id),
            }
            for category in queries.categories()
        ],
        "identities": [
            {"name": i.name, "instances": i.instance_count, "pending": i.pending_count} for i in queries.identities()
        ],
        "undo": project.undo_name,
        "redo": project.redo_name,
    }


def _print_status(data: dict[str, Any]) -> None:
    images = data["images"]
    typer.echo(f"{data['name']}  ({data['project']})")
    typer.echo(
        f"photos: {images['all']}   done {images['done']}, partly {images['partly']}, "
        f"pending {images['pending']} (doubtful {images['doubt']}), nothing here {images['nothing']}, unseen {images['unseen']}"
    )
    typer.echo(f"accepted: {data['instances']} instances, {data['keypoints']} keypoints, {data['masks']} masks")
    for category in data["categories"]:
        typer.echo(
            f"  {category['name']}: {len(category['keypoints'])} keypoints, {category['instances']} accepted, "
            f"{category['pending']} proposed; in a photo: {category['in_a_photo']}, at most {category['most_in_a_photo']} labelled"
        )
    if any(data["all_labelled"].values()):
        typer.echo(f"all labelled: in {data['all_labelled']['yes']} photos, not in {data['all_labelled']['no']}")
    for identity in data["identities"]:
        typer.echo(f"  {identity['name']}: {identity['instances']} confirmed, {identity['pending']} proposed")
    if "files" in data:
        cut_off = data["files"]["cut_off"]
        names = f" ({', '.join(cut_off[:SHOWN])})" if cut_off else ""
        typer.echo(
            f"files: {data['files']['changed']} changed, {data['files']['missing']} missing, {len(cut_off)} cut off{names}"
        )
        typer.echo("database: " + ("; ".join(data["problems"]) or "in order"))
    if data["undo"]:
        typer.echo(f"undo: {data['undo']}")
    if data["redo"]:
        typer.echo(f"redo: {data['redo']}")


def _filters(project: Project, category: str | None, targets: str, kind: str | None) -> dict[str, Any]:
    kinds = {None: None, "keypoints": "keypoints", "mask": "mask", "masks": "mask"}
    if kind not in kinds:
        raise UserInputError(
            said("There are no proposals of the kind {0}.", f"{kind!r}"), "Use --kind keypoints or --kind mask."
        )
    category_id = project.queries.require_category(category).id if category else None
    image_ids = project.queries.image_ids(ImageFilter(glob=targets)) if targets else None
    if image_ids is not None and not image_ids:
        raise UserInputError(
            said("No photo of the project fits {0}.", f"{targets!r}"), "Patterns are of the path below the image root."
        )
    return {"category_id": category_id, "image_ids": image_ids, "kind": kinds[kind]}


def accept(
    folder: DirArgument,
    min_confidence: Annotated[
        float, typer.Option("--min-confidence", help="Accept keypoints and masks from this on (0..1).")
    ],
    category: CategoryOption = None,
    targets: TargetsOption = "",
    kind: KindOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be accepted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Accept pending proposals above a confidence, keypoint by keypoint; the rest stays pending."""
    with Project.open(folder, read_only=dry_run) as project:
        filters = _filters(project, category, targets, kind)
        if dry_run:
            count, precision, _ = project.queries.preview_accept(
                min_confidence, category_id=filters["category_id"], image_ids=filters["image_ids"]
            )
            data = {"would_accept_keypoints": count, "expected_precision": precision}
            emit(data, as_json=as_json)
            return
        changes = project.operations.accept_proposals(min_confidence=min_confidence, **filters)
        data = {
            "accepted": changes.count,
            "instances": len(changes.ids),
            "images": len(changes.image_ids),
            "pending_proposals": project.queries.count_proposals(),
        }
    emit(
        data,
        as_json=as_json,
        render=lambda: typer.echo(
            f"{changes.name} in {data['images']} photos; {data['pending_proposals']} proposals are still pending."
        ),
    )


def reject(
    folder: DirArgument,
    max_confidence: Annotated[
        float | None, typer.Option("--max-confidence", help="Only keypoints and masks under this confidence.")
    ] = None,
    category: CategoryOption = None,
    targets: TargetsOption = "",
    kind: KindOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Reject every pending proposal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Reject pending proposals; they are not proposed again on the same evidence."""
    if not everything and max_confidence is None and not category and not targets and not kind:
        raise UserInputError(
            "What to reject was not said.", "Use --max-confidence X, --category NAME, --targets GLOB, --kind or --all."
        )
    with Project.open(folder) as project:
        filters = _filters(project, category, targets, kind)
        changes = project.operations.reject_proposals(max_confidence=max_confidence, **filters)
        data = {
            "rejected": changes.count,
            "images": len(changes.image_ids),
            "pending_proposals": project.queries.count_proposals(),
        }
    emit(
        data,
        as_json=as_json,
        render=lambda: typer.echo(
            f"{changes.name} in {data['images']} photos; {data['pending_proposals']} proposals are still pending."
        ),
    )


def undo(folder: DirArgument, as_json: JsonOption = False) -> None:
    """Undo the last operation."""
    with Project.open(folder) as project:
        _print_travel("undone", project.undo(), as_json)


def redo(folder: DirArgument, as_json: JsonOption = False) -> None:
    """Redo the operation undone last."""
    with Project.open(folder) as project:
        _print_travel("redone", project.redo(), as_json)


def _print_travel(word: str, changes: OpChanges | None, as_json: bool) -> None:
    data = {word: changes.name if changes else None, "images": len(changes.image_ids) if changes else 0}
    text = f"{word.capitalize()}: {changes.name}." if changes else f"There is nothing to be {word}."
    emit(data, as_json=as_json, render=lambda: typer.echo(text))


def relink(
    folder: DirArgument,
    place: Annotated[Path, typer.Argument(help="Where the photos are now.", metavar="FOLDER")],
    root: Annotated[int | None, typer.Option("--root", help="Number of the image root that moved as a whole.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Point the project to photos that were moved: a whole image root, or every missing photo found by its content."""
    if not place.is_dir():
        raise UserInputError(said("There is no folder {0}.", place), "Name the folder that holds the photos now.")
    with Project.open(folder) as project, cancellable() as cancel:
        check_files(project, cancel=cancel)
        roots = project.queries.roots()
        gone = [id_ for id_, path in roots.items() if not path.is_dir()]
        if root is None and len(gone) == 1 and project.queries.root_fits(gone[0], place):
            root = gone[0]
        if root is not None and root not in roots:
            raise UserInputError(
                said("There is no image root {0}.", root), said("The project has: {0}.", ", ".join(map(str, roots)))
            )
        report = (
            relink_folder(project, root, place) if root is not None else relink_missing(project, place, cancel=cancel)
        )
        data = {"found": report.found, "lost": list(report.lost)}
    emit(
        data,
        as_json=as_json,
        render=lambda: _print_relinked(report),
    )


def _print_relinked(report: RelinkReport) -> None:
    typer.echo(f"{report.found} photos found.")
    _list("still missing", report.lost)


def backup(
    folder: DirArgument,
    list_: Annotated[bool, typer.Option("--list", help="List the backups.")] = False,
    restore: Annotated[
        str | None, typer.Option("--restore", help="Put back this backup, or 'newest' for the last good one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make, list or restore backups of the database."""
    from kinmark.projects.store.backup import backups_of

    if list_:
        names = [path.name for path in backups_of(folder)]
        emit({"backups": names}, as_json=as_json, render=lambda: typer.echo("\n".join(names) or "No backups yet."))
        return
    if restore:
        which = None if restore == "newest" else folder / "backups" / Path(restore).name
        used = Project.restore_backup(folder, which)
        emit({"restored": used.name}, as_json=as_json, render=lambda: typer.echo(f"Restored {used.name}."))
        return
    with Project.open(folder) as project:
        made = project.back_up()
    emit({"backup": str(made)}, as_json=as_json, render=lambda: typer.echo(f"Wrote {made}."))
