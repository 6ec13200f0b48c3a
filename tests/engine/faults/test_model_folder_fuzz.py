"""Mutated model folders: an AppError or a working model, never a crash, a hang or a memory bomb.

A fixed small corpus runs here; `KINMARK_FUZZ=10000` runs that many mutations.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import time
from pathlib import Path

import pytest

from kinmark.engine.backbones.loading import load_backbone
from kinmark.engine.backbones.registry import get_spec
from kinmark.engine.domain.errors import AppError, ModelCorruptError

COUNT = int(os.environ.get("KINMARK_FUZZ", "24"))
TEXT_FILES = (
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "kinmark.json",
    "scheduler/scheduler_config.json",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
)
WEIGHTS = (
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)
VALUES = (None, True, -1, 0, 1, 3, 10**9, 1e308, "", "x", "../../etc", [], [1, 2], [[[[1]]]], {}, {"a": 1}, [10**7] * 4)
CARD = {"input_wh": [64, 64], "timestep": 10, "fusion": {"descriptor": "dense_sift", "weight": 0.4}, "batch": 4}


def _mutate_value(path: Path, rng: random.Random) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    keys = list(data)
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(keys) if keys and rng.random() < 0.9 else "new_key"
        if rng.random() < 0.2:
            data.pop(key, None)
        else:
            data[key] = rng.choice(VALUES)
    path.write_text(json.dumps(data), encoding="utf-8")


def _mutate_bytes(path: Path, rng: random.Random, first: int) -> None:
    data = bytearray(path.read_bytes())
    kind = rng.randrange(4)
    if kind == 0:
        data = data[: rng.randrange(len(data) + 1)]
    elif kind == 1:
        at = rng.randrange(max(1, min(first, len(data))))
        data[at : at + 1] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 8)))
    else:
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(min(first, len(data)))] = rng.randrange(256)
    path.write_bytes(bytes(data))


def _mutate(folder: Path, rng: random.Random) -> str:
    if rng.random() < 0.35:
        name = rng.choice(WEIGHTS)
        _mutate_bytes(folder / name, rng, 4000)
    else:
        name = rng.choice(TEXT_FILES)
        if name.endswith(".json") and rng.random() < 0.7:
            _mutate_value(folder / name, rng)
        else:
            _mutate_bytes(folder / name, rng, 1 << 30)
    return name


def test_mutated_folders(tmp_path: Path, toy_pipeline_dir: Path) -> None:
    folder = tmp_path / "model"
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(COUNT):
        rng = random.Random(seed)
        shutil.copytree(toy_pipeline_dir, folder)
        (folder / "kinmark.json").write_text(json.dumps(CARD), encoding="utf-8")
        name = _mutate(folder, rng)
        start = time.monotonic()
        try:
            backbone = load_backbone(folder, "cpu", "fp32")
            backbone.encode_text(["a cat"])
        except AppError as error:
            refused += 1
            assert str(folder) in str(error), f"seed {seed}: the message does not name the folder: {error}"
        except BaseException as error:
            error.add_note(f"seed {seed}, mutated {name}")
            raise
        assert time.monotonic() - start < 20, f"seed {seed}, {name} hangs"
        shutil.rmtree(folder)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 500
    assert refused > COUNT // 4


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("unet/config.json", {"block_out_channels": [10**9, 10**9, 10**9]}),
        ("unet/config.json", {"block_out_channels": [4096, 8192, 16384]}),
        ("unet/config.json", {"layers_per_block": 10**6}),
        ("vae/config.json", {"block_out_channels": [4096, 8192, 16384]}),
        ("text_encoder/config.json", {"vocab_size": 900_000, "hidden_size": 8192}),
        ("text_encoder/config.json", {"num_hidden_layers": 10**8}),
    ],
)
def test_memory_bombs_are_refused_at_once(
    tmp_path: Path, toy_pipeline_dir: Path, file: str, values: dict[str, object]
) -> None:
    folder = Path(shutil.copytree(toy_pipeline_dir, tmp_path / "bomb"))
    config = json.loads((folder / file).read_text(encoding="utf-8"))
    (folder / file).write_text(json.dumps({**config, **values}), encoding="utf-8")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ModelCorruptError):
        load_backbone(folder, "cpu", "fp32")
    assert time.monotonic() - start < 20
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 300


@pytest.mark.parametrize(
    "card",
    [
        {"timestep": "ten"},
        {"timestep": -1},
        {"timestep": None},
        {"input_wh": [64]},
        {"input_wh": None},
        {"input_wh": [10**6, 64]},
        {"ensemble": 0},
        {"batch": True},
        {"up_block": 1.5},
        {"prompt": 3},
        {"clean": "yes"},
        {"fusion": {"weight": 2}},
        {"fusion": {"weight": "NaN"}},
        {"instance": []},
        {"extra": 3},
        {"resize": "stretch"},
        {"extra_blocks": [{"block": 1}]},
        {"extra_scales": [{"factor": 0, "weight": 0.5}]},
        {"cpu_dtype": "fp8"},
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, toy_pipeline_dir: Path, card: dict[str, object]) -> None:
    folder = Path(shutil.copytree(toy_pipeline_dir, tmp_path / "model"))
    (folder / "kinmark.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ModelCorruptError, match=r"kinmark\.json"):
        get_spec(folder)
