"""The sample collection's true labels, and how far proposals are from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinmark.engine.domain.geometry import Box, box_of_points, expand_box, longer_side
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.masks import mask_iou
from kinmark.engine.paths import resources_dir
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.formats.dataset import Dataset, DatasetImage, DatasetInstance
from kinmark.projects.formats.registry import get_format

PCK_ALPHA = 0.1


def samples_dir() -> Path:
    """The sample collection that is shipped."""
    return resources_dir() / "samples"


def read_truth(folder: Path | None = None) -> Dataset:
    """The true labels of the sample collection (or of another one); ImportFileError when the installation is damaged."""
    root = folder or samples_dir()
    dataset, _report = get_format("coco").reader(root / "annotations.json", ReadOptions(images_root=root))
    return dataset


def instance_box(instance: DatasetInstance) -> Box:
    """The labelled box, the mask's, or the extent of the keypoints."""
    if instance.box is not None:
        return instance.box
    if instance.mask is not None:
        return instance.mask.box
    points = [(k.x, k.y) for k in instance.keypoints.values() if k.x is not None and k.y is not None]
    return expand_box(box_of_points(points), margin=0.1)


def placed(instance: DatasetInstance) -> dict[str, tuple[float, float]]:
    """Name to xy_image of the keypoints that are in the picture."""
    return {
        name: (k.x, k.y)
        for name, k in instance.keypoints.items()
        if k.visibility != Visibility.ABSENT and k.x is not None and k.y is not None
    }


def exemplar_image(truth: Dataset, category: str) -> DatasetImage:
    """The photo a person would label first: one instance alone (where there is such a photo) and large, most of its keypoints
    visible."""

    def worth(image: DatasetImage) -> float:
        instance = instance_of(image, category)
        visible = sum(k.visibility == Visibility.VISIBLE for k in instance.keypoints.values())
        share = longer_side(instance_box(instance)) / max(image.width, image.height)
        return visible / max(1, len(instance.keypoints)) + 0.5 * min(share, 0.7)

    own = [i for i in truth.images if any(instance.category == category for instance in i.instances)]
    return max([i for i in own if len(i.instances) == 1] or own, key=worth)


def instance_of(image: DatasetImage, category: str) -> DatasetInstance:
    """The largest instance of the category in a photo that has one."""
    own = [instance for instance in image.instances if instance.category == category]
    return max(own, key=lambda instance: longer_side(instance_box(instance)))


@dataclass
class Score:
    """Counts behind PCK@0.1 (per point; L = longer side of the true box), and on how many photos the category was looked for.

    Attributes:
        there, asked: photos with the category, and those of them that got a proposal; elsewhere: photos with a proposal that
            show nothing of the category.
    """

    points: int = 0
    correct: int = 0
    accepted: int = 0
    accepted_correct: int = 0
    there: int = 0
    asked: int = 0
    elsewhere: int = 0

    @property
    def pck(self) -> float | None:
        """Share of proposed keypoints within 0.1 of the box, of those that are in the picture."""
        return self.correct / self.points if self.points else None

    @property
    def precision(self) -> float | None:
        """The same among the accepted ones."""
        return self.accepted_correct / self.accepted if self.accepted else None


def nearest_instance(
    points: dict[str, tuple[float, float]], image: DatasetImage, category: str
) -> DatasetInstance | None:
    """The true instance that the points lie on: smallest median distance relative to its box."""

    def distance(instance: DatasetInstance) -> float:
        truth = placed(instance)
        side = longer_side(instance_box(instance))
        gaps = [np.hypot(points[n][0] - x, points[n][1] - y) / side for n, (x, y) in truth.items() if n in points]
        return float(np.median(gaps)) if gaps else float("inf")

    own = [instance for instance in image.instances if instance.category == category]
    return min(own, key=distance) if own else None


def score_keypoints(
    score: Score, points: dict[str, tuple[float, float]], accepted: set[str], instance: DatasetInstance
) -> None:
    """Add one photo's proposed `points` (and which of them were accepted) to `score`."""
    side = longer_side(instance_box(instance))
    truth = placed(instance)
    for name, (x, y) in points.items():
        good = name in truth and float(np.hypot(truth[name][0] - x, truth[name][1] - y)) <= PCK_ALPHA * side
        if name in truth:
            score.points += 1
            score.correct += good
        if name in accepted:
            score.accepted += 1
            score.accepted_correct += good


def best_iou(mask: np.ndarray, instances: list[DatasetInstance]) -> float:
    """IoU of a proposed mask with the instance meant (0 when it is not in the photo)."""
    return max((mask_iou(mask, i.mask.decode()) for i in instances if i.mask is not None), default=0.0)
