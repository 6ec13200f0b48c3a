"""Vector index: search time, build time, memory, recall and deletes for usearch, faiss and hnswlib where installed, and brute force.

    python -m benchmarks.index [--photos 100000] [--dimensions 300] [--json FILE]

Real descriptors are not uniform: vectors are drawn around identity centres, as photos of the same things lie together.
"""

from __future__ import annotations

import importlib.util
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Row, finish, parser
from engine.retrieval.index import VectorIndex

QUERIES = 50
TOP = 400


def clustered(count: int, dimensions: int, seed: int = 0) -> NDArray[np.float32]:
    """`[count, dimensions]` unit vectors around count / 20 centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 20), dimensions)).astype(np.float32)
    table = centres[rng.integers(0, len(centres), count)]
    table += 0.8 * rng.normal(size=table.shape).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return table


def exact_top(table: NDArray[np.float32], query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Indices of the nearest rows by brute force."""
    scores = table @ query
    best = np.argpartition(-scores, count)[:count]
    return best[np.argsort(-scores[best])]


def _recall(found: list[NDArray[np.int64]], truth: list[NDArray[np.int64]], top: int) -> float:
    shares = [len(set(f[:top].tolist()) & set(t[:top].tolist())) / top for f, t in zip(found, truth, strict=True)]
    return float(np.mean(shares))


def measure_ours(
    table: NDArray[np.float32], queries: NDArray[np.float32], truth: list[NDArray[np.int64]], brute_ms: float
) -> list[Row]:
    """`VectorIndex` (usearch): build, search, save, mapped opening, deletes."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = VectorIndex(folder, "benchmark")
        started = time.perf_counter()
        for number, vector in enumerate(table):
            index.put(number, "x", vector[None])
        rows.append(Row("usearch: add one photo", (time.perf_counter() - started) / len(table) * 1000, "ms"))
        times, found = [], []
        for query in queries:
            started = time.perf_counter()
            near = index.search(query, TOP)
            times.append((time.perf_counter() - started) * 1000)
            found.append(np.array([n.image_id for n in near]))
        search = float(np.median(times))
        rows.append(Row(f"usearch: shortlist of {TOP}, median", search, "ms", brute_ms / search, "brute force"))
        rows.append(Row(f"usearch: shortlist of {TOP}, 95th percentile", float(np.percentile(times, 95)), "ms"))
        for top in (10, 100, TOP):
            rows.append(Row(f"usearch: recall@{top} against exact", _recall(found, truth, top), "share"))
        started = time.perf_counter()
        index.save()
        rows.append(Row("usearch: save", time.perf_counter() - started, "s"))
        size = sum(p.stat().st_size for p in folder.iterdir())
        rows.append(Row("usearch: on disk", size / 2**20, "MiB"))
        started = time.perf_counter()
        mapped = VectorIndex(folder, "benchmark", read_only=True)
        first = mapped.search(queries[0], TOP)
        rows.append(Row("usearch: open mapped and search once", (time.perf_counter() - started) * 1000, "ms"))
        assert len(first) == TOP
        gone = set(range(0, len(table), 10))
        started = time.perf_counter()
        index.remove(gone)
        rows.append(Row("usearch: delete a tenth", time.perf_counter() - started, "s"))
        named = [n.image_id for query in queries for n in index.search(query, TOP)]
        rows.append(Row("usearch: deleted photos named", float(len(gone.intersection(named))), "count"))
    return rows


def measure_faiss(
    table: NDArray[np.float32], queries: NDArray[np.float32], truth: list[NDArray[np.int64]]
) -> list[Row]:
    """faiss HNSW at the same graph size (it cannot delete from a graph), where faiss is installed."""
    if importlib.util.find_spec("faiss") is None:
        return []
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(table.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 96, 512
    started = time.perf_counter()
    index.add(table)
    rows = [Row("faiss HNSW: add one photo", (time.perf_counter() - started) / len(table) * 1000, "ms")]
    times, found = [], []
    for query in queries:
        started = time.perf_counter()
        _, ids = index.search(query[None], TOP)
        times.append((time.perf_counter() - started) * 1000)
        found.append(ids[0])
    rows.append(Row(f"faiss HNSW: shortlist of {TOP}, median", float(np.median(times)), "ms"))
    rows.append(Row("faiss HNSW: recall@10 against exact", _recall(found, truth, 10), "share"))
    rows.append(Row(f"faiss HNSW: recall@{TOP} against exact", _recall(found, truth, TOP), "share"))
    return rows


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--photos", type=int, default=100_000)
    arguments.add_argument("--dimensions", type=int, default=300)
    options = arguments.parse_args(argv)
    table = clustered(options.photos, options.dimensions)
    rng = np.random.default_rng(1)
    queries = table[rng.integers(0, len(table), QUERIES)] + 0.02 * rng.normal(size=(QUERIES, table.shape[1]))
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    times, truth = [], []
    for query in queries:
        started = time.perf_counter()
        truth.append(exact_top(table, query, TOP))
        times.append((time.perf_counter() - started) * 1000)
    brute = float(np.median(times))
    rows = [Row(f"brute force: shortlist of {TOP}, median", brute, "ms", None, f"{options.photos} photos")]
    rows += measure_ours(table, queries, truth, brute)
    rows += measure_faiss(table, queries, truth)
    rows.append(Row("peak memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "GiB"))
    finish("index", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
