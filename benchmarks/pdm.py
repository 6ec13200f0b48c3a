"""PDM's attention features: processor time of one-step, few-step and 50-step variants, and agreement of their maps.

python -m benchmarks.pdm [--backbone embedded] [--photos 4] [--json FILE]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import Row, finish, parser
from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene
from kinmark.engine.api import DEFAULT_BACKBONE, EngineConfig, ImageInput, InstanceSettings
from kinmark.engine.instances.attention import AttentionExtractor
from kinmark.engine.instances.maps import appearance_tokens
from kinmark.engine.instances.settings import resolve
from kinmark.engine.session import EngineSession

VARIANTS = (
    ("one-step", "pdm", 0),
    ("4-step inversion", "pdm", 4),
    ("50-step inversion", "pdm", 50),
    ("votes, 50 steps there and back", "pdm-votes", 50),
)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--photos", type=int, default=4)
    arguments.add_argument("--backbone", default=DEFAULT_BACKBONE)
    options = arguments.parse_args(argv)
    # Without a cache: every call computes.
    session, rows, base = EngineSession(EngineConfig(device="cpu", cache_bytes=0)), [], 0.0
    with tempfile.TemporaryDirectory() as name:
        images = []
        for number in range(options.photos):
            path = Path(name) / f"{number}.png"
            scene = render_scene(HELD_OUT + 880_000 + number, 256, SceneOptions(category="dog", distractor=True))
            Image.fromarray(scene.image).save(path)
            images.append(ImageInput(str(number), path))
        reference: list[np.ndarray] = []
        for title, variant, steps in reversed(VARIANTS):
            spec = session.backbone(options.backbone).spec
            settings = resolve(InstanceSettings(variant=variant, inversion_steps=steps), spec)
            extractor = AttentionExtractor(session, options.backbone, settings, "dog")
            started = time.process_time()
            for image in images:
                extractor.extract(image)
            taken = (time.process_time() - started) / len(images)
            base = base or taken
            rows.append(Row(f"{title}: processor seconds per photo", taken, "s", base / taken, "slowest variant"))
            if variant == "pdm":
                rows.append(_agreement(title, extractor, images, reference))
    session.close()
    finish("pdm", rows, options.json)
    return 0


def _agreement(title: str, extractor: AttentionExtractor, images: list[ImageInput], reference: list[np.ndarray]) -> Row:
    """Mean correlation of the photo's own token likenesses with those after the 50-step inversion."""
    correlations = []
    for number, image in enumerate(images):
        features = extractor.extract(image)
        tokens = appearance_tokens(features.self_q, features.self_k).numpy()
        centre = tokens[len(tokens) // 2]
        likeness = tokens @ centre / np.maximum(np.linalg.norm(tokens, axis=1) * np.linalg.norm(centre), 1e-9)
        if len(reference) <= number:
            reference.append(likeness)
        correlations.append(float(np.corrcoef(likeness, reference[number])[0, 1]))
    return Row(f"{title}: agreement with 50 steps", float(np.mean(correlations)), "correlation")


if __name__ == "__main__":
    sys.exit(main())
