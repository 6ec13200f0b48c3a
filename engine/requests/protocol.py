"""What the layers above may ask for, as protocols."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, MaskProposal, SimilarityMap
from kinmark.engine.requests.finding import FindRequest, SegmentRequest, VectorRequest
from kinmark.engine.requests.keypoints import (
    Calibration,
    CategoriesRequest,
    CheckRequest,
    DecisionRecord,
    MatchRequest,
    OptimiseRequest,
    ProposeRequest,
)
from kinmark.engine.requests.photos import ImageInput
from kinmark.engine.requests.results import (
    CategoryAnswer,
    EngineInfo,
    LabelSuspicion,
    MatchResult,
    PhotoVectors,
    SettingsChoice,
    TargetFailure,
    TuneProgress,
    TuneResult,
)
from kinmark.engine.requests.settings import DEFAULT_BACKBONE
from kinmark.engine.requests.work import EvaluateRequest, TuneRequest


@runtime_checkable
class Engine(Protocol):
    """What the layers above may ask for. `progress` and `cancel` may be None."""

    def info(self) -> EngineInfo:
        """The device and dtype in use now (does not load a model)."""
        ...

    def warm_up(self, backbone: str = DEFAULT_BACKBONE) -> EngineInfo:
        """Load the backbone so that the next call is fast."""
        ...

    def prepare(
        self,
        images: tuple[ImageInput, ...],
        backbone: str = DEFAULT_BACKBONE,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> int:
        """Fill the feature cache for whole images; returns how many were computed (not already there)."""
        ...

    def match(self, request: MatchRequest, *, cancel: CancelToken | None = None) -> MatchResult:
        """Match points of one image to another."""
        ...

    def choose_settings(
        self, request: ProposeRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> SettingsChoice:
        """Leave-one-exemplar-out over the grid of methods/matching.md (fields of `request.settings` that are set stay)."""
        ...

    def propose_keypoints(
        self, request: ProposeRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[InstanceProposal | TargetFailure]:
        """Per target, in the order of the request: its failure, or none to `limit` proposals, best first."""
        ...

    def keypoint_map(
        self, request: ProposeRequest, keypoint: str, *, cancel: CancelToken | None = None
    ) -> SimilarityMap:
        """What speaks for one keypoint all over the first target, from all exemplars: why it was proposed there."""
        ...

    def tell_apart(
        self, request: CategoriesRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[CategoryAnswer | TargetFailure]:
        """Which categories each target shows, in the order of the request; without weights to tell by, all of them."""
        ...

    def calibrate(self, records: tuple[DecisionRecord, ...]) -> Calibration:
        """Fit the confidence model on decisions; raises UserInputError for fewer than 30."""
        ...

    def evaluate(
        self, request: EvaluateRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> dict[str, Any]:
        """A JSON-able report; see `EvaluateRequest`."""
        ...

    def check_labels(
        self, request: CheckRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> tuple[LabelSuspicion, ...]:
        """Labels that look wrong, most suspicious first."""
        ...

    def find_instance(
        self, request: FindRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[MaskProposal | TargetFailure]:
        """Zero or more proposals per target ("not here": one with mask None), in the order of the request.

        Without references the word `class_name` is searched by its attention alone; UserInputError when it is not known.
        """
        ...

    def knows_word(self, word: str, backbone: str = DEFAULT_BACKBONE) -> bool:
        """Whether the backbone's text model knows this class name (else only a photo of the thing can be searched for)."""
        ...

    def calibrate_instances(self, scores: tuple[float, ...], confirmed: tuple[bool, ...]) -> Calibration:
        """Fit the confidence of found instances to confirmed / denied ones; `kind` "prior" below 8 decisions."""
        ...

    def segment(self, request: SegmentRequest, *, cancel: CancelToken | None = None) -> MaskProposal:
        """A mask inside one image."""
        ...

    def photo_vectors(
        self, request: VectorRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[PhotoVectors | TargetFailure]:
        """Pooled vectors of photos and regions, for the index."""
        ...

    def tune_prompt(
        self,
        request: TuneRequest,
        *,
        on_step: Callable[[TuneProgress], None] | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> TuneResult:
        """Fine-tune a prompt; resumes from `work_dir` when an unfinished run of the same request lies there."""
        ...

    def tune_steps(
        self, request: TuneRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Generator[TuneProgress, None, TuneResult]:
        """`tune_prompt` point by point: other calls may come in between; closing it keeps what was tuned so far."""
        ...

    def optimise_point(
        self, request: OptimiseRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[InstanceProposal | TargetFailure]:
        """Per-point prompt optimisation; proposals hold only the asked keypoints."""
        ...

    def close(self) -> None:
        """Give back models and memory; the engine may be used again afterwards."""
        ...


class NeighbourDoor(Protocol):
    """A photo found by `VectorIndexDoor.search`: its id and cosine similarity."""

    @property
    def image_id(self) -> int:
        """The caller's image id."""
        ...

    @property
    def similarity(self) -> float:
        """Best cosine over query rows and the photo's rows."""
        ...


class VectorIndexDoor(Protocol):
    """An index of photos' vectors on disk; see `kinmark.engine.retrieval.index.VectorIndex`."""

    def __len__(self) -> int: ...

    def __contains__(self, image_id: int) -> bool: ...

    def stale(self, wanted: Mapping[int, str]) -> tuple[list[int], list[int]]:
        """`{image id: sha256}` -> (ids to add or replace, ids to remove)."""
        ...

    def put(self, image_id: int, sha256: str, vectors: NDArray[np.float32]) -> None:
        """Add a photo or replace its vectors `[R, D]`."""
        ...

    def remove(self, image_ids: Iterable[int]) -> int:
        """Take photos out; returns how many were there."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def save(self) -> None:
        """Write it to its folder."""
        ...

    def search(self, queries: NDArray[np.float32], count: int, *, distinctive: bool = False) -> Sequence[NeighbourDoor]:
        """The `count` photos most alike to any query row `[Q, D]`, best first.

        distinctive: what the query shares with most of the collection counts less; `similarity` is then no cosine.
        """
        ...
