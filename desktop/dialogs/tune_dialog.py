"""Tune: kind, pairs used, live curve, held-out before and after, gallery, keep or discard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PySide6.QtGui import QColor
from PySide6.QtWidgets import QComboBox, QDialog, QFormLayout, QHBoxLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from desktop.engine_thread.jobs import JobContext, Priority
from desktop.widgets.before_after import BeforeAfterGallery
from desktop.widgets.message_bar import plain_label
from desktop.widgets.plot import Plot, Series
from engine.domain.errors import AppError

if TYPE_CHECKING:
    from desktop.window.main_window import MainWindow
    from desktop.window.workspace import Workspace

LOSS, HELD_OUT = QColor("#0072B2"), QColor("#D55E00")
GALLERY = 4


class TuneDialog(QDialog):
    """GUI thread. Not modal; tuning runs on the engine thread and can be cancelled; an unfinished run goes on next time."""

    def __init__(self, window: MainWindow, workspace: Workspace) -> None:
        super().__init__(window)
        self._space = workspace
        self._engine = workspace.program.engine
        self._prompt_id = ""
        self._points: list[Any] = []
        self.setWindowTitle(self.tr("Tune the prompt"))
        self.resize(720, 640)
        self.category = QComboBox()
        for category in workspace.labelling.categories:
            self.category.addItem(category.name, category.name)
        current = workspace.labelling.current_category
        if current is not None:
            self.category.setCurrentIndex(max(0, self.category.findData(current.name)))
        self.kind = QComboBox()
        for key, text in (
            ("class", self.tr("one prompt for the category")),
            ("single", self.tr("one prompt for everything")),
            ("conditional", self.tr("a prompt made for each photo (conditional)")),
            ("hidden", self.tr("hidden states (experimental)")),
        ):
            self.kind.addItem(text, key)
        self.steps = QSpinBox()
        self.steps.setRange(0, 100_000)
        self.steps.setSpecialValueText(self.tr("by the number of pairs"))
        self.pairs = plain_label(name="dim")
        self.curve = Plot(self.tr("Loss and held-out PCK@0.1"))
        self.verdict = plain_label(name="heading")
        self.detail = plain_label(name="dim")
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
        self.category.currentIndexChanged.connect(lambda _: self._count())
        self._count()
        self._mode("idle")

    def _build(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow(self.tr("Category"), self.category)
        form.addRow(self.tr("Kind"), self.kind)
        form.addRow(self.tr("Steps"), self.steps)
        form.addRow("", self.pairs)
        close = QPushButton(self.tr("Close"))
        close.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        for button in (close, self.discard_button, self.keep_button, self.stop_button, self.start_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.addLayout(form)
        layout.addWidget(self.curve, 1)
        layout.addWidget(self.verdict)
        layout.addWidget(self.detail)
        layout.addWidget(self.gallery)
        layout.addLayout(buttons)

    def _mode(self, mode: str) -> None:
        running, decided = mode == "running", mode == "result"
        shown: dict[QWidget, bool] = {
            self.start_button: not running,
            self.stop_button: running,
            self.keep_button: decided,
            self.discard_button: decided,
        }
        for widget, on in shown.items():
            widget.setVisible(on)
        for field in (self.category, self.kind, self.steps):
            field.setEnabled(not running)
        self.gallery.setVisible(decided and self.gallery.count > 0)

    def _count(self) -> None:
        from projects.workflows.tune import MIN_INSTANCES

        category = next((c for c in self._space.labelling.categories if c.name == self.category.currentData()), None)
        count = len(self._space.session.queries.exemplar_instances(category.id)) if category is not None else 0
        enough = count >= MIN_INSTANCES
        pairs = count * (count - 1)
        self.pairs.setText(
            self.tr("%n accepted instances, {p} pairs in both directions.", "", count).format(p=pairs)
            if enough
            else self.tr("%n accepted instances; tuning needs at least {m}.", "", count).format(m=MIN_INSTANCES)
        )
        self.start_button.setEnabled(enough)

    def start(self) -> None:
        """Tune in the background; the proposals are made again only when the prompt is kept."""
        from projects.workflows.tune import TuneOptions

        options = TuneOptions(
            category=self.category.currentData() if self.kind.currentData() != "single" else "",
            kind=self.kind.currentData(),
            backbone=self._space.jobs.backbone,
            steps=self.steps.value() or None,
            keep_if_worse=True,
            propose_again=False,
        )

        def run(context: JobContext) -> Any:
            from projects.workflows.tune import tune

            return tune(
                context.project, context.engine, options,
                on_step=context.report, progress=context.progress, cancel=context.cancel,
            )  # fmt: skip

        self._points = []
        self.verdict.setText(self.tr("Tuning..."))
        self.detail.setText("")
        self._mode("running")
        self._engine.submit(
            self.tr("Tuning {name}").format(name=self.category.currentData()), run, group="tune", replace=True,
            on_news=self.add_point, on_done=self.show_outcome, on_failed=self._failed,
        )  # fmt: skip

    def add_point(self, point: Any) -> None:
        """One live point of the curve."""
        self._points.append(point)
        losses = tuple((float(p.step), float(p.loss)) for p in self._points)
        top = max((loss for _, loss in losses if math.isfinite(loss)), default=1.0) or 1.0
        scaled = tuple((step, loss / top) for step, loss in losses)
        held = tuple((float(p.step), float(p.heldout_pck)) for p in self._points if math.isfinite(p.heldout_pck))
        self.curve.show_series(
            [
                Series(self.tr("loss / {top:.3g}").format(top=top), scaled, LOSS),
                Series(self.tr("held-out PCK"), held, HELD_OUT),
            ],
            x_label=self.tr("step"),
            y_range=(0, 1),
        )

    def show_outcome(self, outcome: Any) -> None:
        """Before and after on photos that were held out."""
        r = outcome.result
        self._prompt_id = r.prompt_id
        low, high = r.after_interval
        self.verdict.setText(self.tr("Held-out PCK@0.1: {a:.0%} before, {b:.0%} after").format(a=r.before, b=r.after))
        better = r.after > r.before
        advice = self.tr("Better: keep it.") if better else self.tr("Not better: discard it.")
        interval = self.tr("95 % interval after: {low:.0%} to {high:.0%}; {steps} steps, {s:.0f} s. ")
        self.detail.setText(interval.format(low=low, high=high, steps=r.steps, s=r.seconds) + advice)
        self._mode("result" if r.prompt_id else "idle")
        if r.prompt_id:
            self._ask_gallery()

    def _ask_gallery(self) -> None:
        """The same keypoints on a few labelled photos, matched without and with the new prompt."""
        from desktop.session.tune_gallery import make_gallery

        category, backbone, prompt = self.category.currentData(), self._space.jobs.backbone, self._prompt_id

        def run(context: JobContext) -> Any:
            return make_gallery(context, category=category, backbone=backbone, prompt=prompt, count=GALLERY)

        def done(pictures: Any) -> None:
            self.gallery.show_pictures(pictures)
            self._mode("result")

        self._engine.submit(
            self.tr("Before and after"), run, priority=Priority.SCREEN, group="tune-gallery", replace=True, quiet=True,
            on_done=done, on_failed=lambda _error: None,
        )  # fmt: skip

    def _failed(self, error: AppError) -> None:
        self.verdict.setText(error.user_message)
        self.detail.setText(error.hint)
        self._mode("idle")

    def stop(self) -> None:
        """Cancel; what was tuned so far is continued the next time."""
        self._engine.cancel_group("tune")
        self.verdict.setText(self.tr("Stopped. Tuning again continues from here."))
        self._mode("idle")

    def keep(self) -> None:
        """Keep the prompt ("auto" takes it from now on) and propose again what is pending."""
        from projects.workflows.tune import TuneOptions

        name, backbone, prompt_id = self.category.currentData(), self._space.jobs.backbone, self._prompt_id
        options = TuneOptions(category=name, backbone=backbone)

        def run(context: JobContext) -> Any:
            from types import SimpleNamespace

            from projects.workflows.tune import propose_again

            category = context.project.queries.require_category(name)
            made: Any = SimpleNamespace(prompt_id=prompt_id)
            return propose_again(
                context.project,
                context.engine,
                category,
                options,
                made,
                progress=context.progress,
                cancel=context.cancel,
            )

        self._engine.submit(
            self.tr("Proposing {name} again").format(name=name), run, group="tune-propose", replace=True
        )
        self.accept()

    def discard(self) -> None:
        """Delete the new prompt."""
        prompt_id = self._prompt_id

        def run(context: JobContext) -> Any:
            from projects.workflows.tune import discard

            return discard(context.project, prompt_id)

        self._engine.submit(self.tr("Discarding"), run, priority=Priority.SCREEN, quiet=True)
        self._prompt_id = ""
        self.verdict.setText(self.tr("Discarded."))
        self.detail.setText("")
        self._mode("idle")

    def done(self, result: int) -> None:
        self._engine.cancel_group("tune-gallery")
        super().done(result)
