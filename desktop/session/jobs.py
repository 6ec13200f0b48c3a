"""What the window asks of the engine thread. Each job reads and writes through the workflows, as the commands do."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from kinmark.desktop.engine_thread.jobs import Job, JobContext, Priority
from kinmark.desktop.engine_thread.service import EngineService
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.queue import ReviewQueue
from kinmark.desktop.settings import SettingsStore
from kinmark.engine.api import (
    FIRST_LOOK,
    OPTIMISED,
    EngineInfo,
    MatchSettings,
    SegmentRequest,
)
from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.proposals import MaskProposal, SimilarityMap
from kinmark.projects.store.rows import ImageRow
from kinmark.projects.workflows import find as finding
from kinmark.projects.workflows import propose as proposing
from kinmark.projects.workflows.find import FindOutcome, FindSweep
from kinmark.projects.workflows.find_plan import FindOptions
from kinmark.projects.workflows.kept import KeptJob, forget, kept_job
from kinmark.projects.workflows.propose import Pace, ProposeSweep
from kinmark.projects.workflows.propose_all import SweepOutcome, needing_proposals, sweep_outcome
from kinmark.projects.workflows.propose_options import ProposeOptions

if TYPE_CHECKING:
    from kinmark.projects.workflows.copying import CopyOutcome

CHUNK, IMPROVE_CHUNK, FIND_CHUNK = 6, 2, 4
"""Photos between which more urgent work gets in."""
AT_ONCE, QUICK_AT_ONCE = 240, 512
"""Photos that the engine is asked for in one request; a first look takes all of it in one step."""
IMPROVE_DELAY_MS = 1200


class EngineJobs(QObject):
    """GUI thread; one per open project.

    Signals:
        heat_ready(SimilarityMap): what speaks for the focused keypoint all over the photo.
        engine_known(EngineInfo): the device that really runs.
        sweep_done(SweepOutcome): a propose sweep ended; find_done(FindOutcome): a search ended.
        began(): a sweep or search that the project keeps was asked for.
        check_done(tuple of Finding): suspicious labels, worst first.
    """

    heat_ready = Signal(object)
    engine_known = Signal(object)
    sweep_done = Signal(object)
    find_done = Signal(object)
    began = Signal()
    check_done = Signal(object)

    def __init__(
        self,
        service: EngineService,
        labelling: Labelling,
        queue: ReviewQueue,
        settings: SettingsStore,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._service = service
        self._at = labelling
        self._queue = queue
        self._settings = settings
        self._improve = QTimer(self)
        self._improve.setSingleShot(True)
        self._improve.setInterval(IMPROVE_DELAY_MS)
        self._improve.timeout.connect(self._improve_now)
        self._touched: set[int] = set()
        labelling.session.changed.connect(self._changed)

    @property
    def backbone(self) -> str:
        """The project's backbone."""
        return str(self._at.session.queries.setting("backbone", "embedded"))

    # -- proposing -------------------------------------------------------------------------------------------------

    def propose_all(self, image_ids: list[int] | None = None, category: str = "", *, quick: bool = False) -> None:
        """Sweep all photos (or these) in the background; `quick`: a first look at those without proposals."""
        # What a person chose is done as asked; a sweep over all leaves out what is known to show something else.
        options = ProposeOptions(
            category=category,
            backbone=self.backbone,
            image_ids=None if image_ids is None else tuple(image_ids),
            settings=MatchSettings(pipeline=FIRST_LOOK) if quick else MatchSettings(),
            other_kinds=image_ids is not None,
            apart=None if self._settings.current.tell_apart else False,
        )
        near = self._at.image.id if self._at.image is not None else None
        self._sweep(self._proposing(category), options, near=near, keep=True)

    def propose_here(self, image_id: int, category: str) -> None:
        """This photo first."""
        options = ProposeOptions(category=category, backbone=self.backbone, image_ids=(image_id,))
        self._sweep(self.tr("Proposing on this photo"), options, priority=Priority.SCREEN, group="here")

    def _proposing(self, category: str) -> str:
        return self.tr("Proposing {name}").format(name=category) if category else self.tr("Proposing")

    def _sweep(
        self,
        title: str,
        options: ProposeOptions,
        *,
        priority: Priority = Priority.SWEEP,
        group: str = "sweep",
        near: int | None = None,
        keep: bool = False,
        kept: KeptJob | None = None,
    ) -> None:
        job_id = kept.id if kept is not None else uuid.uuid4().hex
        quick = options.settings.pipeline == FIRST_LOOK

        def run(context: JobContext) -> Generator[None, None, SweepOutcome]:
            project, asked = context.project, options
            goes_on = kept_job(project, kept.id) if kept is not None else None  # how far it came is known now
            if asked.image_ids is None and kept is None:
                asked = replace(asked, image_ids=needing_proposals(project, near))
            sweep = ProposeSweep(
                project,
                context.engine,
                asked,
                progress=context.progress,
                cancel=context.cancel,
                pace=Pace(QUICK_AT_ONCE, QUICK_AT_ONCE) if quick else Pace(AT_ONCE, CHUNK),
                kept=goes_on,
            )
            if keep and kept is None:
                sweep.keep(job_id)
            while sweep.left:
                sweep.step(QUICK_AT_ONCE if quick else CHUNK)
                yield
            return sweep_outcome(project, sweep.outcomes)

        self._submit_kept(
            title, run, job_id if keep else "", priority=priority, group=group, on_done=self.sweep_done.emit
        )

    def _submit_kept(
        self,
        title: str,
        run: Callable[[JobContext], object],
        job_id: str,
        *,
        priority: Priority,
        group: str,
        on_done: Callable[[Any], object],
    ) -> None:
        """A job that the project keeps (`job_id`; "" = it does not) until its end, or until somebody stops it."""

        def failed(error: AppError) -> None:
            if isinstance(error, UserInputError):  # it would fail again
                self.forget(job_id)
            self._service.failed.emit(job, error)

        if job_id:
            self.began.emit()
        job: Job | None = self._service.submit(
            title,
            run,
            priority=priority,
            group=group,
            replace=True,
            on_done=on_done,
            on_failed=failed,
            on_stopped=lambda: self.forget(job_id),
        )

    # -- jobs that were cut off --------------------------------------------------------------------------------------

    def forget(self, job_id: str) -> None:
        """Nobody wants a job any more that the project keeps."""
        if job_id:
            self._service.submit(
                self.tr("Forgetting a job"),
                lambda context: forget(context.project, job_id),
                priority=Priority.SCREEN,
                quiet=True,
                on_failed=lambda _error: None,
            )

    def go_on_with(self, kept: KeptJob) -> None:
        """Go on with a sweep or a search that was cut off."""
        if kept.kind == "propose":
            self._sweep(self._proposing(kept.name), proposing.options_of(kept), keep=True, kept=kept)
        elif kept.kind == "find":
            self._find(
                finding.options_of(kept), self._finding(kept.name), group=f"find:{kept.name}", keep=True, kept=kept
            )

    def _changed(self, changes: Any, initiator: object) -> None:
        if initiator is not None and changes.tables & {"keypoint", "instance"}:
            self._touched |= changes.image_ids
            self._improve.start()

    def _improve_now(self) -> None:
        settings = self._settings.current
        if not settings.live_improve or not settings.improve_ahead or not self._touched:
            return
        image = self._at.image
        if image is not None and image.id in self._touched and self._at.has_pending:
            self._improve.start()  # the photo is still being reviewed: one improvement after it is enough
            return
        self._touched.clear()
        category = self._at.current_category
        if category is None or not category.definitions:
            return
        current = self._at.image.id if self._at.image else None
        ahead = self._queue.upcoming(current, settings.improve_ahead)
        if not ahead:
            return
        options = ProposeOptions(
            category=category.name,
            backbone=self.backbone,
            image_ids=tuple(ahead),
            by_itself=True,
            apart=None if settings.tell_apart else False,
        )

        def run(context: JobContext) -> Generator[None, None, None]:
            sweep = ProposeSweep(
                context.project, context.engine, options, progress=context.progress, cancel=context.cancel
            )
            while sweep.left:
                sweep.step(IMPROVE_CHUNK)
                yield

        self._service.submit(
            self.tr("Improving the next photos"),
            run,
            priority=Priority.NEIGHBOURS,
            group="improve",
            replace=True,
            quiet=True,
            on_failed=lambda _error: None,  # asked for by nobody; the next sweep will tell
        )

    # -- finding ---------------------------------------------------------------------------------------------------

    def find_identity(self, identity: str, image_ids: list[int] | None = None) -> None:
        """Search an individual that has a confirmed instance, in the background."""
        options = FindOptions(
            identity=identity, image_ids=None if image_ids is None else tuple(image_ids), backbone=self.backbone
        )
        self._find(options, self._finding(identity), group=f"find:{identity}", keep=True)

    def find_kind(self, kind: str, image_ids: list[int] | None = None) -> None:
        """Search a kind of thing by its word alone, in the background."""
        options = FindOptions(
            name=kind, image_ids=None if image_ids is None else tuple(image_ids), backbone=self.backbone
        )
        self._find(options, self._finding(kind), group=f"find:{kind}", keep=True)

    def _finding(self, name: str) -> str:
        return self.tr("Finding {name}").format(name=name)

    def _find(
        self, options: FindOptions, title: str, *, group: str, keep: bool = False, kept: KeptJob | None = None
    ) -> None:
        job_id = kept.id if kept is not None else uuid.uuid4().hex

        def run(context: JobContext) -> Generator[None, None, FindOutcome]:
            goes_on = kept_job(context.project, kept.id) if kept is not None else None
            sweep = FindSweep(
                context.project, context.engine, options, progress=context.progress, cancel=context.cancel, kept=goes_on
            )
            if keep and kept is None:
                sweep.keep(job_id)
            while sweep.left:
                sweep.step(FIND_CHUNK)
                yield
            return sweep.outcome

        self._submit_kept(
            title, run, job_id if keep else "", priority=Priority.ASKED, group=group, on_done=self.find_done.emit
        )

    def sharpen_identity(self, identity: str, image_ids: list[int]) -> None:
        """Score the suggestions again after a denial (it is a hard negative now)."""
        options = FindOptions(
            identity=identity,
            image_ids=tuple(image_ids),
            backbone=self.backbone,
            step_name="Improve suggestions",
            by_itself=True,
        )

        def run(context: JobContext) -> Generator[None, None, None]:
            sweep = FindSweep(
                context.project, context.engine, options, progress=context.progress, cancel=context.cancel
            )
            while sweep.left:
                sweep.step(FIND_CHUNK)
                yield

        self._service.submit(
            self.tr("Sharpening the list"),
            run,
            priority=Priority.NEIGHBOURS,
            group=f"sharpen:{identity}",
            replace=True,
            quiet=True,
            on_failed=lambda _error: None,
        )

    def check(self, category: str) -> None:
        """Look for labels that are probably wrong."""
        backbone = self.backbone

        def run(context: JobContext) -> object:
            from kinmark.projects.workflows.check import CheckOptions, check

            options = CheckOptions(category=category, backbone=backbone)
            return check(context.project, context.engine, options, progress=context.progress, cancel=context.cancel)

        title = self.tr("Checking labels")
        self._service.submit(
            title, run, priority=Priority.ASKED, group="check", replace=True, on_done=self.check_done.emit
        )

    # -- evidence --------------------------------------------------------------------------------------------------

    def ask_heat(self, category: str, keypoint: str, target: ImageRow) -> None:
        """Where else could the focused keypoint be: what speaks for it all over the shown photo."""
        backbone, image_id = self.backbone, target.id

        def run(context: JobContext) -> object:
            from kinmark.projects.workflows.propose_plan import keypoint_map

            return keypoint_map(
                context.project, context.engine, image_id, category, keypoint, backbone=backbone, cancel=context.cancel
            )

        def done(result: SimilarityMap) -> None:
            if self._at.image is not None and self._at.image.id == image_id:
                self.heat_ready.emit(result)

        self._service.submit(
            self.tr("Heat map"),
            run,
            priority=Priority.SCREEN,
            group="heat",
            replace=True,
            quiet=True,
            on_done=done,
        )

    def segment(self, image: ImageRow, box: Box, done: Callable[[MaskProposal], object]) -> None:
        """A mask from a box."""
        request = SegmentRequest(uuid.uuid4().hex, image.image_input, box=box)
        self._service.submit(
            self.tr("Cutting out"),
            lambda context: context.engine.segment(request, cancel=context.cancel),
            priority=Priority.SCREEN,
            group="segment",
            replace=True,
            on_done=done,
        )

    def copy_warped(
        self,
        instance_ids: Sequence[int],
        image_ids: Sequence[int],
        done: Callable[[CopyOutcome], object],
        failed: Callable[[AppError], object],
    ) -> None:
        """Copy accepted instances to other photos: each keypoint goes where the model finds the same place."""
        backbone = self.backbone

        def run(context: JobContext) -> object:
            from kinmark.projects.workflows.copying import copy_instances

            return copy_instances(
                context.project,
                context.engine,
                instance_ids,
                image_ids,
                backbone=backbone,
                progress=context.progress,
                cancel=context.cancel,
            )

        self._service.submit(
            self.tr("Copying labels"), run, priority=Priority.SCREEN, group="copy", on_done=done, on_failed=failed
        )

    def try_harder(self, image_id: int, category: str, keypoint: str) -> None:
        """Optimise a prompt for one keypoint and match again on this photo."""
        backbone = self.backbone

        def run(context: JobContext) -> object:
            from kinmark.projects.workflows.propose import propose
            from kinmark.projects.workflows.propose_options import ProposeOptions

            options = ProposeOptions(
                category=category,
                backbone=backbone,
                image_ids=(image_id,),
                only_keypoints=(keypoint,),
                settings=MatchSettings(pipeline=OPTIMISED),
            )
            return propose(context.project, context.engine, options, progress=context.progress, cancel=context.cancel)

        title = self.tr("Trying harder on {name}").format(name=keypoint)
        self._service.submit(title, run, priority=Priority.SCREEN, group="harder", replace=True)

    def learn_device(self) -> None:
        """Ask what really runs (loads torch on the engine thread, no model)."""
        self._service.submit(
            self.tr("Looking at the device"),
            lambda context: context.engine.info(),
            priority=Priority.IDLE,
            group="device",
            replace=True,
            quiet=True,
            on_done=self._device_known,
            on_failed=lambda _error: None,
        )

    def _device_known(self, info: EngineInfo) -> None:
        self.engine_known.emit(info)
