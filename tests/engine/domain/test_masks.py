"""Masks survive encoding exactly; damaged run lengths are refused before the C decoder sees them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.masks import MaskRLE, mask_from_runs, mask_iou, runs_of_counts

masks = hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(masks)
def test_round_trip_is_exact(mask):
    rle = MaskRLE.encode(mask)
    rle.validate()
    assert (rle.decode() == mask).all()
    assert rle.area == mask.sum()
    assert (mask_from_runs(runs_of_counts(rle.counts), *mask.shape) == mask).all()


def test_order_is_column_major():
    mask = np.zeros((2, 3), bool)
    mask[1, 0] = True
    assert runs_of_counts(MaskRLE.encode(mask).counts) == [1, 1, 4]


def test_box_is_continuous():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert MaskRLE.encode(mask).box == (3, 2, 9, 5)


@pytest.mark.parametrize("counts", ["`", "\x00", "zzz", "~~~~~~~~~~~~~~~~~~~~", "é", "\x80", "11"])
def test_damaged_counts_are_refused(counts):
    with pytest.raises(UserInputError):
        MaskRLE(4, 4, counts).validate()


@given(st.text(max_size=30), st.integers(-2, 50), st.integers(-2, 50))
@example("\x80", 3, 5)  # once read as "?", a run of 15 zeros
@example("é", 15, 1)
def test_any_text_is_either_valid_or_refused(counts, height, width):
    rle = MaskRLE(height, width, counts)
    try:
        rle.validate()
    except UserInputError:
        return
    assert rle.decode().shape == (height, width)


def test_runs_must_fit():
    with pytest.raises(UserInputError):
        mask_from_runs([3, 4], 2, 2)
    with pytest.raises(UserInputError):
        mask_from_runs([-1, 5], 2, 2)
    with pytest.raises(ValueError, match="shape"):
        MaskRLE.encode(np.zeros(4, bool))


def test_iou():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert mask_iou(a, b) == 1
    a[:2], b[1:3] = True, True
    assert mask_iou(a, b) == pytest.approx(1 / 3)
