"""The main window: the frame, the work of its actions, and the pages of the open project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from kinmark.desktop.window.frame import Frame

if TYPE_CHECKING:
    from kinmark.desktop.window.commands import Commands
    from kinmark.desktop.workspace import Workspace


class MainWindow(Frame):
    """GUI thread; one per process. `commands`: what each action does."""

    commands: Commands

    def _make_commands(self) -> Commands:
        from kinmark.desktop.window.commands import connect_commands

        return connect_commands(self)

    def _make_pages(self, workspace: Workspace) -> dict[str, QWidget]:
        from kinmark.desktop.window.project_pages import make_pages

        return make_pages(workspace, self.show_page, self.commands.dialogs.find)
