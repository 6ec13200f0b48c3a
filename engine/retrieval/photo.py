"""What a whole photo (or a region of it) looks like, for ranking a collection by likeness."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.api import ImageInput
from engine.domain.progress import CancelToken
from engine.features.views import ImageSource
from engine.instances.attention import AttentionExtractor, AttentionFeatures
from engine.instances.evidence import grid_of
from engine.instances.maps import appearance_tokens
from engine.instances.picture import BoolMask, load_picture
from engine.retrieval.histogram import colour_histogram
from engine.retrieval.patches import Patches, dense_patches
from engine.retrieval.saliency import subject_weights

RANKING_STEP_PX = 14
"""Coarser than for masks: ranking compares every photo with every other."""
SUBJECT_POWER = 2.0
"""Saliency is sharpened by this power (measured on photos of known things: +5 mAP over 1)."""


@dataclass(frozen=True)
class PhotoFeatures:
    """Local, colour and learned description of one photo's subject.

    Attributes:
        patches: weighted local descriptors; histogram: `[486]` square-rooted colour shares of the subject.
        learned: `[D]` float32, L2-normalised pooled appearance tokens of the subject; None without a backbone.
        tokens: `[n, D]` float32 appearance tokens of the subject's cells, L2-normalised; None without a backbone.
    """

    patches: Patches
    histogram: NDArray[np.float32]
    learned: NDArray[np.float32] | None
    tokens: NDArray[np.float32] | None


def describe_photo(
    source: ImageSource,
    image: ImageInput,
    *,
    mask: BoolMask | None = None,
    extractor: AttentionExtractor | None = None,
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
    else:
        weights = subject_weights(picture.rgb) ** SUBJECT_POWER
    patches = dense_patches(picture.rgb, weights, step_px=RANKING_STEP_PX)
    histogram = colour_histogram(picture.rgb, weights)
    if extractor is None:
        return PhotoFeatures(patches, histogram, None, None)
    features = extractor.extract(image, cancel=cancel)
    return PhotoFeatures(patches, histogram, *_learned(features, weights))


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
