"""LocalEngine: the Engine protocol on this machine.

Thread: owned and called by one thread (the engine thread of the window, or the command line's main thread).
Light to import; every method loads what it needs on its first call, so opening an engine costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, MaskProposal, SimilarityMap
from kinmark.engine.requests import (
    DEFAULT_BACKBONE,
    Calibration,
    CategoriesRequest,
    CategoryAnswer,
    CheckRequest,
    DecisionRecord,
    EngineConfig,
    EngineInfo,
    EvaluateRequest,
    FindRequest,
    ImageInput,
    LabelSuspicion,
    MatchRequest,
    MatchResult,
    OptimiseRequest,
    PhotoVectors,
    ProposeRequest,
    SegmentRequest,
    SettingsChoice,
    TargetFailure,
    TuneProgress,
    TuneRequest,
    TuneResult,
    VectorRequest,
)

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession


class LocalEngine:
    """Delegates each request to the module that does the work; holds the session (models, cache, device)."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._session: EngineSession | None = None

    @property
    def session(self) -> EngineSession:
        """The open session; torch is imported here for the first time."""
        if self._session is None:
            from kinmark.engine.session import EngineSession

            self._session = EngineSession(self._config)
        return self._session

    def info(self) -> EngineInfo:
        """See `kinmark.engine.api.Engine.info`."""
        return self.session.info()

    def warm_up(self, backbone: str = DEFAULT_BACKBONE) -> EngineInfo:
        """See `kinmark.engine.api.Engine.warm_up`."""
        self.session.backbone(backbone)
        return self.session.info()

    def prepare(
        self,
        images: tuple[ImageInput, ...],
        backbone: str = DEFAULT_BACKBONE,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> int:
        """See `kinmark.engine.api.Engine.prepare`."""
        return self.session.prepare(images, backbone, progress=progress, cancel=cancel)

    def match(self, request: MatchRequest, *, cancel: CancelToken | None = None) -> MatchResult:
        """See `kinmark.engine.api.Engine.match`."""
        from kinmark.engine.pipelines.pairwise import match_points

        return match_points(self.session, request, cancel=cancel)

    def choose_settings(
        self, request: ProposeRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> SettingsChoice:
        """See `kinmark.engine.api.Engine.choose_settings`."""
        from kinmark.engine.pipelines.registry import choose_settings

        return choose_settings(self.session, request, progress=progress, cancel=cancel)

    def propose_keypoints(
        self, request: ProposeRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[InstanceProposal | TargetFailure]:
        """See `kinmark.engine.api.Engine.propose_keypoints`."""
        from kinmark.engine.pipelines.registry import propose_keypoints

        return propose_keypoints(self.session, request, progress=progress, cancel=cancel)

    def keypoint_map(
        self, request: ProposeRequest, keypoint: str, *, cancel: CancelToken | None = None
    ) -> SimilarityMap:
        """See `kinmark.engine.api.Engine.keypoint_map`."""
        from kinmark.engine.pipelines.sweep import keypoint_map

        return keypoint_map(self.session, request, keypoint, cancel=cancel)

    def tell_apart(
        self, request: CategoriesRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[CategoryAnswer | TargetFailure]:
        """See `kinmark.engine.api.Engine.tell_apart`."""
        from kinmark.engine.pipelines.categories import tell_apart

        return tell_apart(self.session, request, progress=progress, cancel=cancel)

    def calibrate(self, records: tuple[DecisionRecord, ...]) -> Calibration:
        """See `kinmark.engine.api.Engine.calibrate`."""
        from kinmark.engine.matching.confidence import fit_calibration

        return fit_calibration(records)

    def evaluate(
        self, request: EvaluateRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> dict[str, Any]:
        """See `kinmark.engine.api.Engine.evaluate`."""
        from kinmark.engine.evaluation.run import evaluate

        return evaluate(self.session, request, progress=progress, cancel=cancel)

    def check_labels(
        self, request: CheckRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> tuple[LabelSuspicion, ...]:
        """See `kinmark.engine.api.Engine.check_labels`."""
        from kinmark.engine.pipelines.label_check import check_labels

        return check_labels(self.session, request, progress=progress, cancel=cancel)

    def find_instance(
        self, request: FindRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[MaskProposal | TargetFailure]:
        """See `kinmark.engine.api.Engine.find_instance`."""
        from kinmark.engine.instances.find import find_instance

        return find_instance(self.session, request, progress=progress, cancel=cancel)

    def knows_word(self, word: str, backbone: str = DEFAULT_BACKBONE) -> bool:
        """See `kinmark.engine.api.Engine.knows_word`."""
        from kinmark.engine.instances.by_name import knows_word

        return knows_word(self.session, word, backbone)

    def calibrate_instances(self, scores: tuple[float, ...], confirmed: tuple[bool, ...]) -> Calibration:
        """See `kinmark.engine.api.Engine.calibrate_instances`."""
        from kinmark.engine.instances.decision import fit_instance_calibration

        return fit_instance_calibration(scores, confirmed)

    def segment(self, request: SegmentRequest, *, cancel: CancelToken | None = None) -> MaskProposal:
        """See `kinmark.engine.api.Engine.segment`."""
        from kinmark.engine.instances.segment import segment

        return segment(self.session, request, cancel=cancel)

    def photo_vectors(
        self, request: VectorRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[PhotoVectors | TargetFailure]:
        """See `kinmark.engine.api.Engine.photo_vectors`."""
        from kinmark.engine.retrieval.vectors import photo_vectors

        return photo_vectors(self.session, request, progress=progress, cancel=cancel)

    def tune_prompt(
        self,
        request: TuneRequest,
        *,
        on_step: Callable[[TuneProgress], None] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> TuneResult:
        """See `kinmark.engine.api.Engine.tune_prompt`."""
        from kinmark.engine.tuning.job import tune_prompt

        return tune_prompt(self.session, request, on_step=on_step, progress=progress, cancel=cancel)

    def tune_steps(
        self, request: TuneRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Generator[TuneProgress, None, TuneResult]:
        """See `kinmark.engine.api.Engine.tune_steps`."""
        from kinmark.engine.tuning.job import tune_steps

        return tune_steps(self.session, request, progress=progress, cancel=cancel)

    def optimise_point(
        self, request: OptimiseRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[InstanceProposal | TargetFailure]:
        """See `kinmark.engine.api.Engine.optimise_point`."""
        from kinmark.engine.pipelines.optimised import optimise_point

        return optimise_point(self.session, request, progress=progress, cancel=cancel)

    def close(self) -> None:
        """See `kinmark.engine.api.Engine.close`."""
        if self._session is not None:
            self._session.close()
            self._session = None
