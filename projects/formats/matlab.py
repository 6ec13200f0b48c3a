"""Numbers from MATLAB 5 files (.mat), read without trusting a byte of them.

SciPy's reader is compiled code that follows a damaged type number out of its table and ends the process; label files come
from strangers. Two-dimensional real arrays of numbers are all that label sets keep in such files, and all that is read.
Layout: "MAT-File Level 5 File Format" (The MathWorks): elements of tag (type, length) and data, padded to 8 bytes, arrays being
elements of elements, optionally each compressed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.texts import said

HEADER = 128
COMPRESSED, MATRIX = 15, 14
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Type number of an element to NumPy's letters."""
NUMERIC_CLASSES = range(6, 16)
MAX_INFLATED = 4 << 20
MAX_NUMBERS = 1_000_000
MAX_ARRAYS = 1000


class MatlabError(ValueError):
    """The bytes are no MATLAB 5 file that holds the wanted arrays; the text says why."""


def read_arrays(data: bytes, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """The named two-dimensional real arrays `[rows, columns]` of a file, as float64; others are passed over.

    Raises:
        MatlabError: not such a file, damaged, or a named array that is no two-dimensional real array of numbers.
    """
    order = _byte_order(data)
    found: dict[str, NDArray[np.float64]] = {}
    for count, (kind, content) in enumerate(_elements(memoryview(data)[HEADER:], order)):
        if count >= MAX_ARRAYS:
            raise MatlabError("too many arrays")
        if kind == COMPRESSED:
            inner = next(_elements(memoryview(_inflate(content)), order), None)
            if inner is None:
                raise MatlabError("an empty compressed array")
            kind, content = inner
        if kind != MATRIX:
            continue
        named = _matrix(content, order, names)
        if named is not None:
            found[named[0]] = named[1]
    return found


def _byte_order(data: bytes) -> str:
    if len(data) < HEADER:
        raise MatlabError("it is too short")
    mark = data[126:128]
    if mark not in (b"IM", b"MI"):
        raise MatlabError("it is no MATLAB 5 file")
    order = "<" if mark == b"IM" else ">"
    (version,) = struct.unpack_from(order + "H", data, 124)
    if version >> 8 != 1:
        raise MatlabError("it is of another version (save it with -v6 or -v7)")
    return order


def _inflate(content: memoryview) -> bytes:
    machine = zlib.decompressobj()
    try:
        data = machine.decompress(content, MAX_INFLATED)
    except zlib.error as error:
        raise MatlabError(said("damaged compression ({0})", error)) from None
    if machine.unconsumed_tail:
        raise MatlabError("an array too large for labels")
    return data


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, content) of the elements in a row."""
    position = 0
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, position)
        if kind >> 16:
            # Up to four bytes lie inside the tag itself, with the length in its upper half.
            kind, size, start, end = kind & 0xFFFF, kind >> 16, position + 4, position + 8
            if size > 4:
                raise MatlabError("a small element of more than four bytes")
        else:
            start = position + 8
            end = start + size
            if kind != COMPRESSED:
                end = start + (size + 7) // 8 * 8
        if start + size > len(data):
            raise MatlabError("it ends in the middle of an array")
        yield kind, data[start : start + size]
        position = end


def _matrix(content: memoryview, order: str, names: tuple[str, ...]) -> tuple[str, NDArray[np.float64]] | None:
    """(name, array) of a wanted matrix; None for one that was not asked for."""
    parts = _elements(content, order)
    flags, shape, name = (next(parts, None) for _ in range(3))
    if flags is None or shape is None or name is None or flags[0] != 6 or len(flags[1]) < 8:
        raise MatlabError("an array without its description")
    title = bytes(name[1]).decode("latin-1")
    if title not in names:
        return None
    (word,) = struct.unpack_from(order + "I", flags[1], 0)
    if (word & 0xFF) not in NUMERIC_CLASSES or word & 0x0800:
        raise MatlabError(said('"{0}" is no array of real numbers', title))
    sizes = _numbers(shape, order).astype(np.int64).tolist()
    if len(sizes) != 2 or min(sizes) < 0 or sizes[0] * sizes[1] > MAX_NUMBERS:
        raise MatlabError(said('"{0}" has the sizes {1}', title, sizes))
    values = next(parts, None)
    if values is None:
        raise MatlabError(said('"{0}" holds nothing', title))
    numbers = _numbers(values, order)
    if numbers.size != sizes[0] * sizes[1]:
        raise MatlabError(said('"{0}" holds {1} numbers instead of {2} x {3}', title, numbers.size, sizes[0], sizes[1]))
    return title, numbers.reshape(sizes, order="F")


def _numbers(element: tuple[int, memoryview], order: str) -> NDArray[np.float64]:
    kind, content = element
    if kind not in NUMBERS:
        raise MatlabError(said("numbers of the unknown type {0}", kind))
    letters = NUMBERS[kind]
    if len(content) % int(letters[1]):
        raise MatlabError("half a number")
    return np.frombuffer(content, dtype=order + letters).astype(np.float64)
