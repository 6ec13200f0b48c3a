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
from kinmark.desktop.io.pool import URGENT
from kinmark.desktop.session.templates import TEMPLATES, CategoryTemplate
from kinmark.desktop.widgets.dialog_layout import foot_of, lay_out, with_button
from kinmark.desktop.widgets.flow import FlowLayout
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.desktop.widgets.skeleton_picture import TemplateCard
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.imaging import is_image_path

if TYPE_CHECKING:
    from kinmark.desktop.io.pool import IoPool
    from kinmark.desktop.messages import Messages


def folder_name(name: str) -> str:
    """A project name as a folder name that every file system takes."""
    cleaned = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", name).strip(" .")
    return cleaned.encode("utf-8")[:180].decode("utf-8", "ignore") or "project"


def problem_of(photos: str, place: Path, folder: Path) -> str:
    """What the disk has against a project there: "photos", "place", "folder" or nothing (any thread)."""
    if photos and not Path(photos).exists():
        return "photos"
    if not place.is_dir():
        return "place"
    return "folder" if folder.exists() else ""


class NewProjectDialog(QDialog):
    """GUI thread. Not modal.

    Signals:
        created(Path, Path | None): the new project's folder and the folder of photos to add.
    """

    created = Signal(object, object)

    def __init__(self, parent: QWidget, messages: Messages, pool: IoPool, photos: Path | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("New project"))
        self.setAcceptDrops(True)
        self.resize(700, 640)
        self._messages, self._pool = messages, pool
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
            if photos and Path(photos).is_absolute():
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

    def _asked(self) -> tuple[str, Path, Path]:
        return self.photos.text().strip(), Path(self.place.text().strip()), self.folder

    def _check(self) -> None:
        """While somebody types: the disk is asked by the pool, which may take its time on a network drive."""
        asked = self._asked()

        def done(problem: str) -> None:
            if asked == self._asked():
                self._show_problem(problem)

        self._show_problem("" if self.name.text().strip() else "name")
        if self.name.text().strip():
            self._pool.submit("new project", lambda: problem_of(*asked), done, priority=URGENT)

    def _show_problem(self, problem: str) -> bool:
        texts = {
            "": str(self.folder),
            "name": self.tr("Give the project a name."),
            "photos": self.tr("That folder of photos is not there."),
            "place": self.tr("The place to save in is not there."),
            "folder": self.tr("A project of that name is there already."),
        }
        self.create_button.setEnabled(not problem)
        self.problem.setText(texts[problem])
        return bool(problem)

    def make(self) -> None:
        """Create the project and close."""
        from kinmark.projects.project import Project

        if self._show_problem(problem_of(*self._asked()) if self.name.text().strip() else "name"):
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
            self.photos.setText(str(path.parent if is_image_path(path) else path))
            event.acceptProposedAction()
