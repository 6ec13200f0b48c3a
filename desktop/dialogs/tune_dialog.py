"""Tune: kind, pairs used, live curve, held-out before and after, gallery, keep or discard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QDialog, QFormLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from kinmark.desktop.error_texts import hint_of, message_of
from kinmark.desktop.panels.job_bar import duration_text
from kinmark.desktop.session.tuning import TuneWish
from kinmark.desktop.widgets.before_after import BeforeAfterGallery
from kinmark.desktop.widgets.dialog_layout import foot_of, lay_out
from kinmark.desktop.widgets.fields import Choice, indented
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.desktop.widgets.plot import Plot, Series
from kinmark.desktop.widgets.scrolled import keep_on_screen
from kinmark.engine.api import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace

CURVE_BESIDE_PICTURES = 150
WITH_PICTURES = 820
"""Height that shows the pictures of before and after whole."""
LOSS, HELD_OUT = QColor("#0072B2"), QColor("#D55E00")


class TuneDialog(QDialog):
    """GUI thread. Not modal. It shows the project's `PromptTuning`, which goes on when this window is closed."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        self._space = workspace
        self._tuning = workspace.tuning
        self._note = ""
        self.setWindowTitle(self.tr("Tune the prompt"))
        self.resize(720, 640)
        self.category = Choice()
        for category in workspace.labelling.categories:
            self.category.addItem(category.name, category.name)
        current = workspace.labelling.current_category
        if current is not None:
            self.category.setCurrentIndex(max(0, self.category.findData(current.name)))
        self.kind = Choice()
        for key, text in (
            ("class", self.tr("one prompt for the category")),
            ("single", self.tr("one prompt for everything")),
            ("conditional", self.tr("a prompt made for each photo (conditional)")),
            ("hidden", self.tr("hidden states (experimental)")),
        ):
            self.kind.addItem(text, key)
        self.steps = QSpinBox()
        indented(self.steps)
        self.steps.setRange(0, 100_000)
        self.steps.setSpecialValueText(self.tr("by the number of pairs"))
        self.pairs = plain_label(name="dim")
        self.estimate = plain_label(name="dim")
        self.steps.valueChanged.connect(lambda _: self._count())
        self.curve = Plot(self.tr("Loss and held-out PCK@0.1"))
        self.curve.setMinimumHeight(110)
        self.verdict = plain_label(name="heading")
        self.detail = plain_label(name="dim")
        self.alone = plain_label(name="dim")
        self.gallery = BeforeAfterGallery()
        self.start_button = QPushButton(self.tr("Tune"))
        self.start_button.setDefault(True)
        self.start_button.clicked.connect(lambda _: self.start())
        self.stop_button = QPushButton(self.tr("Stop"))
        self.stop_button.clicked.connect(lambda _: self.stop())
        self.discard_button = QPushButton(self.tr("Discard"))
        self.discard_button.clicked.connect(lambda _: self.discard())
        self.keep_button = QPushButton(self.tr("Keep and propose again"))
        self.keep_button.clicked.connect(lambda _: self.keep())
        self._build()
        self.category.currentIndexChanged.connect(lambda _: self._category_chosen())
        self.kind.currentIndexChanged.connect(lambda _: self._count())
        self._tuning.changed.connect(self.refresh)
        self._tuning.point_added.connect(self._draw_curve)
        if self._tuning.wish is not None:
            self.category.setCurrentIndex(max(0, self.category.findData(self._tuning.wish.category)))
            self.kind.setCurrentIndex(max(0, self.kind.findData(self._tuning.wish.kind)))
        self.refresh()
        self._category_chosen()

    def _build(self) -> None:
        form = self._form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.tr("Category"), self.category)
        form.addRow(self.tr("Kind"), self.kind)
        form.addRow(self.tr("Steps"), self.steps)
        form.addRow("", self.pairs)
        form.addRow("", self.estimate)
        if self._space.jobs.backbone == DEFAULT_BACKBONE:
            # Measured: docs/lab/real-sets.md, prompts on the new features.
            text = self.tr("Prompts change little with this model. More labels, or Stable Diffusion, gain more.")
            form.addRow("", plain_label(text, name="dim"))
        close = QPushButton(self.tr("Close"))
        close.clicked.connect(self.reject)
        whole = QVBoxLayout()
        whole.addLayout(form)
        whole.addWidget(self.curve, 1)
        for widget in (self.verdict, self.detail, self.alone, self.gallery):
            whole.addWidget(widget)
        buttons = (close, self.discard_button, self.keep_button, self.stop_button, self.start_button)
        lay_out(self, whole, foot_of(QWidget(), *buttons))

    def refresh(self) -> None:
        """Show what the tuning is at: nothing yet, running, a result that waits for a decision, a failure."""
        tuning = self._tuning
        tuned = tuning.tuned
        shown: dict[QWidget, bool] = {
            self.start_button: not tuning.running and tuned is None,
            self.stop_button: tuning.running,
            self.keep_button: tuned is not None,
            self.discard_button: tuned is not None,
        }
        for widget, on in shown.items():
            widget.setVisible(on)
        for field in (self.category, self.kind, self.steps):
            field.setEnabled(not tuning.running and tuned is None)
        self.keep_button.setDefault(tuned is not None and tuned.better)
        if tuning.running:
            self._say(self.tr("Tuning..."), self.tr("You can close this window and go on working meanwhile."))
        elif tuned is not None:
            self._say(*self._verdict())
        elif tuning.problem is not None:
            self._say(message_of(tuning.problem), hint_of(tuning.problem))
        else:
            self._say(self._note, "")
        self.alone.setText(self._alone())
        self.alone.setVisible(bool(self.alone.text()))
        self.gallery.show_pictures(tuning.pictures)
        self.curve.setMaximumHeight(CURVE_BESIDE_PICTURES if self.gallery.count else 16_777_215)
        if self.gallery.count and self.gallery.isHidden():
            self.resize(self.size().expandedTo(QSize(self.width(), WITH_PICTURES)))
            keep_on_screen(self)
        self.gallery.setVisible(self.gallery.count > 0)
        self._draw_curve()
        self._count()

    def _say(self, verdict: str, detail: str) -> None:
        self.verdict.setText(verdict)
        self.detail.setText(detail)
        self.verdict.setVisible(bool(verdict))
        self.detail.setVisible(bool(detail))

    def _verdict(self) -> tuple[str, str]:
        tuned = self._tuning.tuned
        assert tuned is not None
        if not (math.isfinite(tuned.before) and math.isfinite(tuned.after)):
            return self.tr("The photos held out share no keypoint: nothing was measured."), ""
        verdict = self.tr("Held-out PCK@0.1: {a:.0%} before, {b:.0%} after").format(a=tuned.before, b=tuned.after)
        advice = self.tr("Better: keep it.") if tuned.better else self.tr("Not better: discard it.")
        low, high = tuned.interval
        interval = self.tr("95 % interval after: {low:.0%} to {high:.0%}; {steps} steps, {s:.0f} s. ")
        return verdict, interval.format(low=low, high=high, steps=tuned.steps, s=tuned.seconds) + advice

    def _alone(self) -> str:
        """The published criterion of a result that waits for a decision, or ""."""
        tuned = self._tuning.tuned
        if self._tuning.running or tuned is None or not all(map(math.isfinite, tuned.score)):
            return ""
        text = self.tr("Best place of each keypoint by itself, as in the curve: {a:.0%} before, {b:.0%} after.")
        return text.format(a=tuned.score[0], b=tuned.score[1])

    def _category_chosen(self) -> None:
        self._count()
        self._tuning.look_for_undecided(str(self.category.currentData() or ""))

    def _count(self) -> None:
        from kinmark.projects.workflows.tune import MIN_INSTANCES

        everything = self.kind.currentData() == "single"
        queries, name = self._space.session.queries, self.category.currentData()
        chosen = [c for c in self._space.labelling.categories if everything or c.name == name]
        counts = [len(queries.exemplar_ids(c.id)) for c in chosen]
        count = sum(counts)
        enough = count >= MIN_INSTANCES
        pairs = sum(n * (n - 1) for n in counts)
        self.pairs.setText(
            self.tr("%n accepted instances, {p} pairs in both directions.", "", count).format(p=pairs)
            if enough
            else self.tr("%n accepted instances; tuning needs at least {m}.", "", count).format(m=MIN_INSTANCES)
        )
        self.start_button.setEnabled(enough)
        self.estimate.setText(self._estimate() if enough else "")
        self._form.setRowVisible(self.estimate, bool(self.estimate.text()))

    def _estimate(self) -> str:
        """How long it will take, as far as that is known."""
        if self._tuning.running or self._tuning.tuned is not None:
            return ""
        took = self._space.session.queries.setting("window.tuning")
        try:
            steps, seconds = int(took["steps"]), float(took["seconds"])
            rate = seconds / steps
        except (TypeError, KeyError, ValueError, ZeroDivisionError):
            return self.tr("The first steps show how long it takes. It can be stopped, and goes on from there.")
        wanted = self.steps.value()
        if wanted:
            text = self.tr("About {t} for {n} steps, as fast as the last time.")
            return text.format(t=duration_text(wanted * rate), n=wanted)
        return self.tr("The last time: {n} steps in {t}.").format(n=steps, t=duration_text(seconds))

    def start(self) -> None:
        """Tune in the background; the proposals are made again only when the prompt is kept."""
        self._note = ""
        self._tuning.start(TuneWish(self.category.currentData(), self.kind.currentData(), self.steps.value() or None))

    def _draw_curve(self) -> None:
        points, top = self._tuning.points, self._tuning.loss_top
        losses = tuple((float(p.step), float(p.loss) / top) for p in points if math.isfinite(p.loss))
        held = tuple((float(p.step), float(p.heldout_pck)) for p in points if math.isfinite(p.heldout_pck))
        self.curve.show_series(
            [
                Series(self.tr("loss / {top:.3g}").format(top=top), losses, LOSS),
                Series(self.tr("held-out PCK"), held, HELD_OUT),
            ]
            if points
            else [],
            x_label=self.tr("step"),
            y_range=(0, 1),
        )

    def stop(self) -> None:
        """Cancel; what was tuned so far is continued the next time."""
        self._note = self.tr("Stopped. Tuning again continues from here.")
        self._tuning.stop()

    def keep(self) -> None:
        """Keep the prompt ("auto" takes it from now on) and propose again what is pending."""
        self._tuning.keep()
        self.accept()

    def discard(self) -> None:
        """Delete the new prompt."""
        self._note = self.tr("Discarded.")
        self._tuning.discard()
