"""The vector index of a collection: nearest photos by pooled descriptor, exact about what is in it.

usearch holds the vectors (approximate neighbours, memory-mapped reading); a small table beside it says which photos, with which
content hash, are really there, so an answer never names a deleted or changed photo even where the graph still holds a
tombstone. Both files are written under a temporary name and renamed; an index whose two files do not belong together is
treated as absent and built again. Loads no torch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

ROWS_PER_IMAGE = 16
"""Room for sub-region rows in a key: key = image id * 16 + row."""
INDEX_FILE, TABLE_FILE = "vectors.usearch", "photos.npz"
EXPANSION_ADD, EXPANSION_SEARCH, CONNECTIVITY = 96, 128, 16
MAX_TOMBSTONES = 0.3
"""Above this share of removed vectors the index asks to be built again: tombstones cost recall and time."""


@dataclass(frozen=True)
class Neighbour:
    """A photo and its best cosine over query rows and its own rows."""

    image_id: int
    similarity: float


class VectorIndex:
    """Add, replace, remove and search photos' descriptors. One writer at a time; readers may open the same folder.

    Args:
        folder: made when needed.
        fingerprint: of the descriptors' RunSpec; an index of another one counts as empty.
        read_only: vectors stay on disk (memory-mapped) and cannot be changed.
    """

    def __init__(self, folder: Path, fingerprint: str, *, read_only: bool = False) -> None:
        self.folder, self.fingerprint, self.read_only = Path(folder), fingerprint, read_only
        self._index: Any = None
        self._hashes: dict[int, str] = {}
        self._rows: dict[int, int] = {}
        self._removed = 0
        self._load()

    # ---- what is there ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, image_id: int) -> bool:
        return image_id in self._rows

    @property
    def dimensions(self) -> int:
        """Length of a vector; 0 while empty."""
        return int(self._index.ndim) if self._index is not None else 0

    @property
    def worn(self) -> bool:
        """Whether so much was removed that building it again is worth while."""
        total = sum(self._rows.values()) + self._removed
        return total > 0 and self._removed / total > MAX_TOMBSTONES

    def stale(self, wanted: Mapping[int, str]) -> tuple[list[int], list[int]]:
        """Compare with the collection's `{image id: sha256}`: (ids to add or replace, ids to remove)."""
        changed = [i for i, sha in wanted.items() if self._hashes.get(i) != sha]
        gone = [i for i in self._rows if i not in wanted]
        return changed, gone

    # ---- changing --------------------------------------------------------------------------------------------

    def put(self, image_id: int, sha256: str, vectors: NDArray[np.float32]) -> None:
        """Add a photo or replace its vectors `[R, D]`, 1 <= R <= 16, L2-normalised.

        Raises:
            ValueError: another length, too many rows, or values that are not finite.
        """
        rows = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
        if not 1 <= len(rows) <= ROWS_PER_IMAGE or not np.isfinite(rows).all():
            raise ValueError(f"image {image_id}: descriptors {rows.shape} are not 1 to {ROWS_PER_IMAGE} finite rows")
        if self._index is None:
            self._index = _new_index(rows.shape[1])
        if rows.shape[1] != self.dimensions:
            raise ValueError(
                f"image {image_id}: descriptors of length {rows.shape[1]}, the index has {self.dimensions}"
            )
        self.remove([image_id])
        keys = np.arange(len(rows), dtype=np.uint64) + np.uint64(image_id * ROWS_PER_IMAGE)
        self._index.add(keys, rows)
        self._rows[image_id], self._hashes[image_id] = len(rows), sha256

    def remove(self, image_ids: Iterable[int]) -> int:
        """Take photos out; returns how many were there."""
        count = 0
        for image_id in image_ids:
            rows = self._rows.pop(image_id, 0)
            if not rows:
                continue
            self._hashes.pop(image_id, None)
            self._index.remove(np.arange(rows, dtype=np.uint64) + np.uint64(image_id * ROWS_PER_IMAGE))
            self._removed += rows
            count += 1
        return count

    def clear(self) -> None:
        """Forget everything (before building again)."""
        self._index, self._hashes, self._rows, self._removed = None, {}, {}, 0

    def save(self) -> None:
        """Write both files; a kill in between leaves an index that is recognised as incomplete and built again."""
        if self.read_only:
            raise ValueError("the index was opened read-only")
        self.folder.mkdir(parents=True, exist_ok=True)
        stamp = uuid.uuid4().hex
        ids = np.fromiter(self._rows, dtype=np.int64, count=len(self._rows))
        table = {
            "ids": ids,
            "rows": np.array([self._rows[int(i)] for i in ids], dtype=np.int16),
            "hashes": np.array([self._hashes[int(i)] for i in ids], dtype="U64"),
            "card": np.array(json.dumps({"stamp": stamp, "fingerprint": self.fingerprint, "removed": self._removed})),
        }
        names = {TABLE_FILE: f".{stamp}.table.tmp", INDEX_FILE: f".{stamp}.index.tmp"}
        try:
            if self._index is not None:
                self._index.save(str(self.folder / names[INDEX_FILE]))
            with (self.folder / names[TABLE_FILE]).open("wb") as file:
                np.savez(file, **table)  # type: ignore[arg-type]
            (self.folder / TABLE_FILE).unlink(missing_ok=True)
            if self._index is not None:
                (self.folder / names[INDEX_FILE]).replace(self.folder / INDEX_FILE)
            # The table comes last: without it the folder holds no index at all.
            (self.folder / names[TABLE_FILE]).replace(self.folder / TABLE_FILE)
        finally:
            for name in names.values():
                with contextlib.suppress(OSError):
                    (self.folder / name).unlink()

    # ---- asking ----------------------------------------------------------------------------------------------

    def search(self, queries: NDArray[np.float32], count: int) -> list[Neighbour]:
        """The `count` photos most alike to any query row, best first; fewer when there are fewer.

        Args:
            queries: `[Q, D]` L2-normalised.

        Raises:
            ValueError: queries of another length.
        """
        if self._index is None or not self._rows or count < 1:
            return []
        rows = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        if rows.shape[1] != self.dimensions:
            raise ValueError(f"queries of length {rows.shape[1]}, the index has {self.dimensions}")
        best: dict[int, float] = {}
        for row in rows:
            for image_id, similarity in self._nearest(row, min(count, len(self._rows))).items():
                best[image_id] = max(best.get(image_id, -2.0), similarity)
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        return [Neighbour(image_id, similarity) for image_id, similarity in ranked[:count]]

    def _nearest(self, row: NDArray[np.float32], count: int) -> dict[int, float]:
        """At least `count` photos near one query row, as far as there are; asks for more while rows share photos."""
        wanted, found_before = 2 * count + 32, -1
        while True:
            wanted = min(wanted, len(self._index))
            found = self._index.search(row, wanted)
            best: dict[int, float] = {}
            for key, distance in zip(np.atleast_1d(found.keys), np.atleast_1d(found.distances), strict=True):
                image_id, part = divmod(int(key), ROWS_PER_IMAGE)
                # Never name a photo that the table does not know, whatever the graph still holds.
                if part < self._rows.get(image_id, 0):
                    best[image_id] = max(best.get(image_id, -2.0), 1.0 - float(distance))
            if len(best) >= count or wanted >= len(self._index) or len(best) == found_before:
                return best
            wanted, found_before = wanted * 3, len(best)

    # ---- disk ------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        table_path, index_path = self.folder / TABLE_FILE, self.folder / INDEX_FILE
        if not table_path.is_file():
            return
        try:
            with np.load(table_path, allow_pickle=False) as table:
                card = json.loads(str(table["card"]))
                ids, rows, hashes = table["ids"].tolist(), table["rows"].tolist(), table["hashes"].tolist()
            if card["fingerprint"] != self.fingerprint:
                return
            index = _open_index(index_path, view=self.read_only) if ids else None
            total = sum(rows)
            if index is not None and len(index) != total:
                raise ValueError(f"the index holds {len(index)} vectors, its table {total}")
        except Exception as error:  # noqa: BLE001 - any damage has one answer: build again
            log.warning("the index in %s is damaged and will be built again: %r", self.folder, error)
            return
        self._index, self._removed = index, int(card.get("removed", 0))
        self._rows = dict(zip(ids, rows, strict=True))
        self._hashes = dict(zip(ids, hashes, strict=True))


def _new_index(dimensions: int) -> Any:
    from usearch.index import Index

    return Index(
        ndim=dimensions,
        metric="cos",
        dtype="f16",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
    )


def _open_index(path: Path, *, view: bool) -> Any:
    from usearch.index import Index

    if not path.is_file() or not os.path.getsize(path):
        raise ValueError("the vectors are missing")
    index = Index.restore(str(path), view=view)
    if index is None:
        raise ValueError("the vectors cannot be opened")
    index.expansion_search = EXPANSION_SEARCH
    return index
