"""MatchContext: what is known about the whole collection before any target is matched: scene, priors, whitening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.domain.kept import Kept
from kinmark.engine.features.views import ImageView
from kinmark.engine.matching.bank import CROP, WHOLE, Variant, variant_view
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.plan.priors import LocationPrior, keypoint_foreground
from kinmark.engine.matching.plan.scene import FixedScene, detect_fixed_scene
from kinmark.engine.matching.reader import DESCRIPTOR, DIFFUSION, FeatureReader, sample_cells
from kinmark.engine.matching.whitening import Whitener, fit_whitener
from kinmark.engine.requests import Exemplar, ImageInput

VIEWS_FOR_STATISTICS = 16
CELLS_PER_VIEW = 400
KEEP_BYTES = 128 << 20
"""Of whitened maps: a photo at three sizes and some exemplars."""


@dataclass
class MatchContext:
    """Scene and statistics of one request.

    Attributes:
        scene: of a fixed camera, or None.
        location: prior on positions, or None (no fixed camera).
        foreground_of_keypoints: `[K]` 0..1.
    """

    reader: FeatureReader
    exemplars: Sequence[Exemplar]
    others: Sequence[ImageInput]
    scene: FixedScene | None = None
    location: LocationPrior | None = None
    foreground_of_keypoints: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    weight_is_open: bool = False
    _whiteners: dict[tuple[str, str, float, float], Whitener] = field(default_factory=dict)
    _foreground: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    _whitened: Kept[tuple[int, int], tuple[Whitener, Tensor, Tensor]] = field(
        default_factory=lambda: Kept(KEEP_BYTES, lambda kept: kept[2].nbytes)
    )

    def reading_weight(self, plan: Plan) -> float | None:
        """Which parts to read: both while the weight is still being chosen, but for a plan that does with one."""
        return None if self.weight_is_open and 0 < plan.fusion_weight < 1 else plan.fusion_weight

    def part_weights(self, plan: Plan) -> dict[str, float]:
        """Part name -> its share in the similarity."""
        weights = {DIFFUSION: 1 - plan.fusion_weight, DESCRIPTOR: plan.fusion_weight}
        return {name: w for name, w in weights.items() if w > 0}

    def foreground_at(self, image: ImageInput, xy_image: NDArray[np.float64]) -> NDArray[np.float32]:
        """Foreground of an image of the scene at xy_image `[..., 2]`."""
        if self.scene is None:
            raise ValueError("there is no fixed scene")
        key = str(image.path)
        if key not in self._foreground:
            if len(self._foreground) > 64:
                self._foreground.clear()
            self._foreground[key] = self.scene.foreground(image)
        return self.scene.at(self._foreground[key], xy_image)

    def whitener(self, frame: str, part: str, plan: Plan) -> Whitener:
        """The whitening of one part in one frame, fitted on first use."""
        key = (frame, part, plan.whiten, plan.crop_margin if frame == CROP else 0.0)
        if key not in self._whiteners:
            generator = torch.Generator().manual_seed(0)
            cells = []
            for view in self._statistics_views(frame, plan):
                parts = self.reader.read([view], self.reading_weight(plan))[0]
                cells.append(sample_cells(parts, part, CELLS_PER_VIEW, generator))
            self._whiteners[key] = fit_whitener(torch.cat(cells), strength=plan.whiten)
        return self._whiteners[key]

    def whitened(self, frame: str, part: str, plan: Plan, maps: Tensor) -> Tensor:
        """A map `[C, h, w]` of the part, whitened for the frame; the last ones are kept: mirrored exemplars, the way back and
        other sums of the parts ask for them again."""
        whitener = self.whitener(frame, part, plan)
        key = (id(whitener), id(maps))  # both are held by the entry, so no other ones get their ids
        kept = self._whitened.get(key) or self._whitened.put(key, (whitener, maps, whitener.maps(maps)))
        return kept[2]

    def _statistics_views(self, frame: str, plan: Plan) -> list[ImageView]:
        views: list[ImageView] = []
        if frame == WHOLE:
            images = [e.image for e in self.exemplars[: VIEWS_FOR_STATISTICS // 2]]
            step = max(1, len(self.others) // (VIEWS_FOR_STATISTICS // 2))
            for image in [*images, *list(self.others)[::step][: VIEWS_FOR_STATISTICS - len(images)]]:
                try:
                    self.reader.session.source.load(image, 64)
                    views.append(self.reader.whole(image))
                except UnreadableImageError:
                    continue  # reported when its turn comes as a target
            return views
        step = 8 // plan.rotations
        for turn in range(0, 8, step):
            for index in range(len(self.exemplars)):
                if len(views) < VIEWS_FOR_STATISTICS:
                    variant = Variant(index, turn)
                    views.append(variant_view(self.reader, self.exemplars[index], variant, CROP, plan.crop_margin))
        return views


def make_context(reader: FeatureReader, exemplars: Sequence[Exemplar], targets: Sequence[ImageInput]) -> MatchContext:
    """Look at the collection: fixed camera or not, priors."""
    images, sizes = [], []
    seen: set[str] = set()
    for image in [*(e.image for e in exemplars), *targets]:
        if str(image.path) in seen:
            continue
        seen.add(str(image.path))
        try:
            sizes.append(reader.size_wh(image))
            images.append(image)
        except UnreadableImageError:
            continue  # an unreadable target is reported in its turn
    exemplar_paths = {str(e.image.path) for e in exemplars}
    others = [i for i in images if str(i.path) not in exemplar_paths]
    context = MatchContext(reader, exemplars, others)
    context.scene = detect_fixed_scene(images, sizes)
    if context.scene is not None:
        context.foreground_of_keypoints = keypoint_foreground(exemplars, context.scene)
        context.location = LocationPrior(exemplars, context.scene.image_wh, context.foreground_of_keypoints)
    return context
