"""Child processes that start in milliseconds: forked from one that has loaded torch and does nothing else.

A test that kills processes starts several; loading the libraries anew for each would take most of its time.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

METHOD = "spawn" if sys.platform == "win32" else "forkserver"


class Child:
    """A process that runs `work(say, *arguments)`; what it says arrives as lines."""

    def __init__(self, process: BaseProcess, heard: Connection) -> None:
        self.process, self._heard = process, heard

    def line(self) -> str:
        """The next thing it says; "" when it has ended."""
        try:
            return str(self._heard.recv())
        except EOFError:
            return ""

    def rest(self, timeout: float = 300) -> list[str]:
        """Everything else that it says; it must end well."""
        lines = list(iter(self.line, ""))
        self.process.join(timeout)
        assert self.process.exitcode == 0, lines
        self._heard.close()
        return lines

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.join()
        self._heard.close()


def _run(work: Callable[..., None], saying: Connection, arguments: tuple[Any, ...]) -> None:
    work(saying.send, *arguments)
    saying.close()


def children(preloaded: list[str]) -> Iterator[Callable[..., Child]]:
    """For a fixture: `start(work, *arguments)`; `work` is a function of a module, `preloaded` are modules that it needs."""
    context = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload(preloaded)
    started: list[Child] = []

    def start(work: Callable[..., None], *arguments: Any) -> Child:
        heard, saying = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(work, saying, arguments), daemon=True)
        process.start()
        saying.close()
        started.append(Child(process, heard))
        return started[-1]

    yield start
    for child in started:
        if child.process.is_alive():
            child.kill()
    if METHOD == "forkserver":
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
