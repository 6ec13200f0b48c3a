"""Checking labels: which keypoints do not fit their namesakes, in looks and in the layout (issue of quality control; ours).

Two independent witnesses per label. Looks: similarity of the place to the namesakes of the other exemplars, against what
is usual for that keypoint. Layout: distance to where the other keypoints put it, after the best similarity transform (also
mirrored) from any other exemplar. Swapped sides: both witnesses prefer the labels with left and right exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from engine.api import CheckRequest, Exemplar, LabelSuspicion, ProposeRequest
from engine.domain.errors import UserInputError
from engine.domain.geometry import Similarity, fit_similarity
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
    mirror = np.array([-1.0, 1.0])
    for row in range(count):
        for k in np.flatnonzero(np.isfinite(asked[row, :, 0])):
            rows = []
            for other in range(0, count, max(1, count // REFERENCES)):
                if other == row or not np.isfinite(points[other, k, 0]):
                    continue
                both = np.isfinite(asked[row, :, 0]) & np.isfinite(points[other, :, 0])
                both[k] = False
                if both.sum() < 3:
                    continue
                for sign in (np.ones(2), mirror):
                    fit, rest = trimmed_fit(points[other, both] * sign, asked[row, both])
                    place = fit.apply(points[other, k] * sign)
                    rows.append((float(np.median(rest)), *place))
            if rows:
                # Those whose other keypoints fit best are the ones that may speak.
                best = np.array(sorted(rows)[:3])
                places = best[:, 1:]
                gaps = np.linalg.norm(places - asked[row, k], axis=1) / lengths[row]
                residual[row, k] = np.median(gaps)
                expected[row, k] = np.median(places, axis=0)
    return residual, expected


def trimmed_fit(source: Floats, target: Floats) -> tuple[Similarity, Floats]:
    """Similarity from `[N, 2]` to `[N, 2]` and its residuals `[N]`; up to two points that fit far worse than the others
    (wrong labels, too) are left out of the fit, as long as three remain."""
    use = np.ones(len(source), dtype=bool)
    fit = fit_similarity(source, target)
    rest = np.linalg.norm(fit.apply(source) - target, axis=1)
    for _ in range(2):
        if use.sum() <= 3:
            break
        # The point whose absence helps most: residuals of the full fit are smeared over all points.
        trials = []
        for index in np.flatnonzero(use):
            kept = use.copy()
            kept[index] = False
            trial = fit_similarity(source[kept], target[kept])
            gaps = np.linalg.norm(trial.apply(source) - target, axis=1)
            trials.append((float((gaps[kept] ** 2).mean()), index, trial, gaps))
        best = min(trials, key=lambda t: t[0])
        if best[0] > TRIM_GAIN * float((rest[use] ** 2).mean()):
            break
        use[best[1]] = False
        fit, rest = best[2], best[3]
    return fit, rest


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
