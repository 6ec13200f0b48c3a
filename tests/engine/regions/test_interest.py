"""Interest points: the same pattern turned and scaled agrees, another one and a flat photo do not; foreground counts."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from kinmark.engine.regions.interest import RATIO, agreeing_points, agreeing_votes, distinctive_points, interest_points

ONES = np.ones((8, 8), np.float32)


def pattern(seed, side=220):
    """Random discs of many sizes and greys: full of distinct points."""
    rng = np.random.default_rng(seed)
    rgb = np.full((side, side, 3), 128, np.uint8)
    for _ in range(90):
        centre = tuple(int(v) for v in rng.integers(0, side, 2))
        cv2.circle(rgb, centre, int(rng.integers(3, 16)), tuple(int(v) for v in rng.integers(0, 255, 3)), -1)
    return rgb


def turned(rgb, degrees, scale):
    side = rgb.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, scale)
    return cv2.warpAffine(rgb, matrix, (side, side), borderValue=(128, 128, 128))


def test_a_turned_and_smaller_copy_agrees_and_another_pattern_does_not():
    query = interest_points(pattern(1), ONES)
    copy = interest_points(turned(pattern(1), 25, 0.7), ONES)
    other = interest_points(pattern(2), ONES)
    assert len(query) > 60
    # Discs are alike among themselves: a few of another pattern agree by chance.
    assert agreeing_points(query, copy) > 60 and agreeing_points(query, other) < 0.25 * agreeing_points(query, copy)


def test_matches_must_agree_on_the_place():
    query = interest_points(pattern(1), ONES)
    copy = interest_points(turned(pattern(1), 0, 0.9), ONES)
    order = np.random.default_rng(0).permutation(len(copy))
    scattered = replace(copy, xy=copy.xy[order], sizes=copy.sizes[order], angles=copy.angles[order])
    assert agreeing_points(query, scattered) < 0.2 * agreeing_points(query, copy)


def test_the_background_counts_nothing():
    weights = np.zeros((8, 8), np.float32)
    weights[:4] = 1  # the thing is the upper half
    query = interest_points(pattern(1), weights)
    lower = pattern(3)
    lower[110:] = pattern(1)[110:]  # only the surroundings come back
    upper = pattern(3)
    upper[:110] = pattern(1)[:110]
    same_place, same_thing = (agreeing_points(query, interest_points(v, weights)) for v in (lower, upper))
    assert same_thing > 20 and same_place < 0.2 * same_thing


def test_flat_and_tiny_photos_have_no_points_and_match_nothing():
    query = interest_points(pattern(1), ONES)
    for side in (1, 64):
        flat = interest_points(np.full((side, side, 3), 90, np.uint8), ONES)
        assert len(flat) == 0
        assert agreeing_points(query, flat) == agreeing_points(flat, query) == agreeing_points(flat, flat) == 0
    assert 0.5 < RATIO < 1


def test_points_that_come_back_in_many_photos_tell_little():
    """A maker's mark (upper half) is on every article, what is below differs: the same article must win clearly."""

    def article(number, degrees=0):
        rgb = pattern(50)
        rgb[110:] = pattern(number)[110:]
        return interest_points(turned(rgb, degrees, 0.9), ONES)

    query = article(1)
    targets = [article(1, 10), *(article(n, 7) for n in range(2, 9))]
    plain = np.array([agreeing_votes(query, t).sum() for t in targets])
    told = distinctive_points(query, targets)
    assert plain.argmax() == told.argmax() == 0
    assert told[0] / told[1:].max() > 1.25 * plain[0] / plain[1:].max()
    assert distinctive_points(query, targets, own=0)[0] == 0
