"""Decoded photos: a memory-capped store with neighbours decoded ahead, and a check that the file is still the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kinmark.desktop.canvas.pyramid import ImagePyramid
from kinmark.desktop.io.pool import AHEAD, URGENT, IoPool
from kinmark.engine.domain.errors import AppError
from kinmark.engine.imaging import load_image, read_header
from kinmark.engine.remote import local_file

CACHE_BYTES = 768 << 20
PREVIEW_FROM_PIXELS = 24_000_000
PREVIEW_SIDE = 1600
BYTES_PER_PIXEL = 6
"""Of a decoded photo: four for the full size, a third more for the smaller levels, rounded up."""
AHEAD_SHARE = 6
"""A photo that takes more than this part of the store is not decoded ahead of need."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo and the file's modification time when it was read."""

    path: Path
    pyramid: ImagePyramid
    mtime_ns: int


def read_photo(path: Path) -> Photo:
    """Decode a photo and build its levels (pool thread); raises UnreadableImageError."""
    loaded = load_image(path)
    return Photo(path, ImagePyramid.build(loaded.rgb), _mtime(path))


def read_preview(path: Path) -> Photo | None:
    """A quick small version of a very large photo, None for an ordinary one (pool thread)."""
    header = read_header(path)
    if header.width * header.height < PREVIEW_FROM_PIXELS or header.format != "JPEG":
        return None
    loaded = load_image(path, max_side=PREVIEW_SIDE)
    return Photo(path, ImagePyramid.build(loaded.rgb, header.size_wh), _mtime(path))


def read_ahead(path: Path, most_pixels: int) -> Photo | None:
    """A photo that may be wanted next; None for one so large that it would push out what is there (pool thread)."""
    header = read_header(path)
    return read_photo(path) if header.width * header.height <= most_pixels else None


def _mtime(path: Path) -> int:
    try:
        return local_file(path).stat().st_mtime_ns
    except OSError:
        return -1


class PhotoStore:
    """GUI thread; owned by the program. Hands out photos at once when decoded, later otherwise."""

    def __init__(self, pool: IoPool, cache_bytes: int = CACHE_BYTES) -> None:
        self._pool = pool
        self._cache_bytes = cache_bytes
        self._photos: OrderedDict[Path, Photo] = OrderedDict()

    def cached(self, path: Path) -> Photo | None:
        """The photo if it is decoded."""
        photo = self._photos.get(path)
        if photo is not None:
            self._photos.move_to_end(path)
        return photo

    def load(
        self,
        path: Path,
        done: Callable[[Photo], object],
        failed: Callable[[AppError], object],
        *,
        on_replaced: Callable[[Photo], object] | None = None,
    ) -> bool:
        """Call `done` now (True) when cached, else later. A cached photo is compared with the file in the background."""
        photo = self.cached(path)
        if photo is not None:
            done(photo)
            self.look_again(path, photo.mtime_ns, on_replaced or done, failed)
            return True

        def store(new: Photo) -> None:
            self._keep(new)
            done(new)

        def preview(small: Photo | None) -> None:
            if small is not None and self.cached(path) is None:
                done(small)

        self._pool.submit(f"photo:{path}", lambda: read_photo(path), store, failed=failed, priority=URGENT)
        self._pool.submit(f"preview:{path}", lambda: read_preview(path), preview, priority=URGENT)
        return False

    def look_again(
        self,
        path: Path,
        known_ns: int,
        replaced: Callable[[Photo], object],
        gone: Callable[[AppError], object],
        same: Callable[[], object] = lambda: None,
    ) -> None:
        """Compare a photo that is shown with its file; `same` is called when it is what is shown (a drive that came back).

        Args:
            known_ns: modification time of what is shown (another view may have read the file again since).
        """
        kept = self._photos.get(path)

        def work() -> Photo | None:
            now = _mtime(path)
            if now == known_ns:
                return None
            return kept if kept is not None and kept.mtime_ns == now else read_photo(path)

        def compare(new: Photo | None) -> None:
            if new is not None:
                self._keep(new)
                replaced(new)
            else:
                same()

        def failed(error: AppError) -> None:
            self._photos.pop(path, None)
            gone(error)

        # Each view asks for itself: the answer depends on what it shows.
        self._pool.submit(f"check:{known_ns}:{path}", work, compare, failed=failed, priority=URGENT)

    def prefetch(self, paths: list[Path]) -> None:
        """Decode these ahead of need, unless they would push out what is there."""
        most_pixels = self._cache_bytes // (AHEAD_SHARE * BYTES_PER_PIXEL)
        for path in reversed(paths):
            if path not in self._photos:
                self._pool.submit(
                    f"ahead:{path}", lambda p=path: read_ahead(p, most_pixels), self._keep, priority=AHEAD
                )

    def _keep(self, photo: Photo | None) -> None:
        if photo is None:
            return
        self._photos[photo.path] = photo
        self._photos.move_to_end(photo.path)
        total = sum(p.pyramid.byte_count for p in self._photos.values())
        while total > self._cache_bytes and len(self._photos) > 1:
            _, old = self._photos.popitem(last=False)
            total -= old.pyramid.byte_count

    def clear(self) -> None:
        """Forget all photos."""
        self._photos.clear()
