"""DINO features at toy size: real classes, registers, positional subspace, fusion slot, refused folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError
from kinmark.engine.features.dino import DinoModel, dino_descriptor, open_dino
from kinmark.engine.prompts.patches import DinoPatches


def make_dino(folder: Path, *, family: str = "dinov2", width: int = 32) -> Path:
    """A seeded toy DINO folder."""
    from transformers import Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel

    common = {"hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if family == "dinov2":
            model = Dinov2Model(Dinov2Config(**common, mlp_ratio=2, patch_size=14))
        else:
            model = DINOv3ViTModel(
                DINOv3ViTConfig(**common, intermediate_size=2 * width, patch_size=16, num_register_tokens=4)
            )
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", ["dinov2", "dinov3"])
def test_dense_maps_and_patches(tmp_path: Path, picture: np.ndarray, family: str) -> None:
    model = DinoModel(make_dino(tmp_path, family=family))
    maps = model.dense(picture, (10, 6))
    assert maps.shape == (2, 32, 6, 10)
    torch.testing.assert_close(maps.norm(dim=1), torch.ones(2, 6, 10), atol=1e-4, rtol=0)
    patches = DinoPatches(model).patches(picture)
    assert patches.shape == (2, 256, 32)


def test_debiasing_removes_what_depends_on_the_position_alone(tmp_path: Path, monkeypatch) -> None:
    model = DinoModel(make_dino(tmp_path, family="dinov3"))
    generator = torch.Generator().manual_seed(2)
    place = torch.randn(49, 3, generator=generator) @ torch.randn(3, 32, generator=generator) * 3
    plain = DinoModel._run
    # Toy weights know nothing of the position: a planted dependence stands for what training brings.
    monkeypatch.setattr(DinoModel, "_run", lambda self, pixels: plain(self, pixels) + place)
    noise = np.random.default_rng(1).integers(0, 255, (4, 112, 112, 3), dtype=np.uint8)

    def position_share(maps: torch.Tensor) -> float:
        """How alike features of different noise pictures are at the same place: what the position contributes."""
        centred = maps - maps.mean(dim=(2, 3), keepdim=True)
        return float(centred.mean(dim=0).pow(2).sum() / centred.pow(2).sum(dim=(1, 2, 3)).mean())

    basis = model.position_basis((7, 7), dims=8)
    torch.testing.assert_close(basis.T @ basis, torch.eye(8), atol=1e-5, rtol=0)
    assert position_share(model.dense(noise, (7, 7), debias=False)) > 0.8
    assert position_share(model.dense(noise, (7, 7))) < 0.4


def test_as_second_descriptor(tmp_path: Path, picture: np.ndarray) -> None:
    open_dino.cache_clear()
    descriptor = dino_descriptor(f"dino:{make_dino(tmp_path)}")
    assert descriptor.compute(picture, (8, 8)).shape == (2, 32, 8, 8)
    assert descriptor.version.startswith(DinoModel(tmp_path).revision)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="no DINO model"):
        DinoModel(tmp_path)
    folder = make_dino(tmp_path / "ok")
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelCorruptError, match="pickled"):
        DinoModel(folder)
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        DinoModel(folder)
