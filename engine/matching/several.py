"""Every individual of a category in one photo (ours; docs/lab/several.md).

The votes of the matching over the whole photo name candidate places: a few peaks of every turned exemplar, at every size that is
looked at. Each is looked at in the frame of the heads (`kinmark.engine.matching.refine`) and described by a few numbers: how well
heads, cells and what lies between the keypoints fit there. A logistic model of them says whether an individual lies there; the
likeliest is taken, places too much like it fall away (`kinmark.engine.domain.alike`), and so on until nothing is likely any more or enough
are found.
Further candidates are looked at as long as the last ones held somebody. Where another category competes for the same places (left
hand, right hand), every place is looked at with its heads, too: who explains it better has it.

Without heads the votes alone decide, by their share of the best one's.

Thread: the engine thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d

from kinmark.engine.domain.alike import SAME_FROM, claimed, is_taken, place_similarity, placed_points
from kinmark.engine.domain.geometry import Box, apply_affine, clip_box, invert_affine
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.heads import ridge
from kinmark.engine.heads.body import BodyModel
from kinmark.engine.heads.frame import LONE_SHARE, HeadFrame, compose
from kinmark.engine.heads.model import BOUND, FINER, KeypointHeads, PosePrior, pose_facts
from kinmark.engine.heads.shape import WINDOWS
from kinmark.engine.matching.bank import WHOLE
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.facing import predict_facing
from kinmark.engine.matching.peaks import max_within, top_peaks, value_at
from kinmark.engine.matching.refine import (
    APART,
    Look,
    answer_of,
    in_input,
    length_of,
    looks_at,
    pose_at,
    pose_of,
    refine,
)
from kinmark.engine.matching.similarity import restrict
from kinmark.engine.paths import resources_dir
from kinmark.engine.requests import Target

if TYPE_CHECKING:
    from kinmark.engine.matching.plan.plan import Plan
    from kinmark.engine.matching.predict import Matcher
    from kinmark.engine.matching.run import MatchRun

Floats = NDArray[np.float64]
PEAKS_PER_VARIANT = 12
"""Of the votes, or twice as many as are wanted."""
TURNS_PER_PLACE = 2
"""Candidates of different turns about one centre that are looked at."""
NEAR = 0.35
"""Centres nearer than this (longer sides) are one place."""
LOOKS = 6
"""Candidates looked at at once."""
VOTE_SHARE = 0.4
"""Candidates whose vote is below this share of the best one are not looked at."""
PLAIN_SHARE = 0.75
"""The same where nothing but the votes decides."""
SUPPRESS = 0.4
"""Similarity from which a place is too much like one that was chosen: somewhat below that of one thing twice, since a likely
error is made of parts of two that lie side by side."""
BAR, FIRST_BAR = 0.0, -2.0
"""Log-odds that an individual beside others, and the first of a photo, must reach."""
SHARE_OF_BEST = 0.2
"""Those beside others must come so near to the best place's log-odds, too: copies of one kind in one light fit about alike."""
HOPELESS = -6.0
"""Log-odds of the first alignment below which nothing is aligned once more."""
MIRRORED = 0.5
"""Log-odds that a mirrored place costs where the settings do not mirror."""
LEAST_SHOWN = 0.4
"""Share of the known keypoints that must lie inside the picture."""
MARGIN = 0.15
"""About an individual that is matched again, longer sides."""
FACTS = ("support", "strain", "unusual", "heads", "least", "body", "contrast", "usual", "vote", "inside", "spread")
"""Of a place: `support` and `strain` of the fitted shape, `unusual` angle and size, mean and lowest third of the `heads`' answers
(`least`), `body` likeness at and between the keypoints, its `contrast` to other places of the view, and compared with what is
`usual` between exemplars, the matching's `vote`, share of keypoints `inside` the picture, mean `spread` of the places."""


@dataclass(frozen=True)
class Place:
    """One place where an individual may be: its keypoints in the schema's order, FACTS, log-odds that one is there, and its length
    (longer side) in image pixels."""

    look: Look
    keypoints: InstanceKeypoints
    facts: Floats
    odds: float
    length: float


@dataclass(frozen=True)
class Seeker:
    """What is asked about every target: set once.

    Attributes:
        rivals: the same of categories that compete for the same places, matched by keypoint names.
        bar: log-odds that a place beside others must reach (`kinmark.engine.matching.several_bar`).
    """

    matcher: Matcher
    heads: KeypointHeads
    body: BodyModel
    plan: Plan
    schema: KeypointSchema
    rivals: tuple[Seeker, ...] = ()
    bar: float = BAR

    def seek(self, target: Target, ordinary: RawKeypoints | None = None) -> list[Place]:
        """The individuals of a target that are new, likeliest first, at most `target.limit`.

        Where nothing is taken the likeliest place is held to a lower bar: most photos of a collection show somebody.

        Args:
            ordinary: the answer for one individual, whose place is looked at, too.
        """
        poses = self.candidates(target)[: LOOKS + 3 * target.limit]
        if ordinary is not None and ordinary.run is not None:
            flip = ordinary.run.bank.variants[ordinary.run.poses.best].flip
            size = self.matcher.reader.size_wh(target.image)
            into = pose_at(self.heads, self.schema, ordinary.xy_image, ordinary.known, flip, size)
            poses = [*([] if into is None else [(into, flip, float("nan"))]), *poses]
        seen: list[Place] = []
        chosen: list[Place] = []
        for start in range(0, len(poses), LOOKS):
            before = len(chosen)
            seen += self.look(target, poses[start : start + LOOKS])
            chosen = self.choose(target, seen)
            if len(chosen) == target.limit or (start > 0 and len(chosen) == before):
                break
        return chosen

    def choose(self, target: Target, places: Sequence[Place]) -> list[Place]:
        """The places that pass, each different from the others and from what is taken."""
        lone = LONE_SHARE * min(self.matcher.reader.size_wh(target.image))
        others = list(target.taken)
        chosen: list[Place] = []
        ordered = sorted(places, key=lambda p: -p.odds)
        bar = self.bar + SHARE_OF_BEST * max(ordered[0].odds, 0.0) if ordered else self.bar
        for place in ordered:
            if len(chosen) == target.limit or place.odds < (bar if others else FIRST_BAR):
                break
            if not self.shows_enough(place) or is_taken(place.keypoints, target.taken, lone_length=lone):
                continue
            if any(place_similarity(place.keypoints, other, lone_length=lone) >= SUPPRESS for other in others):
                continue
            if claimed(place.keypoints, others, place.length) >= SUPPRESS:
                continue
            alone = log_odds(without_vote(place.facts))
            if any(rival.odds_at(target, place.keypoints, self.schema) > alone for rival in self.rivals):
                continue
            others.append(place.keypoints)
            chosen.append(place)
        return chosen

    def shows_enough(self, place: Place) -> bool:
        """Whether enough of it is inside the picture to tell: two keypoints, and LEAST_SHOWN of those that are known at all."""
        known = int(self.heads.shape.known.sum())
        return int(place.keypoints.labelled.sum()) >= max(min(2, known), LEAST_SHOWN * known)

    def odds_at(self, target: Target, keypoints: InstanceKeypoints, schema: KeypointSchema) -> float:
        """Log-odds that an individual of this category lies where another schema's keypoints are, matched by name."""
        xy = np.full((len(self.schema), 2), np.nan)
        for index, name in enumerate(schema.names):
            if name in self.schema.names and keypoints.labelled[index]:
                xy[self.schema.names.index(name)] = keypoints.xy_image[index]
        size = self.matcher.reader.size_wh(target.image)
        pose = pose_at(self.heads, self.schema, xy, np.isfinite(xy[:, 0]), False, size)
        if pose is None:
            return float("-inf")
        return max(place.odds for place in self.look(target, [(pose, False, float("nan"))]))

    @property
    def may_mirror(self) -> bool:
        """Whether somebody may face the other way though the settings do not say so: of a herd some always face as the exemplars do,
        so the collection's best places never ask for mirrored ones. (Turned exemplars would be twice eight views each.)"""
        return self.plan.mirror_targets and not self.plan.flip and self.plan.rotations == 1 and not self.rivals

    # ---- candidates ------------------------------------------------------------------------------------------

    def candidates(self, target: Target) -> list[tuple[Floats, bool, float]]:
        """(pose from xy_image to the frame, mirrored, vote) of the peaks of all variants and sizes, best first."""
        size = self.matcher.reader.size_wh(target.image)
        plan = replace(self.plan, flip=True) if self.may_mirror else self.plan
        found = []
        for peak in distinct_peaks(whole_peaks(self.matcher, target, plan), TURNS_PER_PLACE):
            into = pose_at(self.heads, self.schema, peak.expected, peak.known, peak.flip, size)
            if into is not None:
                found.append((into, peak.flip, peak.vote))
        return found

    # ---- looking ---------------------------------------------------------------------------------------------

    def look(self, target: Target, poses: Sequence[tuple[Floats, bool, float]]) -> list[Place]:
        """Places of candidate poses, each that is not hopeless aligned once more by its own answer."""
        if not poses:
            return []
        first = looks_at(self.matcher, self.heads, target, [(p, m) for p, m, _ in poses], WINDOWS, local=False)
        again, which = [], []
        for index, look in enumerate(first):
            hopeless = self.place(target, look, poses[index][2]).odds < HOPELESS
            pose = None if hopeless else pose_of(self.heads, in_input(self.heads, look.fit.xy), self.heads.shape.known)
            if pose is not None:
                again.append((compose(pose, look.into), look.mirrored))
                which.append(index)
        second = looks_at(self.matcher, self.heads, target, again, WINDOWS[1:], local=False) if again else []
        best = dict(enumerate(first))
        for index, look in zip(which, second, strict=True):
            best[index] = max(best[index], look, key=lambda seen: seen.score)
        return [self.place(target, best[i], poses[i][2]) for i in range(len(first))]

    def place(self, target: Target, look: Look, vote: float) -> Place:
        """What a look says about an individual there."""
        size = self.matcher.reader.size_wh(target.image)
        known = self.heads.shape.known
        xy_input = in_input(self.heads, look.fit.xy)
        back = apply_affine(invert_affine(look.into), xy_input)
        inside = known & (back >= 0).all(axis=1) & (back <= np.array(size)).all(axis=1)
        values = np.sort(self._answers(look)[inside])
        likeness, contrast = self.body.likeness(look.natural, xy_input, inside)
        few = len(values) == 0
        facts = np.array(
            [
                look.fit.support,
                look.fit.strain,
                unusual(self.heads.poses, look.into, self.heads.frame, size),
                np.nan if few else values.mean(),
                np.nan if few else values[: max(1, len(values) // 3)].mean(),
                likeness,
                contrast,
                likeness - self.body.usual,
                vote,
                inside.sum() / max(known.sum(), 1),
                np.nanmean(look.fit.spread),
            ]
        )
        order = list(self.schema.flip_index) if look.mirrored else list(range(len(self.schema)))
        shown = inside[order]
        keypoints = InstanceKeypoints(np.where(shown[:, None], back[order], np.nan), np.where(shown, 2, 0))
        odds = log_odds(facts) - (MIRRORED if look.mirrored and not self.plan.flip else 0.0)
        return Place(look, keypoints, facts, odds, length_of(self.heads, look.into))

    def _answers(self, look: Look) -> Floats:
        """`[K]` answers of the heads at the places, as they were taught (1 = the keypoint, 0 = not), best of the neighbouring cells."""
        maps = max_within(ridge.apply(self.heads.weights, look.natural[None])[0], 1)
        return value_at(maps, torch.from_numpy(look.fit.xy / FINER)).double().numpy()

    # ---- answering -------------------------------------------------------------------------------------------

    def answer(self, target: Target, place: Place) -> RawKeypoints:
        """All evidence for an individual found: matched again where it lies, then looked at with everything."""
        size = self.matcher.reader.size_wh(target.image)
        box = about(place.keypoints, length_of(self.heads, place.look.into), size, target.box)
        raw = predict_facing(self.matcher, replace(target, box=box, taken=(), limit=1), self.plan)
        pose = [(place.look.into, place.look.mirrored)]
        [look] = looks_at(self.matcher, self.heads, target, pose, WINDOWS[1:])
        return answer_of(self.matcher, self.heads, raw, look)


@dataclass(frozen=True)
class Peak:
    """One peak of the votes: `expected` `[K, 2]` and `centre` xy_image, `length` of the instance in image pixels."""

    expected: Floats
    known: NDArray[np.bool_]
    flip: bool
    centre: Floats
    length: float
    vote: float


def whole_peaks(matcher: Matcher, target: Target, plan: Plan) -> list[Peak]:
    """Peaks of the votes of all variants over the whole photo, at all sizes that the plan looks at; best first."""
    sizes = plan if plan.stages == 1 else replace(plan, sizes=1)
    runs = matcher.whole_runs(target, sizes, matcher.bank(WHOLE, plan))
    return sorted((peak for run in runs for peak in _peaks(matcher, run)), key=lambda peak: -peak.vote)


def distinct_peaks(peaks: Sequence[Peak], per_place: int) -> list[Peak]:
    """At most so many different poses about one place, none far below the best."""
    found: list[Peak] = []
    for peak in peaks:
        if found and peak.vote < VOTE_SHARE * found[0].vote:
            break
        near = [f for f in found if np.linalg.norm(peak.centre - f.centre) < NEAR * max(f.length, peak.length)]
        if len(near) < per_place and not any(_same_pose(peak, other) for other in near):
            found.append(peak)
    return found


def _same_pose(first: Peak, second: Peak) -> bool:
    both = first.known & second.known
    if first.flip != second.flip or not both.any():
        return False
    apart = np.linalg.norm(first.expected[both] - second.expected[both], axis=1).mean()
    return bool(apart < APART * max(first.length, second.length))


def _peaks(matcher: Matcher, run: MatchRun) -> list[Peak]:
    region = matcher.region(run.parts, run.target)
    # The slack of the shape makes plateaus: rounded, and sloped by a hair, each has one top instead of taking all places.
    votes = avg_pool2d(run.votes[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    votes = votes + torch.linspace(0, 1e-5, votes[0].numel()).reshape(votes[0].shape)
    votes = votes if region is None else restrict(votes, region)
    radius = max(1, round(0.2 * float(run.length_cells.median())))
    found = top_peaks(votes, k=max(PEAKS_PER_VARIANT, 2 * run.target.limit), radius_cells=radius)
    per_cell = float(np.linalg.norm(run.parts.to_image([1.0, 0.0]) - run.parts.to_image([0.0, 0.0])))
    peaks = []
    for v in range(len(votes)):
        for xy, score in zip(found.xy[v], found.score[v].tolist(), strict=True):
            if np.isfinite(score):
                expected = run.parts.to_image((xy + run.offsets_cells[v].float()).double().numpy())
                peaks.append(
                    Peak(
                        expected,
                        run.bank.known[v].numpy(),
                        run.bank.variants[v].flip,
                        run.parts.to_image(xy.double().numpy()),
                        float(run.length_cells[v]) * per_cell,
                        score,
                    )
                )
    return peaks


def about(keypoints: InstanceKeypoints, length: float, image_wh: tuple[int, int], within: Box | None) -> Box:
    """Where an instance lies with a margin, inside the picture and the box that was asked for."""
    points = placed_points(keypoints)
    points = points[np.isfinite(points[:, 0])]
    low, high = points.min(axis=0) - MARGIN * length, points.max(axis=0) + MARGIN * length
    box = clip_box((float(low[0]), float(low[1]), float(high[0]), float(high[1])), image_wh)
    if within is None:
        return box
    inner = (max(box[0], within[0]), max(box[1], within[1]), min(box[2], within[2]), min(box[3], within[3]))
    return inner if inner[0] < inner[2] and inner[1] < inner[3] else within


def unusual(prior: PosePrior, into: Floats, frame: HeadFrame, image_wh: tuple[int, int]) -> float:
    """Half the squared deviations of angle and size from the exemplars', bounded; where somebody stands among others says nothing."""
    angle, size, _ = pose_facts(into, frame, image_wh)
    turn = np.angle(np.exp(1j * (angle - prior.angle)))
    return float(
        sum(min(t * t / 2, BOUND) for t in (turn / prior.angle_spread, (size - prior.size) / prior.size_spread))
    )


def without_vote(facts: Floats) -> Floats:
    """The facts of a place that another category is asked about, too, whose votes are not known there."""
    return np.where(np.array(FACTS) == "vote", np.nan, facts)


@lru_cache(maxsize=1)
def _model() -> dict[str, Any]:
    path = resources_dir() / "calibration" / "several.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def log_odds(facts: Floats, model: dict[str, Any] | None = None) -> float:
    """Of an individual at a place with these facts (None: the shipped model); unknown ones are average."""
    model = _model() if model is None else model
    z = np.nan_to_num((facts - np.array(model["mean"])) / np.array(model["scale"]), nan=0.0).clip(-4, 4)
    return float(z @ np.array(model["coefficients"]) + model["intercept"])


# ---- for targets that ask for several --------------------------------------------------------------------------------


def several_raw(matcher: Matcher, seeker: Seeker | None, target: Target, plan: Plan) -> Iterator[RawKeypoints]:
    """What is new in a target, likeliest first."""
    if seeker is None:
        yield from _plain(matcher, target, plan)
        return
    ordinary = refine(matcher, seeker.heads, target, predict_facing(matcher, target, plan))
    lone = LONE_SHARE * min(matcher.reader.size_wh(target.image))
    there = InstanceKeypoints(ordinary.xy_image, np.where(ordinary.known, 2, 0))
    for place in seeker.seek(target, ordinary):
        # Who would be answered alone is answered alike: photos with one individual lose nothing.
        same = place_similarity(there, place.keypoints, lone_length=lone) >= SAME_FROM
        yield ordinary if same else seeker.answer(target, place)


def _plain(matcher: Matcher, target: Target, plan: Plan) -> Iterator[RawKeypoints]:
    """Without heads: peaks of the votes that come near the best one's."""
    size = matcher.reader.size_wh(target.image)
    lone = LONE_SHARE * min(size)
    peaks = distinct_peaks(whole_peaks(matcher, target, plan), 1)
    others = list(target.taken)
    found = 0
    for peak in peaks:
        if found == target.limit or peak.vote < PLAIN_SHARE * peaks[0].vote:
            return
        expected = InstanceKeypoints(np.where(peak.known[:, None], peak.expected, np.nan), np.where(peak.known, 2, 0))
        if any(place_similarity(expected, other, lone_length=lone) >= SUPPRESS for other in others):
            continue
        box = about(expected, peak.length, size, target.box)
        raw = predict_facing(matcher, replace(target, box=box, taken=(), limit=1), plan)
        placed = InstanceKeypoints(raw.xy_image, np.where(raw.known, 2, 0))
        if any(place_similarity(placed, other, lone_length=lone) >= SUPPRESS for other in others):
            continue
        others.append(placed)
        found += 1
        yield raw
