"""Frames of clips: their window, and what is dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QDialog

from kinmark.desktop.dialogs.clip_engine import Lent

if TYPE_CHECKING:
    from kinmark.desktop.io.dropped import Dropped
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace
    from kinmark.projects.videos import FrameChoice

FEW_DROPPED = 100
"""So many of the dropped things are looked at."""


class ClipCommands(QObject):
    """GUI thread; owned by the commands that open windows. `show` shows a dialog beside the work."""

    def __init__(self, window: Frame, show: Callable[[str, QDialog], QDialog]) -> None:
        super().__init__(window)
        self._window, self._show = window, show

    def table(self) -> dict[str, Callable[[Workspace], object]]:
        """Actions that need an open project."""
        return {"project.add_clip": self.open}

    def open(self, workspace: Workspace, clip: Path | None = None) -> None:
        """Choose frames of a clip (one that was dropped)."""
        from kinmark.desktop.dialogs.clip_dialog import ClipDialog

        dialog = ClipDialog(self._window, workspace, clip)
        dialog.chosen.connect(self.add)
        self._show("clip", dialog)

    def take(self, dropped: Dropped) -> bool:
        """Whether a clip was among what was dropped on an open project: then its window opens."""
        from kinmark.projects.videos import is_video_path

        workspace = self._window.workspace
        clip = next((p for p in dropped.first(FEW_DROPPED) if is_video_path(p)), None)
        if clip is None or workspace is None:
            return False
        self.open(workspace, clip)
        return True

    def add(self, clip: Path, choice: FrameChoice) -> None:
        """Add frames in the background."""

        def run(context: Any) -> Any:
            from kinmark.projects.videos import add_clip

            return add_clip(
                context.project,
                clip,
                choice,
                engine=lambda: Lent(context.engine),  # type: ignore[arg-type, return-value]
                progress=context.progress,
                cancel=context.cancel,
            )

        self._window.program.engine.submit(self.tr("Adding photos"), run, group="add", on_done=self._added)

    def _added(self, report: Any) -> None:
        self._window.program.messages.info(self.tr("%n photos added.", "", len(report.image_ids)), "")
        workspace = self._window.workspace
        if workspace is not None and workspace.labelling.image is None:
            workspace.images.refresh()
            workspace.start()
