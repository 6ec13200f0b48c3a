"""Export annotations: read the project into the neutral data set, say what will be lost, write, re-read.

An export never changes the project. Ids stay the same from export to export: ids that came with an import are kept, our
own are the database's (moved out of the way where an imported id has the same number).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from kinmark.engine import remote
from kinmark.engine.domain.errors import UnreadableImageError, UserInputError
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_cut_off
from kinmark.projects.formats.base import WriteOptions, begin, tick
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
    ReportItem,
)
from kinmark.projects.formats.registry import get_format
from kinmark.projects.places import instance_limit
from kinmark.projects.project import Project
from kinmark.projects.store.rows import CategoryRow, ImageRow, InstanceRow, ProposalRow
from kinmark.projects.videos import SETTING as VIDEOS
from kinmark.projects.videos import frame_of
from kinmark.projects.workflows.importing import SOURCE_KEY

PAGE = 500
_OWN_ID_OFFSET = 1_000_000_000


@dataclass(frozen=True)
class ExportOptions:
    """What goes out.

    Attributes:
        format: name in `kinmark.projects.formats.registry`.
        with_proposals: pending proposals too, marked as such where the format can.
        categories: only these (empty = all); splits: only images of these splits (empty = all).
        only_labelled: leave images without anything to export out.
        write: options of the writer.
    """

    format: str = "coco"
    with_proposals: bool = False
    categories: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    only_labelled: bool = False
    write: WriteOptions = WriteOptions()


def export_project(
    project: Project,
    out: Path,
    options: ExportOptions = ExportOptions(),
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write the project to the folder `out`; the report says "N images, M instances, K skipped because ..."."""
    spec = get_format(options.format)
    writer = spec.writer
    if out.is_file():
        raise UserInputError(said("{0} is a file; an export needs a folder.", out), "Choose another place.")
    dataset, items = project_dataset(project, options, progress=progress, cancel=cancel)
    report = writer(dataset, out, options.write, progress, cancel)
    report.items = items + spec.common_losses(dataset) + report.items
    report.extra["summary"] = summary(report)
    return report


def preview_export(project: Project, options: ExportOptions = ExportOptions()) -> list[ReportItem]:
    """What an export would lose and decide, asked before anything is written; UserInputError when it could write nothing."""
    dataset, items = project_dataset(project, options)
    spec = get_format(options.format)
    told = items + spec.common_losses(dataset) + spec.losses(dataset, options.write)
    if spec.pictures or options.write.copy_images:
        told += _broken_photos(dataset)
    return told + spec.rehearse(dataset, options.write)


def _broken_photos(dataset: Dataset) -> list[ReportItem]:
    """Photos that cannot be written. Those at an address are asked when they are: a look would download every one."""
    told = []
    for image in dataset.images:
        source = Path(image.source_path)
        if not image.source_path or remote.url_of(source) is not None:
            continue
        try:
            why = "the photo is cut off (a broken copy?): it cannot be written" if is_cut_off(source) else ""
        except UnreadableImageError as error:
            why = error.user_message
        if why:
            told.append(ReportItem("skipped", str(image.rel_path), why))
    return told


def summary(report: Report) -> str:
    """One sentence: "252 images, 240 instances, 12 skipped because ..."."""
    skipped = [item for item in report.items if item.kind == "skipped"]
    text = f"{report.images} images, {report.instances} instances"
    if skipped:
        reasons = Counter(item.reason for item in skipped)
        text += f", {len(skipped)} skipped because " + "; ".join(f"{r} ({n})" for r, n in reasons.most_common(3))
    return text


def project_dataset(
    project: Project,
    options: ExportOptions = ExportOptions(),
    *,
    own_ids: bool = True,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, list[ReportItem]]:
    """The project (or the chosen part) as neutral data set, and what could not be taken along.

    Without `own_ids` only ids that came with an import stand in `original_id`.
    """
    return _Collector(project, options, own_ids).collect(progress, cancel)


def instance_of(row: InstanceRow, category: CategoryRow, identity: str) -> DatasetInstance:
    """An accepted instance as the neutral data set has it (without labels of retired keypoints)."""
    names = {d.id: d.name for d in category.definitions}
    keypoints = {
        names[k.definition_id]: _keypoint(k.x, k.y, k.visibility) for k in row.keypoints if k.definition_id in names
    }
    extra = dict(row.extra)
    crowd, score = bool(extra.pop("crowd", False)), extra.pop("score", None)
    return DatasetInstance(
        category.name,
        keypoints,
        row.box,
        row.mask.rle if row.mask is not None else None,
        identity,
        crowd,
        False,
        score if isinstance(score, float) else None,
        _number(row.source_id) or _Own(row.id),
        row.origin,
        extra,
    )


class _Collector:
    """Reads the project a page at a time."""

    def __init__(self, project: Project, options: ExportOptions, own_ids: bool = True) -> None:
        self._project, self._options, self._own_ids = project, options, own_ids
        queries = project.queries
        rows = queries.categories()
        for name in options.categories:
            queries.require_category(name)
        self._categories = [r for r in rows if not options.categories or r.name in options.categories]
        self._by_id = {row.id: row for row in self._categories}
        self._names = {d.id: d.name for row in self._categories for d in row.definitions}
        self._identities = {row.id: row.name for row in queries.identities()}
        self._splits = queries.splits()
        self._nothing: dict[int, list[str]] = {}
        for image_id, category_id in queries.nothing_here():
            if category_id is None or category_id in self._by_id:
                name = "*" if category_id is None else self._by_id[category_id].name
                self._nothing.setdefault(image_id, []).append(name)
        self._said = {
            image_id: {self._by_id[i].name: holds for i, holds in said.items() if i in self._by_id}
            for image_id, said in queries.exhaustive().items()
        }
        self._source: dict[str, Any] = queries.setting(SOURCE_KEY) or {"dataset": {}, "images": {}}
        self._clips: dict[str, Any] = queries.setting(VIDEOS) or {}
        self._retired = 0
        self._items: list[ReportItem] = []

    def collect(self, progress: Progress | None, cancel: CancelToken | None) -> tuple[Dataset, list[ReportItem]]:
        """Everything that was asked for."""
        queries = self._project.queries
        wanted = [row for row in queries.iter_images() if self._wanted(row)]
        names = self._file_names(wanted)
        begin(progress, "Reading the project", len(wanted))
        images: list[DatasetImage] = []
        for start in range(0, len(wanted), PAGE):
            page = wanted[start : start + PAGE]
            instances = self._instances([row.id for row in page])
            images += [self._image(row, names[row.id], instances.get(row.id, ())) for row in page]
            tick(progress, cancel, count=len(page))
        if self._options.only_labelled:
            images = [image for image in images if image.instances]
        if self._retired:
            self._items.append(
                ReportItem("lost", said("{0} x labels of retired keypoints", self._retired), "not in the schema now")
            )
        dataset = Dataset(
            tuple(self._category(row) for row in self._categories),
            tuple(self._unique_ids(images)),
            self._project.name,
            dict(self._source["dataset"]),
        )
        return dataset, self._items

    def _wanted(self, row: ImageRow) -> bool:
        return not self._options.splits or self._splits.get(row.id, "") in self._options.splits

    def _file_names(self, rows: list[ImageRow]) -> dict[int, PurePosixPath]:
        """Path below the image root; where two roots hold the same one, the root's name goes in front."""
        count = Counter(row.file_name for row in rows)
        roots = self._project.queries.roots()
        result: dict[int, PurePosixPath] = {}
        used: set[PurePosixPath] = set()
        for row in rows:
            name = PurePosixPath(unicodedata.normalize("NFC", row.file_name))
            if count[row.file_name] > 1:
                base, number = PurePosixPath(roots[row.root_id].name or "root"), 2
                candidate = base / name
                while candidate in used:
                    candidate, number = PurePosixPath(f"{base}_{number}") / name, number + 1
                self._items.append(
                    ReportItem("changed", str(name), said("two image folders hold it; written as {0}", candidate))
                )
                name = candidate
            used.add(name)
            result[row.id] = name
        return result

    def _image(self, row: ImageRow, name: PurePosixPath, instances: Iterable[DatasetInstance]) -> DatasetImage:
        extra = dict(self._source["images"].get(row.file_name, {}))
        told = extra.pop("original_id", None)
        frame = frame_of(self._project, row.path, self._clips) if self._clips else None
        if frame is not None:
            extra["video"] = {"clip": frame.clip, "frame": frame.frame, "time_s": frame.time_s}
        return DatasetImage(
            name,
            row.width,
            row.height,
            tuple(instances),
            str(row.path),
            row.orientation,
            self._splits.get(row.id, ""),
            self._project.queries.tags_of(row.id),
            tuple(self._nothing.get(row.id, ())),
            _number(row.source_id) or told or _Own(row.id),
            row.sha256,
            extra,
            exhaustive=self._said.get(row.id, {}),
        )

    def _category(self, row: CategoryRow) -> DatasetCategory:
        extra = dict(row.extra)
        sigmas = tuple(extra.pop("sigmas", ()))
        original = _number(row.source_id)
        several = instance_limit(self._project.queries, row) > 1
        return DatasetCategory(row.name, row.schema, row.supercategory, original, sigmas, extra, several)

    def _instances(self, image_ids: list[int]) -> dict[int, list[DatasetInstance]]:
        result: dict[int, list[DatasetInstance]] = {}
        for row in self._project.queries.instances(image_ids=image_ids):
            if row.category_id in self._by_id:
                result.setdefault(row.image_id, []).append(self._instance(row))
        if self._options.with_proposals:
            for proposal in self._project.queries.proposals(image_id=image_ids):
                if proposal.category_id in self._by_id:
                    result.setdefault(proposal.image_id, []).append(self._proposal(proposal))
        return result

    def _instance(self, row: InstanceRow) -> DatasetInstance:
        self._retired += sum(k.definition_id not in self._names for k in row.keypoints)
        return instance_of(row, self._by_id[row.category_id], self._identities.get(row.identity_id or 0, ""))

    def _proposal(self, row: ProposalRow) -> DatasetInstance:
        keypoints = {
            self._names[k.definition_id]: _keypoint(k.x, k.y, k.visibility, k.confidence)
            for k in row.keypoints
            if k.definition_id in self._names
        }
        return DatasetInstance(
            self._by_id[row.category_id].name,
            keypoints,
            row.box,
            row.mask,
            self._identities.get(row.identity_id or 0, ""),
            False,
            True,
            row.confidence,
            None,
            "proposal",
            {"coco": {"retrieval_score": row.score}} if row.score is not None else {},
        )

    def _unique_ids(self, images: list[DatasetImage]) -> Iterable[DatasetImage]:
        image_ids = {i.original_id for i in images if not isinstance(i.original_id, _Own)}
        instance_ids = {n.original_id for i in images for n in i.instances if not isinstance(n.original_id, _Own)}

        def settled(value: int | str | None, taken: set[int | str | None]) -> int | str | None:
            return _settle(value, taken) if self._own_ids or not isinstance(value, _Own) else None

        for image in images:
            instances = tuple(replace(n, original_id=settled(n.original_id, instance_ids)) for n in image.instances)
            yield replace(image, original_id=settled(image.original_id, image_ids), instances=instances)


class _Own(int):
    """An id of our database, not of an imported file."""


def _settle(value: int | str | None, taken: set[int | str | None]) -> int | str | None:
    if not isinstance(value, _Own):
        return value
    own = int(value)
    return own + _OWN_ID_OFFSET if own in taken else own


def _number(text: str | None) -> int | None:
    return (
        int(text)
        if text is not None and text.isascii() and text.isdigit() and len(text) < 16 and int(text) > 0
        else None
    )


def _keypoint(x: float | None, y: float | None, visibility: int, score: float | None = None) -> DatasetKeypoint:
    if x is None or y is None or visibility == 0:
        return DatasetKeypoint(Visibility.ABSENT, score=score)
    return DatasetKeypoint(Visibility(visibility), x, y, score)
