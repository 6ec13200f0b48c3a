"""Per-point prompt optimisation: the published order of work (one by one) beside ours (batched), and a kept point prompt.

    kinmark benchmark hedlin [--backbone embedded] [--steps 12] [--json FILE]

Both do the same arithmetic (tests/engine/prompts/test_hedlin.py): 5 restarts of 129 Adam steps with one crop each, then 20
crops per restart on the target. `--steps` of the 129 are timed and scaled up; the inference is timed whole. "16 crops"
encodes a fixed set of crops once instead of a new crop at every step. With `--threads 1` on a CPU processor time is
reported, which other programs do not disturb; else wall time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.common import Row, finish, parser


def measure(backbone: Any, steps: int, clock: Callable[[], float]) -> list[Row]:
    """Rows of one backbone; `clock` gives seconds."""
    import torch

    from kinmark.engine.prompts.attention_target import HedlinConfig
    from kinmark.engine.prompts.hedlin import locate, optimise_embedding

    def timed(work: Callable[[], Any]) -> tuple[Any, float]:
        start = clock()
        result = work()
        return result, clock() - start

    side = backbone.spec.input_wh[0]
    published = HedlinConfig().for_map(min(512, side))
    short = replace(published, steps=steps)
    generator = torch.Generator().manual_seed(0)
    source, target = (torch.rand(3, side, side, generator=generator) * 2 - 1 for _ in range(2))
    point = (0.4 * side, 0.6 * side)
    optimise_embedding(backbone, source, point, replace(short, steps=1, restarts=1))
    scale = published.steps / steps
    found, one_by_one = timed(lambda: optimise_embedding(backbone, source, point, short, batch=1))
    _, together = timed(lambda: optimise_embedding(backbone, source, point, short))
    pooled = replace(short, crop_pool=16)
    _, with_pool = timed(lambda: optimise_embedding(backbone, source, point, pooled))
    (single, _), find_single = timed(lambda: locate(backbone, target, found.embeds, published, batch=1))
    (joint, _), find_joint = timed(lambda: locate(backbone, target, found.embeds, published, batch=20))
    gap = float((single - joint).abs().max() / single.abs().max())
    sequential, batched = one_by_one * scale + find_single, together * scale + find_joint
    note = f"{steps} of {published.steps} steps timed"
    return [
        Row("optimise, one by one", one_by_one * scale, "s/keypoint", note=note),
        Row("optimise, batched", together * scale, "s/keypoint", one_by_one / together, note),
        Row("optimise, batched, 16 crops encoded once", with_pool * scale, "s/keypoint", one_by_one / with_pool, note),
        Row("find on a target, one by one", find_single, "s/keypoint"),
        Row("find on a target, batched", find_joint, "s/keypoint", find_single / find_joint),
        Row("keypoint on one target, one by one", sequential, "s"),
        Row("keypoint on one target, batched", batched, "s", sequential / batched),
        Row("keypoint on a further target, kept point prompt", find_joint, "s", sequential / find_joint),
        Row("largest relative difference of the two maps", gap, ""),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--backbone", default="embedded")
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--dtype", default="auto")
    arguments.add_argument("--threads", type=int, default=0)
    arguments.add_argument("--steps", type=int, default=12)
    options = arguments.parse_args(argv)

    import torch

    from kinmark.engine.backbones.loading import load_backbone

    if options.threads:
        torch.set_num_threads(options.threads)
    backbone = load_backbone(options.backbone, options.device, options.dtype)
    by_processor = options.threads == 1 and backbone.device.type == "cpu"
    rows = measure(backbone, options.steps, time.process_time if by_processor else time.perf_counter)
    finish(
        "hedlin",
        rows,
        options.json,
        backbone=options.backbone,
        device=str(backbone.device),
        dtype=str(backbone.dtype),
        clock="processor" if by_processor else "wall",
    )


if __name__ == "__main__":
    main()
