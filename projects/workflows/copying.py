"""Copy instances to other photos: each keypoint goes where the engine finds the same place, not to the same pixels."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from kinmark.engine.api import DEFAULT_BACKBONE, Engine, MatchRequest, MatchSettings, Target
from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.geometry import Box, fit_similarity
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.store.rows import ImageRow, InstanceRow


@dataclass
class CopyOutcome:
    """New instance ids, and one sentence for each photo that got none."""

    instance_ids: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def copy_instances(
    project: Project,
    engine: Engine | None,
    instance_ids: Iterable[int],
    image_ids: Iterable[int],
    *,
    backbone: str = DEFAULT_BACKBONE,
    prompt: str = "auto",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> CopyOutcome:
    """Copy accepted instances to each of `image_ids` (never onto their own image), as one undo step.

    With an engine the keypoints are warped by the correspondences, and the box with them; without one (`None`) they are
    scaled with the picture. The engine works before anything is written: the transaction is short, and a cancellation
    leaves nothing behind.
    """
    return _copy(project, instance_ids, image_ids, _How(engine, backbone, prompt, MatchSettings(), progress, cancel))


@dataclass(frozen=True)
class _How:
    engine: Engine | None
    backbone: str
    prompt: str
    settings: MatchSettings
    progress: Progress | None
    cancel: CancelToken | None


def _copy(project: Project, instance_ids: Iterable[int], image_ids: Iterable[int], how: _How) -> CopyOutcome:
    asked = list(dict.fromkeys(instance_ids))
    instances = project.queries.instances(ids=asked)
    if len(instances) < len(asked):
        raise UserInputError("That instance is no longer in the project.", "It was removed or undone meanwhile.")
    wanted = list(dict.fromkeys(image_ids))
    images = project.queries.images_by_id([*(i.image_id for i in instances), *wanted])
    pairs = [(i, images[id_]) for i in instances for id_ in wanted if id_ in images and id_ != i.image_id]
    if how.progress is not None:
        how.progress.start("Copying", len(pairs))
    outcome = CopyOutcome()
    warped: list[tuple[InstanceRow, ImageRow, _Warped | None]] = []
    for instance, target in pairs:
        if how.cancel is not None:
            how.cancel.check()
        try:
            warped.append((instance, target, _warp(how, instance, images[instance.image_id], target)))
        except AppError as error:
            outcome.skipped.append(said("{0}: {1}", target.file_name, error.user_message))
        if how.progress is not None:
            how.progress.step(note=target.file_name)
    if not warped:
        return outcome
    name = f"Copy the instance to {len(warped)} photos" if len(asked) == 1 else f"Copy {len(warped)} instances"
    with project.group(name):
        for instance, target, found in warped:
            keypoints, box = (found.keypoints, found.box) if found is not None else (None, None)
            made = project.operations.copy_instance(instance.id, target.id, keypoints=keypoints, box=box)
            outcome.instance_ids += made.ids
    return outcome


@dataclass(frozen=True)
class _Warped:
    """Where an instance lies in another photo (xy_image of that one)."""

    keypoints: list[NewKeypoint]
    box: Box | None


def _warp(how: _How, instance: InstanceRow, source: ImageRow, target: ImageRow) -> _Warped | None:
    placed = [k for k in instance.keypoints if k.x is not None and k.y is not None]
    if how.engine is None or not placed:
        return None
    points = np.array([(k.x, k.y) for k in placed], dtype=np.float64)
    request = MatchRequest(
        uuid.uuid4().hex,
        source.image_input,
        points,
        Target(target.image_input),
        source_box=instance.box,
        settings=how.settings,
        backbone=how.backbone,
        prompt=how.prompt,
        want_maps=False,
    )
    found = how.engine.match(request, cancel=how.cancel).points_xy_image
    warped = [
        NewKeypoint(k.definition_id, float(x), float(y), k.visibility) for k, (x, y) in zip(placed, found, strict=True)
    ]
    absent = [NewKeypoint(k.definition_id, None, None, 0) for k in instance.keypoints if k.x is None]
    return _Warped(warped + absent, _warped_box(instance.box, points, found, target))


def _warped_box(box: Box | None, points: np.ndarray, found: np.ndarray, target: ImageRow) -> Box | None:
    """The box around where its four corners go by the keypoints' similarity (`[N, 2]` xy_image each), inside the photo.

    None without a box, with a single keypoint (no scale), or when nothing of it is left inside.
    """
    if box is None or len(points) < 2:
        return None
    x0, y0, x1, y1 = box
    corners = fit_similarity(points, found).apply([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    low = np.clip(corners.min(axis=0), 0, target.size_wh)
    high = np.clip(corners.max(axis=0), 0, target.size_wh)
    if (high - low).min() < 1:
        return None
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
