"""Change shortcuts: a table, presets, clashes marked; kept and applied at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.actions.catalogue import ACTIONS, BY_ID
from kinmark.desktop.actions.keymap import Keys, clashes, preset_keys, presets, save_keys
from kinmark.desktop.actions.registry import translated
from kinmark.desktop.actions.spec import MENUS
from kinmark.desktop.theme.colours import warning_text
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.message_bar import plain_label

if TYPE_CHECKING:
    from kinmark.desktop.actions.registry import ActionRegistry

Index = QModelIndex | QPersistentModelIndex


class ShortcutModel(QAbstractTableModel):
    """GUI thread; owned by the dialog. Columns: menu, action, keys."""

    def __init__(self, keys: Keys, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.keys = dict(keys)
        self._menus = dict(MENUS)
        self._clashing: set[str] = set()
        self._find_clashes()

    def _find_clashes(self) -> None:
        self._clashing = {action for actions in clashes(self.keys).values() for action in actions}

    def set_keys(self, keys: Keys) -> None:
        """Show other keys."""
        self.beginResetModel()
        self.keys = dict(keys)
        self._find_clashes()
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(ACTIONS)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else 3

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal and 0 <= section < 3:
            return (self.tr("Menu"), self.tr("Action"), self.tr("Keys"))[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid() or not 0 <= index.row() < len(ACTIONS):
            return None
        spec = ACTIONS[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            native = QKeySequence.SequenceFormat.NativeText
            keys = ", ".join(QKeySequence(k).toString(native) for k in self.keys.get(spec.id, ()))
            mark = "  ⚠" if spec.id in self._clashing and index.column() == 2 else ""
            menu = translated(self._menus[spec.menu])
            return (menu, translated(spec.text).replace("...", ""), keys + mark)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return (
                self.tr("The same key starts another action too.")
                if spec.id in self._clashing
                else translated(spec.help)
            )
        if role == Qt.ItemDataRole.ForegroundRole and spec.id in self._clashing and index.column() == 2:
            return warning_text(QApplication.palette())
        return None


class ShortcutsDialog(QDialog):
    """GUI thread. Not modal."""

    def __init__(self, parent: QWidget, registry: ActionRegistry) -> None:
        super().__init__(parent)
        self._registry = registry
        self.setWindowTitle(self.tr("Shortcuts"))
        self.resize(780, 640)
        self.preset = Choice()
        self.preset.setAccessibleName(self.tr("Preset"))
        titles = {"kinmark": "Kinmark", "labelme": "labelme", "cvat": "CVAT", "sleap": "SLEAP"}
        for name in presets():
            self.preset.addItem(titles.get(name, name), name)
        self.preset.setCurrentIndex(max(0, self.preset.findData(registry.preset)))
        self.preset.activated.connect(lambda _: self.use_preset(self.preset.currentData()))
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search actions"))
        self.search.setAccessibleName(self.tr("Search actions"))
        self.model = ShortcutModel(registry.keys, self)
        self.proxy = QSortFilterProxyModel(self)
        self.proxy.setSourceModel(self.model)
        self.proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.proxy.setFilterKeyColumn(-1)
        self.search.textChanged.connect(self.proxy.setFilterFixedString)
        self.table = QTableView()
        self.table.setAccessibleName(self.tr("Shortcuts"))
        self.table.setModel(self.proxy)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        self.table.setShowGrid(False)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.table.setColumnWidth(0, 110)
        self.table.setColumnWidth(2, 210)
        self.table.selectionModel().currentChanged.connect(lambda *_: self._show_current())
        self.editor = QKeySequenceEdit()
        self.editor.setAccessibleName(self.tr("New key"))
        self.editor.setMinimumWidth(150)
        self.editor.setClearButtonEnabled(True)
        self.note = plain_label(name="dim")
        self._build()

    def _build(self) -> None:
        top = QHBoxLayout()
        label = plain_label(self.tr("Preset"))
        label.setBuddy(self.preset)
        top.addWidget(label)
        top.addWidget(self.preset)
        top.addWidget(self.search, 1)
        line = QHBoxLayout()
        line.addWidget(self.editor, 1)
        for text, work in (
            (self.tr("Use this key"), self.set_key),
            (self.tr("Add it"), self.add_key),
            (self.tr("No key"), self.clear_key),
            (self.tr("Reset"), self.reset_key),
        ):
            button = QPushButton(text)
            button.setAutoDefault(False)
            button.clicked.connect(lambda _=False, w=work: w())
            line.addWidget(button)
        close = QPushButton(self.tr("Close"))
        close.setAutoDefault(False)
        close.clicked.connect(self.accept)
        bottom = QHBoxLayout()
        bottom.addWidget(self.note, 1)
        bottom.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.addLayout(top)
        layout.addWidget(self.table, 1)
        layout.addLayout(line)
        layout.addLayout(bottom)
        self._apply()

    @property
    def current(self) -> str | None:
        """Id of the chosen action."""
        index = self.proxy.mapToSource(self.table.currentIndex())
        return ACTIONS[index.row()].id if index.isValid() else None

    def choose(self, action_id: str) -> None:
        """Select an action's line."""
        row = next(i for i, spec in enumerate(ACTIONS) if spec.id == action_id)
        self.table.setCurrentIndex(self.proxy.mapFromSource(self.model.index(row, 2)))

    def _show_current(self) -> None:
        action = self.current
        keys = self.model.keys.get(action, ()) if action else ()
        self.editor.setKeySequence(QKeySequence(keys[0]) if keys else QKeySequence())

    def _sequence(self) -> str:
        return self.editor.keySequence().toString(QKeySequence.SequenceFormat.PortableText)

    def set_key(self) -> None:
        """The chosen action has this key only."""
        if self.current:
            self._change(self.current, (self._sequence(),) if self._sequence() else ())

    def add_key(self) -> None:
        """The chosen action has this key too."""
        action = self.current
        if action and self._sequence():
            self._change(action, tuple(dict.fromkeys((*self.model.keys.get(action, ()), self._sequence()))))

    def clear_key(self) -> None:
        """The chosen action has no key."""
        if self.current:
            self._change(self.current, ())

    def reset_key(self) -> None:
        """The preset's keys for the chosen action."""
        if self.current:
            self._change(self.current, preset_keys(self.preset.currentData()).get(self.current, ()))

    def use_preset(self, name: str) -> None:
        """All keys of a preset."""
        self.model.set_keys(preset_keys(name))
        self._registry.preset = name
        self._apply()

    def _change(self, action: str, keys: tuple[str, ...]) -> None:
        row = self.table.currentIndex().row()
        self.model.set_keys({**self.model.keys, action: keys})
        self.table.selectRow(row)
        self._apply()

    def _apply(self) -> None:
        found = clashes(self.model.keys)
        if found:
            key, actions = next(iter(found.items()))
            names = ", ".join(translated(BY_ID[a].text).replace("...", "") for a in actions)
            key = QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
            self.note.setText(self.tr("{key} starts more than one action: {names}").format(key=key, names=names))
        else:
            self.note.setText(self.tr("No clash."))
        if self.model.keys != self._registry.keys or self._registry.preset != self.preset.currentData():
            self._registry.apply_keys(self.model.keys)
            save_keys(self.preset.currentData(), self.model.keys)
