"""What settings that choose themselves are worth: the first settings, the chosen ones, and the best that could be known.

    python -m benchmarks.choices [--exemplars 5,10] [--targets 10] [--seed 300] [--grid] [--json FILE]

Sets: the sample collection (starting at two places of its list; where a photo shows two of a kind the target's box is
given), rendered bodies from the side and from all round, and the three filmed sets. First = what sizes, scene and targets say;
chosen = after holding labelled photos out (`kinmark.engine.pipelines.choice`). `--grid` also measures a grid of settings on the
targets themselves, which nobody can know beforehand: how much there is to win. PCK@0.1 of the target's box, mean over photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.calibration import SIDE, LabelledSet, SetPlan, filmed_set, rendered_set
from benchmarks.common import Row, finish, mean_and_error, parser
from benchmarks.hard import hard_samples
from benchmarks.sequences import SEQUENCES
from kinmark.engine.api import EngineConfig, Exemplar, ProposeRequest, SettingsChoice, Target
from kinmark.engine.domain.geometry import expand_box
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.matching.bank import exemplar_length
from kinmark.engine.matching.plan.plan import Plan, apply_settings
from kinmark.engine.matching.predict import Matcher
from kinmark.engine.pipelines.choice import choose, first_settings
from kinmark.engine.pipelines.sweep import open_matcher
from kinmark.engine.session import EngineSession
from kinmark.projects.formats import coco_read
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.workflows.annotator import samples_of

PLANS = (
    SetPlan("dog", 0, SIDE, False),
    SetPlan("horse", 0, SIDE, False),
    SetPlan("bird", 0),
    SetPlan("car", 0, None, False),
    SetPlan("horse", 0, None, False),
    SetPlan("mouse", 0),
    SetPlan("dog", 0),
    SetPlan("chair", 0, SIDE, False),
)
STARTS = (0, 5)
"""Places in the list of a sample category at which its labelled photos begin."""
DRAWN = 24
GRID = tuple(product((1, 2), ((1.0, "mean"), (0.5, "mean"), (0.5, "max"), (0.0, "max")), (False, True)))


@dataclass(frozen=True)
class Case:
    """A category: (exemplar, whether its photo shows another of the kind) in order; the first ones are labelled."""

    name: str
    schema: KeypointSchema
    instances: tuple[tuple[Exemplar, bool], ...]


def sample_cases() -> Iterator[Case]:
    """The hard sample collection."""
    folder = hard_samples()
    dataset, _ = coco_read.read(folder / "annotations.json", ReadOptions(images_root=folder))
    for category in dataset.categories:
        found = [(Exemplar(s.image, s.truth), s.pointed) for s in samples_of(dataset, category, folder)]
        for start in STARTS:
            yield Case(f"sample {category.name} from {start}", category.schema, (*found[start:], *found[:start]))


def drawn_cases(seed: int, folder: Path) -> Iterator[Case]:
    """Rendered and filmed sets."""
    for index, plan in enumerate(PLANS):
        group = "all round" if plan.azimuth is None else "side"
        yield _case(f"{plan.category}, {group}", rendered_set(plan, seed + index, DRAWN, folder))
    for name in SEQUENCES:
        yield _case(name, filmed_set(name, seed + 70, DRAWN, folder))


def _case(name: str, labelled: LabelledSet) -> Case:
    usable = [i for i in range(len(labelled.images)) if (labelled.visibility[i] > 0).sum() >= 3]
    return Case(
        name,
        labelled.schema,
        tuple(
            (Exemplar(labelled.images[i], InstanceKeypoints(labelled.xy[i], labelled.visibility[i])), False)
            for i in usable
        ),
    )


def measure(session: EngineSession, case: Case, count: int, targets: int, grid: bool) -> dict[str, float]:
    """PCK@0.1 in percent with the first settings, the chosen ones and (grid) the best of the grid."""
    rest = [(e, pointed) for e, pointed in case.instances[count:]][:targets]
    asked = tuple(
        Target(e.image, box=expand_box(e.keypoints.box_or_extent(), margin=0.05) if pointed else None)
        for e, pointed in rest
    )
    exemplars = tuple(e for e, _ in case.instances[:count])
    others = tuple(dict.fromkeys(e.image for e, _ in case.instances[count:]))
    request = ProposeRequest("benchmark", case.name, case.schema, exemplars, asked, collection=others)
    matcher = open_matcher(session, request, None)
    first, _ = first_settings(matcher, request.settings, others)
    choice = choose(matcher, request.settings, list(others))
    matcher.context.weight_is_open = False
    truth = [e for e, _ in rest]
    found = {"first": _pck(matcher, asked, truth, first), "chosen": _pck(matcher, asked, truth, _plan(choice))}
    if grid:
        plans = [
            replace(first, stages=stages, shape=shape, fuse=fuse, flip=flip, sizes=1 if shape == 0 else first.sizes)
            for stages, (shape, fuse), flip in GRID
        ]
        found["best"] = max(found["first"], found["chosen"], *(_pck(matcher, asked, truth, plan) for plan in plans))
    return found


def _plan(choice: SettingsChoice) -> Plan:
    return apply_settings(Plan(), choice.settings)


def _pck(matcher: Matcher, targets: Sequence[Target], truth: Sequence[Exemplar], plan: Plan) -> float:
    shares = []
    for target, own in zip(targets, truth, strict=True):
        raw = matcher.predict(target, plan)
        use = own.keypoints.labelled & raw.known
        gaps = np.linalg.norm(raw.xy_image[use] - np.asarray(own.keypoints.xy_image)[use], axis=1)
        if use.any():
            shares.append(float((gaps <= 0.1 * exemplar_length(own)).mean()))
    return 100 * float(np.mean(shares))


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; returns the exit code."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--exemplars", default="5,10", help="how many are labelled, separated by commas")
    arguments.add_argument("--targets", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=300)
    arguments.add_argument("--grid", action="store_true", help="also the best of a grid, measured on the targets")
    options = arguments.parse_args(argv)
    rows: list[Row] = []
    every: dict[str, list[float]] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        session = EngineSession(EngineConfig(cache_dir=folder / "cache", threads=1))
        for case in (*sample_cases(), *drawn_cases(options.seed, folder)):
            for count in (int(n) for n in options.exemplars.split(",")):
                if len(case.instances) < count + 4:
                    continue
                found = measure(session, case, count, options.targets, options.grid)
                rows += [Row(f"{case.name}, {count} labelled: {k}", v, "% PCK@0.1") for k, v in found.items()]
                print(f"{case.name}, {count}: " + ", ".join(f"{k} {v:.1f}" for k, v in found.items()), flush=True)
                for key, value in found.items():
                    every.setdefault(key, []).append(value)
        session.close()
    gain, error = mean_and_error([c - f for c, f in zip(every["chosen"], every["first"], strict=True)])
    rows += [Row(f"all: {key}", float(np.mean(values)), "% PCK@0.1") for key, values in every.items()]
    rows.append(Row("all: gain of choosing", gain, "points", None, f"s.e. {error:.2f} over {len(every['first'])} sets"))
    finish("choices", rows, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
