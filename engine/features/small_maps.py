"""Small maps of whole photos, kept for a first look at all of them: one packed store per part of the features.

Layout below the feature cache: `small/<recipe>/basis-<part>.safetensors` and `small/<recipe>/<columns>x<rows>/<part>/`. Photos
are known by their hash, so projects share what they have in common. Disposable like the rest of the cache: what is damaged
is made again, and the recipes used least recently go first when the cap is reached.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from kinmark.engine.domain.errors import KnownError, ModelCorruptError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.texts import said
from kinmark.engine.features.compress import SharedBasis
from kinmark.engine.features.packed import PackedHits, PackedMaps, PackedPart, Rows, search_parts

LOCK, PATIENCE_S = "lock", 60.0
FOLDER = "small"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The only writer below `folder`, over all processes; KnownError after a minute of waiting."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=PATIENCE_S)
    except Timeout:
        raise KnownError(
            said("Another Kinmark is writing small features to {0} all the time.", folder),
            "Repeat it when that job is done.",
        ) from None
    try:
        yield
    finally:
        lock.release()


class SmallMaps:
    """Packed maps of the photos of one grid, `parts` by name, always of the same photos in the same order."""

    def __init__(self, folder: Path, cells_wh: tuple[int, int], parts: dict[str, PackedMaps]) -> None:
        self.folder, self.cells_wh, self.parts = folder, cells_wh, parts

    @staticmethod
    def open(folder: Path, cells_wh: tuple[int, int], bases: Mapping[str, SharedBasis]) -> SmallMaps:
        """The store in `folder` (its name is the grid's), made or mended where needed."""
        with locked(folder):
            parts = {name: _part(folder / name, basis, cells_wh) for name, basis in bases.items()}
            count = _in_step([part.image_ids for part in parts.values()])
            for part in parts.values():
                # A process that was killed between the parts has left one of them ahead.
                if len(part) > count:
                    part.cut(count)
        return SmallMaps(folder, cells_wh, parts)

    @property
    def rows(self) -> dict[str, int]:
        """Photo -> row."""
        first = next(iter(self.parts.values()))
        return {image_id: row for row, image_id in enumerate(first.image_ids)}

    def add(self, image_ids: Sequence[str], maps: Mapping[str, Sequence[Tensor]]) -> None:
        """Append the photos that are not there yet; `maps` part name -> `[C, h, w]` per photo, on the store's grid."""
        with locked(self.folder):
            self.parts = {name: PackedMaps.open(self.folder / name) for name in self.parts}
            known = set(self.rows)
            new = [i for i, image_id in enumerate(image_ids) if image_id not in known]
            for name, part in self.parts.items():
                part.append([image_ids[i] for i in new], [maps[name][i] for i in new])

    def search(
        self,
        queries: Mapping[str, Tensor],
        weights: Mapping[str, tuple[float, float]],
        image_ids: Sequence[str],
        cancel: CancelToken | None = None,
    ) -> PackedHits:
        """Best cell of every query on the given photos.

        Args:
            queries: part name -> `[K, C]`.
            weights: part name -> (share, width of its kernel or 0).
        """
        rows = self.rows
        parts = [PackedPart(self.parts[name], *weights[name]) for name in queries]
        try:
            only: Rows = np.array([rows[image_id] for image_id in image_ids], dtype=np.int64)
            return search_parts(parts, list(queries.values()), only=only, cancel=cancel)
        except (KeyError, FileNotFoundError):
            raise KnownError(
                said("The small features in {0} were cleared by another program.", self.folder),
                "Repeat it: they are made again.",
            ) from None


def _part(folder: Path, basis: SharedBasis, cells_wh: tuple[int, int]) -> PackedMaps:
    try:
        found = PackedMaps.open(folder)
        if found.cells_wh == cells_wh and found.basis.vectors.equal(basis.vectors):
            return found
    except ModelCorruptError:
        pass  # not there yet, or damaged: made anew
    return PackedMaps.create(folder, basis, cells_wh)


def _in_step(lists: Sequence[list[str]]) -> int:
    """Length of the longest beginning that all lists share."""
    count = 0
    for ids in zip(*lists, strict=False):
        if len(set(ids)) > 1:
            break
        count += 1
    return count


def size_of(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def trim(root: Path, cap_bytes: int) -> int:
    """Remove the recipes used least recently until `root` holds at most `cap_bytes`; the bytes left."""
    recipes = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    sizes = {path: size_of(path) for path in recipes}
    total = sum(sizes.values())
    for path in sorted(recipes, key=lambda p: p.stat().st_mtime):
        if total <= cap_bytes:
            break
        shutil.rmtree(path, ignore_errors=True)
        total -= sizes[path]
    return total
