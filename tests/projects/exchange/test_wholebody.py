"""COCO-WholeBody: 133 keypoints from five lists, and divided again on the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.projects.formats.recognise import recognise
from kinmark.projects.formats.registry import get_format
from kinmark.projects.formats.schemas import COCO_PERSON
from kinmark.projects.formats.wholebody import NAMES, PARTS, schema
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import coco, photo, take_in, write_json


def _triples(count: int, seed: int, digits: int = 1) -> list[float]:
    rng = np.random.default_rng(seed)
    result: list[float] = []
    for _ in range(count):
        v = int(rng.integers(0, 3))
        x, y = (round(float(c), digits) for c in rng.uniform((2, 2), (190, 95)))
        result += [x, y, float(v)] if v else [0.0, 0.0, 0.0]
    return result


@pytest.fixture
def file(tmp_path: Path) -> Path:
    photo(tmp_path / "in" / "a.jpg", 200, 100)
    body = [int(v) for v in _triples(17, 0, 0)]
    annotation: dict[str, Any] = {
        "id": 7,
        "image_id": 5,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [5, 5, 90, 80],
        "area": 7200,
        "keypoints": body,
        "num_keypoints": sum(v > 0 for v in body[2::3]),
        "face_box": [1.5, 2.5, 3.5, 4.5],
    }
    for seed, (part, names) in enumerate(PARTS.items(), start=1):
        annotation |= {f"{part}_kpts": _triples(len(names), seed), f"{part}_valid": True}
    data = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 200, "height": 100}],
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO_PERSON), "skeleton": [[1, 2]]}
        ],
        "annotations": [annotation],
    }
    return write_json(tmp_path / "in" / "wb.json", data)


def test_the_schema_counts_133_and_pairs_sides() -> None:
    whole = schema()
    assert len(whole) == 133 == len(set(NAMES))
    names = {frozenset((NAMES[a], NAMES[b])) for a, b in whole.pairs}
    for pair in (
        {"left_heel", "right_heel"},
        {"left_hand_thumb1", "right_hand_thumb1"},
        {"face_0", "face_16"},
        {"face_36", "face_45"},
    ):
        assert frozenset(pair) in names
    middle = {
        "face_8",
        "face_27",
        "face_28",
        "face_29",
        "face_30",
        "face_33",
        "face_51",
        "face_57",
        "face_62",
        "face_66",
    }
    assert set(NAMES) - {n for pair in names for n in pair} == middle | {"nose"}


def test_every_list_comes_in_and_goes_out_again(file: Path, tmp_path: Path) -> None:
    found = recognise(file)
    assert found is not None and found.format == "coco-wholebody"
    before = json.loads(file.read_text())["annotations"][0]
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, file, ImportOptions("coco-wholebody"))
        [row] = project.queries.iter_instances()
        category = project.queries.require_category("person")
        assert category.schema.names == NAMES
        x = {d.id: d.name for d in category.definitions}
        placed = {x[k.definition_id]: (k.x, k.y, k.visibility) for k in row.keypoints}
        index = NAMES.index("left_hand_wrist") - NAMES.index(PARTS["lefthand"][0])
        told = before["lefthand_kpts"][3 * index : 3 * index + 3]
        got = placed["left_hand_wrist"]
        assert got == ((None, None, 0) if not told[2] else (told[0] + 0.5, told[1] + 0.5, told[2]))
        export_project(project, tmp_path / "out", ExportOptions("coco-wholebody"))
    data = json.loads((tmp_path / "out" / "annotations.json").read_text())
    [after] = data["annotations"]
    assert data["categories"][0]["keypoints"] == list(COCO_PERSON)
    for field in ("keypoints", *(f"{part}_kpts" for part in PARTS)):
        assert after[field] == pytest.approx(before[field], abs=1e-9), field
    assert after["face_box"] == before["face_box"] and after["num_keypoints"] == before["num_keypoints"]
    assert all(after[f"{part}_valid"] for part in PARTS)
    hand = [(x, y) for x, y, v in zip(*(before["lefthand_kpts"][i::3] for i in range(3)), strict=True) if v]
    xs, ys = [p[0] for p in hand], [p[1] for p in hand]
    assert after["lefthand_box"] == pytest.approx([min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)])
    again, _ = get_format("coco-wholebody").reader(tmp_path / "out" / "annotations.json")
    assert len(again.images[0].instances[0].keypoints) == 133


def test_lists_of_other_lengths_and_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    data = json.loads(file.read_text())
    data["annotations"][0]["foot_kpts"].pop()
    write_json(file, data)
    with pytest.raises(ImportFileError, match=r'annotation 7.*"foot_kpts" must hold 18'):
        take_in(tmp_path, "in/wb.json", "coco-wholebody")
    coco(tmp_path / "in" / "c.json", ["a.jpg"], [10, 10, 2, 20, 20, 2])
    with pytest.raises(ImportFileError, match='no annotation has "face_kpts"'):
        take_in(tmp_path, "in/c.json", "coco-wholebody")
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "in" / "c.json")
        with pytest.raises(UserInputError, match="133 keypoints"):
            export_project(project, tmp_path / "out", ExportOptions("coco-wholebody"))


def test_an_id_that_is_a_list_is_refused(file: Path, tmp_path: Path) -> None:
    data = json.loads(file.read_text())
    data["categories"][0]["id"] = [1]
    write_json(file, data)
    with pytest.raises(ImportFileError, match="must be a number, found a list"):
        take_in(tmp_path, "in/wb.json", "coco-wholebody")
