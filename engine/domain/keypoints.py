"""Keypoints, their definitions and schemas."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box, FloatArray, box_of_points, expand_box
from kinmark.engine.domain.texts import said


class Visibility(enum.IntEnum):
    """COCO's three states in the project's words."""

    ABSENT = 0
    HIDDEN = 1
    VISIBLE = 2


@dataclass(frozen=True)
class KeypointSchema:
    """The keypoints of one category, in display order.

    Attributes:
        names: keypoint names, unique.
        edges: skeleton edges as index pairs (0-based).
        pairs: left/right pairs as index pairs (0-based), each index at most once.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            twice = sorted({n for n in self.names if self.names.count(n) > 1})
            raise UserInputError(
                said("Keypoint names must be unique; twice: {0}.", ", ".join(twice)), "Rename one of each."
            )
        for what, list_ in (("skeleton edge", self.edges), ("left/right pair", self.pairs)):
            for a, b in list_:
                if not (0 <= a < len(self.names) and 0 <= b < len(self.names)) or a == b:
                    raise UserInputError(said("The {0} ({1}, {2}) does not join two different keypoints.", what, a, b))
        used = [i for pair in self.pairs for i in pair]
        if len(set(used)) != len(used):
            raise UserInputError("A keypoint stands in more than one left/right pair.", "Keep one pair for it.")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def flip_index(self) -> tuple[int, ...]:
        """For every keypoint the index of its twin (itself when it has none)."""
        flip = list(range(len(self.names)))
        for a, b in self.pairs:
            flip[a], flip[b] = b, a
        return tuple(flip)


@dataclass(frozen=True)
class InstanceKeypoints:
    """All keypoints of one instance.

    Attributes:
        xy_image: `[K, 2]` float64, NaN where absent.
        visibility: `[K]` int (`Visibility`).
        box: of the instance in xy_image when known from a box or mask, else None.
    """

    xy_image: FloatArray
    visibility: np.ndarray
    box: Box | None = None
    extra: dict[str, float] = field(default_factory=dict, compare=False)

    @property
    def labelled(self) -> np.ndarray:
        """`[K]` bool: hidden or visible with a finite position."""
        return (np.asarray(self.visibility) > 0) & np.isfinite(self.xy_image).all(axis=-1)

    def box_or_extent(self, margin: float = 0.1) -> Box:
        """The known box, or the extent of the labelled keypoints grown by `margin`; ValueError without either."""
        if self.box is not None:
            return self.box
        box = box_of_points(np.asarray(self.xy_image)[self.labelled])
        return expand_box(box, margin=margin)
