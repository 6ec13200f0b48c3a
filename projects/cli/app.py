"""The command table and the one door that every command goes through.

Only the module of the command that was asked for is imported, so `kinmark --help` loads no torch, no Qt and no database.
Exit codes: 0 ok, 1 bug, 2 usage, 3 known error, 130 cancelled.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from kinmark.engine.domain.errors import AppError, OperationCancelled
from kinmark.projects.cli.interrupt import interrupts_cancel
from kinmark.projects.cli.output import EXIT_BUG, EXIT_CANCELLED, EXIT_KNOWN_ERROR, EXIT_OK, EXIT_USAGE, print_error


@dataclass(frozen=True)
class CommandRow:
    """Where a command lives: `target` is a typer-style function or a `typer.Typer` group in `module`."""

    name: str
    module: str
    target: str
    help: str
    panel: str
    passes_arguments_on: bool = False


_PROJECT, _WORK, _DATA, _MODELS, _PROGRAM = "Project", "Mark once, find its kin", "Exchange", "Models", "Program"
_ROWS = (
    CommandRow("new", "project_commands", "new", "Create a project folder.", _PROJECT),
    CommandRow("add", "project_commands", "add", "Add photos or folders of photos.", _PROJECT),
    CommandRow("status", "project_commands", "status", "Show what is done and what is pending.", _PROJECT),
    CommandRow("relink", "project_commands", "relink", "Point the project to photos that were moved.", _PROJECT),
    CommandRow("backup", "project_commands", "backup", "Make, list or restore backups of the database.", _PROJECT),
    CommandRow(
        "propose", "propose_commands", "propose", "Propose keypoints on every photo from the labelled ones.", _WORK
    ),
    CommandRow("find", "instance_commands", "find", "Find one instance in the other photos and cut it out.", _WORK),
    CommandRow("accept", "project_commands", "accept", "Accept pending proposals above a confidence.", _WORK),
    CommandRow("reject", "project_commands", "reject", "Reject pending proposals.", _WORK),
    CommandRow("undo", "project_commands", "undo", "Undo the last operation.", _WORK),
    CommandRow("redo", "project_commands", "redo", "Redo the operation undone last.", _WORK),
    CommandRow("tune", "prompt_commands", "tune", "Fine-tune a prompt on the accepted instances.", _WORK),
    CommandRow("check", "evaluation_commands", "check", "List labels that look wrong.", _WORK),
    CommandRow("identities", "instance_commands", "identities", "List, merge, rename or export identities.", _WORK),
    CommandRow("import", "formats_commands", "import_", "Import annotations.", _DATA),
    CommandRow("export", "formats_commands", "export", "Export annotations.", _DATA),
    CommandRow("merge", "merge_commands", "merge", "Take the labels of another project into this one.", _DATA),
    CommandRow("split", "formats_commands", "split", "Divide the photos into train, val and test.", _DATA),
    CommandRow("models", "models_commands", "models", "List, add, download, verify or remove backbones.", _MODELS),
    CommandRow("prompts", "prompt_commands", "prompts", "List, show, export, import or delete saved prompts.", _MODELS),
    CommandRow("evaluate", "evaluation_commands", "evaluate", "Measure on a published data set or a project.", _MODELS),
    CommandRow(
        "simulate", "evaluation_commands", "simulate", "Count the human actions a labelled set would take.", _MODELS
    ),
    CommandRow("benchmark", "program_commands", "benchmark", "Run one of the benchmarks.", _PROGRAM, True),
    CommandRow("demo", "program_commands", "demo", "Run the main job on the sample collection.", _PROGRAM),
    CommandRow("doctor", "program_commands", "doctor", "Check the installation and show what runs where.", _PROGRAM),
    CommandRow(
        "selfcheck", "program_commands", "selfcheck", "Try everything once in small: does it work here?", _PROGRAM
    ),
    CommandRow("app", "program_commands", "app", "Open the window.", _PROGRAM),
)
COMMANDS = {row.name: row for row in _ROWS}


def is_command(arguments: list[str]) -> bool:
    """Whether the command line is meant. A project folder (there, or named like one) opens the window instead."""
    first = arguments[0]
    if first in COMMANDS or first.startswith("-"):
        return True
    return not (first.rstrip("/").endswith(".kinmark") or Path(first).exists())


def _show_version(value: bool) -> None:
    if value:
        from kinmark.engine.installation import version_text

        typer.echo(f"kinmark {version_text()}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show version and commit."
    ),
) -> None:
    """Kinmark: mark once, find its kin everywhere."""


def _stub(row: CommandRow) -> Callable[[], None]:
    def command() -> None: ...

    command.__doc__ = row.help
    return command


def build_app(wanted: str | None = None) -> typer.Typer:
    """The typer application with the real command `wanted` and light stand-ins (name and help only) for the others."""
    app = typer.Typer(
        name="kinmark",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for row in _ROWS:
        target: Any = _stub(row)
        if row.name == wanted:
            target = getattr(importlib.import_module(f"kinmark.projects.cli.{row.module}"), row.target)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=row.name, help=row.help, rich_help_panel=row.panel)
        else:
            context: dict[str, Any] = {}
            if row.passes_arguments_on:
                context = {"allow_extra_args": True, "ignore_unknown_options": True}
            app.command(row.name, rich_help_panel=row.panel, context_settings=context)(target)
    return app


def run(arguments: list[str]) -> int:
    """Run one command; every error leaves through here and nowhere else."""
    as_json = "--json" in arguments
    wanted = next((a for a in arguments if not a.startswith("-")), None)
    try:
        with interrupts_cancel():
            build_app(wanted)(arguments, prog_name="kinmark", standalone_mode=True)
        return EXIT_OK
    except SystemExit as exit_:
        code = exit_.code
        return code if isinstance(code, int) else EXIT_OK if code is None else EXIT_USAGE
    except (OperationCancelled, KeyboardInterrupt):
        print_error("Cancelled. What was finished before is kept.", as_json=as_json, kind="cancelled")
        return EXIT_CANCELLED
    except AppError as error:
        print_error(
            error.user_message, hint=error.hint, details=error.details, as_json=as_json, kind=type(error).__name__
        )
        return EXIT_KNOWN_ERROR
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): silence, as other tools do. Python would complain again at exit.
        sys.stderr.close()
        return EXIT_OK
    except Exception as error:  # noqa: BLE001 - the one crash door of the command line
        from kinmark.projects.crash import write_crash_report

        report = write_crash_report(error, f"kinmark {json.dumps(arguments)}")
        print_error(
            f"Kinmark failed: {type(error).__name__}: {error}",
            hint=f"This is a fault of the program; nothing accepted is lost. Please report it with {report}.",
            as_json=as_json,
            kind="BugError",
        )
        return EXIT_BUG
