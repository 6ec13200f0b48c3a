"""What the actions of photos with several instances do: merge, split, give away, all labelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, QPointF
from PySide6.QtWidgets import QMenu

from kinmark.desktop.session.shown import ShownInstance, instance_title

if TYPE_CHECKING:
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace

Chosen = Callable[[ShownInstance], object]


class SeveralCommands(QObject):
    """GUI thread; owned by the main window's commands."""

    def __init__(self, window: Frame) -> None:
        super().__init__(window)
        self._window = window
        self.menu: QMenu | None = None

    def table(self) -> dict[str, Callable[[Workspace], object]]:
        """What each action does with an open project."""
        return {
            "edit.merge": self.merge,
            "edit.split": lambda w: w.regrouper.split(),
            "point.mark": lambda w: w.labelling.mark(w.labelling.focused) if w.labelling.focused is not None else None,
            "point.give": self.give,
            "review.all_labelled": lambda w: self.all_labelled(w, True),
            "review.not_all_labelled": lambda w: self.all_labelled(w, False),
        }

    def merge(self, workspace: Workspace) -> None:
        """With the only other instance at once; of several one is chosen in a menu, by digit or mouse."""
        doubled = workspace.doubled()
        others = (doubled,) if doubled is not None else workspace.regrouper.others()
        if not others:
            workspace.program.messages.info(
                self.tr("There is no other instance of this category in the photo."),
                self.tr("Select one of two (Tab), then merge."),
            )
        elif len(others) == 1:
            workspace.regrouper.merge(others[0])
        else:
            self._ask(workspace, self.tr("Merge with"), others, workspace.regrouper.merge)

    def give(self, workspace: Workspace) -> None:
        """The focused keypoint to another instance."""
        labelling, others = workspace.labelling, workspace.regrouper.others()
        if labelling.selected is None or not labelling.focused_name:
            workspace.program.messages.info(self.tr("Focus a keypoint first."))
        elif not others:
            workspace.program.messages.info(
                self.tr("There is no other instance of this category in the photo."),
                self.tr("I begins another instance."),
            )
        elif len(others) == 1:
            workspace.regrouper.give(others[0])
        else:
            title = self.tr("Give {name} to").format(name=labelling.focused_name)
            self._ask(workspace, title, others, workspace.regrouper.give)

    def _ask(self, workspace: Workspace, title: str, others: tuple[ShownInstance, ...], chosen: Chosen) -> None:
        menu = QMenu(self._window)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.addSection(title)
        for shown in others:
            action = menu.addAction(f"&{instance_title(shown)}")
            action.triggered.connect(lambda *_, s=shown: chosen(s))
        self.menu = menu
        canvas = workspace.target.canvas
        selected = workspace.labelling.selected
        box = selected.extent if selected is not None else None
        place = QPoint(20, 20)
        if box is not None:
            place = canvas.viewportTransform().map(QPointF(box[2], box[1])).toPoint()
        menu.popup(canvas.viewport().mapToGlobal(place))
        menu.setActiveAction(menu.actions()[1])

    def all_labelled(self, workspace: Workspace, holds: bool) -> None:
        """Of the photos selected in the grid, else of the one on the canvas."""
        category = workspace.labelling.current_category
        if category is None:
            return
        if workspace.images.decides:
            self.photos(workspace, workspace.images.selected_ids(), holds)
            return
        labelling, image = workspace.labelling, workspace.labelling.image
        if image is None:
            return
        before = labelling.exhaustive(category.id)
        waiting = sum(s.instance is None and s.category.id == category.id for s in labelling.waiting)
        said = workspace.reviewer.all_labelled(holds)
        if said is not None and said is not before and said and waiting:
            text = self.tr("All of {name} are labelled; %n proposals were rejected with it.", "", waiting)
            workspace.program.messages.info(text.format(name=category.name), self.tr("Ctrl+Z takes it back."))
        elif said is None and before is not None:
            text = self.tr("Whether all of {name} are labelled is not said any more.")
            self._window.job_bar.show_step(text.format(name=category.name))

    def photos(self, workspace: Workspace, ids: list[int], holds: bool) -> None:
        """All of the current category are labelled in these photos, or not all."""
        category = workspace.labelling.current_category
        if category is None:
            return
        category_id = category.id
        changes = workspace.session.write(lambda do: do.set_exhaustive(ids, category_id, holds), self)
        if changes is None:
            return
        text = (
            self.tr("%n photos: all are labelled.", "", changes.count)
            if holds
            else self.tr("%n photos: not all are labelled.", "", changes.count)
        )
        hint = self.tr("%n photos without labels were left alone.", "", len(changes.skipped)) if changes.skipped else ""
        workspace.program.messages.info(text, hint)
