"""What the window asks of the engine thread. Each job reads and writes through the workflows, as the commands do."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from desktop.engine_thread.jobs import JobContext, Priority, Requeue
from desktop.engine_thread.service import EngineService
from desktop.session.labelling import Labelling
from desktop.session.project_session import IMPROVE
from desktop.session.queue import ReviewQueue
from desktop.settings import SettingsStore
from engine.api import (
    SEARCH_METHOD,
    EngineInfo,
    MatchSettings,
    SegmentRequest,
)
from engine.domain.errors import AppError
from engine.domain.geometry import Box
from engine.domain.progress import Progress
from engine.domain.proposals import MaskProposal, SimilarityMap
from projects.store.rows import ImageRow

if TYPE_CHECKING:
    from projects.workflows.copying import CopyOutcome

CHUNK, QUICK_CHUNK = 6, 512
IMPROVE_DELAY_MS = 1200


@dataclass(frozen=True)
class SweepOutcome:
    """What a whole sweep did: proposals stored, and (file name, reason) of photos that could not be read."""

    proposals: int
    failures: tuple[tuple[str, str], ...]
    skipped: int


class _SharedProgress(Progress):
    """The sweep's own count stays while each chunk's workflow counts its photos."""

    def __init__(self, outer: Progress) -> None:
        super().__init__()
        self._outer = outer

    def step(self, count: int = 1, note: str | None = None) -> None:
        self._outer.step(count, note)

    def note(self, text: str) -> None:
        self._outer.note(text)


@dataclass
class ProposeSweep:
    """The `run` of a propose job: a few photos at a time, then room for more urgent work. Lives on the engine thread."""

    image_ids: list[int] | None
    category: str
    backbone: str
    step_name: str = ""
    title: str = ""
    chunk: int = CHUNK
    other_kinds: bool = True
    near: int | None = None
    quick: bool = False
    job: str = field(default_factory=lambda: uuid.uuid4().hex)
    _todo: list[int] | None = None
    _passes: int = 1
    _stored: int = 0
    _skipped: int = 0
    _failures: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, context: JobContext) -> SweepOutcome | Requeue:
        from projects.workflows.propose import ProposeOptions, categories_to_propose, propose

        project = context.project
        if self._todo is None:
            self._todo = list(self.image_ids if self.image_ids is not None else needing_proposals(project, self.near))
            self._passes = len(categories_to_propose(project, self.category))
            context.progress.start(self.title, len(self._todo) * self._passes)
        size = QUICK_CHUNK if self.quick else self.chunk
        part, self._todo = self._todo[:size], self._todo[size:]
        if part:
            options = ProposeOptions(
                category=self.category,
                backbone=self.backbone,
                image_ids=tuple(part),
                settings=MatchSettings(method=SEARCH_METHOD) if self.quick else MatchSettings(),
                other_kinds=self.other_kinds,
                job=self.job,
                step_name=self.step_name,
            )
            before = context.progress.snapshot().done
            shared = _SharedProgress(context.progress)
            outcomes = propose(project, context.engine, options, progress=shared, cancel=context.cancel)
            self._count(project, outcomes)
            # Photos that need nothing count as done too.
            done = before + len(part) * self._passes
            context.progress.step(max(0, done - context.progress.snapshot().done))
        if self._todo:
            return Requeue()
        return SweepOutcome(self._stored, tuple(self._failures), self._skipped)

    def _count(self, project: Any, outcomes: Any) -> None:
        for outcome in outcomes:
            self._stored += outcome.proposals
            self._skipped += len(outcome.skipped)
            for failure in outcome.failures:
                row = project.queries.image(int(failure["image_id"]))
                self._failures.append((row.file_name if row else failure["image_id"], failure["error"]))


def needing_proposals(project: Any, near: int | None = None) -> list[int]:
    """Photos for a full sweep: unseen ones first, then those with proposals, then labelled ones that lack keypoints.

    Each from the photo `near` outwards: what lies beside the photo that is looked at is probably wanted first.
    """
    from projects.store.queries.images import ImageFilter

    place = {id_: index for index, id_ in enumerate(project.queries.image_ids())}
    centre = place.get(near, 0) if near is not None else 0
    order: list[int] = []
    for state in ("unseen", "pending", "partly", "done"):
        ids = project.queries.image_ids(ImageFilter(state=state))
        order += sorted(ids, key=lambda id_: abs(place.get(id_, centre) - centre))
    return order


class EngineJobs(QObject):
    """GUI thread; one per open project.

    Signals:
        heat_ready(SimilarityMap): what speaks for the focused keypoint all over the photo.
        engine_known(EngineInfo): the device that really runs.
        sweep_done(SweepOutcome): a propose sweep ended; find_done(FindSummary): a search ended.
        check_done(tuple of Finding): suspicious labels, worst first.
    """

    heat_ready = Signal(object)
    engine_known = Signal(object)
    sweep_done = Signal(object)
    find_done = Signal(object)
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
        title = self.tr("Proposing {name}").format(name=category) if category else self.tr("Proposing")
        # What a person chose is done as asked; a sweep over all leaves out what is known to show something else.
        sweep = ProposeSweep(
            image_ids, category, self.backbone, title=title, other_kinds=image_ids is not None, quick=quick,
            near=self._at.image.id if self._at.image is not None else None,
        )  # fmt: skip
        self._service.submit(
            title, sweep, priority=Priority.SWEEP, group="sweep", replace=True, on_done=self.sweep_done.emit
        )

    def propose_here(self, image_id: int, category: str) -> None:
        """This photo first."""
        title = self.tr("Proposing on this photo")
        sweep = ProposeSweep([image_id], category, self.backbone, title=title)
        self._service.submit(
            title, sweep, priority=Priority.SCREEN, group="here", replace=True, on_done=self.sweep_done.emit
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
        sweep = ProposeSweep(ahead, category.name, self.backbone, step_name=f"{IMPROVE}{category.name}", chunk=2)
        self._service.submit(
            self.tr("Improving the next photos"),
            sweep,
            priority=Priority.NEIGHBOURS,
            group="improve",
            replace=True,
            quiet=True,
            on_failed=lambda _error: None,  # asked for by nobody; the next sweep will tell
        )

    # -- finding ---------------------------------------------------------------------------------------------------

    def find_identity(self, identity: str, image_ids: list[int] | None = None) -> None:
        """Search an individual that has a confirmed instance, in the background."""
        from desktop.session.find_job import FindSweep

        title = self.tr("Finding {name}").format(name=identity)
        sweep = FindSweep(identity, image_ids, self.backbone, title=title)
        self._service.submit(
            title, sweep, priority=Priority.ASKED, group=f"find:{identity}", replace=True, on_done=self.find_done.emit
        )

    def find_kind(self, kind: str, image_ids: list[int] | None = None) -> None:
        """Search a kind of thing by its word alone, in the background."""
        from desktop.session.find_job import FindSweep

        title = self.tr("Finding {name}").format(name=kind)
        sweep = FindSweep("", image_ids, self.backbone, kind, title=title)
        self._service.submit(
            title, sweep, priority=Priority.ASKED, group=f"find:{kind}", replace=True, on_done=self.find_done.emit
        )

    def sharpen_identity(self, identity: str, image_ids: list[int]) -> None:
        """Score the suggestions again after a denial (it is a hard negative now)."""
        from desktop.session.find_job import FindSweep

        sweep = FindSweep(identity, image_ids, self.backbone, step_name=f"{IMPROVE}suggestions")
        self._service.submit(
            self.tr("Sharpening the list"),
            sweep,
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
            from projects.workflows.check import CheckOptions, check

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
            from projects.workflows.propose import keypoint_map

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
            from projects.workflows.copying import copy_instances

            return copy_instances(
                context.project, context.engine, instance_ids, image_ids, backbone=backbone,
                progress=context.progress, cancel=context.cancel,
            )  # fmt: skip

        self._service.submit(
            self.tr("Copying labels"), run, priority=Priority.SCREEN, group="copy", on_done=done, on_failed=failed
        )

    def try_harder(self, image_id: int, category: str, keypoint: str) -> None:
        """Optimise a prompt for one keypoint and match again on this photo."""
        backbone = self.backbone

        def run(context: JobContext) -> object:
            from projects.workflows.propose import ProposeOptions, propose

            options = ProposeOptions(
                category=category,
                backbone=backbone,
                image_ids=(image_id,),
                only_keypoints=(keypoint,),
                settings=MatchSettings(method="optimise"),
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
