"""FeatureReader: the parts of views ready for matching, kept in memory for the length of one request.

Thread: the engine thread. A part is one dense descriptor of a view (diffusion map, second descriptor), unfused, so that
any fusion weight can be tried on the same maps.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kinmark.engine.domain.geometry import Box, ImageTransform, rescale_corner_aligned
from kinmark.engine.domain.kept import Kept
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.features.maps import FeatureMap
from kinmark.engine.features.views import ImageView, crop_view
from kinmark.engine.requests import ImageInput

if TYPE_CHECKING:
    from kinmark.engine.backbones.prompt import Prompt
    from kinmark.engine.session import EngineSession

DIFFUSION, DESCRIPTOR = "diffusion", "descriptor"
DEFAULT_DESCRIPTOR = "dense_sift"
KEEP_BYTES = 768 << 20


@dataclass(frozen=True)
class ViewParts:
    """Maps of one view: `maps` part name -> `[C, h, w]` float32; the grid of all matching is `cells_wh`."""

    maps: dict[str, Tensor]
    transform: ImageTransform
    image_wh: tuple[int, int]
    cells_wh: tuple[int, int]
    spec: RunSpec

    def to_cells(self, xy_image: ArrayLike) -> NDArray[np.float64]:
        """xy_image to xy_feature of the matching grid."""
        return self.transform.to_feature(xy_image, self.cells_wh)

    def to_image(self, xy_feature: ArrayLike) -> NDArray[np.float64]:
        """xy_feature of the matching grid to xy_image."""
        return self.transform.from_feature(xy_feature, self.cells_wh)

    @property
    def cells_per_input(self) -> NDArray[np.float64]:
        """`[2]`: cells per input pixel in x and y (corner-aligned)."""
        return rescale_corner_aligned([1.0, 1.0], self.transform.input_wh, self.cells_wh)


class FeatureReader:
    """Reads parts of views of one backbone and prompt.

    Args:
        session: open engine session.
        backbone: id or path.
        prompt: of `session.prompt`.
    """

    def __init__(
        self, session: EngineSession, backbone: str, prompt: Prompt, cancel: CancelToken | None = None
    ) -> None:
        self.session, self.prompt, self.cancel = session, prompt, cancel
        self.extractor = session.extractor(backbone)
        spec = self.extractor.backbone.spec
        self.card_weight = spec.fusion.weight if spec.fusion.descriptor else 0.0
        self.descriptor = spec.fusion.descriptor or DEFAULT_DESCRIPTOR
        self.kernel_width = float(spec.fusion.extra.get("kernel_width", 0.0))
        """Of the second descriptor's scores (0 = plain cosine); only for unwhitened features."""
        self._kept: Kept[str, FeatureMap] = Kept(KEEP_BYTES, lambda maps: maps.features.nbytes)
        self.memo: dict[Hashable, Any] = {}
        """Small results (query vectors of exemplars) that outlive a request; cleared when it grows large."""

    def size_wh(self, image: ImageInput) -> tuple[int, int]:
        """Size of the oriented image; UnreadableImageError."""
        return self.session.source.size_wh(image)

    def whole_size(self, image_wh: tuple[int, int]) -> tuple[int, int]:
        """Network input of a whole image."""
        return self.extractor.backbone.spec.input_size_for(image_wh)

    def crop_size(self) -> tuple[int, int]:
        """Network input of a square crop."""
        return self.extractor.backbone.spec.input_size_for((1, 1))

    def whole(self, image: ImageInput) -> ImageView:
        """The whole image, squashed as the backbone's card says."""
        size = self.size_wh(image)
        return ImageView(image, ImageTransform.resize(size, self.whole_size(size)))

    def turned(self, image: ImageInput, box: Box, input_wh: tuple[int, int], angle: float, flip: bool) -> ImageView:
        """`box` turned about its centre by `angle`, mirrored if `flip`."""
        return crop_view(image, box, input_wh, angle, flip)

    def read(
        self, views: Sequence[ImageView], weight: float | None = None, progress: Progress | None = None
    ) -> list[ViewParts]:
        """Parts of the views: both, or only one where `weight` is 0 or 1. From memory, the disk cache, or computed."""
        maps = {name: self._maps(views, name, progress) for name in self.wanted(weight)}
        return [
            _joined(view, self.size_wh(view.image), {name: own[index] for name, own in maps.items()})
            for index, view in enumerate(views)
        ]

    def wanted(self, weight: float | None) -> tuple[str, ...]:
        """Names of the parts that a fusion weight needs."""
        if weight is None:
            return (DIFFUSION, DESCRIPTOR)
        return ((DIFFUSION,) if weight < 1 else ()) + ((DESCRIPTOR,) if weight > 0 else ())

    def _maps(self, views: Sequence[ImageView], name: str, progress: Progress | None) -> list[FeatureMap]:
        """One part of the views, each kept for the other weights that ask for it."""
        keys = [self._key(view, name) for view in views]
        found = {key: kept for key in keys if (kept := self._kept.get(key)) is not None}
        missing = {key: view for key, view in zip(keys, views, strict=True) if key not in found}
        if missing:
            for key, maps in zip(missing, self._compute(list(missing.values()), name, progress), strict=True):
                found[key] = self._kept.put(key, replace(maps, features=maps.features.float()))
        return [found[key] for key in keys]

    def _compute(self, views: list[ImageView], name: str, progress: Progress | None) -> list[FeatureMap]:
        with self.session.guarded():
            if name == DESCRIPTOR:
                return self.extractor.descriptor_maps(views, self.descriptor, cancel=self.cancel, progress=progress)
            recipe = self.extractor.recipe()
            return self.extractor.diffusion_maps(views, self.prompt, recipe, cancel=self.cancel, progress=progress)

    def _key(self, view: ImageView, name: str) -> str:
        # The hash, not the name: a file that changed on disk must not meet its old features.
        return f"{self.session.source.sha256(view.image)}|{view.key()}|{name}"


def _joined(view: ImageView, image_wh: tuple[int, int], maps: dict[str, FeatureMap]) -> ViewParts:
    finest = max(maps.values(), key=lambda m: m.cells_wh[0] * m.cells_wh[1])
    spec = next(iter(maps.values())).spec
    features = {name: m.features for name, m in maps.items()}
    return ViewParts(features, view.transform, image_wh, finest.cells_wh, spec)


def open_reader(session: EngineSession, backbone: str, prompt: Prompt, cancel: CancelToken | None) -> FeatureReader:
    """The session's reader, with what it keeps in memory, while backbone and prompt stay the same."""
    loaded = session.backbone(backbone)
    key = (id(loaded), loaded.revision, str(loaded.dtype), prompt.id)
    kept = session.last.get("reader")
    if kept is None or kept[0] != key:
        # A matcher holds its reader: both go, or the old backbone and its maps would stay.
        session.last.clear()
        kept = session.last["reader"] = (key, FeatureReader(session, backbone, prompt, cancel))
    reader = cast("FeatureReader", kept[1])
    reader.cancel = cancel
    return reader


def sample_cells(parts: ViewParts, name: str, count: int, generator: torch.Generator) -> Tensor:
    """`[count, C]` cells of a part at random places inside the image (mirrored surroundings left out)."""
    maps = parts.maps[name]
    height, width = maps.shape[-2:]
    index = torch.randint(height * width, (count * 2,), generator=generator)
    xy = torch.stack([index % width, index // width], dim=-1).to(torch.float64).numpy()
    image_xy = parts.transform.from_feature(xy, (width, height))
    inside = ((image_xy >= 0) & (image_xy <= np.asarray(parts.image_wh))).all(axis=-1)
    chosen = index[torch.from_numpy(inside)][:count]
    return maps.flatten(1)[:, chosen].T
