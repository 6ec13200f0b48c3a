"""What a suggestion looks like in small, for telling shots of one moment from different pictures: made in the pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinmark.desktop.io.pool import AHEAD, IoPool
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.imaging import load_image, read_taken

SIDE = 16
"""Cells along a small picture: a breath of movement between two shots stays inside one."""
DECODE_SIDE = 256
CORRELATION, CORRELATION_SAME_MOMENT = 0.93, 0.85
"""How alike whole photo and thing must be; less where both were taken within MOMENT_S."""
MOMENT_S, APART_S = 3.0, 120.0
"""Photos taken further apart than APART_S are different pictures, however alike."""
MOST_DIFFERENCE, FLAT = 20.0, 4.0
"""Mean difference of brightness and colour (0..255) above which two pictures differ; spread under which a picture is flat."""

Small = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """`photo`, `thing`: `[16, 16, 3]` float32 RGB of the whole photo and of the box; `taken`: EXIF time or None."""

    photo: Small
    thing: Small
    taken: datetime | None


def make_look(path: Path, box: Box) -> Look:
    """Look of a box (xy_image, clipped to the photo); pool thread; UnreadableImageError."""
    loaded = load_image(path, max_side=DECODE_SIDE)
    height, width = loaded.rgb.shape[:2]
    x0, y0, x1, y1 = (value * loaded.scale for value in box)
    left, top = min(max(int(x0), 0), width - 1), min(max(int(y0), 0), height - 1)
    right, bottom = min(max(round(x1), left + 1), width), min(max(round(y1), top + 1), height)
    return Look(_small(loaded.rgb), _small(loaded.rgb[top:bottom, left:right]), read_taken(path))


def _small(rgb: NDArray[np.uint8]) -> Small:
    picture = Image.fromarray(np.ascontiguousarray(rgb)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(picture, dtype=np.float32)


def correlation(a: Small, b: Small) -> float:
    """Of two small pictures, moved by up to one cell; 1 for two flat ones of one colour, 0 for other colours."""
    best = -1.0
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            first = a[max(dy, 0) : SIDE + min(dy, 0), max(dx, 0) : SIDE + min(dx, 0)]
            second = b[max(-dy, 0) : SIDE + min(-dy, 0), max(-dx, 0) : SIDE + min(-dx, 0)]
            if float(np.abs(first - second).mean()) > MOST_DIFFERENCE:
                continue
            first, second = (part - part.mean(axis=(0, 1)) for part in (first, second))
            spread = float(np.sqrt((first**2).mean() * (second**2).mean()))
            flat = max(float((part**2).mean()) for part in (first, second)) < FLAT**2
            best = max(best, 1.0 if flat else float((first * second).mean()) / max(spread, 1e-6))
    return best


def same_moment(a: Look, b: Look) -> bool:
    """Whether two looks show one moment: whole photo and thing are alike, and the times do not say otherwise."""
    wanted = CORRELATION
    if a.taken is not None and b.taken is not None:
        apart = abs((a.taken - b.taken).total_seconds())
        if apart > APART_S:
            return False
        if apart <= MOMENT_S:
            wanted = CORRELATION_SAME_MOMENT
    return correlation(a.photo, b.photo) >= wanted and correlation(a.thing, b.thing) >= wanted


class LookStore:
    """GUI thread; owned by a page. Answers at once or None, and calls `ready` when looks that were asked for are there."""

    def __init__(self, pool: IoPool, ready: Callable[[], object]) -> None:
        self._pool, self._ready = pool, ready
        self._looks: dict[tuple[Path, Box], Look | None] = {}
        self._waiting: set[tuple[Path, Box]] = set()

    def get(self, path: Path, box: Box) -> Look | None:
        """The look of a box; None while it is made, and for a photo that cannot be read."""
        key = path, box
        if key in self._looks or key in self._waiting:
            return self._looks.get(key)
        self._waiting.add(key)

        def answer(look: Look | None) -> None:
            self._waiting.discard(key)
            self._looks[key] = look
            if not self._waiting:
                self._ready()

        def failed(_: AppError) -> None:
            answer(None)

        name = f"look:{path}:{tuple(round(v) for v in box)}"
        self._pool.submit(name, lambda: make_look(path, box), answer, failed=failed, priority=AHEAD)
        return None
