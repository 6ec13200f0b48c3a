"""Pictures for the before/after gallery: one exemplar's keypoints matched onto held-out photos with two prompts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtGui import QImage

from kinmark.desktop.engine_thread.jobs import JobContext
from kinmark.desktop.io.thumbnails import make_crop
from kinmark.engine.api import Exemplar, MatchRequest, Target, open_prompts
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import Box, FloatArray, expand_box, longer_side

SIDE = 300
"""Pixels of a crop: twice its size on screen, for high-density displays."""


@dataclass(frozen=True)
class GalleryPicture:
    """One photo: true places and both matches, `[K, 2]` xy_image each; `box` of the instance; right = within 0.1 box.

    `crop` shows `region` (xy_image, square).
    """

    path: Path
    box: Box
    region: Box
    crop: QImage
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
    """Engine thread. `count` held-out photos against a photo that was learned from, as the figures were taken.

    Category "" (a prompt for all of them): the first one with labels.
    """
    from kinmark.projects.workflows.propose_plan import categories_to_propose, exemplars_of

    row = categories_to_propose(context.project, category)[0]
    card = open_prompts((context.project.prompts_dir,)).find(prompt).card
    held_out = set(card.settings.get("heldout_images", ()))
    exemplars = exemplars_of(context.project, row)
    targets = [e for e in exemplars if e.image.image_id in held_out]
    sources = [e for e in exemplars if e.image.image_id in card.images] or [e for e in exemplars if e not in targets]
    before = str(card.settings.get("before_prompt", "empty"))
    pictures = []
    for target in targets[:count]:
        picture = _picture(context, sources, target, backbone, (before, prompt))
        if picture is not None:
            pictures.append(picture)
    return tuple(pictures)


def _picture(
    context: JobContext, sources: list[Exemplar], target: Exemplar, backbone: str, prompts: tuple[str, str]
) -> GalleryPicture | None:
    """From the source that shares most keypoints with the target."""
    source = max(sources, key=lambda e: int((e.keypoints.labelled & target.keypoints.labelled).sum()), default=None)
    if source is None:
        return None
    both = source.keypoints.labelled & target.keypoints.labelled
    if not both.any():
        return None
    box = target.keypoints.box_or_extent()
    region = expand_box(box, margin=0.15, square=True)
    try:
        crop = make_crop(target.image.path, region, SIDE)
    except AppError:
        return None
    found: list[Any] = []
    for prompt_id in prompts:
        request = MatchRequest(
            uuid.uuid4().hex,
            source.image,
            source.keypoints.xy_image[both],
            Target(target.image),
            source.keypoints.box_or_extent(),
            backbone=backbone,
            prompt=prompt_id,
            want_maps=False,
        )
        found.append(context.engine.match(request, cancel=context.cancel).points_xy_image)
    return GalleryPicture(target.image.path, box, region, crop, target.keypoints.xy_image[both], found[0], found[1])
