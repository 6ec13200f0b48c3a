"""Small feature maps for large collections: one shared basis per backbone and recipe, eight bits per number.

Cells are L2-normalised and projected on the leading eigenvectors of their second moment (no mean is taken off, because
what has to survive is the cosine). Published loss at 128-256 of 1280 dimensions: at most 0.4 PCK (methods/features.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kinmark.engine.domain.errors import ModelCorruptError, UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.features.fusion import l2_normalise

FORMAT = "kinmark-basis-1"


@dataclass(frozen=True)
class SharedBasis:
    """Orthonormal `[C, D]` float32; `fingerprint` names the recipe it belongs to, `kept` the share of energy it keeps."""

    vectors: Tensor
    fingerprint: str
    kept: float

    @property
    def dims(self) -> int:
        """Numbers per cell after projection."""
        return int(self.vectors.shape[1])

    @staticmethod
    def fit(maps: Iterable[Tensor], dims: int, fingerprint: str = "") -> SharedBasis:
        """From maps `[C, h, w]` of one recipe (a few dozen images are plenty).

        Raises:
            UserInputError: no map, or more dimensions wanted than channels.
        """
        moment: Tensor | None = None
        for features in maps:
            cells = l2_normalise(features.float().cpu()).flatten(1)
            product = (cells @ cells.T).double() / cells.shape[1]
            moment = product if moment is None else moment + product
        if moment is None:
            raise UserInputError("A shared basis needs at least one feature map.")
        if not 1 <= dims <= moment.shape[0]:
            raise UserInputError(
                said("A basis of these features has 1 to {0} dimensions, not {1}.", moment.shape[0], dims)
            )
        values, vectors = torch.linalg.eigh(moment)
        kept = float(values[-dims:].sum() / values.sum().clamp_min(1e-12))
        return SharedBasis(vectors[:, -dims:].flip(1).float().contiguous(), fingerprint, kept)

    def project(self, features: Tensor) -> Tensor:
        """`[C, h, w]` (or `[C, N]`) to `[D, h, w]` (or `[D, N]`), cells L2-normalised before and after."""
        flat = features.float().flatten(1)
        flat = flat / flat.norm(dim=0, keepdim=True).clamp_min(1e-6)
        small = self.vectors.to(flat.device).T @ flat
        small = small / small.norm(dim=0, keepdim=True).clamp_min(1e-6)
        return small.unflatten(1, features.shape[1:]) if features.ndim > 2 else small

    def save(self, path: Path) -> None:
        """Safetensors with the recipe in its metadata."""
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"format": FORMAT, "fingerprint": self.fingerprint, "kept": f"{self.kept:.6f}"}
        save_file({"vectors": self.vectors.contiguous()}, path, metadata=metadata)

    @staticmethod
    def load(path: Path) -> SharedBasis:
        """Inverse of `save`; ModelCorruptError for a file that is none."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                vectors = file.get_tensor("vectors").clone()
            if metadata.get("format") != FORMAT or vectors.ndim != 2 or not bool(torch.isfinite(vectors).all()):
                raise ValueError("not a basis")
            return SharedBasis(vectors, metadata["fingerprint"], float(metadata["kept"]))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ModelCorruptError(
                said("The feature basis {0} is missing or damaged.", path), "Delete it: it is made again.", repr(error)
            ) from None


def quantise(cells: Tensor) -> NDArray[np.int8]:
    """Unit cells `[D, N]` to int8 `[N, D]`: one step for all (values lie in -1..1, so no scale has to be kept).

    Rounding error is at most 1/254 per number; the cosine of two 96-dimensional cells moves by about 0.001.
    """
    return torch.round(cells.T * 127.0).clamp(-127, 127).to(torch.int8).cpu().contiguous().numpy()
