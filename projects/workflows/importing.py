"""Import annotations: read the file wholly, plan, then write everything in one undoable step, or nothing.

`preview` is the dry run. The photos' own files are only read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.file_names import shown
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.formats.dataset import DatasetInstance, Report
from kinmark.projects.formats.recognise import recognise
from kinmark.projects.formats.registry import get_format
from kinmark.projects.project import Project
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.workflows.import_plan import (
    EXIF_CHOICES,
    ImportPlan,
    Planner,
    PlanOptions,
    differs,
)
from kinmark.projects.workflows.import_writer import PlanWriter

SOURCE_KEY = "formats.source"
MAX_KEPT_EXTRAS = 20_000
"""Images whose foreign fields (licence, URL ...) are kept for re-export; they are not worth more than some megabytes."""


@dataclass(frozen=True)
class ImportOptions:
    """What to import and how.

    Attributes:
        format: name in `kinmark.projects.formats.registry`.
        images_root: folder that the file's image paths are relative to (None: look in the project, then near the file).
        as_proposals: everything comes in as pending proposals instead of accepted labels.
        overwrite: where an accepted value differs from the file's, take the file's (else the project's stays).
        skip_bad: leave damaged items out (each is reported) instead of refusing the whole file.
        exif: what to do when sizes say that labels were drawn on the unrotated picture: ask (refuse), rotate, keep.
        exif_of: (pattern, choice) for photos of which something else is true than `exif` says; the first that fits counts.
        read: further options of the reader.
    """

    format: str = "coco"
    images_root: Path | None = None
    as_proposals: bool = False
    overwrite: bool = False
    skip_bad: bool = False
    exif: str = "ask"
    exif_of: tuple[tuple[str, str], ...] = ()
    read: ReadOptions = ReadOptions()


@dataclass
class ImportResult:
    """Counts of instances (added, changed, kept, skipped) and images, the report, and the operation (None: dry run)."""

    added: int
    changed: int
    kept: int
    skipped: int
    images_added: int
    images_matched: int
    categories_added: list[str]
    report: Report
    changes: OpChanges | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether the import brings nothing in: no label although the file has some, or nothing at all.

        Photos and categories alone are worth an import only when the file says no more than them.
        """
        if self.added or self.changed or self.kept:
            return False
        left_out = self.skipped > 0 or any(item.kind == "skipped" for item in self.report.items)
        return left_out or not (self.images_added or self.images_matched)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "nothing": self.nothing,
            "added": self.added,
            "changed": self.changed,
            "kept": self.kept,
            "skipped": self.skipped,
            "images_added": self.images_added,
            "images_matched": self.images_matched,
            "categories_added": self.categories_added,
            "dry_run": self.changes is None,
            "report": self.report.to_json(),
        }


class LabelImport:
    """Importing a label file piece by piece, so that a window lets urgent work in between; its thread owns it.

    All or nothing: steps read the file and decide what becomes of each photo, the last one stores everything as one undoable
    step. A file is read in one piece, and stored in one. Whoever stops in between has changed nothing
    (docs/adr/0020-an-import-is-stored-whole.md).

    The project may change between two steps. What was decided on an older state is decided again in the transaction that
    stores it: else a photo that was added meanwhile would be added twice, or a label set on what is gone.

    Attributes:
        result: what the import did, or would do (`dry`), when all steps are done.
    """

    def __init__(
        self,
        project: Project,
        path: Path,
        options: ImportOptions = ImportOptions(),
        *,
        dry: bool = False,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self.result: ImportResult | None = None
        self._project, self._path, self._options, self._dry = project, _file_in(path, options.format), options, dry
        self._progress, self._cancel = progress, cancel or CancelToken()
        self._planner: Planner | None = None

    def step(self, limit: int | None = None) -> None:
        """Read the file, or look at its next `limit` photos (None: all that are left), or store what was decided.

        Raises:
            ImportFileError: the file is damaged (names file and item).
            UserInputError: image sizes contradict, an unknown format, a photo that cannot be told apart.
            OperationCancelled: nothing was changed.
        """
        self._cancel.check()
        if self._planner is None:
            self._read()
        elif self._planner.left:
            self._planner.step(limit)
        else:
            self.result = self._decided(self._planner.plan) if self._dry else self._store(self._planner.plan)

    def _read(self) -> None:
        options = self._options
        for choice in (options.exif, *(choice for _, choice in options.exif_of)):
            if choice not in EXIF_CHOICES:
                raise UserInputError(
                    said('There is no EXIF choice "{0}".', choice), said("Use one of: {0}.", ", ".join(EXIF_CHOICES))
                )
        root = options.images_root
        if root is not None and not root.is_dir():
            raise UserInputError(said("The image folder {0} is not there.", root), "Check --images.")
        read = replace(
            options.read, images_root=root, skip_bad=options.skip_bad, exif=options.exif, exif_of=options.exif_of
        )
        try:
            found = get_format(options.format).reader(self._path, read, self._progress, self._cancel)
        except ImportFileError as error:
            _say_other_format(self._path, options.format, error)
            raise
        self._dataset, self._report = found
        self._planner = self._new_planner()

    def _new_planner(self) -> Planner:
        options, own_root = self._options, self._report.extra.get("images_root")
        wanted = PlanOptions(
            options.images_root,
            Path(own_root) if own_root else None,
            self._path if self._path.is_dir() else self._path.absolute().parent,
            options.exif,
            options.overwrite,
            options.skip_bad,
            options.as_proposals,
            options.exif_of,
        )
        self._decided_on = self._project.committed()
        return Planner(
            self._project, self._dataset, self._report.copy(), wanted, progress=self._progress, cancel=self._cancel
        )

    def _decided(self, plan: ImportPlan) -> ImportResult:
        return _result(self._project, plan, self._options.as_proposals)

    def _store(self, plan: ImportPlan) -> ImportResult:
        result = self._decided(plan)
        if result.nothing:
            return result  # no category, no undo step: as if it had not been tried
        project = self._project
        with project.cancellable(self._cancel), project.group(said("Import {name}", name=shown(self._path.name))) as op:
            if project.committed() != self._decided_on:  # nobody else writes from here on
                planner = self._new_planner()
                planner.step()
                plan = planner.plan
                result = self._decided(plan)
            if not result.nothing:
                PlanWriter(project, self._path, self._options.as_proposals).write(plan, self._progress, self._cancel)
        if not result.nothing:
            result.changes = op.changes
            _keep_source_fields(project, plan)
        return result


def _file_in(path: Path, wanted: str) -> Path:
    """The label file itself where the folder of an export is given for a format of one file."""
    found = recognise(path) if path.is_dir() else None
    alike = {"coco": "coco-wholebody"}
    fits = found is not None and wanted in (found.format, alike.get(found.format))
    return found.path if found is not None and fits and found.path.is_file() else path


def preview(
    project: Project,
    path: Path,
    options: ImportOptions = ImportOptions(),
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> ImportResult:
    """The dry run: what `import_file` would do; nothing is written."""
    return _all_steps(LabelImport(project, path, options, dry=True, progress=progress, cancel=cancel))


def import_file(
    project: Project,
    path: Path,
    options: ImportOptions = ImportOptions(),
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> ImportResult:
    """Merge `path` into the project as one undoable step; an error or a cancellation leaves nothing behind.

    All steps of a `LabelImport` in a row; raises what they raise.
    """
    return _all_steps(LabelImport(project, path, options, progress=progress, cancel=cancel))


def _all_steps(importing: LabelImport) -> ImportResult:
    while importing.result is None:
        importing.step()
    return importing.result


def _say_other_format(path: Path, wanted: str, error: ImportFileError) -> None:
    """A file that looks like one of another format gets that as hint: mostly --format was forgotten."""
    found = recognise(path)
    alike = {"coco": "coco-wholebody", "yolo-pose": "yolo-seg"}
    if found is not None and wanted not in (found.format, alike.get(found.format)):
        error.hint = said("It looks like {0}: try --format {0}. {1}", found.format, error.hint)


def _scores(instance: DatasetInstance) -> int:
    return sum(k.score is not None for k in instance.keypoints.values())


def _result(project: Project, plan: ImportPlan, as_proposals: bool) -> ImportResult:
    rows = {row.id: row for row in project.queries.categories()}
    for match, plans in zip(plan.images, plan.instances, strict=True):
        for item in plans:
            scores = 0 if item.instance.proposal or as_proposals else _scores(item.instance)
            if scores:
                where = str(match.image.rel_path)
                plan.report.count("lost", "confidence of a keypoint", where, "accepted labels have none", scores)
            if item.existing is not None and differs(item, lambda id_: rows[id_]):
                plan.report.add(
                    "kept", str(match.image.rel_path), "the project's labels differ from the file's and stay"
                )
    done = sum(len(plans) for plans in plan.instances)
    told = sum(len(image.instances) for image in plan.dataset.images)
    return ImportResult(
        plan.count("added"),
        plan.count("changed"),
        plan.count("kept"),
        told - done,
        sum(m.new is not None for m in plan.images),
        sum(m.row is not None for m in plan.images),
        [] if not done and told else plan.new_categories,
        plan.report,
    )


def _keep_source_fields(project: Project, plan: ImportPlan) -> None:
    """Foreign fields of the file (info, licences, image URLs) for re-export; a convenience outside undo."""
    kept = project.queries.setting(SOURCE_KEY) or {"dataset": {}, "images": {}}
    kept["dataset"] = {**plan.dataset.extra, **kept["dataset"]}
    by_name = {m.image.rel_path: m for m in plan.images}
    rows = {
        m.row.file_name if m.row is not None else m.new.rel_path if m.new is not None else "": m
        for m in by_name.values()
    }
    for name, match in rows.items():
        values = dict(match.image.extra)
        if match.row is not None and match.image.original_id is not None:
            values["original_id"] = match.image.original_id
        if not any(values.values()):
            continue
        if len(kept["images"]) < MAX_KEPT_EXTRAS:
            kept["images"].setdefault(name, values)
        elif name not in kept["images"]:
            limit = said("at most {0} photos keep such fields", MAX_KEPT_EXTRAS)
            plan.report.count("lost", "further fields of a photo", name, limit)
    if kept["dataset"] or kept["images"]:
        project.operations.set_setting(SOURCE_KEY, kept)
