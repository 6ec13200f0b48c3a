"""Copy an instance to other photos: each keypoint goes where the engine finds the same place, not to the same pixels."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from engine.api import DEFAULT_BACKBONE, Engine, MatchRequest, MatchSettings, Target
from engine.domain.errors import AppError, UserInputError
from engine.domain.progress import CancelToken, Progress
from projects.project import Project
from projects.store.inputs import NewKeypoint
from projects.store.rows import ImageRow, InstanceRow


@dataclass
class CopyOutcome:
    """New instance ids, and one sentence for each photo that got none."""

    instance_ids: list[int] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def copy_instance(
    project: Project,
    engine: Engine | None,
    instance_id: int,
    image_ids: Iterable[int],
    *,
    backbone: str = DEFAULT_BACKBONE,
    prompt: str = "auto",
    settings: MatchSettings = MatchSettings(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> CopyOutcome:
    """Copy one accepted instance to `image_ids`, as one undo step.

    With an engine the keypoints are warped by the correspondences; without one (`None`) they are scaled with the picture.
    The engine works before anything is written: the transaction is short, and a cancellation leaves nothing behind.
    """
    instance = project.queries.instance(instance_id)
    if instance is None:
        raise UserInputError("That instance is no longer in the project.", "It was removed or undone meanwhile.")
    wanted = list(dict.fromkeys(image_ids))
    images = project.queries.images_by_id([instance.image_id, *wanted])
    targets = [images[id_] for id_ in wanted if id_ in images and id_ != instance.image_id]
    if progress is not None:
        progress.start("Copying", len(targets))
    outcome, warped = CopyOutcome(), {}
    for target in targets:
        if cancel is not None:
            cancel.check()
        try:
            source = images[instance.image_id]
            warped[target.id] = _warp(engine, instance, source, target, backbone, prompt, settings, cancel)
        except AppError as error:
            outcome.skipped.append(f"{target.file_name}: {error.user_message}")
        if progress is not None:
            progress.step(note=target.file_name)
    with project.group(f"Copy the instance to {len(warped)} photos"):
        for image_id, keypoints in warped.items():
            outcome.instance_ids += project.operations.copy_instance(instance_id, image_id, keypoints=keypoints).ids
    return outcome


def _warp(
    engine: Engine | None, instance: InstanceRow, source: ImageRow, target: ImageRow, backbone: str, prompt: str,
    settings: MatchSettings, cancel: CancelToken | None,
) -> list[NewKeypoint] | None:  # fmt: skip
    placed = [k for k in instance.keypoints if k.x is not None and k.y is not None]
    if engine is None or not placed:
        return None
    points = np.array([(k.x, k.y) for k in placed], dtype=np.float64)
    request = MatchRequest(
        uuid.uuid4().hex, source.image_input, points, Target(target.image_input), source_box=instance.box,
        settings=settings, backbone=backbone, prompt=prompt, want_maps=False,
    )  # fmt: skip
    found = engine.match(request, cancel=cancel).points_xy_image
    warped = [
        NewKeypoint(k.definition_id, float(x), float(y), k.visibility) for k, (x, y) in zip(placed, found, strict=True)
    ]
    absent = [NewKeypoint(k.definition_id, None, None, 0) for k in instance.keypoints if k.x is None]
    return warped + absent
