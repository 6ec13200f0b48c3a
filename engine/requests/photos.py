"""Photos, labelled examples and places to search: what every request is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said

MAX_INSTANCES = 200
"""Of one category in one photo: more are no matter of keypoints one by one."""


@dataclass(frozen=True)
class ImageInput:
    """One photo: `image_id` is the caller's, `sha256` of the file's bytes (computed when empty)."""

    image_id: str
    path: Path
    sha256: str = ""


@dataclass(frozen=True)
class Exemplar:
    """An accepted, labelled image used as a source; `keypoints` in the schema's order, xy_image.

    Attributes:
        absent: keypoints (schema indices) of which a person said that this instance does not show them. A keypoint that is
            neither labelled nor absent was not looked at.
        denied: (keypoint, x, y) in xy_image where a person rejected a proposal.
    """

    image: ImageInput
    keypoints: InstanceKeypoints
    mask: MaskRLE | None = None
    weight: float = 1.0
    absent: tuple[int, ...] = ()
    denied: tuple[tuple[int, float, float], ...] = ()


def exemplar_key(exemplar: Exemplar) -> list[Any]:
    """JSON-able identity of a labelled instance: image, points (1/100 pixel) and visibility."""
    points = [[None if v != v else round(float(v), 2) for v in row] for row in exemplar.keypoints.xy_image]
    visibility = [int(v) for v in exemplar.keypoints.visibility]
    return [exemplar.image.image_id, exemplar.image.sha256, points, visibility]


@dataclass(frozen=True)
class Target:
    """Where to search: the whole image, or only inside `box` / `mask` (similarity outside is -inf).

    Attributes:
        taken: instances of the category that are labelled or pending in the photo, and places that were rejected, in the
            schema's order (xy_image, NaN where unknown): what lies there is not proposed again.
        limit: at most so many new instances (1 to MAX_INSTANCES; UserInputError). With 1 the best place is always answered, as
            sure or unsure as it is, unless it is taken; with more those that pass for instances, which may be none.
    """

    image: ImageInput
    box: Box | None = None
    mask: MaskRLE | None = None
    taken: tuple[InstanceKeypoints, ...] = ()
    limit: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_INSTANCES:
            raise UserInputError(
                said("{0} instances of one category in a photo cannot be proposed.", self.limit),
                said("Ask for 1 to {0} in a photo; crop photos of larger crowds.", MAX_INSTANCES),
            )


@dataclass(frozen=True)
class Reference:
    """The instance to find again: image plus mask, box or point (all None: by class name alone)."""

    image: ImageInput
    mask: MaskRLE | None = None
    box: Box | None = None
    point_xy_image: tuple[float, float] | None = None
