"""Refresh a panel once, after the events at hand: several changes in a row cost one refresh and never one long stall."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer


class Later(QObject):
    """GUI thread; owned by the widget that it refreshes."""

    def __init__(self, owner: QObject, work: Callable[[], object]) -> None:
        super().__init__(owner)
        self._work = work
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._run)

    def ask(self, *_: object) -> None:
        """Do the work soon (any arguments of a signal are ignored)."""
        self._timer.start()

    def now(self) -> None:
        """Do what is asked for at once."""
        if self._timer.isActive():
            self._timer.stop()
            self._work()

    def _run(self) -> None:
        self._work()
