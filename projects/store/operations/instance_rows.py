"""Rows of instances, their keypoints and masks: checked, then written. Used by the operations of several modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.projects.store.inputs import ORIGINS, NewInstance, NewKeypoint, checked_box, checked_point
from kinmark.projects.store.models import Instance, Keypoint, Mask
from kinmark.projects.store.operations.base import Op, to_json

PLACE_SQL = """
INSERT INTO keypoint (image_id, instance_id, definition_id, x, y, visibility, origin, run_id, confidence)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (instance_id, definition_id) DO UPDATE SET x = excluded.x, y = excluded.y, visibility = excluded.visibility,
    origin = excluded.origin, run_id = excluded.run_id, confidence = excluded.confidence
"""


def add_instances(op: Op, instances: Sequence[NewInstance]) -> list[int]:
    """Insert instances with keypoints and masks; returns their ids. Used by several operations."""
    sizes = image_sizes(op, {instance.image_id for instance in instances})
    categories = {row[0] for row in op.all("SELECT id FROM category")}
    owner = {row[0]: row[1] for row in op.all("SELECT id, category_id FROM keypoint_definition")}
    for instance in instances:
        _check(instance, sizes, categories, owner)
    ids = op.add(Instance, [_instance_row(instance) for instance in instances])
    op.add(
        Keypoint,
        [
            keypoint_row(keypoint, instance.image_id, id_, instance.origin)
            for instance, id_ in zip(instances, ids, strict=True)
            for keypoint in instance.keypoints
        ],
    )
    op.add(
        Mask,
        [
            mask_row(instance.mask, instance.image_id, id_, instance.origin)
            for instance, id_ in zip(instances, ids, strict=True)
            if instance.mask is not None
        ],
    )
    if ids:
        clear_nothing_here_since(op, ids[0])
    return ids


def image_sizes(op: Op, image_ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """{image id: (width, height)} of those that exist."""
    chosen = op.collect("sized", image_ids)
    return {row[0]: (row[1], row[2]) for row in op.all(f"SELECT id, width, height FROM image WHERE id IN {chosen}")}


def _check(
    instance: NewInstance, sizes: Mapping[int, tuple[int, int]], categories: set[int], owner: Mapping[int, int]
) -> None:
    if instance.image_id not in sizes or instance.category_id not in categories:
        raise UserInputError("The image or category of a new instance is no longer in the project.")
    if instance.origin not in ORIGINS:
        raise UserInputError(
            said("{0} is no origin of an instance.", f"{instance.origin!r}"),
            said("Use one of {0}.", ", ".join(ORIGINS)),
        )
    seen = set()
    for keypoint in instance.keypoints:
        if owner.get(keypoint.definition_id) != instance.category_id:
            raise UserInputError("A keypoint does not belong to the category of its instance.")
        if keypoint.definition_id in seen:
            raise UserInputError("A keypoint is given twice for one instance.")
        seen.add(keypoint.definition_id)
    if instance.mask is not None:
        check_mask(instance.mask, sizes[instance.image_id])


def check_mask(mask: MaskRLE, size_wh: tuple[int, int]) -> None:
    """UserInputError unless the mask is well-formed and has the size of its image."""
    if (mask.width, mask.height) != tuple(size_wh):
        raise UserInputError(
            said(
                "A mask of {0} x {1} pixels does not fit its image of {2} x {3}.",
                mask.width,
                mask.height,
                size_wh[0],
                size_wh[1],
            ),
            "Use the size of the image with its EXIF orientation applied.",
        )
    mask.validate()


def _instance_row(instance: NewInstance) -> dict[str, Any]:
    x0, y0, x1, y1 = checked_box(instance.box)
    return {
        "image_id": instance.image_id,
        "category_id": instance.category_id,
        "identity_id": instance.identity_id,
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "origin": instance.origin,
        "run_id": None,
        "source_id": instance.source_id,
        "extra": to_json(instance.extra),
    }


def keypoint_row(keypoint: NewKeypoint, image_id: int, instance_id: int, origin: str) -> dict[str, Any]:
    """Column values of one keypoint, checked."""
    x, y, visibility = checked_point(keypoint.x, keypoint.y, keypoint.visibility)
    return {
        "image_id": image_id,
        "instance_id": instance_id,
        "definition_id": keypoint.definition_id,
        "x": x,
        "y": y,
        "visibility": visibility,
        "origin": keypoint.origin or origin,
        "run_id": keypoint.run_id,
        "confidence": keypoint.confidence,
    }


def mask_row(mask: MaskRLE, image_id: int, instance_id: int, origin: str, run_id: int | None = None) -> dict[str, Any]:
    """Column values of one mask."""
    return {
        "image_id": image_id,
        "instance_id": instance_id,
        "height": mask.height,
        "width": mask.width,
        "counts": mask.counts,
        "area": mask.area,
        "origin": origin,
        "run_id": run_id,
    }


def clear_nothing_here(op: Op, image_id: int, category_id: int) -> None:
    """An instance was added: "nothing here" is over for its category."""
    op.run(
        "DELETE FROM nothing_here WHERE image_id = ? AND (category_id IS NULL OR category_id = ?)",
        (image_id, category_id),
    )


def clear_nothing_here_since(op: Op, first_id: int) -> None:
    """The same for all instances from `first_id` on, in one statement."""
    op.run(
        "DELETE FROM nothing_here WHERE EXISTS (SELECT 1 FROM instance i WHERE i.id >= ? AND "
        "i.image_id = nothing_here.image_id AND (nothing_here.category_id IS NULL OR "
        "nothing_here.category_id = i.category_id))",
        (first_id,),
    )
