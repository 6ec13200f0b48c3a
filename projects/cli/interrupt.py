"""Ctrl-C: cancels the running job at its next step; twice in a row stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from kinmark.engine.domain.errors import OperationCancelled
from kinmark.engine.domain.progress import CancelToken

_active: list[CancelToken] = []


@contextmanager
def cancellable() -> Iterator[CancelToken]:
    """A token for one job; Ctrl-C sets it as long as the block runs."""
    token = CancelToken()
    _active.append(token)
    try:
        yield token
    finally:
        _active.remove(token)


def _on_interrupt(_signal: int, _frame: FrameType | None) -> None:
    if _active and not _active[-1].cancelled:
        _active[-1].cancel()
        return
    raise KeyboardInterrupt if _active else OperationCancelled


@contextmanager
def interrupts_cancel() -> Iterator[None]:
    """Install the handler for the duration of one command (main thread only; elsewhere nothing changes)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
