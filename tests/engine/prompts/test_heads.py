"""Published "Head" variants: one vector per image from a DINOv2 or CLIP folder as the condition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.api import open_prompts
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.prompt import ConditionalPrompt
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.domain.prompt_card import PromptFileError
from kinmark.engine.prompts.cpm import ConditionalPromptModule, CPMConfig
from kinmark.engine.prompts.heads import ClipHead, DinoHead, open_head
from kinmark.engine.prompts.saved import load_saved
from tests.engine.prompts.test_dino import make_dino

WIDTH = 24


def make_clip(folder: Path) -> Path:
    """A seeded toy CLIP vision folder whose embedding is `WIDTH` wide."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def write_checkpoint(path: Path, width: int, *, pair: bool) -> ConditionalPromptModule:
    config = CPMConfig(patch_width=width, width=32, pair=pair, pooled=True, global_tokens=10, conditional_tokens=20)
    module = ConditionalPromptModule(config, seed=1)
    with torch.no_grad():
        module.alpha += 0.5
    names = {ours: published for published, ours in module.REFERENCE_NAMES.items()}
    names |= {"channels.weight": "linear.weight", "channels.bias": "linear.bias"}
    torch.save({"model": {names[k]: v for k, v in module.state_dict().items()}}, path)
    return module


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["dino-head", "clip-head"])
@pytest.mark.parametrize("pair", [True, False])
def test_a_head_checkpoint_makes_prompts(
    toy_backbone: Backbone, toy_pipeline_dir: Path, tmp_path: Path, pictures: np.ndarray, kind: str, pair: bool
) -> None:
    open_head.cache_clear()
    folder = make_dino(tmp_path / "net", width=WIDTH) if kind == "dino-head" else make_clip(tmp_path / "net")
    source = DinoHead(str(folder)) if kind == "dino-head" else ClipHead(str(folder))
    module = write_checkpoint(tmp_path / "ckpt.pt", WIDTH, pair=pair)
    library = open_prompts((tmp_path / "prompts",))
    (found,) = library.import_(tmp_path / "ckpt.pt", backbone=str(toy_pipeline_dir), patches=f"{kind}:{folder}")
    assert ("pair variant" if pair else "image variant") in found.card.source and found.card.tokens == 30
    prompt = load_saved(found.folder, toy_backbone)
    assert isinstance(prompt, ConditionalPrompt) and prompt.pair == pair
    made = prompt.for_images(*pictures) if pair else prompt.for_images(pictures[0])
    vectors = source.patches(pictures)
    assert vectors.shape == (2, WIDTH)
    from kinmark.engine.prompts.sequence import sequence_frame

    with torch.no_grad():
        tokens = module(vectors[:1], vectors[1:] if pair else None)
        expected = toy_backbone.encode_tokens(sequence_frame(toy_backbone).assemble(tokens))
    torch.testing.assert_close(made.embeds, expected, atol=1e-4, rtol=1e-4)


def test_the_wrong_network_is_refused(toy_pipeline_dir: Path, tmp_path: Path) -> None:
    open_head.cache_clear()
    folder = make_clip(tmp_path / "clip")
    write_checkpoint(tmp_path / "ckpt.pt", WIDTH + 1, pair=True)
    library = open_prompts((tmp_path / "prompts",))
    with pytest.raises(PromptFileError, match="takes 50 numbers per image"):
        library.import_(tmp_path / "ckpt.pt", backbone=str(toy_pipeline_dir), patches=f"clip-head:{folder}")
    with pytest.raises(PromptFileError, match="'Head' variant"):
        library.import_(tmp_path / "ckpt.pt", backbone=str(toy_pipeline_dir), patches="dino:somewhere")
    with pytest.raises(ModelMissingError):
        ClipHead(str(tmp_path / "nothing"))
    with pytest.raises(ModelCorruptError, match="not CLIP"):
        ClipHead(str(make_dino(tmp_path / "dino")))
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelCorruptError, match="safetensors"):
        ClipHead(str(folder))
    with pytest.raises(UserInputError, match="one vector per image"):
        open_head("somewhere")
