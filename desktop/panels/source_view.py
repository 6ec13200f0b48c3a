"""The labelled exemplar beside the target: same keypoint ringed on both sides, views linked on wish."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QSize, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from kinmark.desktop.canvas.content import CanvasContent
from kinmark.desktop.canvas.view import CanvasView
from kinmark.desktop.error_texts import message_of
from kinmark.desktop.io.photos import Photo, PhotoStore
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.shown import canvas_content, shown_instances
from kinmark.desktop.theme.icons import icon
from kinmark.desktop.widgets.later import Later
from kinmark.desktop.widgets.message_bar import plain_label, plain_tip
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import Box
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.rows import ImageRow, InstanceRow

HEADER_PX = 30
"""Height of the lines above both views: the photos begin at one height."""


MANY = 500
PAUSE_MS = 2500
"""After so long without a change, a long list of exemplars is asked for again."""


def header_height(widget: QWidget) -> int:
    """The same for both views, whatever stands in their headers."""
    return max(HEADER_PX, widget.fontMetrics().height() + 14)


class SourceView(QWidget):
    """GUI thread; owned by the main window while a project is open. Shows one accepted instance of the category.

    Signals:
        exemplar_changed(): another exemplar is shown.
    """

    exemplar_changed = Signal()

    def __init__(self, labelling: Labelling, photos: PhotoStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._at = labelling
        self._photos = photos
        self._ids: tuple[int, ...] = ()
        self._exemplar: InstanceRow | None = None
        self._place = 0
        self._category_id: int | None = None
        self.image: ImageRow | None = None
        self.view = CanvasView()
        self.view.setAccessibleName(self.tr("Source exemplar"))
        self.title = plain_label(name="caption")
        self.title.setWordWrap(False)
        self._buttons: list[QToolButton] = []
        header = QHBoxLayout()
        header.setContentsMargins(10, 2, 4, 2)
        header.addWidget(self.title, 1)
        header.addStrut(header_height(self))
        for name, step, tip in (
            ("chevron-left", -1, self.tr("Previous exemplar")),
            ("chevron-right", 1, self.tr("Next exemplar (E)")),
        ):
            button = QToolButton()
            button.setIcon(icon(name))
            button.setIconSize(QSize(14, 14))
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.clicked.connect(lambda _=False, s=step: self.step(s))
            header.addWidget(button)
            self._buttons.append(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(header)
        layout.addWidget(self.view, 1)
        self._later = Later(self, self._selection_changed)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE_MS)
        self._soon.timeout.connect(self._pause)
        labelling.selection_changed.connect(self._later.ask)
        labelling.session.changed.connect(self._changed)
        self.refresh()

    def _changed(self, changes: OpChanges, _initiator: object) -> None:
        if not changes.tables & {"instance", "keypoint", "category", "keypoint_definition"}:
            return
        if len(self._ids) > MANY and not changes.schema_changed:
            # Asking for all of them costs some tens of milliseconds: not after every click, but in the next pause.
            self._soon.start()
            if self.image is not None and self.image.id in changes.image_ids:
                self._read()
                self._later.ask()
            return
        self._category_id = None
        self._later.ask()

    def _pause(self) -> None:
        self._category_id = None
        self._later.ask()

    def _selection_changed(self) -> None:
        if not self.isVisible():
            self._category_id = None
            return
        category = self._at.current_category
        if (category.id if category else None) != self._category_id:
            self.refresh()
        else:
            self._show_content()

    def refresh(self) -> None:
        """Look for exemplars of the current category."""
        category = self._at.current_category
        self._category_id = category.id if category else None
        kept = self.exemplar.id if self.exemplar else None
        self._ids = self._at.session.queries.exemplar_ids(category.id) if category else ()
        self._place = self._ids.index(kept) if kept in self._ids else 0
        self._read()
        self._show()

    def _read(self) -> None:
        """The exemplar in question only: a project may have ten thousand."""
        there = 0 <= self._place < len(self._ids)
        self._exemplar = self._at.session.queries.instance(self._ids[self._place]) if there else None

    @property
    def exemplar(self) -> InstanceRow | None:
        """The shown accepted instance."""
        return self._exemplar

    def step(self, step: int) -> None:
        """Another exemplar."""
        if self._ids:
            self._place = (self._place + step) % len(self._ids)
            self._read()
            self._show()

    def _show(self) -> None:
        if self._exemplar is None and self._ids:
            self._place = 0  # the one that was shown is gone
            self._read()
        exemplar = self.exemplar
        for button in self._buttons:
            button.setEnabled(len(self._ids) > 1)
        if exemplar is None:
            self.image = None
            self.title.setText(self.tr("SOURCE"))
            self.view.show_image(None)
            self.view.show_content(CanvasContent())
            self.view.show_message(self.tr("No exemplar yet.\n\nLabel one photo: press K, follow the names."))
            return
        row = self._at.session.queries.image(exemplar.image_id)
        if row is None:
            return
        changed = self.image is None or row.id != self.image.id
        self.image = row
        place = self.tr("{n} of {all}").format(n=self._place + 1, all=len(self._ids))
        self.title.setText(self.tr("SOURCE") + f"  {place}   {row.file_name.rsplit('/', 1)[-1]}")
        self.title.setToolTip(plain_tip(row.file_name))
        self.view.show_message("")
        if changed or self.view.pyramid is None:
            self._photos.load(row.path, self._loaded, self._failed)
        self._show_content()
        self.exemplar_changed.emit()

    def _loaded(self, photo: Photo) -> None:
        if self.image is not None and photo.path == self.image.path:
            self.view.show_image(photo.pyramid)

    def _failed(self, error: AppError) -> None:
        self.view.show_image(None)
        self.view.show_message(message_of(error))

    def _show_content(self) -> None:
        exemplar, row = self.exemplar, self.image
        if exemplar is None or row is None:
            return
        shown = shown_instances(categories=self._at.categories, identities=(), instances=(exemplar,), proposals=())
        category = self._at.current_category
        same = category is not None and category.id == exemplar.category_id
        content = canvas_content(
            row,
            shown,
            selected=shown[0].key if shown else None,
            focused=self._at.focused if same else None,
            doubt_below=0.0,
        )
        self.view.show_content(replace(content, editable=False))

    def focused_source(self) -> tuple[ImageRow, tuple[float, float], Box | None] | None:
        """Photo, place of the focused keypoint and box of the exemplar, when it has that keypoint."""
        exemplar, row, category, index = self.exemplar, self.image, self._at.current_category, self._at.focused
        if exemplar is None or row is None or category is None or index is None or category.id != exemplar.category_id:
            return None
        if index >= len(category.definition_ids):
            return None
        keypoints = exemplar.aligned(category.definition_ids)
        if not keypoints.labelled[index]:
            return None
        x, y = keypoints.xy_image[index]
        return row, (float(x), float(y)), keypoints.box_or_extent()
