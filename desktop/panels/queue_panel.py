"""The next photos to review, as crops around what is least sure."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QPainter, QPalette
from PySide6.QtWidgets import QComboBox, QListView, QStyledItemDelegate, QStyleOptionViewItem, QVBoxLayout, QWidget

from kinmark.desktop.io.thumbnails import ThumbnailStore
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.queue import OF_ONE_KEYPOINT, ReviewQueue
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.message_bar import plain_label, plain_tip
from kinmark.engine.domain.geometry import Box, expand_box
from kinmark.projects.store.rows import ImageRow

SHOWN = 12
CROP = 96
CARD_ROLE = int(Qt.ItemDataRole.UserRole) + 1
Index = QModelIndex | QPersistentModelIndex


class QueueModel(QAbstractListModel):
    """GUI thread; owned by the queue panel. `cards` are (photo, region to show)."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cards: list[tuple[ImageRow, Box]] = []

    def set_cards(self, cards: list[tuple[ImageRow, Box]]) -> None:
        """Replace the cards."""
        self.beginResetModel()
        self.cards = cards
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.cards)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid() or not 0 <= index.row() < len(self.cards):
            return None
        row, box = self.cards[index.row()]
        if role == CARD_ROLE:
            return row, box
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(row.file_name)
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            low = f" {row.min_confidence:.2f}" if row.min_confidence is not None else ""
            return f"{row.file_name}{low}"
        return None


class _CardDelegate(QStyledItemDelegate):
    def __init__(self, view: QListView, thumbnails: ThumbnailStore) -> None:
        super().__init__(view)
        self._view = view
        self._thumbnails = thumbnails

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(CROP + 8, CROP + 8)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        card = index.data(CARD_ROLE)
        if card is None:
            return
        row, box = card
        rect: QRect = option.rect.adjusted(4, 4, -4, -4)  # type: ignore[attr-defined]
        pixmap = self._thumbnails.crop(row.path, box, CROP, self._view.viewport().update)
        painter.save()
        if pixmap is not None:
            painter.drawPixmap(rect, pixmap)
        else:
            grey = QColor(self._view.palette().color(QPalette.ColorRole.Mid))
            painter.fillRect(rect, grey)
        if row.min_confidence is not None:
            badge = QRect(rect.right() - 34, rect.bottom() - 17, 34, 17)
            painter.fillRect(badge, QColor(0, 0, 0, 170))
            painter.setPen(QColor("white"))
            painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, f"{row.min_confidence:.2f}")
        painter.restore()


class QueuePanel(QWidget):
    """GUI thread; owned by the main window while a project is open.

    Signals:
        chosen(int): go to this photo.
    """

    chosen = Signal(int)

    def __init__(
        self, labelling: Labelling, queue: ReviewQueue, thumbnails: ThumbnailStore, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._at = labelling
        self._queue = queue
        self.strategy = Choice()
        self.strategy.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.strategy.setMinimumContentsLength(12)
        self.strategy.setAccessibleName(self.tr("Order of the review queue"))
        for key, text in (
            ("uncertain", self.tr("most uncertain first")),
            ("informative", self.tr("most useful for the next proposals first")),
            ("disagreement", self.tr("where the exemplars disagree first")),
            ("sides", self.tr("sides maybe swapped first")),
            ("sure", self.tr("surest first")),
            ("name", self.tr("by name")),
            ("missing", self.tr("labelled photos that lack a keypoint")),
            ("check", self.tr("suspicious labels first")),
        ):
            self.strategy.addItem(text, key)
        self.strategy.setCurrentIndex(max(0, self.strategy.findData(queue.strategy)))
        self.strategy.activated.connect(self._set_strategy)
        self.keypoint = Choice()
        self.keypoint.setAccessibleName(self.tr("Keypoint that the order is about"))
        self.keypoint.activated.connect(self._set_keypoint)
        self.model = QueueModel(self)
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setItemDelegate(_CardDelegate(self.view, thumbnails))
        self.view.setViewMode(QListView.ViewMode.IconMode)
        self.view.setResizeMode(QListView.ResizeMode.Adjust)
        self.view.setMovement(QListView.Movement.Static)
        self.view.setUniformItemSizes(True)
        self.view.setSpacing(0)
        self.view.setAccessibleName(self.tr("Review queue"))
        self.view.clicked.connect(self._clicked)
        self.view.activated.connect(self._clicked)
        self.empty = plain_label(name="dim")
        self.empty.setMargin(8)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self.strategy)
        layout.addWidget(self.keypoint)
        layout.addWidget(self.empty)
        layout.addWidget(self.view, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(200)
        self._timer.timeout.connect(self.refresh)
        labelling.image_changed.connect(lambda _: self._timer.start())
        labelling.session.changed.connect(self._changed)
        labelling.categories_changed.connect(self._fill_keypoints)
        queue.on_order = self._timer.start
        self._fill_keypoints()
        self.refresh()

    def _changed(self, changes: object, _initiator: object) -> None:
        tables = {"proposal", "keypoint"} if self._queue.strategy == "missing" else {"proposal"}
        if changes.tables & tables:  # type: ignore[attr-defined]
            self._timer.start()

    def _fill_keypoints(self) -> None:
        """The keypoints of all categories; what was chosen stays chosen."""
        kept = self._queue.definition_id
        missing = self._queue.strategy == "missing"
        several = len(self._at.categories) > 1
        self.keypoint.clear()
        self.keypoint.addItem(self.tr("choose the keypoint") if missing else self.tr("all keypoints"), None)
        for category in self._at.categories:
            for definition in category.definitions:
                text = f"{category.name}: {definition.name}" if several else definition.name
                self.keypoint.addItem(text, definition.id)
        self.keypoint.setCurrentIndex(max(0, self.keypoint.findData(kept)))
        self.keypoint.setVisible(self._queue.strategy in OF_ONE_KEYPOINT and self.keypoint.count() > 1)

    def _set_strategy(self, place: int) -> None:
        strategy = self.strategy.itemData(place)
        self._queue.set_strategy(strategy, self._queue.definition_id or self._focused_definition(strategy))
        self._fill_keypoints()
        if strategy not in ("check", "missing"):  # those need more than a name to come back with
            self._at.settings.change(queue_strategy=strategy)
        self.refresh()

    def _focused_definition(self, strategy: str) -> int | None:
        """The keypoint in focus is the likely one of which labels are missing."""
        category, focused = self._at.current_category, self._at.focused
        if strategy != "missing" or category is None or focused is None or focused >= len(category.definitions):
            return None
        return category.definition_ids[focused]

    def _set_keypoint(self, place: int) -> None:
        self._queue.set_strategy(self._queue.strategy, self.keypoint.itemData(place))
        self.refresh()

    def show_findings(self, findings: Any) -> None:
        """Walk the photos with suspicious labels from now on."""
        self._queue.take_findings(findings)
        self.strategy.setCurrentIndex(self.strategy.findData("check"))
        self._fill_keypoints()
        self.refresh()

    def _clicked(self, index: QModelIndex) -> None:
        row, _ = self.model.cards[index.row()]
        self.chosen.emit(row.id)

    def _why_empty(self) -> str:
        """What would bring something here."""
        if self._queue.waiting:
            return self.tr("Sorting...")
        if self._queue.strategy == "missing":
            if self._queue.definition_id is None:
                return self.tr("Choose the keypoint that is missing.")
            return self.tr("Every labelled photo has this keypoint, or says that it is absent.")
        text = self.tr("Nothing waits for review.")
        if self._queue.strategy == "check":
            return text
        if self._at.has_exemplar:
            return text + "\n" + self.tr("Ctrl+P proposes on the photos that have no labels yet.")
        return text + "\n" + self.tr("Label one photo (K), then Ctrl+P proposes on the others.")

    def _suspicious(self, ids: list[int]) -> dict[int, Box]:
        """The surroundings of the most suspicious label of each photo."""
        regions: dict[int, Box] = {}
        definitions = {(c.name, d.name): d.id for c in self._at.categories for d in c.definitions}
        for instance in self._at.session.queries.instances(image_ids=ids) if ids else ():
            finding = self._queue.worst(instance.image_id)
            if finding is None or finding.instance_id != instance.id:
                continue
            wanted = definitions.get((finding.category, finding.keypoint))
            place = next((k for k in instance.keypoints if k.definition_id == wanted and k.x is not None), None)
            category = next((c for c in self._at.categories if c.id == instance.category_id), None)
            shape = instance.aligned(category.definition_ids) if category is not None else None
            if shape is None or not (shape.labelled.any() or shape.box is not None):
                continue
            if (
                place is None or place.x is None or place.y is None
            ):  # about the instance as a whole: labelled twice, its mask
                regions[instance.image_id] = expand_box(shape.box_or_extent(), square=True)
                continue
            x0, y0, x1, y1 = shape.box_or_extent()
            half = max(x1 - x0, y1 - y0) * 0.25
            regions[instance.image_id] = (place.x - half, place.y - half, place.x + half, place.y + half)
        return regions

    def refresh(self) -> None:
        """Look at the queue again."""
        queries = self._at.session.queries
        current = self._at.image.id if self._at.image else None
        ids = self._queue.upcoming(current, SHOWN)
        rows = queries.images_by_id(ids)
        regions: dict[int, Box] = self._suspicious(ids) if self._queue.strategy == "check" else {}
        # Of several in a photo, the crop shows where a person is needed most.
        for weak in queries.weak_places(ids) if ids else ():
            if weak.image_id in rows and weak.image_id not in regions:
                box = weak.box or _whole(rows[weak.image_id])
                side = max(box[2] - box[0], box[3] - box[1]) * 0.5
                if weak.xy is not None:
                    x, y = weak.xy
                    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
                regions[weak.image_id] = expand_box(box, square=True)
        cards = [(rows[i], regions.get(i, _whole(rows[i]))) for i in ids if i in rows]
        if [(r.id, r.min_confidence, b) for r, b in cards] != [
            (r.id, r.min_confidence, b) for r, b in self.model.cards
        ]:
            self.model.set_cards(cards)
        self.empty.setVisible(not cards)
        if not cards:
            self.empty.setText(self._why_empty())
        self.view.setVisible(bool(cards))


def _whole(row: ImageRow) -> Box:
    return 0.0, 0.0, float(row.width), float(row.height)
