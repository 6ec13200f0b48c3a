"""What small storage of features costs in PCK, on real features of the shipped model (`kinmark benchmark storage`).

    kinmark benchmark storage [--pairs 120] [--json FILE]

The same held-out rendered pairs are matched with full, half-precision and compressed features; the shared basis is fitted on
other pictures. How fast packed maps are searched: `kinmark benchmark search`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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

DIMS = (32, 64, 96, 128, 192, 256)
FIT_PAIRS = 16


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
    options.add_argument("--pairs", type=int, default=120, help="rendered pairs")
    arguments = options.parse_args(argv)
    finish("storage", storage_rows(arguments.pairs), arguments.json)


if __name__ == "__main__":
    main()
