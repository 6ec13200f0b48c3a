"""Find this instance, or without one a kind of thing by its word; the rest happens in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDialog, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.engine.domain.geometry import expand_box
from kinmark.projects.store.queries.images import ImageFilter

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace

CROP = 150


class FindDialog(QDialog):
    """GUI thread. Not modal.

    Signals:
        searching(str): an individual is searched; its name.
    """

    searching = Signal(str)

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        self._space = workspace
        self.setWindowTitle(self.tr("Find this instance"))
        self.setMinimumWidth(480)
        self.crop = QLabel()
        self.crop.setFixedSize(CROP, CROP)
        self.crop.hide()
        self._by_word = False
        self.name = QLineEdit()
        self.name.setMaxLength(300)
        self.name.setPlaceholderText(self.tr("Who or what is it? For example Pip"))
        self.where = Choice()
        self.problem = plain_label(name="dim")
        self.start_button = QPushButton(self.tr("Find"))
        self.start_button.setDefault(True)
        self.start_button.clicked.connect(lambda _: self.start())
        cancel = QPushButton(self.tr("Cancel"))
        cancel.clicked.connect(self.reject)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.name_label = QLabel()
        self.name_label.setBuddy(self.name)
        form.addRow(self.name_label, self.name)
        form.addRow(self.tr("Search in"), self.where)
        row = QHBoxLayout()
        row.addWidget(self.crop)
        side = QVBoxLayout()
        side.addLayout(form)
        side.addWidget(self.problem)
        side.addStretch(1)
        row.addLayout(side, 1)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self.start_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.addLayout(row)
        layout.addLayout(buttons)
        self._fill()
        workspace.labelling.selection_changed.connect(self._fill)

    def _fill(self) -> None:
        space = self._space
        selected, image = space.labelling.selected, space.labelling.image
        usable = selected is not None and selected.instance is not None and selected.extent is not None
        self._by_word = not usable
        self.name_label.setText(self.tr("Identity") if usable else self.tr("Kind of thing"))
        self.name.setPlaceholderText(
            self.tr("Who or what is it? For example Pip") if usable else self.tr("A word, for example dog")
        )
        self.problem.setText(
            self.tr("It becomes the first confirmed one. Suggestions come to the identity page as they are found.")
            if usable
            else self.tr(
                "Nothing is selected: the word alone is searched, which mixes kinds up. To find one individual, draw a box "
                "around it on a photo first (R), or select an accepted instance."
            )
        )
        if selected is not None and selected.identity and not self.name.text():
            self.name.setText(selected.identity)
        if usable and image is not None and selected is not None and selected.extent is not None:
            self.crop.show()
            box = expand_box(selected.extent, margin=0.08, square=True)
            pixmap = space.program.thumbnails.crop(image.path, box, CROP, self._fill)
            if pixmap is not None:
                self.crop.setPixmap(pixmap)
        if self.where.count() == 0:
            self.where.addItem(self.tr("all photos"), None)
            self.where.addItem(self.tr("the photos of the list ({n})").format(n=len(space.images.model.ids)), "list")
            for tag in space.session.queries.tags():
                self.where.addItem(self.tr("tag: {name}").format(name=tag), f"tag:{tag}")
            for root_id, folder in space.session.queries.roots().items():
                self.where.addItem(self.tr("folder: {name}").format(name=folder.name), f"root:{root_id}")

    def _image_ids(self) -> list[int] | None:
        choice = self.where.currentData()
        queries = self._space.session.queries
        if choice is None:
            return None
        if choice == "list":
            return list(self._space.images.model.ids)
        kind, _, value = choice.partition(":")
        filter_ = ImageFilter(tag=value) if kind == "tag" else ImageFilter(root_id=int(value))
        return list(queries.image_ids(filter_))

    def start(self) -> None:
        """Name the instance and search."""
        name = self.name.text().strip()
        if not name:
            self.problem.setText(self.tr("Give it a name first."))
            self.name.setFocus()
            return
        if self._by_word:
            self._space.jobs.find_kind(name, self._image_ids())
            self._space.jobs.learn_device()
            self.accept()
            return
        self._space.name_identity(name)
        self._space.jobs.find_identity(name, self._image_ids())
        self._space.jobs.learn_device()
        self.accept()
        self.searching.emit(name)
