"""The entry point `kinmark`: no arguments or a project folder opens the window, a command runs without loading Qt."""

from __future__ import annotations

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the command line or the window; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    from kinmark.projects.cli.app import is_command, run

    if arguments[:1] == ["selfcheck"]:
        from kinmark.desktop.first_paint import first_paint
        from kinmark.projects.selfcheck import use_window_check

        use_window_check(first_paint)
    opens_window = not arguments or (arguments[0] == "app" and not {"-h", "--help"} & set(arguments))
    if not opens_window and is_command(arguments):
        return run(arguments)
    from kinmark.projects.qt_platform import libraries_problem

    problem = libraries_problem()  # Qt itself would abort the process with a message that names no package
    if problem is not None:
        sys.stderr.write(f"{problem.what}\nWhat to do: {problem.todo}\n")
        return 3
    from kinmark.desktop.app import run_window

    return run_window(
        [_project_of(argument) for argument in (arguments[1:] if arguments[:1] == ["app"] else arguments)]
    )


def _project_of(argument: str) -> str:
    """A project's database, which file managers can open by its type, stands for its folder."""
    folder, name = os.path.split(argument)
    return folder or os.curdir if name == "project.sqlite" else argument


if __name__ == "__main__":
    sys.exit(main())
