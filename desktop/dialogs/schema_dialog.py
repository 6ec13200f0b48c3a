"""Categories and keypoints: names left, skeleton right, pairs suggested from names; also after labels exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QColor, QPixmap
from PySide6.QtWidgets import (
    QColorDialog,
    QDialog,
    QHBoxLayout,
    QInputDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.error_texts import text_of
from kinmark.desktop.io.photos import Photo
from kinmark.desktop.session.schema_picture import schema_picture
from kinmark.desktop.session.template import layout_key
from kinmark.desktop.session.templates import TEMPLATES
from kinmark.desktop.widgets.buttons import is_sure, tool_button
from kinmark.desktop.widgets.dialog_layout import foot_of, lay_out
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.instances_field import InstancesField
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.desktop.widgets.skeleton_editor import SkeletonEditor
from kinmark.desktop.widgets.twin_delegate import TWIN, TwinDelegate
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.schema_draft import SchemaDraft, listed_names
from kinmark.projects.store.rows import CategoryRow, ImageRow

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace
    from kinmark.engine.domain.geometry import Box


MOST_PASTED = 20_000
"""Letters of a pasted list of names."""


class SchemaDialog(QDialog):
    """GUI thread. Not modal. Saving makes one undoable operation; closing saves, only "Discard" throws edits away."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        self._space = workspace
        self.setWindowTitle(self.tr("Categories and keypoints"))
        self.resize(860, 580)
        self.draft = SchemaDraft()
        self._places: dict[str, tuple[float, float]] = {}
        self._fixed: set[str] = set()
        self._loaded: CategoryRow | None = None
        self._moved = False
        self._left_alone = False
        self.category = Choice()
        self.category.setAccessibleName(self.tr("Category"))
        self.category.activated.connect(lambda _: self._choose_category())
        self.names = QListWidget()
        self.names.setAccessibleName(self.tr("Keypoints"))
        self.names.setItemDelegate(TwinDelegate(self.names))
        self.names.itemChanged.connect(self._renamed)
        self.names.currentRowChanged.connect(self._row_changed)
        self.new_name = QLineEdit()
        self.new_name.setPlaceholderText(self.tr("New keypoint, for example left_ear, or a list of names"))
        self.new_name.setMaxLength(MOST_PASTED)
        self.new_name.setAccessibleName(self.tr("New keypoint"))
        self.new_name.returnPressed.connect(self.add_keypoint)
        self.pair = Choice()
        self.pair.setAccessibleName(self.tr("Other side"))
        self.pair.activated.connect(self._pair_chosen)
        self.instances = InstancesField()
        self.instances.changed.connect(self._set_instances)
        self.editor = SkeletonEditor()
        self.editor.edge_toggled.connect(self._edge_toggled)
        self.editor.point_chosen.connect(self._point_chosen)
        self.editor.point_moved.connect(self._point_moved)
        self.note = plain_label(name="dim")
        self.save = QPushButton(self.tr("Save"))
        self.save.setAutoDefault(False)
        self.save.clicked.connect(lambda _: self.apply())
        self.discard = QPushButton(self.tr("Discard changes"))
        self.discard.setAutoDefault(False)
        self.discard.clicked.connect(lambda _: self._load())
        self._build()
        workspace.labelling.categories_changed.connect(self._fill)
        self._fill()
        self.new_name.setFocus()

    def _build(self) -> None:
        hint = self.tr("Click two keypoints to join them; the same again parts them. Drag to arrange them.")
        right = QVBoxLayout()
        right.addWidget(plain_label(hint, name="dim"))
        right.addWidget(self.editor, 1)
        middle = QHBoxLayout()
        middle.setSpacing(14)
        middle.addLayout(self._left(), 2)
        middle.addLayout(right, 3)
        close = QPushButton(self.tr("Close"))
        close.setAutoDefault(False)
        close.clicked.connect(self.reject)
        lay_out(self, middle, foot_of(self.note, self.discard, close, self.save))

    def _left(self) -> QVBoxLayout:
        """The category, its keypoints, and what is done with them."""
        top = QHBoxLayout()
        top.addWidget(self.category, 1)
        add = tool_button("plus", self.tr("New category"), lambda: None)
        add.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(add)
        for template in TEMPLATES:
            menu.addAction(
                QCoreApplication.translate("Templates", template.title),
                lambda t=template: self.add_category(t.category, t.schema),
            )
        add.setMenu(menu)
        top.addWidget(add)
        top.addWidget(tool_button("pencil", self.tr("Rename the category"), self.rename_category))
        top.addWidget(tool_button("trash", self.tr("Remove the category with its labels"), self.remove_category))
        tools = QHBoxLayout()
        tools.addWidget(tool_button("up", self.tr("Move up"), lambda: self._move(-1)))
        tools.addWidget(tool_button("down", self.tr("Move down"), lambda: self._move(1)))
        tools.addWidget(tool_button("palette", self.tr("Colour"), self._colour))
        tools.addWidget(tool_button("archive", self.tr("Retire: ask for it no more, keep its labels"), self.retire))
        tools.addStretch(1)
        pairs = QHBoxLayout()
        side = plain_label(self.tr("Other side"))
        side.setWordWrap(False)
        side.setBuddy(self.pair)
        pairs.addWidget(side)
        pairs.addWidget(self.pair, 1)
        suggest = QPushButton(self.tr("Suggest pairs"))
        suggest.setAutoDefault(False)
        suggest.clicked.connect(lambda _: self.suggest_pairs())
        pairs.addWidget(suggest)
        left = QVBoxLayout()
        left.addLayout(top)
        left.addWidget(self.names, 1)
        left.addWidget(self.new_name)
        left.addLayout(tools)
        left.addLayout(pairs)
        left.addWidget(self.instances)
        return left

    # -- categories ------------------------------------------------------------------------------------------------

    @property
    def row(self) -> CategoryRow | None:
        """The category being edited."""
        id_ = self.category.currentData()
        return next((c for c in self._space.labelling.categories if c.id == id_), None)

    def _fill(self) -> None:
        at = self._space.labelling
        mine = self._loaded
        if (
            self.edited
            and mine is not None
            and any(
                (c.id, c.definitions, c.edge_ids, c.pair_ids)
                == (mine.id, mine.definitions, mine.edge_ids, mine.pair_ids)
                for c in at.categories
            )
        ):
            self._fill_names(mine.id)  # something else changed: what is edited here stays
            return
        kept = self.category.currentData() or (at.category.id if at.category else None)
        self._fill_names(kept)
        self._load()

    def _fill_names(self, current: int | None) -> None:
        categories = self._space.labelling.categories
        self.category.clear()
        for category in categories:
            self.category.addItem(category.name, category.id)
        self.category.setCurrentIndex(max(self.category.findData(current), 0) if categories else -1)

    def _choose_category(self) -> None:
        """Another category: what was edited of the one before is saved first; when it cannot be, that one stays."""
        wanted, before = self.category.currentData(), self._loaded
        if before is not None and wanted != before.id and self.edited:
            self.category.setCurrentIndex(self.category.findData(before.id))
            if not self.apply():
                return
            self.category.setCurrentIndex(self.category.findData(wanted))
        self._load()

    @property
    def edited(self) -> bool:
        """Whether something here is not saved yet."""
        return self.save.isEnabled()

    def _set_edited(self, on: bool) -> None:
        self.save.setEnabled(on)
        self.discard.setEnabled(on)

    def reject(self) -> None:
        """Close, Esc, the window's cross: saves what was edited; stays open when it does not fit together."""
        if self.row is not None and not self._space.session.read_only:
            self.add_keypoint()  # a name still in the field
            if self.edited and not self.apply() and not self._left_alone:
                return
        super().reject()

    def leave(self) -> None:
        """The project closes: save what can be saved, and go."""
        self._left_alone = True
        self.reject()

    def _load(self) -> None:
        row = self._loaded = self.row
        self.draft = SchemaDraft.of(row) if row is not None else SchemaDraft()
        self._set_edited(False)
        retired = ", ".join(d.name for d in row.retired) if row is not None else ""
        text = self.tr("Retired: {names} (add the name again to bring it back)")
        self.note.setText(text.format(names=retired) if retired else "")
        self.instances.show_value(row.instances if row is not None else "auto")
        if row is None:
            self.note.setText(self.tr("No category yet: the plus makes one, from a template or empty."))
        for widget in (self.names, self.new_name, self.pair, self.editor, self.instances):
            widget.setEnabled(row is not None)
        self._show(0)
        self._load_picture(row)

    def add_category(self, name: str, schema: KeypointSchema) -> None:
        """A new category; its name is made unique."""
        taken = {c.name for c in self._space.labelling.categories}
        candidate, number = name, 2
        while candidate in taken:
            candidate, number = f"{name} {number}", number + 1
        changes = self._space.session.write(lambda do: do.add_category(candidate, schema), self)
        if changes is not None and changes.ids:
            self.category.setCurrentIndex(self.category.findData(changes.ids[0]))
            self._space.labelling.choose_category(changes.ids[0])
            self._load()

    def _set_instances(self, value: str) -> None:
        """How many a photo may hold; at once, and one undo step."""
        row = self.row
        if row is not None:
            self._space.session.write(lambda do: do.set_instances(row.id, value), self)

    def rename_category(self) -> None:
        """Ask for another name."""
        row = self.row
        if row is None:
            return
        name, ok = QInputDialog.getText(self, self.tr("Rename"), self.tr("Name of the category"), text=row.name)
        if ok and name.strip() and name.strip() != row.name:
            self._space.session.write(lambda do: do.rename_category(row.id, name.strip()), self)

    def remove_category(self) -> None:
        """Remove the category and its labels; the question names the number, one undo brings them back."""
        row = self.row
        if row is None:
            return
        count = self._space.session.queries.instance_counts().get(row.id, 0)
        title = self.tr("Remove the category")
        text = self.tr("Remove {name} with %n labelled instances? One Undo brings them back.", "", count)
        if count == 0 or is_sure(self, title, text.format(name=row.name)):
            rows = count * (2 + len(row.definitions)) + self._space.session.queries.counts().pending
            self._space.session.write_sized(rows, title, lambda do: do.remove_category(row.id), self)

    # -- keypoints -------------------------------------------------------------------------------------------------

    def _show(self, current: int) -> None:
        self.names.blockSignals(True)
        self.names.clear()
        for keypoint in self.draft.keypoints:
            item = QListWidgetItem(keypoint.name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            swatch = QPixmap(12, 12)
            swatch.fill(QColor(keypoint.colour or "#9aa0a8"))
            item.setIcon(swatch)
            item.setData(TWIN, self.draft.twin(keypoint.name))
            self.names.addItem(item)
        if self.draft.keypoints:
            self.names.setCurrentRow(min(max(current, 0), len(self.draft.keypoints) - 1))
        self.names.blockSignals(False)
        self._row_changed(self.names.currentRow())
        self._show_skeleton()

    def _changed(self, current: int) -> None:
        self._set_edited(True)
        self._show(current)

    def _renamed(self, item: QListWidgetItem) -> None:
        row = self.names.row(item)
        keypoint = self.draft.keypoints[row]
        before = keypoint.name
        if self.draft.rename(row, item.text()):
            if not keypoint.was and before in self._places:
                self._places[keypoint.name] = self._places.pop(before)
            self._changed(row)
        else:
            self.note.setText(self.tr("That name is empty or taken."))
            self._show(row)

    def _row_changed(self, row: int) -> None:
        name = self.draft.names[row] if 0 <= row < len(self.draft.keypoints) else ""
        self.editor.current = name
        self.editor.update()
        self.pair.blockSignals(True)
        self.pair.clear()
        self.pair.addItem(self.tr("none (in the middle)"), "")
        for other in self.draft.names:
            if other != name:
                self.pair.addItem(other, other)
        self.pair.setCurrentIndex(max(0, self.pair.findData(self.draft.twin(name))))
        self.pair.blockSignals(False)

    def add_keypoint(self) -> None:
        """Append what is in the field: a name, or a list of names."""
        names = listed_names(self.new_name.text())
        if names and self.row is not None:
            for name in names:
                self.draft.add(name)
            self.new_name.clear()
            self._changed(len(self.draft.keypoints) - 1)

    def _move(self, step: int) -> None:
        row = self.names.currentRow()
        if row >= 0:
            self._changed(self.draft.move(row, step))

    def retire(self) -> None:
        """Ask for the current keypoint no more."""
        row = self.names.currentRow()
        if row >= 0:
            self.draft.retire(row)
            self._changed(row)

    def _colour(self) -> None:
        row = self.names.currentRow()
        if row < 0:
            return
        colour = QColorDialog.getColor(QColor(self.draft.keypoints[row].colour or "#E69F00"), self)
        if colour.isValid():
            self.draft.keypoints[row].colour = colour.name()
            self._changed(row)

    def _pair_chosen(self, place: int) -> None:
        row = self.names.currentRow()
        if row < 0:
            return
        self.draft.pair_up(row, str(self.pair.itemData(place) or ""))
        self._changed(row)

    def suggest_pairs(self) -> None:
        """Pairs from names."""
        made = self.draft.suggest_pairs()
        self.note.setText(self.tr("%n pairs found.", "", made))
        if made:
            self._changed(self.names.currentRow())

    def _edge_toggled(self, a: str, b: str) -> None:
        self.draft.toggle_edge(a, b)
        self._changed(self.names.currentRow())

    def _point_chosen(self, name: str) -> None:
        self.names.setCurrentRow(self.draft.names.index(name))

    def _point_moved(self, name: str, x: float, y: float) -> None:
        row = self.draft.names.index(name)
        self._places[self._key(row)] = (x, y)
        self._moved = True
        self._changed(row)

    def _key(self, row: int) -> str:
        return self.draft.keypoints[row].was or self.draft.keypoints[row].name

    # -- picture ---------------------------------------------------------------------------------------------------

    def _load_picture(self, row: CategoryRow | None) -> None:
        self._places, self._fixed, self._moved = {}, set(), False
        self.editor.show_picture(QPixmap())
        if row is not None:
            picture = schema_picture(self._space.session.queries, row)
            self._places, self._fixed = dict(picture.places), set(picture.fixed)
            if picture.image is not None:
                self._show_photo(picture.image, picture.box)
        self._show_skeleton()

    def _show_photo(self, image: ImageRow, box: Box) -> None:
        x0, y0, x1, y1 = box

        def loaded(photo: Photo) -> None:
            level = photo.pyramid.levels[0]
            scale = level.width() / image.width
            part = level.copy(int(x0 * scale), int(y0 * scale), int((x1 - x0) * scale), int((y1 - y0) * scale))
            self.editor.show_picture(QPixmap.fromImage(part))

        self._space.program.photos.load(image.path, loaded, lambda _error: None)

    def _show_skeleton(self) -> None:
        places = self.draft.named(self._places)
        missing = [n for n in self.draft.names if n not in places]
        for place, name in enumerate(missing):
            # Keypoints without a place yet wait in a row along the lower edge.
            places[name] = ((place + 0.5) / max(len(missing), 1), 0.96)
        fixed = {k.name for k in self.draft.keypoints if k.was in self._fixed}
        draft = self.draft
        self.editor.show_schema(places, list(draft.edges), list(draft.pairs), draft.colours, fixed)

    # -- saving ----------------------------------------------------------------------------------------------------

    def apply(self) -> bool:
        """Save as one operation; False when it does not fit together."""
        row = self.row
        if row is None:
            return False
        draft = self.draft
        try:
            schema = draft.schema()
        except AppError as error:
            self.note.setText(text_of(error))
            return False
        places = self.draft.named(self._places)
        moved, labelled = self._moved, bool(self._fixed)
        self._set_edited(False)  # so that the answer of the project is read again
        done = self._space.session.write(
            lambda do: do.edit_schema(row.id, schema, renamed=draft.renamed, colours=draft.colours), self
        )
        if done is None:
            self._set_edited(True)
            return False
        if moved and not labelled:
            self._keep_layout(row.id, places)
        self.note.setText(self.tr("Saved."))
        return True

    def _keep_layout(self, category_id: int, places: dict[str, tuple[float, float]]) -> None:
        row = next((c for c in self._space.labelling.categories if c.id == category_id), None)
        if row is None:
            return
        layout = {str(d.id): places[d.name] for d in row.definitions if d.name in places}
        self._space.session.write(lambda do: do.set_setting(layout_key(category_id), layout), self)
        self._load_picture(row)
