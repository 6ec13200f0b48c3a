"""Parity with the reference vectors of the published implementations (tolerance 1e-4 absolute, their README)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from kinmark.engine.domain.geometry import ImageTransform
from kinmark.engine.features.views import render_pixels, to_network

if TYPE_CHECKING:
    from kinmark.engine.backbones.backbone import Backbone

Vectors = dict[str, np.ndarray]
TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(scope="module")
def tiny(reference_dir: Path) -> Backbone:
    from kinmark.engine.backbones.loading import load_backbone

    return load_backbone(reference_dir / "tiny-sd", "cpu", "fp32", keep_decoder=True)


def _load(reference_dir: Path, name: str) -> Vectors:
    with np.load(reference_dir / name, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def dift(reference_dir: Path) -> Vectors:
    return _load(reference_dir, "dift_features.npz")


@pytest.fixture(scope="module")
def smoke(reference_dir: Path) -> Vectors:
    return _load(reference_dir, "tiny_sd_smoke.npz")


@pytest.fixture(scope="module")
def learned(reference_dir: Path) -> Vectors:
    return _load(reference_dir, "sd4match_prompt.npz")


def _close(ours: torch.Tensor, reference: np.ndarray) -> None:
    torch.testing.assert_close(ours.detach(), torch.from_numpy(reference), **TOLERANCE)


def test_text_and_token_ids(tiny: Backbone, smoke: Vectors) -> None:
    from kinmark.engine.backbones.text import token_ids

    prompts = [str(p) for p in smoke["prompts"]]
    assert np.array_equal(token_ids(tiny.tokenizer, prompts).numpy(), smoke["token_ids"])
    _close(tiny.encode_text(prompts), smoke["text_hidden"])


def test_full_unet(tiny: Backbone, smoke: Vectors) -> None:
    noisy, embeds = torch.from_numpy(smoke["unet_in"]), torch.from_numpy(smoke["text_hidden"])
    output = tiny.unet_forward(noisy, int(smoke["unet_t"]), embeds, up_blocks=(), full=True)
    assert output.eps is not None
    _close(output.eps, smoke["unet_out"])


def test_vae_both_ways(tiny: Backbone, smoke: Vectors) -> None:
    latents = tiny.encode_latents(to_network(smoke["image"][None]))
    _close(latents / tiny.vae.config.scaling_factor, smoke["vae_mean"])
    with torch.no_grad():
        _close(tiny.vae.decode(torch.from_numpy(smoke["vae_mean"])).sample, smoke["vae_decoded"])


def test_encoding_is_exact_for_channels_last_input(tiny: Backbone, smoke: Vectors) -> None:
    """The reference README warns of 3e-3 with channels-last strides: the encoder must not pass them on."""
    image = to_network(smoke["image"][None]).to(memory_format=torch.channels_last)
    _close(tiny.encode_latents(image) / tiny.vae.config.scaling_factor, smoke["vae_mean"])


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize("case", ["unet", "unet_cat", "unet_odd"])
def test_cut_unet_gives_the_up_block(tiny: Backbone, dift: Vectors, case: str, block: int) -> None:
    embeds = dift["prompt_embeds_null" if case == "unet" else "prompt_embeds_cat"]
    noisy = tiny.add_noise(torch.from_numpy(dift[f"{case}_latents"]), torch.from_numpy(dift[f"{case}_noise"]), 261)
    _close(noisy, dift[f"{case}_noisy_latents"])
    output = tiny.unet_forward(noisy, int(dift["t"]), torch.from_numpy(embeds), up_blocks=(block,))
    assert set(output.maps) == {block}
    _close(output.maps[block], dift[f"{case}_up_ft{block}"])


def test_cut_is_identical_to_the_full_pass(tiny: Backbone, dift: Vectors) -> None:
    noisy, embeds = torch.from_numpy(dift["unet_noisy_latents"]), torch.from_numpy(dift["prompt_embeds_null"])
    cut = tiny.unet_forward(noisy, 261, embeds, up_blocks=(1,)).maps[1]
    full = tiny.unet_forward(noisy, 261, embeds, up_blocks=(0, 1, 2, 3), full=True).maps[1]
    assert torch.equal(cut, full)


def _ensemble(tiny: Backbone, latents: torch.Tensor, noise: np.ndarray, embeds: torch.Tensor, t: int, block: int):
    noisy = tiny.add_noise(latents.expand(len(noise), -1, -1, -1), torch.from_numpy(noise), t)
    return tiny.unet_forward(noisy, t, embeds, up_blocks=(block,)).maps[block].mean(0, keepdim=True)


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize("prompt", ["null", "cat"])
def test_image_path_with_ensemble(tiny: Backbone, dift: Vectors, prompt: str, block: int) -> None:
    latents = tiny.encode_latents(to_network(dift["image"][None]))
    _close(latents, dift["image_latents"])
    embeds = tiny.encode_text(["" if prompt == "null" else "a photo of a cat"])
    _close(embeds, dift[f"prompt_embeds_{prompt}"])
    ours = _ensemble(tiny, latents, dift["ens_noise"], embeds, int(dift["t"]), block)
    _close(ours, dift[f"ens_{prompt}_up_ft{block}"])


def test_other_timestep(tiny: Backbone, dift: Vectors) -> None:
    latents = tiny.encode_latents(to_network(dift["image"][None]))
    ours = _ensemble(tiny, latents, dift["ens_noise"][:1], tiny.encode_text([""]), 101, 1)
    _close(ours, dift["single_null_t101_up_ft1"])


@pytest.mark.parametrize("category", ["cat", "dog", "zebra"])
def test_evaluation_featurizer_from_the_photo(tiny: Backbone, dift: Vectors, category: str) -> None:
    """Image resize included. Unknown categories use the empty prompt there (zebra): a caller's choice, not ours."""
    image, size = dift["eval_image"], tuple(int(v) for v in dift["eval_img_size_wh"])
    wh = (image.shape[1], image.shape[0])
    resized = render_pixels(image, ImageTransform.resize(wh, size), wh)
    assert np.array_equal(resized, dift["eval_image_resized"])
    latents = tiny.encode_latents(to_network(resized[None]))
    embeds = tiny.encode_text(["" if category == "zebra" else f"a photo of a {category}"])
    _close(_ensemble(tiny, latents, dift["ens_noise"], embeds, 261, 1), dift[f"eval_{category}_up_ft1"])


@pytest.mark.parametrize("which", ["empty", "photo_cat"])
def test_plain_text_prompts(tiny: Backbone, learned: Vectors, which: str) -> None:
    from kinmark.engine.backbones.text import token_ids

    text = "" if which == "empty" else "a photo of a cat"
    assert np.array_equal(token_ids(tiny.tokenizer, [text]).numpy(), learned[f"text_{which}_ids"])
    _close(tiny.encode_text([text]), learned[f"text_{which}_hidden"])


@pytest.mark.parametrize("name", ["single", "class", "single20"])
def test_assembled_sequences_through_the_text_encoder(tiny: Backbone, learned: Vectors, name: str) -> None:
    sequence = torch.from_numpy(learned[f"{name}_token_embeds_cat-a1"])
    _close(tiny.encode_tokens(sequence), learned[f"{name}_hidden_cat-a1"])


def test_plain_ids_and_their_embeddings_agree(tiny: Backbone) -> None:
    from kinmark.engine.backbones.text import token_ids

    ids = token_ids(tiny.tokenizer, ["a photo of a dog"])
    torch.testing.assert_close(
        tiny.encode_tokens(tiny.token_embedding(ids)), tiny.encode_text(["a photo of a dog"]), **TOLERANCE
    )


def test_text_prompt_features(tiny: Backbone, learned: Vectors) -> None:
    latents = torch.from_numpy(learned["opt_src_latents"])
    embeds = tiny.encode_text(["a photo of a cat"])
    _close(_ensemble(tiny, latents, learned["ens_noise"][:1], embeds, 261, 1), learned["text_prompt_src_feat"])
