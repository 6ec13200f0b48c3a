"""One labelled photo against thousands of cached maps: all its keypoints on all of them, and what that takes to store.

    kinmark benchmark search [--counts 1000,10000] [--dims 64+64,128+96] [--threads 2] [--json FILE]

Two parts (diffusion features and the second descriptor), each on a shared basis, eight bits per number, memory-mapped, fused as
in matching. The maps are random but smooth: time and storage do not depend on their content; what compression costs in PCK is
measured on real maps by `kinmark benchmark storage`.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common import Row, finish, parser
from kinmark.engine.features.compress import SharedBasis
from kinmark.engine.features.fusion import kernel_scores, l2_normalise
from kinmark.engine.features.packed import PackedMaps, PackedPart, search_parts

CHANNELS = (384, 128)
CELLS, KEYPOINTS = 48, 17
WEIGHT, KERNEL_WIDTH = 0.46, 0.07
SAMPLE = 64
REPEAT = 3


def maps(count: int, channels: int, seed: int = 0) -> list[Tensor]:
    """Smooth random maps `[C, h, w]` with a decaying spectrum over channels, as real features have."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.arange(1, channels + 1).float() ** -0.5
    mixing = torch.linalg.qr(torch.randn(channels, channels, generator=generator))[0]
    found = []
    for _ in range(count):
        coarse = torch.randn(1, channels, CELLS // 4, CELLS // 4, generator=generator)
        fine = functional.interpolate(coarse, size=(CELLS, CELLS), mode="bilinear", align_corners=True)[0]
        found.append(torch.einsum("cd,dhw->chw", mixing, fine * scale[:, None, None]))
    return found


def plain_search(queries: list[Tensor], every: list[list[Tensor]]) -> Tensor:
    """The baseline: one map at a time, full precision, one keypoint at a time. `[N, K]` index of the best cell."""
    best = []
    for first, second in zip(*every, strict=True):
        flat = [l2_normalise(m[None])[0].flatten(1) for m in (first, second)]
        scores = [
            (1 - WEIGHT) * (a @ flat[0]) + WEIGHT * kernel_scores(b @ flat[1], KERNEL_WIDTH)
            for a, b in zip(*queries, strict=True)
        ]
        best.append(torch.stack([s.argmax() for s in scores]))
    return torch.stack(best)


def measure(count: int, dims: tuple[int, int]) -> list[Row]:
    """Rows for one number of photos and one size of the shared bases."""
    every = [maps(SAMPLE, channels, seed) for seed, channels in enumerate(CHANNELS)]
    step = CELLS * CELLS // KEYPOINTS
    queries = [functional.normalize(few[0].flatten(1)[:, ::step][:, :KEYPOINTS].T, dim=1) for few in every]
    started = time.perf_counter()
    plain_search(queries, every)
    plain = (time.perf_counter() - started) / SAMPLE * 1000
    with TemporaryDirectory() as folder:
        parts = []
        for number, (few, size) in enumerate(zip(every, dims, strict=True)):
            store = PackedMaps.create(Path(folder) / str(number), SharedBasis.fit(few, size), (CELLS, CELLS))
            for start in range(0, count, SAMPLE):
                batch = few[: min(SAMPLE, count - start)]
                store.append([str(start + i) for i in range(len(batch))], batch)
            parts.append(PackedPart(store, (1 - WEIGHT, WEIGHT)[number], (0.0, KERNEL_WIDTH)[number]))
        taken, used = [], []
        for _ in range(1 + REPEAT):
            started, cpu = time.perf_counter(), time.process_time()
            search_parts(parts, queries)
            taken.append(time.perf_counter() - started)
            used.append(time.process_time() - cpu)
        per_thousand = sorted(taken[1:])[REPEAT // 2] / count * 1000
        size_bytes = sum(part.store.bytes_per_map for part in parts)
    full = sum(CHANNELS) * CELLS * CELLS * 4
    name = f"{count:,} photos, {dims[0]} + {dims[1]} dimensions"
    note = "baseline: map by map, float32"
    busy = sorted(used[1:])[REPEAT // 2] / count * 1000
    return [
        Row(f"{name}: time per 1000 photos", per_thousand, "s", plain / per_thousand, note),
        Row(f"{name}: processor time per 1000 photos", busy, "s", None, "all threads"),
        Row(f"{name}: storage per photo", size_bytes / 1e6, "MB", full / size_bytes, "baseline: float32"),
    ]


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--counts", default="1000,10000")
    arguments.add_argument("--dims", default="64+64,128+96")
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args(argv)
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for count in (int(v) for v in options.counts.split(",")):
        for dims in options.dims.split(","):
            first, second = (int(v) for v in dims.split("+"))
            rows += measure(count, (first, second))
    finish("search", rows, options.json, threads=options.threads)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
