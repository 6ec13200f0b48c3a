"""The engine's door: frozen requests in, frozen results out. Importing this module loads no torch.

`open_engine()` returns the local engine (torch loads on its first use). Requests carry everything they need; results name
the request and the RunSpec that made them. Streaming calls yield one result per target as soon as it exists; between
results the worker checks `cancel`. One engine is used by one thread.

Errors: KnownError (model missing/corrupt, unreadable image, out of memory), UserInputError (nothing to do, bad settings),
OperationCancelled. An unreadable *target* of a sweep does not stop it: it is reported through `TargetFailure`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.domain.errors import AppError
from engine.domain.geometry import Box
from engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from engine.domain.masks import MaskRLE
from engine.domain.progress import CancelToken, Progress
from engine.domain.proposals import (
    InstanceProposal,
    KeypointProposal,
    KeypointSignals,
    MaskProposal,
    SimilarityMap,
)
from engine.domain.runspec import RunSpec

if TYPE_CHECKING:
    from engine.backbones.manager import ModelManager

if TYPE_CHECKING:
    from engine.prompts.library import PromptLibrary

MATCH_METHODS = ("nn", "bilinear", "softargmax", "kernel_softargmax", "optimise")
SEARCH_METHOD = "search"
"""`MatchSettings.method` of a first look: all photos at once on small stored maps, for proposing only."""
DEFAULT_BACKBONE = "embedded"


@dataclass(frozen=True)
class ImageInput:
    """One photo: `image_id` is the caller's, `sha256` of the file's bytes (computed when empty)."""

    image_id: str
    path: Path
    sha256: str = ""


@dataclass(frozen=True)
class Exemplar:
    """An accepted, labelled image used as a source; `keypoints` in the schema's order, xy_image."""

    image: ImageInput
    keypoints: InstanceKeypoints
    mask: MaskRLE | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Target:
    """Where to search: the whole image, or only inside `box` / `mask` (similarity outside is -inf)."""

    image: ImageInput
    box: Box | None = None
    mask: MaskRLE | None = None


@dataclass(frozen=True)
class MatchSettings:
    """How exemplars are matched (methods/matching.md). None = let the engine choose ("auto").

    Attributes:
        method: one of MATCH_METHODS.
        stages: 1 whole image, 2 find-crop-match.
        rotations: 1, 4 or 8 orientations of each exemplar.
        flip: also use mirrored exemplars with left/right names swapped.
        fusion_weight: of the second descriptor (0 diffusion only, 1 second descriptor only).
        fuse_exemplars: "max" or "mean" of similarity maps.
        location_prior: weight (0..1) of the exemplars' keypoint positions for scenes with a fixed camera.
        shape_weight: weight (0..1) of the joint choice of peaks by the exemplars' shape.
        temperature, sigma_cells, top_k, nms_cells: of selection and peaks.
    """

    method: str | None = None
    stages: int | None = None
    rotations: int | None = None
    flip: bool | None = None
    fusion_weight: float | None = None
    fuse_exemplars: str | None = None
    location_prior: float | None = None
    shape_weight: float | None = None
    temperature: float = 0.04
    sigma_cells: float = 7.0
    top_k: int = 3
    nms_cells: int = 2
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SettingsChoice:
    """What leave-one-exemplar-out chose, with its figures: `table` rows are (description, PCK@0.1, seconds per image)."""

    settings: MatchSettings
    table: tuple[tuple[str, float, float], ...] = ()
    exemplars: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """A fitted confidence model as plain numbers (`kind` "prior" or "project"; see engine.matching.confidence)."""

    kind: str
    decisions: int
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DecisionRecord:
    """One decision about a proposed keypoint: its signals, whether it proved correct, the visibility proposed."""

    signals: KeypointSignals
    correct: bool
    visibility: int = 2


@dataclass(frozen=True)
class ProposeRequest:
    """Propose the keypoints of `category` on every target from the exemplars.

    `collection`: photos that stand for the whole collection where statistics and settings are taken from it; () = the
    targets. A sweep that asks for a few targets at a time names the same ones each time.
    """

    request_id: str
    category: str
    schema: KeypointSchema
    exemplars: tuple[Exemplar, ...]
    targets: tuple[Target, ...]
    settings: MatchSettings = MatchSettings()
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    calibration: Calibration | None = None
    only_keypoints: tuple[int, ...] | None = None
    collection: tuple[ImageInput, ...] = ()

    @property
    def statistics_images(self) -> list[ImageInput]:
        """The collection, or the targets' images where none was named."""
        return list(self.collection) or [target.image for target in self.targets]


@dataclass(frozen=True)
class MatchRequest:
    """Match free points of one image to another, with similarity maps for the evidence panel."""

    request_id: str
    source: ImageInput
    points_xy_image: NDArray[np.float64]
    target: Target
    source_box: Box | None = None
    settings: MatchSettings = MatchSettings()
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    want_maps: bool = True


@dataclass(frozen=True)
class MatchResult:
    """`points_xy_image` `[N, 2]` float64, `scores` `[N]`, one map per point when asked for."""

    request_id: str
    points_xy_image: NDArray[np.float64]
    scores: NDArray[np.float64]
    keypoints: tuple[KeypointProposal, ...]
    maps: tuple[SimilarityMap, ...]
    spec: RunSpec


@dataclass(frozen=True)
class Reference:
    """The instance to find again: image plus mask, box or point (all None: by class name alone)."""

    image: ImageInput
    mask: MaskRLE | None = None
    box: Box | None = None
    point_xy_image: tuple[float, float] | None = None


@dataclass(frozen=True)
class InstanceSettings:
    """PDM settings (methods/instances.md). None = the backbone card's choice.

    Attributes:
        variant: "pdm" (paper) or "pdm-votes" (released code).
        inversion_steps: 0 = one seeded noising (one-step), else DDIM inversion steps.
        mode: "fused", "appearance" or "semantic".
        refine: "grabcut", "threshold", or a path / id of a SAM-family folder.
        max_instances: distinct instances per image.
        threshold: calibrated confidence under which the answer is "not here".
    """

    variant: str = "pdm"
    inversion_steps: int | None = None
    mode: str = "fused"
    refine: str = "grabcut"
    background_suppression: bool | None = None
    max_instances: int = 1
    threshold: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FindRequest:
    """Rank the targets by how surely they hold the reference instance and propose its mask on them."""

    request_id: str
    references: tuple[Reference, ...]
    targets: tuple[ImageInput, ...]
    class_name: str = ""
    negatives: tuple[Reference, ...] = ()
    settings: InstanceSettings = InstanceSettings()
    backbone: str = DEFAULT_BACKBONE
    calibration: Calibration | None = None


@dataclass(frozen=True)
class SegmentRequest:
    """Mask of one instance in one image from a box, points or a rough mask (no reference image)."""

    request_id: str
    image: ImageInput
    box: Box | None = None
    positive_xy_image: tuple[tuple[float, float], ...] = ()
    negative_xy_image: tuple[tuple[float, float], ...] = ()
    mask: MaskRLE | None = None
    refine: str = "grabcut"


@dataclass(frozen=True)
class DescriptorRequest:
    """Pooled descriptors for the vector index: of whole images, or of a box/mask inside each."""

    request_id: str
    targets: tuple[Target, ...]
    backbone: str = DEFAULT_BACKBONE


@dataclass(frozen=True)
class Descriptor:
    """`vectors` `[R, D]` float32, L2-normalised: row 0 the whole image/region, further rows sub-regions."""

    request_id: str
    image_id: str
    vectors: NDArray[np.float32]
    spec: RunSpec


@dataclass(frozen=True)
class TuneRequest:
    """Fine-tune a prompt on accepted instances (methods/prompts.md).

    `collection`: photos without labels that proposals take statistics and settings from; () = the held-out photos.
    """

    request_id: str
    category: str
    schema: KeypointSchema
    exemplars: tuple[Exemplar, ...]
    kind: str = "class"
    backbone: str = DEFAULT_BACKBONE
    steps: int | None = None
    epochs: int | None = None
    seed: int = 0
    out_dir: Path | None = None
    work_dir: Path | None = None
    keep_if_worse: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    collection: tuple[ImageInput, ...] = ()


@dataclass(frozen=True)
class TuneProgress:
    """One live point of the tuning curve; `heldout_pck` is NaN between evaluations."""

    step: int
    steps: int
    loss: float
    heldout_pck: float = float("nan")


@dataclass(frozen=True)
class HeldOutFigures:
    """PCK@0.1 before and after on held-out photos and the same without its steps (`soft`: mean of 1 / (1 + (error / 0.1)^2)),
    with 95 % bootstrap intervals over photos; gains are paired. NaN = not measured."""

    before: float = float("nan")
    after: float = float("nan")
    before_interval: tuple[float, float] = (float("nan"), float("nan"))
    after_interval: tuple[float, float] = (float("nan"), float("nan"))
    gain_interval: tuple[float, float] = (float("nan"), float("nan"))
    soft_before: float = float("nan")
    soft_after: float = float("nan")
    soft_gain_interval: tuple[float, float] = (float("nan"), float("nan"))


@dataclass(frozen=True)
class TuneResult:
    """The outcome: `prompt_id` ("" when discarded), PCK@0.1 before/after with 95 % bootstrap intervals.

    `before`, `after`: of the score alone (published criterion); `proposals`: of what a sweep proposes on the same photos;
    `better`: whether the figure that decides rose beyond noise; `kept`: better, or kept all the same. `uses_prompt` is
    False where the settings that the exemplars chose look at the second descriptor alone: no prompt changes what is proposed.
    """

    request_id: str
    prompt_id: str
    folder: Path | None
    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    kept: bool
    steps: int
    seconds: float
    curve: tuple[TuneProgress, ...] = ()
    proposals: HeldOutFigures = HeldOutFigures()
    better: bool = False
    uses_prompt: bool = True


@dataclass(frozen=True)
class OptimiseRequest:
    """Per-point prompt optimisation (methods/point-optimisation.md) of some keypoints of one exemplar on some targets."""

    request_id: str
    exemplar: Exemplar
    schema: KeypointSchema
    keypoints: tuple[int, ...]
    targets: tuple[Target, ...]
    category: str = ""
    backbone: str = DEFAULT_BACKBONE
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluateRequest:
    """Measure on a published data set in its own layout under a named protocol (methods/evaluation.md).

    `dataset`: spair, pfpascal, pfwillow, cub, ap10k (correspondence); folder, perseg, permis, permir, davis (instances).
    `limit` 0 = everything; `work_file` keeps finished pairs so that an interrupted run goes on.
    """

    dataset: str
    root: Path
    split: str = "test"
    protocol: str = "ours"
    settings: MatchSettings = MatchSettings()
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    limit: int = 0
    work_file: Path | None = None


@dataclass(frozen=True)
class CheckRequest:
    """Look for labels that do not fit their namesakes; every exemplar is judged from the others."""

    request_id: str
    category: str
    schema: KeypointSchema
    exemplars: tuple[Exemplar, ...]
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"


@dataclass(frozen=True)
class LabelSuspicion:
    """One label that looks wrong: `kind` "far" (another place fits its namesakes better) or "swapped" (the twin's place).

    `score` 0..1; `suggested_xy_image` is where the others put the keypoint; `keypoint` is an index of the schema.
    """

    image_id: str
    exemplar: int
    keypoint: int
    kind: str
    score: float
    suggested_xy_image: tuple[float, float]


@dataclass(frozen=True)
class TargetFailure:
    """One target that could not be processed; the sweep went on."""

    image_id: str
    error: AppError


@dataclass(frozen=True)
class EngineInfo:
    """What really runs: device and dtype names, memory, backbone id, and the sentence for the job bar."""

    device: str
    dtype: str
    backbone: str
    memory_used_bytes: int = 0
    memory_total_bytes: int = 0
    note: str = ""


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
        """One proposal per target, in the order of the request."""
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

    def descriptors(
        self, request: DescriptorRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[Descriptor | TargetFailure]:
        """Pooled descriptors for the vector index."""
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


@dataclass(frozen=True)
class EngineConfig:
    """How to open the local engine.

    Attributes:
        device: "auto", "cpu", "cuda", "mps"; dtype: "auto", "fp32", "bf16", "fp16".
        cache_dir: feature cache folder (None = platform cache folder); cache_bytes its cap (0 = no cache).
        models_dir: folder of downloaded / added backbones (None = platform data folder).
        prompt_dirs: folders searched for saved prompts (a project's `prompts/`).
        threads: CPU threads for torch (0 = all cores).
        compile: compile the model's blocks at their first use (torch.compile; needs a C++ compiler, minutes at first).
    """

    device: str = "auto"
    dtype: str = "auto"
    cache_dir: Path | None = None
    cache_bytes: int = 4 << 30
    models_dir: Path | None = None
    prompt_dirs: tuple[Path, ...] = ()
    threads: int = 0
    compile: bool = False


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
    """A vector index of photos' descriptors on disk; see `engine.retrieval.index.VectorIndex`."""

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


def open_vector_index(folder: Path, fingerprint: str, *, read_only: bool = False) -> VectorIndexDoor:
    """The vector index in `folder` for descriptors of that fingerprint (empty when there is none); loads no torch."""
    from engine.retrieval.index import VectorIndex

    return VectorIndex(folder, fingerprint, read_only=read_only)


def open_engine(config: EngineConfig | None = None) -> Engine:
    """The local engine; returns at once, torch is imported when the first call needs it."""
    from engine.local import LocalEngine  # deferred: engine.local is light, but keeps this module free of cycles

    return LocalEngine(config or EngineConfig())


def open_models(models_dir: Path | None = None) -> ModelManager:
    """The backbones on this machine (list, add, download, verify, self-test, remove); loads no torch."""
    from engine.backbones.manager import ModelManager

    return ModelManager(models_dir)


def open_prompts(folders: tuple[Path, ...], models_dir: Path | None = None) -> PromptLibrary:
    """The saved prompts of these folders (list, find, export, import, delete); loads no torch by itself."""
    from engine.prompts.library import PromptLibrary as Library

    return Library(folders, models_dir)
