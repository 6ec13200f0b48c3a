"""The entry point `kinmark`: no arguments or a project folder opens the window, a command runs without loading Qt."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Run the command line or the window; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    from projects.cli.app import is_command, run

    if arguments and is_command(arguments):
        return run(arguments)
    from desktop.app import run_window

    return run_window(arguments)


if __name__ == "__main__":
    sys.exit(main())
