"""Saved prompts: whole or not at all, found again, refused when damaged or made for something else."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinmark.engine.api import open_prompts
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.prompt_card import PromptCard, PromptFileError
from kinmark.engine.prompts import files
from kinmark.engine.prompts.saved import kept_prompt, load_saved


def card_for(model: Backbone, tensors: dict, **changes) -> PromptCard:
    fields = {
        "id": files.make_id("class", "Zebra colt", tensors),
        "kind": "class",
        "category": "Zebra colt",
        "backbone": model.spec.id,
        "revision": model.revision,
        "tokens": 4,
        "width": model.text_dim,
        "created": "2026-01-02T03:04:05+00:00",
        "before": 0.4,
        "after": 0.5,
        "pairs": (("a#0", "b#1"),),
    }
    return PromptCard(**{**fields, **changes})


@pytest.fixture
def tensors(toy_backbone: Backbone) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"tokens": torch.randn(1, 4, toy_backbone.text_dim, generator=generator)}


@pytest.fixture
def saved(toy_backbone: Backbone, tensors: dict, tmp_path: Path) -> Path:
    return files.save_prompt(tmp_path / "prompts", card_for(toy_backbone, tensors), tensors)


def test_card_survives_the_disk(saved: Path, toy_backbone: Backbone, tensors: dict) -> None:
    card = files.read_card(saved)
    assert card == replace(
        card_for(toy_backbone, tensors),
        id=saved.name,
        before_interval=card.before_interval,
        after_interval=card.after_interval,
    )
    assert math.isnan(card.before_interval[0]) and card.id.startswith("class-zebra-colt-")
    torch.testing.assert_close(files.read_tensors(saved)["tokens"], tensors["tokens"])


def test_loading_gives_hidden_states_for_the_unet(saved: Path, toy_backbone: Backbone) -> None:
    prompt = load_saved(saved, toy_backbone)
    assert prompt.id == f"prompt:{saved.name}"
    assert prompt.embeds.shape == (1, 77, toy_backbone.text_dim)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "sd21"}, "made for the backbone 'sd21'"),
        ({"revision": "000000000000"}, "other weights"),
        ({"width": 1024}, "1024 wide"),
        ({"kind": "point"}, "for one keypoint"),
    ],
)
def test_a_prompt_of_something_else_is_refused(
    toy_backbone: Backbone, tensors: dict, tmp_path: Path, change: dict, message: str
) -> None:
    path = files.save_prompt(tmp_path, card_for(toy_backbone, tensors, **change), tensors)
    with pytest.raises(PromptFileError, match=message):
        load_saved(path, toy_backbone)


def test_wrong_shapes_are_refused(toy_backbone: Backbone, tmp_path: Path) -> None:
    tensors = {"embeds": torch.zeros(1, 77, toy_backbone.text_dim + 1)}
    path = files.save_prompt(tmp_path, card_for(toy_backbone, tensors), tensors)
    with pytest.raises(PromptFileError, match="shape"):
        load_saved(path, toy_backbone)


def test_library_lists_finds_exports_imports_deletes(saved: Path, tmp_path: Path) -> None:
    library = open_prompts((saved.parent,))
    assert [p.reference for p in library.entries()] == [f"prompt:{saved.name}"]
    assert library.find("class-zebra").folder == saved
    exported = library.export(saved.name, tmp_path)
    other = open_prompts((tmp_path / "other",))
    (imported,) = other.import_(exported)
    assert imported.card == files.read_card(imported.folder)
    torch.testing.assert_close(files.read_tensors(imported.folder), files.read_tensors(saved))
    assert library.delete(saved.name).card.id == saved.name and not saved.exists()
    with pytest.raises(PromptFileError, match="no saved prompt"):
        library.find(saved.name)


def test_ambiguous_beginning_and_paths_are_refused(saved: Path, toy_backbone: Backbone, tmp_path: Path) -> None:
    tensors = {"tokens": torch.ones(1, 4, toy_backbone.text_dim)}
    files.save_prompt(saved.parent, card_for(toy_backbone, tensors), tensors)
    with pytest.raises(UserInputError, match="Several"):
        files.find_prompt("class-zebra", [saved.parent])
    for name in ("../prompts", "/etc", "", ".hidden", "a/../b"):
        with pytest.raises(AppError):
            files.find_prompt(name, [saved.parent])


def test_exported_file_with_a_foreign_card_is_refused(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    forged = tmp_path / "forged.safetensors"
    save_file({"tokens": torch.zeros(1, 4, 32)}, forged, metadata={"kinmark_prompt": files.read_card(saved).to_json()})
    with pytest.raises(PromptFileError, match="does not hold what its card says"):
        open_prompts((tmp_path / "p",)).import_(forged)


def test_auto_takes_the_newest_gain_for_these_weights(toy_backbone: Backbone, tmp_path: Path) -> None:
    def save(value: float, **changes) -> Path:
        tensors = {"embeds": torch.full((1, 77, toy_backbone.text_dim), value)}
        card = card_for(toy_backbone, tensors, id=files.make_id("class", "cat", tensors), category="cat", **changes)
        return files.save_prompt(tmp_path, card, tensors)

    save(1.0, created="2026-01-01")
    newest = save(2.0, created="2026-01-03")
    save(3.0, created="2026-01-04", after=0.3)  # worse than before: not taken unasked
    save(4.0, created="2026-01-05", revision="ffffffffffff")
    save(5.0, created="2026-01-06", kind="conditional")
    prompt = kept_prompt("cat", toy_backbone, [tmp_path])
    assert prompt is not None and prompt.id == f"prompt:{newest.name}"
    assert kept_prompt("dog", toy_backbone, [tmp_path]) is None


@pytest.mark.parametrize("what", ["card.json", "prompt.safetensors"])
def test_damaged_files_are_errors_for_people(saved: Path, toy_backbone: Backbone, what: str) -> None:
    good = (saved / what).read_bytes()
    for damaged in (b"", b"\xff" * 40, good[: len(good) // 2], good[:8] + b"\x00" * 30, b"[" * 100_000):
        (saved / what).write_bytes(damaged)
        with pytest.raises(PromptFileError):
            load_saved(saved, toy_backbone)
    (saved / what).unlink()
    with pytest.raises(PromptFileError):
        load_saved(saved, toy_backbone)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), value=st.binary(min_size=1, max_size=8), cut=st.integers(0, 10_000))
def test_mutated_prompts_give_only_app_errors(
    saved: Path, toy_backbone: Backbone, tmp_path: Path, position: int, value: bytes, cut: int
) -> None:
    content = bytearray((saved / files.WEIGHTS).read_bytes())
    position %= len(content)
    content[position : position + len(value)] = value
    target = tmp_path / "mutated.safetensors"
    target.write_bytes(bytes(content[: len(content) - cut % 50]))
    with contextlib.suppress(AppError):
        open_prompts((tmp_path / "into",)).import_(target)


def test_non_finite_numbers_are_refused(toy_backbone: Backbone, tmp_path: Path) -> None:
    tensors = {"embeds": torch.full((1, 77, toy_backbone.text_dim), float("nan"))}
    path = files.save_prompt(tmp_path, card_for(toy_backbone, tensors), tensors)
    with pytest.raises(PromptFileError, match="no usable numbers"):
        load_saved(path, toy_backbone)


def test_card_of_a_newer_version_says_so(saved: Path) -> None:
    data = json.loads((saved / "card.json").read_text())
    (saved / "card.json").write_text(json.dumps({**data, "version": 99}))
    with pytest.raises(PromptFileError, match="newer Kinmark"):
        files.read_card(saved)
