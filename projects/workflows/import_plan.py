"""What an import would do, decided before anything is written: which photo is which, what is new, what is there already.

Merging is by instance and keypoint, never by file: accepted work stays unless `overwrite` is asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import BadItems, begin, exif_choice, say_unused_patterns, tick
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report
from kinmark.projects.formats.orientation import downwards, fits_one, orient_image
from kinmark.projects.project import Project
from kinmark.projects.store.rows import CategoryRow, InstanceRow
from kinmark.projects.workflows.image_finder import ImageFinder
from kinmark.projects.workflows.image_match import ImageMatch

EXIF_CHOICES = ("ask", "rotate", "keep")
PAGE = 500


@dataclass
class InstancePlan:
    """What happens to one instance of the file. `existing` is the accepted one that it was recognised as."""

    instance: DatasetInstance
    verdict: str  # added, changed, kept
    existing: InstanceRow | None = None
    keypoints: tuple[str, ...] = ()
    take_mask: bool = False
    take_box: bool = False
    take_identity: bool = False


@dataclass
class ImportPlan:
    """Everything an import would do; `categories` maps names to the schema they will have."""

    dataset: Dataset
    report: Report
    images: list[ImageMatch] = field(default_factory=list)
    instances: list[list[InstancePlan]] = field(default_factory=list)
    categories: dict[str, DatasetCategory] = field(default_factory=dict)
    new_categories: list[str] = field(default_factory=list)
    changed_categories: list[str] = field(default_factory=list)

    def count(self, verdict: str) -> int:
        """How many instances get this verdict."""
        return sum(p.verdict == verdict for plans in self.instances for p in plans)


def fit_size(match: ImageMatch, exif: str, report: Report, *, oriented: bool = False) -> ImageMatch:
    """Check the file's image size against the photo; turn labels of the unrotated frame when asked to.

    Each photo is asked by itself, so a file may mix both kinds. A size with exchanged sides tells on which picture the
    labels were drawn; without a size (DeepLabCut, TPS) places that lie in one of the two pictures only do. Neither can tell
    for orientations 2 to 4, square photos and shares of the picture (YOLO): those are turned with "rotate" and counted as
    "flagged" with "ask".

    Args:
        exif: the choice for this photo (`base.exif_choice`).
        oriented: the file states that its labels lie on the picture as it is shown (our own exports).

    Raises:
        UserInputError: the sizes differ, or the labels were drawn on the unrotated picture and nobody said what to do.
    """
    image = match.image
    size, orientation = _shown_size(match)
    stored = size[::-1] if orientation >= 5 else size
    told = (image.width, image.height)
    if told not in (size, stored) and 0 not in told:
        raise UserInputError(
            said("{0} is {1} x {2}, the file says {3} x {4}.", image.rel_path, size[0], size[1], told[0], told[1]),
            "These are other pictures than the labels were made on; give the right image folder.",
        )
    frame = _frame(image, size, stored)
    turn = exif == "rotate" and orientation != 1 and frame != "shown" and not (oriented and told == size)
    if image.y_up:
        image = downwards(image, stored if turn else size)
    same = replace(match, image=replace(image, width=size[0], height=size[1], orientation=orientation))
    if orientation == 1 or (oriented and told == size) or not image.instances:
        return same
    where = str(image.rel_path)
    if turn:
        report.add("changed", where, said("labels turned by its EXIF orientation {0}", orientation))
        return replace(match, image=orient_image(replace(image, width=stored[0], height=stored[1]), orientation))
    if exif == "rotate":
        sized = image.size_told and image.width
        why = (
            "its size in the file is that of the turned picture" if sized else "its labels fit the turned picture only"
        )
        report.count("flagged", "photo not turned", where, why)
    elif frame == "stored" and exif == "keep":
        report.add("changed", where, "width and height exchanged, labels taken as they are")
    elif frame == "stored":
        raise _drawn_unrotated(image, size, told)
    elif not frame and exif == "ask":
        report.count(
            "flagged",
            "photo with an EXIF rotation",
            where,
            "no size tells on which picture its labels were drawn; taken as on the turned one, else --exif rotate",
        )
    return same


def _frame(image: DatasetImage, size: tuple[int, int], stored: tuple[int, int]) -> str:
    """On which picture the labels were drawn: "shown", "stored", or "" where nothing tells."""
    if size == stored:
        return ""
    if image.size_told and image.width:
        return "shown" if (image.width, image.height) == size else "stored"
    return "" if image.shares else fits_one(image.instances, size)


def _drawn_unrotated(image: DatasetImage, size: tuple[int, int], told: tuple[int, int]) -> UserInputError:
    hint = (
        "Its labels were probably drawn on the unrotated picture: add --exif rotate (or --exif keep when they fit as "
        "they are); --exif rotate={0} means this photo only."
    )
    what = (
        said(
            "{0} is {1} x {2} once its EXIF rotation is applied, the file says {3} x {4}.",
            image.rel_path,
            size[0],
            size[1],
            told[0],
            told[1],
        )
        if image.size_told and image.width
        else said(
            "{0} is {1} x {2} once its EXIF rotation is applied; its labels lie outside of that, and inside the "
            "unrotated picture.",
            image.rel_path,
            size[0],
            size[1],
        )
    )
    return UserInputError(what, said(hint, image.rel_path))


def _shown_size(match: ImageMatch) -> tuple[tuple[int, int], int]:
    """Size of the photo as it is shown, and its EXIF orientation."""
    if match.row is not None:
        return match.row.size_wh, match.row.orientation
    if match.new is not None:
        return (match.new.width, match.new.height), match.new.orientation
    return (0, 0), 1


@dataclass(frozen=True)
class PlanOptions:
    """Where photos are looked for, and what is done about differences.

    Attributes:
        root: folder that a person named; own_root: that of the file; beside: near the file.
    """

    root: Path | None
    own_root: Path | None
    beside: Path
    exif: str = "ask"
    overwrite: bool = False
    skip_bad: bool = False
    as_proposals: bool = False
    exif_of: tuple[tuple[str, str], ...] = ()


class Planner:
    """Decides what an import does, some photos at a time; reads the project and image headers, writes nothing.

    Attributes:
        plan: complete when no photo is left.
    """

    def __init__(
        self,
        project: Project,
        dataset: Dataset,
        report: Report,
        options: PlanOptions,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self.plan = ImportPlan(dataset, report)
        self._project, self._options = project, options
        self._progress, self._cancel = progress, cancel
        self._waiting = deque(dataset.images)
        self._oriented = report.extra.pop("oriented", False) is True
        self._broken = BadItems(report, options.skip_bad)
        self._taken: dict[Any, str] = {}
        say_unused_patterns(dataset, options.exif_of, report)
        plan_categories(project, self.plan)
        self._categories = {row.id: row for row in project.queries.categories()}
        told = (image.rel_path for image in dataset.images)
        self._finder = ImageFinder(project, options.root, options.own_root, options.beside, told)
        begin(progress, "Looking at photos", len(dataset.images))

    @property
    def left(self) -> int:
        """Photos that still wait."""
        return len(self._waiting)

    def step(self, limit: int | None = None) -> None:
        """Decide on the next `limit` photos (None: all that are left) and their labels."""
        wanted = self.left if limit is None else min(limit, self.left)
        for start in range(0, wanted, PAGE):
            page = [self._waiting.popleft() for _ in range(min(PAGE, wanted - start))]
            self._decide_labels([match for image in page if (match := self._matched(image)) is not None])

    def _matched(self, image: DatasetImage) -> ImageMatch | None:
        """The photo that the file means, None when it is left out (reported)."""
        report = self.plan.report
        tick(self._progress, self._cancel, str(image.rel_path))
        try:
            found = self._finder.find(image, report)
            choice = exif_choice(image.rel_path, self._options.exif, self._options.exif_of)
            match = fit_size(found, choice, report, oriented=self._oriented) if found is not None else None
        except AppError as error:
            self._broken.handle(str(image.rel_path), error)
            return None
        if match is None:
            return None
        key = match.row.id if match.row is not None else (match.new.root, match.new.rel_path) if match.new else None
        told = image.pointer or str(image.rel_path)
        if key in self._taken:
            name = match.row.file_name if match.row is not None else match.new.rel_path if match.new is not None else ""
            report.add(
                "skipped", told, said('another entry of the file ("{0}") is the same photo {1}', self._taken[key], name)
            )
            return None
        self._taken[key] = told
        return match

    def _decide_labels(self, matches: list[ImageMatch]) -> None:
        existing: dict[int, list[InstanceRow]] = {}
        for instance in self._project.queries.instances(image_ids=[m.row.id for m in matches if m.row is not None]):
            existing.setdefault(instance.image_id, []).append(instance)
        for match in matches:
            own = existing.get(match.row.id, []) if match.row is not None else []
            self.plan.images.append(match)
            self.plan.instances.append(
                _plan_instances(match, own, self._categories, self._options.overwrite, self._options.as_proposals)
            )


def plan_categories(project: Project, plan: ImportPlan) -> None:
    """Match the categories by name; the project's get further keypoints at the end, new ones come as they are."""
    known = {row.name: row for row in project.queries.categories()}
    for category in plan.dataset.categories:
        row = known.get(category.name)
        if row is None:
            plan.new_categories.append(category.name)
            plan.categories[category.name] = category
            continue
        merged = merge_schemas(row.schema, category.schema)
        if merged != row.schema:
            plan.changed_categories.append(category.name)
            new = [n for n in merged.names if n not in row.schema.names]
            plan.report.add(
                "changed",
                said("category {0}", category.name),
                said("gets {0}", ", ".join(new) or said("edges or pairs")),
            )
        plan.categories[category.name] = replace(category, schema=merged)


def merge_schemas(own: KeypointSchema, other: KeypointSchema) -> KeypointSchema:
    """The project's schema with the file's further keypoints at the end; edges and pairs only where there were none."""
    names = own.names + tuple(n for n in other.names if n not in own.names)
    place = {n: i for i, n in enumerate(names)}

    def moved(links: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((place[other.names[a]], place[other.names[b]]) for a, b in links)

    return KeypointSchema(names, own.edges or moved(other.edges), own.pairs or moved(other.pairs))


def _plan_instances(
    match: ImageMatch, existing: list[InstanceRow], names: dict[int, CategoryRow], overwrite: bool, as_proposals: bool
) -> list[InstancePlan]:
    plans: list[InstancePlan] = []
    for instance in match.image.instances:
        if as_proposals or instance.proposal:
            plans.append(InstancePlan(instance, "added"))
            continue
        candidates = [row for row in existing if names[row.category_id].name == instance.category]
        found = _recognise(instance, candidates, names)
        if found is None:
            plans.append(InstancePlan(instance, "added"))
            continue
        existing.remove(found)
        plans.append(compare(instance, found, names[found.category_id], overwrite))
    return plans


def _recognise(
    instance: DatasetInstance, candidates: list[InstanceRow], names: dict[int, CategoryRow]
) -> InstanceRow | None:
    """The accepted instance that this one is: equal content, else the same id in the same image and category."""
    for row in candidates:
        if same_content(instance, row, names[row.category_id]):
            return row
    if instance.original_id is not None:
        for row in candidates:
            if row.source_id == str(instance.original_id):
                return row
    return None


def _position(row: InstanceRow, category: CategoryRow) -> dict[str, tuple[int, float | None, float | None]]:
    name_of = {d.id: d.name for d in (*category.definitions, *category.retired)}
    return {name_of[k.definition_id]: (k.visibility, k.x, k.y) for k in row.keypoints}


def _close(a: tuple[int, float | None, float | None], b: tuple[int, float | None, float | None]) -> bool:
    if a[0] != b[0]:
        return False
    if a[1] is None or b[1] is None or a[2] is None or b[2] is None:
        return a[1] is None and b[1] is None
    return abs(a[1] - b[1]) < 1e-3 and abs(a[2] - b[2]) < 1e-3


def same_content(instance: DatasetInstance, row: InstanceRow, category: CategoryRow) -> bool:
    """Whether keypoints (within 0.001 px), mask and box are equal."""
    own = _position(row, category)
    theirs = {n: (int(k.visibility), k.x, k.y) for n, k in instance.keypoints.items()}
    if own.keys() != theirs.keys() or not all(_close(own[n], theirs[n]) for n in own):
        return False
    if (row.mask.rle if row.mask is not None else None) != instance.mask:
        return False
    if row.box is None or instance.box is None:
        return (row.box is None) == (instance.box is None) or bool(own) or row.mask is not None
    return bool(np.allclose(row.box, instance.box, atol=1e-3))


def compare(instance: DatasetInstance, row: InstanceRow, category: CategoryRow, overwrite: bool) -> InstancePlan:
    """Which parts of a recognised instance are new (or, with `overwrite`, different)."""
    own = _position(row, category)
    take = []
    for name, keypoint in instance.keypoints.items():
        theirs = (int(keypoint.visibility), keypoint.x, keypoint.y)
        if name not in own or (overwrite and not _close(own[name], theirs)):
            take.append(name)
    has_mask = row.mask is not None
    mask = instance.mask is not None and (
        not has_mask or (overwrite and row.mask is not None and row.mask.rle != instance.mask)
    )
    box = instance.box is not None and (
        row.box is None or (overwrite and not np.allclose(row.box, instance.box, atol=1e-3))
    )
    identity = bool(instance.identity) and row.identity_id is None
    verdict = "changed" if take or mask or box or identity else "kept"
    return InstancePlan(instance, verdict, row, tuple(take), mask, box, identity)


def differs(plan: InstancePlan, category_of: Callable[[int], CategoryRow]) -> bool:
    """Whether a recognised instance keeps values that the file says differently (reported, never silently replaced)."""
    if plan.existing is None:
        return False
    told = differences(plan.instance, plan.existing, category_of(plan.existing.category_id))
    taken = {*plan.keypoints, *([MASK] if plan.take_mask else [])}
    return not taken.issuperset(told)


MASK = "mask"


def differences(instance: DatasetInstance, row: InstanceRow, category: CategoryRow) -> dict[str, str]:
    """Where both have a value and they differ: keypoint name (or "mask") to a sentence. Boxes follow the labels."""
    own = _position(row, category)
    found: dict[str, str] = {}
    for name, keypoint in instance.keypoints.items():
        theirs = (int(keypoint.visibility), keypoint.x, keypoint.y)
        if name not in own or _close(own[name], theirs):
            continue
        mine = own[name]
        if mine[1] is not None and mine[2] is not None and theirs[1] is not None and theirs[2] is not None:
            distance = float(np.hypot(mine[1] - theirs[1], mine[2] - theirs[2]))
            found[name] = (
                said("{0}: {1} px apart", name, f"{distance:.1f}")
                if distance >= 1e-3
                else said("{0}: visibility {1} and {2}", name, mine[0], theirs[0])
            )
        else:
            found[name] = (
                said("{0}: absent here, placed there", name)
                if mine[1] is None
                else said("{0}: absent there, placed here", name)
            )
    if instance.mask is not None and row.mask is not None and row.mask.rle != instance.mask:
        found[MASK] = "the masks differ"
    return found
