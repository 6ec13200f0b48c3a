"""`docs/reference/commands.md` from the commands themselves, so that no option is undocumented.

python -m kinmark.projects.cli.reference > docs/reference/commands.md
"""

from __future__ import annotations

import sys
from typing import Any

import typer

from kinmark.projects.cli.app import COMMANDS, build_app

HEAD = """# Commands

Made from the program by `python -m kinmark.projects.cli.reference`. Exit codes: 0 ok, 1 fault of the program, 2 usage,
3 known error (the message says what to do), 130 cancelled. `--json` prints the result as JSON, errors too (`{"error": {...}}`).
Progress is shown on terminals only.
"""


def _option_row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    default = parameter.default
    shown = "" if default in (None, "", False, ()) or callable(default) else f" (default: `{default}`)"
    text = (getattr(parameter, "help", None) or "").replace("|", "\\|").replace("\n", " ")
    return f"| {names} | {text}{shown} |"


def _command(path: str, command: Any) -> list[str]:
    children = getattr(command, "commands", {})
    lines = [f"{'##' if ' ' not in path else '###'} kinmark {path}", "", (command.help or "").strip(), ""]
    rows = [_option_row(p) for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    if rows:
        lines += ["| | |", "|---|---|", *rows, ""]
    for name, child in children.items():
        lines += _command(f"{path} {name}", child)
    return lines


def reference() -> str:
    """The whole page."""
    lines = [HEAD]
    for name in COMMANDS:
        group: Any = typer.main.get_command(build_app(name))
        lines += _command(name, group.commands[name])
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
