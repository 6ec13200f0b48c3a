"""Which of several regions holds the reference's parts: matching features of the whole photo, compared inside the regions.

The attention map says where something like the reference is. Which of two similar things it is, is told better by its parts: each cell
of the reference looks for its best match inside a region, and a double lacks some of them. The prompt is empty, since
the embedded model was trained to match a view to its own individual only when it is given no word (docs/embedded-model.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from engine.domain.geometry import ImageTransform
from engine.features.fusion import l2_normalise
from engine.features.views import ImageView
from engine.instances.picture import BoolMask, Picture
from engine.instances.reference import ReferenceView
from engine.session import EngineSession

INSIDE = 0.4
"""Share of a cell that a region must cover."""


def found_parts(reference: Tensor, target: Tensor, mask: BoolMask) -> float:
    """Mean over the reference's cells of the best cosine inside a region, -1..1.

    Args:
        reference: `[R, C]` unit length, the thing's cells.
        target: `[C, h, w]` unit length per cell, the whole photo.
        mask: `[H, W]` the region over the same photo; one that covers no cell is taken as the cells that it touches most.
    """
    height, width = target.shape[-2:]
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    inside = torch.from_numpy(share >= min(INSIDE, float(share.max())))
    return float((reference @ target[:, inside]).amax(dim=1).mean())


class PartMatcher:
    """The matching features of one or several references; owned by an InstanceFinder on the engine thread."""

    def __init__(self, session: EngineSession, backbone_id: str, views: Sequence[ReferenceView]) -> None:
        self._session, self._extractor = session, session.extractor(backbone_id)
        self._prompt = session.prompt("empty", self._extractor.backbone)
        self.references = [self._reference(view) for view in views]

    def features(self, picture: Picture) -> Tensor:
        """`[C, h, w]` float32 on the CPU, unit length per cell, from the disk cache or computed."""
        wh = self._session.source.size_wh(picture.image)
        transform = ImageTransform.resize(wh, self._extractor.backbone.spec.input_size_for(wh))
        views = [ImageView(picture.image, transform)]
        maps = self._extractor.diffusion_maps(views, self._prompt, self._extractor.recipe())
        return l2_normalise(maps[0].features.float().cpu()[None])[0]

    def likeness(self, target: Tensor, mask: BoolMask) -> float:
        """`found_parts` of the reference that agrees best with the region."""
        return max(found_parts(reference, target, mask) for reference in self.references)

    def _reference(self, view: ReferenceView) -> Tensor:
        maps = self.features(view.picture)
        share = cv2.resize(view.weights, maps.shape[:-3:-1], interpolation=cv2.INTER_AREA)
        inside = torch.from_numpy(share >= max(0.5 * float(share.max()), 1e-6))
        return maps[:, inside].T
