"""A grid of crops with a focused card and a selection: for the part grid and the identity page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PySide6.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from kinmark.desktop.canvas.marks import MarkLook, draw_mark
from kinmark.desktop.io.thumbnails import ThumbnailStore
from kinmark.desktop.states import PointState
from kinmark.desktop.theme.colours import ACCENT, STATE_COLOURS
from kinmark.desktop.widgets.message_bar import plain_tip
from kinmark.engine.domain.geometry import Box

CARD_ROLE = int(Qt.ItemDataRole.UserRole) + 1
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class CropCard:
    """One card: `box` (square, xy_image) of a photo; a mark in it or an outline over it, and a line of text.

    Attributes:
        key: who it is for the page; image_id: for opening the canvas; stack: how many near-duplicates it stands for;
            below: keys of those that lie below it.
        mark: (x, y) in xy_image and its state; outline: `[N, 2]` polygons in xy_image.
        likeness: bar from 0 to 1, or None.
    """

    key: int
    image_id: int
    path: Path
    box: Box
    text: str = ""
    state: PointState = PointState.PENDING
    mark: tuple[float, float] | None = None
    hidden: bool = False
    outline: tuple[np.ndarray, ...] = field(default=(), compare=False)
    likeness: float | None = None
    stack: int = 1
    below: tuple[int, ...] = ()


class CropModel(QAbstractListModel):
    """GUI thread; owned by a crop grid."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cards: tuple[CropCard, ...] = ()

    def set_cards(self, cards: tuple[CropCard, ...]) -> None:
        """Replace the cards."""
        self.beginResetModel()
        self.cards = cards
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.cards)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid() or not 0 <= index.row() < len(self.cards):
            return None
        card = self.cards[index.row()]
        if role == CARD_ROLE:
            return card
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return card.text or card.path.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(f"{card.path.name}\n{card.text}")
        return None


class _CropDelegate(QStyledItemDelegate):
    def __init__(self, view: QListView, thumbnails: ThumbnailStore) -> None:
        super().__init__(view)
        self._view = view
        self._thumbnails = thumbnails
        self.side = 120

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(self.side + 12, self.side + 14 + self._view.fontMetrics().height())

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        card = index.data(CARD_ROLE)
        if not isinstance(card, CropCard):
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect: QRect = option.rect  # type: ignore[attr-defined]
        state = option.state  # type: ignore[attr-defined]
        picture = QRect(rect.left() + 6, rect.top() + 6, self.side, self.side)
        if card.stack > 1:
            painter.setPen(QPen(self._view.palette().color(QPalette.ColorRole.Mid), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(picture.translated(4, -4))
            painter.drawRect(picture.translated(2, -2))
        pixmap = self._thumbnails.crop(card.path, card.box, self.side, self._view.viewport().update)
        if pixmap is not None:
            painter.drawPixmap(picture, pixmap)
        else:
            painter.fillRect(picture, QColor("#3a3d42"))
        self._overlay(painter, card, picture)
        colour = STATE_COLOURS[card.state]
        pen = QPen(colour, 3)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        if card.state.is_proposal:
            pen.setDashPattern([3, 1.4])
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(pen)
        painter.drawRect(picture)
        selected = bool(state & QStyle.StateFlag.State_Selected)
        if selected:
            painter.setPen(QPen(ACCENT, 3))
            painter.drawRect(picture.adjusted(-4, -4, 4, 4))
        self._words(painter, card, rect, picture)
        painter.restore()

    def _overlay(self, painter: QPainter, card: CropCard, picture: QRect) -> None:
        x0, y0, x1, y1 = card.box
        scale = picture.width() / max(x1 - x0, y1 - y0, 1e-6)
        left, top = (x0 + x1) / 2 - picture.width() / scale / 2, (y0 + y1) / 2 - picture.height() / scale / 2
        painter.setClipRect(picture)
        for polygon in card.outline:
            points = [
                QPointF(picture.left() + (x - left) * scale, picture.top() + (y - top) * scale)
                for x, y in polygon.tolist()
            ]
            for colour, width in ((QColor(0, 0, 0, 160), 3.0), (QColor("#56B4E9"), 1.5)):
                painter.setPen(QPen(colour, width))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawPolygon(points)
        if card.mark is not None:
            place = QPointF(
                picture.left() + (card.mark[0] - left) * scale, picture.top() + (card.mark[1] - top) * scale
            )
            draw_mark(painter, place, card.state, MarkLook(hidden=card.hidden))
        painter.setClipping(False)

    def _words(self, painter: QPainter, card: CropCard, rect: QRect, picture: QRect) -> None:
        metrics = self._view.fontMetrics()
        painter.setPen(self._view.palette().color(QPalette.ColorRole.Text))
        line = QRect(picture.left(), picture.bottom() + 5, picture.width(), metrics.height())
        text = metrics.elidedText(card.text, Qt.TextElideMode.ElideMiddle, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, text)
        if card.likeness is not None:
            bar = QRectF(picture.left() + 4, picture.bottom() - 9, picture.width() - 8, 5)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(0, 0, 0, 140))
            painter.drawRoundedRect(bar, 2, 2)
            painter.setBrush(QColor("#56B4E9"))
            painter.drawRoundedRect(QRectF(bar.left(), bar.top(), bar.width() * min(max(card.likeness, 0), 1), 5), 2, 2)
        if card.stack > 1:
            badge = QRect(picture.right() - 30, picture.top() + 4, 26, 18)
            painter.fillRect(badge, QColor(0, 0, 0, 170))
            painter.setPen(QColor("white"))
            painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, f"x{card.stack}")


class CropGrid(QListView):
    """GUI thread; owned by a page. `empty_text` says what would bring cards here.

    Signals:
        opened(CropCard): a click on a card (open the canvas); accepted(), rejected(): Enter, Delete on the selection.
        corrected(CropCard, float, float): Ctrl+click put the mark there (xy_image).
    """

    opened = Signal(object)
    accepted = Signal()
    rejected = Signal()
    corrected = Signal(object, float, float)

    def __init__(self, thumbnails: ThumbnailStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model_ = CropModel(self)
        self.setModel(self.model_)
        self._delegate = _CropDelegate(self, thumbnails)
        self.setItemDelegate(self._delegate)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QListView.SelectionMode.ExtendedSelection)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setSpacing(2)
        self.empty_text = ""

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.empty_text and not self.model_.cards:
            painter = QPainter(self.viewport())
            painter.setPen(self.palette().color(QPalette.ColorRole.PlaceholderText))
            area = self.viewport().rect().adjusted(16, 16, -16, -16)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.empty_text)

    def set_side(self, side: int) -> None:
        """Size of the crops."""
        self._delegate.side = side
        self.model_.layoutChanged.emit()

    def show_cards(self, cards: tuple[CropCard, ...]) -> None:
        """Replace the cards; the focus stays at its place, so that keys can be pressed one after the other."""
        if cards == self.model_.cards:
            return
        place = self.currentIndex().row()
        key = self.model_.cards[place].key if 0 <= place < len(self.model_.cards) else None
        self.model_.set_cards(cards)
        same = next((i for i, c in enumerate(cards) if c.key == key), None)
        target = same if same is not None else min(max(place, 0), len(cards) - 1)
        if cards:
            self.selectionModel().setCurrentIndex(
                self.model_.index(target), QItemSelectionModel.SelectionFlag.ClearAndSelect
            )

    def chosen_cards(self) -> list[CropCard]:
        """Selected cards, else the focused one."""
        rows = sorted(i.row() for i in self.selectionModel().selectedIndexes())
        if not rows and self.currentIndex().isValid():
            rows = [self.currentIndex().row()]
        return [self.model_.cards[r] for r in rows if r < len(self.model_.cards)]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.accepted.emit()
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace, Qt.Key.Key_X):
            self.rejected.emit()
        elif event.key() in (Qt.Key.Key_Space, Qt.Key.Key_O):
            for card in self.chosen_cards()[:1]:
                self.opened.emit(card)
        else:
            super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        card = self.indexAt(event.position().toPoint()).data(CARD_ROLE)
        if isinstance(card, CropCard):
            self.opened.emit(card)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        card = index.data(CARD_ROLE)
        if isinstance(card, CropCard) and card.mark is not None and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            rect = self.visualRect(index)
            x0, y0, x1, y1 = card.box
            scale = max(x1 - x0, y1 - y0) / self._delegate.side
            position = event.position()
            x = (x0 + x1) / 2 + (position.x() - rect.left() - 6 - self._delegate.side / 2) * scale
            y = (y0 + y1) / 2 + (position.y() - rect.top() - 6 - self._delegate.side / 2) * scale
            self.corrected.emit(card, x, y)
            return
        super().mousePressEvent(event)
