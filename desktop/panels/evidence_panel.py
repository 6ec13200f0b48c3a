"""Why a keypoint was proposed there: confidence, margin, agreement, cycle, other peaks, swapped sides."""

from __future__ import annotations

import math

from PySide6.QtCore import QDate, QLocale, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from kinmark.desktop.io.thumbnails import ThumbnailStore
from kinmark.desktop.session.finding_texts import finding_text
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.queue import ReviewQueue
from kinmark.desktop.session.reviewer import CALIBRATED_FROM
from kinmark.desktop.states import PointState
from kinmark.desktop.widgets.crop_row import Crop, CropRow
from kinmark.desktop.widgets.later import Later
from kinmark.desktop.widgets.message_bar import plain_label, show_if
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.store.rows import ImageRow, InstanceRow, KeypointProposalRow

MOST_OF_THE_WINDOW = 0.33
WIDEST_WISH_PX = 300
"""As wide as the panel is in a new window: a long name does not widen it further."""
COUNTED = 2000
"""Decisions counted exactly for the note; that many are plenty."""


EXEMPLAR_PX, EXEMPLAR_SHARE, MOST_EXEMPLARS = 32, 0.2, 6


def shown_number(value: float, pattern: str) -> str:
    """A figure as people write it: no minus before zero, and what is off by more than the animal itself is just that."""
    text = pattern.format(value)
    if text.startswith("-") and not any(c in "123456789" for c in text):
        text = text[1:]
    return "> 100%" if "%" in pattern and value > 1 else text


class EvidencePanel(QWidget):
    """GUI thread; owned by the main window while a project is open.

    Signals:
        peak_chosen(int): put the focused proposal on this peak (0 = best).
        mirror_wanted(): swap the sides of the selected instance.
        image_wanted(int): the labelled photo that a proposal comes from is to be shown.
    """

    peak_chosen = Signal(int)
    mirror_wanted = Signal()
    image_wanted = Signal(int)

    def __init__(self, labelling: Labelling, thumbnails: ThumbnailStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._at = labelling
        self.exemplars = CropRow(thumbnails, side=EXEMPLAR_PX, state=PointState.HUMAN)
        self.exemplars.opened.connect(self.image_wanted)
        self.exemplars.setToolTip(
            self.tr("The labelled photos that this place was taken over from; a click goes there")
        )
        self.exemplars_title = plain_label(name="dim")
        self._strip: tuple[int, tuple[InstanceRow, ...], dict[int, ImageRow]] = (0, (), {})
        self.title = plain_label()
        self.note = plain_label(name="dim")
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(1)
        self._rows: list[tuple[QLabel, QLabel]] = []
        for place in range(5):
            pair = (plain_label(name="dim"), plain_label())
            pair[1].setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            for label in pair:
                label.setWordWrap(False)
                label.setMinimumHeight(self.fontMetrics().height() + 3)
            self._grid.addWidget(pair[0], place, 0)
            self._grid.addWidget(pair[1], place, 1)
            self._rows.append(pair)
        self.peaks: list[QPushButton] = []
        peaks = QHBoxLayout()
        for number in range(3):
            button = QPushButton()
            button.setToolTip(self.tr("Alt+{n}: accept the keypoint at this peak").format(n=number + 1))
            button.clicked.connect(lambda _=False, n=number: self.peak_chosen.emit(n))
            peaks.addWidget(button)
            self.peaks.append(button)
        self.swap = QPushButton(self.tr("Sides swapped?  M exchanges them"))
        self.swap.clicked.connect(self.mirror_wanted)
        self._inner = QWidget()
        layout = QVBoxLayout(self._inner)
        layout.setContentsMargins(10, 8, 10, 8)
        layout.addWidget(self.title)
        layout.addLayout(self._grid)
        layout.addLayout(peaks)
        layout.addWidget(self.swap)
        strip = QHBoxLayout()
        strip.addWidget(self.exemplars_title)
        strip.addWidget(self.exemplars, 1)
        layout.addLayout(strip)
        layout.addWidget(self.note)
        layout.addStretch(1)
        self._area = self._make_area(self._inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._area)
        self.queue: ReviewQueue | None = None
        self._later = Later(self, self.refresh)
        labelling.selection_changed.connect(self._later.ask)
        self.refresh()

    def _make_area(self, inner: QWidget) -> QScrollArea:
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(inner)
        return area

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._keep_size()

    def _keep_size(self) -> None:
        """Ask for the height of the wrapped sentences too: without it Qt lays the rows over each other.

        Of the window it takes at most a share; what does not fit there is scrolled. Sideways nothing is scrolled: the width
        is asked for, so that no number is cut.
        """
        layout = self._inner.layout()
        if layout is not None:
            self.setMinimumWidth(min(self._inner.minimumSizeHint().width(), WIDEST_WISH_PX))
            needed = layout.totalMinimumHeightForWidth(self.width())
            self._inner.setMinimumHeight(needed)
            self.setMinimumHeight(min(needed, round(self.window().height() * MOST_OF_THE_WINDOW)))

    def refresh(self) -> None:
        """Show the focused keypoint's evidence."""
        at = self._at
        selected = at.selected
        proposal = selected.proposal(at.focused) if selected is not None and at.focused is not None else None
        self.title.setText(at.focused_name or self.tr("No keypoint focused"))
        show_if(self.swap, selected is not None and selected.sides_swapped > 0.5)
        self._show_rows(proposal)
        self._show_peaks(proposal)
        self._show_exemplars(proposal)
        self.note.setText("\n".join(t for t in (self._note(proposal), self._made_by(proposal)) if t))
        self._keep_size()

    def _note(self, proposal: KeypointProposalRow | None) -> str:
        at = self._at
        if proposal is None:
            selected = at.selected
            row = selected.keypoint(at.focused) if selected is not None and at.focused is not None else None
            finding = self._finding()
            if finding:
                return self.tr("Looks wrong: {reason}").format(reason=finding)
            if row is None:
                return self.tr("Focus a proposal to see what speaks for it.")
            if row.origin == "human":
                return self.tr("Placed by hand.")
            if row.origin == "imported":
                return self.tr("Imported.")
            return self.tr("Accepted from a proposal.")
        category = at.current_category
        count = at.session.queries.count_decisions(category.id if category else None, at_most=COUNTED)
        if count < CALIBRATED_FROM:
            left = CALIBRATED_FROM - count
            return self.tr("Confidence is uncalibrated: %n more decisions fit it to your own.", "", left)
        number = f"{count}+" if count >= COUNTED else str(count)
        return self.tr("Confidence is calibrated on {n} of your decisions.").format(n=number)

    def _made_by(self, proposal: KeypointProposalRow | None) -> str:
        """What run the focused keypoint comes from: model, prompt, exemplars, day. Empty for hand-made ones."""
        at, selected = self._at, self._at.selected
        if selected is None or at.focused is None:
            return ""
        row = selected.keypoint(at.focused)
        whole = next((p for p in selected.proposals if proposal is not None and p.id == proposal.proposal_id), None)
        run_id = whole.run_id if whole is not None else (row.run_id if row is not None else None)
        run = at.session.queries.run(run_id) if run_id is not None else None
        if run is None:
            return ""
        spec = RunSpec.from_json(run.spec)
        day = QLocale().toString(
            QDate.fromString(run.created_at[:10], Qt.DateFormat.ISODate), QLocale.FormatType.ShortFormat
        )
        text = self.tr("Run of {day}: {model}, prompt {prompt}").format(
            day=day, model=spec.backbone, prompt=spec.prompt
        )
        exemplars = whole.extra.get("exemplar_ids") if whole is not None else None
        if isinstance(exemplars, list) and exemplars:
            text += ", " + self.tr("%n exemplars", "", len(exemplars))
        return text

    def _show_exemplars(self, proposal: KeypointProposalRow | None) -> None:
        """The labelled photos that the focused proposal was made from, cropped around the same keypoint."""
        crops, nearest = [], ""
        if proposal is not None:
            instances, images = self._sources(proposal.proposal_id)
            for instance in sorted(instances, key=lambda i: str(i.image_id) != proposal.source):
                row = next((k for k in instance.keypoints if k.definition_id == proposal.definition_id), None)
                image = images.get(instance.image_id)
                if row is None or row.x is None or row.y is None or image is None:
                    continue
                box = instance.aligned(tuple(k.definition_id for k in instance.keypoints)).box_or_extent()
                half = max(box[2] - box[0], box[3] - box[1], 16.0) * EXEMPLAR_SHARE
                around = (row.x - half, row.y - half, row.x + half, row.y + half)
                name = image.file_name.rsplit("/", 1)[-1]
                nearest = nearest or (name if str(image.id) == proposal.source else "")
                crops.append(Crop(image.id, image.path, around, name, ""))
        self.exemplars.show_crops(crops[:MOST_EXEMPLARS])
        show_if(self.exemplars, bool(crops))
        text = self.tr("Most like {photo}:") if nearest and len(crops) > 1 else self.tr("From {photo}:")
        self.exemplars_title.setText(text.format(photo=nearest or crops[0].title) if crops else "")
        show_if(self.exemplars_title, bool(crops))

    def _sources(self, proposal_id: int) -> tuple[tuple[InstanceRow, ...], dict[int, ImageRow]]:
        """Accepted instances of the photos that a proposal names as its exemplars; read once per proposal."""
        if self._strip[0] != proposal_id:
            selected, queries = self._at.selected, self._at.session.queries
            whole = next((p for p in selected.proposals if p.id == proposal_id), None) if selected is not None else None
            kept = whole.extra.get("exemplar_ids") if whole is not None else None
            ids = [int(i) for i in kept if str(i).isdigit()] if isinstance(kept, list) else []
            ids = ids[: 2 * MOST_EXEMPLARS]
            category = selected.category.id if selected is not None else None
            found = queries.instances(image_ids=ids, category_id=category) if ids else ()
            order = {id_: place for place, id_ in enumerate(ids)}
            found = tuple(sorted(found, key=lambda i: order.get(i.image_id, 0)))
            self._strip = (proposal_id, found, queries.images_by_id(ids))
        return self._strip[1], self._strip[2]

    def _finding(self) -> str:
        """What the data check said about the focused keypoint."""
        at = self._at
        selected = at.selected
        if selected is None or selected.instance is None or at.image is None or self.queue is None:
            return ""
        for finding in self.queue.findings.get(at.image.id, ()):
            if finding.instance_id == selected.instance.id and finding.keypoint == at.focused_name:
                return finding_text(finding)
        return ""

    def _show_rows(self, proposal: KeypointProposalRow | None) -> None:
        signals = proposal.signals if proposal is not None else {}
        values = [
            (self.tr("Confidence"), proposal.confidence if proposal is not None else math.nan, "{:.2f}"),
            (self.tr("Similarity at the peak"), signals.get("peak", math.nan), "{:.2f}"),
            (self.tr("Lead over the next peak"), signals.get("margin", math.nan), "{:.2f}"),
            (self.tr("Agreement of exemplars"), signals.get("agreement", math.nan), "{:.0%}"),
            (self.tr("Off when matched back"), signals.get("cycle", math.nan), "{:.0%}"),
        ]
        for (name, value), (text, number, pattern) in zip(self._rows, values, strict=True):
            known = number is not None and math.isfinite(number)
            show_if(name, known)
            show_if(value, known)
            name.setText(text)
            value.setText(shown_number(number, pattern) if known else "")

    def _show_peaks(self, proposal: KeypointProposalRow | None) -> None:
        peaks = proposal.peaks if proposal is not None else ()
        for number, button in enumerate(self.peaks):
            there = number < len(peaks)
            show_if(button, there)
            if there:
                # Scores of heads reach a little beyond 0 and 1, which says no more than "none" and "full".
                button.setText(f"{number + 1}:  {min(max(peaks[number].score, 0.0), 1.0):.2f}")
