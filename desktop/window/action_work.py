"""What the frame of the window asks of those who do the work of its actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kinmark.desktop.io.dropped import Dropped

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace


class ActionWork(Protocol):
    """What the frame asks of those who do the actions' work."""

    @property
    def panels_hidden(self) -> bool:
        """Whether all panels are away."""
        ...

    def project_opened(self, workspace: Workspace) -> None:
        """A project is shown."""
        ...

    def project_closes(self) -> None:
        """Its windows go first."""
        ...

    def use_tool(self, name: str) -> None:
        """Take a tool in hand."""
        ...

    def refresh_undo(self) -> None:
        """Name what undo and redo would do."""
        ...

    def fold_source(self, narrow: bool) -> None:
        """The source gives way in a narrow window."""
        ...

    def dropped(self, things: Dropped) -> None:
        """Files and folders were dropped on the window."""
        ...
