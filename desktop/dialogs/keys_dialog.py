"""F1: the keys of the current view, in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from kinmark.desktop.actions.catalogue import ACTIONS
from kinmark.desktop.actions.registry import translated
from kinmark.desktop.actions.spec import MENUS
from kinmark.desktop.texts import marked
from kinmark.desktop.widgets.message_bar import plain_label

if TYPE_CHECKING:
    from kinmark.desktop.actions.registry import ActionRegistry

MOUSE = (
    (marked("KeysDialog", "Click"), marked("KeysDialog", "Focus a keypoint, select an instance")),
    (marked("KeysDialog", "Drag"), marked("KeysDialog", "Move a keypoint; on empty ground pan")),
    (marked("KeysDialog", "Right click"), marked("KeysDialog", "A menu; with the keypoint tool: visible / hidden")),
    (marked("KeysDialog", "Double click"), marked("KeysDialog", "Accept a proposal")),
    (marked("KeysDialog", "Wheel, Ctrl+wheel"), marked("KeysDialog", "Zoom at the cursor")),
    (marked("KeysDialog", "Shift+wheel"), marked("KeysDialog", "Sideways")),
    (marked("KeysDialog", "Middle drag, Space+drag"), marked("KeysDialog", "Pan")),
    (marked("KeysDialog", "Alt+drag"), marked("KeysDialog", "Move the whole instance")),
    (marked("KeysDialog", "Alt+wheel"), marked("KeysDialog", "Turn it; with Shift scale it")),
    (
        marked("KeysDialog", "Arrows"),
        marked("KeysDialog", "Move the focused keypoint by 1 px (Shift 10, Alt 0.1)"),
    ),
)

PAGE_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "start": (
        (marked("KeysDialog", "Tab"), marked("KeysDialog", "Go to the next project")),
        (marked("KeysDialog", "Enter"), marked("KeysDialog", "Open the project")),
        (marked("KeysDialog", "Delete"), marked("KeysDialog", "Take it off the list (nothing is deleted)")),
    ),
    "parts": (
        ("@review.accept", marked("KeysDialog", "Accept the chosen crops")),
        ("@review.reject", marked("KeysDialog", "Reject the chosen crops")),
        (marked("KeysDialog", "Arrows"), marked("KeysDialog", "Go to the next crop")),
        (marked("KeysDialog", "Shift or Ctrl+click"), marked("KeysDialog", "Choose several")),
        (marked("KeysDialog", "Alt+click"), marked("KeysDialog", "Put the keypoint here")),
        (marked("KeysDialog", "Double click, Space"), marked("KeysDialog", "Open the photo")),
    ),
    "identities": (
        ("@review.accept", marked("KeysDialog", "Confirm the chosen suggestions")),
        ("@edit.delete", marked("KeysDialog", "Deny the chosen suggestions")),
        ("S", marked("KeysDialog", "Open or close stacks of near-duplicates")),
        (marked("KeysDialog", "Arrows"), marked("KeysDialog", "Go to the next crop")),
        (marked("KeysDialog", "Shift or Ctrl+click"), marked("KeysDialog", "Choose several")),
        (marked("KeysDialog", "Double click, Space"), marked("KeysDialog", "Open the photo")),
    ),
}
"""Keys of the pages beside the canvas; "@" stands for the keys of an action, which a person may have changed."""


class KeysDialog(QDialog):
    """GUI thread. Not modal.

    Signals:
        change_wanted(): open the window where keys are changed.
    """

    change_wanted = Signal()

    def __init__(self, parent: QWidget, registry: ActionRegistry, page_name: str) -> None:
        super().__init__(parent)
        self._registry, self._page_name = registry, page_name
        self.setWindowTitle(self.tr("Keys"))
        self.resize(1040, 680)
        columns = QHBoxLayout()
        columns.setSpacing(28)
        stacks = [QVBoxLayout() for _ in range(3)]
        for stack in stacks:
            columns.addLayout(stack, 1)
        on_canvas = page_name == "label"
        groups: list[tuple[str, list[tuple[str, str]]]] = [(self.tr("This page"), self._page_rows())]
        for menu_id, title in MENUS:
            rows = []
            for spec in ACTIONS:
                keys = [k.toString(QKeySequence.SequenceFormat.NativeText) for k in registry[spec.id].shortcuts()]
                shown = spec.menu == menu_id and keys and (on_canvas or spec.scope == "window")
                if shown and not spec.id.startswith(("point.pick", "point.peak")):
                    rows.append((", ".join(keys), translated(spec.text).replace("...", "")))
            if menu_id == "point" and on_canvas:
                rows += [("1 - 9", self.tr("Focus the n-th keypoint")), ("Alt+1 - 3", self.tr("Take another peak"))]
            groups.append((translated(title), rows))
        if on_canvas:
            groups.append((self.tr("Mouse"), [(self.tr(a), self.tr(b)) for a, b in MOUSE]))
        lengths = [0, 0, 0]
        for title, rows in groups:
            if rows:
                shortest = lengths.index(min(lengths))
                lengths[shortest] += len(rows) + 3
                stacks[shortest].addLayout(self._group(title, rows))
        for stack in stacks:
            stack.addStretch(1)
        host = QWidget()
        host.setLayout(columns)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(host)
        change = QPushButton(self.tr("Change..."))
        change.clicked.connect(lambda _: self.change_wanted.emit())
        close = QPushButton(self.tr("Close"))
        close.setDefault(True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(change)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.addWidget(area, 1)
        layout.addLayout(buttons)

    def _page_rows(self) -> list[tuple[str, str]]:
        rows = []
        for keys, text in PAGE_KEYS.get(self._page_name, ()):
            shown = self.tr(keys)
            if keys.startswith("@"):
                native = QKeySequence.SequenceFormat.NativeText
                shown = ", ".join(k.toString(native) for k in self._registry[keys[1:]].shortcuts())
            rows.append((shown, self.tr(text)))
        return rows

    @staticmethod
    def _group(title: str, rows: list[tuple[str, str]]) -> QVBoxLayout:
        box = QVBoxLayout()
        box.setSpacing(4)
        box.addWidget(plain_label(title, name="heading"))
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        for place, (keys, text) in enumerate(rows):
            key = plain_label(keys)
            key.setMinimumWidth(key.fontMetrics().horizontalAdvance(keys) if "," not in keys else 96)
            key.setMinimumWidth(max(key.minimumWidth(), 96))
            grid.addWidget(key, place, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(plain_label(text, name="dim"), place, 1)
        box.addLayout(grid)
        box.addSpacing(10)
        return box
