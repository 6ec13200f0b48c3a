"""Errors planted into the sample collection are named, and clean labels raise no alarm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.check import measure
from benchmarks.planted import KINDS, plant
from kinmark.engine.paths import resources_dir
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.check import CheckOptions, check

SAMPLES = resources_dir() / "samples"
DATA = json.loads((SAMPLES / "annotations.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["mask", "duplicate"])
def test_wrong_masks_and_double_labels_are_named_without_a_model(kind: str) -> None:
    score = measure([3], plain=True, scenarios=[kind], samples=SAMPLES)[kind][kind]
    assert score.planted == 5
    assert score.recall is not None and score.recall >= 0.8
    assert score.precision is not None and score.precision >= 0.8


def test_plant_damages_exactly_what_it_says() -> None:
    planted = plant(DATA, dict.fromkeys(KINDS, 0.1), seed=1)
    before = {a["id"]: a for a in DATA["annotations"]}
    changed = {
        (a["id"], k)
        for a in planted.data["annotations"]
        if a["id"] in before
        for k, (old, new) in enumerate(zip(_triples(before[a["id"]]), _triples(a), strict=True))
        if old != new
    }
    # Two absent twins exchanged look as before; nothing that is not named has changed.
    assert planted.displaced <= changed <= planted.displaced | planted.swapped
    moved = {
        a["id"]
        for a in planted.data["annotations"]
        if a["id"] in before and a["segmentation"] != before[a["id"]]["segmentation"]
    }
    assert moved == planted.masks
    assert all(planted.of_kind(kind) for kind in KINDS)
    assert plant(DATA, {"displaced": 0.1}, seed=1).data == plant(DATA, {"displaced": 0.1}, seed=1).data


def _triples(annotation: dict[str, list[float]]) -> list[tuple[float, ...]]:
    values = annotation["keypoints"]
    return [tuple(values[i : i + 3]) for i in range(0, len(values), 3)]


def test_duplicates_of_a_crowd_are_found_by_the_similarity_of_places(tmp_path: Path) -> None:
    """Forty animals in a photo: the two that are labelled twice are found, neighbours that overlap are not."""
    from kinmark.projects.called_fine import split_fine, with_fine
    from tests.support.projects import make_project

    shape = np.array([(0, 0), (8, -5), (8, 5), (20, 0)], float)
    with make_project(tmp_path / "p.kinmark") as project:
        category = project.queries.categories()[0]

        def add(x: float, y: float, points: np.ndarray = shape, seen: int = 4) -> int:
            rows = [NewKeypoint(d, x + px, y + py) for d, (px, py) in zip(category.definition_ids, points, strict=True)]
            return project.operations.add_instance(1, category.id, rows[:seen]).ids[0]

        herd = [add(60 * (n % 8), 40 * (n // 8)) for n in range(40)]
        again = add(61.0, 41.0)
        reversed_ = add(120.0, 80.0, shape[::-1])
        add(245.0, 8.0)  # lies half on its neighbour
        one_point = add(300.0, 160.0, seen=1)
        found = check(project, object(), CheckOptions(looks=False))  # type: ignore[arg-type]
        doubles = {(f.other_id, f.instance_id) for f in found if f.kind == "duplicate"}
        assert doubles == {(herd[9], again), (herd[18], reversed_)} and one_point
        fine = with_fine(project.queries, found[0])
        project.operations.set_setting("check.fine", fine)
        left, called = split_fine(project.queries, found)
        assert len(left) == len(found) - 1 and called == (found[0],)
