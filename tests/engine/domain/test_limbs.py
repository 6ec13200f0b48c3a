"""Outlines guessed from keypoints."""

from __future__ import annotations

import numpy as np
import pytest

from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.limbs import limb_edges, limb_mask

LINE = KeypointSchema(("a", "b", "c"))


def instance(*points: tuple[float, float]) -> InstanceKeypoints:
    xy = np.array(points, dtype=np.float64)
    return InstanceKeypoints(xy, np.where(np.isfinite(xy[:, 0]), 2, 0))


def test_edges_are_the_skeleton_where_it_joins_everything_else_the_shortest_tree() -> None:
    points = np.array([[0.0, 0], [10, 0], [21, 0]])
    known = np.ones(3, bool)
    assert limb_edges(points, known, ((0, 2), (1, 2))) == [(0, 2), (1, 2)]
    assert sorted(map(sorted, limb_edges(points, known, ((0, 1),)))) == [[0, 1], [1, 2]]
    assert limb_edges(points, np.array([True, False, False])) == []


def test_limbs_follow_the_keypoints_and_leave_the_neighbour_alone() -> None:
    one, other = instance((20, 50), (60, 50), (100, 50)), instance((20, 58), (60, 58), (100, 58))
    alone = limb_mask(one, LINE, (120, 100))
    assert alone[50, 20] and alone[50, 80] and not alone[70, 60] and not alone[50, 110]
    beside = limb_mask(one, LINE, (120, 100), [other])
    assert beside[50, 60] and not beside[56, 60] and alone[53, 60]
    assert beside.sum() < alone.sum()


def test_a_lone_point_is_a_disk_and_nothing_is_an_error() -> None:
    disk = limb_mask(instance((50, 40), (np.nan, np.nan), (np.nan, np.nan)), LINE, (100, 80))
    assert disk[40, 50] and 30 < disk.sum() < 80
    with pytest.raises(ValueError, match="no limbs"):
        limb_mask(instance((np.nan, np.nan)), LINE, (10, 10))
