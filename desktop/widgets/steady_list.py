"""A list view that is not laid out again because the words of a row changed."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex
from PySide6.QtGui import QAccessible, QAccessibleTableModelChangeEvent
from PySide6.QtWidgets import QListView

Index = QModelIndex | QPersistentModelIndex


class SteadyListView(QListView):
    """GUI thread. For rows of one size: Qt's own lays out every row and paints the whole list after each `dataChanged`."""

    def dataChanged(self, top_left: Index, bottom_right: Index, roles: Sequence[int] = ()) -> None:
        if not top_left.isValid() or top_left != bottom_right:
            super().dataChanged(top_left, bottom_right, list(roles))
            return
        self.update(top_left)
        if QAccessible.isActive():
            event = QAccessibleTableModelChangeEvent(self, QAccessibleTableModelChangeEvent.ModelChangeType.DataChanged)
            event.setFirstRow(top_left.row())
            event.setLastRow(top_left.row())
            QAccessible.updateAccessibility(event)
