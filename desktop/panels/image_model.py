"""The photos of the project as a Qt model: ids once per filter, rows a page at a time, thumbnails when they are painted."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QPixmap

from kinmark.desktop.error_texts import message_of
from kinmark.desktop.io.thumbnails import ThumbnailStore
from kinmark.desktop.services.project_session import ProjectSession
from kinmark.desktop.widgets.message_bar import plain_tip
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.store.rows import ImageRow

PAGE = 100
ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1
Index = QModelIndex | QPersistentModelIndex


class ImageModel(QAbstractListModel):
    """GUI thread; owned by the image panel. `ids` are the photos that fit the filter, in order."""

    def __init__(self, session: ProjectSession, thumbnails: ThumbnailStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._thumbnails = thumbnails
        self.filter = ImageFilter()
        self.order = "name"
        self.ids: tuple[int, ...] = ()
        self._place: dict[int, int] = {}
        self._rows: dict[int, ImageRow] = {}
        session.changed.connect(self._changed)
        self.set_filter(self.filter, self.order)

    def set_filter(self, filter_: ImageFilter, order: str = "name") -> None:
        """Show other photos."""
        self.filter, self.order = filter_, order
        self._take(self._session.queries.image_ids(filter_, order=order))

    def _take(self, ids: tuple[int, ...]) -> None:
        self.beginResetModel()
        self.ids = ids
        self._place = {id_: i for i, id_ in enumerate(self.ids)}
        self._rows.clear()
        self.endResetModel()

    def refresh(self) -> bool:
        """Take the list again; True when other photos fit now."""
        ids = self._session.queries.image_ids(self.filter, order=self.order)
        if ids == self.ids:
            return False
        self._take(ids)
        return True

    def _changed(self, changes: OpChanges, _initiator: object) -> None:
        for id_ in changes.image_ids:
            row = self._place.get(id_)
            if self._rows.pop(id_, None) is not None and row is not None:
                index = self.index(row)
                self.dataChanged.emit(index, index)

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.ids)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid() or not 0 <= index.row() < len(self.ids):
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return None
        if role not in (
            ROW_ROLE,
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.ToolTipRole,
            Qt.ItemDataRole.AccessibleTextRole,
        ):
            return None
        row = self.row(index.row())
        if row is None:
            return None
        if role == ROW_ROLE:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return row.file_name
        text = self._describe(row)
        return plain_tip(text) if role == Qt.ItemDataRole.ToolTipRole else text

    def _describe(self, row: ImageRow) -> str:
        states = {
            "unseen": self.tr("unseen"),
            "pending": self.tr("pending"),
            "partly": self.tr("labelled partly"),
            "done": self.tr("done"),
            "nothing": self.tr("nothing here"),
        }
        parts = [row.file_name, f"{row.width} x {row.height}", states.get(row.state, row.state)]
        if row.pending_count:
            parts.append(self.tr("{n} pending").format(n=row.pending_count))
        if row.file_state != "ok":
            parts.append(self.tr("file missing") if row.file_state == "missing" else self.tr("file changed"))
        return "\n".join(parts)

    def row(self, place: int) -> ImageRow | None:
        """The row at a place of the list (reads its page when needed)."""
        id_ = self.ids[place]
        found = self._rows.get(id_)
        if found is None:
            start = place // PAGE * PAGE
            if len(self._rows) > 20 * PAGE:
                self._rows.clear()
            self._rows.update(self._session.queries.images_by_id(self.ids[start : start + PAGE]))
            found = self._rows.get(id_)
        return found

    def place_of(self, image_id: int) -> int | None:
        """Where a photo stands in the list."""
        return self._place.get(image_id)

    def thumbnail(self, place: int, ready: Callable[[], object]) -> QPixmap | None:
        """The thumbnail, or None and a call of `ready` later."""
        row = self.row(place)
        return self._thumbnails.get(row.path, ready) if row is not None else None

    def error_text(self, row: ImageRow) -> str:
        """Why the photo cannot be shown, or ""."""
        error = self._thumbnails.error(row.path)
        return message_of(error) if error is not None else ""
