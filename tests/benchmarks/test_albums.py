"""The made albums and the paired interval of `benchmarks.ranking`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.albums import main
from benchmarks.ranking import paired_interval
from kinmark.engine.evaluation.instance_sets import read_identity_folder, read_mask


def test_albums_hold_things_with_masks_and_come_out_the_same_again(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "a.png")
    cut = np.zeros((60, 40, 4), np.uint8)
    cut[5:55, 5:35] = (250, 20, 20, 255)
    (tmp_path / "cut").mkdir()
    Image.fromarray(cut).save(tmp_path / "cut" / "red.png")
    options = ["--photos", str(photos), "--cut-outs", str(tmp_path / "cut"), "--individuals", "1", "--views", "2"]
    for out in ("first", "again"):
        assert main([str(tmp_path / out), *options, "--sessions", "1"]) == 0
    album = read_identity_folder(tmp_path / "first")
    assert [p.path.name for p in album] == ["dog00__0.jpg", "dog00__1.jpg", "red__0.jpg", "red__1.jpg"]
    for photo in album:
        assert photo.path.read_bytes() == (tmp_path / "again" / photo.path.name).read_bytes()
    red = np.asarray(Image.open(album[2].path)).astype(int)
    mask = read_mask(album[2].mask)
    assert 0.02 < mask.mean() < 0.9
    redness = red[..., 0] - red[..., 1:].mean(axis=2)
    assert redness[mask].mean() > 60 + redness[~mask].mean()


def test_paired_interval_of_a_constant_gain_is_a_point():
    ours = {str(i): 0.1 * i + 0.2 for i in range(6)}
    other = {k: v - 0.2 for k, v in ours.items()}
    assert paired_interval(ours, other) == pytest.approx((0.2, 0.2, 0.2))
    other["0"] += 0.6
    mean, low, high = paired_interval(ours, other)
    assert mean == pytest.approx(0.1) and low < 0 < high
