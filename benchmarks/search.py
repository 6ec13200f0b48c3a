"""One labelled photo against thousands of cached maps: time, storage, and what compression costs in matches.

Maps are random but smooth (time and storage do not depend on their content); the loss of compression is measured as the
share of queries whose best cell stays within one cell of the uncompressed answer, and belongs to real maps in
`benchmarks/quality.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common import Row, finish, parser
from engine.features.compress import SharedBasis
from engine.features.packed import PackedMaps
from engine.matching.sampling import l2_normalise

CHANNELS, CELLS, KEYPOINTS = 480, 48, 17
BUDGET_BYTES = 700_000
"""0.7 MB per photo."""


def maps(count: int, seed: int = 0) -> Iterator[Tensor]:
    """Smooth random maps `[C, h, w]` with a decaying spectrum over channels, as real features have."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, CHANNELS + 1).float() ** -0.5
    mixing = torch.linalg.qr(torch.randn(CHANNELS, CHANNELS, generator=generator))[0]
    for _ in range(count):
        coarse = torch.randn(1, CHANNELS, CELLS // 4, CELLS // 4, generator=generator)
        fine = functional.interpolate(coarse, size=(CELLS, CELLS), mode="bilinear", align_corners=True)[0]
        yield torch.einsum("cd,dhw->chw", mixing, fine * scale[:, None, None])


def plain_search(queries: Tensor, every: list[Tensor]) -> Tensor:
    """The baseline: one map at a time, full precision, one keypoint at a time. `[N, K]` index of the best cell."""
    best = []
    for features in every:
        flat = l2_normalise(features, dim=0).flatten(1)
        best.append(torch.stack([(q @ flat).argmax() for q in queries]))
    return torch.stack(best)


def measure(count: int, dims: int, sample: int = 64) -> list[Row]:
    """Rows for one number of photos and one size of the shared basis."""
    few = list(maps(sample))
    queries = l2_normalise(few[0].flatten(1)[:, :: CELLS * CELLS // KEYPOINTS][:, :KEYPOINTS].T)
    started = time.perf_counter()
    exact = plain_search(queries, few)
    plain = (time.perf_counter() - started) / sample * 1000
    with TemporaryDirectory() as folder:
        store = PackedMaps.create(Path(folder) / "maps", SharedBasis.fit(few, dims), (CELLS, CELLS))
        for start in range(0, count, sample):
            size = min(sample, count - start)
            store.append([str(start + i) for i in range(size)], few[:size])
        store.search(queries)
        started = time.perf_counter()
        hits = store.search(queries)
        seconds = time.perf_counter() - started
        columns, rows = exact % CELLS, exact // CELLS
        found = torch.from_numpy(hits.cells_xy[:sample])
        near = ((found[..., 0] - columns).abs() <= 1) & ((found[..., 1] - rows).abs() <= 1)
        per_thousand = seconds / count * 1000
        name = f"{count} maps, {dims} dimensions"
        return [
            Row(f"{name}: time per 1000 photos", per_thousand, "s", plain / per_thousand, "baseline: map by map, float32"),
            Row(f"{name}: storage per photo", store.bytes_per_map / 1e6, "MB", CHANNELS * CELLS * CELLS * 4 / store.bytes_per_map,
                "baseline: float32"),
            Row(f"{name}: answers within one cell of the exact one", float(near.float().mean()), "share"),
        ]  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--counts", default="1000,10000")
    arguments.add_argument("--dims", default="64,128,256")
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args(argv)
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    counts = [int(v) for v in options.counts.split(",")]
    for dims in (int(v) for v in options.dims.split(",")):
        rows += measure(counts[0], dims)
    for count in counts[1:]:
        rows += measure(count, 128)
    finish("search", rows, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
