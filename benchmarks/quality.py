"""What the shipped embedded model is worth: matching and instance search against its parts and an untrained network.

    kinmark benchmark quality [--pairs 600] [--warps 240] [--scenes 300] [--json FILE]

Matching: PCK on held-out rendered pairs, on warped real photos (those that scikit-image bundles) and on a stereo pair.
Instances: find a rendered instance beside a double of its own class. `±` is one standard error over pairs or scenes;
the ratio compares with the untrained network. The gain rows are paired differences to the shipped fusion.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Row, finish, parser
from kinmark.engine.domain.errors import KnownError

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "camera.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "coins.png",
    "ihc.png",
    "retina.jpg",
    "hubble_deep_field.jpg",
)
EVIDENCE: dict[str, dict[str, float] | None] = {
    "model alone": {"attention": 1.0, "colour": 0.0, "local": 0.0, "natural": 0.0},
    "local descriptor alone": {"attention": 0.0, "colour": 0.0, "local": 1.0, "natural": 0.0},
    "colour alone": {"attention": 0.0, "colour": 1.0, "local": 0.0, "natural": 0.0},
    "natural cells alone": {"attention": 0.0, "colour": 0.0, "local": 0.0, "natural": 1.0},
    "shipped fusion": None,
}


def bundled_photo(name: str) -> NDArray[np.uint8]:
    """One of the photos inside the scikit-image package, RGB; KnownError where it is not installed."""
    try:
        import skimage
    except ImportError:
        hint = "It is a test dependency: pip install scikit-image."
        raise KnownError("The real photos of this benchmark come from scikit-image.", hint) from None
    from PIL import Image

    with Image.open(Path(skimage.__file__).parent / "data" / name) as picture:
        return np.asarray(picture.convert("RGB"))


def make_untrained(source: Path, target: Path) -> Path:
    """A copy of a model folder whose U-Net is freshly initialised."""
    import torch
    from diffusers import UNet2DConditionModel

    shutil.copytree(source, target)
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(source / "unet"))
    unet.save_pretrained(target / "unet")
    return target


def matching_rows(folder: Path, blank: Path, chosen: Any) -> list[Row]:
    """PCK of every arm on the three sets, and the paired gains of the shipped fusion."""
    import torch

    from benchmarks.rendered import keypoints as q
    from kinmark.engine.backbones.loading import load_backbone

    backbones = {n: load_backbone(f, "cpu", torch.float32) for n, f in (("model", folder), ("untrained", blank))}
    card, side = backbones["model"].spec.fusion, backbones["model"].spec.input_wh[0]
    natural = next(p for p in card.descriptor.split("+") if not p.startswith("dense_sift"))
    describer = q.Describer(backbones, ("dense_sift", "colour", natural, card.descriptor))
    arms = [
        q.Arm("untrained", "untrained"),
        q.Arm("local descriptor alone", "dense_sift"),
        q.Arm("colour alone", "colour"),
        q.Arm("natural part alone", natural),
        q.Arm("model alone", "model"),
        q.Arm("shipped fusion", "model", card.descriptor, card.weight, float(card.extra.get("kernel_width", 0.0))),
    ]
    left, right = bundled_photo("motorcycle_left.png"), bundled_photo("motorcycle_right.png")
    with np.load(_skimage_data() / "motorcycle_disp.npz") as archive:
        disparity = archive[archive.files[0]]
    sets = {
        "synthetic": q.synthetic_pairs(chosen.pairs, side),
        "real warps": q.warped_pairs([(n.split(".")[0], bundled_photo(n)) for n in PHOTOS], chosen.warps, side),
        "stereo": q.stereo_pairs(left, right, disparity, side),
        "stereo, half-size tiles": q.stereo_pairs(left, right, disparity, side, half=True),
    }
    rows: list[Row] = []
    for name, pairs in sets.items():
        results = q.evaluate_pairs(pairs, describer, arms)
        for alpha in q.ALPHAS:
            for how, figure in (("per image", q.per_image), ("per point", q.per_point)):
                base = figure(results["untrained"], alpha).value
                for arm in arms:
                    f = figure(results[arm.name], alpha)
                    label = f"{name} PCK@{alpha:g} {how}: {arm.name}"
                    rows.append(_row(label, f.value, f.error, base, f"{len(pairs)} pairs"))
            for arm in arms[:-1]:
                f = q.gain(results["shipped fusion"], results[arm.name], alpha)
                rows.append(_row(f"{name} PCK@{alpha:g}: fusion minus {arm.name}", f.value, f.error, None, "paired"))
    return rows


def instance_rows(folder: Path, blank: Path, work: Path, chosen: Any) -> list[Row]:
    """IoU, peak and choice of every arm on scenes with a double."""
    from benchmarks.rendered import instance_cases as iq
    from kinmark.engine.api import EngineConfig, open_engine

    cases = iq.instance_cases(work / "cases", chosen.scenes, 256)
    engine = open_engine(EngineConfig(cache_dir=work / "cache"))
    arms = [("untrained", blank, EVIDENCE["model alone"]), *((n, folder, e) for n, e in EVIDENCE.items())]
    try:
        outcomes = {n: [iq.find_case(engine, c, str(f), e) for c in cases] for n, f, e in arms}
    finally:
        engine.close()
    tables = {n: iq.summarise(found) for n, found in outcomes.items()}
    fused = outcomes["shipped fusion"]
    gains = {n: iq.gains(fused, found) for n, found in outcomes.items() if n != "shipped fusion"}
    titles = {"iou": "mean IoU", "peak": "peak inside the mask", "right": "right instance"}
    rows: list[Row] = []
    for key, title in titles.items():
        base = tables["untrained"][key][0]
        rows += [_row(f"instances, {title}: {n}", *t[key], base, f"{len(cases)} scenes") for n, t in tables.items()]
        rows += [_row(f"instances, {title}: fusion minus {n}", *g[key], None, "paired") for n, g in gains.items()]
    return rows


def _row(name: str, value: float, error: float, base: float | None, note: str) -> Row:
    return Row(name, round(value, 2), "%", round(value / base, 3) if base else None, f"± {error:.2f}, {note}")


def _skimage_data() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--pairs", type=int, default=600, help="held-out rendered pairs")
    options.add_argument("--warps", type=int, default=240, help="warped real photos")
    options.add_argument("--scenes", type=int, default=300, help="instance scenes with a double")
    options.add_argument("--model", type=Path, default=None, help="model folder (default: the shipped one)")
    options.add_argument("--part", choices=("all", "matching", "instances"), default="all")
    chosen = options.parse_args(argv)
    from kinmark.engine.paths import resources_dir

    folder = chosen.model or resources_dir() / "models" / "embedded"
    if not (folder / "unet").is_dir():
        raise KnownError(f"There is no model in {folder}.", "Train one: python -m benchmarks.training.train.")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        blank = make_untrained(folder, work / "untrained")
        if chosen.part in ("all", "matching"):
            rows += matching_rows(folder, blank, chosen)
        if chosen.part in ("all", "instances"):
            rows += instance_rows(folder, blank, work, chosen)
    finish("quality", rows, chosen.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
