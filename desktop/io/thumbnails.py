"""Thumbnails and crops: made in the pool, kept on disk as small JPEGs, handed out as QImages."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from PySide6.QtGui import QImage, QPixmap

from kinmark.desktop.canvas.pyramid import to_qimage
from kinmark.desktop.io.pool import THUMBNAIL, IoPool
from kinmark.engine.domain.errors import AppError, UnreadableImageError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import load_image
from kinmark.engine.paths import cache_dir
from kinmark.engine.remote import local_file

SIDE = 256
KEEP = 1500


def thumbnail_file(path: Path, stat: os.stat_result) -> Path:
    """Where the thumbnail of this version of the file is kept."""
    key = hashlib.sha256(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}".encode("utf-8", "surrogatepass")).hexdigest()
    return cache_dir() / "thumbnails" / key[:2] / f"{key[:32]}.jpg"


def make_thumbnail(path: Path) -> QImage:
    """At most 256 x 256, from disk when already made (pool thread); raises UnreadableImageError."""
    try:
        kept = thumbnail_file(path, local_file(path).stat())
    except OSError as error:
        raise UnreadableImageError(
            said("Cannot read the image {0}: the file is not there.", path),
            "Re-link the moved folder or restore the file.",
            str(error),
        ) from None
    if kept.exists():
        image = QImage(str(kept))
        if not image.isNull():
            return image.convertToFormat(QImage.Format.Format_RGB32)
    rgb = load_image(path, max_side=SIDE, resample=Image.Resampling.HAMMING).rgb
    with contextlib.suppress(OSError):  # a full or read-only cache folder only costs time
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(f".{os.getpid()}.tmp")
        Image.fromarray(rgb).save(temporary, format="JPEG", quality=88)
        temporary.replace(kept)
    return to_qimage(rgb)


def make_crop(path: Path, box: Box, side: int) -> QImage:
    """The square around `box` (xy_image, clipped and padded with grey), `side` pixels (pool thread)."""
    import numpy as np

    loaded = load_image(path, max_side=max(side * 8, 1024))
    rgb, scale = loaded.rgb, loaded.scale
    x0, y0, x1, y1 = (round(v * scale) for v in box)
    length = max(x1 - x0, y1 - y0, 2)
    cx, cy = (x0 + x1) // 2, (y0 + y1) // 2
    left, top = cx - length // 2, cy - length // 2
    canvas = np.full((length, length, 3), 60, dtype=np.uint8)
    height, width = rgb.shape[:2]
    sx0, sy0, sx1, sy1 = max(left, 0), max(top, 0), min(left + length, width), min(top + length, height)
    if sx1 > sx0 and sy1 > sy0:
        canvas[sy0 - top : sy1 - top, sx0 - left : sx1 - left] = rgb[sy0:sy1, sx0:sx1]
    image = Image.fromarray(canvas).resize((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return to_qimage(np.asarray(image))


class ThumbnailStore:
    """GUI thread; owned by the program. `get` answers at once or None, and calls back when the picture is there."""

    def __init__(self, pool: IoPool) -> None:
        self.pool = self._pool = pool
        self._pixmaps: OrderedDict[str, QPixmap] = OrderedDict()
        self._errors: dict[str, AppError] = {}
        self._waiting: dict[str, list[Callable[[], object]]] = {}

    def get(self, path: Path, ready: Callable[[], object]) -> QPixmap | None:
        """The thumbnail of a photo."""
        return self._get(f"thumb:{path}", lambda: make_thumbnail(path), ready)

    def crop(self, path: Path, box: Box, side: int, ready: Callable[[], object]) -> QPixmap | None:
        """The square around `box`, for grids of parts and identities."""
        rounded = tuple(round(v) for v in box)
        return self._get(f"crop:{path}:{rounded}:{side}", lambda: make_crop(path, box, side), ready)

    def error(self, path: Path) -> AppError | None:
        """Why a photo has no thumbnail."""
        return self._errors.get(f"thumb:{path}")

    def _get(self, key: str, work: Callable[[], QImage], ready: Callable[[], object]) -> QPixmap | None:
        pixmap = self._pixmaps.get(key)
        if pixmap is not None:
            self._pixmaps.move_to_end(key)
            return pixmap
        if key in self._errors:
            return None
        if key in self._waiting:
            self._waiting[key].append(ready)
            return None
        self._waiting[key] = [ready]

        def done(image: QImage) -> None:
            self._pixmaps[key] = QPixmap.fromImage(image)
            while len(self._pixmaps) > KEEP:
                self._pixmaps.popitem(last=False)
            self._tell(key)

        def failed(error: AppError) -> None:
            self._errors[key] = error
            self._tell(key)

        self._pool.submit(key, work, done, failed=failed, priority=THUMBNAIL)
        return None

    def _tell(self, key: str) -> None:
        for ready in self._waiting.pop(key, []):
            ready()

    def forget_waiting(self) -> None:
        """Drop requests that are not on screen any more."""
        self._pool.forget("thumb:")
        self._pool.forget("crop:")
        self._waiting.clear()

    def clear(self) -> None:
        """Forget everything (another project, re-linked folders)."""
        self.forget_waiting()
        self._pixmaps.clear()
        self._errors.clear()
