"""Quality control: labels of a project that look wrong, for `kinmark check` and the queue of that name."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinmark.engine.api import DEFAULT_BACKBONE, CheckRequest, Engine
from kinmark.engine.domain.alike import extent, place_similarity
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import box_iou
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.remote import is_there
from kinmark.projects.project import Project
from kinmark.projects.store.rows import CategoryRow, ImageRow, InstanceRow
from kinmark.projects.workflows.propose_plan import exemplar_of

MINIMUM_INSTANCES = 3
DUPLICATE_FROM = 0.7
"""Similarity of places (kinmark.engine.domain.alike) from which two labelled instances of a photo are taken for one: keypoints about
a twelfth of the longer side apart. Animals that lie on each other stay below it."""
DUPLICATE_IOU = 0.9
"""The same for boxes, where no keypoint tells."""
LEAST_IN_COMMON = 2
"""Keypoints that two instances must both place to be compared by them: one alone is no shape."""
MASK_SLACK = 0.05
"""How far outside its mask a visible keypoint may lie, relative to the box: outlines are drawn a little inside."""
WRONG_MASK_SHARE = 0.3
WRONG_MASK_LEAST = 2
"""As many of an instance's visible keypoints outside its mask speak against the mask, fewer against the keypoints."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at. `kind`: far, swapped, outside-mask, wrong-mask, outside-image, same-place, duplicate.

    `other_id`: the instance that a duplicate doubles.
    """

    kind: str
    image: str
    image_id: int
    instance_id: int
    category: str
    keypoint: str
    score: float
    reason: str
    suggested_xy_image: tuple[float, float] | None = None
    other_id: int | None = None


@dataclass(frozen=True)
class CheckOptions:
    """`looks`: also compare the labels with their namesakes by features (needs three instances of a category)."""

    category: str = ""
    backbone: str = DEFAULT_BACKBONE
    looks: bool = True


def check(
    project: Project,
    engine: Engine,
    options: CheckOptions | None = None,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Finding, ...]:
    """Findings, most suspicious first.

    Raises:
        UserInputError: unknown category, or nothing is labelled.
    """
    options = options or CheckOptions()
    wanted = project.queries.categories()
    if options.category:
        wanted = (project.queries.require_category(options.category),)
    findings: list[Finding] = []
    labelled = 0
    for category in wanted:
        instances = list(project.queries.iter_instances(category_id=category.id))
        labelled += len(instances)
        images = project.queries.images_by_id(i.image_id for i in instances)
        known = [i for i in instances if i.image_id in images]
        findings += _plain_checks(known, images, category)
        if options.looks and category.definitions:
            findings += _compare(known, images, category, engine, options, progress, cancel)
    if not labelled:
        raise UserInputError(
            "Nothing is labelled yet, so there is nothing to check.", "Label or import something first."
        )
    return tuple(sorted(findings, key=lambda f: (-f.score, f.image, f.keypoint)))


def _compare(
    instances: list[InstanceRow],
    images: dict[int, ImageRow],
    category: CategoryRow,
    engine: Engine,
    options: CheckOptions,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> list[Finding]:
    usable = [
        i for i in instances if is_there(images[i.image_id].path) and i.aligned(category.definition_ids).labelled.any()
    ]
    if len(usable) < MINIMUM_INSTANCES:
        return []
    exemplars = tuple(exemplar_of(images[i.image_id], i, category) for i in usable)
    request = CheckRequest("check", category.name, category.schema, exemplars, options.backbone)
    findings = []
    for suspicion in engine.check_labels(request, progress=progress, cancel=cancel):
        instance = usable[suspicion.exemplar]
        name = category.schema.names[suspicion.keypoint]
        reason = (
            f"{name} fits better where its left/right twin is"
            if suspicion.kind == "swapped"
            else f"{name} looks unlike the other photos' {name}, or lies where none of them has it"
        )
        findings.append(
            Finding(
                suspicion.kind,
                images[instance.image_id].file_name,
                instance.image_id,
                instance.id,
                category.name,
                name,
                suspicion.score,
                reason,
                suspicion.suggested_xy_image,
            )
        )
    return findings


def _plain_checks(instances: list[InstanceRow], images: dict[int, ImageRow], category: CategoryRow) -> list[Finding]:
    """What needs no model: outside the photo or the own mask, two names on one place, the same instance twice."""
    findings: list[Finding] = []
    by_image: dict[int, list[InstanceRow]] = {}
    names = category.schema.names
    for instance in instances:
        image = images[instance.image_id]
        keypoints = instance.aligned(category.definition_ids)

        def add(
            kind: str, name: str, score: float, reason: str, row: InstanceRow = instance, photo: ImageRow = image
        ) -> None:
            findings.append(Finding(kind, photo.file_name, photo.id, row.id, category.name, name, score, reason))

        labelled = [int(k) for k in np.flatnonzero(keypoints.labelled)]
        length = 1.0
        if len(labelled) or keypoints.box is not None:
            box = keypoints.box_or_extent()
            length = max(box[2] - box[0], box[3] - box[1], 1.0)
        inside = [k for k in labelled if _inside_photo(keypoints.xy_image[k], image)]
        for k in sorted(set(labelled) - set(inside)):
            add("outside-image", names[k], 0.95, f"{names[k]} lies outside the photo")
        visible = [k for k in inside if keypoints.visibility[k] == 2]
        astray = _astray(instance, keypoints.xy_image, visible, MASK_SLACK * length)
        if len(astray) >= max(WRONG_MASK_LEAST, WRONG_MASK_SHARE * len(visible)):
            add("wrong-mask", "", 0.9, f"{len(astray)} of {len(visible)} visible keypoints lie outside the mask")
        else:
            for k in astray:
                add("outside-mask", names[k], 0.8, f"{names[k]} lies outside the instance's own mask")
        for a, b in itertools.combinations(labelled, 2):
            gap = float(np.linalg.norm(keypoints.xy_image[a] - keypoints.xy_image[b]))
            if gap < 0.001 * length:
                add("same-place", names[a], 0.7, f"{names[a]} and {names[b]} lie on exactly the same place")
        by_image.setdefault(instance.image_id, []).append(instance)
    for image_id, fellows in by_image.items():
        findings += _duplicates(fellows, images[image_id], category)
    return findings


def _duplicates(fellows: list[InstanceRow], image: ImageRow, category: CategoryRow) -> list[Finding]:
    """Instances of a photo that lie where an earlier one does."""
    findings: list[Finding] = []
    if len(fellows) < 2:
        return findings
    shapes = [instance.aligned(category.definition_ids) for instance in fellows]
    extents = np.array([extent(shape) or (np.nan,) * 4 for shape in shapes])
    middles, sides = (extents[:, :2] + extents[:, 2:]) / 2, (extents[:, 2:] - extents[:, :2]).max(axis=1)
    for b in range(1, len(fellows)):
        # Of a crowd only neighbours are compared: others cannot be alike.
        near = np.linalg.norm(middles[:b] - middles[b], axis=1) < 0.5 * np.maximum(sides[:b], sides[b]) + 1.0
        likeness = {int(a): _likeness(shapes[int(a)], shapes[b]) for a in np.flatnonzero(near)}
        a = max(likeness, key=lambda key: likeness[key], default=-1)
        if a >= 0 and likeness[a] >= DUPLICATE_FROM:
            findings.append(
                Finding(
                    "duplicate",
                    image.file_name,
                    image.id,
                    fellows[b].id,
                    category.name,
                    "",
                    0.9,
                    f"the same {category.name} seems to be labelled twice",
                    other_id=fellows[a].id,
                )
            )
    return findings


def _inside_photo(xy: np.ndarray, image: ImageRow) -> bool:
    return bool(0 <= xy[0] <= image.width and 0 <= xy[1] <= image.height)


def _astray(instance: InstanceRow, xy_image: np.ndarray, which: list[int], slack: float) -> list[int]:
    """Those of the keypoints that have no cell of the instance's mask within `slack` pixels; none without a mask."""
    if instance.mask is None or not which:
        return []
    mask = instance.mask.rle.decode()
    return [k for k in which if _far_from_mask(mask, float(xy_image[k, 0]), float(xy_image[k, 1]), slack)]


def _far_from_mask(mask: np.ndarray, x: float, y: float, slack: float) -> bool:
    reach = int(np.ceil(slack))
    rows = slice(max(0, int(y) - reach), int(y) + reach + 1)
    columns = slice(max(0, int(x) - reach), int(x) + reach + 1)
    return not bool(mask[rows, columns].any())


def _likeness(a: InstanceKeypoints, b: InstanceKeypoints) -> float:
    """0..1; boxes alone say it only where they are the same."""
    if (a.labelled & b.labelled).sum() >= LEAST_IN_COMMON:
        return place_similarity(a, b)
    if a.box is None or b.box is None:
        return 0.0
    return 1.0 if box_iou(a.box, b.box) > DUPLICATE_IOU else 0.0


def to_json(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """Plain rows for `--json`."""
    return [asdict(f) for f in findings]
