"""Make the shipped folder from a run: `python -m benchmarks.training.ship RUN [OUT]` (fp16 safetensors + kinmark.json).

The averaged weights are shipped. Whatever `kinmark.json` already says about measured choices (sizes, fusion weights) is
kept; `--settings FILE` replaces it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from benchmarks.training.networks import MAX_TOKENS, NetworkConfig, save_pipeline
from benchmarks.training.train import Model
from kinmark.engine.backbones.folder import write_checksums

LIMIT_BYTES = 20_000_000
DEFAULT_SETTINGS: dict[str, Any] = {
    "title": "Embedded model (shipped, works offline)",
    "licence": "Apache-2.0",
    "input_wh": [192, 192],
    "resize": "fit",
    "timestep": 0,
    "clean": True,
    "up_block": 1,
    "extra_blocks": [{"block": 2, "weight": 0.2}],
    "extra_scales": [{"factor": 0.6667, "weight": 0.5}],
    "ensemble": 1,
    "prompt": "a photo of a {category}",
    "fusion": {"descriptor": "efficientnet_lite2@2*0.7+dense_sift*0.3", "weight": 0.7},
    "instance": {
        "layer": "last",
        "timestep": 20,
        "inversion_steps": 0,
        "mode": "fused",
        "extra": {"evidence": {"attention": 0.5, "colour": 1.2, "local": 0.1, "natural": 0.5}},
    },
    "batch": 16,
}


def load_run(run: Path, *, averaged: bool = True) -> tuple[Model, dict[str, Any]]:
    """The model of a run's last checkpoint (averaged weights by default) and the checkpoint's other fields."""
    state = torch.load(run / "last.0.pt", weights_only=True)
    network = dict(state["network"])
    network["channels"] = tuple(network["channels"])
    tokenizer = CLIPTokenizer.from_pretrained(run / "tokenizer", model_max_length=MAX_TOKENS)
    model = Model(NetworkConfig(**network), tokenizer)
    model.load_state_dict(state["average" if averaged else "model"])
    return model.eval(), {k: v for k, v in state.items() if k not in ("model", "average", "optimiser")}


def ship(run: Path, out: Path, settings: dict[str, Any] | None = None) -> int:
    """Write the pipeline folder; returns its size in bytes. ValueError when it is over the limit."""
    model, state = load_run(run)
    vae = AutoencoderKL.from_pretrained(run / "vae")
    tokenizer = CLIPTokenizer.from_pretrained(run / "tokenizer", model_max_length=MAX_TOKENS)
    save_pipeline(out, vae=vae, unet=model.unet, text_encoder=model.text, tokenizer=tokenizer, dtype=torch.float16)
    card = out / "kinmark.json"
    if settings is None:
        settings = json.loads(card.read_text(encoding="utf-8")) if card.exists() else DEFAULT_SETTINGS
    trained = {"steps": state["done"], "minutes": round(state["seconds"] / 60, 1), "config": state["config"]}
    facts = run / "facts.json"  # scenes and VAE quality, written by the trainer
    trained |= json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else {}
    settings = {**settings, "extra": {**settings.get("extra", {}), "trained": trained}}
    card.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    write_checksums(out)
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    if size > LIMIT_BYTES:
        raise ValueError(
            f"{out} holds {size / 1e6:.1f} MB, the limit is {LIMIT_BYTES / 1e6:.0f} MB: train a smaller one"
        )
    return size


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    default = Path(__file__).resolve().parents[2] / "resources" / "models" / "embedded"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=default)
    parser.add_argument("--settings", type=Path, default=None)
    args = parser.parse_args(argv)
    settings = json.loads(args.settings.read_text(encoding="utf-8")) if args.settings else None
    size = ship(args.run, args.out, settings)
    sys.stdout.write(f"{args.out}: {size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
