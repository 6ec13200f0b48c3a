"""How alike two regions are: local patches (gradients and colours together) and colour histograms.

A query patch votes for an image by its best match there. What matches everything says nothing, so a collection is ranked
by the *excess* over what the patch finds in most other images (naive-Bayes nearest neighbours, Boiman et al. 2008).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.retrieval.patches import Patches

FloatArray = NDArray[np.float32]

COLOUR_SHARE = 0.15
"""Share of colour in a patch's likeness; gradients have the rest."""
COLOUR_SCALE = 0.35
TARGET_BIAS, TARGET_FLOOR = 0.04, 1e-3
"""A match outside the target's subject counts less by this much per unit of log weight (measured: +5 to +12 mAP)."""
LOWEST = -2.0
"""Likeness is cut off here: two colours far apart are simply different."""


def patch_vectors(patches: Patches, *, as_target: bool) -> FloatArray:
    """`[P, 81]` float32 so that query rows times target rows give the patch likeness in one matrix product.

    likeness = (1 - a) g.g' - a/2 |c - c'|^2, with the squared distance spread over two extra columns that query and
    target hold in opposite order.
    """
    colours = patches.colours * COLOUR_SCALE
    square = -0.5 * COLOUR_SHARE * (colours**2).sum(axis=1, keepdims=True)
    ones = np.ones_like(square)
    tail = [ones, square] if as_target else [square, ones]
    head = [np.sqrt(1 - COLOUR_SHARE) * patches.gradients, np.sqrt(COLOUR_SHARE) * colours]
    return np.concatenate(head + tail, axis=1).astype(np.float32)


def patch_likeness(query: Patches, target: Patches) -> FloatArray:
    """`[P, Q]` likeness of every query patch to every target patch, at most about 1."""
    product = patch_vectors(query, as_target=False) @ patch_vectors(target, as_target=True).T
    return np.maximum(product, LOWEST)


def best_likeness(query: Patches, vectors: FloatArray, starts: NDArray[np.int64]) -> FloatArray:
    """`[P, N]`: each query patch's best match in each of N images.

    Args:
        vectors: all images' target vectors on top of each other; starts: `[N]` first row of each image.
    """
    product = patch_vectors(query, as_target=False) @ vectors.T
    return np.maximum(np.maximum.reduceat(product, starts, axis=1), LOWEST)


def stack_targets(collection: Sequence[Patches]) -> tuple[FloatArray, NDArray[np.int64]]:
    """`best_likeness`'s second and third argument for a collection (each with at least one patch).

    Patches of low foreground weight carry a small malus: a thing that matches another photo's background is a coincidence.
    """
    vectors = np.concatenate([patch_vectors(p, as_target=True) for p in collection])
    relative = np.concatenate([p.weights / max(float(p.weights.max()), 1e-12) for p in collection])
    # The last column meets the query's column of ones.
    vectors[:, -1] += TARGET_BIAS * np.log(relative + TARGET_FLOOR)
    starts = np.cumsum([0] + [len(p.weights) for p in collection[:-1]])
    return vectors, starts


def excess_over(best: FloatArray, weights: FloatArray, ordinary: FloatArray) -> FloatArray:
    """`[N]` weighted sum over patches of what each image gives above the patch's `ordinary` level `[P]`."""
    return (weights @ np.maximum(best - ordinary[:, None], 0)).astype(np.float32)
