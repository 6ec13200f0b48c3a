"""Vector index: search, build, disk, deletes; beside it graphs of approximate neighbours (usearch) where installed.

    python -m benchmarks.index [--photos 1000 10000 100000] [--dimensions 363] [--json FILE]

Times are processor time (one thread with OMP_NUM_THREADS=1). Real descriptors are not uniform: vectors
are drawn around identity centres, as photos of the same things lie together.
"""

from __future__ import annotations

import importlib.util
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Row, finish, parser
from kinmark.engine.retrieval.index import VectorIndex

QUERIES = 50
TOP = 400
ROWS_PER_PHOTO = 6
"""The subject's vector and five of sub-regions, as `kinmark.engine.retrieval.vectors` makes them."""
DIMENSIONS = 363
"""Of the embedded backbone's descriptors: 192 of patches, 75 of colour, 96 learned."""


def clustered(count: int, dimensions: int, seed: int = 0) -> NDArray[np.float32]:
    """`[count, dimensions]` unit vectors around count / 20 centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 20), dimensions)).astype(np.float32)
    table = centres[rng.integers(0, len(centres), count)]
    table += 0.8 * rng.normal(size=table.shape).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return table


def exact_top(table: NDArray[np.float32], query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The nearest photos by their best row."""
    scores = (table @ query).reshape(-1, ROWS_PER_PHOTO).max(axis=1)
    best = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
    return best[np.argsort(-scores[best], kind="stable")]


def _recall(found: list[NDArray[np.int64]], truth: list[NDArray[np.int64]], top: int) -> float:
    top = min(top, len(truth[0]))
    shares = [len(set(f[:top].tolist()) & set(t[:top].tolist())) / top for f, t in zip(found, truth, strict=True)]
    return float(np.mean(shares))


def measure_ours(table: NDArray[np.float32], queries: NDArray[np.float32], truth: list[NDArray[np.int64]]) -> list[Row]:
    """`VectorIndex`: build, save, mapped opening, search, deletes."""
    rows = []
    photos = len(table) // ROWS_PER_PHOTO
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = VectorIndex(folder, "benchmark")
        started = time.process_time()
        for number in range(photos):
            index.put(number, "x", table[number * ROWS_PER_PHOTO : (number + 1) * ROWS_PER_PHOTO])
        rows.append(Row("ours: add one photo", (time.process_time() - started) / photos * 1000, "ms"))
        started = time.process_time()
        index.save()
        rows.append(Row("ours: save", time.process_time() - started, "s"))
        size = sum(p.stat().st_size for p in folder.iterdir())
        rows.append(Row("ours: on disk", size / 2**20, "MiB"))
        started = time.process_time()
        index = VectorIndex(folder, "benchmark")
        rows.append(Row("ours: open", (time.process_time() - started) * 1000, "ms"))
        times, found = [], []
        for query in queries:
            started = time.process_time()
            near = index.search(query, TOP)
            times.append((time.process_time() - started) * 1000)
            found.append(np.array([n.image_id for n in near]))
        rows.append(Row(f"ours: shortlist of {TOP}, median", float(np.median(times)), "ms", None, f"{photos} photos"))
        rows.append(Row(f"ours: shortlist of {TOP}, 95th percentile", float(np.percentile(times, 95)), "ms"))
        rows.append(Row(f"ours: recall@{TOP} against exact", _recall(found, truth, TOP), "share"))
        times = []
        for query in queries:
            started = time.process_time()
            index.search(query, TOP, distinctive=True)
            times.append((time.process_time() - started) * 1000)
        rows.append(Row("ours: first distinctive search (learns what is ordinary)", times[0], "ms"))
        rows.append(Row(f"ours: distinctive shortlist of {TOP}, median", float(np.median(times)), "ms"))
        rows.append(
            Row(f"ours: distinctive shortlist of {TOP}, 95th percentile", float(np.percentile(times, 95)), "ms")
        )
        started = time.process_time()
        index.search(queries[:10], TOP)
        rows.append(
            Row(f"ours: shortlist of {TOP}, ten references at once", (time.process_time() - started) * 1000, "ms")
        )
        gone = set(range(0, photos, 10))
        started = time.process_time()
        index.remove(gone)
        index.save()
        rows.append(Row("ours: delete a tenth and save", time.process_time() - started, "s"))
        named = [n.image_id for query in queries for n in index.search(query, TOP)]
        rows.append(Row("ours: deleted photos named", float(len(gone.intersection(named))), "count"))
    return rows


def measure_usearch(
    table: NDArray[np.float32], queries: NDArray[np.float32], truth: list[NDArray[np.int64]]
) -> list[Row]:
    """usearch's graph (half precision, deletes, mapped files), where usearch is installed."""
    if importlib.util.find_spec("usearch") is None:
        return []
    from usearch.index import Index

    index = Index(
        ndim=table.shape[1], metric="cos", dtype="f16", connectivity=16, expansion_add=96, expansion_search=128
    )
    started = time.process_time()
    index.add(np.arange(len(table), dtype=np.uint64), table, threads=1)
    rows = [Row("usearch: add one photo", (time.process_time() - started) / len(table) * ROWS_PER_PHOTO * 1000, "ms")]
    times, found = [], []
    for query in queries:
        started = time.process_time()
        best: dict[int, None] = {}
        for key in index.search(query, 4 * TOP).keys:
            best[int(key) // ROWS_PER_PHOTO] = None
        times.append((time.process_time() - started) * 1000)
        found.append(np.array(list(best)[:TOP]))
    rows.append(Row(f"usearch: shortlist of {TOP}, median", float(np.median(times)), "ms"))
    for top in (10, TOP):
        rows.append(Row(f"usearch: recall@{top} against exact", _recall(found, truth, top), "share"))
    return rows


def measure(photos: int, dimensions: int, *, graph: bool) -> list[Row]:
    """All rows for one size of collection."""
    table = clustered(photos * ROWS_PER_PHOTO, dimensions)
    rng = np.random.default_rng(1)
    queries = table[rng.integers(0, len(table), QUERIES)] + 0.02 * rng.normal(size=(QUERIES, dimensions))
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    truth = [exact_top(table, query, TOP) for query in queries]
    rows = measure_ours(table, queries, truth)
    if graph:
        rows += measure_usearch(table, queries, truth)
    return [replace(row, name=f"{photos} photos, {row.name}") for row in rows]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--photos", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    arguments.add_argument("--dimensions", type=int, default=DIMENSIONS)
    arguments.add_argument(
        "--no-graph", action="store_true", help="leave the approximate index out (it builds for minutes)"
    )
    options = arguments.parse_args(argv)
    rows = [row for n in options.photos for row in measure(n, options.dimensions, graph=not options.no_graph)]
    rows.append(Row("peak memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "GiB"))
    finish("index", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
