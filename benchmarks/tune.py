"""Prompt tuning: what it gains on held-out pictures, and what a step costs with and without checkpointing.

    kinmark benchmark tune [--part speed|gain|all] [--seeds 3] [--labelled 5,10,20] [--kinds single,class,conditional]
                           [--backbone embedded] [--set NAME=VALUE] [--json FILE]

Gain: rendered pictures of the sample categories (held-out identities); the same test pictures for every run, none of which
is learned from or chosen on. `before` is the card's text prompt, figures are PCK@0.1 per point (L = longer side of the
box), matched from the labelled pictures that were learned from. `±` is the spread (standard deviation) over seeds. With
`--threads 1` on a CPU times are processor time, which other programs do not disturb; else wall time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Row, finish, parser
from engine.api import EngineConfig, Exemplar, ImageInput, TuneRequest
from engine.domain.keypoints import InstanceKeypoints, KeypointSchema

SIDE = 288
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "single": ("single", {}),
    "class": ("class", {}),
    "hidden": ("hidden", {}),
    "conditional": ("conditional", {"condition": "pair"}),
    "conditional-image": ("conditional", {"condition": "image"}),
}


def rendered_exemplars(category: str, count: int, first: int, folder: Path) -> tuple[list[Exemplar], KeypointSchema]:
    """`count` pictures of a sample category with their true keypoints, from held-out seeds beginning at `first`."""
    from PIL import Image

    from engine.training.bodies import keypoint_names, twin_pairs
    from engine.training.make_samples import AZIMUTH
    from engine.training.scenes import HELD_OUT, SceneOptions, render_scene, scene_category

    names = keypoint_names(category)
    identities = [i for i in range(HELD_OUT, HELD_OUT + 4000) if scene_category(i) == category]
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Exemplar] = []
    number = first
    while len(found) < count:
        options = SceneOptions(
            category=category,
            identity=identities[number % len(identities)],
            distractor=False,
            azimuth=AZIMUTH[category],
        )
        scene = render_scene(HELD_OUT + 800_000 + number, SIDE, options)
        number += 1
        ys, xs = np.nonzero(scene.owner == 0)
        if len(xs) < 400 or int((scene.objects[0].visibility == 2).sum()) < 5:
            continue
        path = folder / f"{category}-{number}.jpg"
        Image.fromarray(scene.image).save(path, quality=95)
        body = scene.objects[0]
        xy = np.where(body.visibility[:, None] > 0, body.xy_image, np.nan).astype(np.float64)
        box = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
        found.append(Exemplar(ImageInput(path.stem, path), InstanceKeypoints(xy, body.visibility.astype(int), box)))
    return found, KeypointSchema(names, pairs=twin_pairs(names))


def clock_of(options: Any, backbone: Any) -> Callable[[], float]:
    """Processor time where one thread of a CPU works, else wall time."""
    alone = options.threads == 1 and backbone.device.type == "cpu"
    return time.process_time if alone else time.perf_counter


def run_gain(options: Any, folder: Path) -> list[Row]:
    """The gain table."""
    from engine.session import EngineSession

    rows: list[Row] = []
    session = EngineSession(EngineConfig(device=options.device, cache_dir=folder / "cache", threads=options.threads))
    kinds = options.kinds.split(",")
    for category in options.categories.split(","):
        largest = max(int(n) for n in options.labelled.split(","))
        test, schema = rendered_exemplars(category, options.test, 0, folder / "test")
        material = [
            rendered_exemplars(category, largest, 1000 * (seed + 1), folder / f"seed{seed}")[0]
            for seed in range(options.seeds)
        ]
        for count in (int(n) for n in options.labelled.split(",")):
            for kind in kinds:
                results = []
                for seed, labelled in enumerate(material):
                    results.append(
                        _tune_once(session, options, category, schema, labelled[:count], test, kind, seed, folder)
                    )
                    print(
                        f"  {category} {count} {kind} seed {seed}: {results[-1].before:.4f} -> {results[-1].after:.4f}",
                        flush=True,
                    )
                rows += _gain_rows(category, count, kind, results)
                for row in rows[-3:]:
                    print(f"{row.name}: {row.value:.2f} {row.unit} {row.note}", flush=True)
    session.close()
    return rows


def _tune_once(
    session: Any, options: Any, category: str, schema: KeypointSchema, labelled: Sequence[Exemplar],
    test: Sequence[Exemplar], kind: str, seed: int, folder: Path,
) -> Any:  # fmt: skip
    from engine.prompts.tuning import tune_prompt

    name, extra = KINDS[kind]
    request = TuneRequest(
        request_id="benchmark", category=category, schema=schema, exemplars=(*labelled, *test), kind=name,
        backbone=options.backbone, steps=options.steps, seed=seed, out_dir=folder / "prompts", keep_if_worse=True,
        options={**extra, **_given(options.set), "report_images": tuple(e.image.image_id for e in test)},
    )  # fmt: skip
    clock = clock_of(options, session.backbone(options.backbone))
    start = clock()
    result = tune_prompt(session, request)
    return replace(result, seconds=clock() - start)


def _given(pairs: Sequence[str]) -> dict[str, Any]:
    import json

    found = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _gain_rows(category: str, count: int, kind: str, results: Sequence[Any]) -> list[Row]:
    before = [100 * r.before for r in results]
    gains = [100 * (r.after - r.before) for r in results]
    spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
    seconds = statistics.mean(r.seconds for r in results)
    name = f"{category}, {count} labelled, {kind}"
    each = " ".join(f"{g:+.1f}" for g in gains)
    return [
        Row(f"{name}: before", statistics.mean(before), "PCK@0.1"),
        Row(f"{name}: gain", statistics.mean(gains), "points", note=f"±{spread:.1f} over {len(gains)} seeds ({each})"),
        Row(f"{name}: time", seconds, "s", note=f"{statistics.mean(r.steps for r in results):.0f} steps"),
    ]


def run_speed(options: Any, folder: Path) -> list[Row]:
    """Steps per second and memory of activations, with and without gradient checkpointing."""
    from engine.prompts.instances import make_labelled, split_by_image, training_pairs
    from engine.prompts.learners import make_learner
    from engine.prompts.tuning_options import TuningOptions
    from engine.prompts.tuning_run import TuningRun
    from engine.session import EngineSession

    session = EngineSession(EngineConfig(device=options.device, cache_bytes=0, threads=options.threads))
    exemplars, schema = rendered_exemplars("dog", 8, 0, folder / "speed")
    extractor = session.extractor(options.backbone)
    rows: list[Row] = []
    baseline = 0.0
    for checkpointing in (False, True):
        request = TuneRequest("b", "dog", schema, tuple(exemplars), backbone=options.backbone)
        settings = replace(TuningOptions.from_request(request), checkpointing=checkpointing)
        instances = make_labelled(exemplars, [session.source.size_wh(e.image) for e in exemplars])
        split = split_by_image(instances, 0.3, 0)
        pairs = training_pairs(instances, split.train, schema.flip_index)
        learner = make_learner(extractor.backbone, "class", settings, category="dog", seed=0)
        run = TuningRun(
            extractor, request, settings, instances, split, pairs, learner.to(extractor.backbone.device), None
        )
        run.load([(i, v) for i in split.train for v in range(settings.variants)])
        run.step()
        clock = clock_of(options, run.backbone)
        start = clock()
        for _ in range(options.repeat):
            run.step()
        rate = options.repeat / (clock() - start)
        kept = activation_bytes(run)
        label = "with" if checkpointing else "without"
        rows.append(Row(f"tune step {label} checkpointing", rate, "steps/s", rate / baseline if baseline else None))
        rows.append(Row(f"kept for backward {label} checkpointing", kept / 2**20, "MB"))
        baseline = baseline or rate
    session.close()
    return rows


def activation_bytes(run: Any) -> int:
    """Bytes of the tensors that one step's graph keeps for its backward pass (each storage once)."""
    import torch

    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and tensor.requires_grad | (tensor.grad_fn is not None):
            seen[storage.data_ptr()] = storage.nbytes()
        else:
            seen.setdefault(storage.data_ptr(), storage.nbytes() if storage.nbytes() < 1 << 30 else 0)
        return tensor

    weights = {p.untyped_storage().data_ptr() for module in run.backbone.modules() for p in module.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = run._pair_loss(run.batch_of(run.done))
    loss.backward()
    run.adam.zero_grad()
    return sum(size for pointer, size in seen.items() if pointer not in weights)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--part", default="speed", choices=("speed", "gain", "all"))
    arguments.add_argument("--backbone", default="embedded")
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--threads", type=int, default=0)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--labelled", default="5,10,20")
    arguments.add_argument("--kinds", default="single,class,conditional")
    arguments.add_argument("--categories", default="dog,bird,car")
    arguments.add_argument("--test", type=int, default=24, help="pictures that measure")
    arguments.add_argument("--steps", type=int, default=None)
    arguments.add_argument("--repeat", type=int, default=10)
    arguments.add_argument("--set", action="append", default=[], help="a tuning option, NAME=VALUE")
    options = arguments.parse_args(argv)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.part in ("speed", "all"):
            rows += run_speed(options, folder)
        if options.part in ("gain", "all"):
            rows += run_gain(options, folder)
    finish("tune", rows, options.json)


if __name__ == "__main__":
    main()
