"""From a rough pose to keypoints: the target is brought into the frame of the heads, asked there, and looked at once more.

Matching (`kinmark.engine.matching`) says where the instance may be, turned how; each such place is a view in which the heads and the
exemplars' cells give evidence and the shape decides. The place that fits best is aligned again by its own answer.

Thread: the engine thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.domain.geometry import apply_affine, fit_similarity, invert_affine
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.proposals import Peak, SimilarityMap
from kinmark.engine.heads.frame import MISFITS, about_centre, compose, into_frame, is_mirror_image, mirroring
from kinmark.engine.heads.model import KeypointHeads, head_view
from kinmark.engine.heads.shape import WINDOWS, ShapeFit, fit_shape
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.peaks import top_peaks, value_at
from kinmark.engine.matching.similarity import cell_centres_xy_image, inside_region
from kinmark.engine.requests import Target

if TYPE_CHECKING:
    from kinmark.engine.matching.plan.plan import Plan
    from kinmark.engine.matching.predict import Matcher
    from kinmark.engine.matching.run import MatchRun

Floats = NDArray[np.float64]
POSES = 3
"""Distinct poses of the matching that are looked at, beside the answer itself."""
APART = 0.15
"""Poses whose keypoints lie nearer than this (mean, longer sides) are one."""
OUTSIDE = -6.0
"""Evidence outside a box or mask that was asked for, standard deviations."""
STRAINED = 0.25
"""Support that one unit of strain costs when poses are compared."""
UNUSUAL = 0.15
"""The same of a pose that is one standard deviation (times square root of two) from the exemplars'."""
CLEARLY_TURNED = 0.3
ROBUST_ROUNDS = 4
MAP_CELLS = 160
"""Longer side of a map over the whole photo."""


@dataclass(frozen=True)
class Look:
    """One view of the target in the frame: `into` from xy_image, `mirrored` with left and right exchanged; `natural`: its
    features `[C, h, w]`."""

    into: Floats
    mirrored: bool
    heads: Tensor
    cells: Tensor
    fit: ShapeFit
    cost: float
    natural: Tensor

    @property
    def score(self) -> float:
        """How well the pose explains the view, and how usual it is."""
        return self.fit.support - STRAINED * self.fit.strain - UNUSUAL * self.cost


def refine(matcher: Matcher, heads: KeypointHeads, target: Target, raw: RawKeypoints) -> RawKeypoints:
    """The same answer with places, peaks and signals of the heads; `raw` itself where the heads know nothing."""
    look = _best_look(matcher, heads, target, raw)
    return raw if look is None else answer_of(matcher, heads, raw, look)


def evidence_map(
    matcher: Matcher, heads: KeypointHeads, target: Target, raw: RawKeypoints, keypoint: int
) -> SimilarityMap | None:
    """What speaks for a keypoint (index in the schema) all over the photo: heads and exemplars' cells in the view that was
    decided on, its lowest value outside. None where the heads know nothing of it."""
    look = _best_look(matcher, heads, target, raw)
    own = keypoint if look is None or not look.mirrored else matcher.schema.flip_index[keypoint]
    if look is None or not heads.shape.known[own]:
        return None
    values = (look.heads[own] + look.cells[own]).numpy().astype(np.float32)
    width, height = matcher.reader.size_wh(target.image)
    factor = MAP_CELLS / max(width, height)
    cells = max(2, round(width * factor)), max(2, round(height * factor))
    to_image = np.array([[width / (cells[0] - 1), 0.0, 0.0], [0.0, height / (cells[1] - 1), 0.0]])
    to_frame = compose(look.into / heads.finer_stride, to_image)
    shown = cv2.warpAffine(
        values,
        to_frame,
        cells,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float(values.min()),
    )
    peaks = answer_of(matcher, heads, raw, look).peaks[keypoint]
    return SimilarityMap(shown / 10, (width, height), peaks, to_image)


def _best_look(matcher: Matcher, heads: KeypointHeads, target: Target, raw: RawKeypoints) -> Look | None:
    poses = _poses(matcher, heads, target, raw)
    if not poses:
        return None
    best = max(looks_at(matcher, heads, target, poses, WINDOWS), key=lambda look: look.score)
    again = pose_of(heads, in_input(heads, best.fit.xy), heads.shape.known)
    if again is not None:
        closer = [(compose(again, best.into), best.mirrored)]
        best = max([best, *looks_at(matcher, heads, target, closer, WINDOWS[1:])], key=lambda look: look.score)
    return best


def often_turned(
    matcher: Matcher, heads: KeypointHeads, targets: Sequence[Target], plan: Plan, least_share: float
) -> bool:
    """Whether the thing lies turned by 45 degrees or more in at least so many of the targets (matched upright), as far as the
    heads see. Those that cannot change the answer any more are not asked."""
    asked = turned = 0
    for left, target in zip(reversed(range(len(targets))), targets, strict=True):
        answer = _lies_turned(matcher, heads, target, plan)
        if answer is None:
            continue
        asked, turned = asked + 1, turned + answer
        if turned >= least_share * (asked + left) or turned + left < least_share * (asked + left):
            break
    return asked > 0 and turned >= least_share * asked


def _lies_turned(matcher: Matcher, heads: KeypointHeads, target: Target, plan: Plan) -> bool | None:
    """None where the photo cannot be read (reported in its turn) or nothing is found."""
    try:
        raw = matcher.predict(target, plan)
    except UnreadableImageError:
        return None
    poses = _poses(matcher, heads, target, raw)[:1]
    if not poses:
        return None
    into, mirrored = poses[0]
    around = [
        (compose(about_centre(heads.frame, degrees=45.0 * n, scale=1.0, shift=(0.0, 0.0)), into), mirrored)
        for n in range(8)
    ]
    looks = looks_at(matcher, heads, target, around, WINDOWS[:3], local=False)
    score = [look.score + UNUSUAL * look.cost for look in looks]
    best = int(np.argmax(score))
    return best not in (0, 1, 7) and score[best] > max(score[0], score[1], score[7]) + CLEARLY_TURNED


def in_input(heads: KeypointHeads, xy_cells: Floats) -> Floats:
    """Cells of the evidence's grid to xy_input."""
    return xy_cells * heads.finer_stride


def pose_of(heads: KeypointHeads, xy: Floats, known: NDArray[np.bool_]) -> Floats | None:
    """`[2, 3]` robust similarity from points `[K, 2]` (any frame) to the mean shape in xy_input; None with fewer than two."""
    mean = in_input(heads, heads.shape.mean)
    use = known & heads.shape.known & np.isfinite(xy).all(axis=1)
    if use.sum() < 2:
        return None
    weight = np.ones(int(use.sum()))
    for _ in range(ROBUST_ROUNDS):
        fit = fit_similarity(xy[use], mean[use], weight)
        if fit.scale < 1e-6:
            return None
        miss = np.linalg.norm(fit.apply(xy[use]) - mean[use], axis=1) / heads.frame.unit
        weight = 1 / (1 + (miss / 0.1) ** 2)
    return fit.matrix


def _poses(matcher: Matcher, heads: KeypointHeads, target: Target, raw: RawKeypoints) -> list[tuple[Floats, bool]]:
    """Affines from xy_image (behind a mirroring where asked) to the frame, most trusted first."""
    run = raw.run
    size = matcher.reader.size_wh(target.image)
    found: list[tuple[Floats, bool, Floats]] = []

    def add(xy_image: Floats, known: NDArray[np.bool_], mirrored: bool) -> None:
        into = pose_at(heads, matcher.schema, xy_image, known, mirrored, size)
        if into is None:
            return
        if _misses(heads, matcher.schema, into, xy_image, known, mirrored) > MISFITS:
            # An exemplar that faces the other way was found here: the frame may know it as its mirror image.
            other = pose_at(heads, matcher.schema, xy_image, known, not mirrored, size)
            if other is not None and _misses(heads, matcher.schema, other, xy_image, known, not mirrored) <= MISFITS:
                into, mirrored = other, not mirrored
        expected = apply_affine(invert_affine(into), in_input(heads, heads.shape.mean))
        if all(
            np.linalg.norm(expected - e, axis=1).mean() > APART * length_of(heads, into) or m != mirrored
            for _, m, e in found
        ):
            found.append((into, mirrored, expected))

    flipped = run is not None and run.bank.variants[run.poses.best].flip
    add(raw.xy_image, raw.known, flipped)
    if run is not None:
        for v in _best_variants(run):
            expected = run.parts.to_image((run.poses.centre[v] + run.offsets_cells[v].float()).double().numpy())
            add(expected, run.bank.known[v].numpy(), run.bank.variants[v].flip)
            if len(found) > POSES:
                break
    if target.box is None and target.mask is None:
        same = _same_place(matcher, heads, target)
        if same is not None:
            return [*((into, mirrored) for into, mirrored, _ in found), (same, False)]
    return [(into, mirrored) for into, mirrored, _ in found]


def _misses(
    heads: KeypointHeads,
    schema: KeypointSchema,
    into: Floats,
    xy_image: Floats,
    known: NDArray[np.bool_],
    mirrored: bool,
) -> float:
    """Median distance of points in a pose to the mean shape, longer sides."""
    order = list(schema.flip_index) if mirrored else list(range(len(schema)))
    points, use = xy_image[order], known[order] & heads.shape.known & np.isfinite(xy_image[order]).all(axis=1)
    if not use.any():
        return 0.0
    apart = np.linalg.norm(apply_affine(into, points[use]) - in_input(heads, heads.shape.mean)[use], axis=1)
    return float(np.median(apart)) / heads.frame.unit


def pose_at(
    heads: KeypointHeads,
    schema: KeypointSchema,
    xy_image: Floats,
    known: NDArray[np.bool_],
    mirrored: bool,
    image_wh: tuple[int, int],
) -> Floats | None:
    """`[2, 3]` from xy_image (through a mirroring where asked) to the frame, by keypoints `[K, 2]` expected in a photo."""
    mirror = mirroring(image_wh)
    points = xy_image
    if mirrored:
        flip = list(schema.flip_index)
        points, known = apply_affine(mirror, np.nan_to_num(xy_image))[flip], known[flip]
        points = np.where(known[:, None], points, np.nan)
    pose = pose_of(heads, points, known)
    if pose is None:
        pose = _lone_pose(heads, points, known, image_wh)
    if pose is None:
        return None
    return compose(pose, mirror) if mirrored else pose


def length_of(heads: KeypointHeads, into: Floats) -> float:
    """A longer side of the frame in image pixels."""
    return heads.frame.unit / float(np.sqrt(abs(np.linalg.det(into[:, :2]))))


def _lone_pose(
    heads: KeypointHeads, points: Floats, known: NDArray[np.bool_], image_wh: tuple[int, int]
) -> Floats | None:
    """With one keypoint: upright, as large in the photo as the exemplars are in theirs."""
    use = known & heads.shape.known & np.isfinite(points).all(axis=1)
    if not use.any():
        return None
    scale = heads.frame.unit / (float(np.exp(heads.poses.size)) * float(np.sqrt(image_wh[0] * image_wh[1])))
    k = int(np.flatnonzero(use)[0])
    shift = in_input(heads, heads.shape.mean)[k] - scale * points[k]
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


def _best_variants(run: MatchRun) -> list[int]:
    return run.poses.score.argsort(descending=True)[: 4 * POSES].tolist()


def _same_place(matcher: Matcher, heads: KeypointHeads, target: Target) -> Floats | None:
    """As in the exemplar that stands most in the middle of all, where all photos have one size (one set-up, one cropping)."""
    size = matcher.reader.size_wh(target.image)
    if any(matcher.reader.size_wh(e.image) != size for e in matcher.exemplars):
        return None
    mean = in_input(heads, heads.shape.mean)
    alike = [e for e in matcher.exemplars if not is_mirror_image(heads.frame, e)] or matcher.exemplars
    poses = [into_frame(heads.frame, e, size).matrix for e in alike]
    places = np.stack([apply_affine(invert_affine(p), mean) for p in poses])
    middle = np.median(places, axis=0)
    return poses[int(np.linalg.norm(places - middle, axis=-1).mean(axis=1).argmin())]


def looks_at(
    matcher: Matcher,
    heads: KeypointHeads,
    target: Target,
    poses: Sequence[tuple[Floats, bool]],
    windows: Sequence[float],
    *,
    local: bool = True,
) -> list[Look]:
    """The target in each of the poses (`[2, 3]` from xy_image, mirrored or not), with the shape that fits there."""
    views = [head_view(target.image, into, heads.frame.side) for into, _ in poses]
    found = heads.features.read(views, keep=False, local=local)  # a pose of this target, asked once
    answers, cells = heads.evidence(*found)
    looks = []
    size = matcher.reader.size_wh(target.image)
    for (into, mirrored), view, head, cell, natural in zip(poses, views, answers, cells, found[0], strict=True):
        region = None
        if target.box is not None or target.mask is not None:
            centres = cell_centres_xy_image(view.transform, (head.shape[-1], head.shape[-2]))
            mask = None if target.mask is None else torch.from_numpy(target.mask.decode())
            region = inside_region(centres, box=target.box, mask=mask)
        joint = head + cell
        if region is not None and bool(region.any()):
            joint = torch.where(region, joint, torch.full_like(joint, OUTSIDE))
        looks.append(
            Look(
                into,
                mirrored,
                head,
                cell,
                fit_shape(joint, heads.shape, windows=windows),
                heads.poses.cost(into, heads.frame, size),
                natural,
            )
        )
    return looks


def answer_of(matcher: Matcher, heads: KeypointHeads, raw: RawKeypoints, look: Look) -> RawKeypoints:
    """The answer of the matching with places, peaks and signals of a look."""
    back = invert_affine(look.into)
    order = np.array(matcher.schema.flip_index) if look.mirrored else np.arange(len(matcher.schema))
    fit, unit = look.fit, heads.shape.unit

    def to_image(xy_cells: Floats) -> Floats:
        return apply_affine(back, in_input(heads, xy_cells))

    places = to_image(fit.xy)[order]
    known = heads.shape.known[order]
    xy = np.where(known[:, None], places, raw.xy_image)
    at = torch.from_numpy(fit.xy).float()
    head_here, cells_here = value_at(look.heads, at)[order].numpy(), value_at(look.cells, at)[order].numpy()
    found = top_peaks(look.heads + look.cells, k=3, radius_cells=3)
    peaks_image = to_image(found.xy.double().numpy().reshape(-1, 2)).reshape(len(order), -1, 2)[order]
    peak_score = found.score[order]
    own = found.xy[:, 0].double().numpy()
    stray = (np.linalg.norm(fit.xy - own, axis=1) / unit)[order]
    apart = (np.linalg.norm(fit.xy - fit.others_xy, axis=1) / unit)[order]
    moved = np.linalg.norm(places - raw.xy_image, axis=1) / length_of(heads, look.into)
    signals, peaks = [], []
    for k, old in enumerate(raw.signals):
        if not known[k]:
            signals.append(old)
            peaks.append(raw.peaks[k])
            continue
        signals.append(
            replace(
                old,
                head=float(head_here[k]),
                cells=float(cells_here[k]),
                spread=float(fit.spread[order][k]),
                stray=float(stray[k]),
                apart=float(apart[k]),
                moved=float(moved[k]),
                strain=fit.strain,
                whole=fit.support,
            )
        )
        value = float(head_here[k] + cells_here[k])
        others = [
            Peak(float(x), float(y), float(score) / 10)
            for (x, y), score in zip(peaks_image[k], peak_score[k].tolist(), strict=True)
            if np.isfinite(score) and np.hypot(x - places[k, 0], y - places[k, 1]) > 0.05 * length_of(heads, look.into)
        ]
        peaks.append((Peak(float(places[k, 0]), float(places[k, 1]), value / 10), *others[:2]))
    return replace(raw, xy_image=xy, signals=tuple(signals), peaks=tuple(peaks), known=raw.known | known)
