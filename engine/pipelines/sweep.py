"""Proposing keypoints on every target from the exemplars, and choosing how (`LocalEngine` delegates here).

Thread: the engine thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from kinmark.engine.domain.errors import KnownError, UnreadableImageError, UserInputError
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, SimilarityMap
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.domain.texts import said
from kinmark.engine.heads.body import body_model
from kinmark.engine.heads.model import HeadStore, KeypointHeads, fit_heads, head_features
from kinmark.engine.matching.confidence import judge, prior_calibration
from kinmark.engine.matching.evidence.cycle import with_cycle_errors
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.evidence.maps import similarity_maps_of
from kinmark.engine.matching.evidence.presence import with_presence
from kinmark.engine.matching.evidence.sources import best_exemplars
from kinmark.engine.matching.facing import predict_facing
from kinmark.engine.matching.plan.context import make_context
from kinmark.engine.matching.plan.plan import Plan, apply_settings
from kinmark.engine.matching.predict import Matcher
from kinmark.engine.matching.reader import open_reader
from kinmark.engine.matching.refine import evidence_map, often_turned, refine
from kinmark.engine.matching.several import Seeker, several_raw
from kinmark.engine.matching.several_bar import learned_bar
from kinmark.engine.matching.taken import is_new
from kinmark.engine.pipelines.choice import all_upright, choose, default_plan, first_settings
from kinmark.engine.requests import (
    Exemplar,
    MatchSettings,
    ProposeRequest,
    SettingsChoice,
    Target,
    TargetFailure,
)

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession

MAX_EXEMPLARS = 12
MAX_TAUGHT = 60
"""Exemplars that matching compares with, and that heads learn from."""
ASKED_TARGETS, TURNED_SHARE = 6, 0.3
"""So many targets are asked whether the thing lies turned; from this share on exemplars are turned for all."""
SWAP_EVEN, SWAP_UNIT = 0.04, 0.02
"""Gain of the other facing at which exchanged sides are as likely as not, and how fast that changes (rendered sets)."""
ABSENT_BELOW = 0.5
"""Taking away a point that is not there costs a person as much as placing one that is: the likelier one is proposed."""


def sweep(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[InstanceProposal | TargetFailure]:
    """Per target, in the order of the request, what is new there; see `kinmark.engine.api.Engine.propose_keypoints`.

    Raises:
        UserInputError: no exemplar with a labelled keypoint, unknown settings.
    """
    prepared = prepare_proposals(session, request, progress=progress, cancel=cancel)
    if progress is not None:
        progress.start(f"Proposing {request.category}", len(request.targets))
    for target in request.targets:
        if cancel is not None:
            cancel.check()
        yield from propose_one(prepared, target, cancel)
        if progress is not None:
            progress.step(note=target.image.path.name)


def open_seeker(
    matcher: Matcher,
    request: ProposeRequest,
    plan: Plan,
    heads: KeypointHeads | None,
    store: HeadStore,
    cancel: CancelToken | None,
) -> Seeker | None:
    """What looks for several in a photo, with the heads of the categories that compete; None without heads."""
    if heads is None:
        return None
    rivals = []
    for rival in request.rivals:
        exemplars = [e for e in rival.exemplars if bool(np.any(e.keypoints.labelled))]
        if exemplars:
            own = fit_heads(heads.features, rival.schema, spread_exemplars(exemplars, MAX_TAUGHT), store, cancel=cancel)
            body = body_model(own, rival.schema, spread_exemplars(exemplars, MAX_EXEMPLARS))
            rivals.append(Seeker(replace(matcher, schema=rival.schema, _banks={}), own, body, plan, rival.schema))
    body = body_model(heads, request.schema, matcher.exemplars)
    seeker = Seeker(matcher, heads, body, plan, request.schema, tuple(rivals))
    return replace(seeker, bar=learned_bar(seeker, request.exemplars, request.complete, cancel))


def keypoint_map(
    session: EngineSession, request: ProposeRequest, keypoint: str, *, cancel: CancelToken | None = None
) -> SimilarityMap:
    """Where the first target shows a keypoint; see `kinmark.engine.api.Engine.keypoint_map`.

    Raises:
        UserInputError: no exemplar with a labelled keypoint. UnreadableImageError: the target.
    """
    index = request.schema.names.index(keypoint)
    prepared = prepare_proposals(session, request, cancel=cancel)
    matcher, heads, target = prepared.matcher, prepared.heads, request.targets[0]
    raw = predict_facing(matcher, target, prepared.plan)
    seen = None if heads is None else evidence_map(matcher, heads, target, raw, index)
    return similarity_maps_of(raw)[index] if seen is None else seen


@dataclass
class Prepared:
    """Everything about a sweep that is the same for every photo; `request` may be without targets.

    `seeker`: what looks for several in a photo, made for the first photo that asks for several.
    """

    session: EngineSession
    matcher: Matcher
    request: ProposeRequest
    plan: Plan
    heads: KeypointHeads | None
    seeker: Seeker | None = None

    def raw_answers(self, target: Target, cancel: CancelToken | None) -> Iterator[RawKeypoints]:
        """The best place, or each that holds somebody new where more are asked for, some are taken or others compete."""
        pointed = target.box is not None or target.mask is not None
        if not (target.limit > 1 or target.taken or (self.request.rivals and not pointed)):
            yield asked(self.matcher, self.heads, target, predict_facing(self.matcher, target, self.plan))
            return
        if self.seeker is None:
            self.seeker = self._kept_seeker(cancel)
        yield from several_raw(self.matcher, self.seeker, target, self.plan)

    def _kept_seeker(self, cancel: CancelToken | None) -> Seeker | None:
        """That of the last request while labels, plan and rivals are the same: a window asks for a few photos at a time."""
        request = self.request
        told = tuple((e.absent, e.denied) for e in request.exemplars)
        rivals = tuple((r.category, r.schema, _fingerprint(r.exemplars)) for r in request.rivals)
        key = (id(self.matcher), self.plan, _fingerprint(request.exemplars), told, request.complete, rivals)
        kept = self.session.last.get("seeker")
        if kept is None or kept[0] != key:
            made = open_seeker(self.matcher, request, self.plan, self.heads, self.session.heads, cancel)
            kept = self.session.last["seeker"] = (key, made)  # it holds the matcher, so no other one gets its id
        return cast("Seeker | None", kept[1])


def prepare_proposals(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Prepared:
    """Exemplars read, settings decided, heads fitted. The request is an ordinary sweep.

    Raises:
        UserInputError: no exemplar with a labelled keypoint, unknown settings. UnreadableImageError: of an exemplar.
    """
    matcher = open_matcher(session, request, cancel)
    plan = decide_plan(session, matcher, request, progress, cancel)
    matcher.context.weight_is_open = False
    if request.rivals:
        plan = replace(plan, flip=False, mirror_targets=False)  # a mirrored left hand is a right one
    return Prepared(session, matcher, request, plan, open_heads(session, matcher, request, plan, cancel))


def propose_one(
    prepared: Prepared, target: Target, cancel: CancelToken | None = None
) -> Iterator[InstanceProposal | TargetFailure]:
    """The answers for one photo: a function of what was prepared and the photo alone, so that any worker may give them."""
    session, matcher, request, plan = prepared.session, prepared.matcher, prepared.request, prepared.plan
    started, index = time.perf_counter(), 0
    try:
        for raw in prepared.raw_answers(target, cancel):
            whole = gather_all(matcher, raw)
            proposal = to_proposal(matcher, request, target, plan, whole, time.perf_counter() - started)
            if is_new(session, request.schema, target, proposal):
                yield replace(proposal, index=index)
                index += 1
            if cancel is not None:
                cancel.check()
            started = time.perf_counter()
    except UnreadableImageError as error:
        yield TargetFailure(target.image.image_id, error)


def open_heads(
    session: EngineSession, matcher: Matcher, request: ProposeRequest, plan: Plan, cancel: CancelToken | None
) -> KeypointHeads | None:
    """Heads of all exemplars on readable photos; None where the plan or the backbone does without."""
    features = head_features(session.extractor(request.backbone), matcher.reader.descriptor) if plan.heads else None
    if features is None:
        return None
    exemplars = spread_exemplars(usable_exemplars(request), MAX_TAUGHT)
    return fit_heads(features, request.schema, exemplars, session.heads, cancel=cancel)


def asked(matcher: Matcher, heads: KeypointHeads | None, target: Target, raw: RawKeypoints) -> RawKeypoints:
    """What the heads make of the answer of the matching."""
    return raw if heads is None else refine(matcher, heads, target, raw)


def gather_all(matcher: Matcher, raw: RawKeypoints) -> RawKeypoints:
    """All evidence of a proposal; choosing settings does without the dearer parts."""
    return with_presence(matcher, with_cycle_errors(matcher, raw))


def choose_for_sweep(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> SettingsChoice:
    """Leave-one-exemplar-out over the grid; fields of `request.settings` that are set stay as they are."""
    matcher = open_matcher(session, request, cancel)
    return _choose(session, matcher, request, progress, cancel)


def decide_plan(
    session: EngineSession,
    matcher: Matcher,
    request: ProposeRequest,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> Plan:
    """The request's own plan when everything is decided, else the chosen one."""
    if request.settings.is_complete:
        return apply_settings(Plan(), request.settings)
    choice = _choose(session, matcher, request, progress, cancel)
    return apply_settings(default_plan(matcher, request.settings), choice.settings)


def _choose(
    session: EngineSession,
    matcher: Matcher,
    request: ProposeRequest,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> SettingsChoice:
    """Where heads have the last word, matching only has to find the instance: size, scene and targets say how. Without
    heads the settings are measured on held-out exemplars."""
    settings, images = request.settings, request.statistics_images
    if not (matcher.has_natural_part and wants_heads(settings)):
        return choose(matcher, settings, images, progress=progress, cancel=cancel)
    plan, reason = first_settings(matcher, settings, images, cancel, ask_turns=False)
    if plan.rotations == 1 and "rotations" not in settings.decided() and not all_upright(matcher):
        heads = open_heads(session, matcher, request, plan, cancel)
        step = max(1, len(images) // ASKED_TARGETS)
        some = [Target(image) for image in images[::step][:ASKED_TARGETS]]
        if heads is not None and often_turned(matcher, heads, some, plan, TURNED_SHARE):
            plan, reason = replace(plan, rotations=8, flip=False), "In many of the other photos the thing lies turned."
    return SettingsChoice(plan.to_settings(), (), len(matcher.exemplars), reason)


def wants_heads(settings: MatchSettings) -> bool:
    """Whether the request leaves the last word to keypoint heads (on unless switched off)."""
    return settings.heads is not False


def open_matcher(session: EngineSession, request: ProposeRequest, cancel: CancelToken | None) -> Matcher:
    """Exemplars checked and thinned out, features and context ready; that of the last request when nothing changed."""
    usable = usable_exemplars(request)
    backbone = session.backbone(request.backbone)
    prompt = session.prompt(request.prompt, backbone, request.category)
    reader = open_reader(session, request.backbone, prompt, cancel)
    exemplars = spread_exemplars(usable, MAX_EXEMPLARS)
    for exemplar in exemplars:
        reader.size_wh(exemplar.image)  # an exemplar that cannot be read stops the run with its own message
    images = request.statistics_images
    key = (id(backbone), prompt.id, request.schema, _fingerprint(exemplars), tuple(images))
    kept = session.last.get("matcher")
    if kept is not None and kept[0] == key:
        matcher = cast("Matcher", kept[1])
        matcher.reader.cancel = cancel
    else:
        matcher = Matcher(reader, request.schema, exemplars, make_context(reader, exemplars, images))
        session.last["matcher"] = (key, matcher)
    matcher.context.weight_is_open = request.settings.fusion_weight is None and reader.card_weight > 0
    return matcher


def _fingerprint(exemplars: Sequence[Exemplar]) -> tuple[object, ...]:
    return tuple(
        (
            e.image,
            e.keypoints.box,
            e.weight,
            np.asarray(e.keypoints.xy_image).tobytes(),
            np.asarray(e.keypoints.visibility).tobytes(),
        )
        for e in exemplars
    )


def usable_exemplars(request: ProposeRequest) -> list[Exemplar]:
    """Exemplars with at least one labelled keypoint; UserInputError when there is none."""
    count = len(request.schema)
    for exemplar in request.exemplars:
        if len(exemplar.keypoints.xy_image) != count:
            raise UserInputError(
                said(
                    "The exemplar {0} has {1} keypoints, the category '{2}' has {3}.",
                    exemplar.image.path.name,
                    len(exemplar.keypoints.xy_image),
                    request.category,
                    count,
                ),
                "Label it again with the present schema.",
            )
    usable = [e for e in request.exemplars if bool(np.any(e.keypoints.labelled))]
    if not usable:
        raise UserInputError(
            said("No accepted '{0}' has a labelled keypoint, so there is nothing to find.", request.category),
            "Place the keypoints on one photo first.",
        )
    return usable


def spread_exemplars(exemplars: Sequence[Exemplar], limit: int) -> list[Exemplar]:
    """At most `limit` exemplars that differ most in their layout (farthest-point choice, the most complete first)."""
    if len(exemplars) <= limit:
        return list(exemplars)
    layouts = np.stack([_layout(e) for e in exemplars])
    chosen = [int(np.argmax([e.keypoints.labelled.sum() for e in exemplars]))]
    nearest = np.linalg.norm(layouts - layouts[chosen[0]], axis=1)
    while len(chosen) < limit:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(layouts - layouts[chosen[-1]], axis=1))
    return [exemplars[i] for i in sorted(chosen)]


def _layout(exemplar: Exemplar) -> np.ndarray:
    """Keypoints relative to their centre and size, unlabelled ones at the centre."""
    labelled = exemplar.keypoints.labelled
    xy = np.asarray(exemplar.keypoints.xy_image, np.float64)
    centre = xy[labelled].mean(axis=0)
    offsets = np.where(labelled[:, None], np.nan_to_num(xy) - centre, 0.0)
    return (offsets / max(float(np.abs(offsets).max()), 1e-6)).ravel()


def swap_probability(gain: float) -> float:
    """How surely all sides are exchanged, from how much better the other facing fits (score of the pose)."""
    return float(1 / (1 + np.exp(-np.clip((gain - SWAP_EVEN) / SWAP_UNIT, -30, 30))))


def run_spec(matcher: Matcher, request: ProposeRequest, plan: Plan, raw: RawKeypoints | None = None) -> RunSpec:
    """Everything that decided the proposal."""
    feature = raw.run.parts.spec if raw is not None and raw.run is not None else None
    backbone = matcher.reader.extractor.backbone
    settings = {
        "plan": plan.numbers(),
        "exemplars": [e.image.image_id for e in matcher.exemplars],
        "labelled": len(usable_exemplars(request)),
        "fixed_camera": matcher.context.scene is not None,
    }
    base = RunSpec(
        "match",
        backbone.spec.id,
        backbone.revision,
        matcher.reader.prompt.id,
        backbone.spec.timestep,
        backbone.spec.up_block,
        backbone.spec.ensemble,
        backbone.spec.input_wh,
    )
    if feature is not None and feature.method == "features":
        base = replace(feature, method="match")
        settings = {**feature.settings, **settings}
    return replace(base, settings=settings)


def to_proposal(
    matcher: Matcher, request: ProposeRequest, target: Target, plan: Plan, raw: RawKeypoints, seconds: float
) -> InstanceProposal:
    """Raw keypoints with confidence and visibility; keypoints that no exemplar shows are proposed as absent."""
    calibration = request.calibration or prior_calibration(request.backbone)
    confidence, present = judge(calibration, raw.signals, request.schema.names)
    wanted = range(len(request.schema)) if request.only_keypoints is None else request.only_keypoints
    used = plan if raw.run is None else raw.run.plan
    sources = best_exemplars(raw)
    keypoints = []
    for k in wanted:
        if not raw.known[k]:
            continue
        visibility, sure = Visibility.VISIBLE, float(confidence[k])
        if present[k] < ABSENT_BELOW and sure < 1 - present[k]:
            visibility, sure = Visibility.ABSENT, float(1 - present[k])
        signals = replace(raw.signals[k], present=float(present[k]))
        x, y = (float(v) for v in raw.xy_image[k])
        keypoints.append(
            KeypointProposal(request.schema.names[k], x, y, sure, visibility, signals, raw.peaks[k], sources[k])
        )
    if not keypoints:
        raise KnownError(
            said("No exemplar shows any of the wanted keypoints of '{0}'.", request.category), "Label one first."
        )
    swapped = swap_probability(raw.swap_gain) if request.schema.pairs else 0.0
    return InstanceProposal(
        request_id=request.request_id,
        image_id=target.image.image_id,
        category=request.category,
        keypoints=tuple(keypoints),
        confidence=float(np.mean([k.confidence for k in keypoints])),
        box=raw.box,
        spec=run_spec(matcher, request, used, raw),
        exemplar_ids=tuple(e.image.image_id for e in matcher.exemplars),
        sides_swapped=swapped,
        seconds=seconds,
        calibrated=calibration.kind == "project",
    )
