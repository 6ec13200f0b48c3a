"""How alike two regions are: local patches (gradients and colours together) and colour histograms.

A query patch votes for an image by its best match there. What matches everything says nothing, so a collection is ranked
by the *excess* over what the patch finds in most other images (naive-Bayes nearest neighbours, Boiman et al. 2008).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.regions.patches import Patches

FloatArray = NDArray[np.float32]

COLOUR_SHARE = 0.15
"""Share of colour in a patch's likeness inside a photo; gradients have the rest."""
RANKING_COLOUR_SHARE = 0.1
"""The same between the photos of a collection: their light differs, and the subject's colours have a part of their own."""
COLOUR_SCALE = 0.35
TARGET_BIAS, TARGET_FLOOR = 0.04, 1e-3
"""A match outside the target's subject counts less by this much per unit of log weight (measured: +5 to +12 mAP)."""
PLACES, LEVELS = 8, 5
"""Bins of the place (per side) and of the size on which matches have to agree."""
LOWEST = -2.0
"""Likeness is cut off here: two colours far apart are simply different."""


def patch_vectors(patches: Patches, *, as_target: bool, colour_share: float = COLOUR_SHARE) -> FloatArray:
    """`[P, 81]` float32 so that query rows times target rows give the patch likeness in one matrix product.

    likeness = (1 - a) g.g' - a/2 |c - c'|^2, with the squared distance spread over two extra columns that query and
    target hold in opposite order.
    """
    colours = patches.colours * COLOUR_SCALE
    square = -0.5 * colour_share * (colours**2).sum(axis=1, keepdims=True)
    ones = np.ones_like(square)
    tail = [ones, square] if as_target else [square, ones]
    head = [np.sqrt(1 - colour_share) * patches.gradients, np.sqrt(colour_share) * colours]
    return np.concatenate(head + tail, axis=1).astype(np.float32)


def patch_likeness(query: Patches, target: Patches) -> FloatArray:
    """`[P, Q]` likeness of every query patch to every target patch, at most about 1."""
    product = patch_vectors(query, as_target=False) @ patch_vectors(target, as_target=True).T
    return np.maximum(product, LOWEST)


def target_vectors(patches: Patches) -> FloatArray:
    """`[81, Q]` target side of `patch_likeness`, ready to be multiplied.

    Patches of low foreground weight carry a small malus: a thing that matches another photo's background is a coincidence.
    """
    vectors = patch_vectors(patches, as_target=True, colour_share=RANKING_COLOUR_SHARE)
    relative = patches.weights / max(float(patches.weights.max()), 1e-12)
    # The last column meets the query's column of ones.
    vectors[:, -1] += TARGET_BIAS * np.log(relative + TARGET_FLOOR)
    return np.ascontiguousarray(vectors.T)


def best_likeness(query: Patches, targets: Sequence[FloatArray]) -> tuple[FloatArray, NDArray[np.int32]]:
    """Each query patch's best match in each of N images (their `target_vectors`): likeness and patch, both `[P, N]`.

    One image at a time: the product stays in the processor's cache, which is ten times faster than one large product.
    """
    vectors = patch_vectors(query, as_target=False, colour_share=RANKING_COLOUR_SHARE)
    best = np.empty((len(vectors), len(targets)), np.float32)
    where = np.empty((len(vectors), len(targets)), np.int32)
    rows = np.arange(len(vectors))
    for column, target in enumerate(targets):
        product = vectors @ target
        where[:, column] = product.argmax(axis=1)
        best[:, column] = product[rows, where[:, column]]
    return np.maximum(best, LOWEST), where


def consistent_share(query: Patches, target: Patches, where: NDArray[np.int32], votes: FloatArray) -> float:
    """How much of the votes `[P]` of matches `where` `[P]` agree on where the thing is and how large (Hough, coarse bins).

    Each match says where the query's centre lies in the target, given the two patches' sizes. Bins of an eighth of the photo
    and of half an octave, blurred, forgive another viewpoint; matches all over the photo agree on nothing.
    """
    chosen = votes > 0
    if not chosen.any():
        return 0.0
    centre = query.weights @ query.xy
    matched = where[chosen]
    scale = np.log2(target.cells[matched] / query.cells[chosen])
    shift = (query.xy[chosen] - centre) * np.exp2(scale)[:, None]
    place = np.clip(((target.xy[matched] - shift + 0.25) / 1.5 * PLACES).astype(int), 0, PLACES - 1)
    level = np.clip(np.round(scale / 0.7).astype(int) + LEVELS // 2, 0, LEVELS - 1)
    flat = (place[:, 1] * PLACES + place[:, 0]) * LEVELS + level
    table = np.bincount(flat, votes[chosen], minlength=PLACES * PLACES * LEVELS).reshape(PLACES, PLACES, LEVELS)
    return float(cv2.GaussianBlur(table.astype(np.float32), (3, 3), 0.7, borderType=cv2.BORDER_CONSTANT).max())
