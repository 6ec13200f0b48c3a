"""Keypoints of the selected instance as a Qt model."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.shown import sides_of
from kinmark.desktop.states import PointState
from kinmark.desktop.widgets.message_bar import plain_tip

LINE_ROLE = int(Qt.ItemDataRole.UserRole) + 1
Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True)
class KeypointLine:
    """One line: what the delegate draws."""

    name: str
    state: PointState
    hidden: bool
    confidence: float | None
    side: str
    focused: bool
    colour: str = ""


class KeypointModel(QAbstractListModel):
    """GUI thread; owned by the instance panel."""

    def __init__(self, labelling: Labelling, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._at = labelling
        self.lines: tuple[KeypointLine, ...] = ()

    def refresh(self) -> None:
        """Read the selected instance."""
        lines = self._lines()
        if len(lines) != len(self.lines) or [a.name for a in lines] != [b.name for b in self.lines]:
            self.beginResetModel()
            self.lines = lines
            self.endResetModel()
            return
        before, self.lines = self.lines, lines
        for place, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old != new:
                index = self.index(place)
                self.dataChanged.emit(index, index)

    def _lines(self) -> tuple[KeypointLine, ...]:
        at = self._at
        category, selected = at.current_category, at.selected
        if category is None:
            return ()
        sides = sides_of(category.schema)
        result = []
        for place, definition in enumerate(category.definitions):
            row = (selected.keypoint(place) or selected.proposal(place)) if selected is not None else None
            result.append(
                KeypointLine(
                    definition.name,
                    at.state(place),
                    row is not None and row.visibility == 1,
                    row.confidence if row is not None else None,
                    sides[place],
                    place == at.focused,
                    definition.colour,
                )
            )
        return tuple(result)

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.lines)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid() or not 0 <= index.row() < len(self.lines):
            return None
        line = self.lines[index.row()]
        if role == LINE_ROLE:
            return line
        if role == Qt.ItemDataRole.DisplayRole:
            return line.name
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            confidence = f" {line.confidence:.2f}" if line.confidence is not None else ""
            text = f"{line.name}: {self.state_text(line)}{confidence}"
            return plain_tip(text) if role == Qt.ItemDataRole.ToolTipRole else text
        return None

    def state_text(self, line: KeypointLine) -> str:
        """The state in a word."""
        texts = {
            PointState.HUMAN: self.tr("placed"),
            PointState.ACCEPTED: self.tr("accepted"),
            PointState.PENDING: self.tr("pending"),
            PointState.DOUBTFUL: self.tr("doubt"),
            PointState.ABSENT: self.tr("absent"),
            PointState.EMPTY: "",
        }
        text = texts[line.state]
        if line.hidden:
            return self.tr("hidden?") if line.state.is_proposal else self.tr("hidden")
        return text
