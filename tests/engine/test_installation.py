"""Version, commit and the explanation of the device."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from kinmark.engine import installation


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "resources").mkdir()
    monkeypatch.setattr(installation, "resources_dir", lambda: tmp_path / "resources")
    return tmp_path


def stamp(program: Path, text: str) -> None:
    (program / "resources" / "build.json").write_text(text)


def test_a_package_says_the_commit_it_was_built_from(program: Path) -> None:
    stamp(program, json.dumps({"commit": "0123456789abcdef" * 2 + "01234567", "changed": False}))
    assert installation.commit_text() == "0123456789ab"
    stamp(program, json.dumps({"commit": "f" * 40, "changed": True}))
    assert installation.commit_text() == "ffffffffffff+" and "(commit ffffffffffff+)" in installation.version_text()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"commit": "", "changed": true}'])
def test_a_stamp_that_says_nothing_is_no_error(program: Path, text: str) -> None:
    stamp(program, text)
    assert installation.commit_text() == "" and "commit" not in installation.version_text()


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkout_says_its_head_however_git_stores_it(
    program: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert installation.commit_text() == ""
    git(program, "init", "-q")
    assert installation.commit_text() == ""
    git(program, "commit", "-q", "--allow-empty", "-m", "first")
    head = git(program, "rev-parse", "HEAD")
    assert installation.commit_text() == head[:12]
    git(program, "pack-refs", "--all")
    assert installation.commit_text() == head[:12]
    git(program, "checkout", "-q", "--detach")
    assert installation.commit_text() == head[:12]


def test_a_linked_working_tree_says_its_own_head(
    program: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(program, "init", "-q")
    git(program, "commit", "-q", "--allow-empty", "-m", "first")
    linked = tmp_path_factory.mktemp("linked") / "tree"
    git(program, "worktree", "add", "-q", "-b", "side", str(linked))
    git(linked, "commit", "-q", "--allow-empty", "-m", "second")
    (linked / "resources").mkdir()
    monkeypatch.setattr(installation, "resources_dir", lambda: linked / "resources")
    assert installation.commit_text() == git(linked, "rev-parse", "HEAD")[:12] != git(program, "rev-parse", "HEAD")[:12]


def test_a_cpu_build_beside_an_nvidia_driver_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(installation, "_nvidia_driver", lambda: "560.35.03")
    rows = installation.explain_torch()
    assert rows["chosen"].startswith("cpu") and "560.35.03" in rows["why"] and "pytorch.org" in rows["change"]
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    assert "no device answers" in installation.explain_torch()["why"]
    monkeypatch.setattr(installation, "_nvidia_driver", lambda: "")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert set(installation.explain_torch()) == {"build", "chosen", "why"}


def test_a_gpu_that_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert installation.explain_torch()["chosen"] == "cuda: Some GPU"
