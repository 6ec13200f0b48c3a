"""Label pictures (PNG whose pixel values are class or object numbers): read as they are, written exactly."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import read_header
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import bad
from kinmark.projects.formats.checks import Item

_INDEX_MODES = ("1", "L", "P", "I;16", "I")


def read_index_mask(file: Path, size_wh: tuple[int, int], *, any_colour: bool = False) -> NDArray[np.integer[Any]]:
    """Pixel values `[H, W]` of a palette or grey picture (never its colours); ImportFileError unless of `size_wh`.

    With `any_colour` other pictures are taken too: their largest channel (without alpha).
    """
    try:
        header = read_header(file)  # refuses bombs by size before anything is decoded
    except AppError as error:
        raise bad(file, "", said("the mask picture cannot be read: {0}", error.user_message)) from None
    if header.size_wh != tuple(size_wh):
        raise bad(
            file,
            "",
            said("the mask is {0} x {1}, its image {2} x {3}", header.width, header.height, size_wh[0], size_wh[1]),
        )
    checks.check_raster(Item(file, "", {}), header.width, header.height)
    if header.mode not in _INDEX_MODES and not any_colour:
        raise bad(file, "", said("the mask is a {0} colour picture; a palette or grey one is expected", header.mode))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                image.load()
                values = np.asarray(image if image.mode in _INDEX_MODES else image.convert("RGB"))
    except Exception as error:  # noqa: BLE001 - damaged pictures raise almost anything
        raise bad(file, "", said("the mask picture is damaged ({0})", type(error).__name__)) from None
    if values.ndim == 3:
        values = values.max(axis=2)
    if values.shape != (size_wh[1], size_wh[0]):  # an EXIF rotation has no place in a label picture
        raise bad(
            file,
            "",
            said("the mask is stored as {0} x {1}, its image as {2}", values.shape[1], values.shape[0], size_wh),
        )
    return values.astype(np.uint8) if values.dtype == bool else values


def voc_palette() -> list[int]:
    """The 256 colours of Pascal VOC (bit-interleaved), flat RGB."""
    palette = []
    for index in range(256):
        rgb = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                rgb[channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
        palette += rgb
    return palette


def palette_png(values: NDArray[np.uint8]) -> bytes:
    """`[H, W]` uint8 as palette PNG in VOC colours (no index but 0 is black: some readers test grey > 0)."""
    image = Image.fromarray(values, "P")
    image.putpalette(voc_palette())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
