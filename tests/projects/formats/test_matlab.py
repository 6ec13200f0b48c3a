"""MATLAB 5 files: numbers as SciPy writes them, and no damage does more than raise an error."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from kinmark.projects.formats.matlab import MatlabError, read_arrays

KPS = np.array([[12.5, 7.0], [np.nan, np.nan], [300.25, -1.0]])


def written(*, compressed: bool = False, **arrays: object) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, arrays, do_compression=compressed)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "u1", "i8", "u2"])
def test_same_numbers_as_scipy(compressed: bool, dtype: str) -> None:
    box = np.array([[10, 20, 110, 220]]).astype(dtype)
    data = written(compressed=compressed, kps=KPS, bbox=box, note="a text", nested={"a": 1}, more=np.ones((2, 2, 2)))
    found = read_arrays(data, ("kps", "bbox"))
    wanted = loadmat(io.BytesIO(data))
    assert set(found) == {"kps", "bbox"}
    np.testing.assert_array_equal(found["kps"], wanted["kps"])
    np.testing.assert_array_equal(found["bbox"], wanted["bbox"].astype(np.float64))


@pytest.mark.parametrize(
    "value", ["a text", {"a": 1}, np.ones((2, 2, 2)), np.array([[1 + 2j]]), np.array([["x"]], object)]
)
def test_what_is_no_plain_array_is_refused(value: object) -> None:
    with pytest.raises(MatlabError, match="kps"):
        read_arrays(written(kps=value), ("kps",))


def test_a_type_number_out_of_range() -> None:
    """The byte with which fuzzing ended the process inside SciPy's reader."""
    data = bytearray(written(kps=KPS, bbox=np.array([[1, 2, 3, 4]], np.uint8)))
    small = data.rindex(struct.pack("<HH", 2, 4))
    data[small + 1] = 16
    with pytest.raises(MatlabError, match="unknown type"):
        read_arrays(bytes(data), ("kps", "bbox"))


@pytest.mark.parametrize("data", [b"", b"x" * 127, b"x" * 400, b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"])
def test_other_files(data: bytes) -> None:
    with pytest.raises(MatlabError):
        read_arrays(data, ("kps",))


def test_a_compressed_bomb_is_refused() -> None:
    with pytest.raises(MatlabError, match="too large"):
        read_arrays(written(compressed=True, kps=np.zeros((1_000_000, 2))), ("kps",))


@given(
    st.integers(0, 2**32), st.booleans(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6)
)
def test_damage_raises_nothing_else(cut: int, compressed: bool, changes: list[tuple[int, int]]) -> None:
    data = bytearray(written(compressed=compressed, kps=KPS, bbox=np.array([[1, 2, 3, 4]], np.uint8)))
    for position, value in changes:
        data[position % len(data)] = value
    if cut % 3 == 0:
        del data[cut % len(data) :]
    try:
        for array in read_arrays(bytes(data), ("kps", "bbox")).values():
            assert array.ndim == 2
    except MatlabError:
        pass
