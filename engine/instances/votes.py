"""The released-code variant `pdm-votes`: nearest-token votes and its correspondence-weighted retrieval score.

What the published program computes (methods/instances.md, "released-code variant"); its quirks are documented with the reference vectors
and reproduced only where a keyword asks for them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEAREST = 100
"""Published number of target tokens that each reference token votes for."""


def votes_for_grid(cells: int) -> int:
    """How many tokens each reference token votes for: the published 100 where there are enough, a tenth on tiny grids."""
    return NEAREST if cells >= 4 * NEAREST else max(1, cells // 10)


def vote_counts(
    reference_foreground: Tensor, target: Tensor, *, nearest: int = NEAREST, metric: str = "cosine"
) -> Tensor:
    """Votes per target token, `[M]` float32: each reference token `[R, C]` votes for its `nearest` tokens of `[M, C]`.

    `metric` is "euclidean" (the matching demo) or "cosine" (the segmentation script).
    """
    if not len(reference_foreground):
        raise ValueError("the reference has no foreground token")
    nearest = min(nearest, len(target))
    if metric == "euclidean":
        chosen = torch.cdist(reference_foreground, target).topk(nearest, dim=1, largest=False).indices
    elif metric == "cosine":
        similarity = F.normalize(reference_foreground, dim=1) @ F.normalize(target, dim=1).T
        chosen = similarity.topk(nearest, dim=1).indices
    else:
        raise ValueError(f"unknown metric {metric!r}: use 'euclidean' or 'cosine'")
    return torch.bincount(chosen.flatten(), minlength=len(target)).float()


def vote_map(counts: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Votes / max as a `[h, w]` map."""
    return (counts / counts.max().clamp_min(1)).reshape(grid_hw)


def correspondences(
    source: Tensor,
    target: Tensor,
    points_yx: Tensor,
    *,
    size: int,
    top: int = 1,
    transposed_lookup: bool = False,
    channel_normalised: bool = False,
) -> tuple[Tensor, Tensor]:
    """Best target positions of source cells by feature likeness: (`[P, top, 2]` (row, column), `[P, top]` scores).

    Args:
        source, target: feature maps `[1, C, h, w]`; both are resized to `size` x `size` cells.
        points_yx: `[P, 2]` int64 cells (row, column) of the resized source.
        transposed_lookup: look the source up at the transposed cell (a quirk of the published mask variant).
        channel_normalised: normalise per channel over positions, so that the "cosine" is not one (a quirk of both
            published variants). The defaults compare the right cell by true cosine.
    """
    maps = [F.interpolate(m, (size, size), mode="bilinear").flatten(2)[0] for m in (source, target)]
    over = 1 if channel_normalised else 0
    src, tgt = (F.normalize(m, dim=over) for m in maps)
    row, column = points_yx[:, 0], points_yx[:, 1]
    index = column * size + row if transposed_lookup else row * size + column
    scores, best = (src[:, index].T @ tgt).topk(top, dim=1)
    return torch.stack([best // size, best % size], dim=-1), scores


def box_points(box_xyxy: tuple[int, int, int, int]) -> Tensor:
    """Cells of a box, rows exclusive and columns *inclusive* of the maximum (published), `[P, 2]` (row, column)."""
    x0, y0, x1, y1 = box_xyxy
    rows, columns = torch.arange(y0, y1), torch.arange(x0, x1 + 1)
    return torch.cartesian_prod(rows, columns)


def correspondence_score(
    query_tokens: Tensor,
    target_tokens: Tensor,
    points_yx: Tensor,
    found_yx: Tensor,
    weights: Tensor,
    *,
    size: int,
) -> float:
    """Retrieval score of one token kind: mean over points of weight x cosine of the tokens at the two locations.

    Tokens are `[size * size, C]`; `points_yx` and `found_yx` `[P, 2]`; `weights` `[P]`.
    """
    q = query_tokens[points_yx[:, 0] * size + points_yx[:, 1]]
    t = target_tokens[found_yx[:, 0] * size + found_yx[:, 1]]
    return float((weights * F.cosine_similarity(q, t, dim=1)).mean())
