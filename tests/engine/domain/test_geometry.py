"""Transforms invert, frames convert, fits recover: properties over random input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinmark.engine.domain import geometry

numbers = st.floats(-1e4, 1e4)
points = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8).map(np.array)


@given(points, st.floats(-3.1, 3.1), st.booleans())
def test_crop_transform_inverts(xy, rotation, flip):
    transform = geometry.ImageTransform.crop((10, 20, 310, 120), (64, 96), rotation, flip)
    np.testing.assert_allclose(transform.to_image(transform.to_input(xy)), xy, atol=1e-6)
    np.testing.assert_allclose(transform.from_feature(transform.to_feature(xy, (8, 12)), (8, 12)), xy, atol=1e-6)


def test_whole_image_resize_puts_pixel_centres_on_pixel_centres():
    transform = geometry.ImageTransform.resize((100, 50), (100, 50))
    np.testing.assert_allclose(transform.to_input([[0.5, 0.5], [99.5, 49.5]]), [[0, 0], [99, 49]])


def test_corner_aligned_rescale_maps_corners_to_corners():
    np.testing.assert_allclose(
        geometry.rescale_corner_aligned([[0, 0], [46, 32]], (47, 33), (16, 12)), [[0, 0], [15, 11]]
    )
    np.testing.assert_allclose(geometry.rescale_corner_aligned([[3, 3]], (1, 1), (5, 5)), [[0, 0]])


def test_flip_mirrors_and_rotation_turns_clockwise_on_screen():
    flip = geometry.ImageTransform.crop((0, 0, 10, 10), (10, 10), flip=True)
    np.testing.assert_allclose(flip.to_input([[1.5, 2.5]]), [[8, 2]])
    quarter = geometry.ImageTransform.crop((0, 0, 10, 10), (10, 10), rotation_rad=np.pi / 2)
    np.testing.assert_allclose(quarter.to_input([[9.5, 5.0]]), [[4.5, 9.0]], atol=1e-9)


@given(st.floats(0.1, 10), st.floats(-3, 3), st.floats(-50, 50), st.floats(-50, 50), st.integers(0, 10_000))
def test_similarity_fit_recovers_the_truth(scale, angle, dx, dy, seed):
    truth = geometry.Similarity(scale, angle, (dx, dy))
    source = np.random.default_rng(seed).random((5, 2)) * 100
    fitted = geometry.fit_similarity(source, truth.apply(source))
    np.testing.assert_allclose(fitted.matrix, truth.matrix, atol=1e-6 * max(scale, 1) * 100)


def test_similarity_fit_of_one_place_is_a_shift():
    fitted = geometry.fit_similarity([[1, 1], [1, 1]], [[4, 5], [4, 5]])
    np.testing.assert_allclose(fitted.apply([[0, 0]]), [[3, 4]])


def test_integer_pixels_are_floored_and_clamped():
    pixels = geometry.continuous_to_pixel([[0.0, 0.99], [10.0, 7.5], [-3, 2]], (10, 8))
    assert pixels.tolist() == [[0, 0], [9, 7], [0, 2]]
    np.testing.assert_allclose(geometry.continuous_to_pixel(geometry.index_to_continuous([[3, 4]])), [[3, 4]])


def test_boxes():
    assert geometry.box_of_points([[1, 2], [np.nan, 1], [5, 9]]) == (1, 2, 5, 9)
    with pytest.raises(ValueError, match="no finite point"):
        geometry.box_of_points([[np.nan, np.nan]])
    assert geometry.expand_box((0, 0, 10, 20), margin=0.5, square=True) == (-15, -10, 25, 30)
    assert geometry.box_iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert geometry.box_iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert geometry.clip_box((-5, -5, 50, 5), (20, 10)) == (0, 0, 20, 5)
    with pytest.raises(ValueError, match="empty crop"):
        geometry.ImageTransform.crop((5, 5, 5, 9), (8, 8))
    with pytest.raises(ValueError, match="shape"):
        geometry.as_points([1, 2, 3])
