"""The vector index of a collection: nearest photos by their pooled vectors, exact in every sense.

Vectors lie as float32 rows in one memory-mapped file, a small table beside it says which rows are which photo's and of which
content. A search multiplies all rows with the queries, block by block: at 100 000 photos that is faster than a graph of
approximate neighbours and forgets nothing (docs/adr/0012). Deleting takes a photo out of the table; its rows are passed by
until a save closes the gaps. New rows are appended; the table is written last and renamed into place, so a kill leaves the
former state. Loads no torch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Layout = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

MAX_ROWS = 16
TABLE_FILE, VECTORS_PATTERN = "photos.npz", "vectors-*.f32"
FORMAT = 2
"""Version 1 was a graph of another library: its table has no such number and counts as absent."""
BLOCK_ROWS = 16_384
ORDINARY_PHOTOS, FEWEST_ROWS = 1024, 40
"""From how many photos (evenly spaced) the ordinary is learned, and under how many rows it is not."""
SHRINKAGE = 10.0
"""Added to the spread in every direction, in units of the mean spread (measured; ten times less or more loses a little)."""
MAX_GAPS = 0.3
"""Above this share of rows that belong to no photo a save writes the vectors anew, without them."""


@dataclass(frozen=True)
class Neighbour:
    """A photo and its best cosine over query rows and its own rows."""

    image_id: int
    similarity: float


@dataclass(frozen=True)
class _Place:
    """Where a photo's rows lie and what content they describe."""

    first: int
    rows: int
    sha256: str


class VectorIndex:
    """Add, replace, remove and search photos' vectors. One writer at a time; readers may open the same folder.

    Args:
        folder: made when needed.
        fingerprint: of the vectors' RunSpec; an index of another one counts as empty.
        read_only: cannot be changed or saved.
    """

    def __init__(self, folder: Path, fingerprint: str, *, read_only: bool = False) -> None:
        self.folder, self.fingerprint, self.read_only = Path(folder), fingerprint, read_only
        self._dimensions = self._next_row = 0
        self._places: dict[int, _Place] = {}
        self._mapped: NDArray[np.float32] | None = None
        self._file: Path | None = None
        self._fresh: list[NDArray[np.float32]] = []
        self._order: Layout | None = None
        self._ordinary: tuple[int, NDArray[np.float32], NDArray[np.float32]] | None = None
        self._load()

    # ---- what is there ---------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image_id: int) -> bool:
        return image_id in self._places

    @property
    def dimensions(self) -> int:
        """Length of a vector; 0 before the first one."""
        return self._dimensions

    def stale(self, wanted: Mapping[int, str]) -> tuple[list[int], list[int]]:
        """Compare with the collection's `{image id: sha256}`: (ids to add or replace, ids to remove)."""
        changed = [i for i, sha in wanted.items() if (place := self._places.get(i)) is None or place.sha256 != sha]
        gone = [i for i in self._places if i not in wanted]
        return changed, gone

    # ---- changing --------------------------------------------------------------------------------------------

    def put(self, image_id: int, sha256: str, vectors: NDArray[np.float32]) -> None:
        """Add a photo or replace its vectors `[R, D]`, 1 <= R <= 16, L2-normalised.

        Raises:
            ValueError: another length, too many rows, or values that are not finite.
        """
        rows = np.array(np.atleast_2d(vectors), dtype=np.float32)
        if not 1 <= len(rows) <= MAX_ROWS or not np.isfinite(rows).all():
            raise ValueError(f"image {image_id}: descriptors {rows.shape} are not 1 to {MAX_ROWS} finite rows")
        if self._dimensions and rows.shape[1] != self._dimensions:
            raise ValueError(
                f"image {image_id}: descriptors of length {rows.shape[1]}, the index has {self._dimensions}"
            )
        self._dimensions = rows.shape[1]
        self._places[image_id] = _Place(self._next_row, len(rows), sha256)
        self._fresh.append(rows)
        self._next_row += len(rows)
        self._order = None

    def remove(self, image_ids: Iterable[int]) -> int:
        """Take photos out; returns how many were there."""
        count = sum(self._places.pop(image_id, None) is not None for image_id in image_ids)
        if count:
            self._order = None
        return count

    def clear(self) -> None:
        """Forget everything."""
        self._dimensions = self._next_row = 0
        self._places, self._fresh = {}, []
        self._mapped = self._file = self._order = self._ordinary = None

    # ---- asking ----------------------------------------------------------------------------------------------

    def search(self, queries: NDArray[np.float32], count: int, *, distinctive: bool = False) -> list[Neighbour]:
        """The `count` photos most alike to any query row, best first; fewer when there are fewer.

        Args:
            queries: `[Q, D]` L2-normalised.
            distinctive: what the query shares with most of the collection counts less; `similarity` is then no cosine.

        Raises:
            ValueError: queries of another length.
        """
        if not self._places or count < 1:
            return []
        rows = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        if rows.shape[1] != self._dimensions:
            raise ValueError(f"queries of length {rows.shape[1]}, the index has {self._dimensions}")
        if distinctive:
            rows = self._distinctive(rows)
        ids, first, last = self._layout()
        best = self._row_best(rows)
        # Rows of a photo lie together: reduceat over [first, last) pairs, of which every second result is a gap's.
        bounds = np.stack([first, last], axis=1).ravel()
        similarity = np.maximum.reduceat(np.append(best, -2.0), bounds)[::2]
        # Ties are ordered by id, so that a search never depends on the order of adding.
        least = np.partition(similarity, -count)[-count] if count < len(ids) else similarity.min()
        nearest = np.flatnonzero(similarity >= least)
        order = nearest[np.lexsort((ids[nearest], -similarity[nearest]))][:count]
        return [Neighbour(int(ids[i]), float(similarity[i])) for i in order]

    def _distinctive(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Queries without the mean of the collection, turned by the inverse of its spread, of length 1.

        The linear discriminant between one photo and all others (Hariharan et al., ECCV 2012); the rows stay as they are.
        """
        first, last = self._layout()[1:]
        if self._ordinary is None or self._ordinary[0] != self._next_row:
            step = max(1, -(-len(first) // ORDINARY_PHOTOS))
            places = np.concatenate([np.arange(a, b) for a, b in zip(first[::step], last[::step], strict=True)])
            if len(places) < FEWEST_ROWS:
                return queries
            mapped = 0 if self._mapped is None else len(self._mapped)
            parts = [] if self._mapped is None else [self._mapped[places[places < mapped]]]
            if self._fresh:
                parts.append(self._parts()[-1][places[places >= mapped] - mapped])
            sample = np.concatenate(parts)
            spread = np.cov(sample, rowvar=False)
            spread += SHRINKAGE * max(float(np.trace(spread)) / len(spread), 1e-12) * np.eye(len(spread))
            self._ordinary = self._next_row, sample.mean(axis=0), np.linalg.inv(spread).astype(np.float32)
        _, mean, inverse = self._ordinary
        turned = (queries - mean) @ inverse
        length = np.linalg.norm(turned, axis=1, keepdims=True)
        # The query is the average photo itself: nothing distinguishes it.
        return np.where(length > 1e-6, turned / np.maximum(length, 1e-6), queries).astype(np.float32)

    def _layout(self) -> Layout:
        """(image ids, first row, row after the last), by place in the file."""
        if self._order is None:
            table = np.array([(i, p.first, p.first + p.rows) for i, p in self._places.items()], dtype=np.int64)
            table = table[np.argsort(table[:, 1], kind="stable")]
            self._order = table[:, 0], table[:, 1], table[:, 2]
        return self._order

    def _row_best(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """`[rows]` best cosine of every row over the queries."""
        best = np.empty(self._next_row, np.float32)
        columns, done = np.ascontiguousarray(queries.T), 0
        for part in self._parts():
            for start in range(0, len(part), BLOCK_ROWS):
                block = part[start : start + BLOCK_ROWS] @ columns
                best[done : done + len(block)] = block[:, 0] if block.shape[1] == 1 else block.max(axis=1)
                done += len(block)
        return best

    def _parts(self) -> list[NDArray[np.float32]]:
        """The mapped rows, then the ones that were not saved yet (joined, so that many small adds search fast)."""
        if len(self._fresh) > 1:
            self._fresh = [np.concatenate(self._fresh)]
        return [*([] if self._mapped is None else [self._mapped]), *self._fresh]

    # ---- disk ------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Append what is new, or write all anew when gaps are many; then the table. A kill leaves the former state."""
        if self.read_only:
            raise ValueError("the index was opened read-only")
        self.folder.mkdir(parents=True, exist_ok=True)
        used = sum(p.rows for p in self._places.values())
        if self._file is None or not self._file.is_file() or self._next_row - used > MAX_GAPS * self._next_row:
            self._write_compact()
        elif self._fresh:
            with self._file.open("r+b") as file:
                # Bytes behind the table's last row are left from a kill: they are overwritten.
                file.seek((0 if self._mapped is None else len(self._mapped)) * self._dimensions * 4)
                file.writelines(rows.tobytes() for rows in self._parts()[0 if self._mapped is None else 1 :])
        self._write_table()
        self._map()
        for old in self.folder.glob("vectors*"):
            if old != self._file:
                # Of the former state, or of version 1. Still mapped by a reader on Windows: the next save tries again.
                with contextlib.suppress(OSError):
                    old.unlink()

    def _write_compact(self) -> None:
        """All photos' rows, without gaps, into a new file."""
        path = self.folder / VECTORS_PATTERN.replace("*", uuid.uuid4().hex)
        ids, first, last = self._layout() if self._places else (np.zeros(0, np.int64),) * 3
        parts, places, next_row = self._parts(), {}, 0
        split = len(self._mapped) if self._mapped is not None else 0
        with path.open("wb") as file:
            for image_id, a, b in zip(ids.tolist(), first.tolist(), last.tolist(), strict=True):
                rows = parts[0][a:b] if a < split else parts[-1][a - split : b - split]
                file.write(rows.tobytes())
                places[image_id] = _Place(next_row, b - a, self._places[image_id].sha256)
                next_row += b - a
        self._places, self._next_row, self._file = places, next_row, path
        self._fresh, self._mapped, self._order = [], None, None

    def _write_table(self) -> None:
        ids, first, last = self._layout() if self._places else (np.zeros(0, np.int64),) * 3
        card = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "vectors": self._file.name if self._file is not None else "",
            "dimensions": self._dimensions,
            "rows": self._next_row,
        }
        hashes = np.array([self._places[int(i)].sha256 for i in ids], dtype="U64")
        table = {"ids": ids, "first": first, "rows": last - first, "hashes": hashes, "card": np.array(json.dumps(card))}
        temporary = self.folder / f".{uuid.uuid4().hex}.table.tmp"
        try:
            with temporary.open("wb") as file:
                np.savez(file, **table)  # type: ignore[arg-type]
            temporary.replace(self.folder / TABLE_FILE)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _map(self) -> None:
        """Read the rows from the file from now on."""
        self._fresh = []
        self._mapped = _open_rows(self._file, self._next_row, self._dimensions) if self._file is not None else None

    def _load(self) -> None:
        table_path = self.folder / TABLE_FILE
        if not table_path.is_file():
            return
        try:
            with np.load(table_path, allow_pickle=False) as table:
                card: dict[str, Any] = json.loads(str(table["card"]))
                if card.get("format") != FORMAT or card["fingerprint"] != self.fingerprint:
                    return
                columns = [table[name].tolist() for name in ("ids", "first", "rows", "hashes")]
            rows, dimensions, path = (
                int(card["rows"]),
                int(card["dimensions"]),
                self.folder / Path(card["vectors"]).name,
            )
            if any(first < 0 or count < 1 or first + count > rows for first, count in zip(*columns[1:3], strict=True)):
                raise ValueError("the table names rows that are not there")
            self._mapped = _open_rows(path, rows, dimensions)
        except Exception as error:  # noqa: BLE001 - any damage has one answer: build again
            log.warning("the index in %s is damaged and will be built again: %r", self.folder, error)
            self.clear()
            return
        self._file, self._next_row, self._dimensions = path, rows, dimensions
        self._places = {i: _Place(f, n, sha) for i, f, n, sha in zip(*columns, strict=True)}


def _open_rows(path: Path, rows: int, dimensions: int) -> NDArray[np.float32] | None:
    """`[rows, dimensions]` mapped read-only; None for no rows; ValueError when the file is shorter."""
    if rows == 0:
        return None
    if path.stat().st_size < rows * dimensions * 4:
        raise ValueError(f"{path.name} holds fewer than {rows} rows")
    return np.memmap(path, dtype=np.float32, mode="r", shape=(rows, dimensions))
