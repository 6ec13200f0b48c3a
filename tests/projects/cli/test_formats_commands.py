"""`kinmark import`, `export`, `split`: exit codes, JSON, dry runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kinmark.projects.cli.app import run
from kinmark.projects.formats import coco
from tests.support.datasets import sample_dataset


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    coco.write(sample_dataset(tmp_path / "photos"), tmp_path / "file")
    assert run(["new", str(tmp_path / "p.kinmark"), "--images", str(tmp_path / "photos")]) == 0
    return tmp_path


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = run([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_import_and_export(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, file = str(ready / "p.kinmark"), str(ready / "file" / coco.FILE_NAME)
    code, data = _json(capsys, "import", project, file, "--format", "coco", "--dry-run")
    assert (code, data["added"], data["dry_run"]) == (0, 8, True)
    code, data = _json(capsys, "import", project, file, "--format", "coco", "--images", str(ready / "photos"))
    assert (code, data["added"], data["images_matched"]) == (0, 8, 8)
    code, data = _json(capsys, "export", project, str(ready / "out"), "--format", "coco")
    assert code == 0 and data["instances"] == 8 and "re-read with pycocotools" in data["verified"]
    assert (ready / "out" / "annotations.json").is_file()
    code, data = _json(capsys, "split", project, "--by", "nothing")
    assert code == 0 and sum(data["counts"].values()) == 8
    assert run(["export", project, str(ready / "spair"), "--format", "spair", "--dry-run"]) == 0
    assert not (ready / "spair").exists()
    capsys.readouterr()
    assert run(["export", project, str(ready / "spair"), "--format", "spair", "--alias", "horse=cat"]) == 0
    captured = capsys.readouterr()
    assert "images" in captured.out and "sub-pixel" in captured.err
    assert (ready / "spair" / "SPair-71k" / "JPEGImages" / "cat").is_dir()


def test_as_proposals(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = str(ready / "p.kinmark")
    assert run(["import", project, str(ready / "file" / coco.FILE_NAME), "--as", "proposals"]) == 0
    code, data = _json(capsys, "export", project, str(ready / "out"), "--with-proposals")
    assert code == 0 and data["instances"] == 14


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["import", "P", "F", "--as", "truth"], 2),
        (["import", "P"], 2),
        (["export", "P", "O", "--masks", "oil"], 2),
        (["export", "P", "O", "--alias", "horse"], 2),
        (["split", "P", "--shares", "train=a"], 2),
        (["import", "P", "F", "--format", "papyrus"], 3),
        (["import", "P", "missing.json"], 3),
        (["export", "nowhere.kinmark", "O"], 3),
        (["export", "P", "O", "--category", "unicorn"], 3),
        (["export", "P", "O", "--format", "perseg"], 3),
    ],
)
def test_exit_codes(ready: Path, arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    places = {"P": str(ready / "p.kinmark"), "F": str(ready / "file" / coco.FILE_NAME), "O": str(ready / "out")}
    assert run([places.get(a, a) for a in arguments]) == code
    assert capsys.readouterr().err
