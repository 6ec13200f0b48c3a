"""Configuration and construction of the tiny latent-diffusion pipeline in the ordinary diffusers layout."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from benchmarks.training.words import COMMON_WORDS

MAX_TOKENS = 77
_SPECIALS = ("<|startoftext|>", "<|endoftext|>")


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the U-Net and the text encoder."""

    channels: tuple[int, ...] = (32, 96, 160)
    layers: int = 1
    heads: int = 2
    text_width: int = 128
    text_layers: int = 2
    groups: int = 8
    latent_size: int = 32

    def to_json(self) -> dict[str, object]:
        """Plain dictionary for cards and checkpoints."""
        return asdict(self)


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer whose vocabulary holds every byte and each word of `COMMON_WORDS` as one token.

    `folder` receives `vocab.json` and `merges.txt`.
    """
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_SPECIALS[1]))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator([f"{word} {word}" for word in COMMON_WORDS], trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = alphabet + [c + "</w>" for c in alphabet] + ["".join(pair) for pair in merges]
    vocabulary = {token: i for i, token in enumerate([*dict.fromkeys(tokens), *_SPECIALS])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = "\n".join(f"{a} {b}" for a, b in merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{lines}\n", encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)


def build_unet(config: NetworkConfig) -> UNet2DConditionModel:
    """U-Net with cross-attention on every level but the finest."""
    levels = len(config.channels)
    attend = [False] + [True] * (levels - 1)
    return UNet2DConditionModel(
        sample_size=config.latent_size,
        in_channels=4,
        out_channels=4,
        layers_per_block=config.layers,
        block_out_channels=config.channels,
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attend),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attend)),
        cross_attention_dim=config.text_width,
        attention_head_dim=config.heads,
        norm_num_groups=config.groups,
    )


def build_text_encoder(config: NetworkConfig, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Small CLIP text model over the tokenizer's vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.text_width,
            intermediate_size=4 * config.text_width,
            num_hidden_layers=config.text_layers,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            projection_dim=config.text_width,
        )
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def save_pipeline(
    folder: Path,
    *,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    dtype: torch.dtype,
) -> None:
    """Write the StableDiffusionPipeline layout (safetensors) under `folder` in `dtype`."""
    for name, part in (("vae", vae), ("unet", unet), ("text_encoder", text_encoder)):
        before = next(part.parameters()).dtype
        part.to(dtype).save_pretrained(folder / name, safe_serialization=True)
        part.to(before)
    tokenizer.save_pretrained(folder / "tokenizer")
    build_scheduler().save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
