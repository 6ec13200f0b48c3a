"""The reference pipeline, loaded once for the parity tests of prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.backbones.backbone import Backbone
from engine.backbones.loading import load_backbone

Vectors = dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def tiny_sd(shared_dir: Path) -> Backbone:
    return load_backbone(shared_dir / "reference" / "tiny-sd", "cpu", "fp32")


@pytest.fixture(scope="session")
def vectors_of(shared_dir: Path) -> Callable[[str], Vectors]:
    import numpy as np

    def load(name: str) -> Vectors:
        with np.load(shared_dir / "reference" / f"{name}.npz", allow_pickle=False) as data:
            return {k: torch.from_numpy(np.asarray(data[k])) for k in data.files if data[k].dtype.kind in "fiub"}

    return load
