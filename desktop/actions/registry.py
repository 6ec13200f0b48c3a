"""QActions from the catalogue: made once per window, shared by menus, tool bar and shortcuts."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QLineEdit, QPlainTextEdit, QTextEdit, QWidget

from kinmark.desktop.actions.catalogue import ACTIONS, CONTEXT, ActionSpec
from kinmark.desktop.actions.keymap import DEFAULT_PRESET, Keys
from kinmark.desktop.theme.icons import icon


def translated(text: str) -> str:
    """A catalogue text in the person's language."""
    return QCoreApplication.translate(CONTEXT, text)


def is_text_input(widget: QWidget | None) -> bool:
    """Whether single letters typed now belong to `widget`."""
    if isinstance(widget, QPlainTextEdit | QTextEdit):
        return not widget.isReadOnly()
    return isinstance(widget, QLineEdit | QAbstractSpinBox)


EVERY_PAGE = frozenset({"review.accept", "review.reject", "edit.delete"})
"""Canvas actions that other pages answer for their own cards."""


class ActionRegistry:
    """GUI thread; owned by the main window. `actions` maps catalogue ids to QActions; `preset`: where the keys come from."""

    def __init__(self, window: QWidget, keys: Keys, preset: str = DEFAULT_PRESET) -> None:
        self.preset = preset
        self.actions: dict[str, QAction] = {}
        self._specs = {spec.id: spec for spec in ACTIONS}
        self._typing = False
        self._on_canvas = True
        self._allowed: dict[str, bool] = {}
        for spec in ACTIONS:
            action = QAction(translated(spec.text), window)
            action.setObjectName(spec.id)
            action.setCheckable(spec.checkable)
            if spec.icon:
                action.setIcon(icon(spec.icon))
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            window.addAction(action)
            self.actions[spec.id] = action
        self.apply_keys(keys)
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.focusChanged.connect(self._focus_changed)

    def close(self) -> None:
        """Listen to the program's focus no more (the window goes)."""
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.disconnect(self._focus_changed)

    def __getitem__(self, action_id: str) -> QAction:
        return self.actions[action_id]

    def apply_keys(self, keys: Keys) -> None:
        """Use these shortcuts from now on."""
        self.keys = keys
        for action_id, action in self.actions.items():
            spec = self._specs[action_id]
            sequences = [QKeySequence(k) for k in keys.get(action_id, ())]
            action.setShortcuts(sequences)
            # The press of a held key comes as a shortcut once; its release reaches the window as an ordinary key event.
            action.setAutoRepeat(not spec.hold)
            action.setToolTip(self.tooltip(spec))
            action.setStatusTip(translated(spec.help))

    def tooltip(self, spec: ActionSpec) -> str:
        """Text, keys and help as plain text."""
        keys = ", ".join(
            QKeySequence(k).toString(QKeySequence.SequenceFormat.NativeText) for k in self.keys.get(spec.id, ())
        )
        title = translated(spec.text).replace("...", "").replace("&", "")
        head = f"{title} ({keys})" if keys else title
        return f"{head}\n{translated(spec.help)}" if spec.help else head

    def bind_to(self, widget: QWidget, *action_ids: str) -> None:
        """These keys work only while `widget` has the focus (Tab must still walk the panels elsewhere)."""
        for action_id in action_ids:
            action = self.actions[action_id]
            parent = action.parent()
            if isinstance(parent, QWidget):
                parent.removeAction(action)
            action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
            widget.addAction(action)

    def connect(self, action_id: str, slot: Callable[[], object]) -> None:
        """Run `slot()` when the action is triggered."""
        self.actions[action_id].triggered.connect(lambda *_: slot())

    def set_enabled(self, action_id: str, enabled: bool) -> None:
        """Allow or forbid an action (text fields may switch it off on top)."""
        self._allowed[action_id] = enabled
        self._refresh(action_id)

    def set_checked(self, action_id: str, checked: bool) -> None:
        """Show a switch's state without running it."""
        action = self.actions[action_id]
        action.blockSignals(True)
        action.setChecked(checked)
        action.blockSignals(False)

    def set_on_canvas(self, on: bool) -> None:
        """Whether the canvas is the page in front: elsewhere its keys must not change what is not seen."""
        if on != self._on_canvas:
            self._on_canvas = on
            for action_id in self.actions:
                self._refresh(action_id)

    def _refresh(self, action_id: str) -> None:
        allowed = self._allowed.get(action_id, True)
        if self._specs[action_id].scope == "canvas":
            allowed = allowed and not self._typing and (self._on_canvas or action_id in EVERY_PAGE)
        self.actions[action_id].setEnabled(allowed)

    def _focus_changed(self, _old: QWidget | None, new: QWidget | None) -> None:
        typing = is_text_input(new)
        if typing != self._typing:
            self._typing = typing
            for action_id in self.actions:
                self._refresh(action_id)
