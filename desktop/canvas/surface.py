"""What tools and the loupe may ask of the canvas they work on."""

from __future__ import annotations

from typing import Any, Protocol

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from kinmark.desktop.canvas.content import CanvasContent, Overlays
from kinmark.desktop.canvas.pyramid import ImagePyramid
from kinmark.engine.domain.geometry import FloatArray


class Surface(Protocol):
    """A canvas with a photo and its overlays; places are xy_image, positions viewport pixels.

    Attributes:
        content, overlays: what is shown, and which layers of it; intent, menu_wanted: signals for whoever listens.
    """

    content: CanvasContent
    overlays: Overlays
    intent: Any
    menu_wanted: Any

    @property
    def image_wh(self) -> tuple[int, int]:
        """Size of the shown photo, (0, 0) without one."""
        ...

    @property
    def pyramid(self) -> ImagePyramid | None:
        """The shown photo's levels."""
        ...

    @property
    def scale_factor(self) -> float:
        """Screen pixels per image pixel."""
        ...

    def matrix(self) -> FloatArray:
        """Affine `[2, 3]` from xy_image to viewport pixels."""
        ...

    def viewport(self) -> QWidget:
        """The widget that is drawn on."""
        ...

    def to_image(self, position: QPointF) -> tuple[float, float]:
        """The place of a viewport position."""
        ...

    def show_content(self, content: CanvasContent) -> None:
        """Replace the overlays' data (a preview of a gesture)."""
        ...

    def set_hovered(self, hovered: tuple[str, int] | None) -> None:
        """The keypoint under the mouse."""
        ...

    def start_pan(self, position: QPointF) -> None:
        """Begin dragging the photo."""
        ...

    def draw_photo(self, painter: QPainter, area: QRectF, scale: float) -> None:
        """Draw a part of the photo (scene coordinates) for `scale` screen pixels per image pixel."""
        ...
