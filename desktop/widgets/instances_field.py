"""How many instances of a category a photo may hold: learned from the labels, one, or a number."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSpinBox, QWidget

from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.engine.api import MAX_INSTANCES
from kinmark.projects.several import AUTO, ONE

SEVERAL = "several"
FIRST_NUMBER = 5


class InstancesField(QWidget):
    """GUI thread; owned by a dialog.

    Signals:
        changed(str): "auto", "one" or a number, as the category keeps it.
    """

    changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = Choice()
        self.kind.setAccessibleName(self.tr("Instances in a photo"))
        self.kind.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.kind.addItem(self.tr("as the labels show"), AUTO)
        self.kind.addItem(self.tr("one"), ONE)
        self.kind.addItem(self.tr("several, at most"), SEVERAL)
        self.kind.setToolTip(
            self.tr(
                "As the labels show: one, until a photo holds two labelled instances; then all of them are proposed."
            )
        )
        self.number = QSpinBox()
        self.number.setAccessibleName(self.tr("At most so many in a photo"))
        self.number.setRange(2, MAX_INSTANCES)
        label = plain_label(self.tr("In a photo"))
        label.setWordWrap(False)
        label.setBuddy(self.kind)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(label)
        layout.addWidget(self.kind, 1)
        layout.addWidget(self.number)
        self.kind.activated.connect(self._chosen)
        self.number.valueChanged.connect(lambda value: self.changed.emit(str(value)))
        self.show_value(AUTO)

    def show_value(self, value: str) -> None:
        """What the category keeps; nothing is announced."""
        several = value not in (AUTO, ONE)
        self.number.blockSignals(True)
        self.number.setValue(int(value) if several else FIRST_NUMBER)
        self.number.blockSignals(False)
        self.kind.setCurrentIndex(self.kind.findData(SEVERAL if several else value))
        self.number.setVisible(several)

    def _chosen(self, place: int) -> None:
        kind = self.kind.itemData(place)
        self.number.setVisible(kind == SEVERAL)
        self.changed.emit(str(self.number.value()) if kind == SEVERAL else kind)
