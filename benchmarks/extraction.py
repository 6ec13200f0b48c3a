"""Feature extraction: the published procedures beside ours, in one run (`kinmark benchmark extraction`).

Random weights of the true SD 2.1 / 1.5 architectures (quality does not matter for time) and the embedded model.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.architectures import embeds_for, random_backbone
from benchmarks.common import Row, finish, parser, peak_memory_mb
from benchmarks.published import dift_features, sd4match_features
from kinmark.engine.api import ImageInput
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.devices import choose_device, choose_dtype, cpu_has_bf16, dtype_name
from kinmark.engine.backbones.prompt import Prompt
from kinmark.engine.backbones.registry import FusionSpec
from kinmark.engine.features.extractor import FeatureExtractor
from kinmark.engine.features.noise import image_noise
from kinmark.engine.features.views import whole_view

MEMBERS = 8


class Bench:
    """One backbone, one picture: times every way of extracting its features."""

    def __init__(self, name: str, backbone: Backbone, folder: Path, arguments: argparse.Namespace) -> None:
        self.name, self.backbone, self.arguments = name, backbone, arguments
        self.rows: list[Row] = []
        side = backbone.spec.input_wh
        path = folder / f"{name}.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (side[1], side[0], 3), dtype=np.uint8)).save(path)
        self.images = [ImageInput(name, path)]
        self.view = whole_view(self.images[0], side, side)
        self.extractor = FeatureExtractor(backbone)
        self.prompt = Prompt("empty", self._embeds())
        self.t, self.block = backbone.spec.timestep, backbone.spec.up_block
        self.baseline = 0.0
        self.clock = time.process_time if arguments.clock == "cpu" else time.perf_counter

    def _embeds(self) -> Tensor:
        if self.backbone.text_encoder is None:
            return embeds_for(self.backbone)
        return self.backbone.encode_text([""])

    # ---- the ways --------------------------------------------------------------------------------------------

    def published(self, procedure: Callable[..., Tensor]) -> Tensor:
        """Decode, preprocess, extract: one image, nothing kept, as the published scripts do."""
        from kinmark.engine.features.views import ImageSource, render_view, to_network

        source = ImageSource()
        pixels = render_view(self.view, self.backbone.spec.input_wh, source)
        sha = source.sha256(self.images[0])
        factor = self.backbone.latent_factor
        shape = (4, self.view.input_wh[1] // factor, self.view.input_wh[0] // factor)
        noise = torch.stack([image_noise(sha, 0, m, shape) for m in range(MEMBERS)])
        image = to_network(pixels[None]).to(self.backbone.device)
        noise = noise.to(self.backbone.device)
        return procedure(self.backbone, image, noise, self.prompt.embeds.float(), t=self.t, block=self.block)

    def ours(self, members: int) -> Tensor:
        """Our extractor without a cache."""
        self.extractor.source.clear()
        # All noises in one forward: on a CPU the weights are re-ordered once per forward, so small batches cost more.
        self.extractor.ladder.batch = max(self.extractor.ladder.batch, members)
        recipe = replace(
            self.extractor.recipe(ensemble=members, up_block=self.block, timestep=self.t), ensemble=members
        )
        return self.extractor.compute([self.view], self.prompt, recipe)

    # ---- measuring -------------------------------------------------------------------------------------------

    def time(self, label: str, work: Callable[[], Tensor], *, baseline: bool = False) -> Tensor:
        """Add one row of seconds per image and its ratio to the DIFT procedure; returns the (last) output."""
        output = work() if self.arguments.warm_up else None
        taken = []
        for _ in range(self.arguments.repeat):
            start = self.clock()
            output = work()
            if self.backbone.device.type == "cuda":
                torch.cuda.synchronize()
            taken.append(self.clock() - start)
        assert output is not None
        seconds_taken = statistics.median(taken)
        if baseline:
            self.baseline = seconds_taken
        ratio = self.baseline / seconds_taken if self.baseline else None
        side = self.view.input_wh
        self.rows.append(Row(f"{self.name}: {label}", seconds_taken, "s/image", ratio, f"{side[0]} x {side[1]} px"))
        print(f"{self.name}: {label}: {seconds_taken:.2f} s" + (f" ({ratio:.2f} x)" if ratio else ""), flush=True)
        return output

    def run(self) -> list[Row]:
        """All rows of this backbone: the published ways, ours with the same output, our default mode."""
        flops = self.floor_flops()
        rate = matmul_rate(torch.float32, self.backbone.device, self.clock)
        reference = self.time(
            f"published DIFT, {MEMBERS} noises, fp32", lambda: self.published(dift_features), baseline=True
        )
        if self.arguments.sd4match:
            self.time(f"published SD4Match, {MEMBERS} noises, fp32", lambda: self.published(sd4match_features))
        same = self.time(f"ours, {MEMBERS} noises, fp32, same output", lambda: self.ours(MEMBERS))
        difference, scale = float((reference - same).abs().max()), float(reference.abs().max())
        self.share(flops[MEMBERS], rate, "fp32")
        self.bound(flops)
        self.rows.append(
            Row(
                f"{self.name}: largest difference to the published output",
                difference,
                "",
                None,
                f"values to {scale:.3g}",
            )
        )
        self.time("ours, 1 noise, fp32", lambda: self.ours(1))
        self.share(flops[1], rate, "fp32")
        self.half_precision(flops)
        self.rows.append(Row(f"{self.name}: peak memory of this process", peak_memory_mb(), "MB"))
        if self.backbone.device.type == "cuda":
            held = torch.cuda.max_memory_allocated(self.backbone.device) / 2**20
            self.rows.append(Row(f"{self.name}: peak memory of the device", held, "MB"))
        return self.rows

    def half_precision(self, flops: dict[int, float]) -> None:
        """The same in half precision: the one that the device policy chooses is the default mode, the other stands beside it."""
        device = self.backbone.device
        default = choose_dtype(device) if device.type != "cpu" else torch.bfloat16
        if device.type == "cpu" and not cpu_has_bf16():
            return
        for dtype in (torch.bfloat16, torch.float16) if device.type == "cuda" else (default,):
            self.backbone.to(device, dtype)
            rate = matmul_rate(dtype, device, self.clock)
            name = dtype_name(dtype)
            self.time(f"ours, {MEMBERS} noises, {name}", lambda: self.ours(MEMBERS))
            mode = "default mode (1 noise, {})" if dtype == default else "1 noise, {}"
            self.time("ours, " + mode.format(name), lambda: self.ours(1))
            self.share(flops[1], rate, name)
        self.backbone.to(device, torch.float32)

    def share(self, flops: float, rate: float, dtype: str) -> None:
        """Which share of the measured matmul rate the last row reached."""
        taken = self.rows[-1].value
        note = f"{flops / 1e12:.2f} TFLOP at {rate / 1e9:.0f} GFLOP/s ({dtype} matmul)"
        label = self.rows[-1].name.split(": ", 1)[1]
        self.rows.append(Row(f"{self.name}: share of the floor, {label}", 100 * flops / rate / taken, "%", None, note))

    def bound(self, flops: dict[int, float]) -> None:
        """The ratio that counting operations allows for the same output: the VAE once instead of once per noise."""
        published = MEMBERS * flops[1]
        note = f"{published / 1e12:.3g} against {flops[MEMBERS] / 1e12:.3g} TFLOP: the U-Net has to see every noise"
        self.rows.append(
            Row(f"{self.name}: same output, ratio of the operations", published / flops[MEMBERS], "x", None, note)
        )

    def floor_flops(self) -> dict[int, float]:
        """Operations of our procedure for 1 and MEMBERS noises, counted on shapes alone."""
        side, device = self.backbone.spec.input_wh, torch.device("meta")
        counted = _shapes_only(self.backbone)
        embeds = torch.empty((1, 77, int(counted.unet.config.cross_attention_dim)), device=device)
        with FlopCounterMode(display=False) as vae_counter, torch.no_grad():
            counted.vae.encoder(torch.empty((1, 3, side[1], side[0]), device=device))
        factor = self.backbone.latent_factor
        noisy = torch.empty((1, 4, side[1] // factor, side[0] // factor), device=device)
        with FlopCounterMode(display=False) as unet_counter, torch.no_grad():
            counted.unet_forward(noisy, self.t, embeds, up_blocks=(self.block,))
        vae, unet = vae_counter.get_total_flops(), unet_counter.get_total_flops()
        return {members: vae + members * unet for members in (1, MEMBERS)}


def _shapes_only(backbone: Backbone) -> Backbone:
    with torch.device("meta"):
        unet = type(backbone.unet).from_config(dict(backbone.unet.config))
        vae = type(backbone.vae).from_config(dict(backbone.vae.config))
    meta = torch.device("meta")
    return Backbone(backbone.spec, "shapes", meta, torch.float32, unet, vae, None, None, backbone.scheduler)


def matmul_rate(
    dtype: torch.dtype, device: torch.device, clock: Callable[[], float] = time.perf_counter, size: int = 2048
) -> float:
    """Measured operations per second of a large square product (the best of several): the floor's denominator."""
    size = 8192 if device.type == "cuda" else size
    a = torch.randn((size, size), device=device).to(dtype)
    best = float("inf")
    for _ in range(7):
        start = clock()
        torch.mm(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return 2 * size**3 / best


def batches(name: str, bench: Bench) -> list[Row]:
    """Seconds per image when several images go through together (our default mode, the device's precision)."""
    rows: list[Row] = []
    extractor, backbone = bench.extractor, bench.backbone
    backbone.to(backbone.device, choose_dtype(backbone.device, "auto", backbone.spec.cpu_dtype))
    recipe = extractor.recipe()
    first = 0.0
    for size in (1, 4, 16):
        extractor.ladder.batch = size

        taken = float("inf")
        for _ in range(1 + bench.arguments.repeat):
            start = bench.clock()
            extractor.compute([bench.view] * size, bench.prompt, recipe)
            if backbone.device.type == "cuda":
                torch.cuda.synchronize()
            taken = min(taken, (bench.clock() - start) / size)
        first = first or taken
        label = f"{name}: card's mode, {dtype_name(backbone.dtype)}, batch {size}"
        rows.append(Row(label, taken, "s/image", first / taken))
    return rows


def compiled(name: str, bench: Bench) -> list[Row]:
    """The card's mode with compiled blocks: what the first call costs, and the later ones against uncompiled."""
    extractor, backbone = bench.extractor, bench.backbone
    backbone.to(backbone.device, choose_dtype(backbone.device, "auto", backbone.spec.cpu_dtype))
    recipe = extractor.recipe()
    extractor.ladder.batch = 4

    def taken() -> float:
        best = float("inf")
        for _ in range(1 + bench.arguments.repeat):
            start = bench.clock()
            extractor.compute([bench.view] * 4, bench.prompt, recipe)
            if backbone.device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, (bench.clock() - start) / 4)
        return best

    plain = taken()
    backbone.compile_blocks()
    start = bench.clock()
    extractor.compute([bench.view] * 4, bench.prompt, recipe)
    first = bench.clock() - start
    label = f"{name}: card's mode, {dtype_name(backbone.dtype)}, batch 4, compiled"
    return [
        Row(f"{label}: first call", first, "s", None, backbone.note or f"{len(backbone.compiled or ())} blocks"),
        Row(label, taken(), "s/image", None),
        Row(f"{label}: gain", plain / taken(), "x", None, "to the same without compiling"),
    ]


def whole_recipe(bench: Bench) -> list[Row]:
    """What a sweep costs per photo: every pass that the shipped card asks for, the second descriptor, fused."""
    from kinmark.engine.backbones.loading import load_backbone

    backbone = load_backbone("embedded", bench.backbone.device, "auto")
    extractor = FeatureExtractor(backbone)
    views = [bench.view] * 4
    prompt = Prompt("empty", backbone.encode_text([""]))
    taken = float("inf")
    for _ in range(1 + bench.arguments.repeat):
        extractor.source.clear()
        start = bench.clock()
        extractor.extract(views, prompt=prompt)
        taken = min(taken, (bench.clock() - start) / len(views))
    card = backbone.spec
    passes = 1 + len(card.extra_scales)
    note = f"{passes} passes, {1 + len(card.extra_blocks)} blocks, {card.fusion.descriptor or 'no descriptor'}"
    return [
        Row(f"embedded: whole recipe of the card, {dtype_name(backbone.dtype)}, batch 4", taken, "s/image", None, note)
    ]


def embedded_rows(folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """The shipped model through the same comparison, and its batch sizes."""
    from kinmark.engine.backbones.loading import load_backbone

    backbone = load_backbone("embedded", arguments.device, "fp32")
    backbone.spec = replace(backbone.spec, fusion=FusionSpec(), extra_blocks=(), extra_scales=())
    # A small model: the first call's set-up would be a large share of a single measurement.
    steady = argparse.Namespace(**{**vars(arguments), "warm_up": True, "repeat": max(3, arguments.repeat)})
    bench = Bench("embedded", backbone, folder, steady)
    rows = bench.run() + batches("embedded", bench) + whole_recipe(bench)
    return rows + compiled("embedded", bench) if arguments.compile else rows


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark; `--backbones sd21,sd15,embedded` chooses."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--backbones", default="sd15,embedded", help="of sd21, sd15, embedded (sd21 at 768 px needs 14 GB)"
    )
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--no-warm-up", dest="warm_up", action="store_false")
    options.add_argument("--no-sd4match", dest="sd4match", action="store_false")
    options.add_argument("--compile", action="store_true", help="also torch.compile (embedded model)")
    options.add_argument("--device", default="auto")
    options.add_argument("--threads", type=int, default=0, help="of torch; 0 = all cores")
    options.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor time of one thread, for machines that do other work at the same time",
    )
    options.add_argument("--side", type=int, default=0, help="network input in pixels instead of the card's")
    arguments = options.parse_args(argv)
    if arguments.clock == "cpu":
        arguments.threads = 1  # waiting threads would count as busy
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="kinmark-benchmark-") as name:
        for wanted in arguments.backbones.split(","):
            if wanted == "embedded":
                rows += embedded_rows(Path(name), arguments)
                continue
            backbone = random_backbone(wanted, full=arguments.sd4match).to(device, torch.float32)
            if arguments.side:
                backbone.spec = replace(backbone.spec, input_wh=(arguments.side, arguments.side))
            rows += Bench(wanted, backbone, Path(name), arguments).run()
            del backbone
            gc.collect()
    finish(
        "extraction", rows, arguments.json, threads=torch.get_num_threads(), device=str(device), clock=arguments.clock
    )


if __name__ == "__main__":
    main()
