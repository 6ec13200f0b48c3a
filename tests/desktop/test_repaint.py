"""What a decision makes the window paint again: the work of the GUI thread between two turns of its event loop."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtTest import QAbstractItemModelTester

from tests.support.window import Driver


class Paints(QObject):
    """Heights of what is painted on a widget."""

    def __init__(self, widget: Any) -> None:
        super().__init__()
        self.heights: list[int] = []
        self._widget = widget
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.heights.append(event.region().boundingRect().height())  # type: ignore[attr-defined]
        return False


def test_a_decision_paints_its_row_of_the_list_alone(proposed: Driver) -> None:
    space = proposed.space
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    proposed.wait(0.3)
    view = space.images.view
    row = view.visualRect(view.currentIndex()).height()
    paints = Paints(view.viewport())
    before = view.model().data(view.currentIndex())
    pending = len(space.labelling.selected.pending)
    proposed.key(Qt.Key.Key_Return)
    proposed.until(lambda: len(space.labelling.selected.pending) == pending - 1)
    proposed.until(lambda: paints.heights)
    proposed.wait(0.2)
    assert view.model().data(view.currentIndex()) == before, "the same photo"
    assert max(paints.heights) <= row + 2 < view.viewport().height(), (paints.heights, row)


def test_another_photo_paints_two_rows_and_its_words_are_new(proposed: Driver) -> None:
    space = proposed.space
    QAbstractItemModelTester(space.images.model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    view = space.images.view
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    here = space.labelling.image.id
    proposed.key(Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)  # the whole instance
    proposed.until(lambda: space.session.queries.image(here).pending_count == 0)
    proposed.wait(0.2)
    row = space.images.model.place_of(here)
    told = view.model().data(view.model().index(row), Qt.ItemDataRole.AccessibleTextRole) or view.model().data(
        view.model().index(row)
    )
    assert "photo_" in told
    index = view.currentIndex()
    assert space.images.model.ids[index.row()] == space.labelling.image.id and view.selectionModel().isSelected(index)
