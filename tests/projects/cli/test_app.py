"""The command table, exit codes and the crash door."""

from __future__ import annotations

import importlib
import json
import os
import signal
from types import SimpleNamespace

import pytest
import typer

from kinmark.engine.domain.errors import KnownError, OperationCancelled
from kinmark.projects.cli import app as app_module
from kinmark.projects.cli.app import COMMANDS, CommandRow, build_app, is_command, run
from kinmark.projects.cli.interrupt import cancellable
from kinmark.projects.cli.output import progress_bar


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_exists_and_explains_itself(name, capsys):
    row = COMMANDS[name]
    target = getattr(importlib.import_module(f"kinmark.projects.cli.{row.module}"), row.target)
    assert isinstance(target, typer.Typer) or target.__doc__
    assert run([name, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_help_and_version(capsys):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kinmark ")


def test_usage_errors_are_2(capsys):
    assert run(["nonsense"]) == 2
    assert run(["status", "--no-such-option"]) == 2


def test_folders_open_the_window_everything_else_is_a_command(tmp_path):
    assert is_command(["export"]) and is_command(["--help"]) and is_command(["tpyo"])
    assert not is_command([str(tmp_path)]) and not is_command(["gone.kinmark"])


def _with_command(monkeypatch, function):
    module = type("module", (), {"go": staticmethod(function)})
    monkeypatch.setattr(app_module, "_ROWS", (*app_module._ROWS, CommandRow("go", "go", "go", "", "x")))
    # Patched in that module alone: a library that is first imported meanwhile would keep the replacement for ever.
    replaced = SimpleNamespace(import_module=lambda n: module if n.endswith(".go") else importlib.import_module(n))
    monkeypatch.setattr(app_module, "importlib", replaced)


def test_known_errors_are_3_and_json_when_asked(monkeypatch, capsys):
    def go(json_output: bool = typer.Option(False, "--json")) -> None:
        """Fail."""
        raise KnownError("The disk is full.", "Make room.", "errno 28")

    _with_command(monkeypatch, go)
    assert run(["go"]) == 3
    captured = capsys.readouterr()
    assert "The disk is full." in captured.err and "Make room." in captured.err and not captured.out
    assert run(["go", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == "Make room."


def test_cancelled_is_130(monkeypatch):
    def go() -> None:
        """Cancel."""
        raise OperationCancelled

    _with_command(monkeypatch, go)
    assert run(["go"]) == 130


def test_ctrl_c_cancels_at_the_next_step(monkeypatch):
    reached = []

    def go() -> None:
        """Work until cancelled."""
        with cancellable() as cancel:
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                cancel.check()
                reached.append(1)
                assert len(reached) < 10_000_000

    _with_command(monkeypatch, go)
    assert run(["go"]) == 130


def test_bugs_leave_a_report_and_1(monkeypatch, capsys, tmp_path):
    def go() -> None:
        """Break."""
        raise RuntimeError("boom")

    _with_command(monkeypatch, go)
    assert run(["go"]) == 1
    message = capsys.readouterr().err
    assert "boom" in message
    reports = list((tmp_path / "kinmark-home" / "logs").glob("crash-*.txt"))
    assert len(reports) == 1 and "RuntimeError: boom" in reports[0].read_text()


def test_progress_is_quiet_without_a_terminal(capsys):
    from kinmark.engine.domain.progress import Progress

    with progress_bar(Progress("work", 3)) as progress:
        progress.step(3)
    captured = capsys.readouterr()
    assert not captured.out and not captured.err


def test_app_builds_with_any_command():
    assert build_app(None).registered_commands
