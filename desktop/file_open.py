"""Opening from a file manager: a project's folder or its database, as an argument or as macOS' request to the running program."""

from __future__ import annotations

import os

from PySide6.QtCore import QEvent, Signal
from PySide6.QtGui import QFileOpenEvent
from PySide6.QtWidgets import QApplication


def project_of(path: str) -> str:
    """A project's database, which file managers can open by its type, stands for its folder."""
    folder, name = os.path.split(path)
    return folder or os.curdir if name == "project.sqlite" else path


class Application(QApplication):
    """The application object; macOS asks it to open what was double-clicked, other systems give an argument.

    An override and no event filter: a filter of the application would see every event of every widget.
    """

    asked_to_open = Signal(str)
    """A project's folder."""

    def event(self, event: QEvent) -> bool:
        """Take requests to open a file; everything else is Qt's."""
        if isinstance(event, QFileOpenEvent) and event.file():
            self.asked_to_open.emit(project_of(event.file()))
            return True
        return super().event(event)
