"""The menu of a keypoint in the instance panel: its own colour, and what the keys do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QColorDialog, QMenu

from desktop.canvas.content import PointState

if TYPE_CHECKING:
    from desktop.window.main_window import MainWindow
    from desktop.window.workspace import Workspace

PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#FFFFFF")
"""Okabe-Ito: told apart without colour vision; any other colour can be mixed."""


class PointCommands(QObject):
    """GUI thread; owned by the main window's commands."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    def show_menu(self, index: int, at: QPoint) -> None:
        """The menu of the keypoint with the schema index `index` at a global position."""
        workspace = self._window.workspace
        if workspace is not None:
            self.menu(workspace, index).popup(at)

    def menu(self, workspace: Workspace, index: int) -> QMenu:
        """What can be done with a keypoint; gone when it closes."""
        menu = QMenu(self._window)
        menu.aboutToHide.connect(menu.deleteLater)
        registry, labelling = self._window.registry, workspace.labelling
        if labelling.state(index) in (PointState.PENDING, PointState.DOUBTFUL):
            menu.addAction(registry["review.accept"])
            menu.addAction(registry["review.reject"])
        for action_id in ("point.visibility", "point.absent", "review.harder"):
            menu.addAction(registry[action_id])
        menu.addSeparator()
        colours = menu.addMenu(self.tr("Colour of the keypoint"))
        colours.setEnabled(not workspace.session.read_only)
        for colour in PALETTE:
            action = colours.addAction(_swatch(colour), colour)
            action.triggered.connect(lambda *_, c=colour: self.set_colour(workspace, index, c))
        other = colours.addAction(self.tr("Another colour..."))
        other.triggered.connect(lambda *_: self._mix(workspace, index))
        none = colours.addAction(self.tr("No own colour"))
        none.triggered.connect(lambda *_: self.set_colour(workspace, index, ""))
        menu.addAction(registry["edit.schema"])
        menu.addAction(registry["edit.tag_instance"])
        return menu

    def _mix(self, workspace: Workspace, index: int) -> None:
        category = workspace.labelling.current_category
        if category is None:
            return
        now = QColor(category.definitions[index].colour or PALETTE[0])
        colour = QColorDialog.getColor(now, self._window, self.tr("Colour of {name}").format(
            name=category.definitions[index].name
        ))  # fmt: skip
        if colour.isValid():
            self.set_colour(workspace, index, colour.name())

    def set_colour(self, workspace: Workspace, index: int, colour: str) -> None:
        """Give the keypoint its own colour in all photos ("" takes it away); undoable."""
        category = workspace.labelling.current_category
        if category is None or index >= len(category.definitions):
            return
        definition_id = category.definition_ids[index]
        workspace.session.write(lambda do: do.colour_keypoint(definition_id, colour), self)


def _swatch(colour: str) -> QIcon:
    pixmap = QPixmap(16, 16)
    pixmap.fill(QColor(colour))
    return QIcon(pixmap)
