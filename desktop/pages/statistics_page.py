"""Statistics: progress, actions per accepted keypoint, accuracy per keypoint, calibration, and pictures of what was wrong."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.error_texts import text_of
from kinmark.desktop.pages.part_grid import CONTEXT
from kinmark.desktop.theme.colours import IMAGE_STATE_COLOURS
from kinmark.desktop.widgets.crop_row import Crop, CropRow
from kinmark.desktop.widgets.fields import Choice
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.desktop.widgets.plot import Plot, Series
from kinmark.desktop.workspace import Workspace
from kinmark.projects.figures import Figures, figures_of

BLUE, GREEN, ORANGE, GREY = QColor("#0072B2"), QColor("#009E73"), QColor("#E69F00"), QColor("#8a8f98")


class StatisticsPage(QWidget):
    """GUI thread; owned by the main window while a project is open. The figures are made on a file thread.

    Signals:
        open_image(int): show this photo on the canvas.
    """

    open_image = Signal(int)

    def __init__(self, workspace: Workspace, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._space = workspace
        self.category = Choice()
        self.category.setMinimumWidth(200)
        self.category.setAccessibleName(self.tr("Category"))
        self.category.activated.connect(lambda _: self.refresh())
        self.summary = plain_label(name="heading")
        self.detail = plain_label(name="dim")
        self.states = Plot(self.tr("Photos"))
        self.days = Plot(self.tr("Decisions and labels per day"))
        self.parts = Plot(self.tr("Proposals right, per keypoint"))
        self.calibration = Plot(self.tr("Calibration"))
        self.learning = Plot(self.tr("Right at first sight, by number of labels"))
        self.per_photo = Plot(self.tr("Instances in a photo"))
        self.wrong_title = plain_label(self.tr("Proposals that were wrong, newest first"), name="heading")
        self.wrong = CropRow(workspace.program.thumbnails)
        self.wrong.opened.connect(self.open_image)
        self.table_title = plain_label(self.tr("Keypoints"), name="heading")
        self.table = self._make_table()
        grid = QGridLayout()
        grid.setSpacing(20)
        for place, plot in enumerate((self.states, self.learning, self.parts, self.calibration, self.days)):
            plot.setMinimumHeight(230)
            grid.addWidget(plot, place // 2, place % 2, 1, 2 if plot is self.days else 1)
        self.per_photo.setMinimumHeight(180)
        grid.addWidget(self.per_photo, 3, 0, 1, 2)
        top = QHBoxLayout()
        top.addWidget(self.category)
        top.addStretch(1)
        column = QWidget()
        layout = QVBoxLayout(column)
        layout.setContentsMargins(20, 14, 20, 14)
        layout.addLayout(top)
        layout.addWidget(self.summary)
        layout.addWidget(self.detail)
        layout.addLayout(grid, 1)
        layout.addWidget(self.table_title)
        layout.addWidget(self.table)
        layout.addWidget(self.wrong_title)
        layout.addWidget(self.wrong)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(column)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(0, 6)
        table.setAccessibleName(self.tr("Keypoints"))
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.verticalHeader().hide()
        table.setHorizontalHeaderLabels(
            [
                self.tr("Keypoint"),
                self.tr("visible"),
                self.tr("hidden"),
                self.tr("absent"),
                self.tr("pending"),
                self.tr("not looked at"),
            ]
        )
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        return table

    def page_shown(self) -> None:
        """The page came to the front."""
        kept = self.category.currentData()
        self.category.clear()
        self.category.addItem(self.tr("all categories"), None)
        for category in self._space.labelling.categories:
            self.category.addItem(category.name, category.id)
        self.category.setCurrentIndex(max(0, self.category.findData(kept)))
        self.refresh()

    def refresh(self) -> None:
        """Make the figures in the background (a read-only connection of the pool's own)."""
        folder, category_id = self._space.folder, self.category.currentData()

        def work() -> Figures:
            from kinmark.projects.project import Project

            with Project.open(folder, read_only=True) as project:
                return figures_of(project, category_id)

        self._space.program.pool.submit(
            "figures", work, self.show_figures, failed=lambda e: self.summary.setText(text_of(e))
        )

    def _show_wrong(self, figures: Figures) -> None:
        """Where the model went wrong, as pictures: a click goes there."""
        rows = self._space.session.queries.images_by_id([w.image_id for w in figures.wrong])
        crops = []
        for wrong in figures.wrong:
            row = rows.get(wrong.image_id)
            if row is not None:
                half = max(wrong.side_px * CONTEXT, 8.0)
                box = (wrong.x - half, wrong.y - half, wrong.x + half, wrong.y + half)
                crops.append(Crop(row.id, row.path, box, wrong.keypoint, f"{wrong.confidence:.2f}"))
        self.wrong.show_crops(crops)
        self.wrong_title.setVisible(bool(crops))

    def _show_counts(self, figures: Figures) -> None:
        counts = figures.keypoint_counts
        for widget in (self.table_title, self.table):
            widget.setVisible(bool(counts))
        self.table.setRowCount(len(counts))
        for row, count in enumerate(counts):
            values = (count.visible, count.hidden, count.absent, count.pending, count.lacking)
            for column, text in enumerate((count.name, *(f"{v:,}".replace(",", " ") for v in values))):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
        # The page scrolls, not the table in it.
        height = self.table.horizontalHeader().sizeHint().height() + self.table.verticalHeader().length() + 4
        self.table.setFixedHeight(height)

    def _several(self, f: Figures) -> list[str]:
        """Where photos hold several instances: how many at most, and where all of them are labelled."""
        most = max((count for count, _ in f.per_photo), default=0)
        self.per_photo.setVisible(most > 1)
        self.per_photo.show_series(
            [Series("", tuple((float(i), float(v)) for i, (_, v) in enumerate(f.per_photo)), GREEN, "bars")],
            bar_labels=[str(count) for count, _ in f.per_photo],
        )
        parts = [self.tr("up to {n} instances in a photo").format(n=most)] if most > 1 else []
        if f.exhaustive or f.not_exhaustive:
            text = self.tr("all labelled in %n photos, not all in {m}", "", f.exhaustive)
            parts.append(text.format(m=f.not_exhaustive))
        return parts

    def show_figures(self, figures: Any) -> None:
        """Draw."""
        f: Figures = figures
        counts = (
            self.tr("{done} of %n photos done", "", f.photos).format(done=f.done + f.nothing),
            self.tr("%n instances", "", f.instances),
            self.tr("%n keypoints", "", f.keypoints),
        )
        self.summary.setText(", ".join(counts))
        parts = []
        if f.actions_per_keypoint is not None and f.decisions:
            parts.append(self.tr("{a:.2f} actions per accepted keypoint (by hand: 1)").format(a=f.actions_per_keypoint))
        if f.decisions:
            share = f.accepted / f.decisions
            parts.append(self.tr("%n decisions, {p:.0%} accepted", "", f.decisions).format(p=share))
        self.detail.setText("   ".join(parts + self._several(f)) or self.tr("No proposal was decided yet."))
        self._show_wrong(f)
        self._show_counts(f)
        self._show_states(f)
        self._show_quality(f)

    def _show_states(self, f: Figures) -> None:
        """How far the photos are, and what was done by day."""
        names = [self.tr("unseen"), self.tr("pending"), self.tr("nothing here"), self.tr("partly"), self.tr("done")]
        values = (f.unseen, f.pending, f.nothing, f.partly, f.done)
        self.states.show_series(
            [
                Series(
                    "",
                    tuple((float(i), float(v)) for i, v in enumerate(values)),
                    IMAGE_STATE_COLOURS["done"],
                    "bars",
                    tuple(IMAGE_STATE_COLOURS[state] for state in ("unseen", "pending", "nothing", "partly", "done")),
                )
            ],
            bar_labels=names,
        )
        self.days.show_series(
            [Series("", tuple((float(i), float(v)) for i, (_, v) in enumerate(f.per_day)), BLUE, "bars")],
            bar_labels=[day[5:] for day, _ in f.per_day],
        )

    def _show_quality(self, f: Figures) -> None:
        """How well the proposals fit: by keypoint, by labelled photos, by confidence."""
        self.parts.show_series(
            [Series("", tuple((float(i), r) for i, (_, r, _) in enumerate(f.per_keypoint)), GREEN, "bars")],
            y_range=(0, 1),
            bar_labels=[name for name, _, _ in f.per_keypoint],
            empty=self.tr("Decide about some proposals first."),
        )
        self.learning.show_series(
            [Series("", tuple((float(i), share) for i, (_, share, _) in enumerate(f.learning)), BLUE, "bars")],
            y_range=(0, 1),
            bar_labels=[name for name, _, _ in f.learning],
            x_label=self.tr("labelled photos that the proposals were made from"),
            empty=self.tr("Decide about some proposals first."),
        )
        points = tuple((mean, share) for mean, share, _ in f.reliability)
        self.calibration.show_series(
            [
                Series(self.tr("perfect"), ((0.0, 0.0), (1.0, 1.0)), GREY, "line"),
                Series(self.tr("yours"), points, ORANGE, "points"),
            ]
            if points
            else [],
            x_label=self.tr("confidence said"),
            x_range=(0, 1),
            y_range=(0, 1),
            empty=self.tr("Thirty decisions make this plot."),
        )
