"""Filters with counts: all, unseen, pending, doubt, nothing here, done, then missing files, tags and keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette
from PySide6.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from kinmark.desktop.panels.image_delegate import draw_state_dot
from kinmark.desktop.services.store_thread import StoreTask
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.widgets.fields import Choice
from kinmark.projects.store.queries.images import ImageFilter

if TYPE_CHECKING:
    from kinmark.projects.project import Project


@dataclass(frozen=True)
class FilterRow:
    """One line of the list."""

    id: str
    text: str
    count: int
    filter: ImageFilter


class _Rows(QWidget):
    """The painted lines; one is chosen."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[FilterRow] = []
        self.current = "all"
        self._hover = -1
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def _line(self) -> int:
        return self.fontMetrics().height() + 8

    def sizeHint(self) -> QSize:
        return QSize(200, self._line * len(self.rows) + 4)

    def set_rows(self, rows: list[FilterRow]) -> None:
        resized = len(rows) != len(self.rows)
        self.rows = rows
        names = ", ".join(f"{r.text} {r.count}" for r in rows)
        self.setAccessibleDescription(names)
        if resized:
            self.updateGeometry()
        self.update()

    def _row_at(self, y: float) -> int:
        place = int((y - 2) // self._line)
        return place if 0 <= place < len(self.rows) else -1

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover = self._row_at(event.position().y())
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        self._hover = -1
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        place = self._row_at(event.position().y())
        if place >= 0:
            self._choose(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        here = next((i for i, r in enumerate(self.rows) if r.id == self.current), 0)
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
        elif 0 <= here + step < len(self.rows):
            self._choose(here + step)

    def _choose(self, place: int) -> None:
        self.current = self.rows[place].id
        self.update()
        self.chosen.emit(self.current)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        palette, line = self.palette(), self._line
        for place, row in enumerate(self.rows):
            rect = QRectF(4, 2 + place * line, self.width() - 8, line)
            current = row.id == self.current
            if current or place == self._hover:
                wash = QColor(palette.color(QPalette.ColorRole.Highlight))
                wash.setAlpha(48 if current else 20)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(wash)
                painter.drawRoundedRect(rect, 5, 5)
            if current and self.hasFocus():
                painter.setPen(palette.color(QPalette.ColorRole.Highlight))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)
            if row.id != "all":
                draw_state_dot(painter, QPointF(rect.left() + 12, rect.center().y()), row.id)
            painter.setPen(palette.color(QPalette.ColorRole.WindowText))
            painter.drawText(rect.adjusted(26, 0, -8, 0), Qt.AlignmentFlag.AlignVCenter, row.text)
            painter.setPen(palette.color(QPalette.ColorRole.PlaceholderText))
            count = f"{row.count:,}".replace(",", " ")
            painter.drawText(
                rect.adjusted(0, 0, -8, 0), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, count
            )


class _CountedList(Choice):
    """A combo box that says when its list is about to open."""

    about_to_show = Signal()

    def showPopup(self) -> None:
        self.about_to_show.emit()
        super().showPopup()


class FilterList(QWidget):
    """GUI thread; owned by the image panel.

    Signals:
        chosen(ImageFilter): another filter.
    """

    chosen = Signal(object)

    def __init__(self, labelling: Labelling, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._at = labelling
        self.rows = _Rows()
        self.rows.setAccessibleName(self.tr("Filters"))
        self.more = _CountedList()
        self.more.about_to_show.connect(self._count_more)
        self.more.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.more.setMinimumContentsLength(14)
        self.more.setAccessibleName(self.tr("More filters"))
        self.more.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._more_filters: list[ImageFilter | None] = [None]
        self._more_texts: list[str] = [""]
        self._counting: StoreTask | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 2)
        layout.setSpacing(4)
        layout.addWidget(self.rows)
        layout.addWidget(self.more)
        self.rows.chosen.connect(self._row_chosen)
        self.more.activated.connect(lambda _: self.chosen.emit(self.filter()))

    def _row_chosen(self, _id: str) -> None:
        self.chosen.emit(self.filter())

    def filter(self) -> ImageFilter:
        """What is chosen, both lists together."""
        from dataclasses import replace

        row = next((r for r in self.rows.rows if r.id == self.rows.current), None)
        base = row.filter if row is not None else ImageFilter()
        place = self.more.currentIndex()
        extra = self._more_filters[place] if 0 <= place < len(self._more_filters) else None
        if extra is None:
            return base
        values = {k: v for k, v in vars(extra).items() if v not in (None, "")}
        return replace(base, **values)

    @property
    def more_text(self) -> str:
        """The chosen entry of the second list, "" for its first."""
        return self._more_texts[self.more.currentIndex()] if self.more.currentIndex() > 0 else ""

    def restore(self, filter_id: str, more: str) -> None:
        """Choose both without announcing it; what is not there any more is passed over."""
        if any(row.id == filter_id for row in self.rows.rows):
            self.rows.current = filter_id
            self.rows.update()
        if more in self._more_texts:
            self.more.setCurrentIndex(self._more_texts.index(more))

    def choose(self, filter_id: str) -> None:
        """Choose a line by its id."""
        self.rows.current = filter_id
        self.rows.update()
        self.chosen.emit(self.filter())

    def refresh(self) -> None:
        """Count again."""
        queries = self._at.session.queries
        counts = queries.counts()
        doubt_below = self._at.settings.current.doubt_below
        doubt = counts.doubt
        if doubt_below != 0.5:
            doubt = queries.count_images(ImageFilter(below=doubt_below))
        rows = [
            FilterRow("all", self.tr("all"), counts.all, ImageFilter()),
            FilterRow("unseen", self.tr("unseen"), counts.unseen, ImageFilter(state="unseen")),
            FilterRow("pending", self.tr("pending"), counts.pending, ImageFilter(state="pending")),
            FilterRow("doubt", self.tr("doubt"), doubt, ImageFilter(below=doubt_below)),
            FilterRow("nothing", self.tr("nothing here"), counts.nothing, ImageFilter(state="nothing")),
            FilterRow("partly", self.tr("partly"), counts.partly, ImageFilter(state="partly")),
            FilterRow("done", self.tr("done"), counts.done, ImageFilter(state="done")),
        ]
        missing = queries.count_images(ImageFilter(file_state="missing"))
        if missing:
            rows.append(FilterRow("error", self.tr("file missing"), missing, ImageFilter(file_state="missing")))
        self.rows.set_rows(rows)
        self._refresh_more()

    def _refresh_more(self) -> None:
        entries: list[tuple[str, ImageFilter | None]] = [(self.tr("any tag, identity, keypoint"), None)]
        queries = self._at.session.queries
        if queries.counts().instances:
            entries += [
                (self.tr("several instances"), ImageFilter(at_least=2)),
                (self.tr("all labelled"), ImageFilter(exhaustive="yes")),
                (self.tr("not all labelled"), ImageFilter(exhaustive="no")),
                (self.tr("not said whether all are labelled"), ImageFilter(exhaustive="unknown")),
            ]
        entries += [(self.tr("tag: {name}").format(name=t), ImageFilter(tag=t)) for t in queries.tags()]
        entries += [
            (self.tr("identity: {name}").format(name=i.name), ImageFilter(identity_id=i.id))
            for i in queries.identities()
        ]
        entries += [
            (self.tr("missing: {name}").format(name=d.name), ImageFilter(missing_definition_id=d.id))
            for c in self._at.categories
            for d in c.definitions
        ]
        texts = [text for text, _ in entries]
        if texts == self._more_texts and self.more.count():
            return
        kept = self._more_texts[self.more.currentIndex()] if self.more.count() else texts[0]
        self.more.blockSignals(True)
        self.more.clear()
        self.more.addItems(texts)
        self._more_filters, self._more_texts = [f for _, f in entries], texts
        self.more.setCurrentIndex(texts.index(kept) if kept in texts else 0)
        self.more.blockSignals(False)

    def _count_more(self) -> None:
        """Put the numbers of photos behind the entries; they are counted on the store thread when the list opens."""
        session, wanted = self._at.session, list(zip(self._more_texts, self._more_filters, strict=True))[1:]
        if self._counting is not None or not wanted:
            return

        def count(project: Project) -> dict[str, int]:
            numbers = {}
            for text, filter_ in wanted:
                task.cancel.check()
                numbers[text] = project.queries.count_images(filter_)
            return numbers

        task = StoreTask("count", count, quiet=True, done=self._show_counts, ended=self._counted)
        self._counting = task
        session.store.submit(task)

    def _counted(self) -> None:
        self._counting = None

    def _show_counts(self, numbers: dict[str, int]) -> None:
        for place, text in enumerate(self._more_texts):
            if text in numbers:
                self.more.setItemText(place, f"{text}   {numbers[text]:,}".replace(",", " "))
