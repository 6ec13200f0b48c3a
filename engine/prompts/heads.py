"""One vector per image as the condition of a conditional prompt: SD4Match's "Head" variants, from a DINOv2 or CLIP folder.

Pair-DINO-Head and Img-DINO-Head take DINOv2's pooled output (the class token behind the last norm), Pair-CLIP-Head and
Img-CLIP-Head CLIP's projected image embedding. Local transformers folders, safetensors; nothing is downloaded.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.features.dino import PICKLES, folder_revision, open_dino

DINO_HEAD = "dino-head:"
CLIP_HEAD = "clip-head:"
_DINO_GRID = 16
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class DinoHead:
    """Pooled output of a DINOv2 model at 16 x 16 patches (224 px for B/14): `[B, width]`."""

    def __init__(self, folder: str) -> None:
        self.model = open_dino(folder)
        self.width = self.model.width
        self.name = f"{DINO_HEAD}{self.model.family}:{self.model.revision}"

    def patches(self, images: NDArray[np.uint8]) -> Tensor:
        """`[B, width]` float32 of uint8 RGB `[B, H, W, 3]`."""
        return self.model.pooled(images, (_DINO_GRID, _DINO_GRID))


class ClipHead:
    """Projected image embedding of a CLIP vision model at its own input size: `[B, width]`."""

    def __init__(self, folder: str) -> None:
        self.model = _load_clip(Path(folder))
        self.size, self.width = int(self.model.config.image_size), int(self.model.config.projection_dim)
        self.name = f"{CLIP_HEAD}clip:{folder_revision(Path(folder))}"

    @torch.no_grad()
    def patches(self, images: NDArray[np.uint8]) -> Tensor:
        """`[B, width]` float32 of uint8 RGB `[B, H, W, 3]`."""
        values = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0
        size = (self.size, self.size)
        values = F.interpolate(values, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (_CLIP_MEAN, _CLIP_STD))
        return self.model(pixel_values=(values - mean) / std).image_embeds.float()


def is_head(name: str) -> bool:
    """Whether a source of conditions gives one vector per image."""
    return name.startswith((DINO_HEAD, CLIP_HEAD))


@lru_cache(maxsize=2)
def open_head(name: str) -> DinoHead | ClipHead:
    """The source "dino-head:<folder>" or "clip-head:<folder>", loaded once."""
    if name.startswith(DINO_HEAD):
        return DinoHead(name.removeprefix(DINO_HEAD))
    if name.startswith(CLIP_HEAD):
        return ClipHead(name.removeprefix(CLIP_HEAD))
    raise UserInputError(
        said("'{0}' is no source of one vector per image.", name), "Use dino-head:<folder> or clip-head:<folder>."
    )


def _load_clip(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise ModelMissingError(
            said("There is no CLIP model in {0}.", folder), "Give the folder that holds its config.json."
        )
    if any(p.suffix in PICKLES for p in folder.iterdir()) or not list(folder.glob("*.safetensors")):
        raise ModelCorruptError(
            said("{0} must hold safetensors weights and no pickled ones (unpickling runs code).", folder),
            "Use the safetensors version of the model and delete .bin files.",
        )
    from transformers import AutoConfig, CLIPVisionModelWithProjection

    try:
        kind = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False).model_type
        if kind in ("clip", "clip_vision_model"):
            model = CLIPVisionModelWithProjection.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True
            )
            return model.float().eval().requires_grad_(False)
    except Exception as error:  # noqa: BLE001 - the library raises almost anything on damaged folders
        raise ModelCorruptError(
            said("The CLIP model in {0} cannot be loaded.", folder), "Copy it again.", repr(error)
        ) from None
    raise ModelCorruptError(said("{0} holds a '{1}' model, not CLIP.", folder, kind), "Choose another folder.")
