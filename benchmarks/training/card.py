"""Write the model card from what was measured: `python -m benchmarks.training.card FIGURES.json [OUT]`.

FIGURES.json is what `kinmark benchmark quality --json` wrote. OUT defaults to the shipped folder's README.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "resources" / "models" / "embedded"
ARMS = (
    "untrained",
    "local descriptor alone",
    "colour alone",
    "natural part alone",
    "model alone",
    "shipped fusion",
)
ALSO_CALLED = {"natural part alone": "natural cells alone"}
"""What the same part is called where it finds instances."""

TEXT = """# Kinmark's embedded model

A tiny latent-diffusion pipeline that lets Kinmark do its work on a machine without network. It is trained only on scenes
that the project renders itself; no photograph, no foreign weights, no captions from elsewhere. Licence: Apache-2.0.

**What it is for.** A robust local matcher with the beginnings of parts: the same object in another picture, parts of
rendered animals and things across identities, one instance among others of its class. **What it is not.** It has never
seen a photo; what Kinmark knows of photographs comes from the part that its recipe adds (`{descriptor}`,
weight {weight:g}; EfficientNet-Lite2 is a package of its own) and from the heads that labels teach. Between different individuals and poses
Stable Diffusion (`kinmark models download sd15`) knows more. Words outside its vocabulary of {vocabulary} tokens mean nothing to it.

## Architecture
Ordinary diffusers layout, {size:.1f} MB in fp16: `AutoencoderKL` (factor 4, 4 latent channels, blocks 16/32/64, 0.65 M
parameters, latents whitened per channel inside the quantisation layers), `UNet2DConditionModel` (blocks {channels}, one
layer per block, cross-attention on all but the finest level, {unet:.1f} M), `CLIPTextModel` (2 x 128, {text:.2f} M) with a
CLIP tokenizer of single-token class words, `DDIMScheduler` (scaled linear, epsilon).

## Data and losses
{scenes} procedural scenes (two views of 128 px each): {categories} named categories and {creatures} nameless random
creatures, 3-D objects with identities, poses, same-class doubles and dead-leaves / noise / brick backgrounds; and {textures}
pictures of textures alone (two warped views of 192 px each), every third step, for local matching.
Losses: diffusion; correspondence cross-entropy on up-blocks 1 and 2 (keypoints and dense surface points, and dense warps of
whole pictures); a body chart of prototypes; identity contrast on the last self-attention's Q and K; class-token
cross-attention against the class mask. Eight views make a group with one prompt: without a prompt a view corresponds to
its own individual only, with a word to the parts of all; words outside the classes stand for any object. The VAE is trained
first ({psnr:.1f} dB on rendered views).

## How it was made
```
python -m benchmarks.training.render_sets runs/sets/a0 --first 0 --count 16000 --hard 0.8
python -m benchmarks.training.render_sets runs/sets/a1 --first 1000000 --count 16000 --hard 0.8
python -m benchmarks.training.render_sets runs/sets/t0 --kind textures --size 192 --first 0 --count 3000
python -m benchmarks.training.render_sets runs/sets/t1 --kind textures --size 192 --first 1000000 --count 3000
python -m benchmarks.training.train runs/m1 --sets runs/sets/a0 runs/sets/a1 --workers 2 --groups 2 --minutes {first_minutes:.0f}
cp -r runs/m1/vae runs/m1/tokenizer runs/m1/facts.json runs/m2/
python -m benchmarks.training.train runs/m2 --sets runs/sets/a0 runs/sets/a1 runs/sets/t0 runs/sets/t1 \\
    --start runs/m1/last.0.pt --workers 2 --groups 2 --texture-views {texture_views} --rate {rate:g} --warmup 100 --minutes {budget:g}
python -m benchmarks.training.ship runs/m2
```
Seed {seed}. First run: {first_steps} steps on the first third of the scenes, before groups had one prompt and without textures
(code of commit 99364d7); it gave the second its start and the VAE. Second run: {steps} steps of 2 x {batch} pictures in
{minutes:.0f} minutes on two CPU threads shared with other work ({cpu}). Averaged weights are shipped. Code: the commit
that added these weights.
Two workers average their parameters every {sync} steps in wall-clock order, and the length is set in minutes, so a rerun
gives an equivalent model, not the same bytes; one worker with `--steps` is reproducible to the bit.

## Quality
{cases}. Percent, ± one standard error. L: the target object's box (synthetic), the picture's side (warps, stereo).

{table}

Gain of the shipped fusion over each part (paired, per image):

{gains}

Full figures: `benchmarks/results/embedded-model-quality.json`; again with `kinmark benchmark quality`.
"""


def _cell(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{row['value']:.1f} {row['note'].split(',')[0]}"


def _row_of(by_name: dict[str, dict[str, Any]], before: str, arm: str) -> dict[str, Any] | None:
    return by_name.get(before + arm) or by_name.get(before + ALSO_CALLED.get(arm, arm))


def quality_table(rows: list[dict[str, Any]]) -> str:
    """Markdown table: one line per figure, one column per arm."""
    by_name = {row["name"]: row for row in rows}
    heads = [name.rsplit(": ", 1)[0] for name in by_name if name.endswith(": model alone")]
    lines = ["| figure | " + " | ".join(ARMS) + " |", "|---" * (len(ARMS) + 1) + "|"]
    for head in heads:
        lines.append(f"| {head} | " + " | ".join(_cell(_row_of(by_name, f"{head}: ", arm)) for arm in ARMS) + " |")
    return "\n".join(lines)


def gain_table(rows: list[dict[str, Any]]) -> str:
    """Markdown table of the paired gains."""
    heads = [a for a in ARMS if a != "shipped fusion"]
    gains = {row["name"]: row for row in rows if ": fusion minus " in row["name"]}
    sets = list(dict.fromkeys(name.split(": fusion minus ")[0] for name in gains))
    lines = ["| figure | " + " | ".join(f"minus {h}" for h in heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for name in sets:
        cells = [_cell(_row_of(gains, f"{name}: fusion minus ", h)) for h in heads]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_card(figures: dict[str, Any], run_facts: dict[str, Any], out: Path) -> str:
    """Fill the card's text; `run_facts` are those of `collect_facts`."""
    rows = figures["rows"]
    notes = list(
        dict.fromkeys(r["note"].split(", ")[1] for r in rows if ", " in r["note"] and "paired" not in r["note"])
    )
    text = TEXT.format(
        table=quality_table(rows),
        gains=gain_table(rows),
        cases="Measured on "
        + ", ".join(notes)
        + " (rendered pairs, warped photos, stereo tiles whole and half, instance scenes)",
        cpu=figures["machine"]["cpu"],
        **run_facts,
    )
    out.write_text(text, encoding="utf-8")
    return text


def collect_facts(folder: Path) -> dict[str, Any]:
    """What the shipped folder itself says about the training, its sizes and its vocabulary."""
    from safetensors import safe_open

    from benchmarks.training.bodies import CATEGORIES, CREATURE_CATEGORIES

    card = json.loads((folder / "kinmark.json").read_text(encoding="utf-8"))
    trained = card["extra"]["trained"]
    unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
    counts = {}
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        with safe_open(folder / part / f"{name}.safetensors", "np") as file:
            counts[part] = sum(int(file.get_tensor(k).size) for k in file.keys()) / 1e6  # noqa: SIM118
    config = trained["config"]
    return {
        "descriptor": card["fusion"]["descriptor"],
        "weight": card["fusion"]["weight"],
        "vocabulary": json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8"))["vocab_size"],
        "size": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6,
        "channels": "/".join(str(c) for c in unet["block_out_channels"]),
        "unet": counts["unet"],
        "text": counts["text_encoder"],
        "scenes": trained.get("scenes", "many"),
        "psnr": trained.get("vae_psnr", float("nan")),
        "categories": len(CATEGORIES),
        "creatures": len(CREATURE_CATEGORIES),
        "budget": config["minutes"],
        "textures": trained.get("textures", 0),
        "texture_views": config["texture_views"],
        "rate": config["rate"],
        "first_steps": trained["before"]["steps"],
        "first_minutes": trained["before"]["minutes"],
        "seed": config["seed"],
        "steps": trained["steps"],
        "batch": config["groups"] * config["views"],
        "minutes": trained["minutes"],
        "sync": config["sync_every"],
    }


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=FOLDER / "README.md")
    args = parser.parse_args(argv)
    write_card(json.loads(args.figures.read_text(encoding="utf-8")), collect_facts(FOLDER), args.out)


if __name__ == "__main__":
    main()
