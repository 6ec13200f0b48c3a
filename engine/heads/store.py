"""What exemplars taught, kept: in memory, and with the feature maps on disk for the next start.

Thread: the engine thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.kept import Kept
from kinmark.engine.features.cache import CacheKey, FeatureCache
from kinmark.engine.heads.ridge import Contribution

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[np.generic]]
KEEP_BYTES = 384 << 20
VERSION = "2"
"""Raised when the same label teaches something else, so that what lies on disk is not used wrongly."""


@dataclass(frozen=True)
class Taught:
    """What one exemplar teaches in one frame: `aligned` `[R, K, 2]` xy_input (R = 1, or 2 with its mirror image), its part of
    the normal equations, that of each place that was denied, and vectors of its keypoints' cells `[V, K, C]`, natural and local
    (`shown` `[K]`: those that it has)."""

    aligned: Floats
    part: Contribution
    denials: tuple[Contribution, ...]
    shown: Tensor
    cells: Tensor
    local: Tensor | None

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        tensors = [self.cells, *([] if self.local is None else [self.local])]
        tensors += [t for part in (self.part, *self.denials) for t in (part.gram, part.moments)]
        return sum(t.nbytes for t in tensors)

    def to_arrays(self) -> Arrays:
        """For the disk; a Gram matrix by its lower triangle."""
        found: Arrays = {"aligned": self.aligned, "shown": self.shown.numpy(), "cells": self.cells.numpy()}
        if self.local is not None:
            found["local"] = self.local.numpy()
        for number, part in enumerate((self.part, *self.denials)):
            found |= {
                f"gram{number}": part.gram.numpy()[np.tril_indices(len(part.gram))],
                f"moments{number}": part.moments.numpy(),
                f"known{number}": part.known.numpy(),
                f"count{number}": np.array([part.cells], np.int64),
            }
        return found

    @staticmethod
    def from_arrays(arrays: Arrays) -> Taught:
        """Inverse of `to_arrays`, bit for bit; KeyError, ValueError when something is missing."""
        parts: list[Contribution] = []
        while f"gram{len(parts)}" in arrays:
            number = len(parts)
            moments = torch.from_numpy(arrays[f"moments{number}"])
            gram = np.zeros((len(moments), len(moments)))
            low = np.tril_indices(len(moments))
            gram[low] = gram.T[low] = arrays[f"gram{number}"]
            known = torch.from_numpy(arrays[f"known{number}"])
            parts.append(Contribution(torch.from_numpy(gram), moments, int(arrays[f"count{number}"][0]), known))
        local = torch.from_numpy(arrays["local"]) if "local" in arrays else None
        shown, cells = (torch.from_numpy(arrays[name]) for name in ("shown", "cells"))
        return Taught(np.asarray(arrays["aligned"], np.float64), parts[0], tuple(parts[1:]), shown, cells, local)


class HeadStore:
    """What exemplars taught, by exemplar, frame and recipe; a changed label has another key, so nothing in here is ever stale.

    Owned by the engine session; the least recently used go beyond `KEEP_BYTES`.

    Args:
        disk: the cache of feature maps, which then keeps them, too.
    """

    def __init__(self, disk: FeatureCache | None = None) -> None:
        self._kept: Kept[str, Taught] = Kept(KEEP_BYTES, lambda taught: taught.size_bytes)
        self._disk = disk

    def get(self, key: str) -> Taught | None:
        """What is known under the key."""
        found = self._kept.get(key)
        if found is not None:
            return found
        arrays = None if self._disk is None else self._disk.get_arrays(_on_disk(key))
        if arrays is None:
            return None
        try:
            found = Taught.from_arrays(arrays)
        except (KeyError, ValueError, IndexError):
            return None  # of another version of the program: taught again, and written over
        return self._kept.put(key, found)

    def put(self, key: str, taught: Taught) -> None:
        """Keep it."""
        self._kept.put(key, taught)
        if self._disk is not None:
            self._disk.put_arrays(_on_disk(key), taught.to_arrays())

    def clear(self) -> None:
        """Forget what is in memory."""
        self._kept.clear()


def _on_disk(key: str) -> CacheKey:
    return CacheKey(key, "heads", VERSION)
