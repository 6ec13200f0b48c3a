"""Patch features of a vision transformer in a local transformers folder (DINOv2, DINOv3, TIPSv2, C-RADIO): a dense descriptor
and CPM's condition.

Nothing is downloaded. DINOv3's features carry the patch position, which hurts matching between photos; a subspace of
`position_dims` directions, estimated on noise images, is projected out (INSID3; SPair PCK@0.1 46.8 -> 52.6 there).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.backbones.folder import read_json
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError
from kinmark.engine.domain.texts import said
from kinmark.engine.features.fusion import DenseDescriptor, l2_normalise, resample

PREFIX = "dino:"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
POSITION_DIMS = 20
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PLAIN = ("radio", "tipsv2", "tipsv2_vision_model")
"""These take values of 0..1: C-RADIO normalises them itself, TIPSv2 was trained on them."""
_FAMILIES = ("dinov2", "dinov2_with_registers", "dinov3_vit", *_PLAIN)
TIPS_BASE = "vit_base"
"""TIPSv2's name for its base size, in the layout without `vision_config`."""
BATCH = 8
"""Views in one forward at most; the memory ladder asks for fewer."""


class DinoModel:
    """A frozen vision transformer: patches in, one vector per patch out.

    Thread: the engine thread.

    Attributes:
        family: transformers' model type; patch: its side in pixels; width: channels of a patch feature.
        revision: 12 hex digits of the weights.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.folder = folder
        self.model = _load(folder).to(device=device, dtype=dtype).eval().requires_grad_(False)
        self.device, self.dtype = torch.device(device), dtype
        config = self.model.config
        patch = config.patch_size if isinstance(config.patch_size, int) else config.patch_size[0]
        self.family, self.patch, self.width = str(config.model_type), int(patch), int(config.hidden_size)
        self.revision = folder_revision(folder)
        # Tokens before the patches: the class token and, in newer models, registers.
        self.prefix_tokens = (
            int(config.num_summary_tokens)
            if self.family == "radio"
            else 1 + int(getattr(config, "num_register_tokens", 0) or 0)
        )
        self._bases: dict[tuple[tuple[int, int], int], Tensor] = {}

    @torch.no_grad()
    def tokens(self, images: NDArray[np.uint8], grid_wh: tuple[int, int], *, normed: bool = True) -> Tensor:
        """Patch features `[B, rows * columns, C]` float32 of uint8 RGB `[B, H, W, 3]`, resized to `grid_wh` patches.

        normed: behind the last norm; False = what enters it (DINOv2 only).
        """
        pixels = self._pixels(images, grid_wh)
        return self._run(pixels) if normed else self._before_norm(pixels)

    def _before_norm(self, pixels: Tensor) -> Tensor:
        seen: list[Tensor] = []
        hook = self.model.layernorm.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
        try:
            self._run(pixels)
        finally:
            hook.remove()
        return seen[0][:, self.prefix_tokens :].float()

    @torch.no_grad()
    def pooled(self, images: NDArray[np.uint8], grid_wh: tuple[int, int]) -> Tensor:
        """Pooled output `[B, C]` float32 (class token behind the last norm) of uint8 RGB `[B, H, W, 3]`."""
        pixels = self._pixels(images, grid_wh)
        return self.model(pixel_values=pixels.to(self.device, self.dtype)).pooler_output.float()

    def _pixels(self, images: NDArray[np.uint8], grid_wh: tuple[int, int]) -> Tensor:
        values = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0
        size = (grid_wh[1] * self.patch, grid_wh[0] * self.patch)
        values = F.interpolate(values, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        if self.family in _PLAIN:
            return values
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        return (values - mean) / std

    def _run(self, pixels: Tensor) -> Tensor:
        hidden = self.model(pixel_values=pixels.to(self.device, self.dtype)).last_hidden_state
        return hidden[:, self.prefix_tokens :].float()

    @torch.no_grad()
    def position_basis(self, grid_wh: tuple[int, int], dims: int = POSITION_DIMS) -> Tensor:
        """Orthonormal `[C, dims]`: the directions in which features of pure noise depend on the patch position."""
        if (grid_wh, dims) not in self._bases:
            generator = torch.Generator().manual_seed(0)
            size = (8, 3, grid_wh[1] * self.patch, grid_wh[0] * self.patch)
            mean = self._run(torch.randn(size, generator=generator)).mean(dim=0)
            centred = mean - mean.mean(dim=0, keepdim=True)
            _, _, rows = torch.linalg.svd(centred.cpu(), full_matrices=False)
            self._bases[(grid_wh, dims)] = rows[: min(dims, len(rows))].T.contiguous()
        return self._bases[(grid_wh, dims)]

    def dense(self, images: NDArray[np.uint8], cells_wh: tuple[int, int], *, debias: bool | None = None) -> Tensor:
        """Dense maps `[B, C, h, w]` float32, L2-normalised per cell.

        Args:
            images: uint8 RGB `[B, H, W, 3]`.
            cells_wh: (columns, rows) of the result.
            debias: remove the positional subspace; None = for DINOv3 only.
        """
        height, width = images.shape[1:3]
        grid = (max(2, round(width / self.patch)), max(2, round(height / self.patch)))
        features = self.tokens(images, grid)
        if debias if debias is not None else self.family.startswith("dinov3"):
            basis = self.position_basis(grid).to(features.device)
            features = features - (features @ basis) @ basis.T
        maps = features.transpose(1, 2).reshape(len(images), self.width, grid[1], grid[0])
        return l2_normalise(resample(maps, cells_wh))


def _load(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise ModelMissingError(
            said("There is no DINO model in {0}.", folder), "Give the folder that holds its config.json."
        )
    if any(p.suffix in PICKLES for p in folder.iterdir()) or not list(folder.glob("*.safetensors")):
        raise ModelCorruptError(
            said("{0} must hold safetensors weights and no pickled ones (unpickling runs code).", folder),
            "Use the safetensors version of the model and delete .bin files.",
        )
    from transformers import AutoModel

    config = _config_of(folder)
    try:
        model, report = AutoModel.from_pretrained(
            str(folder),
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # noqa: BLE001 - the library raises almost anything on damaged folders
        raise ModelCorruptError(
            said("The DINO model in {0} cannot be loaded.", folder), "Copy it again.", repr(error)
        ) from None
    used = "vision_model." if config.model_type == "tipsv2" else ""  # words are not needed here
    missing = sorted(k for k in report.get("missing_keys", ()) if k.startswith(used))
    if missing:  # the library fills them with random numbers and warns
        raise ModelCorruptError(
            said("The weights in {0} {1}.", folder, said("lack {0}", missing[0])),
            "The files do not belong to their config: download or copy the model again.",
            f"missing {missing[:20]}",
        )
    return model.vision_model if config.model_type == "tipsv2" else model


def _config_of(folder: Path) -> Any:
    """Configuration by the library's own class. Python files that a publisher puts beside the weights are never run.

    C-RADIOv4 and TIPSv2 were published with such files and in a layout of their own, from which the library reads the weights,
    but not the sizes: those of the one size that the catalogue names are the library's defaults.
    """
    from transformers import CONFIG_MAPPING, RadioConfig

    written = read_json(folder / "config.json")
    kind = written.get("model_type")
    if kind is None and written.get("architectures") == ["RADIOModel"]:
        kind = RadioConfig.model_type
    if kind not in _FAMILIES and "auto_map" in written:
        raise ModelCorruptError(
            said("The model in {0} comes with program code of its own, which is never run.", folder),
            "Use a version in transformers' own layout (model_type in its config.json).",
        )
    if kind not in _FAMILIES:
        raise ModelCorruptError(
            said("{0} holds a '{1}' model, not DINOv2, DINOv3, TIPSv2 or C-RADIO.", folder, kind),
            "Choose another folder.",
        )
    if kind == "tipsv2" and "vision_config" not in written and written.get("vision_fn") != TIPS_BASE:
        raise ModelCorruptError(
            said("The config in {0} does not say the sizes of the network.", folder),
            "Of TIPSv2 as it was first published the base size is read; of the others use the newer layout (vision_config).",
        )
    try:
        return CONFIG_MAPPING[kind].from_dict(written)
    except Exception as error:  # noqa: BLE001 - as below
        raise ModelCorruptError(
            said("The DINO model in {0} cannot be loaded.", folder), "Copy it again.", repr(error)
        ) from None


def folder_revision(folder: Path, config: str = "config.json") -> str:
    """12 hex digits that name the weights of a folder: its config, and size and beginning of its weight files."""
    digest = hashlib.sha256()
    for path in sorted([folder / config, *folder.glob("*.safetensors")]):
        digest.update(f"{path.name}:{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
    return digest.hexdigest()[:12]


@lru_cache(maxsize=2)
def open_dino(folder: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> DinoModel:
    """The model of a folder, loaded once."""
    return DinoModel(Path(folder), device, dtype)


def dino_descriptor(
    name: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, folder: Path | None = None
) -> DenseDescriptor:
    """The descriptor "dino:<folder>", or of a named part in `folder`, on a device in a number format; errors of `DinoModel`."""
    model = open_dino(str(folder or name.removeprefix(PREFIX)), str(device), dtype)
    version = f"{model.revision}-2{_format(dtype)}"
    return DenseDescriptor(name, version, lambda images, cells_wh: model.dense(images, cells_wh), BATCH)


def _format(dtype: torch.dtype) -> str:
    """Part of a version: numbers of another format are other numbers."""
    return "" if dtype == torch.float32 else "-" + str(dtype).removeprefix("torch.")
