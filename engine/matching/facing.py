"""Do the targets show the instance from its other side? (ours)

A collection (`auto` mirrors the exemplars for all targets) is asked about the inside of the exemplar, on a grid of points: the
labelled keypoints alone are too few to tell, on symmetric bodies a mirrored copy of them fits half of the targets a little
better by chance. A single target is mirrored only where its keypoints themselves leave no doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.pose.sides import mirrored_lead
from kinmark.engine.matching.predict import Matcher
from kinmark.engine.matching.run import MatchRun
from kinmark.engine.requests import Exemplar, ImageInput, Target

CLEARLY_BETTER = 0.055
"""Score of the pose by which a mirrored copy must fit better to count."""
MINIMUM_ASKED = 5
"""Targets whose answers say something; where so many say no in a row, no further one is asked."""
GRID = 10
"""The hull of the keypoints is covered by about GRID x GRID points."""


def predict_facing(matcher: Matcher, target: Target, plan: Plan) -> RawKeypoints:
    """The target's keypoints; where a mirrored copy of the exemplars clearly fits it better, with mirrored copies.

    `swap_gain` of the answer: how much better the facing that was not taken fits (usually negative).
    """
    raw = matcher.predict(target, plan)
    if raw.run is None:
        return raw
    gain = mirrored_gain(matcher, raw.run)
    if plan.flip:
        return replace(raw, swap_gain=-abs(gain))
    if not plan.mirror_targets or gain <= CLEARLY_BETTER:
        return replace(raw, swap_gain=gain)
    return replace(matcher.predict(target, replace(plan, flip=True)), swap_gain=-gain)


def mirrored_gain(matcher: Matcher, run: MatchRun) -> float:
    """How much better (score of the pose) a mirrored copy of an exemplar, left and right exchanged, fits this view than an
    unmirrored one; 0 where that says nothing: no twins, no common shape, exemplars that are turned anyway."""
    plan = run.plan
    if not matcher.schema.pairs or plan.shape == 0 or plan.rotations > 1:
        return 0.0
    if not plan.flip:
        both = matcher.bank(run.frame, replace(plan, flip=True))
        mirrored = both.subset([v.flip for v in both.variants])
        other = matcher.match(mirrored, run.parts, run.target, plan, run.frame)
        return float(other.poses.score.max() - run.poses.score.max())
    return mirrored_lead(run)


def inner_points(exemplar: Exemplar) -> NDArray[np.float64]:
    """`[N, 2]` xy_image: a regular grid inside the hull of the labelled keypoints (N may be 0: a line, a point)."""
    points = np.asarray(exemplar.keypoints.xy_image, np.float32)[exemplar.keypoints.labelled]
    hull = cv2.convexHull(points)
    low, high = points.min(axis=0), points.max(axis=0)
    step = max(float(np.sqrt(cv2.contourArea(hull))) / GRID, 1.0)
    xs, ys = (np.arange(a + step / 2, b, step) for a, b in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    inside = [cv2.pointPolygonTest(hull, (float(x), float(y)), False) >= 0 for x, y in grid]
    return grid[np.array(inside, dtype=bool)].astype(np.float64)


def with_inner_points(matcher: Matcher) -> Matcher | None:
    """The matcher with the insides of its exemplars in place of their keypoints; None where one has no inside."""
    grids = [inner_points(e) for e in matcher.exemplars]
    if min(len(g) for g in grids) == 0:
        return None
    count = max(len(g) for g in grids)
    exemplars = []
    for exemplar, grid in zip(matcher.exemplars, grids, strict=True):
        xy = np.full((count, 2), np.nan)
        xy[: len(grid)] = grid
        visibility = np.where(np.arange(count) < len(grid), int(Visibility.VISIBLE), int(Visibility.ABSENT))
        keypoints = InstanceKeypoints(xy, visibility, exemplar.keypoints.box_or_extent())
        exemplars.append(replace(exemplar, keypoints=keypoints))
    schema = KeypointSchema(tuple(f"inner {n}" for n in range(count)), (), ())
    return replace(matcher, exemplars=tuple(exemplars), schema=schema, _banks={})


def mirrored_gains(
    matcher: Matcher, plan: Plan, targets: Sequence[ImageInput], cancel: CancelToken | None
) -> NDArray[np.float64]:
    """How much better (score of the pose) a mirrored copy of an exemplar fits readable targets; `[T]`, may be empty. The last ones
    are not asked where the first `MINIMUM_ASKED` clearly say no."""
    inner = with_inner_points(matcher)
    if inner is None:
        return np.zeros(0)
    # Priors of a fixed camera are those of the keypoints, not of the points inside.
    asked = replace(plan, flip=True, stages=1, location=0.0, foreground=0.0)
    gains: list[float] = []
    for run in inner.whole_matches(targets, asked, cancel):
        gains.append(mirrored_lead(run))
        if len(gains) == MINIMUM_ASKED and max(gains) <= CLEARLY_BETTER:
            break
    return np.array(gains)
