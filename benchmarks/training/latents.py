"""Rendered sets as sources of batches, and their latents, encoded once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.training.batches import BatchSource
from benchmarks.training.config import TrainConfig


class LatentStore:
    """Whitened latents of rendered views, encoded on first use and kept in a memory map beside the set."""

    def __init__(self, source: BatchSource, vae: AutoencoderKL, tag: str) -> None:
        self.source, self.vae, self.maps = source, vae, []
        for folder, one in zip(source.folders, source.sets, strict=True):
            path = folder / f"latents_{tag}.npy"
            cells = one.images.shape[1] // 4
            shape = (len(one.images), 4, cells, cells)
            mode = "r+" if path.exists() else "w+"
            self.maps.append(np.lib.format.open_memmap(path, mode=mode, dtype=np.float16, shape=shape))

    def fetch(self, rows: NDArray[np.int64]) -> Tensor:
        """Latents [B, 4, h, w] float32 of (set, row) pairs."""
        missing = [k for k, (s, r) in enumerate(rows) if not self.maps[s][r, 0, 0].any()]
        if missing:
            pixels = np.stack([self.source.sets[rows[k][0]].images[rows[k][1]] for k in missing])
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                z = self.vae.encode(x.contiguous(memory_format=torch.channels_last)).latent_dist.mean.float()
            for k, one in zip(missing, z.numpy(), strict=True):
                self.maps[rows[k][0]][rows[k][1]] = one
        return torch.from_numpy(np.stack([self.maps[s][r] for s, r in rows]).astype(np.float32))


Sources = Sequence[BatchSource]


def open_sources(sets: list[Path], config: TrainConfig) -> Sources:
    """The set folders as one source of objects and, where there are texture sets, one of textures."""
    kinds: dict[str, list[Path]] = {}
    sizes: dict[str, int] = {}
    for folder in sets:
        info = json.loads((folder / "set.json").read_text())
        kind = str(info.get("kind", "objects"))
        kinds.setdefault(kind, []).append(folder)
        sizes[kind] = int(info["size"])
    sources = [
        BatchSource(
            kinds["objects"], size=sizes["objects"], groups=config.groups, views=config.views, parts=config.parts
        )
    ]
    if "textures" in kinds:
        views = config.texture_views
        sources.append(BatchSource(kinds["textures"], size=sizes["textures"], groups=1, views=views, parts=0.5))
    return sources
