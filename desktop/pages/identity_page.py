"""The identity page: confirmed above, suggested below by likeness; cards are crops with the mask's outline."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QInputDialog,
    QMenu,
    QPushButton,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.canvas.outline import trace_borders
from kinmark.desktop.canvas.simplify import simplify_ring
from kinmark.desktop.io.looks import Look, LookStore
from kinmark.desktop.pages.stacks import stacked
from kinmark.desktop.session.reviewer import ROWS_EACH
from kinmark.desktop.states import PointState
from kinmark.desktop.theme.icons import icon
from kinmark.desktop.widgets.crop_grid import CropCard, CropGrid
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.flow import FlowLayout
from kinmark.desktop.widgets.message_bar import plain_label, plain_tip
from kinmark.desktop.workspace import Workspace
from kinmark.engine.domain.geometry import Box, expand_box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.store.rows import IdentityRow, ImageRow, InstanceRow, ProposalRow

SUGGESTED_LIMIT = 200
SHARPEN_AHEAD = 24
SIDE = 132


class IdentityPage(QWidget):
    """GUI thread; owned by the main window while a project is open.

    Signals:
        open_image(int): show this photo on the canvas.
        find_wanted(): start a search.
    """

    open_image = Signal(int)
    find_wanted = Signal()

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._space = workspace
        self._outlines: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._open_stacks = False
        self._looks = LookStore(workspace.program.pool, self._looked)
        self.who = Choice()
        self.who.setMinimumWidth(240)
        self.who.setAccessibleName(self.tr("Identity"))
        self.who.activated.connect(lambda _: self.refresh())
        self.confirmed = self._grid(self.tr("Confirmed"))
        self.suggested = self._grid(self.tr("Suggested"))
        self.confirmed.empty_text = self.tr("Nothing is confirmed yet.")
        self.suggested.accepted.connect(self.accept)
        self.suggested.rejected.connect(self.reject)
        self.confirmed.rejected.connect(self._unconfirm)
        self.confirmed_title = plain_label(name="caption")
        self.suggested_title = plain_label(name="caption")
        self.hint = plain_label(name="dim")
        self._build()
        workspace.session.changed.connect(self._changed)
        self._fill()

    def _grid(self, name: str) -> CropGrid:
        grid = CropGrid(self._space.program.thumbnails)
        grid.set_side(SIDE)
        grid.setAccessibleName(name)
        grid.opened.connect(lambda card: self.open_image.emit(card.image_id))
        return grid

    def _build(self) -> None:
        find = QPushButton(icon("find"), self.tr("Find..."))
        find.clicked.connect(lambda _: self.find_wanted.emit())
        again = QPushButton(self.tr("Search again"))
        again.clicked.connect(lambda _: self.search_again())
        self.stacks = QToolButton()
        self.stacks.setIcon(icon("archive"))
        self.stacks.setCheckable(True)
        self.stacks.setToolTip(self.tr("Open stacks of near-duplicates (S)"))
        self.stacks.setAccessibleName(self.tr("Open stacks"))
        self.stacks.toggled.connect(self._stacks_toggled)
        more = QToolButton()
        more.setIcon(icon("settings"))
        more.setAccessibleName(self.tr("More"))
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(more)
        menu.addAction(self.tr("Rename..."), self.rename)
        menu.addAction(self.tr("Merge into..."), self.merge)
        menu.addAction(self.tr("Split the selected ones off..."), self.split)
        menu.addAction(self.tr("Forget this identity (instances stay)"), self.forget)
        more.setMenu(menu)
        self.yes = QPushButton(icon("check"), self.tr("Confirm (Enter)"))
        self.yes.clicked.connect(lambda _: self.accept())
        self.no = QPushButton(icon("cross"), self.tr("Deny (Delete)"))
        self.no.clicked.connect(lambda _: self.reject())
        top = FlowLayout(spacing=8)  # in a narrow window the buttons come in two rows
        for widget in (self.who, find, again, self.stacks, more, self.yes, self.no):
            top.addWidget(widget)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        for title, grid in ((self.confirmed_title, self.confirmed), (self.suggested_title, self.suggested)):
            part = QWidget()
            column = QVBoxLayout(part)
            column.setContentsMargins(0, 4, 0, 0)
            column.addWidget(title)
            column.addWidget(grid, 1)
            self.splitter.addWidget(part)
        self.splitter.setSizes([220, 420])
        self.splitter.setChildrenCollapsible(False)
        self.empty = plain_label(
            self.tr(
                "No identity yet.\n\nBox one thing on a photo (R), then press Ctrl+Shift+F to find it on the others."
            ),
            name="dim",
        )
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 8)
        layout.addLayout(top)
        layout.addWidget(self.splitter, 1)
        layout.addWidget(self.empty, 1)
        layout.addWidget(self.hint)
        self.setFocusProxy(self.suggested)

    def page_shown(self) -> None:
        """The page came to the front."""
        self._fill()

    # -- what is shown ---------------------------------------------------------------------------------------------

    @property
    def identity(self) -> IdentityRow | None:
        """The chosen identity."""
        id_ = self.who.currentData()
        return self._space.session.queries.identity(int(id_)) if id_ is not None else None

    def choose_name(self, name: str) -> None:
        """Show another identity."""
        self._fill()
        row = self._space.session.queries.identity(name)
        place = self.who.findData(row.id) if row is not None else -1
        if place >= 0:
            self.who.setCurrentIndex(place)
            self.refresh()

    def _changed(self, changes: Any, _initiator: object) -> None:
        if changes.tables & {"identity"}:
            self._fill()
        elif self.isVisible() and changes.tables & {"instance", "proposal", "mask", "decision"}:
            self.refresh()

    def _fill(self) -> None:
        kept = self.who.currentData()
        rows = self._space.session.queries.identities()
        entries = [(r.id, r.name) for r in rows]
        if [(self.who.itemData(i), self.who.itemText(i)) for i in range(self.who.count())] != entries:
            self.who.clear()
            for id_, name in entries:
                self.who.addItem(name, id_)
            self.who.setCurrentIndex(max(0, self.who.findData(kept)) if entries else -1)
        self.refresh()

    def refresh(self) -> None:
        """Read the cards again."""
        row = self.identity
        self.splitter.setVisible(row is not None)
        self.empty.setVisible(row is None)
        for button in (self.yes, self.no):
            button.setEnabled(row is not None)
        if row is None:
            self.hint.setText("")
            return
        queries = self._space.session.queries
        instances = queries.instances(identity_id=row.id)
        proposals = queries.proposals(identity_id=row.id, kind="mask", order="confidence", limit=SUGGESTED_LIMIT)
        images = queries.images_by_id({*(i.image_id for i in instances), *(p.image_id for p in proposals)})
        confirmed = tuple(self._instance_card(i, images[i.image_id]) for i in instances if i.image_id in images)
        suggested = tuple(self._proposal_card(p, images[p.image_id]) for p in proposals if p.image_id in images)
        if not self._open_stacks:
            suggested = stacked(suggested, self._look)
        self.confirmed.show_cards(confirmed)
        self.suggested.show_cards(suggested)
        self.confirmed_title.setText(self.tr("CONFIRMED  {n}").format(n=len(confirmed)))
        self.suggested.empty_text = self._nothing_suggested(row)
        self.suggested_title.setText(self.tr("SUGGESTED  {n}, most alike first").format(n=len(suggested)))
        calibrated = queries.count_decisions() >= 8
        note = "" if calibrated else self.tr("  Similarity is uncalibrated yet.")
        self.hint.setText(
            self.tr(
                "Enter confirms, Delete denies (several at once with Shift or Ctrl), double click opens the canvas."
            )
            + note
        )

    def _nothing_suggested(self, row: IdentityRow) -> str:
        if row.instance_count > 1 or self._space.session.queries.rejected_images(row.id):
            return self.tr(
                "Every suggestion is decided. “Search again” uses what you said, Ctrl+E exports what is confirmed."
            )
        return self.tr("Suggestions come here as they are found. “Search again” looks through the photos.")

    def _instance_card(self, instance: InstanceRow, image: ImageRow) -> CropCard:
        mask = instance.mask.rle if instance.mask is not None else None
        box = instance.box or (mask.box if mask is not None else _points_box(instance, image))
        state = PointState.ACCEPTED if instance.origin == "proposal" else PointState.HUMAN
        outline = self._outline(("i", instance.id), mask)
        return CropCard(instance.id, image.id, image.path, _square(box), image.path.name, state, outline=outline)

    def _proposal_card(self, proposal: ProposalRow, image: ImageRow) -> CropCard:
        whole: Box = (0.0, 0.0, float(image.width), float(image.height))
        box = proposal.box or (proposal.mask.box if proposal.mask is not None else whole)
        outline = self._outline(("p", proposal.id), proposal.mask)
        doubt = proposal.confidence < self._space.program.settings.current.doubt_below
        state = PointState.DOUBTFUL if doubt else PointState.PENDING
        text = f"{proposal.confidence:.2f}  {image.path.name}"
        return CropCard(
            proposal.id, image.id, image.path, _square(box), text, state, outline=outline, likeness=proposal.confidence
        )

    def _outline(self, key: tuple[str, int], mask: MaskRLE | None) -> tuple[Any, ...]:
        """The mask's border as few vertices, at a quarter of its size (a card shows no more); kept per row."""
        if mask is None:
            return ()
        if key not in self._outlines:
            step = max(1, max(mask.height, mask.width) // 320)
            small = mask.decode()[step // 2 :: step, step // 2 :: step]
            self._outlines[key] = tuple(simplify_ring(ring * step, 1.5 * step) for ring in trace_borders(small)[:12])
        return self._outlines[key]

    def _look(self, card: CropCard) -> Look | None:
        return self._looks.get(card.path, card.box)

    def _looked(self) -> None:
        """Pictures were compared: what is one moment may be folded now."""
        if self.isVisible():
            self.refresh()

    def _stacks_toggled(self, on: bool) -> None:
        self._open_stacks = on
        self.refresh()

    # -- deciding --------------------------------------------------------------------------------------------------

    def _chosen(self) -> list[int]:
        """Proposal ids of the chosen cards, with what the card shown says lies below it."""
        ids: list[int] = []
        for card in self.suggested.chosen_cards():
            ids += [card.key, *card.below]
        return ids

    def accept(self) -> None:
        """Enter: it is the one."""
        ids = self._chosen()
        if ids:
            title = self.tr("Confirm %n suggestions", "", len(ids))
            self._space.session.write_sized(len(ids) * ROWS_EACH, title, lambda do: do.accept_proposals(ids), self)

    def reject(self) -> None:
        """Delete: it is not the one; remembered as a hard negative, the list is sharpened."""
        ids, row = self._chosen(), self.identity
        if not ids or row is None:
            return
        title, name = self.tr("Deny %n suggestions", "", len(ids)), row.name
        self._space.session.write_sized(
            len(ids) * ROWS_EACH, title, lambda do: do.reject_proposals(ids), self, done=lambda _: self._sharpen(name)
        )

    def _sharpen(self, name: str) -> None:
        ahead = [c.image_id for c in self.suggested.model_.cards[:SHARPEN_AHEAD]]
        if ahead and self._space.program.settings.current.live_improve:
            self._space.jobs.sharpen_identity(name, ahead)

    def remove(self) -> None:
        """Delete: deny a suggestion, or take the name off a confirmed one, whichever zone has the keyboard."""
        if self.confirmed.hasFocus():
            self._unconfirm()
        else:
            self.reject()

    def _unconfirm(self) -> None:
        ids = [c.key for c in self.confirmed.chosen_cards()]
        if ids:
            title = self.tr("Take the name off %n instances", "", len(ids))
            self._space.session.write_sized(len(ids) * 2, title, lambda do: do.assign_identity(ids, None), self)

    # -- identity commands -----------------------------------------------------------------------------------------

    def search_again(self) -> None:
        """Search all photos again with what is confirmed and denied by now."""
        row = self.identity
        if row is not None:
            self._space.jobs.find_identity(row.name)

    def rename(self) -> None:
        """Ask for another name."""
        row = self.identity
        if row is None:
            return
        name, ok = QInputDialog.getText(self, self.tr("Rename"), self.tr("Name of the identity"), text=row.name)
        if ok and name.strip() and name.strip() != row.name:
            self._space.session.write(lambda do: do.rename_identity(row.id, name.strip()), self)

    def merge(self) -> None:
        """The same individual goes by another name too."""
        row = self.identity
        others = [i for i in self._space.session.queries.identities() if row is None or i.id != row.id]
        if row is None or not others:
            return
        name, ok = QInputDialog.getItem(
            self,
            self.tr("Merge"),
            plain_tip(self.tr("{name} is the same as").format(name=row.name)),
            [i.name for i in others],
            editable=False,
        )
        other = next((i for i in others if i.name == name), None)
        if ok and other is not None:
            self._space.session.write_sized(
                self._rows_of(row),
                self.tr("Merge"),
                lambda do: do.merge_identities(other.id, [row.id]),
                self,
                done=lambda _: self.choose_name(other.name),
            )

    def split(self) -> None:
        """The selected confirmed ones are somebody else."""
        row, ids = self.identity, [c.key for c in self.confirmed.chosen_cards()]
        if row is None or not ids:
            return
        name, ok = QInputDialog.getText(
            self, self.tr("Split"), self.tr("Name of the other one ({n} selected)").format(n=len(ids))
        )
        if ok and name.strip():
            self._space.session.write(lambda do: do.split_identity(row.id, ids, name.strip()), self)

    @staticmethod
    def _rows_of(row: IdentityRow) -> int:
        return 2 * (row.instance_count + row.pending_count)

    def forget(self) -> None:
        """Drop the identity; its instances stay (undo brings it back)."""
        row = self.identity
        if row is not None:
            self._space.session.write_sized(
                self._rows_of(row), self.tr("Remove an identity"), lambda do: do.remove_identity(row.id), self
            )


def _square(box: Box) -> Box:
    return expand_box(box, margin=0.1, square=True)


def _points_box(instance: InstanceRow, image: ImageRow) -> Box:
    points = [(k.x, k.y) for k in instance.keypoints if k.x is not None and k.y is not None]
    if not points:
        return (0.0, 0.0, float(image.width), float(image.height))
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return min(xs), min(ys), max(xs), max(ys)
