"""A simulated annotator: how many human actions a fully labelled set would take with proposals, against by hand.

The first K instances are labelled by hand (one action per keypoint). Every later one is proposed from everything accepted
so far; the person accepts what is right with one action and spends one per correction, missing point or rejection, or
rejects the whole proposal with one action and labels by hand where that is less. Proposals that by their own confidence
cost more than they save are not looked at. Decisions train the confidence as in a project.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    MINIMUM_DECISIONS,
    Calibration,
    DecisionRecord,
    Engine,
    Exemplar,
    ImageInput,
    MatchSettings,
    ProposeRequest,
    Target,
    TargetFailure,
    TuneRequest,
)
from kinmark.engine.domain.geometry import expand_box, longer_side
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.projects.formats.checks import resolve_inside
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance
from kinmark.projects.several import ONE
from kinmark.projects.workflows.match_settings import choose_again
from kinmark.projects.workflows.propose_plan import COLLECTION

RIGHT_WITHIN = 0.1
CALIBRATE_AGAIN_AFTER = 10
"""Decisions, as in a project."""
POINTING_COST = 1
POINTING_PRIOR = 2
"""So many instances of no surprise stand for what a person expects of pointing before the first one."""
BATCH_SHARE = 0.2
"""New exemplars are used at once up to five; later, whenever a fifth more have been accepted."""


@dataclass(frozen=True)
class SimulateOptions:
    """`exemplars` = K by hand, per category; `limit` instances per category (0 = all); `tune` a class prompt after K.

    `instances`: "one" shows a photo's instances one by one, the person points at each; "auto" or a number proposes up to so
    many of a photo at once (auto: ten, or twice the most that share one), see `simulate_several`.
    """

    exemplars: int = 5
    category: str = ""
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    settings: MatchSettings = MatchSettings()
    tune: bool = False
    limit: int = 0
    instances: str = ONE


@dataclass(frozen=True)
class Sample:
    """One fully labelled instance; `pointed`: other instances share the photo, so the person first shows which."""

    image: ImageInput
    truth: InstanceKeypoints
    pointed: bool


@dataclass
class Tally:
    """What was counted for one category; `by_hand` instances took `hand_actions`, which `actions` includes."""

    category: str
    instances: int = 0
    by_hand: int = 0
    hand_actions: int = 0
    actions: int = 0
    manual_actions: int = 0
    correct_keypoints: int = 0
    proposed: int = 0
    proposed_right: int = 0
    accepts: int = 0
    corrections: int = 0
    rejections: int = 0
    pointings: int = 0
    dismissed: int = 0
    not_shown: int = 0
    ghosts: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    settings: str = ""
    failures: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Actions per correct keypoint against labelling by hand (below 1: work saved)."""
        return self.actions / self.manual_actions if self.manual_actions else float("nan")

    @property
    def later_ratio(self) -> float:
        """The same without the instances labelled by hand: what a proposal made from K or more of them costs."""
        manual = self.manual_actions - self.hand_actions
        return (self.actions - self.hand_actions) / manual if manual else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "category": self.category,
            "instances": self.instances,
            "by_hand": self.by_hand,
            "actions": self.actions,
            "manual_actions": self.manual_actions,
            "correct_keypoints": self.correct_keypoints,
            "ratio": _finite(self.ratio),
            "later_ratio": _finite(self.later_ratio),
            "proposed": self.proposed,
            "proposed_right": self.proposed_right,
            "share_right": _finite(self.proposed_right / self.proposed if self.proposed else float("nan")),
            "accepts": self.accepts,
            "corrections": self.corrections,
            "rejections": self.rejections,
            "pointings": self.pointings,
            "dismissed": self.dismissed,
            "not_shown": self.not_shown,
            "ghosts": self.ghosts,
            "curve": [[n, v] for n, v in self.curve],
            "settings": self.settings,
            "failures": self.failures,
        }


def samples_of(dataset: Dataset, category: DatasetCategory, images_root: Path) -> list[Sample]:
    """Every labelled instance of the category whose photo is there, in the order of the file."""
    found = []
    for image in dataset.images:
        path = resolve_inside(images_root, image.rel_path)
        own = [i for i in image.instances if i.category == category.name and not i.crowd]
        if path is None or not path.is_file():
            continue
        labelled = [i for i in own if any(k.visibility > 0 for k in i.keypoints.values())]
        for instance in labelled:
            truth = truth_of(instance, category.schema)
            found.append(Sample(_input(image, path), truth, len(own) > 1))
    return found


def _input(image: DatasetImage, path: Path) -> ImageInput:
    return ImageInput(image.rel_path.as_posix(), path, image.sha256)


def truth_of(instance: DatasetInstance, schema: KeypointSchema) -> InstanceKeypoints:
    """Keypoints in the schema's order, NaN where absent; box from the file, else from the mask."""
    xy = np.full((len(schema), 2), np.nan)
    visibility = np.zeros(len(schema), dtype=np.int64)
    for index, name in enumerate(schema.names):
        keypoint = instance.keypoints.get(name)
        if keypoint is not None and keypoint.x is not None and keypoint.y is not None:
            xy[index], visibility[index] = (keypoint.x, keypoint.y), int(keypoint.visibility)
    box = instance.box if instance.box is not None or instance.mask is None else instance.mask.box
    return InstanceKeypoints(xy, visibility, box)


class Simulation:
    """One category, instance after instance."""

    def __init__(
        self,
        engine: Engine,
        category: DatasetCategory,
        options: SimulateOptions,
        work_dir: Path | None,
        progress: Progress | None,
        cancel: CancelToken | None,
    ) -> None:
        self.engine, self.category, self.options = engine, category, options
        self.work_dir, self.progress, self.cancel = work_dir, progress, cancel
        self.prompt = options.prompt
        self.chosen: tuple[int, MatchSettings] | None = None
        self.records: list[DecisionRecord] = []
        self.calibration: Calibration | None = None
        self.surprises: list[float] = []

    def run(self, samples: list[Sample]) -> Tally:
        """Label them all."""
        tally, accepted = self._by_hand(samples)
        position = self.options.exemplars
        while position < len(samples):
            size = max(1, int(len(accepted) * BATCH_SHARE))
            batch = samples[position : position + size]
            before = tally.actions
            for sample, answer in zip(batch, self._propose(accepted, batch, samples[position:], tally), strict=True):
                self._review(sample, answer, tally)
            # Accepted and corrected: what the person leaves behind is right.
            accepted += [Exemplar(s.image, s.truth) for s in batch]
            hand = sum(int(s.truth.labelled.sum()) for s in batch)
            tally.curve.append((position, (tally.actions - before) / max(1, hand)))
            position += len(batch)
        return tally

    def _by_hand(self, samples: list[Sample]) -> tuple[Tally, list[Exemplar]]:
        """The first ones, and a prompt tuned on them when that is asked for."""
        count = self.options.exemplars
        tally = Tally(self.category.name, len(samples), count)
        accepted = [Exemplar(s.image, s.truth) for s in samples[:count]]
        for sample in samples[:count]:
            labelled = int(sample.truth.labelled.sum())
            tally.hand_actions += labelled
            tally.correct_keypoints += labelled
        tally.actions += tally.hand_actions
        tally.manual_actions = sum(int(s.truth.labelled.sum()) for s in samples)
        if self.options.tune:
            self._tune(accepted, samples[count:])
        return tally, accepted

    def _propose(
        self, accepted: list[Exemplar], batch: list[Sample], rest: list[Sample], tally: Tally
    ) -> list[InstanceProposal | None]:
        targets = tuple(self._target(s) for s in batch)
        photos = tuple(dict.fromkeys(s.image for s in rest))  # several instances share one
        wide = tuple(self._target(s) for s in rest)
        request = self.request(accepted, targets, wide, photos, tally)
        answers: list[InstanceProposal | None] = []
        for answer in self.engine.propose_keypoints(request, progress=self.progress, cancel=self.cancel):
            if isinstance(answer, TargetFailure):
                tally.failures.append(str(answer.error))
            answers.append(None if isinstance(answer, TargetFailure) else answer)
        return answers

    def request(
        self,
        accepted: list[Exemplar],
        targets: tuple[Target, ...],
        wide: tuple[Target, ...],
        photos: tuple[ImageInput, ...],
        tally: Tally,
    ) -> ProposeRequest:
        """What is asked for `targets`; settings are chosen with all that is left (`wide`, on `photos`)."""
        step = -(-len(photos) // COLLECTION)
        request = ProposeRequest(
            "simulate",
            self.category.name,
            self.category.schema,
            tuple(accepted),
            targets,
            self.options.settings,
            self.options.backbone,
            self.prompt,
            collection=photos[::step],
        )
        if self.chosen is None or choose_again(self.chosen[0], len(accepted)):
            # As in a project: chosen once, again when there are twice as many exemplars; it may look at all photos.
            asked = replace(request, targets=wide)
            choice = self.engine.choose_settings(asked, progress=self.progress, cancel=self.cancel)
            self.chosen, tally.settings = (len(accepted), choice.settings), choice.reason
        return replace(request, settings=self.chosen[1], calibration=self._calibrate())

    def _target(self, sample: Sample) -> Target:
        if not sample.pointed:
            return Target(sample.image)
        return Target(sample.image, box=expand_box(sample.truth.box_or_extent(), margin=0.05))

    def _calibrate(self) -> Calibration | None:
        """The confidence of the decisions so far, made again when ten more have come."""
        known = self.calibration.decisions if self.calibration else 0
        if len(self.records) >= max(MINIMUM_DECISIONS, known + CALIBRATE_AGAIN_AFTER):
            self.calibration = self.engine.calibrate(tuple(self.records))
        return self.calibration

    def _review(self, sample: Sample, answer: InstanceProposal | None, tally: Tally) -> None:
        by_hand = int(sample.truth.labelled.sum())
        tally.correct_keypoints += by_hand
        if answer is not None and (answer.expected_saving <= 0 or (sample.pointed and not self._points(answer))):
            tally.actions += by_hand
            tally.not_shown += 1
            return
        actions = count_actions(sample.truth, answer, self.category.schema)
        if answer is not None:
            self.records += decisions_about(sample.truth, answer, self.category.schema)
        dismissed = actions.total > by_hand + 1
        tally.actions += (by_hand + 1 if dismissed else actions.total) + POINTING_COST * int(sample.pointed)
        tally.dismissed += int(dismissed)
        if sample.pointed and answer is not None:
            saved = by_hand - min(actions.total, by_hand + 1)
            self.surprises.append(saved - answer.expected_saving)
        if not dismissed:
            tally.accepts += actions.accept
            tally.corrections += actions.corrections
            tally.rejections += actions.rejections
        tally.pointings += int(sample.pointed)
        tally.proposed += actions.proposed
        tally.proposed_right += actions.right

    def _points(self, answer: InstanceProposal) -> bool:
        """Whether showing which instance is meant should pay, by the proposal's confidence and what that was worth so far."""
        surprise = sum(self.surprises) / (len(self.surprises) + POINTING_PRIOR)
        return answer.expected_saving + surprise > POINTING_COST

    def _tune(self, accepted: list[Exemplar], rest: list[Sample]) -> None:
        step = -(-len(rest) // COLLECTION) or 1
        request = TuneRequest(
            "simulate-tune",
            self.category.name,
            self.category.schema,
            tuple(accepted),
            "class",
            self.options.backbone,
            out_dir=self.work_dir,
            collection=tuple(s.image for s in rest[::step]),
        )
        result = self.engine.tune_prompt(request, progress=self.progress, cancel=self.cancel)
        if result.kept and result.prompt_id:
            self.prompt = result.prompt_id if ":" in result.prompt_id else f"prompt:{result.prompt_id}"


@dataclass(frozen=True)
class Actions:
    """Of one proposal: one `accept` for everything right, one per `correction` and per `rejection`."""

    accept: int
    corrections: int
    rejections: int
    proposed: int
    right: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.accept + self.corrections + self.rejections


def count_actions(truth: InstanceKeypoints, answer: InstanceProposal | None, schema: KeypointSchema) -> Actions:
    """What a person does with one proposal, knowing the truth."""
    labelled = truth.labelled
    if answer is None:
        return Actions(0, int(labelled.sum()), 0, 0, 0)
    limit = RIGHT_WITHIN * longer_side(truth.box_or_extent())
    by_name = {k.name: k for k in answer.keypoints}
    right = corrections = rejections = proposed = 0
    for index, name in enumerate(schema.names):
        keypoint = by_name.get(name)
        placed = keypoint is not None and keypoint.visibility != Visibility.ABSENT
        proposed += int(placed)
        if not labelled[index]:
            rejections += int(placed)
        elif placed and keypoint is not None and _near(truth.xy_image[index], (keypoint.x, keypoint.y), limit):
            right += 1
        else:
            corrections += 1
    return Actions(1 if right else 0, corrections, rejections, proposed, right)


def decisions_about(truth: InstanceKeypoints, answer: InstanceProposal, schema: KeypointSchema) -> list[DecisionRecord]:
    """What the review of a proposal tells the confidence: accepted unmoved, moved, or taken away."""
    limit = RIGHT_WITHIN * longer_side(truth.box_or_extent())
    records = []
    for keypoint in answer.keypoints:
        index = schema.names.index(keypoint.name)
        there = bool(truth.labelled[index])
        if keypoint.visibility == Visibility.ABSENT:
            correct = not there
        else:
            correct = there and _near(truth.xy_image[index], (keypoint.x, keypoint.y), limit)
        records.append(DecisionRecord(keypoint.signals, correct, int(keypoint.visibility), keypoint.name, there))
    return records


def _near(a: Any, b: Any, limit: float) -> bool:
    return bool(np.linalg.norm(np.asarray(a, float) - np.asarray(b, float)) <= limit)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
