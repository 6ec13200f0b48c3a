"""`kinmark check` lists what looks wrong, but not what a person called fine; exports name what is labelled only partly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kinmark.projects.called_fine import FINE, with_fine
from kinmark.projects.cli.app import run
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.check import Finding
from tests.support.projects import make_project


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, each with one instance whose two ears lie on one place; the other keypoints were not looked at."""
    with make_project(tmp_path / "p.kinmark") as project:
        [category] = project.queries.categories()
        nose, left, right, _ = category.definition_ids
        for image_id in project.queries.image_ids()[:2]:
            points = [NewKeypoint(nose, 30.0, 20.0), NewKeypoint(left, 12.0, 14.0), NewKeypoint(right, 12.0, 14.0)]
            project.operations.add_instance(image_id, category.id, points)
    return tmp_path / "p.kinmark"


def check(capsys: pytest.CaptureFixture[str], folder: Path, *more: str) -> Any:
    assert run(["check", str(folder), "--plain", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_a_person_called_fine_is_left_out_until_it_moves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(capsys, folder)
    assert report["counts"] == {"same-place": 2} and report["called_fine"] == 0
    first, second = (Finding(**row) for row in report["findings"])
    with Project.open(folder) as project:
        project.operations.set_setting(FINE, with_fine(project.queries, first))
    report = check(capsys, folder)
    assert [row["instance_id"] for row in report["findings"]] == [second.instance_id]
    assert report["counts"] == {"same-place": 1} and report["called_fine"] == 1
    assert check(capsys, folder, "--fine")["counts"] == {"same-place": 2}
    assert run(["check", str(folder), "--plain"]) == 0
    said = capsys.readouterr()
    assert "1 that a person called fine are left out" in said.out + said.err
    with Project.open(folder) as project:
        instance = project.queries.instance(first.instance_id)
        assert instance is not None
        for row in instance.keypoints:
            if row.x == 12.0:
                project.operations.move_keypoint(row.id, 14.0, 16.0)
    assert check(capsys, folder)["counts"] == {"same-place": 2}, "what was said of the old place no longer holds"


def test_an_export_names_the_photos_that_are_labelled_only_partly(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"]["partly"] == 2
    assert run(["export", str(folder), str(tmp_path / "out"), "--format", "coco", "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "2 x photos labelled only partly" in said.out + said.err
    assert said.out.count("(3 of 4)") + said.err.count("(3 of 4)") == 2
    assert run(["export", str(folder), str(tmp_path / "out"), "--format", "perseg", "--dry-run"]) == 3, (
        "no mask to write"
    )
    said = capsys.readouterr()
    assert "partly" not in said.out + said.err, "a format without keypoints leaves none out"
