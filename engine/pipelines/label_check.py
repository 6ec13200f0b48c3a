"""Checking labels: which keypoints do not fit their namesakes, in looks and in the layout (issue of quality control; ours).

Two independent witnesses per label. Looks: similarity of the place to the namesakes of the other exemplars, against what
is usual for that keypoint. Layout: distance to where the other keypoints put it, after the best similarity transform (also
mirrored) from any other exemplar (`kinmark.engine.pipelines.label_layout`). Swapped sides: both witnesses prefer the labels with left
and right exchanged, of one pair or of the whole instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.matching.bank import CROP, Variant, build_bank, exemplar_length, variant_view
from kinmark.engine.matching.plan.context import MatchContext
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.reader import FeatureReader, ViewParts, open_reader
from kinmark.engine.matching.similarity import cell_centres_xy_image
from kinmark.engine.pipelines.label_layout import REFERENCES, Floats, layout_residuals
from kinmark.engine.pipelines.sweep import usable_exemplars
from kinmark.engine.requests import CheckRequest, Exemplar, LabelSuspicion, ProposeRequest

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession

MINIMUM_LABELS = 3
MARGIN = 0.35
SUSPICIOUS = 0.5
MOST_DEVIATIONS = 12.0


@dataclass(frozen=True)
class Witnesses:
    """What speaks for and against each label; N instances, K keypoints, NaN where nothing can be said.

    Attributes:
        layout: `[N, K]` distance to where the other keypoints put it, relative to the box.
        looks: `[N, K, K]`, `[n, k, j]` how much the place of label k looks like keypoint j elsewhere.
        there: `[N, K]` how much the place where the other keypoints put k looks like k.
        all_exchanged, pair_exchanged: `layout` with all sides exchanged, and with those of k's own pair only.
    """

    layout: Floats
    looks: Floats
    there: Floats
    all_exchanged: Floats
    pair_exchanged: Floats


@dataclass(frozen=True)
class CheckWeights:
    """Logistic weights of the witnesses (fitted on planted errors; see docs/lab/confidence.md).

    Attributes:
        far: constant, layout over its usual size, how unusual the looks are, how much better the expected place looks.
        pair, whole: constant, gain in layout and gain in looks when one pair, or all sides, are exchanged.
    """

    far: tuple[float, float, float, float] = (-5.41, 1.32, 0.59, 33.32)
    pair: tuple[float, float, float] = (-6.43, 33.42, 51.25)
    whole: tuple[float, float, float] = (-2.74, 29.61, 184.68)


def check_labels(
    session: EngineSession,
    request: CheckRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    weights: CheckWeights | None = None,
) -> tuple[LabelSuspicion, ...]:
    """Labels that look wrong, most suspicious first.

    Raises:
        UserInputError: fewer than three labelled instances to compare.
    """
    as_request = ProposeRequest(request.request_id, request.category, request.schema, request.exemplars, ())
    exemplars = usable_exemplars(as_request)
    if len(exemplars) < MINIMUM_LABELS:
        raise UserInputError(
            said(
                "Checking '{0}' needs {1} labelled instances, there are {2}.",
                request.category,
                MINIMUM_LABELS,
                len(exemplars),
            ),
            "Label or import some more first.",
        )
    prompt = session.prompt(request.prompt, session.backbone(request.backbone), request.category)
    reader = open_reader(session, request.backbone, prompt, cancel)
    if progress is not None:
        progress.start(f"Checking {request.category}", len(exemplars))
    points = np.stack(
        [
            np.where(e.keypoints.labelled[:, None], np.asarray(e.keypoints.xy_image, np.float64), np.nan)
            for e in exemplars
        ]
    )
    lengths = np.array([exemplar_length(e) for e in exemplars])
    flip = list(request.schema.flip_index)
    layout, expected = layout_residuals(points, lengths)
    looks, there, best_place = _looks(reader, request, exemplars, expected, progress, cancel)
    witnesses = Witnesses(layout, looks, there, *exchanged_layouts(points, lengths, flip))
    found = judge_labels(witnesses, points, lengths, flip, weights or CheckWeights())
    order = {id(exemplar): i for i, exemplar in enumerate(request.exemplars)}
    ids = [order[id(exemplar)] for exemplar in exemplars]
    answers = []
    for row, k, kind, score in found:
        if kind == "swapped":
            suggested = points[row, flip[k]]
        else:
            suggested = expected[row, k] if np.isfinite(expected[row, k]).all() else best_place[row, k]
        answers.append(
            LabelSuspicion(
                exemplars[row].image.image_id, ids[row], k, kind, score, (float(suggested[0]), float(suggested[1]))
            )
        )
    return tuple(sorted(answers, key=lambda s: -s.score))


def _looks(
    reader: FeatureReader,
    request: CheckRequest,
    exemplars: list[Exemplar],
    expected: Floats,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> tuple[Floats, Floats, Floats]:
    """`looks` and `there` of `Witnesses` (`expected` `[N, K, 2]` is where `there` looks), and `[N, K, 2]` best places."""
    count, weight = len(request.schema), reader.card_weight
    plan = Plan(fusion_weight=weight, crop_margin=MARGIN)
    context = MatchContext(reader, exemplars, [])
    step = max(1, len(exemplars) // REFERENCES)
    chosen = list(range(0, len(exemplars), step))[:REFERENCES]
    bank = build_bank(
        reader, exemplars, request.schema, [Variant(i) for i in chosen], frame=CROP, margin=MARGIN, weight=weight
    )
    looks = np.full((len(exemplars), count, count), np.nan)
    there = np.full((len(exemplars), count), np.nan)
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
            total += (
                share
                * torch.nn.functional.interpolate(maps, size=(height, width), mode="bilinear", align_corners=True)[:, 0]
            )
        labelled = np.flatnonzero(exemplar.keypoints.labelled)
        cells = _cells_at(parts, np.asarray(exemplar.keypoints.xy_image, np.float64)[labelled])
        looks[row, labelled] = total[:, cells[:, 1], cells[:, 0]].T.numpy()
        placed = np.flatnonzero(np.isfinite(expected[row, :, 0]))
        cells = _cells_at(parts, expected[row, placed])
        there[row, placed] = total[placed, cells[:, 1], cells[:, 0]].numpy()
        centres = cell_centres_xy_image(parts.transform, parts.cells_wh).reshape(-1, 2).numpy()
        places[row] = centres[total.flatten(1).argmax(dim=1).numpy()]
        if progress is not None:
            progress.step(note=exemplar.image.path.name)
    return looks, there, places


def _cells_at(parts: ViewParts, xy_image: Floats) -> NDArray[np.int64]:
    """`[N, 2]` (column, row) of the cells at xy_image `[N, 2]`, those outside brought to the border."""
    width, height = parts.cells_wh
    return parts.to_cells(xy_image).round().astype(np.int64).clip(0, [width - 1, height - 1])


def exchanged_layouts(points: Floats, lengths: Floats, flip: list[int]) -> tuple[Floats, Floats]:
    """`all_exchanged` and `pair_exchanged` of `Witnesses` for labels `[N, K, 2]` of boxes of length `[N]`."""
    swapped, _ = layout_residuals(points, lengths, asked=points[:, flip])
    single = np.full(points.shape[:2], np.nan)
    for k, twin in enumerate(flip):
        if k < twin:
            asked = points.copy()
            asked[:, [k, twin]] = asked[:, [twin, k]]
            residual, _ = layout_residuals(points, lengths, asked=asked, only=(k, twin))
            single[:, [k, twin]] = residual[:, [k, twin]]
    return swapped, single


def judge_labels(
    witnesses: Witnesses, points: Floats, lengths: Floats, flip: list[int], weights: CheckWeights
) -> list[tuple[int, int, str, float]]:
    """(instance, keypoint, kind, score) of everything at least `SUSPICIOUS`; kind "far" or "swapped".

    Args:
        points: `[N, K, 2]` labels, NaN where absent; `lengths` `[N]` of the boxes; `flip` `[K]` the twin of each keypoint.
    """
    own = np.stack([witnesses.looks[:, k, k] for k in range(witnesses.looks.shape[1])], axis=1)
    pair, whole = side_scores(witnesses, flip, weights)
    swapped = np.maximum(pair, np.where(np.array(flip) != np.arange(len(flip)), whole[:, None], 0.0))
    wrong = swapped >= SUSPICIOUS
    # Where sides are exchanged the other keypoints are judged with them put right.
    layout = witnesses.layout
    if wrong.any():
        righted = np.where(wrong[..., None], points[:, flip], points)
        layout, _ = layout_residuals(righted, lengths)
    far = _sigmoid(far_signals(witnesses, layout, own, np.asarray(wrong.any(axis=1))) @ np.array(weights.far))
    found: list[tuple[int, int, str, float]] = []
    for row, k in zip(*np.nonzero(np.isfinite(own)), strict=True):
        if wrong[row, k]:
            found.append((int(row), int(k), "swapped", float(swapped[row, k])))
        elif far[row, k] >= SUSPICIOUS:
            found.append((int(row), int(k), "far", float(far[row, k])))
    return found


def far_signals(witnesses: Witnesses, layout: Floats, own: Floats, righted: NDArray[np.bool_]) -> Floats:
    """`[N, K, 4]` signals of a keypoint that lies elsewhere, in the order of `CheckWeights.far`; 0 = unknown.

    Args:
        layout: `[N, K]` with exchanged sides put right in the `righted` instances `[N]`; own: `[N, K]` own looks.
    """
    z_layout = np.minimum(np.nan_to_num(layout / _usual(witnesses.layout), nan=0.0), MOST_DEVIATIONS)
    z_looks = _deviation(own).clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)
    better = np.where(righted[:, None], 0.0, np.nan_to_num(witnesses.there - own, nan=0.0))
    return np.stack([np.ones_like(own), z_layout, z_looks, better], axis=-1)


def side_signals(witnesses: Witnesses, flip: list[int]) -> tuple[Floats, Floats]:
    """`[N, K, 3]` signals of one pair and `[N, 3]` of the whole instance, in the order of `CheckWeights`; NaN = unknown."""
    count, keypoints = witnesses.layout.shape
    pair, whole = np.full((count, keypoints, 3), np.nan), np.full((count, 3), np.nan)
    looks = witnesses.looks
    gains, layouts = [], []
    for k, twin in enumerate(flip):
        if k >= twin:
            continue
        looks_gain = (looks[:, k, twin] + looks[:, twin, k] - looks[:, k, k] - looks[:, twin, twin]) / 2
        one = _half_sum(witnesses.layout, k, twin) - _half_sum(witnesses.pair_exchanged, k, twin)
        pair[:, k] = pair[:, twin] = np.stack([np.ones(count), one, looks_gain], axis=-1)
        gains.append(looks_gain)
        layouts.append(_half_sum(witnesses.layout, k, twin) - _half_sum(witnesses.all_exchanged, k, twin))
    for row in range(count) if gains else ():
        both = [(x[row], g[row]) for x, g in zip(layouts, gains, strict=True) if np.isfinite(x[row] + g[row])]
        if len(both) >= 2:
            whole[row] = 1.0, float(np.mean([x for x, _ in both])), float(np.mean([g for _, g in both]))
    return pair, whole


def side_scores(witnesses: Witnesses, flip: list[int], weights: CheckWeights) -> tuple[Floats, Floats]:
    """`[N, K]` and `[N]`, 0..1: the pair, or the whole instance, fits better with left and right exchanged."""
    pair, whole = side_signals(witnesses, flip)
    return (
        np.nan_to_num(_sigmoid(pair @ np.array(weights.pair)), nan=0.0),
        np.nan_to_num(_sigmoid(whole @ np.array(weights.whole)), nan=0.0),
    )


def _half_sum(values: Floats, k: int, twin: int) -> Floats:
    return (values[:, k] + values[:, twin]) / 2


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -30, 30))))


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
