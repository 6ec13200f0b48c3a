"""The maps that a position was read from, for whoever shows them."""

from __future__ import annotations

import numpy as np
import torch

from kinmark.engine.domain.proposals import SimilarityMap
from kinmark.engine.matching.evidence.gather import RawKeypoints


def similarity_maps_of(raw: RawKeypoints) -> tuple[SimilarityMap, ...]:
    """The fused map of every keypoint with the affine matrix from its cells (index frame) to xy_image."""
    run = raw.run
    if run is None:
        return ()
    fused = run.fused()
    finite = torch.isfinite(fused)
    lowest = torch.where(finite, fused, torch.zeros_like(fused)).flatten(1).amin(dim=1)
    values = torch.where(finite, fused, lowest[:, None, None]).float().numpy()
    origin, right, down = run.parts.to_image([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    matrix = np.stack([right - origin, down - origin, origin], axis=1)
    wh = run.parts.image_wh
    return tuple(SimilarityMap(v, wh, p, matrix) for v, p in zip(values, raw.peaks, strict=True))
