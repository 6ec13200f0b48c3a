"""Confidence of proposed keypoints: fit the shipped prior, and measure it on held-out rendered sets (ALGORITHMS 8).

`python -m benchmarks.calibration --write` fits on one half of the sets and stores `resources/calibration/keypoints.json`;
without it the stored prior is only measured, on the other half: ECE, AUROC of the absent decision, what "95 %" accepts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.common import Row, finish, parser
from benchmarks.sequences import SEQUENCES
from engine.api import EngineConfig, Exemplar, ImageInput, ProposeRequest, Target
from engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from engine.matching.auto import default_plan
from engine.matching.confidence import (
    CORRECT_WITHIN,
    add_isotonic_steps,
    auroc,
    expected_calibration_error,
    fit_logistic,
    probability,
    reliability,
    signal_matrix,
    threshold_for_precision,
)
from engine.matching.cycle import with_cycle_errors
from engine.matching.propose import open_matcher
from engine.paths import resources_dir
from engine.session import EngineSession
from engine.training.scenes import HELD_OUT, SceneOptions, render_scene

SIZE = 256


@dataclass(frozen=True)
class LabelledSet:
    """Photos of one category with truth: `xy` `[N, K, 2]` NaN where absent."""

    name: str
    schema: KeypointSchema
    images: tuple[ImageInput, ...]
    xy: np.ndarray


def rendered_set(category: str, seed: int, count: int, folder: Path, one_identity: bool) -> LabelledSet:
    """Scenes of one category, a third of them cut so that some keypoints are missing."""
    generator = np.random.default_rng(seed)
    images, points, names = [], [], ()
    for index in range(count):
        number = HELD_OUT + 50_000_000 + seed * 1000 + index * 4
        identity = (HELD_OUT // 4 + seed) if one_identity else None
        scene = render_scene(number, SIZE, SceneOptions(category=category, identity=identity, distractor=False))
        body = scene.objects[0]
        names = body.keypoint_names
        xy = np.where((body.visibility > 0)[:, None], body.xy_image, np.nan).astype(np.float64)
        picture, shift = scene.image, np.zeros(2)
        if index % 3 == 2:
            side = int(SIZE * generator.uniform(0.5, 0.75))
            shift = generator.integers(0, SIZE - side, 2).astype(np.float64)
            x, y = shift.astype(int)
            picture = picture[y : y + side, x : x + side]
            xy = xy - shift
            xy[((xy < 0) | (xy > side)).any(axis=1)] = np.nan
        path = folder / f"{category}_{seed}_{index}.png"
        Image.fromarray(picture).save(path)
        images.append(ImageInput(path.name, path))
        points.append(xy)
    order = {n: i for i, n in enumerate(names)}
    pairs = tuple((order[n], order[n.replace("left", "right")]) for n in names
                  if "left" in n and n.replace("left", "right") in order)  # fmt: skip
    return LabelledSet(f"{category}-{seed}", KeypointSchema(tuple(names), (), pairs), tuple(images), np.stack(points))


def filmed_set(name: str, seed: int, count: int, folder: Path) -> LabelledSet:
    """A fixed-camera or side-view sequence."""
    sequence = SEQUENCES[name](count, seed=seed)
    paths = sequence.write(folder / f"{name}{seed}")
    xy = np.stack([np.where((f.visibility > 0)[:, None], f.xy_image, np.nan) for f in sequence.frames])
    return LabelledSet(f"{name}-{seed}", sequence.schema, tuple(ImageInput(p.name, p) for p in paths), xy)


CHOSEN = ("dog", "horse", "bird", "car", "mouse", "hand", "chair")
"""Of the renderer's categories: animals, things, views from above."""


def all_sets(folder: Path, half: int, targets: int) -> Iterator[tuple[LabelledSet, int]]:
    """(set, number of exemplars) of one half (0 = fitting, 1 = held out: other seeds, identities and scenes)."""
    for index, category in enumerate(CHOSEN):
        shots = (1, 3)[index % 2]
        yield rendered_set(category, 2 * index + half, targets + shots, folder, index % 3 != 0), shots
    for index, name in enumerate(SEQUENCES):
        yield filmed_set(name, 100 + 2 * index + half, targets + 3, folder), (3, 1, 3)[index]


def collect(session: EngineSession, backbone: str, half: int, targets: int) -> dict[str, np.ndarray]:
    """Signals and truth of every proposed keypoint of one half: features, correct, present."""
    rows: dict[str, list[np.ndarray]] = {"features": [], "correct": [], "present": []}
    with TemporaryDirectory() as name:
        for labelled, shots in all_sets(Path(name), half, targets):
            usable = [i for i in range(len(labelled.images)) if np.isfinite(labelled.xy[i, :, 0]).sum() >= 3]
            chosen, rest = usable[:shots], usable[shots:]
            exemplars = tuple(
                Exemplar(labelled.images[i], InstanceKeypoints(
                    labelled.xy[i], np.where(np.isfinite(labelled.xy[i, :, 0]), 2, 0)))
                for i in chosen
            )  # fmt: skip
            request = ProposeRequest("calibration", labelled.name, labelled.schema, exemplars,
                                     tuple(Target(labelled.images[i]) for i in rest), backbone=backbone)  # fmt: skip
            matcher = open_matcher(session, request, None)
            plan = default_plan(matcher, request.settings)
            matcher.context.weight_is_open = False
            hits = []
            for i in rest:
                raw = with_cycle_errors(matcher, matcher.predict(Target(labelled.images[i]), plan))
                truth = labelled.xy[i]
                inside = truth[np.isfinite(truth[:, 0])]
                length = float((inside.max(axis=0) - inside.min(axis=0)).max())
                near = np.linalg.norm(raw.xy_image - truth, axis=1) <= CORRECT_WITHIN * length
                use = raw.known
                rows["features"].append(signal_matrix(raw.signals)[use])
                rows["correct"].append(near[use])
                rows["present"].append(np.isfinite(truth[:, 0])[use])
                hits.append(near[use & np.isfinite(truth[:, 0])])
            print(f"{labelled.name:14s} {shots} exemplars: PCK@0.1 {100 * np.concatenate(hits).mean():.0f}", flush=True)
    return {k: np.concatenate(v) for k, v in rows.items()}


def fit_prior(data: dict[str, np.ndarray]) -> dict[str, dict]:
    """The two models of `resources/calibration/keypoints.json`."""
    correct = fit_logistic(data["features"], data["correct"], strength=3.0)
    return {
        "correct": add_isotonic_steps(correct, data["features"], data["correct"]),
        "present": fit_logistic(data["features"], data["present"], strength=3.0),
    }


def main(argv: list[str] | None = None) -> int:
    """Fit (with --write) and measure."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--backbone", default="embedded")
    arguments.add_argument("--targets", type=int, default=10, help="proposed photos per set")
    arguments.add_argument("--write", action="store_true", help="fit and store the prior first")
    options = arguments.parse_args(argv)
    with TemporaryDirectory() as cache:
        session = EngineSession(EngineConfig(device="auto", cache_dir=Path(cache), threads=1))
        file = resources_dir() / "calibration" / "keypoints.json"
        if options.write:
            data = collect(session, options.backbone, 0, options.targets)
            file.parent.mkdir(parents=True, exist_ok=True)
            prior = fit_prior(data)
            file.write_text(json.dumps({"default": prior, options.backbone: prior}, indent=1) + "\n", encoding="utf-8")
        held = collect(session, options.backbone, 1, options.targets)
        session.close()
    stored = json.loads(file.read_text(encoding="utf-8"))
    finish("calibration", measure(stored.get(options.backbone, stored["default"]), held), options.json)
    return 0


def measure(model: dict[str, dict], held: dict[str, np.ndarray]) -> list[Row]:
    """ECE, AUROC, what the thresholds accept, and the reliability diagram on held-out data."""
    confidence = probability(model["correct"], held["features"])
    present = probability(model["present"], held["features"])
    threshold = threshold_for_precision(confidence, held["correct"], 0.95)
    rows = [
        Row("keypoints", len(confidence), ""), Row("share correct", float(held["correct"].mean()), ""),
        Row("ECE", expected_calibration_error(confidence, held["correct"]), ""),
        Row("AUROC of correct", auroc(confidence, held["correct"]), ""),
        Row("AUROC of absent", auroc(-present, ~held["present"]), "", note=f"{int((~held['present']).sum())} absent"),
        Row("lowest confidence with 95 % precision", threshold, ""),
    ]  # fmt: skip
    for low in (0.8, 0.9, 0.95):
        chosen = confidence >= low
        if chosen.any():
            right = float(held["correct"][chosen].mean())
            rows.append(Row(f"precision at confidence >= {low:g}", right, "", note=f"of {int(chosen.sum())}"))
    for mean, right, count in reliability(confidence, held["correct"]):
        rows.append(Row(f"reliability {mean:.2f}", right, "", note=f"of {count}"))
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
