"""Before accepting everything sure: how many, how many of them will be right, and the five least sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from kinmark.desktop.session.reviewer import BulkPreview
from kinmark.desktop.widgets.message_bar import plain_label, plain_tip
from kinmark.engine.api import MINIMUM_DECISIONS
from kinmark.engine.domain.geometry import Box
from kinmark.projects.store.changes import OpChanges

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace

CROP = 104


class BulkAcceptDialog(QDialog):
    """GUI thread. Not modal; one undo takes everything back."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        self._space = workspace
        self.setWindowTitle(self.tr("Accept all sure proposals"))
        self.resize(640, 360)
        self.summary = plain_label(name="heading")
        self.note = plain_label(name="dim")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(50, 99)
        self.slider.setAccessibleName(self.tr("Threshold in percent"))
        self.slider.setValue(round(workspace.program.settings.current.accept_precision * 100))
        self.slider_text = QLabel()
        self.crops = [QLabel() for _ in range(5)]
        self.captions = [plain_label(name="dim") for _ in range(5)]
        self.accept_button = QPushButton()
        self.accept_button.setDefault(True)
        self.accept_button.clicked.connect(lambda _: self.take())
        cancel = QPushButton(self.tr("Cancel"))
        cancel.clicked.connect(self.reject)
        threshold = QHBoxLayout()
        threshold.addWidget(plain_label(self.tr("Threshold")))
        threshold.addWidget(self.slider, 1)
        threshold.addWidget(self.slider_text)
        pictures = QHBoxLayout()
        for crop, caption in zip(self.crops, self.captions, strict=True):
            crop.setFixedSize(CROP, CROP)
            caption.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            caption.setFixedWidth(CROP)
            column = QVBoxLayout()
            column.addWidget(crop)
            column.addWidget(caption)
            pictures.addLayout(column)
        pictures.addStretch(1)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self.accept_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(self.summary)
        layout.addWidget(self.note)
        layout.addLayout(threshold)
        self.least = plain_label(self.tr("The least sure of them:"), name="dim")
        layout.addWidget(self.least)
        layout.addLayout(pictures)
        layout.addStretch(1)
        layout.addLayout(buttons)
        self.slider.valueChanged.connect(self._threshold_changed)
        self.preview: BulkPreview = self._space.reviewer.preview_queue()
        self.renewed = ""
        workspace.session.changed.connect(self._project_changed)
        self._refresh()

    def _project_changed(self, changes: OpChanges, _initiator: object) -> None:
        """Proposals came, went or were improved in the background: show what would be taken now, and say that it is new."""
        if self.isVisible() and changes.tables & {"proposal", "keypoint_proposal", "decision"}:
            shown = self.preview
            preview = self._space.reviewer.preview_queue()
            if (preview.count, preview.masks, preview.lowest) != (shown.count, shown.masks, shown.lowest):
                self.renewed = self.tr("Proposals changed meanwhile: this is what would be taken now.")
            self._refresh()

    def _threshold_changed(self, value: int) -> None:
        self._space.program.settings.change(accept_precision=value / 100)
        self.renewed = ""
        self._refresh()

    def _refresh(self) -> None:
        preview = self.preview = self._space.reviewer.preview_queue()
        self.slider_text.setText(f"{preview.threshold:.0%}")
        self.summary.setText(self._what(preview) if preview.total else self._why_none())
        self.least.setVisible(preview.count > 0)
        if preview.calibrated:
            note = self.tr("Calibrated on {n} of your decisions. The rest stays pending; one Undo takes it back.")
            note = note.format(n=preview.decisions)
        else:
            note = self.tr(
                "Uncalibrated: %n more decisions will fit it to your own. The rest stays pending; one Undo takes it back.",
                "",
                MINIMUM_DECISIONS - preview.decisions,
            )
        self.note.setText(f"{self.renewed}\n{note}" if self.renewed else note)
        self.accept_button.setText(self._title(preview))
        self.accept_button.setEnabled(preview.total > 0)
        self._show_crops(preview)

    def _what(self, preview: BulkPreview) -> str:
        if not preview.masks:
            text = self.tr("%n keypoints will be accepted, about {p:.0%} of them right.", "", preview.count)
        elif not preview.count:
            text = self.tr("%n masks will be accepted, about {p:.0%} of them right.", "", preview.masks)
        else:
            text = self.tr("%n keypoints and {m} will be accepted, about {p:.0%} of them right.", "", preview.count)
        return text.format(p=preview.expected, m=self.tr("%n masks", "", preview.masks))

    def _title(self, preview: BulkPreview) -> str:
        if not preview.masks:
            return self.tr("Accept %n keypoints", "", preview.count)
        if not preview.count:
            return self.tr("Accept %n masks", "", preview.masks)
        return self.tr("Accept %n keypoints and {m}", "", preview.count).format(
            m=self.tr("%n masks", "", preview.masks)
        )

    def _why_none(self) -> str:
        category = self._space.labelling.category
        surest = self._space.session.queries.highest_confidence(category.id if category is not None else None)
        if surest is None:
            return self.tr("No proposal reaches this threshold.")
        return self.tr("No proposal reaches this threshold; the surest has {p:.0%}.").format(p=surest)

    def _show_crops(self, preview: BulkPreview) -> None:
        queries = self._space.session.queries
        rows = queries.images_by_id([k.image_id for k in preview.lowest])
        names = {d.id: d.name for c in self._space.labelling.categories for d in c.definitions}
        for place, (crop, caption) in enumerate(zip(self.crops, self.captions, strict=True)):
            there = place < len(preview.lowest)
            crop.setVisible(there)
            caption.setVisible(there)
            if not there:
                continue
            keypoint = preview.lowest[place]
            row = rows.get(keypoint.image_id)
            name = names.get(keypoint.definition_id, "")
            caption.setToolTip(plain_tip(name))
            name = caption.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, CROP)
            caption.setText(f"{name}\n{keypoint.confidence:.2f}")
            if row is None or keypoint.x is None or keypoint.y is None:
                continue
            side = max(row.width, row.height) * 0.14
            box: Box = (keypoint.x - side, keypoint.y - side, keypoint.x + side, keypoint.y + side)
            pixmap = self._space.program.thumbnails.crop(row.path, box, CROP, lambda: self._show_crops(self.preview))
            if pixmap is not None:
                crop.setPixmap(_with_cross(pixmap))

    def take(self) -> None:
        """Accept and close."""
        messages, hint = self._space.program.messages, self.tr("Ctrl+Z takes all of them back.")
        preview = self.preview
        translate = QCoreApplication.translate  # not `tr`: the dialog is gone when a large acceptance is done

        def done(accepted: int) -> None:
            if preview.masks:
                text = translate("BulkAcceptDialog", "%n keypoints and masks accepted.", "", accepted)
            else:
                text = translate("BulkAcceptDialog", "%n keypoints accepted.", "", accepted)
            gone = preview.total - accepted
            changed = translate("BulkAcceptDialog", "%n were decided or replaced meanwhile. ", "", gone)
            messages.info(text, (changed if gone else "") + hint)

        self._space.session.changed.disconnect(self._project_changed)
        self._space.reviewer.accept_queue(self._title(preview), preview, done)
        self.accept()


def _with_cross(pixmap: QPixmap) -> QPixmap:
    """The crop with a small ring where the keypoint is: in its middle."""
    from PySide6.QtCore import QPointF
    from PySide6.QtGui import QPainter

    from kinmark.desktop.canvas.marks import draw_mark
    from kinmark.desktop.states import PointState

    marked = QPixmap(pixmap)
    painter = QPainter(marked)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw_mark(painter, QPointF(marked.width() / 2, marked.height() / 2), PointState.PENDING)
    painter.end()
    return marked
