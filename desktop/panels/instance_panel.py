"""The right panel's top: which instance, its category and identity, its keypoints with state and confidence."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPoint, QSize, Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QListView, QToolButton, QVBoxLayout, QWidget

from kinmark.desktop.panels.keypoint_delegate import KeypointDelegate
from kinmark.desktop.panels.keypoint_model import KeypointModel
from kinmark.desktop.session.labelling import NEW, Labelling
from kinmark.desktop.session.shown import instance_title
from kinmark.desktop.theme.icons import icon
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.later import Later
from kinmark.desktop.widgets.message_bar import plain_label, show_if

NARROWEST_CHOICE = 60
"""Pixels; in a very narrow window two letters must do."""


class InstancePanel(QWidget):
    """GUI thread; owned by the main window while a project is open.

    Signals:
        hovered(str, int): keypoint under the mouse in the list: instance key and index (-1: none).
        identity_named(str): the person named the selected instance's identity.
        menu_wanted(int, QPoint): the menu of the keypoint with this index is wanted at a global position.
    """

    hovered = Signal(str, int)
    identity_named = Signal(str)
    menu_wanted = Signal(int, QPoint)

    def __init__(self, labelling: Labelling, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._at = labelling
        self.chooser = Choice()
        self.chooser.setPlaceholderText(self.tr("none selected"))
        self.chooser.setAccessibleName(self.tr("Instance"))
        self.chooser.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.chooser.activated.connect(self._choose)
        self.category = Choice()
        self.category.setAccessibleName(self.tr("Category of new instances"))
        self.category.setToolTip(self.tr("Category of new instances"))
        self.category.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for choice in (self.chooser, self.category):
            choice.setMinimumWidth(NARROWEST_CHOICE)
        self.chooser.setMinimumWidth(NARROWEST_CHOICE + 40)
        self.category.activated.connect(self._choose_category)
        self.identity = QLineEdit()
        self.identity.setPlaceholderText(self.tr("Identity, if known"))
        self.identity.setAccessibleName(self.tr("Identity"))
        self.identity.setMaxLength(300)
        self.identity.returnPressed.connect(lambda: self.identity_named.emit(self.identity.text().strip()))
        self.model = KeypointModel(labelling, self)
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setItemDelegate(KeypointDelegate(self.view))
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setAccessibleName(self.tr("Keypoints"))
        self.view.clicked.connect(lambda index: labelling.focus(index.row()))
        self.view.activated.connect(lambda index: labelling.focus(index.row()))
        self.view.entered.connect(self._entered)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._ask_menu)
        self.hint = plain_label(name="dim")
        self.hint.setMargin(12)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.summary = plain_label(name="dim")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 4)
        layout.setSpacing(6)
        layout.addLayout(self._first_row())
        layout.addWidget(self.identity)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.hint, 1)
        layout.addWidget(self.summary)
        self._later = Later(self, self.refresh)
        labelling.selection_changed.connect(self._later.ask)
        labelling.content_changed.connect(self._later.ask)
        labelling.categories_changed.connect(self.refresh)
        self.refresh()

    def _first_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.chooser, 3)
        new = QToolButton()
        new.setIcon(icon("plus"))
        new.setIconSize(QSize(16, 16))
        new.setToolTip(self.tr("New instance (I)"))
        new.setAccessibleName(self.tr("New instance"))
        new.clicked.connect(self._at.start_new_instance)
        row.addWidget(new)
        row.addWidget(self.category, 2)  # beside the plus: it is the category of what comes, not of what is selected
        return row

    def refresh(self) -> None:
        """Show the selection."""
        at = self._at
        self.model.refresh()
        self._fill_choosers()
        selected = at.selected
        self.identity.setEnabled(selected is not None and selected.instance is not None)
        if not self.identity.hasFocus():
            self.identity.setText(selected.identity if selected is not None else "")
        hint = self._hint()
        self.hint.setText(hint)
        show_if(self.hint, bool(hint))
        show_if(self.view, bool(self.model.lines))
        if at.focused is not None:
            self.view.scrollTo(self.model.index(at.focused))
        self.summary.setText(self._summary())
        show_if(self.summary, bool(self.summary.text()))

    def _hint(self) -> str:
        at = self._at
        if not at.categories:
            return self.tr(
                "No category yet.\n\nPress Ctrl+K to choose a template (animal, person, hand ...) or to name keypoints."
            )
        if at.current_category is not None and not at.current_category.definitions:
            return self.tr(
                "This category has no keypoints.\n\nPress Ctrl+K to add some, or draw boxes (R) and masks (B)."
            )
        return ""

    def _summary(self) -> str:
        return "   ".join(text for text in (self._progress(), self._said(), self._tags()) if text)

    def _said(self) -> str:
        """Whether all of the category are labelled in the photo, where a person said so."""
        category = self._at.current_category
        said = self._at.exhaustive(category.id) if category is not None else None
        return "" if said is None else self.tr("all labelled") if said else self.tr("not all labelled")

    def _tags(self) -> str:
        selected = self._at.selected
        if selected is None or selected.instance is None:
            return ""
        return "  ".join(f"#{tag}" for tag in self._at.session.queries.tags_of_instance(selected.instance.id))

    def _progress(self) -> str:
        lines = self.model.lines
        if not lines or self._at.selected is None:
            return ""
        pending = sum(line.state.is_proposal for line in lines)
        done = sum(not line.state.is_proposal and line.state.value != "empty" for line in lines)
        return self.tr("{done} of {all} done, {pending} pending").format(done=done, all=len(lines), pending=pending)

    def _fill_choosers(self) -> None:
        at = self._at
        entries = [(s.key, instance_title(s) + ("" if s.sure is None else f"  {s.sure:.2f}")) for s in at.shown]
        if at.selected_key == NEW:
            entries.append((NEW, self.tr("new instance")))
        if not entries:
            entries = [("", self.tr("no instance"))]
        _fill(self.chooser, entries, at.selected_key if at.shown or at.selected_key == NEW else "")
        categories = [(str(c.id), c.name) for c in at.categories]
        _fill(self.category, categories, str(at.category.id) if at.category else None)
        self.category.setEnabled(bool(categories))

    def _choose(self, place: int) -> None:
        key = self.chooser.itemData(place)
        if key == NEW:
            self._at.start_new_instance()
        elif key:
            self._at.select(key)

    def _choose_category(self, place: int) -> None:
        data = self.category.itemData(place)
        if data:
            self._at.choose_category(int(data))

    def _ask_menu(self, place: QPoint) -> None:
        index = self.view.indexAt(place)
        row = index.row() if index.isValid() else self._at.focused
        if row is not None and row < len(self.model.lines):
            self._at.focus(row)
            self.menu_wanted.emit(row, self.view.viewport().mapToGlobal(place))

    def _entered(self, index: QModelIndex) -> None:
        selected = self._at.selected
        if selected is not None:
            self.hovered.emit(selected.key, index.row())


def _fill(box: QComboBox, entries: list[tuple[str, str]], current: str | None) -> None:
    """Replace the entries of a combo box only when they differ (keeps an open list open)."""
    if [(box.itemData(i), box.itemText(i)) for i in range(box.count())] != entries:
        box.clear()
        for key, text in entries:
            box.addItem(text, key)
    place = next((i for i, (key, _) in enumerate(entries) if key == current), -1)
    if place != box.currentIndex():
        box.setCurrentIndex(place)
