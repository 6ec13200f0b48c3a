"""Many small maps in one memory-mapped file: match the keypoints of one image against thousands of photos at once.

Layout: a folder with `maps.i8` (`[N, cells, D]` int8, appended), `index.json` (grid, dimensions, image ids in order) and
`basis.safetensors`. Appending is a plain append followed by an atomic replacement of the index, so after a kill the file
may be longer than the index says, never shorter: the rest is overwritten by the next append. A fused similarity takes one
such folder per part (`search_parts`), because its parts are not added as cosines.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.errors import ModelCorruptError, UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.texts import said
from kinmark.engine.features.compress import SharedBasis, quantise
from kinmark.engine.features.fusion import kernel_scores

MAPS, INDEX, BASIS = "maps.i8", "index.json", "basis.safetensors"
BLOCK_BYTES = 32 << 20
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class PackedHits:
    """Best cell of every query on every map: `cells_xy` `[N, K, 2]` int64 (column, row), `scores` `[N, K]` float32."""

    image_ids: tuple[str, ...]
    cells_xy: NDArray[np.int64]
    scores: NDArray[np.float32]


def _product_with(queries: Tensor) -> tuple[Callable[[Tensor], Tensor], float]:
    """(`[N, D]` int8 -> `[N, K]` scores, their scale) for unit queries `[K, D]`.

    Where the processor has VNNI, queries are rounded to eight bits too and the product runs in integers (ten times faster
    than converting the maps); elsewhere in float32, because older instruction sets may saturate integer products.
    """
    integer_product = getattr(torch, "_int_mm", None)
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", lambda: False)()
    if integer_product is not None and has_vnni:
        rounded = torch.round(queries.T * 127.0).clamp(-127, 127).to(torch.int8).contiguous()
        return lambda maps: integer_product(maps, rounded), 127.0 * 127.0
    transposed = queries.T.contiguous()
    return lambda maps: maps.float() @ transposed, 127.0


class PackedMaps:
    """Append and search; one writer at a time, any number of readers. All maps share one grid and one basis."""

    def __init__(self, folder: Path, basis: SharedBasis, cells_wh: tuple[int, int], image_ids: list[str]) -> None:
        self.folder, self.basis, self.cells_wh, self.image_ids = folder, basis, cells_wh, image_ids

    @staticmethod
    def create(folder: Path, basis: SharedBasis, cells_wh: tuple[int, int]) -> PackedMaps:
        """A new, empty store in `folder` (replacing what lies there)."""
        folder.mkdir(parents=True, exist_ok=True)
        basis.save(folder / BASIS)
        # A new file: cutting the old one would take the pages away from a process that is searching it.
        (folder / MAPS).unlink(missing_ok=True)
        (folder / MAPS).write_bytes(b"")
        store = PackedMaps(folder, basis, cells_wh, [])
        store._write_index()
        return store

    @staticmethod
    def open(folder: Path) -> PackedMaps:
        """An existing store; ModelCorruptError when its files do not fit together (delete it: it is made again)."""
        basis = SharedBasis.load(folder / BASIS)
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            width, height = (int(v) for v in index["cells_wh"])
            ids = [str(v) for v in index["image_ids"]]
            need = len(ids) * width * height * basis.dims
            if index["dims"] != basis.dims or (folder / MAPS).stat().st_size < need:
                raise ValueError("sizes differ")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelCorruptError(
                said("The packed features in {0} are damaged.", folder),
                "Delete the folder: it is made again.",
                repr(error),
            ) from None
        return PackedMaps(folder, basis, (width, height), ids)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def bytes_per_map(self) -> int:
        """Storage of one photo."""
        return self.cells_wh[0] * self.cells_wh[1] * self.basis.dims

    def append(self, image_ids: Sequence[str], maps: Sequence[Tensor]) -> None:
        """Add maps `[C, h, w]` of the store's grid; UserInputError for another grid."""
        packed = []
        for features in maps:
            if (features.shape[-1], features.shape[-2]) != self.cells_wh:
                raise UserInputError(
                    said("This store holds maps of {0}, not {1}.", self.cells_wh, tuple(features.shape[-2:])[::-1])
                )
            packed.append(quantise(self.basis.project(features).flatten(1)).tobytes())
        with (self.folder / MAPS).open("r+b") as file:
            file.seek(len(self) * self.bytes_per_map)
            file.truncate()
            file.write(b"".join(packed))
            file.flush()
            os.fsync(file.fileno())
        self.image_ids = [*self.image_ids, *image_ids]
        self._write_index()

    def cut(self, count: int) -> None:
        """Keep the first `count` maps (the rest is overwritten by the next append)."""
        self.image_ids = self.image_ids[:count]
        self._write_index()

    def _write_index(self) -> None:
        data = {"cells_wh": list(self.cells_wh), "dims": self.basis.dims, "image_ids": self.image_ids}
        temporary = self.folder / (INDEX + ".tmp")
        temporary.write_text(json.dumps(data), encoding="utf-8")
        temporary.replace(self.folder / INDEX)

    @property
    def photos_per_block(self) -> int:
        """How many maps are compared at once."""
        return max(1, BLOCK_BYTES // max(1, self.bytes_per_map))

    def cosines(
        self, queries: Tensor, photos: int = 0, cancel: CancelToken | None = None, only: Rows | None = None
    ) -> Iterator[tuple[int, Tensor]]:
        """(first photo, cosines `[n, cells, K]` float32) of queries `[K, C]` (unprojected), `photos` maps at a time."""
        for start, scores, scale in self._scores(queries, photos or self.photos_per_block, cancel, only):
            yield start, scores.float() / scale

    def _scores(
        self, queries: Tensor, photos: int, cancel: CancelToken | None, only: Rows | None
    ) -> Iterator[tuple[int, Tensor, float]]:
        stored, cells = len(self), self.cells_wh[0] * self.cells_wh[1]
        count = stored if only is None else len(only)
        product, scale = _product_with(self.basis.project(queries.float().T).T.contiguous().cpu())
        if not count:
            return
        # Copy-on-write, because torch refuses read-only arrays; nothing is ever written through it.
        maps = np.memmap(self.folder / MAPS, dtype=np.int8, mode="c", shape=(stored, cells, self.basis.dims))
        for start in range(0, count, photos):
            if cancel is not None:
                cancel.check()
            rows = slice(start, start + photos) if only is None else only[start : start + photos]
            part = torch.from_numpy(np.asarray(maps[rows]))
            yield start, product(part.flatten(0, 1)).unflatten(0, (len(part), cells)), scale

    def search(self, queries: Tensor, *, cancel: CancelToken | None = None) -> PackedHits:
        """Best cell of each query `[K, C]` (unprojected features) on every map: blocked products, no loop over queries."""
        best, scores = _no_hits(len(self), len(queries))
        for start, values, scale in self._scores(queries, self.photos_per_block, cancel, None):
            top = values.max(dim=1)
            best[start : start + len(values)] = top.indices.numpy()
            scores[start : start + len(values)] = top.values.numpy() / scale
        return self.hits(best, scores)

    def hits(self, best: NDArray[np.int64], scores: NDArray[np.float32], only: Rows | None = None) -> PackedHits:
        """`best` `[N, K]` counts cells row by row."""
        xy = np.stack([best % self.cells_wh[0], best // self.cells_wh[0]], axis=-1)
        ids = self.image_ids if only is None else [self.image_ids[row] for row in only]
        return PackedHits(tuple(ids), xy, scores)


def _no_hits(count: int, queries: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.zeros((count, queries), dtype=np.int64), np.zeros((count, queries), dtype=np.float32)


@dataclass(frozen=True)
class PackedPart:
    """One part of a fused similarity: its maps, its share, and the width of its kernel (0 = plain cosine)."""

    store: PackedMaps
    weight: float
    kernel_width: float = 0.0


def search_parts(
    parts: Sequence[PackedPart],
    queries: Sequence[Tensor],
    *,
    only: Rows | None = None,
    cancel: CancelToken | None = None,
) -> PackedHits:
    """`PackedMaps.search` on a sum of parts, as `kinmark.engine.matching` fuses them.

    Args:
        parts: stores of the same photos in the same order, on one grid.
        queries: `[K, C_i]` per part, in their order.
        only: rows of the photos to look at, in the order wanted; None = all.

    Raises:
        UserInputError: the stores do not hold the same photos.
    """
    first = parts[0].store
    if any(p.store.image_ids != first.image_ids or p.store.cells_wh != first.cells_wh for p in parts[1:]):
        raise UserInputError("The packed features of the parts do not belong to the same photos.", "Make them again.")
    photos = min(part.store.photos_per_block for part in parts)
    best, scores = _no_hits(len(first) if only is None else len(only), len(queries[0]))
    walks = [part.store.cosines(asked, photos, cancel, only) for part, asked in zip(parts, queries, strict=True)]
    for blocks in zip(*walks, strict=True):
        total: Tensor | None = None
        for part, (_, cosines) in zip(parts, blocks, strict=True):
            values = kernel_scores(cosines, part.kernel_width) if part.kernel_width else cosines
            total = values.mul_(part.weight) if total is None else total.add_(values, alpha=part.weight)
        assert total is not None
        top = total.max(dim=1)
        start = blocks[0][0]
        best[start : start + len(total)] = top.indices.numpy()
        scores[start : start + len(total)] = top.values.numpy()
    return first.hits(best, scores, only)
