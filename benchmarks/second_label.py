"""Does a second labelled photo improve what is still pending? Through the project workflow, as the window asks for it.

    python -m benchmarks.second_label [--first 3] [--second 4] [--category dog,bird,car] [--json FILE]

For each category of the sample collection: photo E is labelled by its truth and the others are proposed (six at a time, as a
sweep of the window does); then photo C is put right by its truth and what is still pending is proposed again (two at a time,
as the improvement of the photos ahead does). Error of a photo: median distance of its keypoints from the truth in longer
sides of the true box. The first E is the photo that the demo labels; the other E and all C are drawn at random (seeded).
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Row, finish, mean_and_error, parser
from benchmarks.hard import hard_samples
from kinmark.engine.api import Engine, EngineConfig, open_engine
from kinmark.engine.domain.geometry import longer_side
from kinmark.projects.formats.dataset import Dataset, DatasetImage
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.demo.truth import (
    exemplar_image,
    instance_box,
    nearest_instance,
    placed,
    read_truth,
)
from kinmark.projects.workflows.propose import propose
from kinmark.projects.workflows.propose_options import ProposeOptions

SWEEP, AHEAD = 6, 2
"""Photos per request of the window's sweep, and of its improvement of the photos ahead."""
CLEAR = 0.01
HARM = 0.1


def label(project: Project, image: DatasetImage, category: str) -> None:
    """Accept the true keypoints of the photo's one instance."""
    row, kind = project.queries.image_named(image.rel_path.name), project.queries.require_category(category)
    if row is None:
        raise SystemExit(f"{image.rel_path} is not in the project")
    ids = {d.name: d.id for d in kind.definitions}
    [instance] = image.instances
    points = [NewKeypoint(ids[n], k.x, k.y, int(k.visibility)) for n, k in instance.keypoints.items()]
    project.operations.add_instance(row.id, kind.id, points, box=instance.box)


def sweep(project: Project, engine: Engine, category: str, chunk: int) -> None:
    """Propose on every photo that is not labelled, `chunk` photos per request."""
    labelled = {instance.image_id for instance in project.queries.instances()}
    ids = [id_ for id_ in project.queries.image_ids() if id_ not in labelled]
    for start in range(0, len(ids), chunk):
        propose(project, engine, ProposeOptions(category=category, image_ids=tuple(ids[start : start + chunk])))


def errors(project: Project, truth: dict[str, DatasetImage], category: str) -> dict[str, tuple[float, list[float]]]:
    """{photo: (median error, errors of its keypoints)} of everything pending."""
    names = {d.id: d.name for d in project.queries.require_category(category).definitions}
    found = {}
    for proposal in project.queries.proposals(kind="keypoints"):
        row = project.queries.image(proposal.image_id)
        assert row is not None
        points = {names[k.definition_id]: (k.x, k.y) for k in proposal.keypoints if k.x is not None and k.y is not None}
        instance = nearest_instance(points, truth[row.file_name], category)  # type: ignore[arg-type]
        if instance is None:
            continue
        side, true = longer_side(instance_box(instance)), placed(instance)
        gaps = [float(np.hypot(points[n][0] - x, points[n][1] - y)) / side for n, (x, y) in true.items() if n in points]  # type: ignore[operator]
        if gaps:
            found[row.file_name] = (statistics.median(gaps), gaps)
    return found


def one_pair(
    engine: Engine, truth: Dataset, photos: list[DatasetImage], pair: tuple[DatasetImage, DatasetImage], category: str
) -> list[tuple[float, float, list[float], list[float]]]:
    """(median before, median after, all errors before, after) of each photo that is pending all the time."""
    schema = next(c.schema for c in truth.categories if c.name == category)
    first, second = pair
    with tempfile.TemporaryDirectory() as folder, Project.create(Path(folder) / "pair.kinmark") as project:
        add_paths(project, [hard_samples() / image.rel_path for image in photos])
        project.operations.add_category(category, schema)
        by_name = {
            row.file_name: image for image in photos if (row := project.queries.image_named(image.rel_path.name))
        }
        label(project, first, category)
        sweep(project, engine, category, SWEEP)
        before = errors(project, by_name, category)
        project.operations.clear_proposals(image_ids=[_id(project, second)])
        label(project, second, category)
        sweep(project, engine, category, AHEAD)
        after = errors(project, by_name, category)
    return [(before[n][0], after[n][0], before[n][1], after[n][1]) for n in sorted(before.keys() & after.keys())]


def _id(project: Project, image: DatasetImage) -> int:
    row = project.queries.image_named(image.rel_path.name)
    assert row is not None
    return row.id


def rows_of(name: str, photos: Sequence[tuple[float, float, list[float], list[float]]]) -> list[Row]:
    """The figures of one category, or of all."""
    change = [after - before for before, after, _, _ in photos]
    mean, error = mean_and_error(change)
    gaps = [e for p in photos for e in p[2]], [e for p in photos for e in p[3]]
    pck = [100 * float(np.mean(np.array(part) <= 0.1)) for part in gaps]
    count = f"{len(photos)} pending photos"
    share = lambda test: 100 * sum(map(test, change)) / max(1, len(change))  # noqa: E731
    return [
        Row(f"{name}: error before", statistics.fmean(p[0] for p in photos), "of the box", None, count),
        Row(f"{name}: error after", statistics.fmean(p[1] for p in photos), "of the box", None, count),
        Row(f"{name}: change, mean", mean, "of the box", None, f"s.e. {error:.3f} (photos share labels: too small)"),
        Row(f"{name}: change, median", statistics.median(change), "of the box"),
        Row(f"{name}: improved", share(lambda c: c < -CLEAR), "%", None, f"by more than {CLEAR}"),
        Row(f"{name}: worse", share(lambda c: c > CLEAR), "%", None, f"by more than {CLEAR}"),
        Row(f"{name}: worse by more than {HARM}", share(lambda c: c > HARM), "%"),
        Row(f"{name}: better by more than {HARM}", share(lambda c: c < -HARM), "%"),
        Row(f"{name}: PCK@0.1 before", pck[0], "%"),
        Row(f"{name}: PCK@0.1 after", pck[1], "%"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; returns the exit code."""
    options = parser(__doc__ or "")
    options.add_argument("--first", type=int, default=3, help="first labelled photos per category")
    options.add_argument("--second", type=int, default=4, help="second labelled photos per first one")
    options.add_argument("--category", default="dog,bird,car")
    options.add_argument("--seed", type=int, default=5)
    chosen = options.parse_args(argv)
    truth, rng = read_truth(hard_samples()), random.Random(chosen.seed)
    everything: list[Any] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as cache:
        engine = open_engine(EngineConfig(cache_dir=Path(cache), threads=1))
        for category in chosen.category.split(","):
            photos = [i for i in truth.images if any(o.category == category for o in i.instances)]
            alone = [i for i in photos if len(i.instances) == 1]
            demo = exemplar_image(truth, category)
            firsts = [demo, *rng.sample([i for i in alone if i is not demo], chosen.first - 1)]
            own = []
            for first in firsts:
                for second in rng.sample([i for i in alone if i is not first], chosen.second):
                    own += one_pair(engine, truth, photos, (first, second), category)
            rows += rows_of(category, own)
            print("\n".join(f"{r.name} {r.value:.3f} {r.note}" for r in rows[-10:]), flush=True)
            everything += own
        engine.close()
    finish("second_label", [*rows_of("all", everything), *rows], chosen.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
