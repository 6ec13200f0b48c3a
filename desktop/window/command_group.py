"""What the groups of commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

if TYPE_CHECKING:
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace


class CommandGroup(QObject):
    """GUI thread; owned by the window: the work of some actions."""

    def __init__(self, window: Frame) -> None:
        super().__init__(window)
        self._window = window

    @property
    def _space(self) -> Workspace | None:
        """The open project's, or None."""
        return self._window.workspace
