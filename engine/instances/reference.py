"""References become a model of the instance: mask from what the user gave, then tokens, colours and patches under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.features.efficientnet import NaturalFeatures
from kinmark.engine.instances import maps
from kinmark.engine.instances.attention import AttentionExtractor, AttentionFeatures
from kinmark.engine.instances.evidence import (
    NaturalView,
    ReferenceModel,
    colour_shares,
    grid_of,
    natural_model,
    natural_view,
)
from kinmark.engine.instances.outline import grabcut, grabcut_box, grabcut_points
from kinmark.engine.instances.picture import BoolMask, Picture, checked_mask, load_picture
from kinmark.engine.regions.histogram import BINS
from kinmark.engine.regions.patches import Patches, dense_patches
from kinmark.engine.regions.saliency import subject_weights
from kinmark.engine.requests import Reference
from kinmark.engine.session import EngineSession

FULL_SHARE = 0.98
"""A mask that covers more than this leaves no background to learn from."""


@dataclass(frozen=True)
class ReferenceView:
    """One reference, resolved: soft foreground `weights` on the map grid and the mask when there is one.

    natural: what the network of photographs sees; None without it.
    """

    picture: Picture
    features: AttentionFeatures | None
    weights: NDArray[np.float32]
    mask: BoolMask | None
    natural: NaturalView | None = None


def reference_mask(reference: Reference, picture: Picture) -> BoolMask | None:
    """Mask at working size from the reference's mask, box or click; None when only the photo is given.

    Raises:
        UserInputError: an empty mask, one of another size, or a box or click outside the photo.
    """
    name, (width, height) = picture.image.path.name, picture.image_wh
    if reference.mask is not None:
        full = checked_mask(reference.mask, picture)
        work = picture.to_work_mask(full)
        return work if work.any() else _single_pixel(full, picture)
    if reference.box is not None:
        x0, y0, x1, y1 = reference.box
        if min(x1, width) <= max(x0, 0) or min(y1, height) <= max(y0, 0):
            raise UserInputError(
                said("The box lies outside the photo {0} ({1} x {2}).", name, width, height), "Draw it again."
            )
        left, top = picture.to_work_xy((x0, y0))
        right, bottom = picture.to_work_xy((x1, y1))
        return grabcut_box(picture.rgb, (left, top, right + 1, bottom + 1))
    if reference.point_xy_image is not None:
        x, y = reference.point_xy_image
        if not (0 <= x <= width and 0 <= y <= height):
            raise UserInputError(
                said("The click lies outside the photo {0} ({1} x {2}).", name, width, height), "Click it again."
            )
        return grabcut_points(picture.rgb, [picture.to_work_xy((x, y))], [])
    return None


def _single_pixel(full: BoolMask, picture: Picture) -> BoolMask:
    """A mask too small for the working size becomes the pixel at its centre."""
    work = np.zeros(picture.size_hw, bool)
    ys, xs = np.nonzero(full)
    column, row = picture.to_work_xy((float(xs.mean()), float(ys.mean())))
    work[row, column] = True
    return work


def view_reference(
    reference: Reference,
    session: EngineSession,
    extractor: AttentionExtractor | None,
    network: NaturalFeatures | None = None,
) -> ReferenceView:
    """Resolve one reference: mask, box, click, class name alone (by attention), or the whole photo (by saliency)."""
    picture = load_picture(session.source, reference.image)
    view = _resolved(reference, picture, extractor)
    return view if network is None else replace(view, natural=natural_view(network, picture))


def _resolved(reference: Reference, picture: Picture, extractor: AttentionExtractor | None) -> ReferenceView:
    features = extractor.extract(reference.image) if extractor is not None else None
    grid = grid_of(picture.size_hw)
    mask = reference_mask(reference, picture)
    if mask is not None:
        share = cv2.resize(mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
        return ReferenceView(picture, features, share, mask)
    weights = cv2.resize(subject_weights(picture.rgb), (grid[1], grid[0]), interpolation=cv2.INTER_LINEAR)
    if extractor is not None and features is not None and extractor.class_keys.tokens:
        seen = maps.semantic_foreground(
            features.cross_q, extractor.class_keys.keys, list(extractor.class_keys.tokens)
        ).reshape(features.grid_hw)
        soft = cv2.resize(seen.float().numpy(), (grid[1], grid[0]), interpolation=cv2.INTER_LINEAR)
        # The attention of a small model is coarse: saliency sharpens it, and stands alone where it found nothing.
        weights = weights * (0.2 + soft)
    guess = cv2.resize(weights, picture.size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    region = guess >= 0.45 * guess.max()
    mask = grabcut(picture.rgb, region)
    refined = cv2.resize(mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA)
    return ReferenceView(picture, features, (weights * (0.25 + refined)).astype(np.float32), None)


def token_weights(view: ReferenceView, features: AttentionFeatures) -> NDArray[np.float32]:
    """Foreground share of each attention cell, `[N]`."""
    rows, columns = features.grid_hw
    return cv2.resize(view.weights, (columns, rows), interpolation=cv2.INTER_AREA).ravel()


def _split_tokens(view: ReferenceView) -> tuple[torch.Tensor, ...]:
    """(F_A foreground, Q foreground, K foreground, F_A background) tokens of one reference."""
    features = view.features
    if features is None:
        empty = torch.zeros(0, 1)
        return empty, empty, empty, empty
    share = token_weights(view, features)
    level = 0.5 * float(share.max())
    inside = torch.from_numpy(share >= max(level, 1e-6))
    outside = torch.from_numpy(share < 0.1 * float(share.max()))
    tokens = maps.appearance_tokens(features.self_q, features.self_k)
    return tokens[inside], features.self_q[inside], features.self_k[inside], tokens[outside]


def _patches_of(view: ReferenceView) -> tuple[Patches, Patches | None]:
    grid = grid_of(view.picture.size_hw)
    patches = dense_patches(view.picture.rgb, np.ones(grid, np.float32))
    height, width = view.weights.shape
    rows = np.clip((patches.xy[:, 1] * height).astype(int), 0, height - 1)
    columns = np.clip((patches.xy[:, 0] * width).astype(int), 0, width - 1)
    share = view.weights[rows, columns]
    top = max(float(share.max()), 1e-6)
    inside, outside = share >= 0.5 * top, share < 0.1 * top
    if not inside.any():
        inside = share >= share.max()
    own = select_patches(patches, inside, share)
    return own, select_patches(patches, outside) if outside.sum() >= 8 else None


def select_patches(patches: Patches, keep: NDArray[np.bool_], weights: NDArray[np.float32] | None = None) -> Patches:
    """The kept patches; weights (of all patches) brought to sum 1, equal when not given."""
    chosen = np.ones(int(keep.sum()), np.float32) if weights is None else np.maximum(weights[keep], 1e-6)
    return Patches(
        patches.gradients[keep],
        patches.colours[keep],
        (chosen / chosen.sum()).astype(np.float32),
        patches.xy[keep],
        patches.cells[keep],
    )


def _join_patches(parts: Sequence[Patches]) -> Patches:
    count = len(parts)
    return Patches(
        np.concatenate([p.gradients for p in parts]),
        np.concatenate([p.colours for p in parts]),
        np.concatenate([p.weights / count for p in parts]),
        np.concatenate([p.xy for p in parts]),
        np.concatenate([p.cells for p in parts]),
    )


def build_model(views: Sequence[ReferenceView]) -> ReferenceModel:
    """One model of all references: foreground sets are pooled, colours averaged (methods/instances.md, several references)."""
    tokens = [torch.cat(part) for part in zip(*(_split_tokens(v) for v in views), strict=True)]
    natural = [(v.natural, v.weights) for v in views if v.natural is not None]
    patches = [_patches_of(v) for v in views]
    others = [p for _, p in patches if p is not None]
    colour = np.mean([colour_shares(v.picture.rgb, v.weights) for v in views], axis=0)
    backgrounds = [v for v in views if float((v.weights >= 0.1 * v.weights.max()).mean()) < FULL_SHARE]
    around = [colour_shares(v.picture.rgb, np.maximum(0, v.weights.max() - v.weights)) for v in backgrounds]
    share = float(np.mean([(v.weights >= 0.5 * v.weights.max()).mean() for v in views]))
    flat = colour.reshape(-1) / max(float(colour.sum()), 1e-12)
    return ReferenceModel(
        self_tokens=tokens[0],
        q_tokens=tokens[1],
        k_tokens=tokens[2],
        background_tokens=tokens[3],
        natural=natural_model(natural) if natural else None,
        colour=colour.reshape(BINS),
        surroundings=np.mean(around, axis=0) if around else None,
        histogram=np.sqrt(flat).astype(np.float32),
        patches=_join_patches([p for p, _ in patches]),
        other_patches=_join_patches(others) if others else None,
        area_share=share,
    )


def thin_patches(model: ReferenceModel, limit: int = 1500) -> ReferenceModel:
    """Keep at most `limit` foreground patches, the weightiest first (many references would make every target slow)."""
    weights = model.patches.weights
    if len(weights) <= limit:
        return model
    keep = np.zeros(len(weights), bool)
    keep[np.argsort(-weights, kind="stable")[:limit]] = True
    return replace(model, patches=select_patches(model.patches, keep, weights))
