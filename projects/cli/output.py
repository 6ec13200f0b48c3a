"""What commands print: results to stdout (text or JSON), everything else to stderr; progress only on a terminal."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from kinmark.engine.domain.progress import Progress

EXIT_OK, EXIT_BUG, EXIT_USAGE, EXIT_KNOWN_ERROR, EXIT_CANCELLED = 0, 1, 2, 3, 130
POLL_S = 0.1

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def emit(data: Any, *, as_json: bool, render: Callable[[], None] | None = None) -> None:
    """Print `data` as JSON, or call `render` (which prints with rich); without `render` a plain listing."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=1, default=str, allow_nan=False) + "\n")
    elif render is not None:
        render()
    else:
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            typer.echo(f"{key}: {value}")


def print_error(message: str, *, hint: str = "", details: str = "", as_json: bool = False, kind: str = "") -> None:
    """One error: to stderr as text, or to stdout as `{"error": {...}}` when JSON was asked for."""
    if as_json:
        error = {"kind": kind, "message": message, "hint": hint, "details": details}
        sys.stdout.write(json.dumps({"error": error}, indent=1) + "\n")
        return
    sys.stderr.write(f"{message}\n")
    if hint:
        sys.stderr.write(f"{hint}\n")


def print_note(message: str) -> None:
    """A remark for the person, on stderr so that stdout stays parseable."""
    sys.stderr.write(f"{message}\n")


@contextmanager
def progress_bar(progress: Progress) -> Iterator[Progress]:
    """Show `progress` on stderr while the block runs; quiet when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    stop = threading.Event()
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None, note="")

        def follow() -> None:
            while not stop.wait(POLL_S):
                state = progress.snapshot()
                bars.update(
                    task, description=state.label, total=state.total or None, completed=state.done, note=state.note
                )

        thread = threading.Thread(target=follow, name="progress-bar", daemon=True)
        thread.start()
        try:
            yield progress
        finally:
            stop.set()
            thread.join()
