"""Files of the published code: converted without unpickling anything but tensors."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from kinmark.engine.api import open_prompts
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.prompt import ConditionalPrompt
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.prompt_card import PromptFileError
from kinmark.engine.features import dino as dino_module
from kinmark.engine.prompts.cpm import ConditionalPromptModule, CPMConfig
from kinmark.engine.prompts.files import read_tensors
from kinmark.engine.prompts.saved import load_saved
from kinmark.engine.prompts.sequence import init_tokens, sequence_frame
from tests.engine.prompts.test_dino import make_dino


def test_caption_file_gives_one_class_prompt_per_category(
    toy_backbone: Backbone, toy_pipeline_dir: Path, tmp_path: Path
) -> None:
    frame = sequence_frame(toy_backbone)
    content = {name: frame.assemble(init_tokens(toy_backbone, 75, seed=n)) for n, name in enumerate(("cat", "dog"))}
    torch.save(content, tmp_path / "caption.pt")
    library = open_prompts((tmp_path / "prompts",))
    found = library.import_(tmp_path / "caption.pt", backbone=str(toy_pipeline_dir))
    assert sorted(p.card.category for p in found) == ["cat", "dog"]
    assert all("published SD4Match" in p.card.source and p.card.revision == toy_backbone.revision for p in found)
    for prompt in found:
        expected = toy_backbone.encode_tokens(content[prompt.card.category])
        torch.testing.assert_close(load_saved(prompt.folder, toy_backbone).embeds, expected)


def test_learned_tokens_in_a_nested_checkpoint(toy_backbone: Backbone, toy_pipeline_dir: Path, tmp_path: Path) -> None:
    tokens = init_tokens(toy_backbone, 75, seed=3)
    torch.save({"epoch": 4, "state_dict": {"captioner.embeds.0": tokens}, "acc": 75.5}, tmp_path / "ckpt.pt")
    library = open_prompts((tmp_path / "prompts",))
    (found,) = library.import_(tmp_path / "ckpt.pt", backbone=str(toy_pipeline_dir), category="cow")
    assert (found.card.kind, found.card.category) == ("class", "cow")
    expected = toy_backbone.encode_tokens(sequence_frame(toy_backbone).assemble(tokens))
    torch.testing.assert_close(load_saved(found.folder, toy_backbone).embeds, expected)


def test_conditional_checkpoint_with_dino(toy_backbone: Backbone, toy_pipeline_dir: Path, tmp_path: Path) -> None:
    folder = make_dino(tmp_path / "dino", width=384)
    module = ConditionalPromptModule(
        CPMConfig(patch_width=384, width=32, global_tokens=25, conditional_tokens=50), seed=1
    )
    names = {ours: published for published, ours in module.REFERENCE_NAMES.items() if published != "linear.weight"}
    names |= {"channels.weight": "linear_C.weight", "channels.bias": "linear_C.bias"}
    state = {f"module.captioner.{names[k]}": v for k, v in module.state_dict().items()}
    torch.save({"model": state}, tmp_path / "ckpt.pt")
    library = open_prompts((tmp_path / "prompts",))
    with pytest.raises(UserInputError, match="DINOv2 folder"):
        library.import_(tmp_path / "ckpt.pt", backbone=str(toy_pipeline_dir))
    (found,) = library.import_(tmp_path / "ckpt.pt", backbone=str(toy_pipeline_dir), patches=f"dino:{folder}")
    torch.testing.assert_close(read_tensors(found.folder)["module.alpha"], module.alpha.detach())
    dino_module.open_dino.cache_clear()
    prompt = load_saved(found.folder, toy_backbone)
    assert isinstance(prompt, ConditionalPrompt) and prompt.pair
    picture = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8).numpy()
    made = prompt.for_images(picture[0], picture[1])
    assert made.embeds.shape == (1, 77, 32) and made.id != prompt.for_images(picture[1], picture[0]).id


class _Evil:
    def __reduce__(self):
        return os.system, ("echo harm > harm.txt",)


@pytest.mark.parametrize("plain", [True, False])
def test_code_in_a_file_does_not_run(tmp_path: Path, monkeypatch, toy_pipeline_dir: Path, plain: bool) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "caption.pt"
    if plain:
        path.write_bytes(pickle.dumps({"cat": _Evil()}))
    else:
        torch.save({"cat": _Evil()}, path)
    with pytest.raises(PromptFileError, match=r"not opened|cannot be read"):
        open_prompts((tmp_path / "prompts",)).import_(path, backbone=str(toy_pipeline_dir))
    assert not (tmp_path / "harm.txt").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"garbage" * 100])
def test_damaged_files(tmp_path: Path, toy_pipeline_dir: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(PromptFileError):
        open_prompts((tmp_path / "prompts",)).import_(tmp_path / "x.pt", backbone=str(toy_pipeline_dir))


def test_what_is_missing_is_said(tmp_path: Path, toy_pipeline_dir: Path) -> None:
    torch.save({"cat": torch.zeros(3)}, tmp_path / "x.pt")
    library = open_prompts((tmp_path / "prompts",))
    with pytest.raises(UserInputError, match="which backbone"):
        library.import_(tmp_path / "x.pt")
    with pytest.raises(PromptFileError, match="holds no prompt"):
        library.import_(tmp_path / "x.pt", backbone=str(toy_pipeline_dir))
    with pytest.raises(PromptFileError, match="no file"):
        library.import_(tmp_path / "none.pt")
