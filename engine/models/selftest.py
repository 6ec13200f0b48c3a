"""One real forward pass as a check: does this backbone work on this machine, and how fast."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kinmark.engine.domain.errors import ModelCorruptError
from kinmark.engine.domain.model_info import SelfTest
from kinmark.engine.domain.texts import said
from kinmark.engine.features.extractor import OF_THE_SPEC
from kinmark.engine.requests import EngineConfig, ImageInput
from kinmark.engine.session import EngineSession


def run_self_test(
    model_id: str, *, device: str = "auto", dtype: str = "auto", models_dir: Path | None = None
) -> SelfTest:
    """Features of a seeded picture, twice and without a cache; ModelCorruptError when they are all alike."""
    config = EngineConfig(device=device, dtype=dtype, cache_bytes=0, models_dir=models_dir)
    session = EngineSession(config)
    try:
        start = time.monotonic()
        extractor = session.extractor(model_id)
        load_seconds = time.monotonic() - start
        with tempfile.TemporaryDirectory(prefix="kinmark-selftest-") as folder, session.guarded():
            image = ImageInput("self-test", _picture(Path(folder)))
            view = session.whole_view(image, model_id)
            prompt = session.prompt("empty", extractor.backbone)
            # Of a part that looks in place of the diffusion pass it is the part that is tried.
            alone = extractor.backbone.spec.fusion.weight == 1.0
            tried = OF_THE_SPEC if alone else None
            first = extractor.extract([view], prompt=prompt, descriptor=tried)[0]
            start = time.monotonic()
            second = extractor.extract([view], prompt=prompt, descriptor=tried)[0]
            image_seconds = time.monotonic() - start
        if float(first.features.std()) < 1e-6:
            raise ModelCorruptError(
                said("The model '{0}' gives the same feature everywhere.", model_id),
                "Its weights are damaged: verify it.",
            )
        info = session.info()
        return SelfTest(
            model_id,
            info.device,
            info.dtype,
            tuple(int(v) for v in first.features.shape),
            load_seconds,
            image_seconds,
            bool(torch.equal(first.features, second.features)),
        )
    finally:
        session.close()


def _picture(folder: Path) -> Path:
    coarse = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    path = folder / "self-test.png"
    Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(path)
    return path
