"""Import annotations: read the file wholly, plan, then write everything in one undoable step, or nothing.

`preview` is the dry run. The photos' own files are only read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import file_sha256
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.formats.dataset import DatasetInstance, Report
from kinmark.projects.formats.recognise import recognise
from kinmark.projects.formats.registry import get_format
from kinmark.projects.project import Project
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import NewInstance, NewKeypoint
from kinmark.projects.store.rows import CategoryRow
from kinmark.projects.workflows.image_match import ImageMatch
from kinmark.projects.workflows.import_plan import (
    EXIF_CHOICES,
    ImportPlan,
    InstancePlan,
    PlanOptions,
    differs,
    make_plan,
)

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


def preview(
    project: Project,
    path: Path,
    options: ImportOptions = ImportOptions(),
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> ImportResult:
    """The dry run: what `import_file` would do; nothing is written."""
    return _result(project, _plan(project, path, options, progress, cancel), options.as_proposals)


def import_file(
    project: Project,
    path: Path,
    options: ImportOptions = ImportOptions(),
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> ImportResult:
    """Merge `path` into the project as one undoable step; an error or a cancellation leaves nothing behind.

    Raises:
        ImportFileError: the file is damaged (names file and item).
        UserInputError: image sizes contradict, an unknown format, a photo that cannot be told apart.
    """
    plan = _plan(project, path, options, progress, cancel)
    result = _result(project, plan, options.as_proposals)
    if result.nothing:
        return result  # no category, no undo step: as if it had not been tried
    with project.group(said("Import {name}", name=path.name)) as op:
        PlanWriter(project, path, options.as_proposals).write(plan, progress, cancel)
    result.changes = op.changes
    _keep_source_fields(project, plan)
    return result


def _plan(
    project: Project, path: Path, options: ImportOptions, progress: Progress | None, cancel: CancelToken | None
) -> ImportPlan:
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
        dataset, report = get_format(options.format).reader(path, read, progress, cancel)
    except ImportFileError as error:
        _say_other_format(path, options.format, error)
        raise
    own_root = report.extra.get("images_root")
    wanted = PlanOptions(
        root,
        Path(own_root) if own_root else None,
        path if path.is_dir() else path.absolute().parent,
        options.exif,
        options.overwrite,
        options.skip_bad,
        options.as_proposals,
        options.exif_of,
    )
    return make_plan(project, dataset, report, wanted, progress=progress, cancel=cancel)


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


class PlanWriter:
    """Writes a plan inside an open group."""

    def __init__(self, project: Project, path: Path, as_proposals: bool) -> None:
        self._project, self._path, self._as_proposals = project, path, as_proposals
        self._spec: RunSpec | None = None

    def write(self, plan: ImportPlan, progress: Progress | None, cancel: CancelToken | None) -> None:
        """Categories, images, instances, proposals, then splits, tags and "nothing here"."""
        self._write_categories(plan)
        ids = self._write_images(plan)
        categories = {row.name: row for row in self._project.queries.categories()}
        identities = self._write_identities(plan, categories)
        new: list[NewInstance] = []
        for match, plans, image_id in zip(plan.images, plan.instances, ids, strict=True):
            if cancel is not None:
                cancel.check()
            for item in plans:
                if item.verdict == "added" and not (self._as_proposals or item.instance.proposal):
                    new.append(_new_instance(item.instance, image_id, categories, identities))
                elif item.verdict == "changed":
                    self._change(item, categories, identities)
            del match
        if progress is not None:
            progress.start("Storing", 0)
        if new:
            self._project.operations.add_instances(new)
        self._write_proposals(plan, ids, categories, identities)
        self._write_image_words(plan, ids, categories)

    def _write_categories(self, plan: ImportPlan) -> None:
        operations, known = self._project.operations, {row.name: row for row in self._project.queries.categories()}
        for name, category in plan.categories.items():
            if name in plan.new_categories:
                source = str(category.original_id) if category.original_id is not None else None
                extra = {**category.extra, "sigmas": list(category.sigmas)} if category.sigmas else category.extra
                operations.add_category(
                    name, category.schema, supercategory=category.supercategory, source_id=source, extra=dict(extra)
                )
            elif name in plan.changed_categories:
                operations.edit_schema(known[name].id, category.schema)

    def _write_images(self, plan: ImportPlan) -> list[int]:
        fresh = [_with_source(m) for m in plan.images if m.new is not None]
        ids = iter(self._project.operations.add_images(fresh).ids if fresh else ())
        return [m.row.id if m.row is not None else next(ids) for m in plan.images]

    def _write_identities(self, plan: ImportPlan, categories: dict[str, CategoryRow]) -> dict[str, int]:
        known = {row.name: row.id for row in self._project.queries.identities()}
        for plans in plan.instances:
            for item in plans:
                name = item.instance.identity if item.verdict == "added" or item.take_identity else ""
                if name and name not in known:
                    category = categories[item.instance.category].id
                    known[name] = self._project.operations.add_identity(name, category).ids[0]
        return known

    def _change(self, item: InstancePlan, categories: dict[str, CategoryRow], identities: dict[str, int]) -> None:
        operations, row = self._project.operations, item.existing
        if row is None:
            return
        category = categories[item.instance.category]
        if item.keypoints:
            chosen = {n: item.instance.keypoints[n] for n in item.keypoints}
            operations.set_keypoints(row.id, _keypoints(replace(item.instance, keypoints=chosen), category))
        if item.take_mask:
            operations.set_mask(row.id, item.instance.mask, origin="imported")
        if item.take_box:
            operations.set_box(row.id, item.instance.box)
        if item.take_identity and item.instance.identity in identities:
            operations.assign_identity([row.id], identities[item.instance.identity])

    def _write_proposals(
        self, plan: ImportPlan, ids: Sequence[int], categories: dict[str, CategoryRow], identities: dict[str, int]
    ) -> None:
        keypoints: dict[str, list[InstanceProposal]] = {}
        masks: dict[tuple[str, int | None], list[MaskProposal]] = {}
        for plans, image_id in zip(plan.instances, ids, strict=True):
            for item in plans:
                instance = item.instance
                if not (self._as_proposals or instance.proposal):
                    continue
                if instance.keypoints:
                    keypoints.setdefault(instance.category, []).append(self._keypoint_proposal(instance, image_id))
                if instance.mask is not None:
                    key = (instance.category, identities.get(instance.identity))
                    masks.setdefault(key, []).append(self._mask_proposal(instance, image_id))
                if not instance.keypoints and instance.mask is None:
                    plan.report.add(
                        "skipped", f"image {image_id}", "a proposal without keypoints and mask proposes nothing"
                    )
        # One job name: several instances of one image do not replace each other.
        job = f"import:{self._run_spec().fingerprint()}"
        for name, proposals in keypoints.items():
            self._project.operations.add_keypoint_proposals(
                proposals, categories[name].id, job=job, instance_ids=[None] * len(proposals)
            )
        for (name, identity), found in masks.items():
            self._project.operations.add_mask_proposals(found, categories[name].id, identity_id=identity, job=job)

    def _run_spec(self) -> RunSpec:
        if self._spec is None:
            revision = file_sha256(self._path)[:20] if self._path.is_file() else ""
            self._spec = RunSpec("import", self._path.name, revision)
        return self._spec

    def _keypoint_proposal(self, instance: DatasetInstance, image_id: int) -> InstanceProposal:
        overall = 1.0 if instance.score is None else instance.score
        rows = []
        for name, k in instance.keypoints.items():
            score = overall if k.score is None else k.score
            x, y = (k.x, k.y) if k.x is not None and k.y is not None else (math.nan, math.nan)
            rows.append(KeypointProposal(name, x, y, score, k.visibility, KeypointSignals(score, 0.0)))
        spec = self._run_spec()
        return InstanceProposal("import", str(image_id), instance.category, tuple(rows), overall, instance.box, spec)

    def _mask_proposal(self, instance: DatasetInstance, image_id: int) -> MaskProposal:
        score = 1.0 if instance.score is None else instance.score
        box = instance.box if instance.box is not None or instance.mask is None else instance.mask.box
        return MaskProposal("import", str(image_id), score, score, instance.mask, box, self._run_spec())

    def _write_image_words(self, plan: ImportPlan, ids: Sequence[int], categories: dict[str, CategoryRow]) -> None:
        operations = self._project.operations
        splits = {i: m.image.split for m, i in zip(plan.images, ids, strict=True) if m.image.split}
        if splits:
            operations.set_split(dict(splits))
        tags: dict[str, list[int]] = {}
        nothing: dict[str, list[int]] = {}
        for match, image_id in zip(plan.images, ids, strict=True):
            for tag in match.image.tags:
                tags.setdefault(tag, []).append(image_id)
            for name in match.image.nothing_here:
                nothing.setdefault(name, []).append(image_id)
        for tag, images in tags.items():
            operations.tag(tag, images)
        self._write_exhaustive(plan, ids, categories)
        for name, images in nothing.items():
            if name == "*":
                operations.mark_nothing_here(images)
            elif name in categories:
                operations.mark_nothing_here(images, categories[name].id)

    def _write_exhaustive(self, plan: ImportPlan, ids: Sequence[int], categories: dict[str, CategoryRow]) -> None:
        """Where all are labelled, or not all; what a person said in the project stays."""
        for name, holds in sorted({told for match in plan.images for told in match.image.exhaustive.items()}):
            if name not in categories:
                continue
            known = self._project.queries.exhaustive(category_id=categories[name].id)
            images = []
            for match, image_id in zip(plan.images, ids, strict=True):
                if match.image.exhaustive.get(name) is not holds:
                    continue
                if known.get(image_id, {}).get(categories[name].id, holds) is holds:
                    images.append(image_id)
                else:
                    said = "not all are labelled" if holds else "all are labelled"
                    plan.report.add("kept", str(match.image.rel_path), f"{name}: the project says that {said}")
            self._project.operations.set_exhaustive(images, categories[name].id, holds)


def _with_source(match: ImageMatch) -> Any:
    source = str(match.image.original_id) if match.image.original_id is not None else None
    return replace(match.new, source_id=source) if match.new is not None else None


def _keypoints(instance: DatasetInstance, category: CategoryRow) -> tuple[NewKeypoint, ...]:
    rows = []
    for name, keypoint in instance.keypoints.items():
        definition = category.definition(name)
        if definition is not None:
            rows.append(NewKeypoint(definition.id, keypoint.x, keypoint.y, int(keypoint.visibility), "imported"))
    return tuple(rows)


def _new_instance(
    instance: DatasetInstance, image_id: int, categories: dict[str, CategoryRow], identities: dict[str, int]
) -> NewInstance:
    category = categories[instance.category]
    extra = dict(instance.extra) | ({"crowd": True} if instance.crowd else {})
    if instance.score is not None:
        extra["score"] = instance.score
    return NewInstance(
        image_id,
        category.id,
        _keypoints(instance, category),
        instance.box,
        instance.mask,
        identities.get(instance.identity),
        "imported",
        str(instance.original_id) if instance.original_id is not None else None,
        extra,
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
            limit = f"at most {MAX_KEPT_EXTRAS} photos keep such fields"
            plan.report.count("lost", "further fields of a photo", name, limit)
    if kept["dataset"] or kept["images"]:
        project.operations.set_setting(SOURCE_KEY, kept)
