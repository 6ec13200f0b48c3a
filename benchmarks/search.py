"""One labelled image against thousands of cached photos, and what small storage costs in PCK (`kinmark benchmark search`).

    kinmark benchmark search [--maps 1000,10000] [--pairs 120] [--json FILE]

Speed: all keypoints of one image on every packed map (shared basis, int8, memory-mapped, blocked products). Storage: the
same pairs of pictures matched with full, half-precision and compressed features; the basis is fitted on other pictures.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import Row, finish, parser
from engine.evaluation.quality import (
    Arm,
    Describer,
    PairResult,
    PicturePair,
    gain,
    match_pair,
    per_image,
    synthetic_pairs,
)
from engine.features.cache import decode_map, encode_map
from engine.features.compress import SharedBasis, quantise
from engine.features.packed import MAPS, PackedMaps

DIMS = (32, 64, 96, 128, 192, 256)
KEYPOINTS = 17
FIT_PAIRS = 16


def speed_rows(counts: Sequence[int], dims: int, channels: int, folder: Path, clock: Callable[[], float]) -> list[Row]:
    """Seconds per 1 000 photos; the numbers in the maps do not matter for time."""
    rows: list[Row] = []
    generator = torch.Generator().manual_seed(0)
    basis = SharedBasis(torch.linalg.qr(torch.randn((channels, dims), generator=generator))[0], "speed", 1.0)
    queries = torch.randn((KEYPOINTS, channels), generator=generator)
    for count in counts:
        store = PackedMaps.create(folder / str(count), basis, (48, 48))
        store.image_ids = [str(k) for k in range(count)]
        numbers = np.random.default_rng(0)
        with (store.folder / MAPS).open("wb") as file:
            for _ in range(count // 10):
                file.write(numbers.integers(-40, 40, (10, store.bytes_per_map), dtype=np.int8).tobytes())
        taken = []
        for _ in range(4):
            start = clock()
            store.search(queries)
            taken.append((clock() - start) * 1000 / count)
        seconds = statistics.median(taken[1:])
        name = f"{KEYPOINTS} keypoints on {count} photos, {dims} dimensions"
        note = f"{store.bytes_per_map / 1e6:.2f} MB a photo; ratio to the target of 1 s"
        rows.append(Row(f"{name}: per 1000 photos", seconds, "s", 1.0 / seconds, note))
        shutil.rmtree(store.folder)
    return rows


def _results(pairs: Sequence[PicturePair], maps: list[tuple[Tensor, Tensor]], change: Callable[[Tensor], Tensor]):
    from engine.evaluation.pck import hits
    from engine.evaluation.quality import ALPHAS

    found: list[PairResult] = []
    for pair, (source, target) in zip(pairs, maps, strict=True):
        points = match_pair(pair, change(source), change(target))
        found.append(PairResult(pair.category, hits(points, pair.target_xy, pair.length, ALPHAS), pair.name))
    return found


def storage_rows(count: int) -> list[Row]:
    """PCK@0.1 (per image) and megabytes per photo of every way of storing the shipped fusion."""
    from engine.backbones.loading import load_backbone

    backbone = load_backbone("embedded", "cpu", "fp32")
    spec = backbone.spec
    arm = Arm("fusion", "model", spec.fusion.descriptor or "dense_sift", spec.fusion.weight)
    describer = Describer({"model": backbone}, (arm.second,))
    # Squares of the card's own size: what a labelling run would cache for a square photo.
    every = synthetic_pairs(count + FIT_PAIRS, spec.input_wh[0])
    pairs, fit = every[:count], every[count:]

    def fused(pair: PicturePair) -> tuple[Tensor, Tensor]:
        parts = (describer.describe(picture, pair.category) for picture in (pair.source, pair.target))
        first, second = (arm.features(maps) for maps in parts)
        return first, second

    maps = [fused(pair) for pair in pairs]
    moment = [features for pair in fit for features in fused(pair)]
    channels, cells = int(maps[0][0].shape[0]), int(maps[0][0].shape[1] * maps[0][0].shape[2])
    full = _results(pairs, maps, lambda m: m)
    rows = [Row("float32", per_image(full, 0.1).value, "PCK@0.1", None, f"{channels * cells * 4 / 1e6:.2f} MB a photo")]

    def add(name: str, size: float, change: Callable[[Tensor], Tensor]) -> None:
        results = _results(pairs, maps, change)
        lost = gain(results, full, 0.1)
        note = f"{size / 1e6:.2f} MB a photo, {lost.value:+.2f} ± {lost.error:.2f} to float32"
        rows.append(Row(name, per_image(results, 0.1).value, "PCK@0.1", channels * cells * 4 / size, note))

    def stored(codec: str) -> Callable[[Tensor], Tensor]:
        return lambda m: torch.from_numpy(decode_map(encode_map(m.numpy(), codec)))

    add("fp16", channels * cells * 2, stored("fp16"))
    add("int8, a scale per cell (the cache)", (channels + 4) * cells, stored("int8"))
    for dims in (d for d in DIMS if d <= channels):
        basis = SharedBasis.fit(moment, dims)

        def packed(m: Tensor, basis: SharedBasis = basis) -> Tensor:
            small = torch.from_numpy(quantise(basis.project(m).flatten(1))).float().T
            return small.unflatten(1, m.shape[1:])

        add(f"shared basis of {dims} dimensions, int8", dims * cells, packed)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--maps", default="1000,10000", help="collection sizes, comma-separated; empty = no speed rows"
    )
    options.add_argument("--dims", type=int, default=128, help="dimensions of the speed rows")
    options.add_argument("--pairs", type=int, default=120, help="rendered pairs of the storage curve; 0 = none")
    options.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall",
        help="cpu: processor time of one thread, for machines that do other work at the same time",
    )  # fmt: skip
    arguments = options.parse_args(argv)
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    if arguments.clock == "cpu":
        torch.set_num_threads(1)  # waiting threads would count as busy
    rows: list[Row] = []
    if arguments.maps:
        counts = [int(v) for v in arguments.maps.split(",")]
        with tempfile.TemporaryDirectory(prefix="kinmark-benchmark-") as folder:
            rows += speed_rows(counts, arguments.dims, 480, Path(folder), clock)
    if arguments.pairs:
        rows += storage_rows(arguments.pairs)
    finish("search", rows, arguments.json, threads=torch.get_num_threads(), clock=arguments.clock)


if __name__ == "__main__":
    main()
