"""The button above the canvas that adjusts how the photo is shown: brightness, contrast, invert, reset."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFormLayout, QMenu, QPushButton, QSlider, QToolButton, QWidget, QWidgetAction

from kinmark.desktop.canvas.tone import Tone
from kinmark.desktop.theme.icons import icon


class ToneButton(QToolButton):
    """GUI thread; owned by the target view. Shown as pressed while the photo is not shown as it is.

    Signals:
        changed(Tone): the person wants another tone.
    """

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tone = Tone()
        self.setIcon(icon("contrast"))
        self.setIconSize(QSize(16, 16))
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setAccessibleName(self.tr("Brightness and contrast"))
        self.setCheckable(True)
        self.brightness = self._slider(self.tr("Brightness"))
        self.contrast = self._slider(self.tr("Contrast"))
        self.invert = QCheckBox(self.tr("Invert"))
        self.reset = QPushButton(self.tr("As in the file"))
        panel = QWidget()
        form = QFormLayout(panel)
        form.addRow(self.tr("Brightness"), self.brightness)
        form.addRow(self.tr("Contrast"), self.contrast)
        form.addRow("", self.invert)
        form.addRow("", self.reset)
        menu = QMenu(self)
        action = QWidgetAction(menu)
        action.setDefaultWidget(panel)
        menu.addAction(action)
        self.setMenu(menu)
        self.brightness.valueChanged.connect(lambda v: self._wish(replace(self.tone, brightness=v / 100)))
        self.contrast.valueChanged.connect(lambda v: self._wish(replace(self.tone, contrast=v / 100)))
        self.invert.toggled.connect(lambda on: self._wish(replace(self.tone, invert=on)))
        self.reset.clicked.connect(lambda _: self._wish(Tone()))
        self.show_tone(Tone())

    def _slider(self, name: str) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(-100, 100)
        slider.setPageStep(10)
        slider.setMinimumWidth(160)
        slider.setAccessibleName(name)
        return slider

    def _wish(self, tone: Tone) -> None:
        if tone != self.tone:
            self.changed.emit(tone)

    def show_tone(self, tone: Tone) -> None:
        """The tone that is shown now."""
        self.tone = tone
        for widget, value in ((self.brightness, tone.brightness), (self.contrast, tone.contrast)):
            widget.blockSignals(True)
            widget.setValue(round(value * 100))
            widget.blockSignals(False)
        self.invert.blockSignals(True)
        self.invert.setChecked(tone.invert)
        self.invert.blockSignals(False)
        self.reset.setEnabled(not tone.plain)
        self.setChecked(not tone.plain)
        self.setToolTip(self._text(tone))

    def _text(self, tone: Tone) -> str:
        if tone.plain:
            return self.tr("Brightness and contrast of the view; the file is never changed")
        text = self.tr("Shown with brightness {b:+.0%}, contrast {c:+.0%}").format(b=tone.brightness, c=tone.contrast)
        return text + (self.tr(", inverted") if tone.invert else "")
