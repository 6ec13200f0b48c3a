"""`kinmark new add status accept reject undo redo relink backup` as other programs use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kinmark.projects.cli import project_commands
from kinmark.projects.cli.app import run
from kinmark.projects.cli.project_commands import parse_schema
from kinmark.projects.project import Project
from tests.support.projects import keypoint_proposal


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photos in two folders and a text file."""
    for i in range(4):
        path = tmp_path / "photos" / f"d{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (i * 60, 0, 0)).save(path)
    (tmp_path / "photos" / "notes.txt").write_text("x")
    return tmp_path / "photos"


@pytest.fixture
def folder(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A project made by the command, with proposals on three photos."""
    folder = tmp_path / "p.kinmark"
    arguments = ["new", str(folder), "--images", str(photos), "--category", "otter", "--keypoints", "nose,l-ear,r-ear"]
    assert run([*arguments, "--pairs", "l-ear=r-ear", "--skeleton", "nose-l-ear,nose-r-ear", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["added"] == 4 and len(data["skipped"]) == 1 and data["category"] == "otter"
    with Project.open(folder) as project:
        category = project.queries.categories()[0]
        assert category.schema.names == ("nose", "l-ear", "r-ear")
        assert category.schema.edges == ((0, 1), (0, 2)) and category.schema.pairs == ((1, 2),)
        images = project.queries.image_ids()
        project.operations.add_keypoint_proposals(
            [keypoint_proposal(i, {"nose": 0.9, "l-ear": 0.3}) for i in images[:3]], category.id, job="j"
        )
    return folder


def command(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    """Run with --json and return the data."""
    assert run([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_accept_reject_undo_redo_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = command(capsys, "status", folder)
    assert status["images"] == {"all": 4, "unseen": 1, "pending": 3, "partly": 0, "done": 0, "nothing": 0, "doubt": 3}
    assert status["categories"] == [
        {
            "name": "otter",
            "keypoints": ["nose", "l-ear", "r-ear"],
            "instances": 0,
            "pending": 3,
            "in_a_photo": "auto",
            "most_in_a_photo": 0,
        }
    ]
    preview = command(capsys, "accept", folder, "--min-confidence", 0.5, "--dry-run")
    assert preview["would_accept_keypoints"] == 3 and preview["expected_precision"] == pytest.approx(0.9)
    accepted = command(capsys, "accept", folder, "--min-confidence", 0.5, "--category", "otter")
    assert accepted == {"accepted": 3, "instances": 3, "images": 3, "pending_proposals": 3}
    assert command(capsys, "undo", folder) == {"undone": "Accept 3 keypoints", "images": 3}
    assert command(capsys, "status", folder)["instances"] == 0
    assert command(capsys, "redo", folder)["redone"] == "Accept 3 keypoints"
    rejected = command(capsys, "reject", folder, "--targets", "d0/*", "--max-confidence", 0.5)
    assert rejected["rejected"] == 2 and rejected["pending_proposals"] == 1
    assert command(capsys, "reject", folder, "--all")["pending_proposals"] == 0
    status = command(capsys, "status", folder, "--check")
    assert (
        status["images"]["partly"] == 3
        and status["problems"] == []
        and status["files"] == {"changed": 0, "missing": 0, "cut_off": []}
    )
    assert status["undo"].startswith("Reject") and status["redo"] is None


def test_text_output_is_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", str(folder)]) == 0
    assert "pending 3 (doubtful 3)" in capsys.readouterr().out
    assert run(["accept", str(folder), "--min-confidence", "0.95"]) == 0
    assert "Accept 0 keypoints" in capsys.readouterr().out
    for _ in range(3):
        assert run(["undo", str(folder)]) == 0
    assert run(["undo", str(folder)]) == 0
    assert "There is nothing to be undone." in capsys.readouterr().out


def test_errors_name_the_thing_and_exit_with_3(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in (
        (["status", tmp_path / "none"], "is not a Kinmark project"),
        (["accept", folder, "--min-confidence", 0.5, "--category", "cat"], "no category cat"),
        (["reject", folder], "What to reject"),
        (["reject", folder, "--targets", "nowhere/*"], "No photo"),
        (["accept", folder, "--min-confidence", 0.5, "--kind", "boxes"], "no proposals of the kind"),
        (["add", folder], "Nothing to add"),
        (["add", folder, tmp_path / "nowhere"], "no file or folder"),
        (["new", folder], "already a project"),
        (["new", tmp_path / "q", "--keypoints", "a,b"], "without a category"),
        (["new", tmp_path / "q", "--category", "c", "--keypoints", "a,a"], "must be unique"),
        (["new", tmp_path / "q", "--category", "c", "--keypoints", "a,b", "--pairs", "a=z"], "does not join"),
        (["new", tmp_path / "q", "--images", tmp_path / "nowhere"], "no file or folder"),
    ):
        error = command(capsys, *arguments, code=3)["error"]
        assert words in error["message"] and error["hint"]
    assert not (tmp_path / "q").exists(), "nothing half-made"
    assert run(["accept", str(folder)]) == 2, "a threshold must be said"


def test_a_failing_new_leaves_nothing_behind(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(project_commands, "add_paths", interrupted)
    assert run(["new", str(tmp_path / "q.kinmark"), "--images", str(photos)]) == 130
    assert not (tmp_path / "q.kinmark").exists()


def test_add_and_relink(folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (20, 16)).save(photos / "d0" / "new.png")
    assert command(capsys, "add", folder, photos)["added"] == 1
    assert command(capsys, "add", folder, "--category", "cat", "--keypoints", "nose")["category"] == "cat"
    photos.rename(tmp_path / "moved")
    assert command(capsys, "status", folder, "--check")["files"]["missing"] == 5
    assert command(capsys, "relink", folder, tmp_path / "moved") == {"found": 5, "lost": []}
    assert command(capsys, "status", folder, "--check")["files"]["missing"] == 0


def test_backup_and_restore(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Path(command(capsys, "backup", folder)["backup"])
    assert made.is_file() and command(capsys, "backup", folder, "--list") == {"backups": [made.name]}
    command(capsys, "reject", folder, "--all")
    assert command(capsys, "backup", folder, "--restore", "newest") == {"restored": made.name}
    assert command(capsys, "status", folder)["images"]["pending"] == 3
    assert "There is no backup" in command(capsys, "backup", folder, "--restore", "../x", code=3)["error"]["message"]


def test_schema_words() -> None:
    schema = parse_schema(" a , b-c ,d", "a=b-c", "a-b-c, b-c-d")
    assert schema.names == ("a", "b-c", "d") and schema.pairs == ((0, 1),) and schema.edges == ((0, 1), (1, 2))
