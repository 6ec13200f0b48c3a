"""Commands about the tools, the keypoint in focus, and the way from photo to photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtGui import QKeySequence

from kinmark.desktop.window.command_group import CommandGroup

if TYPE_CHECKING:
    from kinmark.desktop.window.dialog_commands import DialogCommands
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace

TOOLS = ("select", "keypoint", "box", "brush", "eraser", "polygon", "pan")


class ToolCommands(CommandGroup):
    """GUI thread; owned by the commands: tools in hand, keypoints in focus, going from photo to photo."""

    def __init__(self, window: Frame, dialogs: DialogCommands) -> None:
        super().__init__(window)
        self._dialogs = dialogs

    def table(self) -> dict[str, Callable[[Workspace], object]]:
        """What each action does with an open project."""
        table: dict[str, Callable[[Workspace], object]] = {
            "go.next_image": lambda w: w.step_image(1),
            "go.previous_image": lambda w: w.step_image(-1),
            "go.first_image": lambda w: w.go_to_end(False),
            "go.last_image": lambda w: w.go_to_end(True),
            "go.next_unseen": lambda w: w.next_unseen(),
            "go.next_review": lambda w: w.next_review(),
            "go.previous_review": lambda w: w.previous_review(),
            "go.next_point": lambda w: w.labelling.focus_step(1),
            "go.previous_point": lambda w: w.labelling.focus_step(-1),
            "go.next_instance": lambda w: w.labelling.select_step(1),
            "go.previous_instance": lambda w: w.labelling.select_step(-1),
            "go.source": lambda w: w.go_to_source(),
            "go.next_exemplar": lambda w: w.target.source.step(1),
            "tool.smaller": lambda w: w.target.resize_brush(0.8),
            "tool.larger": lambda w: w.target.resize_brush(1.25),
            "tool.new_instance": self.new_instance,
            "tool.template": self.drop_template,
            "tool.segment": lambda w: w.segment_selected(),
            "point.visibility": lambda w: w.editor.cycle_visibility(),
            "point.mirror": lambda w: w.editor.mirror(),
            "point.absent": lambda w: w.editor.mark_absent(),
            "point.rest_absent": lambda w: w.editor.mark_rest_absent(),
        }
        for n in range(1, 10):
            table[f"point.pick_{n}"] = lambda w, i=n - 1: self.pick(w, i)
        for n in range(1, 4):
            table[f"point.peak_{n}"] = lambda w, i=n - 1: w.reviewer.take_peak(i)
        return table

    def take_tool(self, name: str) -> None:
        """A person takes a tool: keypoints that have no names yet are named first."""
        self.use_tool(name)
        workspace = self._space
        if name != "keypoint" or workspace is None or workspace.session.read_only:
            return
        category = workspace.labelling.current_category
        if category is None or not category.definitions:
            self._dialogs.schema(workspace)

    def use_tool(self, name: str) -> None:
        """Take a tool in hand."""
        workspace = self._space
        if workspace is None:
            return
        self._window.show_page("label")
        workspace.target.use_tool(name)
        for tool in TOOLS:
            self._window.registry.set_checked(f"tool.{tool}", tool == name)

    def new_instance(self, workspace: Workspace) -> None:
        """Start another instance with the keypoint tool (or the box tool without keypoints)."""
        category = workspace.labelling.category
        workspace.labelling.start_new_instance()
        if workspace.target.tool_name == "select" and category is not None:
            self.use_tool("keypoint" if category.definitions else "box")
            workspace.labelling.start_new_instance()

    def drop_template(self, workspace: Workspace) -> None:
        """All keypoints at once, under the mouse or in the middle."""
        canvas = workspace.target.canvas
        position = canvas.viewport().mapFromGlobal(canvas.cursor().pos())
        if not canvas.viewport().rect().contains(position):
            position = canvas.viewport().rect().center()
        x, y = canvas.to_image(position.toPointF())
        workspace.editor.drop_template(x, y)
        self.use_tool("select")

    def pick(self, workspace: Workspace, index: int) -> None:
        """Focus the n-th keypoint."""
        category = workspace.labelling.current_category
        if category is not None and index < len(category.definitions):
            workspace.labelling.focus(index)

    def show_peak_keys(self) -> None:
        """Name the keys of the peaks on the canvas as they are now."""
        if self._space is not None:
            texts = [self._window.registry[f"point.peak_{n}"].shortcut() for n in (1, 2, 3)]
            native = QKeySequence.SequenceFormat.NativeText
            self._space.target.canvas.set_peak_keys(
                tuple(text.toString(native) or str(n) for n, text in enumerate(texts, start=1))
            )
