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
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.common import Row, finish, parser
from benchmarks.tune_material import (
    material,
    photographed,
    real_material,
    rendered_exemplars,
)
from benchmarks.tune_tables import gain_rows, gain_table, proposal_rows, proposal_table
from kinmark.engine.api import EngineConfig, Exemplar, TuneRequest
from kinmark.engine.domain.keypoints import KeypointSchema

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "single": ("single", {}),
    "class": ("class", {}),
    "hidden": ("hidden", {}),
    "conditional": ("conditional", {"condition": "pair"}),
    "conditional-image": ("conditional", {"condition": "image"}),
}


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
        {
            "category": category,
            "labelled": int(count),
            "kind": kind,
            "seed": seed,
            "asked_steps": options.steps,
            "set": sorted(options.set),
            "test": options.test,
        }
        for category in options.categories.split(",")
        for count in options.labelled.split(",")
        for kind in options.kinds.split(",")
        for seed in seeds
    ]


def _run_cells(
    options: Any,
    folder: Path,
    cells: Sequence[dict[str, Any]],
    measure: Callable[..., dict[str, Any]],
    rows_of: Callable[[Sequence[dict[str, Any]]], list[Row]],
) -> list[Row]:
    """Measure the cells that the JSON file does not hold yet; it is written after each."""
    from kinmark.engine.session import EngineSession

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


def _request(
    options: Any,
    category: str,
    schema: KeypointSchema,
    exemplars: Sequence[Exemplar],
    kind: str,
    seed: int,
    folder: Path,
) -> TuneRequest:
    name, extra = KINDS[kind]
    return TuneRequest(
        request_id="benchmark",
        category="" if category == "all" else category,
        schema=schema,
        exemplars=tuple(exemplars),
        kind=name,
        backbone=options.backbone,
        steps=options.steps,
        seed=seed,
        out_dir=folder / "prompts",
        keep_if_worse=True,
        options={**extra, **_given(options.set)},
    )


def _propose_once(
    session: Any, options: Any, category: str, count: int, kind: str, seed: int, folder: Path
) -> dict[str, Any]:
    """Tune as a project does, then propose on the other pictures from all labelled ones under both prompts."""
    from kinmark.engine.prompts.files import read_card
    from kinmark.engine.tuning.heldout import figures
    from kinmark.engine.tuning.job import tune_prompt

    if options.data is None:
        labelled, test, schema = material(category, count, options.test, seed, folder)
    else:
        labelled, test, schema = real_material(options.data, category, count, seed)
    request = _request(options, category, schema, labelled, kind, seed, folder)
    backbone = session.backbone(options.backbone)
    clock = clock_of(options, backbone)
    start = clock()
    result = tune_prompt(session, request)
    seconds = clock() - start
    assert result.folder is not None, "keep_if_worse keeps every prompt"
    before, after = _measured(session, request, result.folder, test)
    found = figures(before, after)
    return {
        "before": found.before,
        "after": found.after,
        "gain_interval": found.gain_interval,
        "soft_before": found.soft_before,
        "soft_after": found.soft_after,
        "soft_gain_interval": found.soft_gain_interval,
        "points": sum(len(e) for e in before.errors),
        "better": result.better,
        "held_out": {
            "proposals": [result.proposals.before, result.proposals.after],
            "soft": [result.proposals.soft_before, result.proposals.soft_after],
            "score": [result.before, result.after],
        },
        "best_step": read_card(result.folder).steps,
        "steps": result.steps,
        "seconds": round(seconds, 1),
        "losses": [round(p.loss, 3) for p in result.curve],
    }


def _measured(session: Any, request: TuneRequest, prompt: Path, test: Sequence[Exemplar]) -> tuple[Any, Any]:
    """What is proposed on `test` from all labelled pictures: with the text prompt, and with the tuned one."""
    from kinmark.engine.prompts.saved import load_saved
    from kinmark.engine.tuning.material import Split, make_labelled
    from kinmark.engine.tuning.proposals import ProposalJudge

    everything = [*request.exemplars, *test]
    instances = make_labelled(everything, [session.source.size_wh(e.image) for e in everything])
    first = len(request.exemplars)
    split = Split(tuple(range(first)), (), tuple(range(first, len(instances))))
    backbone = session.backbone(request.backbone)
    text = session.prompt("auto", backbone, request.category)
    judge = ProposalJudge(session, request, instances, split, text)
    return judge.measure(text, split.report), judge.measure(load_saved(prompt, backbone), split.report)


def _known_cells(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.is_file():
        return []
    return list(json.loads(path.read_text(encoding="utf-8")).get("cells", []))


def _tune_once(
    session: Any, options: Any, category: str, count: int, kind: str, seed: int, folder: Path
) -> dict[str, Any]:
    from kinmark.engine.prompts.files import read_card
    from kinmark.engine.tuning.job import tune_prompt

    test: list[Exemplar] = []
    if options.dataset is not None:
        labelled, schema = photographed(options.dataset, options.images, category, count)
    else:
        labelled, test, schema = material(category, count, options.test, seed, folder)
    request = _request(options, category, schema, (*labelled, *test), kind, seed, folder)
    own = {"report_images": tuple(e.image.image_id for e in test)}
    request = replace(request, options={"propose": False, "keep_by": "score", **request.options, **own})
    clock = clock_of(options, session.backbone(options.backbone))
    start = clock()
    result = tune_prompt(session, request)
    assert result.folder is not None, "keep_if_worse keeps every prompt"
    card = read_card(result.folder)
    return {
        "before": result.before,
        "after": result.after,
        "gain_interval": card.settings["gain_interval"],
        "best_step": card.steps,
        "steps": result.steps,
        "seconds": round(clock() - start, 1),
        "losses": [round(p.loss, 3) for p in result.curve],
    }


def _given(pairs: Sequence[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def run_speed(options: Any, folder: Path) -> list[Row]:
    """Steps per second and memory of activations, with and without gradient checkpointing."""
    from kinmark.engine.session import EngineSession
    from kinmark.engine.tuning.material import make_material
    from kinmark.engine.tuning.options import TuningOptions
    from kinmark.engine.tuning.run import TuningRun
    from kinmark.engine.tuning.start import make_learner

    session = EngineSession(EngineConfig(device=options.device, cache_bytes=0, threads=options.threads))
    exemplars, schema = rendered_exemplars("dog", 8, 0, folder / "speed")
    extractor = session.extractor(options.backbone)
    rows: list[Row] = []
    baseline = 0.0
    for checkpointing in (False, True):
        request = TuneRequest("b", "dog", schema, tuple(exemplars), backbone=options.backbone)
        settings = replace(TuningOptions.from_request(request, extractor.backbone.spec), checkpointing=checkpointing)
        sizes = [session.source.size_wh(e.image) for e in exemplars]
        made = make_material(exemplars, sizes, schema, heldout_share=0.3, seed=0)
        learner = make_learner(extractor.backbone, "class", settings, category="dog", seed=0)
        run = TuningRun(extractor, request, settings, made, learner.to(extractor.backbone.device), None)
        run.load([(i, v) for i in made.split.train for v in range(settings.variants)])
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
    arguments.add_argument(
        "--data", type=Path, default=None, help="folder of real sets: proposals on those that --categories names"
    )
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
