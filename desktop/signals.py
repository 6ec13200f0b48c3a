"""Ctrl-C, SIGTERM and a closed terminal end the window as its close button does: nothing accepted is lost."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

from PySide6.QtCore import QObject, QSocketNotifier

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class SignalDoor(QObject):
    """GUI thread; owned by `run_window`. Calls `leave` on the GUI thread when the process is asked to end.

    Python runs its own handlers only between two bytecodes of the main thread, which Qt's event loop may not reach for
    a long time: the wake-up socket makes the event loop look. A second signal has its ordinary effect (ends at once).

    Attributes:
        received: number of the signal that came, or 0.
    """

    def __init__(self, leave: Callable[[], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.received = 0
        self._leave: Callable[[], object] | None = leave
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._notifier = QSocketNotifier(self._reader.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._woken)
        self._old_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._old: dict[int, Any] = {}
        for name in NAMES:
            number = getattr(signal, name, None)
            # A signal that the parent process switched off (nohup) stays off.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        for known in self._old:
            signal.signal(known, signal.SIG_DFL)

    def _woken(self) -> None:
        numbers = b""
        with contextlib.suppress(BlockingIOError):
            numbers = self._reader.recv(64)  # one byte for each signal: its number
        self.received = self.received or next((n for n in numbers if n in self._old), 0)
        if self.received and self._leave is not None:
            leave, self._leave = self._leave, None
            leave()

    def close(self) -> None:
        """Put the handlers of before back."""
        self._notifier.setEnabled(False)
        signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()
