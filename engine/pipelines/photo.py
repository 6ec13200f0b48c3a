"""Features of one photo for a caller who wants the numbers, not a proposal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from kinmark.engine.backbones.prompt import EMPTY_PROMPT
from kinmark.engine.features.maps import FeatureMap
from kinmark.engine.features.views import whole_view
from kinmark.engine.matching.sampling import l2_normalise, sample_features
from kinmark.engine.requests import DEFAULT_BACKBONE, ImageInput

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession


def photo_features(
    session: EngineSession,
    image: ImageInput,
    *,
    backbone: str = DEFAULT_BACKBONE,
    prompt: str = EMPTY_PROMPT,
    fusion_weight: float | None = None,
) -> FeatureMap:
    """The map of the whole photo as the backbone's card makes it (methods/features.md); cached like any other.

    Args:
        prompt: "empty", "text:<text>" or "prompt:<id>".
        fusion_weight: of the second descriptor; None = the card's, 0 = diffusion features alone.

    Raises:
        UnreadableImageError: the photo. ModelMissingError, UserInputError: no such backbone or prompt.
    """
    extractor = session.extractor(backbone)
    made = session.prompt(prompt, extractor.backbone)
    input_wh = extractor.backbone.spec.input_wh
    assert input_wh is not None  # a loaded backbone has one
    view = whole_view(image, session.source.size_wh(image), input_wh)
    return extractor.extract([view], prompt=made, fusion_weight=fusion_weight)[0]


def vectors_at(array: NDArray[np.float32], xy_feature: NDArray[np.float64]) -> NDArray[np.float32]:
    """L2-normalised `[N, C]` vectors of a map `[C, h, w]` at cells `[N, 2]`, as matching reads them."""
    cells = torch.from_numpy(np.ascontiguousarray(xy_feature))[None]
    return l2_normalise(sample_features(torch.from_numpy(array)[None], cells)[0]).numpy()
