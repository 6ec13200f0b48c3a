"""Train the embedded model: `python -m benchmarks.training.train RUN --sets runs/sets/a0 runs/sets/a1 --steps 6000`.

The run folder holds `vae/` (trained first when absent), `tokenizer/`, `last.pt` (everything needed to go on, bit-equal)
and `log.jsonl`. `--workers N` runs N single-thread processes that average their parameters every few steps.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPTokenizer

from benchmarks.training.batches import Batch, BatchSource
from benchmarks.training.bodies import BUILDERS
from benchmarks.training.captions import Prompts, draw_prompts
from benchmarks.training.config import TrainConfig
from benchmarks.training.latents import LatentStore, Sources, open_sources
from benchmarks.training.losses import class_loss, correspondence_loss, identity_loss, prototype_loss
from benchmarks.training.networks import (
    MAX_TOKENS,
    NetworkConfig,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    build_unet,
)
from benchmarks.training.vae import measure_latents, train_vae, whiten
from benchmarks.training.views import POINT_SLOTS


class Taps:
    """Keeps what the losses read from one forward pass: up-block outputs and the last attention's Q and K."""

    def __init__(self, unet: nn.Module) -> None:
        blocks = list(unet.up_blocks)  # type: ignore[arg-type]
        last = [b for b in blocks if getattr(b, "has_cross_attention", False)][-1]
        layer = last.attentions[-1].transformer_blocks[0]  # type: ignore[union-attr, index]
        self.values: dict[str, Tensor] = {}
        self.class_key: nn.Module = layer.attn2.to_k
        for name, module in (
            ("up1", blocks[-2]),
            ("up2", blocks[-1]),
            ("q_self", layer.attn1.to_q),
            ("k_self", layer.attn1.to_k),
            ("q_cross", layer.attn2.to_q),
            ("k_cross", layer.attn2.to_k),
        ):
            module.register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self.values[name] = output

        return hook


class Model(nn.Module):
    """U-Net, text encoder and the (training-only) prototypes, with their common loss."""

    def __init__(self, config: NetworkConfig, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = build_unet(config)
        self.text = build_text_encoder(config, tokenizer)
        self.prototypes = nn.Parameter(torch.randn(len(BUILDERS), POINT_SLOTS, config.channels[1]) * 0.1)
        self.taps = Taps(self.unet)
        self.register_buffer("alphas", build_scheduler().alphas_cumprod, persistent=False)

    def forward(self, z: Tensor, noise: Tensor, t: Tensor, ids: Tensor, which: Tensor) -> Tensor:
        """Predicted noise for latents [B, 4, h, w]; `ids` [P, 77] distinct prompts, `which` [B] indexes them."""
        a = self.alphas[t][:, None, None, None]  # type: ignore[index]
        noisy = (a.sqrt() * z + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        hidden = self.text(input_ids=ids).last_hidden_state[which]
        out: Tensor = self.unet(noisy, t, encoder_hidden_states=hidden).sample
        return out


def shrink_owner(owner: NDArray[np.int8], cells: int) -> Tensor:
    """Owner maps [B, 32, 32] -> [B, cells * cells] by taking the nearest cells."""
    at = ((np.arange(cells) + 0.5) * owner.shape[1] / cells).astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(owner[:, at[:, None], at])).flatten(1)


def batch_loss(
    model: Model, z: Tensor, batch: Batch, prompts: Prompts, config: TrainConfig, size: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Weighted sum of all losses for whitened latents `z` [B, 4, h, w]."""
    b = len(z)
    clean = torch.rand(b, generator=generator) < config.clean_share
    t = torch.where(
        clean, torch.randint(0, 50, (b,), generator=generator), torch.randint(0, 1000, (b,), generator=generator)
    )
    noise = torch.randn(z.shape, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predicted = model(z, noise, t, prompts.ids, prompts.which)
    taps = {k: v.float() for k, v in model.taps.values.items()}
    trust = (1.2 - t / 500).clamp(0.05, 1.0)
    error = (predicted.float() - noise).square().mean((1, 2, 3))
    parts: dict[str, Tensor] = {"diffusion": (error * (t / 100).clamp(max=1.0)).mean()}
    source = torch.from_numpy(batch.query_image)
    kind = torch.from_numpy(batch.query_kind)
    weight = (kind > 0) * trust[:, None] * trust[source]
    weight = weight * torch.where(kind == 2, config.warp, 1.0)
    qxy, txy = torch.from_numpy(batch.query_xy), torch.from_numpy(batch.target_xy)
    figures: dict[str, float] = {}
    for name, key in (("coarse", "up1"), ("fine", "up2")):
        parts[name], hit = correspondence_loss(taps[key], source, qxy, txy, weight, size, config.temperature)
        for what, number in (("semantic", 1), ("warp", 2)):
            rows = (kind == number) & (weight > 0.3)
            figures[f"{name}_{what}"] = hit[rows].float().mean().item()
    chosen = model.prototypes[torch.from_numpy(batch.category)]
    parts["prototype"] = prototype_loss(
        taps["up1"],
        torch.from_numpy(batch.points),
        torch.from_numpy(batch.visible),
        chosen,
        trust * torch.from_numpy(batch.parts),
        size,
        0.07,
    )
    tokens = (taps["q_self"] + taps["k_self"]) / 2
    cells = math.isqrt(tokens.shape[1])
    mine = (shrink_owner(batch.owner, cells) == 0).float()
    parts["identity"] = identity_loss(tokens, mine, torch.from_numpy(batch.identity), trust, b // config.views)
    keys = taps["k_cross"][torch.arange(b), prompts.position.clamp(min=0)]
    parts["klass"] = class_loss(taps["q_cross"], keys, prompts.mask, trust * (prompts.position >= 0))
    total = sum((getattr(config, name) * part for name, part in parts.items()), torch.zeros(()))
    return total, {**{k: v.item() for k, v in parts.items()}, **figures}


class Trainer:
    """One worker of a run. `step()` does one optimiser step; `save()` and `load()` keep all state."""

    def __init__(self, run: Path, sources: Sources, config: TrainConfig, network: NetworkConfig, rank: int) -> None:
        self.run, self.sources, self.config, self.network, self.rank = run, sources, config, network, rank
        self.tokenizer = CLIPTokenizer.from_pretrained(run / "tokenizer", model_max_length=MAX_TOKENS)
        self.vae = AutoencoderKL.from_pretrained(run / "vae").eval().to(memory_format=torch.channels_last)
        torch.manual_seed(config.seed)
        self.model = Model(network, self.tokenizer).to(memory_format=torch.channels_last)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=config.rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
        )
        tag = (run / "vae" / "tag").read_text().strip()
        self.latents = [LatentStore(source, self.vae, tag) for source in sources]
        self.done = 0
        self.seconds = 0.0
        self.finished = False

    def progress(self) -> float:
        """Share of the run that is done: by steps, or by training time where `minutes` is set."""
        c = self.config
        return self.seconds / (60 * c.minutes) if c.minutes else self.done / c.steps

    def rate(self) -> float:
        """Learning rate of the next step: linear warm-up, then cosine to 3 %."""
        c = self.config
        if self.done < c.warmup:
            return c.rate * (self.done + 1) / c.warmup
        return c.rate * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress()))))

    def step(self) -> dict[str, float]:
        """One optimiser step; a pure function of the state and of (seed, step, rank)."""
        seed = [self.config.seed, self.done, self.rank, 9]
        rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        every = self.config.texture_every
        which = int(len(self.sources) > 1 and every > 0 and self.done % every == every - 1)
        batch = self.sources[which].draw(rng)
        z = self.latents[which].fetch(batch.rows)
        owner = shrink_owner(batch.owner, z.shape[-1] // 2)
        prompts = draw_prompts(batch, self.tokenizer, self.config, rng, owner)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        loss, figures = batch_loss(self.model, z, batch, prompts, self.config, self.sources[which].size, generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.done += 1
        if dist.is_initialized() and self.done % self.config.sync_every == 0:
            self._synchronise()
        decay = min(self.config.decay, self.done / (self.done + 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        return {"loss": loss.item(), **figures}

    @torch.no_grad()
    def _synchronise(self) -> None:
        clock = torch.tensor([self.seconds], dtype=torch.float32)
        parameters = list(self.model.parameters())
        flat = torch.cat([*(p.reshape(-1) for p in parameters), clock])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for p, value in zip(parameters, flat[:-1].split([p.numel() for p in parameters]), strict=True):
            p.copy_(value.view(p.shape))
        self.seconds = float(flat[-1])
        self.finished = self.progress() >= 1

    def save(self) -> None:
        """Write `last.pt` (of this worker) in one replacing move."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "done": self.done,
            "seconds": self.seconds,
            "config": asdict(self.config),
            "network": self.network.to_json(),
        }
        part = self.run / f"last.{self.rank}.part"
        torch.save(state, part)
        part.replace(self.run / f"last.{self.rank}.pt")

    def start_from(self, other: Path) -> None:
        """Take the averaged weights of an earlier run's checkpoint; steps and learning rate start anew."""
        state = torch.load(other, weights_only=True)
        self.model.load_state_dict(state["average"])
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def load(self) -> bool:
        """Continue from `last.pt` when there is one (a new worker starts from worker 0's)."""
        path = self.run / f"last.{self.rank}.pt"
        if not path.exists():
            path = self.run / "last.0.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.done, self.seconds = int(state["done"]), float(state["seconds"])
        return True


def prepare(run: Path, source: BatchSource, config: TrainConfig) -> None:
    """Tokenizer and VAE of a run, made when they are not there yet."""
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "tokenizer" / "vocab.json").exists():
        build_tokenizer(run / "tokenizer").save_pretrained(run / "tokenizer")
    if (run / "vae" / "tag").exists():
        return
    images = source.sets[0].images
    limit = max(2, 2 * source.sets[0].done - 128)
    vae = train_vae(images, seed=config.seed, steps=config.vae_steps, limit=lambda: limit)
    sample = np.array(images[limit : limit + 128]) if limit + 128 <= len(images) else np.array(images[:limit])
    mean, std, psnr = measure_latents(vae, sample)
    whiten(vae, mean, std)
    vae.save_pretrained(run / "vae")
    (run / "facts.json").write_text(json.dumps({"vae_psnr": round(psnr, 2), "vae_steps": config.vae_steps}))
    (run / "vae" / "tag").write_text(f"{config.seed}_{config.vae_steps}_{abs(hash(psnr)) % 10**6}")


def _note(run: Path, **facts: Any) -> None:
    """Add facts of the run that the model card tells."""
    path = run / "facts.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**known, **facts}), encoding="utf-8")


def train(
    run: Path,
    sets: list[Path],
    config: TrainConfig,
    network: NetworkConfig,
    rank: int,
    workers: int,
    start: Path | None = None,
) -> None:
    """The loop of one worker until the run is done, saving every five minutes and on Ctrl-C. A new run begins with the
    weights of the checkpoint `start` where one is given."""
    torch.set_num_threads(1)
    if workers > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29517")
        dist.init_process_group("gloo", rank=rank, world_size=workers)
    sources = open_sources(sets, config)
    source = sources[0]
    if rank == 0:
        prepare(run, source, config)
    if workers > 1:
        dist.barrier()
    trainer = Trainer(run, sources, config, network, rank)
    if not trainer.load() and start is not None:
        trainer.start_from(start)
        if rank == 0:
            before = torch.load(start, weights_only=True)
            minutes = round(before["seconds"] / 60, 1)
            _note(run, before={"steps": before["done"], "minutes": minutes, "config": before["config"]})
    sums: dict[str, list[float]] = {}
    began = saved = tick = time.monotonic()
    first = trainer.done
    try:
        trainer.finished = trainer.progress() >= 1
        while not trainer.finished:
            for name, value in trainer.step().items():
                sums.setdefault(name, []).append(value)
            now = time.monotonic()
            trainer.seconds, tick = trainer.seconds + now - tick, now
            if workers == 1:
                trainer.finished = trainer.progress() >= 1
            if trainer.done % 50 == 0 and rank == 0:
                line = {"step": trainer.done, **{k: round(float(np.nanmean(v)), 4) for k, v in sums.items()}}
                line |= {
                    "rate": trainer.rate(),
                    "seconds_per_step": (time.monotonic() - began) / (trainer.done - first),
                }
                line["scenes"] = source.scenes
                with (run / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                sums = {}
            if trainer.done % 250 == 0:
                source.refresh()
                _note(run, scenes=source.scenes, textures=sum(s.scenes for s in sources[1:]))
            if time.monotonic() - saved > 300:
                trainer.save()
                saved = time.monotonic()
    finally:
        trainer.save()


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sets", type=Path, nargs="+", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--start", type=Path, help="checkpoint of an earlier run whose weights a new run begins with")
    parser.add_argument("--channels", type=int, nargs=3, default=list(NetworkConfig.channels))
    for field in fields(TrainConfig):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    args = _arguments(argv)
    config = TrainConfig(**{f.name: getattr(args, f.name) for f in fields(TrainConfig)})
    network = NetworkConfig(channels=tuple(args.channels))
    if args.workers == 1:
        train(args.run, args.sets, config, network, 0, 1, args.start)
        return
    arguments = (args.run, args.sets, config, network, args.workers, args.start)
    torch.multiprocessing.spawn(_spawned, arguments, nprocs=args.workers)


def _spawned(
    rank: int,
    run: Path,
    sets: list[Path],
    config: TrainConfig,
    network: NetworkConfig,
    workers: int,
    start: Path | None,
) -> None:
    train(run, sets, config, network, rank, workers, start)


if __name__ == "__main__":
    main()
