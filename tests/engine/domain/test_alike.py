"""When two instances are one thing: by name, by place, by box."""

from __future__ import annotations

import numpy as np
import pytest

from kinmark.engine.domain.alike import claimed, is_taken, named_similarity, place_similarity, unnamed_similarity
from kinmark.engine.domain.keypoints import InstanceKeypoints

SQUARE = np.array([[0.0, 0], [100, 0], [100, 100], [0, 100]])


def instance(points: np.ndarray, box: tuple[float, float, float, float] | None = None) -> InstanceKeypoints:
    return InstanceKeypoints(points, np.where(np.isfinite(points[:, 0]), 2, 0), box)


def test_the_same_place_is_one_and_a_tenth_of_the_size_counts_as_the_equation_says() -> None:
    assert named_similarity(SQUARE, SQUARE, 100) == 1.0
    assert named_similarity(SQUARE, SQUARE + [10, 0], 100) == pytest.approx(np.exp(-0.5))
    assert not is_taken(instance(SQUARE), [instance(SQUARE + [30, 0])])


def test_exchanged_ends_are_the_same_thing() -> None:
    tube = np.array([[10.0, 10], [90, 40]])
    assert named_similarity(tube, tube[::-1], 80) < 0.01
    assert unnamed_similarity(tube, tube[::-1], 80) == 1.0
    assert is_taken(instance(tube), [instance(tube[::-1])])


def test_two_that_touch_stay_two() -> None:
    tube = np.array([[10.0, 10], [90, 40]])
    beside = tube + [0, 20.0]
    crossing = np.array([[50.0, -15], [50, 65]])
    assert not is_taken(instance(tube), [instance(beside), instance(crossing)])


def test_what_is_made_of_two_is_explained_by_both() -> None:
    first, second = np.array([[0.0, 0], [100, 0]]), np.array([[0.0, 60], [100, 60]])
    made = np.array([[2.0, 1], [97, 61]])
    both = [instance(first), instance(second)]
    assert claimed(instance(made), both, 100) > 0.9 and not any(place_similarity(instance(made), b) > 0.6 for b in both)
    assert claimed(instance(first + [0, 30]), both, 100) < 0.1 and claimed(instance(made), [], 100) == 0.0


def test_what_shows_few_keypoints_is_compared_by_those() -> None:
    few = np.where(np.arange(4)[:, None] < 2, SQUARE + 3, np.nan)
    assert is_taken(instance(SQUARE), [instance(few)])
    assert not is_taken(instance(SQUARE), [instance(few + [0, 60])])


def test_a_box_alone_stands_for_what_has_no_keypoints() -> None:
    nothing = np.full((4, 2), np.nan)
    assert is_taken(instance(SQUARE), [instance(nothing, (0, 0, 110, 110))])
    assert not is_taken(instance(SQUARE), [instance(nothing, (80, 80, 200, 200)), instance(nothing)])


def test_one_keypoint_needs_a_length() -> None:
    point = np.array([[50.0, 50]])
    assert place_similarity(instance(point), instance(point + 5), lone_length=100) == pytest.approx(np.exp(-0.25))
    assert not is_taken(instance(point), [instance(point + 40)], lone_length=100)
