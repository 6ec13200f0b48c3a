"""Above the canvas while a mask tool is in hand: the size of the brush, and whether a polygon adds or takes away."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QWidget

SMALLEST_PX, LARGEST_PX = 1.5, 200.0
STEPS = 100
INDICATOR_PX = 40
"""The box of a check box with the room around it."""


class MaskBar(QWidget):
    """GUI thread; owned by the target view.

    Signals:
        size_wanted(float): another radius of the brush, in pixels of the screen.
        subtract_wanted(bool): polygons are to take away.
    """

    size_wanted = Signal(float)
    subtract_wanted = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setFixedWidth(96)
        self.slider.setAccessibleName(self.tr("Size of the brush"))
        self.slider.setToolTip(self.tr("Size of the brush ([ and ])"))
        self.slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.text = QLabel()
        self.text.setObjectName("dim")
        self.take_away = QCheckBox(self.tr("take away"))
        self.take_away.setToolTip(
            self.tr("The polygon is taken away from the mask (Ctrl does the same for one polygon)")
        )
        self.take_away.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for widget in (self.slider, self.text, self.take_away):
            row.addWidget(widget)
        self.slider.valueChanged.connect(lambda value: self.size_wanted.emit(_size(value)))
        self.take_away.toggled.connect(self.subtract_wanted)
        self.show_tool("select", LARGEST_PX)

    def show_tool(self, tool: str, radius_px: float) -> None:
        """Show what the tool in hand can be told."""
        brush = tool in ("brush", "eraser")
        self.slider.setVisible(brush)
        self.text.setVisible(brush)
        self.take_away.ensurePolished()  # its font is that of the style sheet only then
        # The header squeezes what may be smaller, and Qt's own least width leaves out the box of the style sheet.
        words = self.take_away.fontMetrics().horizontalAdvance(self.take_away.text())
        self.take_away.setMinimumWidth(words + INDICATOR_PX)
        self.take_away.setVisible(tool == "polygon")
        self.setVisible(brush or tool == "polygon")
        self.show_size(radius_px)

    def show_size(self, radius_px: float) -> None:
        """The brush as it is now."""
        self.slider.blockSignals(True)
        self.slider.setValue(round(STEPS * math.log(radius_px / SMALLEST_PX) / math.log(LARGEST_PX / SMALLEST_PX)))
        self.slider.blockSignals(False)
        self.text.setText(f"{round(2 * radius_px)} px")


def _size(value: int) -> float:
    """Even steps of the slider are even factors of the size."""
    return float(SMALLEST_PX * (LARGEST_PX / SMALLEST_PX) ** (value / STEPS))
