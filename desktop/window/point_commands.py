"""The menu of a keypoint in the instance panel: its own colour, and what the keys do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QColorDialog, QMenu

from kinmark.desktop.canvas.intents import ToggleHidden
from kinmark.desktop.error_texts import in_language
from kinmark.desktop.session.shown import ShownInstance, instance_title
from kinmark.desktop.states import PointState

if TYPE_CHECKING:
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace

PALETTE = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#FFFFFF")
"""Okabe-Ito: told apart without colour vision; any other colour can be mixed."""


class PointCommands(QObject):
    """GUI thread; owned by the main window's commands."""

    def __init__(self, window: Frame) -> None:
        super().__init__(window)
        self._window = window

    def show_menu(self, index: int, at: QPoint) -> None:
        """The menu of the keypoint with the schema index `index` at a global position."""
        workspace = self._window.workspace
        if workspace is not None:
            self.menu(workspace, index).popup(at)

    def show_canvas_menu(self, key: str | None, index: int | None, at: QPoint) -> None:
        """The menu of what lies under the mouse on the photo; it becomes the selection first."""
        workspace = self._window.workspace
        if workspace is not None:
            labelling = workspace.labelling
            if key is not None and (key, index) != (labelling.selected_key, labelling.focused):
                labelling.select(key, index)
            self.canvas_menu(workspace, key, index).popup(at)

    def canvas_menu(self, workspace: Workspace, key: str | None, index: int | None) -> QMenu:
        """What can be done with a keypoint, an instance, or the photo; gone when it closes."""
        menu = QMenu(self._window)
        menu.setToolTipsVisible(True)
        menu.aboutToHide.connect(menu.deleteLater)
        selected = workspace.labelling.selected if key is not None else None
        if selected is not None:
            if index is not None:
                self._keypoint_part(menu, workspace, selected, index)
            self._instance_part(menu, workspace, selected)
        else:
            for id_ in ("tool.keypoint", "tool.new_instance", "tool.template", "edit.paste", "engine.propose_here"):
                menu.addAction(self._window.registry[id_])
            for id_ in ("review.nothing", "review.all_labelled", "review.not_all_labelled"):
                menu.addAction(self._window.registry[id_])
        menu.addSeparator()
        for id_ in ("go.source", "view.fit"):
            menu.addAction(self._window.registry[id_])
        return menu

    def _keypoint_part(self, menu: QMenu, workspace: Workspace, shown: ShownInstance, index: int) -> None:
        registry, state = self._window.registry, workspace.labelling.state(index)
        menu.addSection(shown.category.definitions[index].name)
        if state.is_proposal:
            menu.addAction(registry["review.accept"])
            menu.addAction(registry["review.reject"])
        if state.is_drawn:
            row = shown.keypoint(index) or shown.proposal(index)
            hidden = menu.addAction(self.tr("Hidden (known, but covered)"))
            hidden.setObjectName("hidden")
            hidden.setCheckable(True)
            hidden.setChecked(row is not None and row.visibility == 1)
            hidden.setEnabled(not workspace.session.read_only)
            hidden.triggered.connect(lambda *_: workspace.handle(ToggleHidden(shown.key, index)))
        menu.addAction(registry["point.absent"])
        if not state.is_proposal:
            menu.addAction(registry["edit.delete"])
        menu.addAction(registry["review.harder"])
        if workspace.regrouper.others():
            menu.addAction(registry["point.give"])
        mark = menu.addAction(registry["point.mark"].text())
        mark.setObjectName("mark")
        mark.setCheckable(True)
        mark.setChecked(index in workspace.labelling.marked)
        mark.triggered.connect(lambda *_: workspace.labelling.mark(index))

    def _instance_part(self, menu: QMenu, workspace: Workspace, shown: ShownInstance) -> None:
        registry = self._window.registry
        menu.addSection(instance_title(shown))
        if shown.has_pending:
            menu.addAction(registry["review.accept_instance"])
            menu.addAction(registry["review.reject_image"])
        ids = ["point.rest_absent"] if shown.lacks else []
        ids += ["point.mirror"] if shown.category.pair_ids else []
        ids += ["edit.merge"] if workspace.regrouper.others() else []
        ids += ["edit.split"] if len(shown.accepted) + len(shown.pending) > 1 else []
        ids += ["edit.delete_instance"] if shown.instance is not None else []
        labelling = workspace.labelling
        others = [c for c in labelling.categories if c.id != shown.category.id]
        if shown.instance is not None and others:
            kinds, instance_id = menu.addMenu(self.tr("Change the category")), shown.instance.id
            kinds.setEnabled(not workspace.session.read_only)
            for category in others:
                action = kinds.addAction(category.name.replace("&", "&&"))
                action.triggered.connect(lambda *_, c=category.id: self.set_category(workspace, instance_id, c))
        for id_ in (*ids, "edit.copy", "tool.segment", "engine.find", "view.zoom_instance"):
            menu.addAction(registry[id_])

    def set_category(self, workspace: Workspace, instance_id: int, category_id: int) -> None:
        """The instance is of another category; keypoints of the same names go along, others are named."""
        changes = workspace.session.write(lambda do: do.set_category(instance_id, category_id), self)
        if changes is not None and changes.skipped:
            lines = "; ".join(in_language(line) for line in changes.skipped[:4])
            workspace.program.messages.info(lines, self.tr("Ctrl+Z takes it back."))

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
        colour = QColorDialog.getColor(
            now, self._window, self.tr("Colour of {name}").format(name=category.definitions[index].name)
        )
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
