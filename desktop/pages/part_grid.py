"""The part grid: one keypoint (or all) on many photos, cropped to the same scale; decide with keys, correct with Alt+click."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSlider, QVBoxLayout, QWidget

from kinmark.desktop.session.reviewer import ROWS_EACH
from kinmark.desktop.states import PointState
from kinmark.desktop.widgets.crop_grid import CropCard, CropGrid
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.desktop.workspace import Workspace
from kinmark.engine.domain.geometry import Box, box_of_points, longer_side
from kinmark.projects.store.rows import ProposalRow

LIMIT = 200
ALL = "category "
CONTEXT = 0.22
"""Half the side of a crop relative to the longer side of the instance: parts come out at the same scale."""


class PartGridPage(QWidget):
    """GUI thread; owned by the main window while a project is open.

    Signals:
        open_image(int): show this photo on the canvas.
    """

    open_image = Signal(int)

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._space = workspace
        self.part = Choice()
        self.part.setMinimumWidth(240)
        self.part.setAccessibleName(self.tr("Keypoint"))
        self.part.activated.connect(lambda _: self.refresh())
        self.shown = Choice()
        self.shown.addItem(self.tr("pending, least sure first"), "pending")
        self.shown.addItem(self.tr("accepted"), "accepted")
        self.shown.setAccessibleName(self.tr("What to show"))
        self.shown.activated.connect(lambda _: self.refresh())
        self.size_slider = QSlider(Qt.Orientation.Horizontal)
        self.size_slider.setRange(96, 200)
        self.size_slider.setValue(128)
        self.size_slider.setMaximumWidth(140)
        self.size_slider.setAccessibleName(self.tr("Size of the crops"))
        self.count = plain_label(name="dim")
        self.grid = CropGrid(workspace.program.thumbnails)
        self.grid.setAccessibleName(self.tr("Crops"))
        self.grid.set_side(128)
        self.size_slider.valueChanged.connect(self.grid.set_side)
        self.grid.accepted.connect(self.accept)
        self.grid.rejected.connect(self.reject)
        self.grid.opened.connect(self._open)
        self.grid.corrected.connect(self._correct)
        self.hint = plain_label(
            self.tr(
                "Enter accepts, X rejects (several at once with Shift or Ctrl), Alt+click corrects, double click opens."
            ),
            name="dim",
        )
        self.empty = plain_label(name="dim")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        top = QHBoxLayout()
        top.addWidget(self.part)
        top.addWidget(self.shown)
        top.addWidget(self.count, 1)
        top.addWidget(self.size_slider)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 8)
        layout.addLayout(top)
        layout.addWidget(self.grid, 1)
        layout.addWidget(self.empty, 1)
        layout.addWidget(self.hint)
        self.setFocusProxy(self.grid)
        workspace.labelling.categories_changed.connect(self._fill)
        workspace.session.changed.connect(self._changed)
        self._fill()

    def page_shown(self) -> None:
        """The page came to the front."""
        name = self._space.labelling.focused_name
        category = self._space.labelling.current_category
        if name and category is not None and self.part.currentData() is None:
            self.choose(category.definitions[self._space.labelling.focused or 0].id)
        self.refresh()

    def choose(self, definition_id: int) -> None:
        """Show another keypoint."""
        place = self.part.findData(definition_id)
        if place >= 0:
            self.part.setCurrentIndex(place)
            self.refresh()

    def _fill(self) -> None:
        kept = self.part.currentData()
        self.part.clear()
        for category in self._space.labelling.categories:
            if category.definitions:
                self.part.addItem(self.tr("{name}: all keypoints").format(name=category.name), f"{ALL}{category.id}")
            for definition in category.definitions:
                self.part.addItem(f"{category.name}: {definition.name}", definition.id)
        # At first one keypoint: crops of one kind are compared at a glance.
        usual = min(1, self.part.count() - 1)
        self.part.setCurrentIndex(self.part.findData(kept) if self.part.findData(kept) >= 0 else usual)
        self.refresh()

    def _changed(self, changes: object, _initiator: object) -> None:
        if self.isVisible() and changes.tables & {"keypoint_proposal", "keypoint", "instance"}:  # type: ignore[attr-defined]
            self.refresh()

    def refresh(self) -> None:
        """Read the crops again."""
        ids = self._definition_ids()
        cards: tuple[CropCard, ...] = ()
        if ids and self.shown.currentData() == "pending":
            cards = self._pending(ids)
        elif ids:
            cards = tuple(card for id_ in ids for card in self._accepted(id_))[:LIMIT]
        self.grid.show_cards(cards)
        self.count.setText(self.tr("%n crops", "", len(cards)) + ("+" if len(cards) >= LIMIT else ""))
        self.grid.setVisible(bool(cards))
        self.empty.setVisible(not cards)
        self.empty.setText(
            self.tr("No proposal of this keypoint waits. Ctrl+P proposes.")
            if self.shown.currentData() == "pending"
            else self.tr("This keypoint is not accepted anywhere yet.")
        )

    def _definition_ids(self) -> tuple[int, ...]:
        """The chosen keypoint, or all of the chosen category."""
        data = self.part.currentData()
        if isinstance(data, str) and data.startswith(ALL):
            wanted = int(data[len(ALL) :])
            return next((c.definition_ids for c in self._space.labelling.categories if c.id == wanted), ())
        return (int(data),) if data is not None else ()

    def _pending(self, definition_ids: tuple[int, ...]) -> tuple[CropCard, ...]:
        queries = self._space.session.queries
        doubt_below = self._space.program.settings.current.doubt_below
        keypoints = [
            k for id_ in definition_ids for k in queries.keypoint_proposals(id_, limit=LIMIT) if k.x is not None
        ]
        keypoints = sorted(keypoints, key=lambda k: k.confidence)[:LIMIT]
        names = {d.id: d.name for c in self._space.labelling.categories for d in c.definitions}
        several = len(definition_ids) > 1
        rows = queries.images_by_id({k.image_id for k in keypoints})
        proposals = {p.id: p for p in queries.proposals(ids=[k.proposal_id for k in keypoints])}
        cards = []
        for k in keypoints:
            row, proposal = rows.get(k.image_id), proposals.get(k.proposal_id)
            if row is None or k.x is None or k.y is None:
                continue
            state = PointState.DOUBTFUL if k.confidence < doubt_below else PointState.PENDING
            half = _side(proposal, row.size_wh) * CONTEXT
            box = (k.x - half, k.y - half, k.x + half, k.y + half)
            text = f"{k.confidence:.2f}" + (f"  {names.get(k.definition_id, '')}" if several else "")
            cards.append(CropCard(k.id, row.id, row.path, box, text, state, (k.x, k.y), k.visibility == 1))
        return tuple(cards)

    def _accepted(self, definition_id: int) -> tuple[CropCard, ...]:
        queries = self._space.session.queries
        category = next(c for c in self._space.labelling.categories if definition_id in c.definition_ids)
        instances = queries.instances(ids=queries.exemplar_ids(category.id, limit=LIMIT))
        rows = queries.images_by_id({i.image_id for i in instances})
        cards = []
        for instance in instances:
            k = next((k for k in instance.keypoints if k.definition_id == definition_id), None)
            row = rows.get(instance.image_id)
            if k is None or row is None or k.x is None or k.y is None:
                continue
            half = longer_side(instance.aligned(category.definition_ids).box_or_extent()) * CONTEXT
            box: Box = (k.x - half, k.y - half, k.x + half, k.y + half)
            state = PointState.ACCEPTED if k.origin == "proposal" else PointState.HUMAN
            text = f"{k.confidence:.2f}" if k.confidence is not None else ""
            cards.append(CropCard(k.id, row.id, row.path, box, text, state, (k.x, k.y), k.visibility == 1))
        return tuple(cards)

    # -- deciding --------------------------------------------------------------------------------------------------

    def _chosen_pending(self) -> list[int]:
        return [c.key for c in self.grid.chosen_cards() if c.state.is_proposal]

    def accept(self) -> None:
        """Enter: accept the chosen crops."""
        ids = self._chosen_pending()
        if ids:
            self._space.session.write_sized(
                len(ids) * ROWS_EACH,
                self.tr("Accept %n keypoints", "", len(ids)),
                lambda do: do.accept_keypoints(ids),
                self,
            )

    def reject(self) -> None:
        """X: reject the chosen crops."""
        ids = self._chosen_pending()
        if ids:
            self._space.session.write_sized(
                len(ids) * ROWS_EACH,
                self.tr("Reject %n keypoints", "", len(ids)),
                lambda do: do.reject_keypoints(ids),
                self,
            )

    def remove(self) -> None:
        """Delete: reject the chosen crops."""
        self.reject()

    def _correct(self, card: CropCard, x: float, y: float) -> None:
        if card.state.is_proposal:
            positions = {card.key: (x, y, 2)}
            self._space.session.write(lambda do: do.accept_keypoints([card.key], positions=positions), self)
        else:
            self._space.session.write(lambda do: do.move_keypoint(card.key, x, y), self)

    def _open(self, card: CropCard) -> None:
        self.open_image.emit(card.image_id)


def _side(proposal: ProposalRow | None, size_wh: tuple[int, int]) -> float:
    """Longer side of a proposed instance, at least a twentieth of the photo."""
    if proposal is not None and proposal.box is not None:
        return max(longer_side(proposal.box), max(size_wh) / 20)
    points = [(k.x, k.y) for k in proposal.keypoints if k.x is not None] if proposal is not None else []
    if len(points) >= 2:
        return max(longer_side(box_of_points(np.array(points, dtype=np.float64))), max(size_wh) / 20)
    return float(max(size_wh)) / 2
