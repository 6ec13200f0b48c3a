"""Quality control: labels of a project that look wrong, for `kinmark check` and the queue of that name."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.api import DEFAULT_BACKBONE, CheckRequest, Engine
from engine.domain.errors import UserInputError
from engine.domain.geometry import box_iou
from engine.domain.progress import CancelToken, Progress
from engine.remote import is_there
from projects.project import Project
from projects.store.rows import CategoryRow, ImageRow, InstanceRow
from projects.workflows.propose import exemplar_of

MINIMUM_INSTANCES = 3
SAME_PLACE = 0.05
DUPLICATE_IOU = 0.9
MASK_SLACK = 0.05
"""How far outside its mask a visible keypoint may lie, relative to the box: outlines are drawn a little inside."""
WRONG_MASK_SHARE = 0.3
WRONG_MASK_LEAST = 2
"""As many of an instance's visible keypoints outside its mask speak against the mask, fewer against the keypoints."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at. `kind`: far, swapped, outside-mask, wrong-mask, outside-image, same-place, duplicate."""

    kind: str
    image: str
    image_id: int
    instance_id: int
    category: str
    keypoint: str
    score: float
    reason: str
    suggested_xy_image: tuple[float, float] | None = None


@dataclass(frozen=True)
class CheckOptions:
    """`looks`: also compare the labels with their namesakes by features (needs three instances of a category)."""

    category: str = ""
    backbone: str = DEFAULT_BACKBONE
    looks: bool = True


def check(
    project: Project, engine: Engine, options: CheckOptions | None = None, *, progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Finding, ...]:  # fmt: skip
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
    instances: list[InstanceRow], images: dict[int, ImageRow], category: CategoryRow, engine: Engine,
    options: CheckOptions, progress: Progress | None, cancel: CancelToken | None,
) -> list[Finding]:  # fmt: skip
    usable = [i for i in instances
              if is_there(images[i.image_id].path) and i.aligned(category.definition_ids).labelled.any()]  # fmt: skip
    if len(usable) < MINIMUM_INSTANCES:
        return []
    exemplars = tuple(exemplar_of(images[i.image_id], i, category) for i in usable)
    request = CheckRequest("check", category.name, category.schema, exemplars, options.backbone)
    findings = []
    for suspicion in engine.check_labels(request, progress=progress, cancel=cancel):
        instance = usable[suspicion.exemplar]
        name = category.schema.names[suspicion.keypoint]
        reason = (f"{name} fits better where its left/right twin is" if suspicion.kind == "swapped"
                  else f"{name} looks unlike the other photos' {name}, or lies where none of them has it")  # fmt: skip
        findings.append(Finding(
            suspicion.kind, images[instance.image_id].file_name, instance.image_id, instance.id, category.name, name,
            suspicion.score, reason, suspicion.suggested_xy_image,
        ))  # fmt: skip
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
        for other in by_image.get(instance.image_id, []):
            if _same(instance, other, category):
                add("duplicate", "", 0.9, f"the same {category.name} seems to be labelled twice")
        by_image.setdefault(instance.image_id, []).append(instance)
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


def _same(a: InstanceRow, b: InstanceRow, category: CategoryRow) -> bool:
    left, right = a.aligned(category.definition_ids), b.aligned(category.definition_ids)
    both = left.labelled & right.labelled
    if both.sum() >= 3:
        box = left.box_or_extent()
        length = max(box[2] - box[0], box[3] - box[1], 1.0)
        return bool(np.median(np.linalg.norm(left.xy_image[both] - right.xy_image[both], axis=1)) < SAME_PLACE * length)
    if left.box is not None and right.box is not None:
        return box_iou(left.box, right.box) > DUPLICATE_IOU
    return False


def to_json(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """Plain rows for `--json`."""
    return [asdict(f) for f in findings]
