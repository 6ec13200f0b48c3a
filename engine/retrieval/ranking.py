"""Rank a collection against each of its photos: local excess, agreement on a place (of patches and of interest points),
colour, deep cells of a network that knows photographs, then their neighbourhoods.

Used by leave-one-out evaluation of folders, and small enough to read as a description of how likeness is judged. Every part
is brought to the same scale per query (z-scores), so that weights mean the same in any collection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.regions.interest import distinctive_points
from kinmark.engine.regions.likeness import best_likeness, consistent_share, target_vectors
from kinmark.engine.regions.natural import natural_votes
from kinmark.engine.regions.patches import Patches
from kinmark.engine.retrieval.photo import PhotoFeatures

Matrix = NDArray[np.float64]

ORDINARY_PERCENTILE = 93
"""What a patch finds in most photos is below this percentile; only the excess counts."""


@dataclass(frozen=True)
class RankingWeights:
    """Weights of the z-scored parts; `neighbours` and `spread` of the re-ranking (0 neighbours = none).

    Those of points and colour are log-odds per standard deviation of a logistic regression over pairs of photos of two real
    sets, natural is less than its fit (0.7): neighbours carry it on, and what is alike in kind is not one article
    (docs/lab/individuals.md says what a fit on one set gives on the other). local and consistent help where things are smooth.
    """

    local: float = 0.25
    consistent: float = 0.25
    colour: float = 0.8
    learned: float = 0.0
    neighbours: int = 4
    spread: float = 0.85
    points: float = 1.0
    natural: float = 0.4


def standardise(scores: Matrix) -> Matrix:
    """Z-scores per row without the diagonal, averaged with their transpose; the diagonal becomes 0."""
    table = scores.astype(np.float64).copy()
    np.fill_diagonal(table, np.nan)
    centre = np.nanmean(table, axis=1, keepdims=True)
    spread = np.maximum(np.nanstd(table, axis=1, keepdims=True), 1e-9)
    table = (table - centre) / spread
    np.fill_diagonal(table, 0.0)
    return (table + table.T) / 2


def local_matrices(
    photos: Sequence[PhotoFeatures], *, on_row: Callable[[], None] | None = None
) -> tuple[Matrix, Matrix, Matrix]:
    """Weighted excess of each query's patches (row) in each photo (column), the part of it that agrees on a place, and
    the interest points that agree.

    Each `[N, N]`, square-rooted; of the query and its mirror image the better one counts. Memory is one row of products at a
    time; time grows with the square of the patches.
    """
    count = len(photos)
    everything, pinned = [p.patches for p in photos], [p.points for p in photos]
    targets = [target_vectors(p) for p in everything]
    local, consistent, points = (np.zeros((count, count)) for _ in range(3))
    for row, photo in enumerate(photos):
        for query in (photo.patches, photo.mirrored):
            excess, agreeing = _query_rows(query, everything, targets, row)
            local[row] = np.maximum(local[row], excess)
            consistent[row] = np.maximum(consistent[row], agreeing)
        for seen_from in (photo.points, photo.mirrored_points):
            points[row] = np.maximum(points[row], distinctive_points(seen_from, pinned, row))
        if on_row is not None:
            on_row()
    return np.sqrt(local), np.sqrt(consistent), np.sqrt(points)


def _query_rows(
    query: Patches, photos: Sequence[Patches], targets: Sequence[NDArray[np.float32]], own: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(excess, its part that agrees on a place), each `[N]`; column `own` is the query's own photo and stays 0."""
    best, where = best_likeness(query, targets)
    best[:, own] = np.nan
    ordinary = np.nanpercentile(best, ORDINARY_PERCENTILE, axis=1, keepdims=True)
    votes = np.maximum(np.nan_to_num(best - ordinary, nan=0.0), 0) * query.weights[:, None]
    votes[:, own] = 0
    agreeing = [consistent_share(query, p, where[:, i], votes[:, i]) for i, p in enumerate(photos)]
    return votes.sum(axis=0).astype(np.float64), np.array(agreeing)


def colour_matrix(photos: Sequence[PhotoFeatures]) -> Matrix:
    """`[N, N]` Hellinger affinity of the subjects' colours."""
    table = np.stack([p.histogram for p in photos])
    return (table @ table.T).astype(np.float64)


def learned_matrix(photos: Sequence[PhotoFeatures]) -> Matrix:
    """`[N, N]` cosine of the pooled learned vectors, centred over the collection; zeros without a backbone."""
    vectors = [p.learned for p in photos]
    if any(v is None for v in vectors):
        return np.zeros((len(photos), len(photos)))
    table = np.stack([v for v in vectors if v is not None]).astype(np.float64)
    table = table - table.mean(axis=0)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    return table @ table.T


def natural_matrix(photos: Sequence[PhotoFeatures]) -> Matrix:
    """`[N, N]` votes of the photos' deep cells; zeros where a photo has none (no weights installed)."""
    cells = [p.natural for p in photos if p.natural is not None]
    return natural_votes(cells) if len(cells) == len(photos) else np.zeros((len(photos), len(photos)))


def spread_over_neighbours(scores: Matrix, neighbours: int, spread: float) -> Matrix:
    """Let likeness flow along mutual neighbours (manifold ranking, Zhou et al. 2003).

    Two views of a thing that share little are joined by a third that resembles both.
    """
    count = len(scores)
    if neighbours <= 0 or count < 4:
        return scores
    off = scores[~np.eye(count, dtype=bool)]
    table = (scores - off.mean()) / max(float(off.std()), 1e-9) - 1.0
    np.fill_diagonal(table, -np.inf)
    graph = np.zeros((count, count))
    for row in range(count):
        nearest = np.argsort(-table[row], kind="stable")[: min(neighbours, count - 1)]
        graph[row, nearest] = np.maximum(table[row, nearest], 0)
    graph = 0.7 * np.minimum(graph, graph.T) + 0.3 * np.maximum(graph, graph.T)
    degree = graph.sum(axis=1) + 1e-9
    normal = graph / np.sqrt(degree[:, None] * degree[None])
    flow = np.linalg.inv(np.eye(count) - spread * normal)
    # The flow decides; the direct likeness orders what it does not reach.
    return standardise(flow) + 0.3 * standardise(scores)


@dataclass(frozen=True)
class LikenessParts:
    """The parts as `[N, N]` matrices, not yet brought to one scale."""

    local: Matrix
    consistent: Matrix
    points: Matrix
    colour: Matrix
    learned: Matrix
    natural: Matrix


def likeness_parts(photos: Sequence[PhotoFeatures], *, on_row: Callable[[], None] | None = None) -> LikenessParts:
    """Compare every photo with every other (the slow step; weights can be tried on the result)."""
    local = local_matrices(photos, on_row=on_row)
    return LikenessParts(*local, colour_matrix(photos), learned_matrix(photos), natural_matrix(photos))


def combine_parts(parts: LikenessParts, weights: RankingWeights) -> Matrix:
    """`[N, N]` weighted sum of the standardised parts, spread over neighbours."""
    total = np.zeros_like(parts.colour)
    for matrix, weight in (
        (parts.local, weights.local),
        (parts.consistent, weights.consistent),
        (parts.points, weights.points),
        (parts.colour, weights.colour),
        (parts.learned, weights.learned),
        (parts.natural, weights.natural),
    ):
        if weight:
            total += weight * standardise(matrix)
    return spread_over_neighbours(total, weights.neighbours, weights.spread)


def rank_collection(
    photos: Sequence[PhotoFeatures],
    weights: RankingWeights | None = None,
    *,
    on_row: Callable[[], None] | None = None,
) -> Matrix:
    """`[N, N]` scores: row = query, higher = more alike. The diagonal means nothing."""
    if len(photos) < 3:
        return colour_matrix(photos)
    return combine_parts(likeness_parts(photos, on_row=on_row), weights or RankingWeights())
