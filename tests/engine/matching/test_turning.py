"""Whether exemplars are turned or only face the other way decides if they are rotated or mirrored."""

from __future__ import annotations

import numpy as np
import pytest

from engine.domain.geometry import Similarity
from engine.matching.auto import _turn

SHAPE = np.array([[0.0, 0.0], [40.0, -6.0], [80.0, 0.0], [10.0, 40.0], [70.0, 42.0], [95.0, -25.0]])


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.5, -1.2])
def test_a_turned_shape_is_turned(angle):
    found, mirrored = _turn(SHAPE, Similarity(1.7, angle, (30.0, 9.0)).apply(SHAPE))
    assert not mirrored and found == pytest.approx(angle)


def test_a_shape_that_faces_the_other_way_is_mirrored_and_upright():
    found, mirrored = _turn(SHAPE, SHAPE * np.array([-1.0, 1.0]) + [120.0, 4.0])
    assert mirrored and found == pytest.approx(0.0, abs=1e-9)
