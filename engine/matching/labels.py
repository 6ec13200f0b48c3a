"""Checking labels: which keypoints do not fit their namesakes, in looks and in the layout (issue of quality control; ours).

Two independent witnesses per label. Looks: similarity of the place to the namesakes of the other exemplars, against what
is usual for that keypoint. Layout: distance to where the other keypoints put it, after the best similarity transform (also
mirrored) from any other exemplar. Swapped sides: both witnesses prefer the labels with left and right exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.api import CheckRequest, Exemplar, LabelSuspicion, ProposeRequest
from engine.domain.errors import UserInputError
from engine.domain.progress import CancelToken, Progress
from engine.matching.bank import CROP, Variant, build_bank, exemplar_length, variant_view
from engine.matching.context import MatchContext
from engine.matching.plan import Plan
from engine.matching.propose import usable_exemplars
from engine.matching.reader import FeatureReader, open_reader
from engine.matching.similarity import cell_centres_xy_image

if TYPE_CHECKING:
    from engine.session import EngineSession

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
MINIMUM_LABELS = 3
REFERENCES = 24
MARGIN = 0.35
SUSPICIOUS = 0.5
TRIM_GAIN = 0.3
"""A point is left out of a fit when the mean square residual of the rest falls below this share."""


@dataclass(frozen=True)
class CheckWeights:
    """How the witnesses make a score: `sigmoid(layout * (z_layout - at) + looks * (z_looks - at_looks))`.

    z_layout is the residual over its usual size for that keypoint, z_looks the similarity's robust deviation downwards.
    """

    layout: float = 1.5
    layout_at: float = 3.0
    looks: float = 0.8
    looks_at: float = 0.5
    swap: float = 0.3


def check_labels(
    session: EngineSession, request: CheckRequest, *, progress: Progress | None = None,
    cancel: CancelToken | None = None, weights: CheckWeights | None = None,
) -> tuple[LabelSuspicion, ...]:  # fmt: skip
    """Labels that look wrong, most suspicious first.

    Raises:
        UserInputError: fewer than three labelled instances to compare.
    """
    as_request = ProposeRequest(request.request_id, request.category, request.schema, request.exemplars, ())
    exemplars = usable_exemplars(as_request)
    if len(exemplars) < MINIMUM_LABELS:
        raise UserInputError(
            f"Checking '{request.category}' needs {MINIMUM_LABELS} labelled instances, there are {len(exemplars)}.",
            "Label or import some more first.",
        )
    prompt = session.prompt(request.prompt, session.backbone(request.backbone), request.category)
    reader = open_reader(session, request.backbone, prompt, cancel)
    if progress is not None:
        progress.start(f"Checking {request.category}", len(exemplars))
    looks, best_place = _looks(reader, request, exemplars, progress, cancel)
    points = np.stack([
        np.where(e.keypoints.labelled[:, None], np.asarray(e.keypoints.xy_image, np.float64), np.nan) for e in exemplars
    ])  # fmt: skip
    lengths = np.array([exemplar_length(e) for e in exemplars])
    flip = list(request.schema.flip_index)
    layout, expected = layout_residuals(points, lengths)
    swapped_layout, _ = layout_residuals(points, lengths, asked=points[:, flip])
    found = judge_labels(layout, looks, swapped_layout, flip, weights or CheckWeights())
    ids = [next(i for i, e in enumerate(request.exemplars) if e is x) for x in exemplars]
    answers = []
    for row, k, kind, score in found:
        if kind == "swapped":
            suggested = points[row, flip[k]]
        else:
            suggested = expected[row, k] if np.isfinite(expected[row, k]).all() else best_place[row, k]
        answers.append(LabelSuspicion(
            exemplars[row].image.image_id, ids[row], k, kind, score, (float(suggested[0]), float(suggested[1]))
        ))  # fmt: skip
    return tuple(sorted(answers, key=lambda s: -s.score))


def _looks(
    reader: FeatureReader, request: CheckRequest, exemplars: list[Exemplar], progress: Progress | None,
    cancel: CancelToken | None,
) -> tuple[Floats, Floats]:  # fmt: skip
    """`[N, K, K]` similarity of label k's place to the namesakes of j in the others, `[N, K, 2]` best place of k."""
    count, weight = len(request.schema), reader.card_weight
    plan = Plan(fusion_weight=weight, crop_margin=MARGIN)
    context = MatchContext(reader, exemplars, [])
    step = max(1, len(exemplars) // REFERENCES)
    chosen = list(range(0, len(exemplars), step))[:REFERENCES]
    bank = build_bank(
        reader, exemplars, request.schema, [Variant(i) for i in chosen], frame=CROP, margin=MARGIN, weight=weight
    )
    looks = np.full((len(exemplars), count, count), np.nan)
    places = np.full((len(exemplars), count, 2), np.nan)
    for row, exemplar in enumerate(exemplars):
        if cancel is not None:
            cancel.check()
        parts = reader.read([variant_view(reader, exemplar, Variant(0), CROP, MARGIN)], weight)[0]
        others = [i for i, reference in enumerate(chosen) if reference != row]
        width, height = parts.cells_wh
        total = torch.zeros(count, height, width)
        known = bank.known[others].float()
        for name, share in context.part_weights(plan).items():
            whitener = context.whitener(CROP, name, plan)
            queries = whitener(bank.queries[name][others]) * known[..., None]
            # The mean namesake is one vector: cosine to it is the mean cosine.
            mean = queries.sum(0) / known.sum(0).clamp(min=1)[:, None]
            maps = torch.einsum("kc,chw->khw", mean, whitener.maps(parts.maps[name]))[:, None]
            total += share * torch.nn.functional.interpolate(
                maps, size=(height, width), mode="bilinear", align_corners=True
            )[:, 0]  # fmt: skip
        labelled = np.flatnonzero(exemplar.keypoints.labelled)
        cells = parts.to_cells(np.asarray(exemplar.keypoints.xy_image, np.float64)[labelled]).round().astype(int)
        cells = cells.clip(0, [width - 1, height - 1])
        looks[row, labelled] = total[:, cells[:, 1], cells[:, 0]].T.numpy()
        centres = cell_centres_xy_image(parts.transform, parts.cells_wh).reshape(-1, 2).numpy()
        places[row] = centres[total.flatten(1).argmax(dim=1).numpy()]
        if progress is not None:
            progress.step(note=exemplar.image.path.name)
    return looks, places


def layout_residuals(points: Floats, lengths: Floats, asked: Floats | None = None) -> tuple[Floats, Floats]:
    """How far each label lies from where its fellows put it.

    Args:
        points: `[N, K, 2]`, NaN where absent; `lengths` `[N]` longer side of each box.
        asked: the labels to judge when they differ from `points` (exchanged sides), same shape.

    Returns:
        `[N, K]` residual relative to the length (smallest over the other instances, median of the three best) and
        `[N, K, 2]` expected position; NaN where fewer than three common neighbours exist.
    """
    asked = points if asked is None else asked
    count, keypoints = points.shape[:2]
    residual = np.full((count, keypoints), np.nan)
    expected = np.full((count, keypoints, 2), np.nan)
    # Complex numbers make a similarity one multiplication; each instance is centred, so that sums keep their precision.
    own = points[..., 0] + 1j * points[..., 1]
    own = own - np.nan_to_num(_mean(own))[:, None]
    shapes = np.stack([own, -own.conj()], axis=1)  # [N, 2, K]: as it is, and mirrored
    chosen = np.arange(0, count, max(1, count // REFERENCES))
    for row in range(count):
        others = chosen[chosen != row]
        target = asked[row, :, 0] + 1j * asked[row, :, 1]
        known = np.isfinite(target.real)
        if not len(others) or known.sum() < 4:
            continue
        centre = target[known].mean()
        source = shapes[others].reshape(-1, keypoints)  # [J, K]
        places, misfit = _places(source, target - centre, known)
        for k in np.flatnonzero(known):
            ranked = np.argsort(misfit[:, k])
            # Those whose other keypoints fit best are the ones that may speak.
            best = ranked[np.isfinite(misfit[ranked, k])][:3]
            if len(best):
                speak = places[best, k] + centre
                residual[row, k] = np.median(np.abs(speak - target[k])) / lengths[row]
                expected[row, k] = np.median(speak.real), np.median(speak.imag)
    return residual, expected


def _mean(values: Complexes) -> Complexes:
    known = np.isfinite(values.real)
    return np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _places(source: Complexes, target: Complexes, known: NDArray[np.bool_]) -> tuple[Complexes, Floats]:
    """Where each of J instances puts each keypoint, judged by the *other* common keypoints.

    Args:
        source: `[J, K]` keypoints as x + iy, NaN where absent; `target` `[K]` likewise, labelled where `known`.

    Returns:
        `[J, K]` places in the frame of `target`, and `[J, K]` median distance of the common keypoints (NaN where fewer
        than three are common). Up to two common keypoints that fit far worse than the rest (wrong labels, too) are left
        out of each fit, as long as three remain.
    """
    common = np.isfinite(source.real) & known
    use = np.repeat(common[:, None, :], source.shape[1], axis=1)  # [J, k, K]
    use[:, np.arange(source.shape[1]), np.arange(source.shape[1])] = False
    counts_for = use.copy()
    z = np.where(common, source, 0)[:, None, :]
    w = np.where(known, target, 0)[None, None, :]
    for _ in range(2):
        cost = fit_cost(z, w, use)
        # The point whose absence helps most: residuals of the full fit are smeared over all points.
        without = _costs_without(z, w, use)
        worst = without.argmin(axis=-1)
        least = np.take_along_axis(without, worst[..., None], axis=-1)[..., 0]
        drop = (use.sum(axis=-1) > 3) & (least <= TRIM_GAIN * cost)
        if not drop.any():
            break
        j, k = np.nonzero(drop)
        use[j, k, worst[j, k]] = False
    turn, shift = _fits(z, w, use)
    gaps = np.where(counts_for, np.abs(turn[..., None] * z + shift[..., None] - w), np.nan)
    enough = (counts_for.sum(axis=-1) >= 3) & common
    misfit = np.full(enough.shape, np.nan)
    misfit[enough] = np.nanmedian(gaps[enough], axis=-1)
    return turn * np.where(common, source, 0) + shift, misfit


def _sums(z: Complexes, w: Complexes, use: NDArray[np.bool_]) -> tuple[Any, ...]:
    """n, sum z, sum w, sum |z|^2, sum |w|^2, sum conj(z) w over the last axis."""
    return (
        use.sum(-1).astype(np.float64), (z * use).sum(-1), (w * use).sum(-1), (np.abs(z) ** 2 * use).sum(-1),
        (np.abs(w) ** 2 * use).sum(-1), (z.conj() * w * use).sum(-1),
    )  # fmt: skip


def _fits(z: Complexes, w: Complexes, use: NDArray[np.bool_]) -> tuple[Complexes, Complexes]:
    """Least-squares `w = turn * z + shift` over the last axis; a pure shift where the points coincide."""
    n, sz, sw, zz, _, zw = _sums(z, w, use)
    n = np.maximum(n, 1)
    spread = zz - np.abs(sz) ** 2 / n
    turn = np.where(spread > 1e-12, (zw - sz.conj() * sw / n) / np.maximum(spread, 1e-12), 1.0)
    return turn, (sw - turn * sz) / n


def _mean_square(n: Any, sz: Any, sw: Any, zz: Any, ww: Any, zw: Any) -> Floats:
    n = np.maximum(n, 1)
    spread = np.maximum(zz - np.abs(sz) ** 2 / n, 1e-12)
    left = ww - np.abs(sw) ** 2 / n - np.abs(zw - sz.conj() * sw / n) ** 2 / spread
    return np.maximum(left, 0.0) / n


def fit_cost(z: Complexes, w: Complexes, use: NDArray[np.bool_]) -> Floats:
    """Mean square residual of the best similarity over the last axis."""
    return _mean_square(*_sums(z, w, use))


def _costs_without(z: Complexes, w: Complexes, use: NDArray[np.bool_]) -> Floats:
    """`fit_cost` with one point left out, for each point; infinite for points that are not used."""
    n, sz, sw, zz, ww, zw = (s[..., None] for s in _sums(z, w, use))
    cost = _mean_square(
        n - 1, sz - z, sw - w, zz - np.abs(z) ** 2, ww - np.abs(w) ** 2, zw - z.conj() * w
    )  # fmt: skip
    return np.where(use, cost, np.inf)


def judge_labels(
    layout: Floats, looks: Floats, swapped_layout: Floats, flip: list[int], weights: CheckWeights
) -> list[tuple[int, int, str, float]]:
    """(instance, keypoint, kind, score) of everything at least `SUSPICIOUS`.

    Args:
        layout, swapped_layout: `[N, K]`; the second with left and right exchanged.
        looks: `[N, K, K]`, `[n, k, j]` = how much label k of n looks like keypoint j.
    """
    own = np.stack([looks[:, k, k] for k in range(looks.shape[1])], axis=1)
    swapped = _swaps(layout, looks, swapped_layout, flip, weights)
    # Where sides are exchanged the other keypoints are judged with them put right.
    exchanged = np.asarray((swapped >= SUSPICIOUS).any(axis=1))
    righted = exchanged[:, None] & np.isfinite(swapped_layout)
    usual = _usual(layout)
    layout = np.where(righted, np.fmin(layout, swapped_layout), layout)
    z_layout = np.nan_to_num(layout / usual, nan=0.0)
    z_looks = _deviation(own)
    logit = weights.layout * (z_layout - weights.layout_at) + weights.looks * (z_looks - weights.looks_at)
    score = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
    found: list[tuple[int, int, str, float]] = []
    for row in range(len(layout)):
        for k in range(layout.shape[1]):
            if not np.isfinite(own[row, k]):
                continue
            if swapped[row, k] >= SUSPICIOUS:
                found.append((row, k, "swapped", float(swapped[row, k])))
            elif score[row, k] >= SUSPICIOUS:
                found.append((row, k, "far", float(score[row, k])))
    return found


def _usual(layout: Floats) -> Floats:
    """`[K]`: the usual residual of each keypoint (its median, at least 3 % of the box)."""
    usual = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.1 for c in layout.T])
    return np.maximum(usual, 0.03)


def _deviation(own: Floats) -> Floats:
    """How many robust deviations below its keypoint's usual similarity; 0 where unknown."""
    result = np.zeros_like(own)
    for k, column in enumerate(own.T):
        known = column[np.isfinite(column)]
        if len(known) >= 3:
            middle = np.median(known)
            spread = max(1.4826 * float(np.median(np.abs(known - middle))), 0.02)
            result[:, k] = np.nan_to_num((middle - column) / spread, nan=0.0)
    return result


def _swaps(layout: Floats, looks: Floats, swapped_layout: Floats, flip: list[int], weights: CheckWeights) -> Floats:
    """`[N, K]` 0..1: the pair fits better with left and right exchanged."""
    result = np.zeros(layout.shape)
    for k, twin in enumerate(flip):
        if twin <= k:
            continue
        as_is = np.nan_to_num(layout[:, k], nan=0.0) + np.nan_to_num(layout[:, twin], nan=0.0)
        exchanged = np.nan_to_num(swapped_layout[:, k], nan=9.0) + np.nan_to_num(swapped_layout[:, twin], nan=9.0)
        looks_gain = looks[:, k, twin] + looks[:, twin, k] - looks[:, k, k] - looks[:, twin, twin]
        logit = 12 * (weights.swap * as_is - exchanged) + 8 * np.nan_to_num(looks_gain, nan=-1.0)
        both = np.isfinite(layout[:, k]) & np.isfinite(layout[:, twin])
        value = np.where(both, 1 / (1 + np.exp(-np.clip(logit, -30, 30))), 0.0)
        result[:, k] = result[:, twin] = value
    return result
