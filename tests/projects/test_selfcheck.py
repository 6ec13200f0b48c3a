"""`kinmark selfcheck`: what it tries, that it names what is broken, and that it touches nothing of the person's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kinmark.engine.domain.errors import KnownError, OperationCancelled
from kinmark.engine.domain.progress import CancelToken
from kinmark.projects import selfcheck
from kinmark.projects.cli.app import run


def test_the_steps_without_model_and_window(capsys: pytest.CaptureFixture[str]) -> None:
    home = Path(os.environ["KINMARK_HOME"])
    assert run(["selfcheck", "--no-model", "--no-window", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    steps = {step["name"]: step for step in result["steps"]}
    assert list(steps) == ["resources", "project", "exchange", "model", "window"] and result["ok"]
    assert "17 keypoints" in steps["project"]["detail"] and steps["model"]["skipped"] and steps["window"]["skipped"]
    assert not home.exists() and os.environ["KINMARK_HOME"] == str(home)


def test_damaged_resources_are_named_and_the_other_steps_still_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selfcheck, "resources_dir", lambda: tmp_path)
    assert run(["selfcheck", "--no-model", "--no-window"]) == 3
    text = capsys.readouterr().out
    assert "FAILED   resources" in text and "icons/kinmark.svg" in text and "ok       project" in text


def test_a_model_that_finds_nothing_again_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "_found_in_a_copy", lambda *_: 0.07)
    steps = {step.name: step for step in selfcheck.run_selfcheck(window=False).steps}
    assert not steps["model"].ok and "7% of the keypoints found again" in steps["model"].detail


def test_the_window_step_says_what_the_layer_above_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "_window_check", lambda: 1.25)
    assert selfcheck.run_selfcheck(model=False).steps[-1].detail == "first paint after 1.25 s"

    def fails() -> float:
        raise KnownError("The window cannot open: libEGL.so.1", "apt-get install libegl1")

    monkeypatch.setattr(selfcheck, "_window_check", fails)
    step = selfcheck.run_selfcheck(model=False).steps[-1]
    assert not step.ok and "libEGL" in step.detail and "apt-get install" in step.detail


def test_cancelling_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(OperationCancelled):
        selfcheck.run_selfcheck(cancel=cancel, window=False)


def test_an_installed_package_says_that_it_holds_no_benchmarks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "kinmark.projects.cli.program_commands.__file__", str(tmp_path / "projects" / "cli" / "program_commands.py")
    )
    assert run(["benchmark", "quality"]) == 3
    said = capsys.readouterr().err
    assert "not part of an installed package" in said and "checkout of the sources" in said
