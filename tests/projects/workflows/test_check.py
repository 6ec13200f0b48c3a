"""Errors planted into the sample collection are named, and clean labels raise no alarm."""

from __future__ import annotations

import json

import pytest

from benchmarks.check import measure
from benchmarks.planted import KINDS, plant
from engine.paths import resources_dir

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
        for a in planted.data["annotations"] if a["id"] in before
        for k, (old, new) in enumerate(zip(_triples(before[a["id"]]), _triples(a), strict=True)) if old != new
    }  # fmt: skip
    # Two absent twins exchanged look as before; nothing that is not named has changed.
    assert planted.displaced <= changed <= planted.displaced | planted.swapped
    moved = {a["id"] for a in planted.data["annotations"]
             if a["id"] in before and a["segmentation"] != before[a["id"]]["segmentation"]}  # fmt: skip
    assert moved == planted.masks
    assert all(planted.of_kind(kind) for kind in KINDS)
    assert plant(DATA, {"displaced": 0.1}, seed=1).data == plant(DATA, {"displaced": 0.1}, seed=1).data


def _triples(annotation: dict[str, list[float]]) -> list[tuple[float, ...]]:
    values = annotation["keypoints"]
    return [tuple(values[i : i + 3]) for i in range(0, len(values), 3)]
