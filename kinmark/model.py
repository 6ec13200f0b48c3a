"""Features of a photo, and points of one photo found in another, without a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kinmark.engine.api import DEFAULT_BACKBONE, Engine, EngineConfig, ImageInput, MatchRequest, MatchSettings, Target
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import ImageTransform

if TYPE_CHECKING:
    from kinmark.engine.local import LocalEngine

Method = Literal["nn", "bilinear", "softargmax", "kernel_softargmax"]


@dataclass(frozen=True)
class Features:
    """A feature map of one photo.

    Attributes:
        array: `[C, h, w]` float32, not normalised.
        photo_wh: size of the photo as shown.
        made_by: the RunSpec as JSON: backbone and revision, timestep, layer, seed ...
    """

    array: NDArray[np.float32]
    photo_wh: tuple[int, int]
    made_by: str
    transform: ImageTransform

    @property
    def cells_wh(self) -> tuple[int, int]:
        """(columns, rows) of the grid."""
        return int(self.array.shape[2]), int(self.array.shape[1])

    def to_cells(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Photo pixels `[..., 2]` to cells (cell centres at whole numbers, corners aligned)."""
        return self.transform.to_feature(xy, self.cells_wh)

    def to_photo(self, cells: ArrayLike) -> NDArray[np.float64]:
        """Cells `[..., 2]` to photo pixels."""
        return self.transform.from_feature(cells, self.cells_wh)

    def at(self, xy: ArrayLike) -> NDArray[np.float32]:
        """Feature vectors `[N, C]` at photo pixels `[N, 2]`, read bilinearly and L2-normalised."""
        from kinmark.engine.pipelines.photo import vectors_at

        return vectors_at(self.array, self.to_cells(_points(xy)))


@dataclass(frozen=True)
class Match:
    """Where points of one photo lie in another: `points` `[N, 2]` float64 photo pixels, `scores` `[N]` (cosine)."""

    points: NDArray[np.float64]
    scores: NDArray[np.float64]


class Model:
    """A diffusion model on a device. Loading takes seconds and happens at the first use; keep the object.

    Args:
        backbone: id of `kinmark models list`, or a diffusers folder.
        device: "auto", "cpu", "cuda" or "mps"; dtype: "auto", "fp32", "bf16" or "fp16".
        threads: of torch on the processor; 0 = all cores.
        cache_dir: where features are kept; None = the person's cache folder.
    """

    def __init__(
        self,
        backbone: str = DEFAULT_BACKBONE,
        *,
        device: str = "auto",
        dtype: str = "auto",
        threads: int = 0,
        cache_dir: Path | str | None = None,
        prompt_dirs: tuple[Path, ...] = (),
    ) -> None:
        from kinmark.engine.local import LocalEngine

        self.backbone = str(backbone)
        folder = Path(cache_dir) if cache_dir is not None else None
        config = EngineConfig(device=device, dtype=dtype, threads=threads, cache_dir=folder, prompt_dirs=prompt_dirs)
        self._engine = LocalEngine(config)

    @property
    def engine(self) -> Engine:
        """The engine behind it, for what has no verb here (`kinmark.engine.api.Engine`)."""
        return self._engine

    def features(self, photo: Path | str, *, prompt: str = "empty", diffusion_only: bool = False) -> Features:
        """The photo's feature map as the backbone's card makes it.

        Args:
            prompt: "empty", "text:a photo of a cat", or "prompt:ID" of a saved prompt.
            diffusion_only: leave out the second descriptor that the card may join to the map.

        Raises:
            UnreadableImageError: not there, or no photo. UserInputError: an unknown backbone or prompt.
        """
        from kinmark.engine.pipelines.photo import photo_features

        made = photo_features(
            self._local().session,
            _image(photo),
            backbone=self.backbone,
            prompt=prompt,
            fusion_weight=0.0 if diffusion_only else None,
        )
        array = made.features.float().cpu().numpy().astype(np.float32)
        return Features(array, made.image_wh, made.spec.to_json(), made.transform)

    def match(
        self,
        source: Path | str,
        points: ArrayLike,
        target: Path | str,
        *,
        method: Method = "kernel_softargmax",
        prompt: str = "auto",
        diffusion_only: bool = False,
    ) -> Match:
        """Find `points` `[N, 2]` (pixels of `source`) in `target`, by the published procedure: one pass, plain cosine.

        Raises:
            UserInputError: no points, or points that are no numbers. UnreadableImageError: either photo.
        """
        settings = MatchSettings(method=method, fusion_weight=0.0 if diffusion_only else None)
        request = MatchRequest(
            "match",
            _image(source),
            _points(points),
            Target(_image(target)),
            settings=settings,
            backbone=self.backbone,
            prompt=prompt,
            want_maps=False,
        )
        found = self._engine.match(request)
        return Match(np.asarray(found.points_xy_image), np.asarray(found.scores))

    def close(self) -> None:
        """Give back models and memory; may be used again afterwards."""
        self._engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _local(self) -> LocalEngine:
        return self._engine


def _image(photo: Path | str) -> ImageInput:
    path = Path(photo)
    return ImageInput(str(path), path)


def _points(xy: ArrayLike) -> NDArray[np.float64]:
    try:
        points = np.asarray(xy, np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise UserInputError("The points are no list of (x, y).", "Give an array of shape [N, 2].") from None
    return points
