"""Matching free points of one image to another, with similarity maps for the evidence panel (methods/matching.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import as_points
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import KeypointProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.features.fusion import resample
from kinmark.engine.matching.confidence import judge, prior_calibration
from kinmark.engine.matching.evidence.cycle import with_cycle_errors
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.evidence.maps import similarity_maps_of
from kinmark.engine.matching.plan.context import MatchContext
from kinmark.engine.matching.plan.plan import Plan, apply_settings
from kinmark.engine.matching.predict import Matcher
from kinmark.engine.matching.reader import ViewParts, open_reader
from kinmark.engine.matching.sampling import l2_normalise
from kinmark.engine.matching.selection import bilinear_match, nearest
from kinmark.engine.pipelines.optimised import propose_optimised
from kinmark.engine.pipelines.pairs import prompt_of_match
from kinmark.engine.requests import OPTIMISED, Exemplar, MatchRequest, MatchResult, ProposeRequest, TargetFailure

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession


def match_points(session: EngineSession, request: MatchRequest, *, cancel: CancelToken | None = None) -> MatchResult:
    """Best position of every source point in the target; see `kinmark.engine.api.Engine.match`.

    The published procedure unless the settings say otherwise: kernel soft argmax on the plain cosine, one stage, no shape.

    Raises:
        UserInputError: no point, or points that are no numbers. UnreadableImageError: either image.
    """
    points = as_points(request.points_xy_image).reshape(-1, 2)
    if not len(points) or not np.isfinite(points).all():
        raise UserInputError("There is no point to match.", "Give at least one point inside the source image.")
    if request.settings.pipeline == OPTIMISED:
        return _optimised(session, request, points, cancel)
    prompt = prompt_of_match(session, request)
    reader = open_reader(session, request.backbone, prompt, cancel)
    schema = KeypointSchema(tuple(f"point {i + 1}" for i in range(len(points))))
    labels = InstanceKeypoints(points, np.full(len(points), int(Visibility.VISIBLE)), request.source_box)
    exemplar = Exemplar(request.source, labels)
    base = Plan(fusion_weight=reader.card_weight, shape=0.0, whiten=0.0)
    plan = apply_settings(base, request.settings)
    context = MatchContext(reader, [exemplar], [request.target.image])
    matcher = Matcher(reader, schema, [exemplar], context)
    raw = with_cycle_errors(matcher, matcher.predict(request.target, plan))
    if plan.method in ("nn", "bilinear") and plan.stages == 1:
        raw = replace(raw, xy_image=_published_positions(matcher, raw, plan))
    return _to_result(matcher, request, plan, raw)


def _published_positions(matcher: Matcher, raw: RawKeypoints, plan: Plan) -> NDArray[np.float64]:
    """`[N, 2]` xy_image of plain nearest neighbours, or of the four around each query (no sub-cell parabola)."""
    run = raw.run
    if run is None:
        return raw.xy_image
    fused = run.fused()
    if plan.method == "nn" or len(run.bank.variants) != 1:
        return run.parts.to_image(nearest(fused).double().numpy())
    exemplar = matcher.exemplars[0]
    source = matcher.reader.read([matcher.reader.whole(exemplar.image)], matcher.context.reading_weight(plan))[0]
    queries = torch.from_numpy(source.to_cells(exemplar.keypoints.xy_image)).float()
    inside = torch.isfinite(fused).all(dim=0)
    maps = [_joined(matcher, parts, plan) for parts in (source, run.parts)]
    return run.parts.to_image(bilinear_match(maps[0], queries, maps[1], inside=inside).double().numpy())


def _joined(matcher: Matcher, parts: ViewParts, plan: Plan) -> torch.Tensor:
    """`[C, h, w]` of all parts on the matching grid, square-root weighted so that the cosine is the weighted sum."""
    shares = matcher.context.part_weights(plan)
    maps = [
        l2_normalise(resample(parts.maps[name][None], parts.cells_wh)[0], dim=0) * share**0.5
        for name, share in shares.items()
        if name in parts.maps
    ]
    return torch.cat(maps)


def _optimised(
    session: EngineSession, request: MatchRequest, points: NDArray[np.float64], cancel: CancelToken | None
) -> MatchResult:
    """Per-point prompt optimisation (methods/point-optimisation.md) of every point; no similarity maps."""
    schema = KeypointSchema(tuple(f"point {i + 1}" for i in range(len(points))))
    labels = InstanceKeypoints(points, np.full(len(points), int(Visibility.VISIBLE)), request.source_box)
    asked = ProposeRequest(
        request.request_id,
        "",
        schema,
        (Exemplar(request.source, labels),),
        (request.target,),
        request.settings,
        request.backbone,
        request.prompt,
    )
    answer = next(iter(propose_optimised(session, asked, cancel=cancel)))
    if isinstance(answer, TargetFailure):
        raise answer.error
    placed = {k.name: k for k in answer.keypoints}
    found = tuple(placed[name] for name in schema.names)
    xy = np.array([[k.x, k.y] for k in found])
    return MatchResult(request.request_id, xy, np.array([k.signals.peak for k in found]), found, (), answer.spec)


def _to_result(matcher: Matcher, request: MatchRequest, plan: Plan, raw: RawKeypoints) -> MatchResult:
    confidence, present = judge(prior_calibration(request.backbone), raw.signals)
    names = matcher.schema.names
    proposals = tuple(
        KeypointProposal(
            names[k],
            float(raw.xy_image[k, 0]),
            float(raw.xy_image[k, 1]),
            float(confidence[k]),
            Visibility.VISIBLE if present[k] >= 0.5 else Visibility.HIDDEN,
            raw.signals[k],
            raw.peaks[k],
        )
        for k in range(len(names))
    )
    maps = similarity_maps_of(raw) if request.want_maps else ()
    spec = RunSpec(
        "match",
        matcher.reader.extractor.backbone.spec.id,
        matcher.reader.extractor.backbone.revision,
        matcher.reader.prompt.id,
        settings={"plan": plan.numbers()},
    )
    scores = np.array([s.peak for s in raw.signals])
    return MatchResult(request.request_id, raw.xy_image, scores, proposals, maps, spec)
