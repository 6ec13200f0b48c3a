"""New project: photos, name, place, category template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.error_texts import text_of
from kinmark.desktop.session.templates import TEMPLATES, CategoryTemplate
from kinmark.desktop.widgets.dialog_layout import foot_of, lay_out, with_button
from kinmark.desktop.widgets.flow import FlowLayout
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.desktop.widgets.skeleton_picture import TemplateCard
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.keypoints import KeypointSchema

if TYPE_CHECKING:
    from kinmark.desktop.messages import Messages


def folder_name(name: str) -> str:
    """A project name as a folder name that every file system takes."""
    cleaned = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", name).strip(" .")
    return cleaned.encode("utf-8")[:180].decode("utf-8", "ignore") or "project"


class NewProjectDialog(QDialog):
    """GUI thread. Not modal.

    Signals:
        created(Path, Path | None): the new project's folder and the folder of photos to add.
    """

    created = Signal(object, object)

    def __init__(self, parent: QWidget, messages: Messages, photos: Path | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("New project"))
        self.setAcceptDrops(True)
        self.resize(700, 640)
        self._messages = messages
        self._template: CategoryTemplate = TEMPLATES[0]
        self._named = False
        self.photos = QLineEdit(str(photos) if photos else "")
        self.photos.setPlaceholderText(self.tr("Drop a folder here, or choose one (may be added later)"))
        self.name = QLineEdit()
        self.name.setMaxLength(200)
        self.name.textEdited.connect(self._name_edited)
        self.place = QLineEdit(str(Path.home()))
        self.category = QLineEdit(self._template.category)
        self.category.setMaxLength(300)
        self.problem = plain_label(name="dim")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow(self.tr("Photos"), with_button(self.photos, self.tr("Choose..."), self._choose_photos))
        form.addRow(self.tr("Name"), self.name)
        form.addRow(self.tr("Save in"), with_button(self.place, self.tr("Choose..."), self._choose_place))
        form.addRow(self.tr("Category"), self.category)
        cards = QWidget()
        flow = FlowLayout(cards, 10)
        self.cards = [TemplateCard(t) for t in TEMPLATES]
        for card in self.cards:
            card.chosen.connect(self.choose_template)
            flow.addWidget(card)
        self.create_button = QPushButton(self.tr("Create project"))
        self.create_button.setDefault(True)
        self.create_button.clicked.connect(lambda _: self.make())
        cancel = QPushButton(self.tr("Cancel"))
        cancel.clicked.connect(self.reject)
        whole = QVBoxLayout()
        whole.setSpacing(12)
        whole.addLayout(form)
        whole.addWidget(plain_label(self.tr("Keypoints of the category (all of it can be changed later)"), name="dim"))
        whole.addWidget(cards, 1)
        lay_out(self, whole, foot_of(self.problem, cancel, self.create_button))
        self.photos.textChanged.connect(lambda _: self._suggest_name())
        for field in (self.name, self.place, self.photos):
            field.textChanged.connect(lambda _: self._check())
        self.choose_template(self._template.id)
        self._suggest_name()
        self._check()

    def _choose_photos(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Folder of photos"), self.photos.text())
        if folder:
            self.photos.setText(folder)

    def _choose_place(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Where the project is kept"), self.place.text())
        if folder:
            self.place.setText(folder)

    def _name_edited(self, _text: str) -> None:
        self._named = True

    def _suggest_name(self) -> None:
        if not self._named:
            photos = self.photos.text().strip()
            self.name.setText(Path(photos).name if photos else self.tr("My photos"))
            if photos and Path(photos).parent.is_dir():
                self.place.setText(str(Path(photos).parent))

    def choose_template(self, template_id: str) -> None:
        """Use the keypoints of a template."""
        before = self._template.category
        self._template = next(t for t in TEMPLATES if t.id == template_id)
        if self.category.text().strip() in ("", before):
            self.category.setText(self._template.category)
        for card in self.cards:
            card.set_selected(card.template.id == template_id)

    @property
    def folder(self) -> Path:
        """Where the project would be made."""
        return Path(self.place.text().strip()) / f"{folder_name(self.name.text().strip())}.kinmark"

    def _problem(self) -> str:
        photos = self.photos.text().strip()
        if not self.name.text().strip():
            return self.tr("Give the project a name.")
        if photos and not Path(photos).exists():
            return self.tr("That folder of photos is not there.")
        if not Path(self.place.text().strip()).is_dir():
            return self.tr("The place to save in is not there.")
        if self.folder.exists():
            return self.tr("A project of that name is there already.")
        return ""

    def _check(self) -> None:
        problem = self._problem()
        self.create_button.setEnabled(not problem)
        self.problem.setText(problem or str(self.folder))

    def make(self) -> None:
        """Create the project and close."""
        from kinmark.projects.project import Project

        if self._problem():
            self._check()
            return
        folder = self.folder
        category = self.category.text().strip() or self._template.category
        schema: KeypointSchema = self._template.schema
        try:
            with Project.create(folder, name=self.name.text().strip()) as project:
                project.operations.add_category(category, schema)
        except AppError as error:
            self.problem.setText(text_of(error))
            self._messages.error(error)
            return
        photos = self.photos.text().strip()
        self.accept()
        self.created.emit(folder, Path(photos) if photos else None)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = next((Path(u.toLocalFile()) for u in event.mimeData().urls() if u.isLocalFile()), None)
        if path is not None:
            self.photos.setText(str(path if path.is_dir() else path.parent))
            event.acceptProposedAction()
