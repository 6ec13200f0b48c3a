"""Fixtures of the engine's tests: the toy pipeline (real classes, seeded) and a session on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import EngineConfig, Exemplar, ImageInput
from tests.support.labelled import draw_exemplar
from tests.support.toy_pipeline import make_toy_pipeline

if TYPE_CHECKING:
    import torch

    from kinmark.engine.backbones.backbone import Backbone
    from kinmark.engine.session import EngineSession


@pytest.fixture(scope="session", autouse=True)
def single_torch_thread() -> None:
    """Toy sizes run fastest on one thread, also when other tests run beside them."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy_pipeline_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of the real classes at toy size (64 px input, VAE factor 4). Do not write into it."""
    return make_toy_pipeline(tmp_path_factory.mktemp("toy") / "toy-sd")


@pytest.fixture(scope="session")
def toy_backbone(toy_pipeline_dir: Path) -> Backbone:
    """The toy pipeline loaded once on the CPU in float32. Do not change it."""
    from kinmark.engine.backbones.loading import load_backbone

    return load_backbone(toy_pipeline_dir, "cpu", "fp32", keep_decoder=True)


@pytest.fixture
def toy_session(tmp_path: Path) -> Iterator[EngineSession]:
    """A session on the CPU in float32 with an empty cache of its own."""
    from kinmark.engine.session import EngineSession

    session = EngineSession(EngineConfig(device="cpu", dtype="fp32", cache_dir=tmp_path / "cache", threads=1))
    yield session
    session.close()


@pytest.fixture
def toy_images(tmp_path: Path) -> tuple[ImageInput, ...]:
    """Four small photos-to-be (smooth seeded noise, different sizes) as PNG files."""
    folder = tmp_path / "images"
    folder.mkdir()
    generator = np.random.default_rng(7)
    images = []
    for index, size in enumerate([(96, 64), (64, 96), (80, 80), (128, 72)]):
        coarse = generator.integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
        path = folder / f"image{index}.png"
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
        images.append(ImageInput(f"image{index}", path))
    return tuple(images)


@pytest.fixture(scope="session")
def tiny_sd(reference_dir: Path) -> Backbone:
    """The reference pipeline for parity."""
    from kinmark.engine.backbones.loading import load_backbone

    return load_backbone(reference_dir / "tiny-sd", "cpu", "fp32")


@pytest.fixture(scope="session")
def vectors_of(reference_dir: Path) -> Callable[[str], dict[str, torch.Tensor]]:
    """Reads one file of reference vectors as tensors."""
    import torch

    def load(name: str) -> dict[str, torch.Tensor]:
        with np.load(reference_dir / f"{name}.npz", allow_pickle=False) as data:
            return {k: torch.from_numpy(np.asarray(data[k])) for k in data.files if data[k].dtype.kind in "fiub"}

    return load


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exemplar, ...]:
    """Eight labelled toy photos. Do not change them."""
    folder = tmp_path_factory.mktemp("labelled")
    return tuple(draw_exemplar(folder, n) for n in range(8))
