"""Does a whole thing lie there? What the exemplars look like between their keypoints (ours).

Keypoints alone can be borrowed: the head of one thing and the tail of its neighbour fit a shape as well as a thing does, and
nothing lies between them. So points along the skeleton (without one: along the shortest tree over the mean shape) are compared,
too: the best cosine over the exemplars' natural features at the same share of the same edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.geometry import apply_affine
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.limbs import limb_edges
from kinmark.engine.heads.frame import into_frame, is_mirror_image, labelled_points
from kinmark.engine.heads.model import STRIDE, KeypointHeads, head_view, vectors_at
from kinmark.engine.requests import Exemplar

Floats = NDArray[np.float64]
SHARES = (0.25, 0.5, 0.75)
"""Places along an edge that are looked at, beside its ends."""
MAX_EXEMPLARS = 8
ELSEWHERE = (
    (0.33, 0.0),
    (-0.33, 0.0),
    (0.0, 0.33),
    (0.0, -0.33),
    (0.25, 0.25),
    (-0.25, 0.25),
    (0.25, -0.25),
    (-0.25, -0.25),
)
"""Shifts (share of the frame) at which the same points are compared to tell what any place of the view reaches."""


@dataclass(frozen=True)
class BodyModel:
    """What lies at and between the keypoints.

    Attributes:
        first, second, share: `[P]`: point p lies at `(1 - share) * xy[first] + share * xy[second]`.
        vectors: `[E, P, C]` unit vectors of the exemplars; known: `[E, P]` bool.
        usual: mean over the exemplars of how alike the others are to each (NaN with one).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    share: Floats
    vectors: Tensor
    known: Tensor
    usual: float

    def points(self, xy: Floats) -> Floats:
        """`[P, 2]` of keypoints `[K, 2]`, same frame."""
        return (1 - self.share)[:, None] * xy[self.first] + self.share[:, None] * xy[self.second]

    def likeness(self, natural: Tensor, xy_input: Floats, inside: NDArray[np.bool_]) -> tuple[float, float]:
        """Mean cosine over the points of a view's features `[C, h, w]` with keypoints at `[K, 2]` xy_input, and how many standard
        deviations that is above the same points moved elsewhere in the view.

        Args:
            inside: `[K]` bool: the keypoint lies in the picture; points with an end outside do not count.
        """
        use = torch.from_numpy(inside[self.first] & inside[self.second]) & self.known.any(dim=0)
        if not bool(use.any()):
            return float("nan"), float("nan")
        points = self.points(xy_input)[use.numpy()]
        side = (max(natural.shape[-2:]) - 1) * STRIDE
        moves = np.array([(0.0, 0.0), *ELSEWHERE]) * side
        where = (points[None] + moves[:, None]) % side  # what leaves the view comes in again on the other side
        found = vectors_at(natural, torch.from_numpy(where.reshape(-1, 2) / STRIDE).float()).reshape(
            len(moves), len(points), -1
        )
        cosine = torch.einsum("epc,mpc->mep", self.vectors[:, use], found)
        cosine = torch.where(self.known[None, :, use], cosine, torch.full_like(cosine, -1.0))
        mean = cosine.amax(dim=1).mean(dim=1).double().numpy()
        return float(mean[0]), float((mean[0] - mean[1:].mean()) / (mean[1:].std() + 0.02))


def body_model(heads: KeypointHeads, schema: KeypointSchema, exemplars: Sequence[Exemplar]) -> BodyModel:
    """From the exemplars' own views, which teaching has read before."""
    step = -(-len(exemplars) // MAX_EXEMPLARS)
    exemplars = [e for e in exemplars if not is_mirror_image(heads.frame, e)][::step] or list(exemplars)[::step]
    known = heads.shape.known
    edges = limb_edges(heads.shape.mean, known, schema.edges)
    index = np.flatnonzero(known)
    first = np.array([*index, *(a for a, _ in edges for _ in SHARES)], dtype=np.int64)
    second = np.array([*index, *(b for _, b in edges for _ in SHARES)], dtype=np.int64)
    share = np.array([*np.zeros(len(index)), *(s for _ in edges for s in SHARES)])
    source = heads.features.extractor.source
    poses = [into_frame(heads.frame, e, source.size_wh(e.image)).matrix for e in exemplars]
    natural, _ = heads.features.read(
        [head_view(e.image, into, heads.frame.side) for e, into in zip(exemplars, poses, strict=True)], local=False
    )
    vectors, shown = [], []
    for exemplar, into, maps in zip(exemplars, poses, natural, strict=True):
        xy = labelled_points(exemplar)
        there = np.isfinite(xy[:, 0])
        xy = apply_affine(into, np.nan_to_num(xy))
        points = (1 - share)[:, None] * xy[first] + share[:, None] * xy[second]
        vectors.append(vectors_at(maps, torch.from_numpy(points / STRIDE).float()))
        shown.append(torch.from_numpy(there[first] & there[second]))
    stacked, seen = torch.stack(vectors), torch.stack(shown)
    return BodyModel(first, second, share, stacked, seen, _usual(stacked, seen))


def _usual(vectors: Tensor, known: Tensor) -> float:
    """Mean over the exemplars of the best cosine with another one, per point."""
    if len(vectors) < 2:
        return float("nan")
    cosine = torch.einsum("epc,fpc->efp", vectors, vectors)
    other = known[:, None] & known[None] & ~torch.eye(len(vectors), dtype=torch.bool)[..., None]
    best = torch.where(other, cosine, torch.full_like(cosine, -1.0)).amax(dim=1)
    use = other.any(dim=1)
    return float(best[use].mean()) if bool(use.any()) else float("nan")
