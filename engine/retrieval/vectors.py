"""Pooled vectors of photos and regions for the index: what a network of photographs sees, local patches and colour of a
photo's subject and sub-regions (the backbone's learned appearance where the network's weights are not installed).

Pure functions of (image bytes, RunSpec). Row 0 describes the subject (or the given box / mask), rows 1..5 describe overlapping
fifths of the photo, so that a small thing in a corner has a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.instances.attention import AttentionExtractor, AttentionFeatures
from kinmark.engine.instances.evidence import grid_of
from kinmark.engine.instances.maps import appearance_tokens
from kinmark.engine.instances.picture import Picture, checked_mask, load_picture
from kinmark.engine.instances.settings import resolve
from kinmark.engine.regions.histogram import BINS, colour_histogram
from kinmark.engine.regions.natural import NaturalHead
from kinmark.engine.regions.patches import Patches, dense_patches
from kinmark.engine.requests import InstanceSettings, PhotoVectors, Target, TargetFailure, VectorRequest
from kinmark.engine.retrieval.photo import RANKING_CELLS_PX, RANKING_STEP_PX, foreground_weights
from kinmark.engine.session import EngineSession

FloatArray = NDArray[np.float32]

PART_WEIGHTS = {"patches": 0.3, "colour": 0.2, "natural": 0.5}
WEIGHTS_WITHOUT_NATURAL = {"patches": 0.6, "colour": 0.3, "learned": 0.1}
"""Shares of the cosine."""
WAVES = 80
GRADIENT_SCALE, COLOUR_SCALE = 3.0, 0.28
"""Widths of the kernel over patches: narrow enough that only alike patches count."""
REGION_SHARE = 0.6
VERSION = 3


def _pairs_pooled(histogram: FloatArray) -> FloatArray:
    """Colour shares of neighbouring bins joined (6 x 9 x 9 -> 3 x 5 x 5), square-rooted again: `[75]`."""
    table = histogram.reshape(BINS).astype(np.float64) ** 2
    padded = np.pad(table, ((0, 0), (0, 1), (0, 1)))
    pooled = padded.reshape(3, 2, 5, 2, 5, 2).sum(axis=(1, 3, 5))
    return np.sqrt(pooled.ravel()).astype(np.float32)


@lru_cache(maxsize=1)
def _frequencies() -> FloatArray:
    """`[79, 80]` normal directions; RandomState's stream never changes, as rows on disk need."""
    return np.random.RandomState(0).standard_normal((79, WAVES)).astype(np.float32)


def patch_waves(patches: Patches) -> FloatArray:
    """Random Fourier features of local patches, `[P, 160]` (Rahimi and Recht 2007).

    The dot product of two rows is about a Gaussian kernel of the two patches, so the dot product of two *means* of rows is the
    mean kernel over all pairs of patches: like the vote of local matches, in one vector (Bo and Sminchisescu 2009).
    """
    vectors = np.concatenate([GRADIENT_SCALE * patches.gradients, COLOUR_SCALE * patches.colours], axis=1)
    angles = vectors @ _frequencies()
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


def _pooled_waves(patches: Patches, waves: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted mean of `patch_waves`: `[160]`."""
    height, width = weights.shape
    rows = np.clip((patches.xy[:, 1] * height).astype(int), 0, height - 1)
    columns = np.clip((patches.xy[:, 0] * width).astype(int), 0, width - 1)
    share = weights[rows, columns] + 1e-6
    return ((share @ waves) / share.sum()).astype(np.float32)


def _pooled_tokens(features: AttentionFeatures, weights: FloatArray) -> FloatArray:
    rows, columns = features.grid_hw
    share = cv2.resize(weights, (columns, rows), interpolation=cv2.INTER_AREA).ravel() + 1e-6
    tokens = appearance_tokens(features.self_q, features.self_k).numpy()
    return (share @ tokens / share.sum()).astype(np.float32)


def _unit(vector: FloatArray) -> FloatArray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def pool(
    picture: Picture,
    patches: Patches,
    waves: FloatArray,
    features: AttentionFeatures,
    natural: NaturalHead | None,
    weights: FloatArray,
) -> FloatArray:
    """One L2-normalised vector `[D]` of a weighted region of a photo; `waves` of `patch_waves`."""
    parts = {
        "patches": _pooled_waves(patches, waves, weights),
        "colour": _pairs_pooled(colour_histogram(picture.rgb, weights)),
    }
    shares = PART_WEIGHTS if natural is not None else WEIGHTS_WITHOUT_NATURAL
    if natural is not None:
        parts["natural"] = natural.pooled(weights)
    else:
        parts["learned"] = _pooled_tokens(features, weights)
    return _unit(np.concatenate([np.sqrt(shares[k]) * _unit(v) for k, v in parts.items()])).astype(np.float32)


def region_weights(grid_hw: tuple[int, int]) -> list[FloatArray]:
    """Five overlapping regions of the photo: the corners' and the centre's 60 %."""
    height, width = grid_hw
    tall, wide = max(1, round(REGION_SHARE * height)), max(1, round(REGION_SHARE * width))
    corners = [(0, 0), (0, width - wide), (height - tall, 0), (height - tall, width - wide)]
    middle = ((height - tall) // 2, (width - wide) // 2)
    found = []
    for top, left in [*corners, middle]:
        weights = np.zeros(grid_hw, np.float32)
        weights[top : top + tall, left : left + wide] = 1
        found.append(weights)
    return found


def target_weights(target: Target, picture: Picture) -> FloatArray | None:
    """Weights of the target's box or mask on the map grid; None for a whole photo."""
    rows, columns = grid_of(picture.size_hw)
    if target.mask is not None:
        work = picture.to_work_mask(checked_mask(target.mask, picture)).astype(np.float32)
    elif target.box is not None:
        work = np.zeros(picture.size_hw, np.float32)
        left, top = picture.to_work_xy((target.box[0], target.box[1]))
        right, bottom = picture.to_work_xy((target.box[2], target.box[3]))
        work[top : bottom + 1, left : right + 1] = 1
    else:
        return None
    return cv2.resize(work, (columns, rows), interpolation=cv2.INTER_AREA)


def _regions(
    target: Target, picture: Picture, extractor: AttentionExtractor, features: AttentionFeatures
) -> list[FloatArray]:
    """Weights of the rows: the given box or mask alone, or of a whole photo its foreground and its sub-regions."""
    own = target_weights(target, picture)
    if own is not None:
        return [own]
    return [foreground_weights(picture.rgb, extractor, features), *region_weights((16, 16))]


def photo_vectors(
    session: EngineSession,
    request: VectorRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[PhotoVectors | TargetFailure]:
    """Vectors of the targets in their order; an unreadable one is reported and passed by."""
    with session.guarded():
        backbone = session.backbone(request.backbone)
        extractor = AttentionExtractor(session, request.backbone, resolve(InstanceSettings(), backbone.spec), "")
        network = session.natural()
        settings = {
            "parts": PART_WEIGHTS if network is not None else WEIGHTS_WITHOUT_NATURAL,
            "version": VERSION,
            "attention": extractor.settings.attention_part(),
            "natural": network.version if network is not None else "",
        }
        spec = RunSpec("descriptor-pooled", backbone.spec.id, backbone.revision, "empty", settings=settings)
        if progress is not None:
            progress.start("Indexing photos", len(request.targets))
        for target in request.targets:
            if cancel is not None:
                cancel.check()
            try:
                picture = load_picture(session.source, target.image)
                features = extractor.extract(target.image, cancel=cancel)
                regions = _regions(target, picture, extractor, features)
                ones = np.ones(grid_of(picture.size_hw), np.float32)
                patches = dense_patches(picture.rgb, ones, step_px=RANKING_STEP_PX, cells_px=RANKING_CELLS_PX)
                waves = patch_waves(patches)
                natural = NaturalHead.of(network, picture.rgb) if network is not None else None
                vectors = np.stack([pool(picture, patches, waves, features, natural, w) for w in regions])
                result: PhotoVectors | TargetFailure = PhotoVectors(
                    request.request_id, target.image.image_id, vectors, spec
                )
            except AppError as error:
                result = TargetFailure(target.image.image_id, error)
            yield result
            if progress is not None:
                progress.step(note=target.image.path.name)
