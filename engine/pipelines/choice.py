"""Settings that choose themselves (methods/matching.md): leave-one-exemplar-out, and what the targets say to few exemplars."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.domain.geometry import fit_similarity
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.matching.bank import WHOLE, Variant, exemplar_length
from kinmark.engine.matching.facing import CLEARLY_BETTER, MINIMUM_ASKED, mirrored_gains
from kinmark.engine.matching.plan.plan import Plan, apply_settings
from kinmark.engine.matching.predict import Matcher
from kinmark.engine.requests import Exemplar, ImageInput, MatchSettings, SettingsChoice, Target

SMALL_SHARE = 0.6
"""An instance shorter than this share of the image's shorter side is matched in a crop."""
TURN_SPREAD = 0.6
LEAVE_ONE_OUT_FROM = 4
"""Exemplars: two or three held out once each choose by luck (side views, two exemplars: 41 % instead of 60 %)."""
MAX_HELD_OUT = 8
TARGETS_TO_ASK = 8
UPRIGHT_SHARE = 0.8
UPRIGHT_SHARE_MOVING_CAMERA = 0.45
"""Below this share of targets that an exemplar fits within 45 degrees of upright, exemplars are turned (chance: 3/8)."""
MIRRORED_SHARE = 0.2
"""Mirrored copies are used for all where so large a share of the targets fits one clearly better. Measured: 0.25 to 0.5 of
drawn animals that face both ways, at most 0.17 of views from all round, where mirroring harms."""
ASKED_EXEMPLARS = 4
"""So many, evenly chosen, are turned and mirrored to ask the targets: all may face one way because they are of one film."""
LARGER_SHARE = 0.2
"""From this share of targets that fit better at another size, all are looked at in three."""
CLEARLY_LARGER = 0.012
"""So much better (score of the pose, natural part) another size must fit to count: photos of one distance reach 0.011, those that
show the thing half as large again 0.02 to 0.06. Three views a photo cost three times as much."""
TRY_TURNING = 0.35
"""Exemplars that are all turned alike (circular deviation in radians) are no reason to try turned copies."""
ENOUGH_UPRIGHT = 8
"""Photos with upright exemplars that speak for all: if a third lay turned, so many upright ones would be a chance of one in 25."""
MINIMUM_GAIN = 0.02
CLEARLY, LEAST_SPREAD = 1.5, 0.1
"""A setting changes where it is better by so many standard errors over the held-out photos; their differences are taken to
spread at least so much."""


@dataclass(frozen=True)
class Trial:
    """One plan measured: `soft` `[P]` score per held-out photo, PCK@0.1 over their keypoints, seconds per photo."""

    plan: Plan
    soft: NDArray[np.float64]
    pck: float
    seconds: float


def default_plan(matcher: Matcher, settings: MatchSettings) -> Plan:
    """A sane plan from what the exemplars and the scene show, before anything is measured."""
    context, exemplars = matcher.context, matcher.exemplars
    plan = Plan(method="nn", fuse="mean", shape=1.0, fusion_weight=_start_weight(matcher))
    share = np.median([exemplar_length(e) / min(matcher.reader.size_wh(e.image)) for e in exemplars])
    few = max((int(e.keypoints.labelled.sum()) for e in exemplars), default=0) < 2
    plan = replace(plan, stages=2 if share < SMALL_SHARE and not few else 1)
    if turn_spread(matcher) > TURN_SPREAD:
        plan = replace(plan, rotations=8)
    elif any(mirrored for _, mirrored in _turns(matcher)):
        plan = replace(plan, flip=True)  # they face both ways, so the other photos will, too
    if context.scene is not None:
        plan = replace(plan, location=0.15, foreground=0.3)
        moving = context.foreground_of_keypoints
        if moving.max(initial=0) > 0.6 and moving.min(initial=1) < 0.25:
            # Some points belong to the rig and some to the animal: they form no common shape.
            plan = replace(plan, shape=0.0, stages=1)
    # Whoever asks for one stage gets one, also where a box says where the instance is.
    plan = replace(plan, crop_boxes=plan.shape > 0 and settings.stages != 1, mirror_targets=settings.flip is None)
    return apply_settings(plan, settings)


def _start_weight(matcher: Matcher) -> float:
    return float(matcher.reader.card_weight)


def _turns(matcher: Matcher) -> list[tuple[float, bool]]:
    """Angle and mirroring of every further exemplar against the first one."""
    turns = []
    first = matcher.exemplars[0].keypoints
    for other in matcher.exemplars[1:]:
        both = first.labelled & other.keypoints.labelled
        if both.sum() >= 2:
            turns.append(_turn(np.asarray(first.xy_image)[both], np.asarray(other.keypoints.xy_image)[both]))
    return turns


def turn_spread(matcher: Matcher) -> float:
    """How differently the exemplars are turned: circular deviation in radians (0 with one exemplar or no shape)."""
    angles = [angle for angle, _ in _turns(matcher)]
    if not angles:
        return 0.0
    mean = np.abs(np.mean(np.exp(1j * np.array([0.0, *angles]))))
    return float(np.sqrt(max(0.0, -2 * np.log(max(mean, 1e-6)))))


def all_upright(matcher: Matcher) -> bool:
    """Whether so many exemplars stand alike that the other photos need not be asked whether the thing lies turned there."""
    return len(exemplar_photos(matcher.exemplars)) >= ENOUGH_UPRIGHT and turn_spread(matcher) < TRY_TURNING


def _turn(source: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, bool]:
    """Angle in radians between two shapes `[N, 2]`, and whether the animal faces the other way (mirrored, not turned)."""
    plain = fit_similarity(source, target)
    mirrored_source = source * np.array([-1.0, 1.0])
    mirrored = fit_similarity(mirrored_source, target)
    misfit = float(((plain.apply(source) - target) ** 2).sum())
    misfit_mirrored = float(((mirrored.apply(mirrored_source) - target) ** 2).sum())
    return (mirrored.angle_rad, True) if misfit_mirrored < misfit else (plain.angle_rad, False)


def choose(
    matcher: Matcher,
    settings: MatchSettings,
    targets: Sequence[ImageInput],
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> SettingsChoice:
    """The plan of these exemplars as settings, with the figures behind it."""
    start, reason = first_settings(matcher, settings, targets, cancel)
    if len(exemplar_photos(matcher.exemplars)) < LEAVE_ONE_OUT_FROM:
        return SettingsChoice(start.to_settings(), (), len(matcher.exemplars), reason)
    chooser = _Chooser(matcher, settings, targets, progress, cancel)
    best, table = chooser.descend(start)
    gain = f"PCK@0.1 {100 * best.pck:.0f} when each exemplar is found from the others"
    reason = f"Measured on {len(matcher.exemplars)} exemplars: {gain}."
    return SettingsChoice(best.plan.to_settings(), tuple(table), len(matcher.exemplars), reason)


def first_settings(
    matcher: Matcher,
    settings: MatchSettings,
    targets: Sequence[ImageInput],
    cancel: CancelToken | None = None,
    *,
    ask_turns: bool = True,
) -> tuple[Plan, str]:
    """What sizes, scene and targets say before anything is held out, and the reason in words."""
    start = default_plan(matcher, settings)
    reason = "Settings from the size and number of the exemplars and the scene."
    if start.rotations == 1:
        start, reason = _ask_targets(_asking(matcher), start, settings, targets, cancel, ask_turns)
    return ask_sizes(matcher, start, settings, targets, cancel), reason


def _asking(matcher: Matcher) -> Matcher:
    """The matcher with few of its exemplars, for questions that turn each of them."""
    step = -(-len(matcher.exemplars) // ASKED_EXEMPLARS)
    return matcher if step == 1 else replace(matcher, exemplars=matcher.exemplars[::step], _banks={})


def _ask_targets(
    matcher: Matcher,
    plan: Plan,
    settings: MatchSettings,
    targets: Sequence[ImageInput],
    cancel: CancelToken | None,
    ask_turns: bool = True,
) -> tuple[Plan, str]:
    """Whether the exemplars must be turned or mirrored to fit, the targets tell."""
    fixed = settings.decided()
    if plan.shape == 0 or not targets:
        return plan, "Settings from the size of the exemplars and the scene."
    if ask_turns and "rotations" not in fixed:
        turns = [
            v.turn in (0, 1, 7) for v in _best_variants(matcher, replace(plan, rotations=8, stages=1), targets, cancel)
        ]
        limit = UPRIGHT_SHARE if matcher.context.scene is not None else UPRIGHT_SHARE_MOVING_CAMERA
        if len(turns) >= MINIMUM_ASKED and float(np.mean(turns)) <= limit:
            return replace(plan, rotations=8), "In many of the other photos a turned copy of an exemplar fits better."
    if "flip" not in fixed and not plan.flip:
        gains = mirrored_gains(matcher, plan, _some(targets), cancel)
        if len(gains) >= MINIMUM_ASKED and float((gains > CLEARLY_BETTER).mean()) >= MIRRORED_SHARE:
            return replace(plan, flip=True), "In many of the other photos a mirrored copy of an exemplar fits better."
    return plan, "Settings from the size of the exemplars and the scene; turned or mirrored copies did not fit better."


def _some(targets: Sequence[ImageInput]) -> list[ImageInput]:
    """Up to `TARGETS_TO_ASK`, spread over all."""
    step = max(1, len(targets) // TARGETS_TO_ASK)
    return list(targets[::step][:TARGETS_TO_ASK])


def _best_variants(
    matcher: Matcher, plan: Plan, targets: Sequence[ImageInput], cancel: CancelToken | None
) -> list[Variant]:
    """The copy of an exemplar that fits best, for up to `TARGETS_TO_ASK` whole targets."""
    runs = matcher.whole_matches(_some(targets), plan, cancel)
    return [run.bank.variants[run.poses.best] for run in runs]


def ask_sizes(
    matcher: Matcher,
    plan: Plan,
    settings: MatchSettings,
    targets: Sequence[ImageInput],
    cancel: CancelToken | None = None,
) -> Plan:
    """Three sizes where some targets show the instance larger or smaller than the exemplars do; one with a fixed camera."""
    if "sizes" in settings.decided() or plan.shape == 0 or matcher.context.scene is not None or not targets:
        return plan
    if plan.stages == 2:
        return replace(plan, sizes=3)  # two more crops of a place that is known are cheap
    wide, least = replace(plan, sizes=3), 0.0
    if matcher.has_natural_part:
        # What has seen photographs tells sizes alone, at a quarter of the time.
        wide, least = replace(wide, fusion_weight=1.0), CLEARLY_LARGER
    bank = matcher.bank(WHOLE, wide)
    larger = []
    for image in _some(targets):
        if cancel is not None:
            cancel.check()
        try:
            runs = matcher.whole_runs(Target(image), wide, bank)
        except UnreadableImageError:
            continue  # reported when its turn comes
        scores = [float(run.poses.score.max()) for run in runs]
        larger.append(max(scores[1:]) > scores[0] + least)
        if len(larger) == MINIMUM_ASKED and not any(larger):
            break  # where a third of the photos shows it larger, so many in a row that do not are rare (one in eight)
    return replace(plan, sizes=3) if larger and float(np.mean(larger)) >= LARGER_SHARE else plan


class _Chooser:
    """Coordinate descent over the grid on held-out photos, cheaper first, noise respected."""

    def __init__(
        self,
        matcher: Matcher,
        settings: MatchSettings,
        targets: Sequence[ImageInput],
        progress: Progress | None,
        cancel: CancelToken | None,
    ) -> None:
        self.matcher, self.settings, self.targets = matcher, settings, targets
        self.fixed, self.progress, self.cancel = settings.decided(), progress, cancel
        self._asked: dict[tuple[int, bool, int], int] = {}
        photos = exemplar_photos(matcher.exemplars)
        step = max(1, len(photos) // MAX_HELD_OUT)
        self.held_out = photos[::step][:MAX_HELD_OUT]

    def descend(self, start: Plan) -> tuple[Trial, list[tuple[str, float, float]]]:
        """The best plan found and a table of everything that was tried."""
        steps = self._steps(start)
        if self.progress is not None:
            self.progress.start("Choosing settings", 1 + sum(len(options) for _, options in steps))
        best = self._measure(start)
        table = [("start: " + describe(start), best.pck, best.seconds)]
        for name, options in steps:
            for change in options:
                if any(k in self.fixed for k in change):
                    self._tick()
                    continue
                plan = self._sized(replace(best.plan, **change))
                if plan == best.plan:
                    self._tick()
                    continue
                trial = self._measure(plan)
                table.append((f"{name}: {_words(change)}", trial.pck, trial.seconds))
                if self._better(trial, best):
                    best = trial
        return best, table

    def _sized(self, plan: Plan) -> Plan:
        """The plan as it would be used: looking at as many sizes as its stages need."""
        key = (plan.stages, plan.shape > 0, plan.rotations)
        if key not in self._asked:
            free = replace(plan, sizes=1)
            self._asked[key] = ask_sizes(self.matcher, free, self.settings, self.targets, self.cancel).sizes
        return plan if "sizes" in self.fixed else replace(plan, sizes=self._asked[key])

    def _steps(self, start: Plan) -> list[tuple[str, list[dict[str, Any]]]]:
        other_shape = {"shape": 0.0, "fuse": "max"} if start.shape > 0 else {"shape": 1.0, "fuse": "mean"}
        turned = start.rotations == 1 and turn_spread(self.matcher) > TRY_TURNING
        steps: list[tuple[str, list[dict[str, Any]]]] = [
            ("rotated exemplars", [{"rotations": 8}] if turned else []),
            ("stages", [{"stages": 3 - start.stages}]),
            ("shape", [other_shape, {"shape": 0.5, "fuse": "mean"}]),
            ("stages", [{"stages": 1}, {"stages": 2}]),
            ("fused by", [{"fuse": "max"}, {"fuse": "mean"}]),
            # From above, a mirrored animal without exchanged names is a wrong one.
            (
                "mirrored exemplars",
                [{"flip": not start.flip}] if start.rotations == 1 or self.matcher.schema.pairs else [],
            ),
        ]
        if self.matcher.context.scene is not None:
            steps.append(("fixed camera", [{"location": 0.0}, {"location": 0.3}, {"foreground": 0.0}]))
        if self.matcher.reader.card_weight > 0 and self.matcher.context.weight_is_open:
            card = self.matcher.reader.card_weight
            weights = sorted({round(w, 2) for w in (card / 2, (1 + card) / 2, 1.0)} - {card})
            steps.append(("second descriptor", [{"fusion_weight": w} for w in weights]))
        steps += [
            ("whitening", [{"whiten": 0.0 if start.whiten else 1.0}]),
            ("method", [{"method": "kernel_softargmax", "sigma_cells": 2.0}]),
        ]
        return steps

    def _measure(self, plan: Plan) -> Trial:
        soft, hits, started = [], [], time.perf_counter()
        for fellows in self.held_out:
            if self.cancel is not None:
                self.cancel.check()
            distance = self._distances(fellows, plan)
            if len(distance):
                soft.append(float(np.mean(1 / (1 + (distance / 0.1) ** 2))))
                hits.append(distance <= 0.1)
        self._tick()
        seconds = (time.perf_counter() - started) / max(1, len(self.held_out))
        pck = float(np.concatenate(hits).mean()) if hits else 0.0
        return Trial(plan, np.array(soft), pck, seconds)

    def _distances(self, fellows: tuple[int, ...], plan: Plan) -> NDArray[np.float64]:
        """`[N]` in longer sides of the box: keypoints of one held-out photo from the nearest of its labelled instances.

        All its exemplars are left out, not one of several: the others would find themselves in their own photo.
        """
        image = self.matcher.exemplars[fellows[0]].image
        raw = self.matcher.predict(Target(image), plan, without=frozenset(fellows))
        answers = []
        for index in fellows:
            exemplar = self.matcher.exemplars[index]
            truth = np.asarray(exemplar.keypoints.xy_image, np.float64)
            use = exemplar.keypoints.labelled & raw.known
            if use.any():
                answers.append(np.linalg.norm(raw.xy_image[use] - truth[use], axis=1) / exemplar_length(exemplar))
        return min(answers, key=np.median, default=np.zeros(0))

    def _better(self, trial: Trial, best: Trial) -> bool:
        """Better by more than the noise between photos, and more than a little."""
        if len(trial.soft) != len(best.soft) or not len(best.soft):
            return False
        difference = trial.soft - best.soft
        return float(difference.mean()) > max(MINIMUM_GAIN, CLEARLY * _error(difference))

    def _tick(self) -> None:
        if self.progress is not None:
            self.progress.step()


def exemplar_photos(exemplars: Sequence[Exemplar]) -> list[tuple[int, ...]]:
    """Indices of the exemplars on each photo, in order of their first one."""
    photos: dict[str, list[int]] = {}
    for index, exemplar in enumerate(exemplars):
        photos.setdefault(str(exemplar.image.path), []).append(index)
    return [tuple(own) for own in photos.values()]


def _error(difference: NDArray[np.float64]) -> float:
    """Standard error of a mean over photos `[P]`; a few that happen to agree are no proof."""
    spread = float(difference.std(ddof=1)) if len(difference) > 1 else float("inf")
    return max(spread, LEAST_SPREAD) / float(np.sqrt(len(difference)))


def _words(change: dict[str, Any]) -> str:
    return ", ".join(
        f"{k} {v:g}" if isinstance(v, (int, float)) and not isinstance(v, bool) else f"{k} {v}"
        for k, v in change.items()
    )


def describe(plan: Plan) -> str:
    """The plan in a few words."""
    parts = [f"{plan.stages} stage{'s' if plan.stages > 1 else ''}", f"{plan.rotations} directions"]
    parts += ["mirrored"] if plan.flip else []
    parts += [f"descriptor weight {plan.fusion_weight:g}", f"{plan.fuse} of exemplars", plan.method]
    parts += ["joint shape"] if plan.shape > 0 else []
    parts += ["three sizes"] if plan.sizes > 1 else []
    parts += ["fixed camera"] if plan.location > 0 or plan.foreground > 0 else []
    return ", ".join(parts)
