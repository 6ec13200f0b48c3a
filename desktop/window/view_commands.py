"""Commands about what is seen: layers, zoom, tone, source, panels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kinmark.desktop.canvas.tone import STEP, Tone
from kinmark.desktop.window.command_group import CommandGroup

if TYPE_CHECKING:
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace


class ViewCommands(CommandGroup):
    """GUI thread; owned by the commands: layers of the canvas, tone, panels."""

    def __init__(self, window: Frame) -> None:
        super().__init__(window)
        self.panels_hidden = False

    def table(self) -> dict[str, Callable[[Workspace], object]]:
        """What each action does with an open project."""
        table: dict[str, Callable[[Workspace], object]] = {
            "view.fit": lambda w: w.target.canvas.fit(),
            "view.zoom_instance": lambda w: w.target.zoom_to_instance(),
            "view.actual": lambda w: w.target.canvas.set_zoom(1.0),
            "view.zoom_in": lambda w: w.target.canvas.zoom_by(1.25),
            "view.zoom_out": lambda w: w.target.canvas.zoom_by(0.8),
            "view.brighter": lambda w: w.target.set_tone(w.target.tone.tone.changed(brightness=STEP)),
            "view.darker": lambda w: w.target.set_tone(w.target.tone.tone.changed(brightness=-STEP)),
            "view.more_contrast": lambda w: w.target.set_tone(w.target.tone.tone.changed(contrast=STEP)),
            "view.less_contrast": lambda w: w.target.set_tone(w.target.tone.tone.changed(contrast=-STEP)),
            "view.invert": lambda w: w.target.set_tone(
                replace(w.target.tone.tone, invert=not w.target.tone.tone.invert)
            ),
            "view.plain": lambda w: w.target.set_tone(Tone()),
            "view.source": self.toggle_source,
            "view.link": self.toggle_link,
            "view.loupe": self.toggle_loupe,
            "view.heat": lambda w: w.show_heat_maps(self._window.registry["view.heat"].isChecked()),
        }
        for name in ("names", "skeleton", "masks", "boxes"):
            table[f"view.{name}"] = lambda w, n=name: self.toggle_layer(w, n)
        return table

    def toggle_layer(self, workspace: Workspace, name: str) -> None:
        """Switch a layer of the canvas."""
        canvas = workspace.target.canvas
        canvas.show_overlays(replace(canvas.overlays, **{name: self._window.registry[f"view.{name}"].isChecked()}))
        if name == "names":
            workspace.program.settings.change(show_names=canvas.overlays.names)

    def toggle_loupe(self, workspace: Workspace) -> None:
        """Loupe on or off."""
        workspace.target.canvas.loupe = self._window.registry["view.loupe"].isChecked()
        workspace.target.canvas.viewport().update()

    def toggle_source(self, workspace: Workspace) -> None:
        """Source exemplar on or off."""
        on = self._window.registry["view.source"].isChecked()
        workspace.target.set_source(on)
        workspace.program.settings.change(show_source=on)

    def fold_source(self, narrow: bool) -> None:
        """In a narrow window the source gives its place to the target (the switch brings it back)."""
        workspace = self._space
        if workspace is None:
            return
        wanted = workspace.program.settings.current.show_source and not narrow
        workspace.target.set_source(wanted)
        self._window.registry.set_checked("view.source", wanted)

    def toggle_link(self, workspace: Workspace) -> None:
        """Link zoom and pan of both views."""
        on = self._window.registry["view.link"].isChecked()
        workspace.target.linked = on
        workspace.program.settings.change(link_views=on)

    def toggle_panels(self) -> None:
        """All panels away, or back where they were."""
        if self._space is None:
            return
        if not self.panels_hidden:
            self._saved_state = self._window.saveState(2)
            self._window.docks.show_all(False)
        else:
            self._window.restoreState(self._saved_state, 2)
        self.panels_hidden = not self.panels_hidden
        self._window.registry.set_checked("view.panels", self.panels_hidden)

    def toggle_fullscreen(self) -> None:
        """Full screen or not."""
        window = self._window
        if window.isFullScreen():
            window.showNormal()
        else:
            window.showFullScreen()

    def focus_next_panel(self) -> None:
        """Move the keyboard: photos, canvas, keypoints, queue, search."""
        workspace = self._space
        if workspace is None:
            return
        stops = [
            workspace.images.view,
            workspace.target.canvas,
            workspace.instances.view,
            workspace.review.view,
            self._window.search,
        ]
        visible = [s for s in stops if s.isVisible()]
        here = next((i for i, s in enumerate(visible) if s.hasFocus()), -1)
        if visible:
            visible[(here + 1) % len(visible)].setFocus()
