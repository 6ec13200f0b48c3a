"""Likeness of photos: matches that agree on a place, mirrored things, the foreground without a mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import ImageInput
from kinmark.engine.features.views import ImageSource
from kinmark.engine.regions.likeness import (
    RANKING_COLOUR_SHARE,
    best_likeness,
    consistent_share,
    patch_vectors,
    target_vectors,
)
from kinmark.engine.retrieval.photo import describe_photo, foreground_weights
from kinmark.engine.retrieval.ranking import likeness_parts
from tests.engine.instances.conftest import BLUE, RED, draw


def describe(tmp_path, name, rgb):
    path = tmp_path / f"{name}.png"
    Image.fromarray(rgb).save(path)
    return describe_photo(ImageSource(), ImageInput(name, path))


@pytest.fixture
def photo(tmp_path):
    rgb, _ = draw(balls=[(60, 60, 34, RED), (75, 50, 9, BLUE)], seed=1)
    return describe(tmp_path, "photo", rgb)


def test_matches_in_place_agree_and_scattered_ones_do_not(photo):
    patches = photo.patches
    votes, own = np.asarray(patches.weights), np.arange(len(patches.weights), dtype=np.int32)
    agreeing = consistent_share(patches, patches, own, votes)
    scattered = consistent_share(patches, patches, np.random.default_rng(0).permutation(own), votes)
    assert 0.2 < agreeing <= 1 and scattered < 0.5 * agreeing
    assert consistent_share(patches, patches, own, np.zeros_like(votes)) == 0
    moved = replace(patches, xy=patches.xy + np.float32(0.1))
    assert consistent_share(patches, moved, own, votes) == pytest.approx(agreeing, rel=0.5)


def test_the_best_match_is_the_largest_product(photo):
    patches = photo.patches
    targets = [target_vectors(patches), target_vectors(photo.mirrored)]
    best, where = best_likeness(patches, targets)
    products = [patch_vectors(patches, as_target=False, colour_share=RANKING_COLOUR_SHARE) @ t for t in targets]
    np.testing.assert_allclose(best, np.stack([p.max(axis=1) for p in products], axis=1), rtol=1e-5)
    np.testing.assert_array_equal(where[:, 1], products[1].argmax(axis=1))


def test_a_thing_that_faces_the_other_way_is_the_same_thing(tmp_path):
    balls = [(60, 60, 34, RED), (78, 46, 9, BLUE), (45, 70, 6, BLUE)]
    first, second = (draw(balls=balls, seed=s)[0] for s in (1, 2))
    others = [draw(balls=[(80, 60, 30, RED), (60 + 8 * s, 60, 12, BLUE)], seed=s)[0] for s in range(3, 8)]
    names = [first, np.ascontiguousarray(second[:, ::-1]), *others]
    photos = [describe(tmp_path, str(i), rgb) for i, rgb in enumerate(names)]
    with_mirror = likeness_parts(photos).consistent[0]
    without = likeness_parts([replace(p, mirrored=p.patches) for p in photos]).consistent[0]
    assert np.argmax(with_mirror) == 1 and with_mirror[1] > without[1]


def test_the_foreground_is_where_the_thing_is():
    rgb, [ball] = draw(balls=[(90, 55, 25, RED)], seed=4)
    weights = foreground_weights(rgb, None, None)
    rows, columns = weights.shape
    inside = ball[:: ball.shape[0] // rows, :: ball.shape[1] // columns][:rows, :columns]
    assert weights[inside].mean() > 8 * weights[~inside].mean() and weights.max() == 1
