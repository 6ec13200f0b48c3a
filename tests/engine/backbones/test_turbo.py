"""SDXL-Turbo's and SD-Turbo's layouts at toy size: the parts in their real classes, features as diffusers' own pipeline
would make them, and matching from end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from kinmark.engine.api import ImageInput, InstanceSettings, MatchRequest, Target
from kinmark.engine.backbones.loading import load_backbone
from kinmark.engine.domain.errors import ModelCorruptError, UserInputError
from tests.support.toy_pipeline import make_toy_xl_pipeline

if TYPE_CHECKING:
    from kinmark.engine.backbones.backbone import Backbone
    from kinmark.engine.session import EngineSession


@pytest.fixture(scope="module")
def xl_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_xl_pipeline(tmp_path_factory.mktemp("xl") / "toy-xl")


@pytest.fixture(scope="module")
def xl(xl_dir: Path) -> Backbone:
    return load_backbone(xl_dir, "cpu", "fp32")


def test_features_are_those_of_the_pipeline(xl: Backbone, xl_dir: Path) -> None:
    """Text, pooled text and size conditions as `StableDiffusionXLPipeline` computes them; the block's output the same."""
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(xl_dir, local_files_only=True, add_watermarker=False)
    text = "a photo of a cat"
    with torch.no_grad():
        embeds, _, pooled, _ = pipeline.encode_prompt(text, device="cpu", do_classifier_free_guidance=False)
        sizes = pipeline._get_add_time_ids((64, 64), (0, 0), (64, 64), torch.float32, 24)
        latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        seen: list[torch.Tensor] = []
        handle = pipeline.unet.up_blocks[0].register_forward_hook(lambda _m, _a, result: seen.append(result))
        conditions = {"text_embeds": pooled.repeat(2, 1), "time_ids": sizes.repeat(2, 1)}
        eps = pipeline.unet(latents, 50, embeds.repeat(2, 1, 1), added_cond_kwargs=conditions).sample
        handle.remove()
        ours = xl.unet_forward(
            latents, 50, xl.encode_text([text]), up_blocks=(0,), full=True, pooled=xl.pooled_text(text)
        )
    torch.testing.assert_close(xl.encode_text([text]), embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(xl.pooled_text(text), pooled, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.maps[0], seen[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.eps, eps, atol=1e-5, rtol=0)


def test_the_words_reach_the_features_twice(xl: Backbone) -> None:
    """Both the hidden states and the pooled text change what comes out."""
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        cat, dog = (xl.encode_text([word]) for word in ("cat", "dog"))
        plain = xl.unet_forward(latents, 50, cat, up_blocks=(0,), pooled=xl.pooled_text("cat")).maps[0]
        hidden = xl.unet_forward(latents, 50, dog, up_blocks=(0,), pooled=xl.pooled_text("cat")).maps[0]
        pooled = xl.unet_forward(latents, 50, cat, up_blocks=(0,), pooled=xl.pooled_text("dog")).maps[0]
    assert not torch.allclose(plain, hidden, atol=1e-5) and not torch.allclose(plain, pooled, atol=1e-5)


def test_only_the_vae_stays_in_float32_where_half_precision_overflows(xl_dir: Path) -> None:
    backbone = load_backbone(xl_dir, "cpu", "fp16")
    assert next(backbone.vae.parameters()).dtype == torch.float32
    assert next(backbone.unet.parameters()).dtype == torch.float16


def test_from_folder_to_matched_points(
    toy_session: EngineSession, xl_dir: Path, toy_images: tuple[ImageInput, ...]
) -> None:
    """Load, features, match: a photo's own points are found again in it."""
    from kinmark.engine.pipelines.pairwise import match_points

    points = np.array([[30.0, 20.0], [60.0, 40.0], [80.0, 10.0]])
    request = MatchRequest("r", toy_images[0], points, Target(toy_images[0]), backbone=str(xl_dir), prompt="text:cat")
    found = match_points(toy_session, request)
    assert np.linalg.norm(found.points_xy_image - points, axis=1).max() < 12


@pytest.mark.parametrize("steps", [0, 4])
def test_attention_features_with_turbo_steps(
    toy_session: EngineSession, xl_dir: Path, toy_images: tuple[ImageInput, ...], steps: int
) -> None:
    """PDM on the two-encoder layout: one noised pass, and the four inverted steps that the paper used with SDXL-Turbo."""
    from kinmark.engine.instances.attention import AttentionExtractor
    from kinmark.engine.instances.settings import resolve

    settings = resolve(InstanceSettings(inversion_steps=steps), toy_session.backbone(str(xl_dir)).spec)
    extractor = AttentionExtractor(toy_session, str(xl_dir), settings, "cat")
    features = extractor.extract(toy_images[0])
    assert bool(torch.isfinite(torch.as_tensor(features.self_q)).all())
    assert extractor.class_keys is not None and toy_session.info().backbone == str(xl_dir)
    again = AttentionExtractor(toy_session, str(xl_dir), settings, "cat").extract(toy_images[0])
    torch.testing.assert_close(torch.as_tensor(features.self_q), torch.as_tensor(again.self_q))


def test_learned_tokens_are_refused_with_what_to_use(xl: Backbone) -> None:
    with pytest.raises(UserInputError, match="hidden"):
        xl.encode_tokens(torch.zeros(1, 77, 32))


def test_a_missing_second_text_encoder_is_named(xl_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(xl_dir, tmp_path / "half")
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(ModelCorruptError):
        load_backbone(folder, "cpu", "fp32")


def test_the_turbo_scheduler_serves(toy_pipeline_dir: Path, toy_backbone: Backbone, tmp_path: Path) -> None:
    """SD-Turbo ships an Euler scheduler with trailing steps; its noise levels are what features need."""
    from diffusers import EulerDiscreteScheduler

    folder = shutil.copytree(toy_pipeline_dir, tmp_path / "turbo")
    shutil.rmtree(folder / "scheduler")
    EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1, timestep_spacing="trailing"
    ).save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["scheduler"] = ["diffusers", "EulerDiscreteScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    turbo = load_backbone(folder, "cpu", "fp32")
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = (
            b.unet_forward(b.add_noise(latents, torch.ones_like(latents), 75), 75, b.encode_text([""])).maps[1]
            for b in (toy_backbone, turbo)
        )
    torch.testing.assert_close(first, second)
