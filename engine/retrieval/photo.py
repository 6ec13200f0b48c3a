"""What a whole photo (or a region of it) looks like, for ranking a collection by likeness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.features.views import ImageSource
from kinmark.engine.instances.attention import AttentionExtractor, AttentionFeatures
from kinmark.engine.instances.evidence import grid_of
from kinmark.engine.instances.maps import appearance_tokens, unit_range
from kinmark.engine.instances.picture import DECODE_SIDE, BoolMask, load_picture
from kinmark.engine.regions.histogram import colour_histogram
from kinmark.engine.regions.interest import InterestPoints, interest_points
from kinmark.engine.regions.natural import DeepNetwork, NaturalCells, natural_cells
from kinmark.engine.regions.patches import Patches, dense_patches
from kinmark.engine.regions.saliency import subject_weights
from kinmark.engine.requests import ImageInput

RANKING_STEP_PX, RANKING_CELLS_PX = 18, (5.0, 8.0, 13.0)
"""Coarser than for masks, since ranking compares every photo with every other; three sizes, since things come near and far."""
SUBJECT_POWER, SUBJECT_POWER_ALONE = 2.0, 3.0
"""Saliency is sharpened by this power (measured on photos of known things); more where no backbone helps."""
OBJECT_FLOOR = 0.1


@dataclass(frozen=True)
class PhotoFeatures:
    """Local, colour and learned description of one photo's subject.

    Attributes:
        patches: weighted local descriptors; mirrored: those of the mirrored photo (things face both ways).
        points, mirrored_points: interest points of the photo and of the mirrored photo.
        histogram: `[486]` square-rooted colour shares of the subject.
        learned: `[D]` float32, L2-normalised pooled appearance tokens of the subject; None without a backbone.
        tokens: `[n, D]` float32 appearance tokens of the subject's cells, L2-normalised; None without a backbone.
        natural: deep cells of a network that knows photographs; None without its weights.
    """

    patches: Patches
    mirrored: Patches
    points: InterestPoints
    mirrored_points: InterestPoints
    histogram: NDArray[np.float32]
    learned: NDArray[np.float32] | None
    tokens: NDArray[np.float32] | None
    natural: NaturalCells | None = None


def describe_photo(
    source: ImageSource,
    image: ImageInput,
    *,
    mask: BoolMask | None = None,
    extractor: AttentionExtractor | None = None,
    natural: DeepNetwork | None = None,
    cancel: CancelToken | None = None,
) -> PhotoFeatures:
    """Features of the photo's subject: under the mask (photo's own size) if there is one, else where it stands out.

    Raises:
        UnreadableImageError: the photo cannot be decoded. ValueError: a mask of another size.
    """
    picture = load_picture(source, image)
    if mask is not None:
        if mask.shape != (picture.image_wh[1], picture.image_wh[0]):
            raise ValueError(f"the mask is {mask.shape}, the photo {picture.image_wh[::-1]}")
        rows, columns = grid_of(picture.size_hw)
        weights = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        # The surroundings keep a little weight: photos of one thing often share its place.
        weights = 0.05 + 0.95 * weights
    features = extractor.extract(image, cancel=cancel) if extractor is not None else None
    if mask is None:
        weights = foreground_weights(picture.rgb, extractor, features)
    both = ((picture.rgb, weights), (_mirror(picture.rgb), _mirror(weights)))
    patches, mirrored = (dense_patches(rgb, w, step_px=RANKING_STEP_PX, cells_px=RANKING_CELLS_PX) for rgb, w in both)
    # Fine print lies anywhere on a thing, and a place that comes back says something too: a softer foreground for points.
    full = source.load(image, DECODE_SIDE).rgb
    soft = weights if mask is not None else subject_weights(picture.rgb)
    points, mirrored_points = (interest_points(r, w) for r, w in ((full, soft), (_mirror(full), _mirror(soft))))
    cells = natural_cells(natural, full, weights if mask is not None else None) if natural is not None else None
    learned, tokens = _learned(features, weights) if features is not None else (None, None)
    histogram = colour_histogram(picture.rgb, weights)
    return PhotoFeatures(patches, mirrored, points, mirrored_points, histogram, learned, tokens, cells)


def _mirror(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values[:, ::-1])


def foreground_weights(
    rgb: NDArray[np.uint8], extractor: AttentionExtractor | None, features: AttentionFeatures | None
) -> NDArray[np.float32]:
    """Soft foreground `[h, w]` of a photo without a mask: contrast to its border, times where words for things attend.

    The two fail in different places (a cluttered border, an unknown surface): their product holds more of the thing
    than either at the same sharpness.
    """
    saliency = subject_weights(rgb)
    if extractor is None or features is None or not len(extractor.thing_keys):
        return saliency**SUBJECT_POWER_ALONE
    attended = unit_range(features.cross_q @ extractor.thing_keys.mean(dim=0)).reshape(features.grid_hw).numpy()
    attended = cv2.resize(attended.astype(np.float32), saliency.shape[::-1], interpolation=cv2.INTER_LINEAR)
    weights = saliency**SUBJECT_POWER * (OBJECT_FLOOR + attended)
    return (weights / weights.max()).astype(np.float32)


def _learned(
    features: AttentionFeatures, weights: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(pooled, per-cell) appearance vectors of the subject."""
    rows, columns = features.grid_hw
    share = cv2.resize(weights, (columns, rows), interpolation=cv2.INTER_AREA).ravel()
    tokens = appearance_tokens(features.self_q, features.self_k).numpy().astype(np.float32)
    pooled = (tokens * share[:, None]).sum(axis=0) / max(float(share.sum()), 1e-9)
    inside = share >= 0.4 * share.max()
    return _unit(pooled[None])[0], _unit(tokens[inside])


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)
