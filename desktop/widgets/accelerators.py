"""Alt keys for menus and dialogs, chosen by the program: in every language each one is there and none is given twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QDialog,
    QFormLayout,
    QLabel,
    QLayout,
    QMenu,
    QMenuBar,
    QToolButton,
    QWidget,
)


def without_marker(text: str) -> str:
    """`text` without its accelerator; a doubled "&&" stays."""
    return text.replace("&&", "\0").replace("&", "").replace("\0", "&&")


def _places(text: str) -> list[int]:
    """Where a marker may stand, best first: beginnings of words, other letters, digits (they change with counts)."""
    letters = [i for i, letter in enumerate(text) if letter.isascii() and letter.isalnum()]
    starts = [i for i in letters if i == 0 or not text[i - 1].isalnum()]
    return sorted(starts + [i for i in letters if i not in starts], key=lambda i: text[i].isdigit())


def with_accelerators(texts: Sequence[str], *, taken: Iterable[str] = ()) -> list[str]:
    """`texts` with one "&" each before a letter that no other has (and that is not in `taken`, lower case).

    A text whose letters are all used stays without. Texts that come first choose first.
    """
    used = set(taken)
    marked = []
    for original in texts:
        text = without_marker(original)
        # What stands in brackets is a key already: "Confirm (Enter)".
        place = next((i for i in _places(text.split("(")[0]) if text[i].lower() not in used), None)
        if place is None:
            marked.append(text)
            continue
        used.add(text[place].lower())
        marked.append(f"{text[:place]}&{text[place:]}")
    return marked


def mark_menu(menu: QMenu) -> None:
    """Give every item of a menu its letter, whenever it opens (texts change: "Undo: Move a keypoint")."""

    def mark() -> None:
        actions = [a for a in menu.actions() if a.text() and not a.isSeparator()]
        for action, text in zip(actions, with_accelerators([a.text() for a in actions]), strict=True):
            if action.text() != text:
                action.setText(text)

    menu.aboutToShow.connect(mark)


def mark_menu_bar(bar: QMenuBar, *, taken: Iterable[str] = ()) -> None:
    """Give every menu its letter; `taken` are letters that Alt starts something else with."""
    titles: list[QAction] = bar.actions()
    for action, text in zip(titles, with_accelerators([a.text() for a in titles], taken=taken), strict=True):
        action.setText(text)
        menu = action.menu()
        if isinstance(menu, QMenu):
            mark_menu(menu)


def _markable(widget: QWidget) -> bool:
    if isinstance(widget, QLabel):
        return widget.buddy() is not None
    return isinstance(widget, QAbstractButton) and not isinstance(widget, QToolButton) and bool(widget.text())


def _first_field(layout: QLayout) -> QWidget | None:
    """The first widget of a row that the keyboard reaches."""
    for index in range(layout.count()):
        item = layout.itemAt(index)
        widget, inner = (item.widget(), item.layout()) if item is not None else (None, None)
        if widget is not None and widget.focusPolicy() != Qt.FocusPolicy.NoFocus:
            return widget
        if inner is not None and (found := _first_field(inner)) is not None:
            return found
    return None


def name_rows(form: QFormLayout) -> None:
    """Give the label of a row that holds several widgets its field (Qt does so only for single widgets)."""
    for row in range(form.rowCount()):
        label_item = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
        field_item = form.itemAt(row, QFormLayout.ItemRole.FieldRole)
        label = label_item.widget() if label_item is not None else None
        inner = field_item.layout() if field_item is not None else None
        if isinstance(label, QLabel) and label.buddy() is None and inner is not None:
            field = _first_field(inner)
            if field is not None:
                label.setBuddy(field)


CHOICE_LETTERS = 18
"""Width of a choice in a dialog before it grows with its row: its entries may be names of 300 letters."""


class DialogAccelerators(QObject):
    """GUI thread; owned by its dialog. Gives fields and buttons their letters when the dialog is shown.

    Choices are kept from widening the dialog to their longest entry on the way.
    """

    def __init__(self, dialog: QDialog) -> None:
        super().__init__(dialog)
        self._dialog = dialog
        dialog.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Polish:  # before the dialog takes its size
            self.narrow()
        elif event.type() == QEvent.Type.Show:
            self.mark()
        return super().eventFilter(watched, event)

    def narrow(self) -> None:
        """Keep choices from widening the dialog to their longest entry."""
        for choice in self._dialog.findChildren(QComboBox):
            choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            choice.setMinimumContentsLength(CHOICE_LETTERS)

    def mark(self) -> None:
        """Fields first, then buttons, each in the order they were made."""
        self.narrow()
        for form in self._dialog.findChildren(QFormLayout):
            name_rows(form)
        found: list[QLabel | QAbstractButton] = [
            w
            for w in self._dialog.findChildren(QWidget, options=Qt.FindChildOption.FindChildrenRecursively)
            if isinstance(w, QLabel | QAbstractButton) and _markable(w)
        ]
        found.sort(key=lambda w: not isinstance(w, QLabel))
        for widget, text in zip(found, with_accelerators([w.text() for w in found]), strict=True):
            if widget.text() != text:
                widget.setText(text)
