"""The left panel: filters with counts, then the photos as list or grid."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListView, QToolButton, QVBoxLayout, QWidget

from kinmark.desktop.io.thumbnails import ThumbnailStore
from kinmark.desktop.panels.filter_list import FilterList
from kinmark.desktop.panels.image_delegate import ImageDelegate
from kinmark.desktop.panels.image_model import ImageModel
from kinmark.desktop.panels.tile_overlays import TileOverlays
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.place import Place
from kinmark.desktop.theme.icons import icon
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.desktop.widgets.steady_list import SteadyListView
from kinmark.projects.search import parse_search
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.queries.images import ImageFilter

COUNTS_DELAY_MS = 250
MANY_ROWS = 60
"""More rows than that are on no screen: the whole list is painted."""
LAID_OUT_AT_ONCE = 4000
LAYOUT_WAIT_MS = 20


TILE_PX, LARGE_TILE_PX, WIDE_PX, BAR_PX = 116, 176, 420, 14
"""Tiles of the grid, the panel's width from which they are large, and what its scroll bar takes."""


class ImagePanel(QWidget):
    """GUI thread; owned by the main window while a project is open.

    Signals:
        chosen(int): the person went to another photo (its id).
        searched(str): words of the search that were not understood, comma-separated ("" = all fine).
        menu_wanted(QPoint): the menu of the selected photos is wanted at this global position.
    """

    chosen = Signal(int)
    searched = Signal(str)
    menu_wanted = Signal(QPoint)

    def __init__(self, labelling: Labelling, thumbnails: ThumbnailStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._at = labelling
        self._session = labelling.session
        self._search_text = ""
        self._problems = ""
        self.model = ImageModel(self._session, thumbnails, self)
        self.filters = FilterList(labelling, self)
        self.view = SteadyListView()
        self.overlays = TileOverlays(labelling, thumbnails.pool, self)
        self.overlays.ready.connect(lambda: self.view.viewport().update())
        self._delegate = ImageDelegate(self.view, labelling.settings.current.doubt_below, self.overlays, self)
        self._configure_view()
        self._empty = QLabel()
        self._empty.setContentsMargins(16, 24, 16, 0)
        self._empty.setObjectName("dim")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self._empty.setWordWrap(True)
        self._empty.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.filters)
        layout.addLayout(self._header())
        self._note = plain_label(name="warning")
        self._note.setContentsMargins(10, 0, 10, 4)
        self._note.hide()
        layout.addWidget(self._note)
        layout.addWidget(self._empty, 1)
        layout.addWidget(self.view, 1)
        self.filters.chosen.connect(lambda _: self._apply())
        self._counts = QTimer(self)
        self._counts.setSingleShot(True)
        self._counts.setInterval(COUNTS_DELAY_MS)
        self._counts.timeout.connect(self.refresh)
        self._scroll_later = QTimer(self)
        self._scroll_later.setSingleShot(True)
        self._scroll_later.setInterval(LAYOUT_WAIT_MS)
        self._scroll_later.timeout.connect(self._scroll_again)
        self._session.changed.connect(self._changed)
        self.filters.refresh()
        self._show_empty()

    def _configure_view(self) -> None:
        view = self.view
        view.setModel(self.model)
        view.setItemDelegate(self._delegate)
        view.setUniformItemSizes(True)
        # Tens of thousands of rows are laid out a part at a time: all at once would hold the window up.
        view.setLayoutMode(QListView.LayoutMode.Batched)
        view.setBatchSize(LAID_OUT_AT_ONCE)
        view.setMouseTracking(True)
        view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        view.setSelectionMode(QListView.SelectionMode.ExtendedSelection)
        view.setResizeMode(QListView.ResizeMode.Adjust)
        view.setMovement(QListView.Movement.Static)
        view.setAccessibleName(self.tr("Photos"))
        view.selectionModel().currentChanged.connect(self._current_changed)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        view.customContextMenuRequested.connect(lambda place: self.menu_wanted.emit(view.viewport().mapToGlobal(place)))

    def _header(self) -> QHBoxLayout:
        self._title = QLabel()
        self._title.setObjectName("caption")
        row = QHBoxLayout()
        row.setContentsMargins(10, 6, 6, 4)
        row.addWidget(self._title, 1)
        self._buttons: dict[bool, QToolButton] = {}
        grid_tip = self.tr(
            "Grid with keypoints and masks; there Enter accepts the selected photos as they stand, X rejects"
        )
        for grid, name, tip in ((False, "list", self.tr("List")), (True, "grid", grid_tip)):
            button = QToolButton()
            button.setIcon(icon(name))
            button.setIconSize(QSize(16, 16))
            button.setCheckable(True)
            button.setChecked(not grid)
            button.setToolTip(tip)
            button.setAccessibleName(self.tr("Grid") if grid else tip)
            button.clicked.connect(lambda _=False, g=grid: self.set_grid(g))
            self._buttons[grid] = button
            row.addWidget(button)
        return row

    def set_grid(self, grid: bool) -> None:
        """Tiles or rows."""
        self._delegate.grid = grid
        for key, button in self._buttons.items():
            button.setChecked(key == grid)
        self.view.setViewMode(QListView.ViewMode.IconMode if grid else QListView.ViewMode.ListMode)
        self.view.setMovement(QListView.Movement.Static)
        self.view.setSpacing(0)
        self.model.layoutChanged.emit()
        self.view.scrollTo(self.view.currentIndex())

    @property
    def grid(self) -> bool:
        """Whether tiles are shown."""
        return self._delegate.grid

    # -- filter ----------------------------------------------------------------------------------------------------

    def search(self, text: str) -> None:
        """Narrow the list by the search box."""
        self._search_text = text
        self._apply()

    def current_filter(self) -> ImageFilter:
        """The chosen filter with the search applied."""

        def identity_id(name: str) -> int | None:
            found = self._session.queries.identity(name)
            return found.id if found is not None else None

        found = parse_search(
            self._search_text, self.filters.filter(), categories=self._at.categories, identity_id=identity_id
        )
        self._problems = ", ".join(found.problems)
        self.searched.emit(self._problems)
        return found.filter

    def _apply(self) -> None:
        current = self._at.image.id if self._at.image else None
        self.model.set_filter(self.current_filter(), self.model.order)
        self._show_empty()
        if current is not None:
            self.show_current(current)

    def _show_empty(self) -> None:
        count = len(self.model.ids)
        self._note.setText(self.tr("Not understood: {words}").format(words=self._problems) if self._problems else "")
        self._note.setVisible(bool(self._problems))
        self._empty.setVisible(count == 0)
        self.view.setVisible(count > 0)
        if count == 0:
            self._empty.setText(
                self.tr("No photo fits this filter.")
                if self._session.queries.counts().all
                else self.tr("No photos yet.\n\nAdd a folder with Ctrl+Shift+O, or drop one here.")
            )
        self._title.setText(self.tr("%Ln photos", "", count))

    def _changed(self, changes: OpChanges, _initiator: object) -> None:
        if changes.tables & {
            "image",
            "instance",
            "keypoint",
            "proposal",
            "nothing_here",
            "exhaustive",
            "tag_link",
            "category",
        }:
            self._counts.start()

    def refresh(self) -> None:
        """Counts, and the list when other photos fit now; the shown photo stays current."""
        self.filters.refresh()
        self._delegate.doubt_below = self._at.settings.current.doubt_below
        if self.model.refresh():
            # In a turn of its own: the view lays out all its rows to find the place.
            QTimer.singleShot(0, self, self._show_shown)
        self._show_empty()

    def _show_shown(self) -> None:
        if self._at.image is not None:
            self.show_current(self._at.image.id)

    def place(self) -> Place:
        """What is filtered, searched and how it is shown."""
        return Place(self.filters.rows.current, self.filters.more_text, self._search_text, self.grid)

    def restore(self, place: Place) -> None:
        """Filter and show as before."""
        self.filters.restore(place.filter, place.more)
        if place.grid:
            self.set_grid(True)
        self.search(place.search)

    @property
    def search_text(self) -> str:
        """The words of the search."""
        return self._search_text

    # -- current photo ---------------------------------------------------------------------------------------------

    def _current_changed(self, current: QModelIndex, _before: QModelIndex) -> None:
        extending = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        if current.isValid() and not QGuiApplication.keyboardModifiers() & extending:
            self.chosen.emit(self.model.ids[current.row()])

    def show_current(self, image_id: int) -> None:
        """Mark a photo as the current one without announcing it."""
        place = self.model.place_of(image_id)
        selection = self.view.selectionModel()
        before = [selection.currentIndex(), *selection.selectedIndexes()]
        blocked = selection.blockSignals(True)
        if place is None:
            selection.clear()
        else:
            index = self.model.index(place)
            if selection.currentIndex() != index:  # else the person chose it, maybe together with others
                selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
            elif not selection.isSelected(index):
                selection.select(index, QItemSelectionModel.SelectionFlag.Select)
            self._scroll_to(index)
        selection.blockSignals(blocked)
        after = [selection.currentIndex(), *selection.selectedIndexes()]
        if before == after:
            return  # a decision on the same photo: its row alone is painted again, by the model
        if len(before) + len(after) > MANY_ROWS:
            self.view.viewport().update()
            return
        for index in (*before, *after):
            if index.isValid():
                self.view.update(index)

    def _scroll_to(self, index: QModelIndex) -> None:
        """Bring a row into view, as soon as the list is laid out so far."""
        self.view.scrollTo(index)
        if index.row() >= LAID_OUT_AT_ONCE and self.view.visualRect(index).isEmpty():
            self._scroll_later.start()

    def _scroll_again(self) -> None:
        index = self.view.currentIndex()
        if index.isValid():
            self._scroll_to(index)

    def step(self, step: int, current: int | None) -> int | None:
        """The photo `step` places further in the list; None at its end."""
        ids = self.model.ids
        if not ids:
            return None
        here = self.model.place_of(current) if current is not None else None
        place = (0 if step > 0 else len(ids) - 1) if here is None else here + step
        return ids[place] if 0 <= place < len(ids) else None

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_tiles()

    def _fit_tiles(self) -> None:
        """Tiles fill the row: as many as fit at the usual size, or larger ones in a wide panel."""
        room = max(self.width() - BAR_PX, TILE_PX)
        usual = TILE_PX if room < WIDE_PX else LARGE_TILE_PX
        tile = room // max(1, room // usual)
        if tile != self._delegate.tile:
            self._delegate.tile = tile
            if self.grid:
                self.view.doItemsLayout()

    @property
    def decides(self) -> bool:
        """Whether Enter and X are for the photos selected here: the list has the keyboard, and shows what it decides."""
        return self.grid and self.view.hasFocus() and bool(self.view.selectionModel().selectedIndexes())

    def select_after(self, ids: list[int]) -> None:
        """Move the selection to the photo behind these."""
        places = [p for p in map(self.model.place_of, ids) if p is not None]
        if places and max(places) + 1 < len(self.model.ids):
            index = self.model.index(max(places) + 1)
            flags = QItemSelectionModel.SelectionFlag
            self.view.selectionModel().setCurrentIndex(index, flags.ClearAndSelect)
            self.view.scrollTo(index)

    def selected_ids(self) -> list[int]:
        """Photos selected in the list."""
        return [self.model.ids[i.row()] for i in self.view.selectionModel().selectedIndexes()]
