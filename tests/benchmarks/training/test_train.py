"""Losses on hand-made cases; the trainer at toy size: one step learns, a resumed run is bit-equal; shipping."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.training.captions import class_word
from benchmarks.training.config import TrainConfig
from benchmarks.training.latents import open_sources
from benchmarks.training.losses import bilinear_cells, class_loss, correspondence_loss, identity_loss
from benchmarks.training.networks import NetworkConfig, build_tokenizer
from benchmarks.training.render_sets import render_set
from benchmarks.training.ship import ship
from benchmarks.training.train import Trainer
from benchmarks.training.vae import build_vae, measure_latents, whiten
from benchmarks.training.words import COMMON_WORDS
from kinmark.engine.backbones.loading import load_backbone

TOY = NetworkConfig(channels=(16, 32, 32), text_width=32, text_layers=1, latent_size=16)
CONFIG = TrainConfig(steps=10, groups=2, views=2, warmup=2, texture_every=2, texture_views=4)


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    render_set(folder / "set", 0, 24, 64, hard=0.5)
    render_set(folder / "textures", 0, 12, 96, hard=0.5, kind="textures")
    build_tokenizer(folder / "run" / "tokenizer").save_pretrained(folder / "run" / "tokenizer")
    build_vae(0).save_pretrained(folder / "run" / "vae")
    (folder / "run" / "vae" / "tag").write_text("toy")
    return folder


def _trainer(folder: Path, run: Path | None = None) -> Trainer:
    trainer = Trainer(folder / "run", open_sources([folder / "set", folder / "textures"], CONFIG), CONFIG, TOY, 0)
    trainer.run = run or trainer.run
    return trainer


def test_a_resumed_run_is_bit_equal(toy_run: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        straight = _trainer(toy_run, tmp_path)
        losses = [straight.step()["loss"] for _ in range(2)]
        straight.save()
        losses += [straight.step()["loss"] for _ in range(2)]
        resumed = _trainer(toy_run, tmp_path)
        assert resumed.load()
        assert resumed.done == 2
        assert [resumed.step()["loss"] for _ in range(2)] == losses[2:]
    finally:
        torch.set_num_threads(threads)
    assert all(np.isfinite(losses))
    for name, value in straight.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
        assert torch.equal(straight.average[name], resumed.average[name]), name


def test_steps_change_every_part_of_the_model(toy_run: Path) -> None:
    trainer = _trainer(toy_run)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    for _ in range(3):
        trainer.step()
    moved = {k.split(".")[0] for k, v in trainer.model.state_dict().items() if not torch.equal(v, before[k])}
    assert {"unet", "text", "prototypes"} <= moved


def test_a_shipped_folder_loads_like_any_backbone(toy_run: Path, tmp_path: Path) -> None:
    trainer = _trainer(toy_run)
    trainer.step()
    trainer.save()
    out = tmp_path / "embedded"
    assert ship(toy_run / "run", out) < 20_000_000
    card = json.loads((out / "kinmark.json").read_text())
    assert card["extra"]["trained"]["steps"] == 1
    backbone = load_backbone(out, "cpu", torch.float32)
    latents = backbone.encode_latents(torch.zeros(1, 3, 64, 64))
    maps = backbone.unet_forward(latents, 0, backbone.encode_text(["a photo of a dog"])).maps[1]
    assert maps.shape == (1, 32, 16, 16)
    assert torch.isfinite(maps).all()


def test_known_words_are_single_tokens(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path)
    for word in COMMON_WORDS:
        assert len(tokenizer(word, add_special_tokens=False).input_ids) == 1, word
    assert len(tokenizer("xylophone", add_special_tokens=False).input_ids) > 1
    assert class_word(0) in COMMON_WORDS
    assert "object" in COMMON_WORDS


def test_correspondence_loss_knows_right_from_wrong() -> None:
    torch.manual_seed(0)
    maps = torch.randn(1, 16, 8, 8).repeat(2, 1, 1, 1)
    image = torch.tensor([[1], [0]])
    here, away = torch.tensor([[[20.0, 36.0]]] * 2), torch.tensor([[[52.0, 4.0]]] * 2)
    weight = torch.ones(2, 1)
    right, hit = correspondence_loss(maps, image, here, here, weight, 64, 0.06)
    wrong, miss = correspondence_loss(maps, image, here, away, weight, 64, 0.06)
    assert hit.all()
    assert not miss.any()
    assert right < 0.5 < wrong


def test_bilinear_cells_are_exact_at_cell_centres() -> None:
    index, weight = bilinear_cells(torch.tensor([[12.0, 20.0]]), 64, 8, 8)
    assert index[0, weight[0].argmax()] == 2 * 8 + 1
    assert weight.sum() == pytest.approx(1.0)
    assert weight.max() == pytest.approx(1.0)


def test_identity_loss_rewards_the_same_identity_only() -> None:
    mine = torch.zeros(4, 9)
    mine[:, :3] = 1
    identity = torch.tensor([1, 1, 2, 2])
    good = torch.zeros(4, 9, 8)
    good[:2, :3, 0] = good[2:, :3, 1] = 9.0
    mixed = torch.zeros(4, 9, 8)
    mixed[:, :3, 0] = 9.0
    weight = torch.ones(4)
    assert identity_loss(good, mine, identity, weight, 1) < identity_loss(mixed, mine, identity, weight, 1) - 0.3


def test_class_loss_is_small_where_the_mask_is_right() -> None:
    keys, mask = torch.ones(1, 4) * 4, torch.tensor([[1.0, 0.0]])
    queries = torch.stack([torch.ones(4), -torch.ones(4)])[None] * 2
    assert class_loss(queries, keys, mask, torch.ones(1)) < 0.1 < class_loss(queries, keys, 1 - mask, torch.ones(1))


def test_the_structured_start_reconstructs_before_training() -> None:
    smooth = np.kron(np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    vae = build_vae(0).eval()
    mean, std, psnr = measure_latents(vae, smooth)
    assert psnr > 15
    whiten(vae, mean, std)
    after_mean, after_std, after = measure_latents(vae, smooth)
    assert after == pytest.approx(psnr, abs=0.1)
    assert after_mean.abs().max() < 0.02
    assert (after_std - 1).abs().max() < 0.02
