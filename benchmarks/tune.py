"""Prompt tuning: what it gains on held-out pictures, and what a step costs with and without checkpointing.

    kinmark benchmark tune [--part speed|gain|proposals|table|all] [--seeds 3] [--labelled 5,10,20] [--kinds single,class,conditional]
                           [--backbone embedded] [--set NAME=VALUE] [--json FILE]

Gain: one figure per category (or `all` of them under one prompt, what "single" is for), number of labelled pictures, kind
and seed. With `--json` the file is written after every figure, and figures that are in it are not made again; `--part table`
prints it as Markdown. Rendered pictures of the sample categories (held-out identities), or the photographs of `--dataset`;
the same test pictures for every run, none of which is learned from or chosen on. `before` is the card's text prompt,
figures are PCK@0.1 per point (L = longer side of the box), matched from the labelled pictures that were learned from. `±`
is the spread (standard deviation) over seeds. Proposals: the same pictures, proposed on in full from all labelled ones
(whitened features, exemplars joined, settings chosen under the text prompt, shape), before and after; tuning sees the
labelled pictures alone, as in a project, and says whether it would have kept the prompt. With `--threads 1` on a CPU times
are processor time, which other programs do not disturb; else wall time.
"""

from __future__ import annotations

import json
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
ALL = ("dog", "bird", "car")
PUPPET = "puppet"
TEST_SEED = 9000
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

    from benchmarks.training.bodies import keypoint_names, twin_pairs
    from benchmarks.training.make_samples import AZIMUTH
    from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene, scene_category

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


def drawn_exemplars(count: int, seed: int, folder: Path) -> tuple[list[Exemplar], KeypointSchema]:
    """`count` drawn side views of puppets (benchmarks/sequences.py): a kind of thing that the model never saw."""
    from benchmarks.sequences import side_views
    from engine.domain.geometry import box_of_points

    film = side_views(count, seed)
    found = []
    for frame, path in zip(film.frames, film.write(folder / f"{PUPPET}{seed}"), strict=True):
        xy = np.where(frame.visibility[:, None] > 0, frame.xy_image, np.nan)
        box = box_of_points(frame.xy_image[frame.visibility > 0])
        labels = InstanceKeypoints(xy, frame.visibility.astype(int), box)
        found.append(Exemplar(ImageInput(f"{PUPPET}{seed}-{path.stem}", path), labels))
    return found, film.schema


def clock_of(options: Any, backbone: Any) -> Callable[[], float]:
    """Processor time where one thread of a CPU works, else wall time."""
    alone = options.threads == 1 and backbone.device.type == "cpu"
    return time.process_time if alone else time.perf_counter


def run_gain(options: Any, folder: Path) -> list[Row]:
    """The gain table."""
    return _run_cells(options, folder, _asked_cells(options), _tune_once, gain_rows)


def run_proposals(options: Any, folder: Path) -> list[Row]:
    """The table of full proposals before and after; one seed of everything first."""
    cells = sorted(_asked_cells(options), key=lambda cell: cell["seed"])
    return _run_cells(options, folder, cells, _propose_once, proposal_rows)


def _asked_cells(options: Any) -> list[dict[str, Any]]:
    """What names every figure that was asked for."""
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    return [
        {"category": category, "labelled": int(count), "kind": kind, "seed": seed,
         "asked_steps": options.steps, "set": sorted(options.set), "test": options.test}
        for category in options.categories.split(",") for count in options.labelled.split(",")
        for kind in options.kinds.split(",") for seed in seeds
    ]  # fmt: skip


def _run_cells(
    options: Any, folder: Path, cells: Sequence[dict[str, Any]], measure: Callable[..., dict[str, Any]],
    rows_of: Callable[[Sequence[dict[str, Any]]], list[Row]],
) -> list[Row]:  # fmt: skip
    """Measure the cells that the JSON file does not hold yet; it is written after each."""
    from engine.session import EngineSession

    known = _known_cells(options.json)
    session = EngineSession(EngineConfig(device=options.device, cache_dir=folder / "cache", threads=options.threads))
    for cell in cells:
        if any(all(k.get(name) == value for name, value in cell.items()) for k in known):
            continue
        named = (cell["category"], cell["labelled"], cell["kind"], cell["seed"])
        known.append(cell | measure(session, options, *named, folder))
        print(known[-1], flush=True)
        if options.json is not None:
            finish("tune", rows_of(known), options.json, cells=known)
    session.close()
    return rows_of(known)


def _propose_once(
    session: Any, options: Any, category: str, count: int, kind: str, seed: int, folder: Path
) -> dict[str, Any]:
    """Tune as a project does, then propose on the other pictures from all labelled ones under both prompts."""
    from engine.prompts.files import read_card
    from engine.prompts.saved import load_saved
    from engine.tuning.heldout import figures
    from engine.tuning.job import tune_prompt
    from engine.tuning.material import Split, make_labelled
    from engine.tuning.proposals import ProposalJudge

    labelled, test, schema = material(category, count, options.test, seed, folder)
    name, extra = KINDS[kind]
    request = TuneRequest(
        request_id="benchmark", category="" if category == "all" else category, schema=schema, exemplars=tuple(labelled),
        kind=name, backbone=options.backbone, steps=options.steps, seed=seed, out_dir=folder / "prompts",
        keep_if_worse=True, options={**extra, **_given(options.set)},
    )  # fmt: skip
    backbone = session.backbone(options.backbone)
    clock = clock_of(options, backbone)
    start = clock()
    result = tune_prompt(session, request)
    seconds = clock() - start
    assert result.folder is not None, "keep_if_worse keeps every prompt"
    everything = [*labelled, *test]
    instances = make_labelled(everything, [session.source.size_wh(e.image) for e in everything])
    first = len(labelled)
    split = Split(tuple(range(first)), (), tuple(range(first, len(instances))))
    text = session.prompt("auto", backbone, request.category)
    judge = ProposalJudge(session, request, instances, split, text)
    before, after = (judge.measure(p, split.report) for p in (text, load_saved(result.folder, backbone)))
    found = figures(before, after)
    return {
        "before": found.before, "after": found.after, "gain_interval": found.gain_interval,
        "soft_before": found.soft_before, "soft_after": found.soft_after, "soft_gain_interval": found.soft_gain_interval,
        "points": sum(len(e) for e in before.errors), "better": result.better,
        "held_out": {"proposals": [result.proposals.before, result.proposals.after],
                     "soft": [result.proposals.soft_before, result.proposals.soft_after],
                     "score": [result.before, result.after]},
        "best_step": read_card(result.folder).steps, "steps": result.steps, "seconds": round(seconds, 1),
        "losses": [round(p.loss, 3) for p in result.curve],
    }  # fmt: skip


def _groups_of(cells: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Cells of one category, number of labelled pictures, kind and options, under a name."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for cell in sorted(cells, key=lambda c: (c["set"], c["category"], c["labelled"], c["kind"], c["seed"])):
        name = ", ".join([f"{cell['category']}, {cell['labelled']} labelled, {cell['kind']}", *cell["set"]])
        groups.setdefault(name, []).append(cell)
    return list(groups.items())


def proposal_rows(cells: Sequence[dict[str, Any]]) -> list[Row]:
    """Proposals before, their gain and its spread over seeds, and how many of the prompts would have been kept."""
    rows: list[Row] = []
    for name, group in _groups_of(cells):
        gains = [100 * (c["after"] - c["before"]) for c in group]
        spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
        each = " ".join(f"{g:+.1f}" for g in gains)
        soft = statistics.mean(100 * (c["soft_after"] - c["soft_before"]) for c in group)
        kept = sum(c["better"] for c in group)
        rows += [
            Row(f"{name}: proposals before", 100 * statistics.mean(c["before"] for c in group), "PCK@0.1"),
            Row(f"{name}: gain", statistics.mean(gains), "points", note=f"±{spread:.1f}, {len(gains)} seeds ({each})"),
            Row(f"{name}: gain in the soft figure", soft, "points"),
            Row(f"{name}: kept", kept, "prompts", note=f"of {len(group)}"),
            Row(f"{name}: time", statistics.mean(c["seconds"] for c in group), "s"),
        ]
    return rows


def proposal_table(cells: Sequence[dict[str, Any]]) -> str:
    """The table of full proposals of docs/guide/tuning.md, as Markdown."""
    lines = [
        "| pictures, labelled, prompt | before, mean | gain of each seed | mean ± spread | soft | would be kept | s |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for name, group in _groups_of(cells):
        gains = [100 * (c["after"] - c["before"]) for c in group]
        mean = f"**{statistics.mean(gains):+.1f}**" + (f" ± {statistics.stdev(gains):.1f}" if len(gains) > 1 else "")
        before = 100 * statistics.mean(c["before"] for c in group)
        soft = statistics.mean(100 * (c["soft_after"] - c["soft_before"]) for c in group)
        each = ", ".join(f"{100 * (c['after'] - c['before']):+.1f}{' (kept)' if c['better'] else ''}" for c in group)
        kept, seconds = sum(c["better"] for c in group), statistics.mean(c["seconds"] for c in group)
        lines.append(
            f"| {name} | {before:.1f} | {each} | {mean} | {soft:+.1f} | {kept} of {len(group)} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def _known_cells(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.is_file():
        return []
    return list(json.loads(path.read_text(encoding="utf-8")).get("cells", []))


def material(
    category: str, count: int, test: int, seed: int, folder: Path
) -> tuple[list[Exemplar], list[Exemplar], KeypointSchema]:
    """(labelled, measuring, schema) of a category; of "all", each with its own names in one schema; of drawn puppets."""
    if category == PUPPET:
        labelled, schema = drawn_exemplars(count, seed + 1, folder)
        return labelled, drawn_exemplars(test, TEST_SEED, folder)[0], schema
    categories = ALL if category == "all" else (category,)
    drawn = [
        (rendered_exemplars(c, count, 1000 * (seed + 1), folder / f"seed{seed}"),
         rendered_exemplars(c, test, 0, folder / "test"))
        for c in categories
    ]  # fmt: skip
    if len(drawn) == 1:
        return drawn[0][0][0], drawn[0][1][0], drawn[0][0][1]
    total = sum(len(schema) for (_, schema), _ in drawn)
    labelled, measuring = [], []
    names: list[str] = []
    pairs: list[tuple[int, int]] = []
    for name, ((own, schema), (others, _)) in zip(categories, drawn, strict=True):
        first = len(names)
        names += [f"{name}/{n}" for n in schema.names]
        pairs += [(a + first, b + first) for a, b in schema.pairs]
        labelled += [_shifted(e, first, total) for e in own]
        measuring += [_shifted(e, first, total) for e in others]
    return labelled, measuring, KeypointSchema(tuple(names), pairs=tuple(pairs))


def photographed(file: Path, images: Path, category: str, count: int) -> tuple[list[Exemplar], KeypointSchema]:
    """Up to `count` labelled instances of a COCO keypoint file with at least five keypoints, and their schema."""
    from projects.formats import coco_read
    from projects.formats.base import ReadOptions
    from projects.workflows.simulate import samples_of

    dataset, _ = coco_read.read(file, ReadOptions(images_root=images))
    own = next(c for c in dataset.categories if c.name == category)
    samples = [s for s in samples_of(dataset, own, images) if int(s.truth.labelled.sum()) >= 5]
    return [Exemplar(s.image, s.truth) for s in samples[:count]], own.schema


def _shifted(exemplar: Exemplar, first: int, total: int) -> Exemplar:
    own = exemplar.keypoints
    xy, visibility = np.full((total, 2), np.nan), np.zeros(total, dtype=int)
    xy[first : first + len(own.visibility)] = own.xy_image
    visibility[first : first + len(own.visibility)] = own.visibility
    return replace(exemplar, keypoints=InstanceKeypoints(xy, visibility, own.box))


def _tune_once(
    session: Any, options: Any, category: str, count: int, kind: str, seed: int, folder: Path
) -> dict[str, Any]:
    from engine.prompts.files import read_card
    from engine.tuning.job import tune_prompt

    test: list[Exemplar] = []
    if options.dataset is not None:
        labelled, schema = photographed(options.dataset, options.images, category, count)
    else:
        labelled, test, schema = material(category, count, options.test, seed, folder)
    name, extra = KINDS[kind]
    request = TuneRequest(
        request_id="benchmark", category="" if category == "all" else category, schema=schema,
        exemplars=(*labelled, *test), kind=name, backbone=options.backbone, steps=options.steps, seed=seed,
        out_dir=folder / "prompts", keep_if_worse=True,
        options={"propose": False, "keep_by": "score", **extra, **_given(options.set),
                 "report_images": tuple(e.image.image_id for e in test)},
    )  # fmt: skip
    clock = clock_of(options, session.backbone(options.backbone))
    start = clock()
    result = tune_prompt(session, request)
    assert result.folder is not None, "keep_if_worse keeps every prompt"
    card = read_card(result.folder)
    return {
        "before": result.before, "after": result.after, "gain_interval": card.settings["gain_interval"],
        "best_step": card.steps, "steps": result.steps, "seconds": round(clock() - start, 1),
        "losses": [round(p.loss, 3) for p in result.curve],
    }  # fmt: skip


def _given(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def gain_rows(cells: Sequence[dict[str, Any]]) -> list[Row]:
    """Mean and spread over seeds of every category, number of labelled pictures and kind."""
    rows: list[Row] = []
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        key = (cell["category"], cell["labelled"], cell["kind"], cell["asked_steps"], *cell["set"])
        groups.setdefault(key, []).append(cell)
    for (category, count, kind, _, *given), group in groups.items():
        before = [100 * c["before"] for c in group]
        gains = [100 * (c["after"] - c["before"]) for c in group]
        spread = statistics.stdev(gains) if len(gains) > 1 else float("nan")
        name = ", ".join([f"{category}, {count} labelled, {kind}", *given])
        each = " ".join(f"{g:+.1f}" for g in gains)
        steps = statistics.mean(c["steps"] for c in group)
        rows += [
            Row(f"{name}: before", statistics.mean(before), "PCK@0.1"),
            Row(f"{name}: gain", statistics.mean(gains), "points", note=f"±{spread:.1f}, {len(gains)} seeds ({each})"),
            Row(f"{name}: time", statistics.mean(c["seconds"] for c in group), "s", note=f"{steps:.0f} steps"),
        ]
    return rows


def gain_table(cells: Sequence[dict[str, Any]]) -> str:
    """The gain table of docs/guide/tuning.md, as Markdown."""
    lines = ["| pictures | labelled | prompt | before, mean | gain of each seed | mean ± spread | s of one core |"]
    lines.append("|---|---|---|---|---|---|---|")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        name = ", ".join([cell["kind"], *cell["set"]])
        groups.setdefault((cell["category"], cell["labelled"], name), []).append(cell)
    for (category, count, name), group in sorted(groups.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])):
        gains = [100 * (c["after"] - c["before"]) for c in group]
        mean = f"**{statistics.mean(gains):+.1f}**" + (f" ± {statistics.stdev(gains):.1f}" if len(gains) > 1 else "")
        before = 100 * statistics.mean(c["before"] for c in group)
        each, seconds = ", ".join(f"{g:+.1f}" for g in gains), statistics.mean(c["seconds"] for c in group)
        lines.append(f"| {category} | {count} | {name} | {before:.1f} | {each} | {mean} | {seconds:.0f} |")
    return "\n".join(lines)


def run_speed(options: Any, folder: Path) -> list[Row]:
    """Steps per second and memory of activations, with and without gradient checkpointing."""
    from engine.session import EngineSession
    from engine.tuning.material import make_labelled, split_by_image, training_pairs
    from engine.tuning.options import TuningOptions
    from engine.tuning.run import TuningRun
    from engine.tuning.start import make_learner

    session = EngineSession(EngineConfig(device=options.device, cache_bytes=0, threads=options.threads))
    exemplars, schema = rendered_exemplars("dog", 8, 0, folder / "speed")
    extractor = session.extractor(options.backbone)
    rows: list[Row] = []
    baseline = 0.0
    for checkpointing in (False, True):
        request = TuneRequest("b", "dog", schema, tuple(exemplars), backbone=options.backbone)
        settings = replace(TuningOptions.from_request(request, extractor.backbone.spec), checkpointing=checkpointing)
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
    arguments.add_argument("--part", default="speed", choices=("speed", "gain", "proposals", "table", "all"))
    arguments.add_argument("--backbone", default="embedded")
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--threads", type=int, default=0)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--first-seed", type=int, default=0)
    arguments.add_argument("--labelled", default="5,10,20")
    arguments.add_argument("--kinds", default="single,class,conditional")
    arguments.add_argument("--categories", default="dog,bird,car")
    arguments.add_argument("--test", type=int, default=30, help="pictures that measure")
    arguments.add_argument("--steps", type=int, default=None)
    arguments.add_argument("--dataset", type=Path, default=None, help="a COCO keypoint file to tune on instead")
    arguments.add_argument("--images", type=Path, default=None, help="the folder of its photos")
    arguments.add_argument("--repeat", type=int, default=10)
    arguments.add_argument("--set", action="append", default=[], help="a tuning option, NAME=VALUE")
    options = arguments.parse_args(argv)
    rows: list[Row] = []
    if options.part == "table":
        cells = _known_cells(options.json)
        print(proposal_table(cells) if any("soft_before" in c for c in cells) else gain_table(cells))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.part in ("speed", "all"):
            rows += run_speed(options, folder)
        if options.part in ("gain", "all"):
            rows += run_gain(options, folder)
        if options.part == "proposals":
            rows += run_proposals(options, folder)
    if options.part not in ("gain", "proposals"):
        finish("tune", rows, options.json)


if __name__ == "__main__":
    main()
