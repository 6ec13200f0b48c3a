"""Everything that exists while a project is open, wired together. The main window shows its parts."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from kinmark.desktop.canvas.intents import FinishPlacing
from kinmark.desktop.panels.evidence_panel import EvidencePanel
from kinmark.desktop.panels.image_panel import ImagePanel
from kinmark.desktop.panels.instance_panel import InstancePanel
from kinmark.desktop.panels.queue_panel import QueuePanel
from kinmark.desktop.panels.target_view import TargetView
from kinmark.desktop.program import Program
from kinmark.desktop.services.caretaker import Caretaker
from kinmark.desktop.services.folder_watch import FolderWatch
from kinmark.desktop.services.indexer import Indexer
from kinmark.desktop.services.project_session import ProjectSession
from kinmark.desktop.session.clipboard import Copier
from kinmark.desktop.session.cut_off import CutOffJobs
from kinmark.desktop.session.editor import Editor
from kinmark.desktop.session.finding_texts import finding_text
from kinmark.desktop.session.jobs import EngineJobs
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.place import place_from_setting
from kinmark.desktop.session.queue import ReviewQueue
from kinmark.desktop.session.regrouper import Regrouper
from kinmark.desktop.session.reviewer import Reviewer
from kinmark.desktop.session.shown import ShownInstance
from kinmark.desktop.session.tuning import PromptTuning
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.proposals import SimilarityMap
from kinmark.projects.store.rows import ImageRow

HEAT_DELAY_MS = 180
PREFETCH_DELAY_MS = 40


class Workspace(QObject):
    """GUI thread; owned by the main window. Made when a project opens, closed with it.

    Signals:
        placing_finished(): the person is done placing (the select tool comes back).
        image_shown(ImageRow | None): another photo is current.
    """

    placing_finished = Signal()
    image_shown = Signal(object)

    def __init__(self, program: Program, project: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.program = program
        self.session = ProjectSession(project, program.messages, self)
        self.folder_watch = FolderWatch(project.folder, program.pool, program.messages, self)
        self.caretaker = Caretaker(self.session, self)
        settings = program.settings
        self.labelling = Labelling(self.session, settings, self)
        self.editor = Editor(self.labelling)
        self.copier = Copier(self.labelling)
        self.regrouper = Regrouper(self.labelling)
        self.queue = ReviewQueue(self.session, settings.current.queue_strategy)
        self.labelling.remark = self._remark
        self.reviewer = Reviewer(self.labelling, self.next_review)
        self.jobs = EngineJobs(program.engine, self.labelling, self.queue, settings, self)
        self.tuning = PromptTuning(program.engine, lambda: self.jobs.backbone, self)
        self.cut_off = CutOffJobs(self.session, self.jobs, self.tuning, program.messages, self)
        self.indexer = Indexer(program.engine, self.session, settings, self)
        self.images = ImagePanel(self.labelling, program.thumbnails)
        self.instances = InstancePanel(self.labelling)
        self.evidence = EvidencePanel(self.labelling, program.thumbnails)
        self.evidence.queue = self.queue
        self.review = QueuePanel(self.labelling, self.queue, program.thumbnails)
        self.target = TargetView(self.labelling, program.photos)
        self._previous_image: int | None = None
        self._heat_timer = QTimer(self)
        self._heat_timer.setSingleShot(True)
        self._heat_timer.setInterval(HEAT_DELAY_MS)
        self._heat_timer.timeout.connect(self._ask_heat)
        self._prefetch_timer = QTimer(self)
        self._prefetch_timer.setSingleShot(True)
        self._prefetch_timer.setInterval(PREFETCH_DELAY_MS)
        self._prefetch_timer.timeout.connect(self._prefetch)
        self._heat_for: tuple[object, ...] = ()
        self._connect()

    def _connect(self) -> None:
        at = self.labelling
        self.images.chosen.connect(self.go_to)
        self.review.chosen.connect(self.go_to)
        self.target.canvas.intent.connect(self.handle)
        self.target.source.view.intent.connect(self._source_intent)
        self.instances.hovered.connect(self._hovered)
        self.instances.identity_named.connect(self.name_identity)
        self.evidence.peak_chosen.connect(self.reviewer.take_peak)
        self.evidence.mirror_wanted.connect(self.editor.mirror)
        self.evidence.image_wanted.connect(self.go_to)
        at.image_changed.connect(self._image_changed)
        at.selection_changed.connect(self._selection_changed)
        self.target.source.exemplar_changed.connect(self._selection_changed)
        self.jobs.heat_ready.connect(self._heat_ready)
        self.tuning.finished.connect(self._note_tuning)

    # -- photos ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Show the photo of the last time with its zoom and filter, else the first one."""
        place = place_from_setting(self.session.queries.setting("window.view"))
        self.images.restore(place)
        self.target.restore(place)
        kept = self.session.queries.setting("window.image")
        ids = self.images.model.ids
        first = kept if kept is not None and self.images.model.place_of(kept) is not None else (ids[0] if ids else None)
        self.go_to(first)
        self.cut_off.offer()

    def go_to(self, image_id: int | None) -> None:
        """Show a photo."""
        at = self.labelling
        if image_id is not None and at.image is not None and at.image.id == image_id:
            return
        self._previous_image = at.image.id if at.image is not None else None
        self.editor.end_nudges()
        at.show_image(image_id)

    def _image_changed(self, image: ImageRow | None) -> None:
        if image is not None:
            self.images.show_current(image.id)
            self._prefetch_timer.start()
            self._focus_finding(image)
        self.image_shown.emit(image)

    def _focus_missing(self) -> None:
        """Put the hand on the keypoint that the first incomplete instance lacks."""
        wanted = self.queue.definition_id
        for shown in self.labelling.shown:
            if wanted in shown.definition_ids and shown.instance is not None and wanted not in shown.accepted:
                self.labelling.select(shown.key, shown.definition_ids.index(wanted))
                return

    def _focus_finding(self, image: ImageRow) -> None:
        """Put the eye on the label that the check found suspicious."""
        if self.queue.strategy == "missing":
            self._focus_missing()
            return
        finding = self.queue.worst(image.id)
        if finding is None or self.queue.strategy != "check":
            return
        shown = next((s for s in self.labelling.shown if s.key == f"i{finding.instance_id}"), None)
        if shown is None:
            return
        names = [d.name for d in shown.category.definitions]
        self.labelling.select(shown.key, names.index(finding.keypoint) if finding.keypoint in names else None)

    def look_at_finding(self) -> None:
        """A check ended: the shown photo may be one of those it found."""
        if self.labelling.image is not None:
            self._focus_finding(self.labelling.image)

    def _remark(self) -> str:
        image = self.labelling.image
        finding = self.queue.worst(image.id) if image is not None and self.queue.strategy == "check" else None
        if finding is None:
            return ""
        if finding.kind == "duplicate":
            text = self.tr("{reason}. J merges the two, Ctrl+Del removes this one, Enter: both are there, N goes on.")
        else:
            text = self.tr("{reason}. Drag it, M swaps the sides, Enter: it is fine, N goes on.")
        return text.format(reason=finding_text(finding))

    def doubled(self) -> ShownInstance | None:
        """The instance that the selected one doubles, as the check found."""
        image, key = self.labelling.image, self.labelling.selected_key
        found = self.queue.findings.get(image.id, ()) if image is not None else ()
        other = next((f.other_id for f in found if f.kind == "duplicate" and key == f"i{f.instance_id}"), None)
        return next((s for s in self.labelling.shown if other is not None and s.key == f"i{other}"), None)

    def label_is_fine(self) -> bool:
        """What the check found on this photo is right; False when it found nothing here."""
        at = self.labelling
        found = (
            self.queue.findings.get(at.image.id, ()) if at.image is not None and self.queue.strategy == "check" else ()
        )
        if not found or at.has_pending or self.session.read_only:
            return False
        focused = next(
            (f for f in found if f.keypoint == at.focused_name and at.selected_key == f"i{f.instance_id}"), None
        )
        finding = focused or max(found, key=lambda f: f.score)
        self.queue.mark_fine(finding)
        self.review.refresh()
        if self.queue.worst(finding.image_id) is not None:
            self.look_at_finding()
        else:
            self.next_review()
        return True

    def _prefetch(self) -> None:
        """Decode what probably comes next; after the photo itself was drawn."""
        image = self.labelling.image
        if image is None:
            return
        model = self.images.model
        place = model.place_of(image.id)
        near = [place + s for s in (1, -1, 2)] if place is not None else []
        rows = [model.row(p) for p in near if 0 <= p < len(model.ids)]
        queued = self.session.queries.images_by_id(self.queue.upcoming(image.id, 2))
        paths = [r.path for r in rows if r is not None] + [r.path for r in queued.values()]
        self.program.photos.prefetch(list(dict.fromkeys(paths)))

    def step_image(self, step: int) -> None:
        """Next or previous photo of the list."""
        current = self.labelling.image.id if self.labelling.image else None
        target = self.images.step(step, current)
        if target is not None:
            self.go_to(target)

    def go_to_end(self, last: bool) -> None:
        """First or last photo of the list."""
        ids = self.images.model.ids
        if ids:
            self.go_to(ids[-1 if last else 0])

    def next_unseen(self) -> None:
        """The next photo that nobody looked at."""
        from kinmark.projects.store.queries.images import ImageFilter

        current = self.labelling.image.id if self.labelling.image else None
        unseen = [i for i in self.session.queries.image_ids(ImageFilter(state="unseen")) if i != current]
        place = self.images.model.place_of(current) if current is not None else None
        later = [i for i in unseen if (self.images.model.place_of(i) or 0) > (place or 0)]
        if later or unseen:
            self.go_to((later or unseen)[0])
        else:
            self.program.messages.info(self.tr("Every photo has been seen."))

    def next_review(self) -> None:
        """The photo that needs a person most."""
        current = self.labelling.image.id if self.labelling.image else None
        target = self.queue.next(current)
        if target is not None:
            self.target.bring_instance()
            self.go_to(target)
        elif self.labelling.has_pending:
            self.program.messages.info(self.tr("This is the last photo with proposals."))
        else:
            self.program.messages.info(
                self.tr("Nothing waits for review."), self.tr("Label another photo or press Ctrl+P to propose.")
            )

    def previous_review(self) -> None:
        """Back along the reviewed photos."""
        current = self.labelling.image.id if self.labelling.image else None
        target = self.queue.previous(current)
        if target is not None:
            self.target.bring_instance()
            self.go_to(target)

    def go_to_source(self) -> None:
        """The labelled photo that is shown as source."""
        image = self.target.source.image
        if image is not None:
            self.go_to(image.id)

    # -- intents ---------------------------------------------------------------------------------------------------

    def handle(self, intent: object) -> None:
        """Do what a gesture on the canvas meant."""
        if isinstance(intent, FinishPlacing):
            self.placing_finished.emit()
        elif not self.reviewer.handle(intent):
            self.editor.handle(intent)

    def _source_intent(self, intent: object) -> None:
        """The source is looked at, not edited: a click on a keypoint focuses it on both sides."""
        from kinmark.desktop.canvas.intents import FocusPoint

        if isinstance(intent, FocusPoint):
            self.labelling.focus(intent.index)
        else:
            self.target.source.refresh()  # takes a drag's preview back

    def _hovered(self, key: str, index: int) -> None:
        self.target.canvas.set_hovered((key, index) if index >= 0 else None)

    def _selection_changed(self) -> None:
        self.editor.end_nudges()
        self.target.show_next_name()
        self._heat_timer.start()

    # -- heat map --------------------------------------------------------------------------------------------------

    def _ask_heat(self) -> None:
        """What speaks for the focused keypoint all over the photo, when heat maps are on and an exemplar has it."""
        at, image = self.labelling, self.labelling.image
        if image is None or not self.target.canvas.overlays.heat or not self.target.heat_wanted:
            return
        found, category = self.target.source.focused_source(), at.current_category
        if found is None or category is None:
            if at.heat is not None:
                at.show_heat(None)
            return
        key = (image.id, category.id, at.focused_name)
        if key == self._heat_for and at.heat is not None:
            return
        self._heat_for = key
        self.jobs.ask_heat(category.name, at.focused_name, image)

    def show_heat_maps(self, on: bool) -> None:
        """Switch the heat map of the focused keypoint on or off."""
        self.target.heat_wanted = on
        self._heat_for = ()
        if on:
            self._ask_heat()
        else:
            self.labelling.show_heat(None)

    def _heat_ready(self, result: SimilarityMap) -> None:
        if self.target.heat_wanted:
            self.labelling.show_heat(result)

    # -- small commands --------------------------------------------------------------------------------------------

    @property
    def previous_image(self) -> int | None:
        """The photo shown before this one."""
        return self._previous_image

    def _note_tuning(self) -> None:
        """How long it took, for the estimate before the next one."""
        tuned = self.tuning.tuned
        if tuned is not None and tuned.steps and tuned.seconds and not self.session.read_only:
            took = {"steps": tuned.steps, "seconds": round(tuned.seconds, 1), "kind": tuned.kind}
            self.session.write(lambda do: do.set_setting("window.tuning", took), self)

    def name_identity(self, name: str) -> None:
        """Say who the selected instance is ("" = unknown)."""
        selected = self.labelling.selected
        if selected is None or selected.instance is None:
            return
        instance_id, category_id = selected.instance.id, selected.category.id
        if not name:
            self.session.write(lambda do: do.assign_identity([instance_id], None), self)
            return
        known = self.session.queries.identity(name)

        def assign(do: Any) -> Any:
            with self.session.project.group("Name an instance") as group:
                identity_id = known.id if known is not None else do.add_identity(name, category_id).ids[0]
                do.assign_identity([instance_id], identity_id)
            return group.changes

        self.session.write(assign, self)
        self.target.canvas.setFocus()

    def segment_selected(self) -> None:
        """Cut the selected box out in the background."""
        selected, image = self.labelling.selected, self.labelling.image
        if selected is None or image is None or selected.extent is None:
            self.program.messages.info(self.tr("Select an instance with a box or keypoints first (R draws a box)."))
            return
        key = selected.key

        def done(result: Any) -> None:
            if result.mask is not None and self.labelling.image is not None and self.labelling.image.id == image.id:
                self.editor.set_mask(key, result.mask.decode())

        self.jobs.segment(image, selected.extent, done)

    def try_harder(self) -> None:
        """Optimise a prompt for the focused keypoint."""
        at = self.labelling
        category = at.current_category
        if at.image is None or category is None or not at.focused_name:
            self.program.messages.info(self.tr("Focus a keypoint first."))
            return
        self.jobs.try_harder(at.image.id, category.name, at.focused_name)

    def close(self) -> None:
        """Remember the place and close the connection; nothing may ask the project anything after this."""
        image = self.labelling.image
        if image is not None and not self.session.read_only:
            with contextlib.suppress(AppError):  # the disk may be gone; the place is not worth a message while closing
                self.session.project.operations.set_setting("window.image", image.id)
                place = self.target.place(self.images.place())
                if place != place_from_setting(self.session.queries.setting("window.view")):
                    self.session.project.operations.set_setting("window.view", place.to_setting())
        # After the last change that anybody may hear of: a refresh that it asks for would find the project closed. Settings
        # may change before all this is deleted (the next project is remembered), so nothing is said any more either.
        self.labelling.blockSignals(True)
        for owner in (self, self.jobs, self.images, self.instances, self.evidence, self.review, self.target):
            for timer in owner.findChildren(QTimer):
                timer.stop()
        self.session.close()

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.session.folder
