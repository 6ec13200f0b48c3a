"""What is known before looking at features: where keypoints were in the exemplars, and that animals move (ours)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.matching.plan.scene import FixedScene
from kinmark.engine.requests import Exemplar

NARROW, WIDE = 0.025, 0.3
STATIC_FOREGROUND = 0.2


class LocationPrior:
    """Where each keypoint lies in the picture, from the exemplars of a fixed camera.

    A Gaussian about every exemplar's position; its width is the typical distance of an exemplar to its nearest fellow
    (or their spread, if larger), so that a point that stands still gets a narrow prior and one that roams none to speak of.
    """

    def __init__(
        self, exemplars: Sequence[Exemplar], image_wh: tuple[int, int], foreground: NDArray[np.float64]
    ) -> None:
        self.image_wh = image_wh
        diagonal = float(np.hypot(*image_wh))
        points = np.stack(
            [
                np.where(e.keypoints.labelled[:, None], np.asarray(e.keypoints.xy_image, np.float64), np.nan)
                for e in exemplars
            ]
        )
        self.points = points
        self.sigma = np.full(points.shape[1], np.inf)
        for k in range(points.shape[1]):
            own = points[np.isfinite(points[:, k, 0]), k]
            if len(own) >= 2:
                gap = np.linalg.norm(own[:, None] - own[None], axis=-1) + np.where(np.eye(len(own)) > 0, np.inf, 0)
                spread = max(1.5 * float(np.median(gap.min(axis=1))), float(np.hypot(*own.std(axis=0))))
                # Few positions say little about where else a moving point goes.
                self.sigma[k] = np.clip(spread * (1 + 2 / len(own)), NARROW * diagonal, WIDE * diagonal)
            elif len(own) == 1 and foreground[k] < STATIC_FOREGROUND:
                # Seen once, on something that belongs to the empty scene: it will be there again.
                self.sigma[k] = 1.5 * NARROW * diagonal

    def at(self, xy_image: NDArray[np.float64]) -> Tensor:
        """`[K, ...]` in 0..1 at xy_image `[..., 2]`; 1 everywhere for keypoints about which nothing is known."""
        shape = xy_image.shape[:-1]
        flat = xy_image.reshape(-1, 2)
        result = np.ones((self.points.shape[1], len(flat)))
        for k, sigma in enumerate(self.sigma):
            own = self.points[np.isfinite(self.points[:, k, 0]), k]
            if np.isfinite(sigma) and len(own):
                distance = ((flat[:, None] - own[None]) ** 2).sum(-1).min(axis=1)
                result[k] = np.exp(-distance / (2 * sigma**2))
        return torch.from_numpy(result.reshape(-1, *shape)).float()


def keypoint_foreground(exemplars: Sequence[Exemplar], scene: FixedScene) -> NDArray[np.float64]:
    """`[K]` 0..1: how much each keypoint sits on something that moved, mean over the exemplars (0.5 when never seen)."""
    values = []
    for exemplar in exemplars:
        front = scene.foreground(exemplar.image)
        xy = np.nan_to_num(np.asarray(exemplar.keypoints.xy_image, np.float64))
        values.append(np.where(exemplar.keypoints.labelled, scene.at(front, xy), np.nan))
    stacked = np.stack(values)
    seen = np.isfinite(stacked).any(axis=0)
    mean = np.full(stacked.shape[1], 0.5)
    mean[seen] = np.nanmean(stacked[:, seen], axis=0)
    return mean
