"""Where a keypoint stands between model and truth: what colours, marks and lists have in common."""

from __future__ import annotations

import enum


class PointState(enum.Enum):
    """Where a keypoint stands between model and truth."""

    HUMAN = "human"
    ACCEPTED = "accepted"
    PENDING = "pending"
    DOUBTFUL = "doubtful"
    ABSENT = "absent"
    EMPTY = "empty"

    @property
    def is_proposal(self) -> bool:
        """Whether it still waits for a decision."""
        return self in (PointState.PENDING, PointState.DOUBTFUL)

    @property
    def is_drawn(self) -> bool:
        """Whether it has a place on the photo."""
        return self not in (PointState.ABSENT, PointState.EMPTY)
