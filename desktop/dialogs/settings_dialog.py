"""Settings: searchable, applied at once, no OK button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.settings import Settings
from kinmark.desktop.widgets.fields import Choice, indented
from kinmark.desktop.widgets.message_bar import plain_label

if TYPE_CHECKING:
    from kinmark.desktop.settings import SettingsStore


class SettingsDialog(QDialog):
    """GUI thread. Not modal.

    Signals:
        shortcuts_wanted(): open the window where keys are changed.
    """

    shortcuts_wanted = Signal()

    def __init__(self, parent: QWidget, settings: SettingsStore) -> None:
        super().__init__(parent)
        self._store = settings
        self._rows: list[tuple[str, QWidget]] = []
        self._headings: list[tuple[QWidget, list[QWidget]]] = []
        self.setWindowTitle(self.tr("Settings"))
        self.resize(560, 620)
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search settings"))
        self.search.setAccessibleName(self.tr("Search settings"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self._column = QVBoxLayout()
        self._column.setContentsMargins(4, 4, 12, 4)
        self._column.setSpacing(6)
        self._build()
        self._column.addStretch(1)
        host = QWidget()
        host.setLayout(self._column)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(host)
        close = QPushButton(self.tr("Close"))
        close.clicked.connect(self.accept)
        keys = QPushButton(self.tr("Shortcuts..."))
        keys.setAutoDefault(False)
        keys.clicked.connect(lambda _: self.shortcuts_wanted.emit())
        buttons = QHBoxLayout()
        buttons.addWidget(plain_label(self.tr("Changes apply at once."), name="dim"), 1)
        buttons.addWidget(keys)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.addWidget(self.search)
        layout.addWidget(area, 1)
        layout.addLayout(buttons)

    def _build(self) -> None:
        s = self._store.current
        self._heading(self.tr("Look"))
        themes = {"system": self.tr("as the system"), "light": self.tr("light"), "dark": self.tr("dark")}
        self._choice("theme", self.tr("Theme"), themes, s.theme)
        languages = {"system": self.tr("as the system"), "en": "English", "de": "Deutsch"}
        self._choice("language", self.tr("Language (after a restart)"), languages, s.language)
        self._number("font_scale", self.tr("Font size"), s.font_scale, 0.8, 1.6, 0.05)
        self._number("point_px", self.tr("Size of keypoints on screen"), s.point_px, 5, 24, 1)
        self._heading(self.tr("Labelling"))
        self._switch("keep_zoom", self.tr("Keep the zoom between photos"), s.keep_zoom)
        self._switch("show_names", self.tr("Write the names of the selected instance"), s.show_names)
        self._switch(
            "auto_advance", self.tr("After the last keypoint go to the next photo of the queue"), s.auto_advance
        )
        self._switch("show_source", self.tr("Show the source exemplar"), s.show_source)
        self._heading(self.tr("Reviewing"))
        tip = self.tr("Sure: expected precision at least (accept all)")
        self._number("accept_precision", tip, s.accept_precision, 0.5, 0.99, 0.01)
        self._number("doubt_below", self.tr("Doubt: confidence below"), s.doubt_below, 0.0, 1.0, 0.05)
        orders = {
            "uncertain": self.tr("most uncertain first"),
            "informative": self.tr("most useful for the next proposals first"),
            "disagreement": self.tr("where the exemplars disagree first"),
            "sides": self.tr("sides maybe swapped first"),
            "sure": self.tr("surest first"),
            "name": self.tr("by name"),
        }
        self._choice("queue_strategy", self.tr("Review queue"), orders, s.queue_strategy)
        self._switch("live_improve", self.tr("Accepting improves what is pending on the next photos"), s.live_improve)
        self._switch("tell_apart", self.tr("Ask photos only about the categories that they may show"), s.tell_apart)
        self._switch("index_ahead", self.tr("Describe new photos of large collections for searching"), s.index_ahead)
        self._count("improve_ahead", self.tr("... on how many photos ahead"), s.improve_ahead, 0, 200)
        self._heading(self.tr("Engine (from the next start)"))
        devices = {"auto": self.tr("automatic"), "cuda": "CUDA", "mps": "MPS", "cpu": "CPU"}
        self._choice("device", self.tr("Device"), devices, s.device)
        dtypes = {"auto": self.tr("automatic"), "fp32": "fp32", "bf16": "bf16", "fp16": "fp16"}
        self._choice("dtype", self.tr("Number format"), dtypes, s.dtype)
        self._count("threads", self.tr("Processor threads (0 = all but one)"), s.threads, 0, 256)
        self._switch("compile", self.tr("Compile the model (minutes at first; needs a C++ compiler)"), s.compile)
        self._number("cache_gb", self.tr("Feature cache at most (GB)"), s.cache_gb, 0, 1000, 1)

    def _heading(self, text: str) -> None:
        label = plain_label(text, name="heading")
        self._column.addSpacing(6)
        self._column.addWidget(label)
        self._headings.append((label, []))

    def _row(self, text: str, editor: QWidget) -> None:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(plain_label(text), 1)
        editor.setAccessibleName(text)
        line.addWidget(editor)
        self._column.addWidget(row)
        self._rows.append((text.casefold(), row))
        self._headings[-1][1].append(row)

    def _choice(self, key: str, text: str, values: dict[str, str], current: str) -> None:
        box = Choice()
        for value, title in values.items():
            box.addItem(title, value)
        box.setCurrentIndex(max(0, box.findData(current)))
        box.setMinimumWidth(170)
        box.activated.connect(lambda _: self._store.change(**{key: box.currentData()}))
        self._row(text, box)

    def _switch(self, key: str, text: str, current: bool) -> None:
        box = QCheckBox()
        box.setChecked(current)
        box.toggled.connect(lambda on: self._store.change(**{key: on}))
        self._row(text, box)

    def _number(self, key: str, text: str, current: float, low: float, high: float, step: float) -> None:
        box = QDoubleSpinBox()
        box.setRange(low, high)
        box.setSingleStep(step)
        box.setDecimals(2 if step < 1 else 0)
        indented(box)
        box.setValue(current)
        box.setMinimumWidth(110)
        box.valueChanged.connect(lambda value: self._store.change(**{key: round(float(value), 4)}))
        self._row(text, box)

    def _count(self, key: str, text: str, current: int, low: int, high: int) -> None:
        box = QSpinBox()
        indented(box)
        box.setRange(low, high)
        box.setValue(current)
        box.setMinimumWidth(110)
        box.valueChanged.connect(lambda value: self._store.change(**{key: int(value)}))
        self._row(text, box)

    def _filter(self, text: str) -> None:
        wanted = text.casefold().strip()
        for words, row in self._rows:
            row.setVisible(wanted in words)
        for heading, rows in self._headings:
            heading.setVisible(any(not r.isHidden() for r in rows))

    def value_of(self, key: str) -> object:
        """A setting's value now."""
        return getattr(self._store.current, key, None)


def settings_names() -> list[str]:
    """All settings that exist."""
    return [name for name in Settings.__dataclass_fields__ if name != "recent"]
