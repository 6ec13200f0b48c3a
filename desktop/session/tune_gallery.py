"""Pictures for the before/after gallery: one exemplar's keypoints matched onto labelled photos with two prompts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from desktop.engine_thread.jobs import JobContext
from engine.api import MatchRequest, Target
from engine.domain.geometry import Box, FloatArray, longer_side


@dataclass(frozen=True)
class GalleryPicture:
    """One photo: true places and both matches, `[K, 2]` xy_image each; `box` of the instance; right = within 0.1 box."""

    path: Path
    box: Box
    truth: FloatArray
    before: FloatArray
    after: FloatArray

    def right(self, points: FloatArray) -> int:
        """How many of `points` `[K, 2]` are right."""
        gap = np.hypot(*(points - self.truth).T)
        return int((gap <= 0.1 * longer_side(self.box)).sum())


def make_gallery(
    context: JobContext, *, category: str, backbone: str, prompt: str, count: int
) -> tuple[GalleryPicture, ...]:
    """Engine thread. The last `count` labelled photos against the first one."""
    from projects.workflows.propose import exemplars_of

    row = context.project.queries.require_category(category)
    exemplars = exemplars_of(context.project, row)
    if len(exemplars) < 2:
        return ()
    source = exemplars[0]
    pictures = []
    for target in exemplars[1:][-count:]:
        both = source.keypoints.labelled & target.keypoints.labelled
        if not both.any():
            continue
        found: list[Any] = []
        for prompt_id in ("empty", prompt):
            request = MatchRequest(
                uuid.uuid4().hex, source.image, source.keypoints.xy_image[both], Target(target.image),
                source.keypoints.box_or_extent(), backbone=backbone, prompt=prompt_id, want_maps=False,
            )  # fmt: skip
            found.append(context.engine.match(request, cancel=context.cancel).points_xy_image)
        box = target.keypoints.box_or_extent()
        pictures.append(GalleryPicture(target.image.path, box, target.keypoints.xy_image[both], found[0], found[1]))
    return tuple(pictures)
