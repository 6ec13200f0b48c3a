"""What small storage of features costs in PCK, on real features of the shipped model (`kinmark benchmark storage`).

    kinmark benchmark storage [--pairs 400] [--warps 400] [--json FILE]

The same pairs are matched with full, half-precision and compressed features: held-out rendered pairs, and warped real photos
(those that scikit-image bundles). The parts of the shipped fusion are stored apart, each on a shared basis fitted on other
pictures. How fast packed maps are searched: `kinmark benchmark search`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.common import Row, finish, parser
from benchmarks.rendered import keypoints as q
from kinmark.engine.evaluation.pck import hits
from kinmark.engine.features.cache import decode_map, encode_map
from kinmark.engine.features.compress import SharedBasis, quantise

DIMS = ((32, 32), (64, 64), (96, 64), (128, 96), (192, 96))
"""Dimensions kept of the diffusion part and of the second descriptor."""
FIT_PAIRS = 24
FIT_FIRST = 9_000
BATCH = 40
Codec = Callable[[q.Maps], q.Maps]


class Storage:
    """The shipped model and every way of storing its maps; results are collected pair by pair."""

    def __init__(self) -> None:
        from kinmark.engine.backbones.loading import load_backbone

        backbone = load_backbone("embedded", "cpu", "fp32")
        card = backbone.spec.fusion
        self.side = backbone.spec.input_wh[0]
        self.arm = q.Arm("shipped", "model", card.descriptor, card.weight, float(card.extra.get("kernel_width", 0.0)))
        self.describer = q.Describer({"model": backbone}, (card.descriptor,))
        self.codecs: dict[str, tuple[float, Codec]] = {}
        self._fit()

    def _fit(self) -> None:
        pairs = q.synthetic_pairs(FIT_PAIRS, self.side, FIT_FIRST)
        maps = [self.describer.describe(p, pair.category) for pair in pairs for p in (pair.source, pair.target)]
        first, second = (maps[0][name] for name in (self.arm.first, self.arm.second))
        cells = int(first.shape[-1] * first.shape[-2])
        self.numbers = (len(first) + len(second)) * cells
        self.codecs["fp16"] = (self.numbers * 2, _stored("fp16"))
        self.codecs["int8, a scale per cell (the cache)"] = (self.numbers + 8 * cells, _stored("int8"))
        largest = max(d for d, _ in DIMS), max(d for _, d in DIMS)
        bases = {
            self.arm.first: SharedBasis.fit((m[self.arm.first] for m in maps), min(largest[0], len(first))),
            self.arm.second: SharedBasis.fit((m[self.arm.second] for m in maps), min(largest[1], len(second))),
        }
        for dims in DIMS:
            cut = {
                name: SharedBasis(basis.vectors[:, :count].contiguous(), "", 0.0)
                for (name, basis), count in zip(bases.items(), dims, strict=True)
            }
            self.codecs[f"shared bases of {dims[0]} + {dims[1]} dimensions, int8"] = (sum(dims) * cells, _packed(cut))

    def measure(self, name: str, batches: Iterator[list[q.PicturePair]]) -> list[Row]:
        """Rows of one set of pairs."""
        results: dict[str, list[q.PairResult]] = {label: [] for label in ("float32", *self.codecs)}
        for pairs in batches:
            for pair in pairs:
                category = pair.category if pair.category in q.CATEGORIES else ""
                source, target = (self.describer.describe(p, category) for p in (pair.source, pair.target))
                for label, change in (("float32", dict), *((k, c) for k, (_, c) in self.codecs.items())):
                    points = q.match_pair(pair, self.arm, change(source), change(target))
                    right = hits(points, pair.target_xy, pair.length, q.ALPHAS)
                    results[label].append(q.PairResult(pair.category, right, pair.name))
        full = results["float32"]
        note = f"{self.numbers * 4 / 1e6:.2f} MB a photo, {len(full)} pairs"
        rows = [Row(f"{name}: float32", q.per_image(full, 0.1).value, "PCK@0.1", None, note)]
        for label, (size, _) in self.codecs.items():
            lost = q.gain(results[label], full, 0.1)
            note = f"{size / 1e6:.2f} MB a photo, {lost.value:+.2f} ± {lost.error:.2f} to float32"
            value = q.per_image(results[label], 0.1).value
            rows.append(Row(f"{name}: {label}", value, "PCK@0.1", self.numbers * 4 / size, note))
        return rows


def _stored(codec: str) -> Codec:
    return lambda maps: {k: torch.from_numpy(decode_map(encode_map(m.numpy(), codec))) for k, m in maps.items()}


def _packed(bases: dict[str, SharedBasis]) -> Codec:
    def change(maps: q.Maps) -> q.Maps:
        found: dict[str, Tensor] = {}
        for name, basis in bases.items():
            small = torch.from_numpy(quantise(basis.project(maps[name]).flatten(1))).float().T
            found[name] = small.unflatten(1, maps[name].shape[1:])
        return found

    return change


def _synthetic(count: int, side: int) -> Iterator[list[q.PicturePair]]:
    for start in range(0, count, BATCH):
        yield q.synthetic_pairs(min(BATCH, count - start), side, 20_000 + start * 8)


def _warped(count: int, side: int) -> Iterator[list[q.PicturePair]]:
    from benchmarks.quality import PHOTOS, bundled_photo

    photos = [(name.split(".")[0], bundled_photo(name)) for name in PHOTOS]
    for start in range(0, count, BATCH):
        yield q.warped_pairs(photos, min(BATCH, count - start), side, seed=100 + start)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--pairs", type=int, default=400, help="rendered pairs")
    options.add_argument("--warps", type=int, default=400, help="warped photos")
    arguments = options.parse_args(argv)
    storage = Storage()
    rows = storage.measure("rendered pairs", _synthetic(arguments.pairs, storage.side))
    if arguments.warps:
        rows += storage.measure("warped photos", _warped(arguments.warps, storage.side))
    finish("storage", rows, arguments.json)


if __name__ == "__main__":
    main()
