"""A checked folder becomes a Backbone: safetensors only, local files only, every weight accounted for."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kinmark.engine.backbones import folder as layout
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.devices import choose_device, choose_dtype
from kinmark.engine.backbones.registry import BackboneSpec, get_spec
from kinmark.engine.backbones.text import token_ids
from kinmark.engine.domain.errors import AppError, ModelCorruptError, ModelMissingError
from kinmark.engine.domain.texts import said

log = logging.getLogger(__name__)

OVERSIZE = 2.0
"""A config may describe this many times the stored numbers (decoders left out, tied weights) and no more."""


def load_backbone(
    id_or_path: str | Path | BackboneSpec,
    device: torch.device | str = "auto",
    dtype: torch.dtype | str = "auto",
    *,
    models_dir: Path | None = None,
    keep_decoder: bool = False,
) -> Backbone:
    """Load a backbone from this machine (never from the network).

    Args:
        id_or_path: registry id, added name, diffusers folder, or a spec that has a folder.
        device, dtype: "auto" or a choice (see `kinmark.engine.backbones.devices`).
        models_dir: where downloaded models lie (None = the platform's data folder).
        keep_decoder: keep the VAE's decoder (training, tests); features never need it.

    Raises:
        ModelMissingError: not installed. ModelCorruptError: files missing, pickled, damaged or of wrong shapes.
    """
    spec = id_or_path if isinstance(id_or_path, BackboneSpec) else get_spec(id_or_path, models_dir)
    if not spec.folder or not Path(spec.folder).is_dir():
        hint = (
            said("Get it with: kinmark models download {0}", spec.id) if spec.repo_id else "Train or restore it first."
        )
        raise ModelMissingError(said("The model '{0}' is not installed.", spec.id), hint)
    path = Path(spec.folder)
    layout.check_layout(path)
    layout.check_weights(path)
    chosen = torch.device(device) if isinstance(device, torch.device) else choose_device(device)
    precision = dtype if isinstance(dtype, torch.dtype) else choose_dtype(chosen, dtype, spec.cpu_dtype)
    backbone = _assemble(spec, path, keep_decoder, precision)
    return backbone.to(chosen, precision)


def _assemble(spec: BackboneSpec, path: Path, keep_decoder: bool, dtype: torch.dtype) -> Backbone:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    unet = _weights(UNet2DConditionModel, path / "unet", dtype)
    vae = _weights(AutoencoderKL, path / "vae", dtype)
    if not keep_decoder:
        vae.decoder = nn.Identity()
        vae.post_quant_conv = None
    # Any scheduler's betas serve: features need alphas_cumprod only, inversion is DDIM's own.
    scheduler = _guarded(
        path / "scheduler", lambda: DDIMScheduler.from_pretrained(path / "scheduler", local_files_only=True)
    )
    backbone = Backbone(
        spec=spec,
        revision=layout.folder_revision(path),
        device=torch.device("cpu"),
        dtype=dtype,
        unet=unet,
        vae=vae,
        text_encoder=_weights(CLIPTextModel, path / "text_encoder", dtype),
        tokenizer=_tokenizer(CLIPTokenizer, path / "tokenizer"),
        scheduler=scheduler,
        text_encoder_2=_second(path / "text_encoder_2", lambda p: _weights(CLIPTextModelWithProjection, p, dtype)),
        tokenizer_2=_second(path / "tokenizer_2", lambda p: _tokenizer(CLIPTokenizer, p)),
    )
    _check_widths(backbone, path)
    return backbone


def _second(path: Path, load: Callable[[Path], Any]) -> Any:
    return load(path) if path.is_dir() else None


def _variant_of(path: Path) -> str | None:
    """ "fp16" when only half-precision weight files lie in the folder."""
    names = [p.name for p in path.glob("*.safetensors")]
    return "fp16" if names and all(".fp16" in name for name in names) else None


def _weights(cls: Any, path: Path, dtype: torch.dtype) -> Any:
    """Load one network and refuse missing or wrongly shaped weights."""

    def load() -> Any:
        return cls.from_pretrained(
            str(path),
            local_files_only=True,
            use_safetensors=True,
            variant=_variant_of(path),
            output_loading_info=True,
            torch_dtype=dtype,
            **({"low_cpu_mem_usage": False} if cls.__module__.startswith("diffusers") else {}),
        )

    _check_proportions(cls, path)
    model, info = _guarded(path, load)
    missing = [str(key) for key in info.get("missing_keys", ())]
    mismatched = [str(key) for key in info.get("mismatched_keys", ())]
    if missing or mismatched:
        what = said("lack {0}", missing[0]) if missing else said("have the wrong shape at {0}", mismatched[0])
        raise ModelCorruptError(
            said("The weights in {0} {1}.", path, what),
            "The files do not belong to their config: download or copy the model again.",
            f"missing {missing[:20]}, mismatched {mismatched[:20]}",
        )
    # Loaded tensors may still be windows into the file: were it truncated later, the process would die of SIGBUS.
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model


def _check_proportions(cls: Any, path: Path) -> None:
    """Refuse a config that asks for a much larger network than the weights fill, before memory is spent on it."""
    config = layout.check_config(path / "config.json")

    def shapes_only() -> nn.Module:
        with torch.device("meta"):
            if hasattr(cls, "load_config"):
                return cls.from_config(config)
            return cls(cls.config_class.from_dict(config))

    wanted = sum(p.numel() for p in _guarded(path, shapes_only).parameters())
    stored = layout.stored_numbers(path)
    if wanted > OVERSIZE * stored + 1_000_000:
        raise ModelCorruptError(
            said(
                "The config in {0} describes {1} weights, but the files hold {2}.", path, f"{wanted:,}", f"{stored:,}"
            ),
            "The files do not belong to their config: download or copy the model again.",
        )


def _tokenizer(cls: Any, path: Path) -> Any:
    def load() -> Any:
        tokenizer = cls.from_pretrained(str(path), local_files_only=True)
        if not isinstance(tokenizer.model_max_length, int) or not 2 <= tokenizer.model_max_length <= 4096:
            # Configs without a length carry a huge placeholder; 77 is CLIP's.
            tokenizer.model_max_length = 77
        return tokenizer

    return _guarded(path, load)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """No progress bars and no advice of the libraries while loading; what matters is checked and raised here."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    level = diffusers_logging.get_verbosity()
    transformers_level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(level)
        transformers_logging.set_verbosity(transformers_level)
        if bars:
            transformers_logging.enable_progress_bar()


def _guarded(path: Path, load: Callable[[], Any]) -> Any:
    """Translate whatever the libraries raise on damaged files, once, with the folder's name."""
    try:
        with _quiet_libraries():
            return load()
    except AppError:
        raise
    except MemoryError as error:
        raise ModelMissingError(
            said("There is not enough memory to load {0}.", path),
            "Close other programs or use a smaller model.",
            repr(error),
        ) from None
    except Exception as error:  # noqa: BLE001 - the libraries raise almost anything on damaged configs and weights
        if not path.is_dir():
            raise ModelMissingError(
                said("The model folder {0} has vanished.", path), "Restore it or add the model again.", repr(error)
            ) from None
        raise ModelCorruptError(
            said("The model part {0} cannot be loaded.", path),
            "Its config or weights are damaged or do not belong together: download or copy the model again.",
            repr(error)[:2000],
        ) from None


def _check_vocabulary(tokenizer: Any, text_encoder: Any, path: Path) -> None:
    """Every token must have an embedding and the sequence a position, or the first prompt would fail with a riddle."""
    ids = _guarded(path, lambda: token_ids(tokenizer, ["a photo of a cat"]))
    highest = max(int(ids.max()), *_guarded(path, lambda: tokenizer.get_vocab().values()))
    config = text_encoder.config
    if highest >= int(config.vocab_size) or ids.shape[1] > int(config.max_position_embeddings) or int(ids.min()) < 0:
        raise ModelCorruptError(
            said(
                "The tokenizer in {0} does not belong to the text encoder (token {1}, length {2}).",
                path,
                highest,
                ids.shape[1],
            ),
            "The parts come from different models: copy the model again.",
        )


def _check_widths(backbone: Backbone, path: Path) -> None:
    """The parts must fit together, or the first forward would fail with a riddle."""
    _check_vocabulary(backbone.tokenizer, backbone.text_encoder, path / "tokenizer")
    if backbone.text_encoder_2 is not None:
        _check_vocabulary(backbone.tokenizer_2, backbone.text_encoder_2, path / "tokenizer_2")
    text = int(backbone.text_encoder.config.hidden_size)
    if backbone.text_encoder_2 is not None:
        text += int(backbone.text_encoder_2.config.hidden_size)
    expected = backbone.unet.config.cross_attention_dim
    latent = int(backbone.vae.config.latent_channels)
    if isinstance(expected, int) and expected != text:
        raise ModelCorruptError(
            said("In {0} the text encoder is {1} wide but the U-Net expects {2}.", path, text, expected),
            "The parts come from different models: copy the model again.",
        )
    if latent != int(backbone.unet.config.in_channels):
        raise ModelCorruptError(
            said(
                "In {0} the VAE makes {1} channels but the U-Net expects {2}.",
                path,
                latent,
                backbone.unet.config.in_channels,
            ),
            "Only text-to-image models can be used (no inpainting or depth variants).",
        )
