"""Where in a target the reference instance may be: attention, colour, local and natural evidence, fused into one map.

Maps are `[h, w]` float32 in [0, 1] on a grid of at most GRID cells along the longer side of the photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from kinmark.engine.features.efficientnet import NaturalFeatures
from kinmark.engine.instances import maps, votes
from kinmark.engine.instances.attention import AttentionFeatures, ClassKeys
from kinmark.engine.instances.picture import Picture
from kinmark.engine.instances.settings import ResolvedSettings
from kinmark.engine.regions.histogram import BINS, colour_histogram, soft_bins
from kinmark.engine.regions.likeness import patch_likeness
from kinmark.engine.regions.patches import Patches, dense_patches
from kinmark.engine.regions.saliency import lab_image

FloatMap = NDArray[np.float32]

GRID = 64
COLOUR_SMOOTHING_BINS = 0.6
COLOUR_FLOOR = 2e-4
COLOUR_BLUR_CELLS = 1.2
LOCAL_SLOPE = 6.0
NATURAL_SIDE = 513
"""Longer side at which the network of photographs sees the picture."""
NATURAL_SLOPE, NATURAL_NEAREST = 12.0, 3
"""Slope of the difference in likeness, and how many nearest reference cells are averaged."""
FLOOR = 0.02
"""Least value of a part before it enters the product: one silent part must not veto the others."""


@dataclass(frozen=True)
class NaturalView:
    """A picture through the network of photographs (`NaturalFeatures.outline_and_thing`), or chosen cells of several.

    Attributes:
        cells: `[h, w, C]` unit cells of stride 16. deep: `[h', w', D]` unit cells of stride 32; strength: `[h', w']` >= 0.
    """

    cells: torch.Tensor
    deep: torch.Tensor
    strength: torch.Tensor


@dataclass(frozen=True)
class NaturalModel:
    """Cells of references: `own` `[R, C]`, `around` `[B, C]` their background's; `deep` `[P, D]` with `shares` `[P]` of sum 1."""

    own: torch.Tensor
    around: torch.Tensor
    deep: torch.Tensor
    shares: torch.Tensor


@dataclass(frozen=True)
class ReferenceModel:
    """What one or several references look like.

    Attributes:
        self_tokens: `[R, C]` foreground appearance tokens (F_A of pdm); q_tokens, k_tokens: for pdm-votes.
        background_tokens: `[B, C]` appearance tokens of the references' background (maybe none).
        colour, surroundings: `[6, 9, 9]` colour shares of foreground and background.
        histogram: square-rooted foreground histogram `[486]` (for `colour likeness`).
        natural: cells of the network of photographs; None when it is not there.
        patches: foreground patches, weights sum 1; other_patches: background patches or None.
        area_share: mean share of the photo that the instance covers.
    """

    self_tokens: torch.Tensor
    q_tokens: torch.Tensor
    k_tokens: torch.Tensor
    background_tokens: torch.Tensor
    natural: NaturalModel | None
    colour: NDArray[np.float64]
    surroundings: NDArray[np.float64] | None
    histogram: NDArray[np.float32]
    patches: Patches
    other_patches: Patches | None
    area_share: float


@dataclass(frozen=True)
class Evidence:
    """The parts and their fusion for one target; `appearance` and `semantic` are PDM's own maps (None when absent)."""

    fused: FloatMap
    attention: FloatMap
    colour: FloatMap
    local: FloatMap
    natural: FloatMap
    patches: Patches
    view: NaturalView | None = None


def natural_view(network: NaturalFeatures, picture: Picture) -> NaturalView:
    """What the network sees in a picture."""
    height, width = picture.size_hw
    scale = NATURAL_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    large = cv2.resize(picture.rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return NaturalView(*network.outline_and_thing(large))


def natural_model(views: Sequence[tuple[NaturalView, FloatMap]]) -> NaturalModel:
    """Of references, each with its foreground weights `[h, w]` on any grid; deep cells count by foreground and strength."""
    own, around, deep, shares = [], [], [], []
    for view, weights in views:
        share = cv2.resize(weights, view.cells.shape[1::-1], interpolation=cv2.INTER_AREA).ravel()
        top = max(float(share.max()), 1e-6)
        cells = view.cells.reshape(-1, view.cells.shape[-1])
        own.append(cells[torch.from_numpy(share >= 0.5 * top)])
        around.append(cells[torch.from_numpy(share < 0.1 * top)])
        deep.append(view.deep.reshape(-1, view.deep.shape[-1]))
        part = region_shares(view, weights)
        shares.append(part / len(views))
    return NaturalModel(torch.cat(own), torch.cat(around), torch.cat(deep), torch.cat(shares))


def region_shares(view: NaturalView, weights: FloatMap) -> torch.Tensor:
    """Share of each deep cell `[P]` in a region, sum 1: `weights` `[h, w]` on any grid, times the strength."""
    share = cv2.resize(weights.astype(np.float32), view.deep.shape[1::-1], interpolation=cv2.INTER_AREA)
    found = torch.from_numpy(share + 1e-6 * float(max(share.max(), 1e-6))) * view.strength
    return (found / found.sum().clamp_min(1e-12)).ravel()


def thing_likeness(view: NaturalView, weights: FloatMap, model: NaturalModel) -> float:
    """How well the references' deep cells are found again in a region of a picture, and the region's in theirs; -1 to 1."""
    shares = region_shares(view, weights)
    inside = shares >= 0.2 * shares.max()
    known = model.shares >= 0.05 * model.shares.max()
    cosines = view.deep.reshape(len(shares), -1)[inside] @ model.deep[known].T
    there = (model.shares[known] * cosines.max(dim=0).values).sum() / model.shares[known].sum()
    back = (shares[inside] * cosines.max(dim=1).values).sum() / shares[inside].sum()
    return float(there + back) / 2


def grid_of(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Map grid (rows, columns) for a picture."""
    scale = GRID / max(size_hw)
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def resize_map(values: FloatMap, grid_hw: tuple[int, int]) -> FloatMap:
    """Bilinear to another grid over the same photo."""
    return cv2.resize(values.astype(np.float32), (grid_hw[1], grid_hw[0]), interpolation=cv2.INTER_LINEAR)


def stretch(values: FloatMap) -> FloatMap:
    """To [0, 1] by minimum and maximum; a constant map becomes zeros."""
    low, high = float(values.min()), float(values.max())
    return np.zeros_like(values) if high - low <= 1e-12 else ((values - low) / (high - low)).astype(np.float32)


def colour_shares(rgb: NDArray[np.uint8], weights: FloatMap) -> NDArray[np.float64]:
    """Smoothed colour shares `[6, 9, 9]` of a weighted region (smoothing forgives small changes of light)."""
    rooted = colour_histogram(rgb, weights)
    return gaussian_filter((rooted.astype(np.float64) ** 2).reshape(BINS), COLOUR_SMOOTHING_BINS, mode="constant")


def colour_evidence(rgb: NDArray[np.uint8], model: ReferenceModel) -> FloatMap:
    """How much more typical each place's colour is of the instance than of its surroundings and of this photo."""
    grid = grid_of(rgb.shape[:2])
    small = cv2.resize(lab_image(rgb), (grid[1] * 2, grid[0] * 2), interpolation=cv2.INTER_AREA)
    here = colour_shares(rgb, np.ones(grid, np.float32))
    other = here if model.surroundings is None else (here + model.surroundings) / 2
    indices, shares = soft_bins(small.reshape(-1, 3))

    def look_up(table: NDArray[np.float64]) -> NDArray[np.float64]:
        return (table.ravel()[indices] * shares).sum(axis=0)

    own, against = look_up(model.colour) + COLOUR_FLOOR, look_up(other) + COLOUR_FLOOR
    odds = (own / (own + against)).reshape(small.shape[:2]).astype(np.float32)
    return resize_map(cv2.GaussianBlur(odds, (0, 0), COLOUR_BLUR_CELLS * 2), grid)


def local_evidence(target: Patches, model: ReferenceModel, grid_hw: tuple[int, int]) -> FloatMap:
    """Per place: best likeness of its patches to the instance's patches minus that to the references' background."""
    own = patch_likeness(target, model.patches).max(axis=1)
    if model.other_patches is not None:
        own = own - patch_likeness(target, model.other_patches).max(axis=1)
    else:
        own = own - np.median(own)
    odds = 1 / (1 + np.exp(-LOCAL_SLOPE * own))
    total, count = np.zeros(grid_hw, np.float32), np.full(grid_hw, 1e-3, np.float32)
    rows = np.clip((target.xy[:, 1] * grid_hw[0]).astype(int), 0, grid_hw[0] - 1)
    columns = np.clip((target.xy[:, 0] * grid_hw[1]).astype(int), 0, grid_hw[1] - 1)
    np.add.at(total, (rows, columns), odds.astype(np.float32))
    np.add.at(count, (rows, columns), 1.0)
    blurred = cv2.GaussianBlur(total, (0, 0), 2.5), cv2.GaussianBlur(count, (0, 0), 2.5)
    return (blurred[0] / np.maximum(blurred[1], 1e-6)).astype(np.float32)


def natural_evidence(cells: torch.Tensor, model: NaturalModel, grid_hw: tuple[int, int]) -> FloatMap:
    """Per place: likeness of its cell to the nearest of the instance's cells minus that to the references' background."""
    rows = cells.reshape(-1, cells.shape[-1])

    def nearest(others: torch.Tensor) -> torch.Tensor:
        return (rows @ others.T).topk(min(NATURAL_NEAREST, len(others)), dim=1).values.mean(dim=1)

    own = nearest(model.own)
    own = own - (nearest(model.around) if len(model.around) else own.median())
    odds = torch.sigmoid(NATURAL_SLOPE * own).reshape(cells.shape[:2])
    return resize_map(odds.numpy(), grid_hw)


def attention_evidence(
    features: AttentionFeatures, model: ReferenceModel, keys: ClassKeys | None, settings: ResolvedSettings
) -> FloatMap:
    """PDM's map on the attention grid."""
    if settings.variant == "pdm-votes":
        nearest = votes.votes_for_grid(len(features.self_q))
        counts = [
            votes.vote_map(votes.vote_counts(own, target, nearest=nearest), features.grid_hw)
            for own, target in ((model.q_tokens, features.self_q), (model.k_tokens, features.self_k))
        ]
        return ((counts[0] + counts[1]) / 2).numpy()
    tokens, reference = maps.appearance_tokens(features.self_q, features.self_k), model.self_tokens
    if settings.background_suppression and len(model.background_tokens) > 1:
        tokens = maps.project_out(tokens, model.background_tokens)
        reference = maps.project_out(reference, model.background_tokens)
    appearance = maps.appearance_scores(reference, tokens)
    if keys is not None and keys.tokens and settings.mode != "appearance":
        semantic = maps.semantic_scores(features.cross_q, keys.vector)
        chosen = maps.unit_range(semantic) if settings.mode == "semantic" else maps.fuse_maps(appearance, semantic)
    else:
        chosen = maps.unit_range(appearance)
    return chosen.reshape(features.grid_hw).numpy()


def gather_evidence(
    picture: Picture,
    features: AttentionFeatures | None,
    model: ReferenceModel,
    keys: ClassKeys | None,
    settings: ResolvedSettings,
    view: NaturalView | None = None,
) -> Evidence:
    """All parts for one target and their weighted product; a part of weight 0 is not computed.

    view: of the target; None leaves the natural part out.
    """
    grid = grid_of(picture.size_hw)
    weights = settings.weights
    ones = np.ones(grid, np.float32)
    attention = ones
    if features is not None and weights.attention > 0:
        attention = stretch(resize_map(attention_evidence(features, model, keys, settings), grid))
    colour = stretch(colour_evidence(picture.rgb, model)) if weights.colour > 0 else ones
    patches = dense_patches(picture.rgb, ones)
    local = stretch(local_evidence(patches, model, grid)) if weights.local > 0 else ones
    parts = [(attention, weights.attention), (colour, weights.colour), (local, weights.local)]
    natural = ones
    if view is not None and weights.natural > 0 and model.natural is not None:
        natural = stretch(natural_evidence(view.cells, model.natural, grid))
        parts.append((natural, weights.natural))
    return Evidence(combine(parts), attention, colour, local, natural, patches, view)


def combine(parts: Sequence[tuple[FloatMap, float]]) -> FloatMap:
    """Weighted geometric mean of maps, brought to [0, 1]."""
    total = sum(weight for _, weight in parts)
    if total <= 0:
        raise ValueError("no evidence has any weight")
    logs = sum(weight / total * np.log(np.maximum(values, FLOOR)) for values, weight in parts)
    return stretch(np.exp(logs).astype(np.float32))
