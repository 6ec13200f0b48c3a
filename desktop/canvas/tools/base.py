"""What every mouse tool offers to the canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter

if TYPE_CHECKING:
    from kinmark.desktop.canvas.surface import Surface


@dataclass(frozen=True)
class ToolEvent:
    """A mouse event in both frames: `xy_image` and `position` (viewport pixels)."""

    xy_image: tuple[float, float]
    position: QPointF
    button: Qt.MouseButton
    buttons: Qt.MouseButton
    modifiers: Qt.KeyboardModifier
    double: bool = False

    @staticmethod
    def of(event: QMouseEvent, xy_image: tuple[float, float], double: bool = False) -> ToolEvent:
        """A mouse event at `xy_image`."""
        return ToolEvent(xy_image, event.position(), event.button(), event.buttons(), event.modifiers(), double)

    def has(self, modifier: Qt.KeyboardModifier) -> bool:
        """Whether a modifier key is held."""
        return bool(self.modifiers & modifier)


class Tool:
    """Base of the tools: does nothing."""

    name = "none"
    cursor: Qt.CursorShape = Qt.CursorShape.ArrowCursor

    def __init__(self, view: Surface) -> None:
        self.view = view

    def activated(self) -> None:
        """Called when the tool becomes current."""

    def content_changed(self) -> None:
        """Called when the canvas shows other data."""

    def press(self, event: ToolEvent) -> None:
        """A button went down (or a double click)."""

    def move(self, event: ToolEvent) -> None:
        """The mouse moved, with or without a button."""

    def release(self, event: ToolEvent) -> None:
        """A button went up."""

    def left(self) -> None:
        """The mouse left the canvas."""

    def wants(self, event: QKeyEvent) -> bool:
        """Whether this key belongs to the unfinished gesture, before any shortcut."""
        return False

    def key(self, event: QKeyEvent) -> bool:
        """A key went down; True when the tool used it."""
        return False

    def paint(self, painter: QPainter) -> None:
        """Draw the unfinished gesture (viewport pixels)."""

    def cancel(self) -> None:
        """Drop the unfinished gesture."""

    def emit(self, intent: object) -> None:
        """Hand an intent to whoever listens to the canvas."""
        self.view.intent.emit(intent)
