"""Matching free points of one image to another, with similarity maps for the evidence panel (ALGORITHMS 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from engine.api import Exemplar, MatchRequest, MatchResult
from engine.domain.errors import UserInputError
from engine.domain.geometry import as_points
from engine.domain.keypoints import InstanceKeypoints, KeypointSchema, Visibility
from engine.domain.progress import CancelToken
from engine.domain.proposals import KeypointProposal, SimilarityMap
from engine.domain.runspec import RunSpec
from engine.matching.confidence import judge, prior_calibration
from engine.matching.context import MatchContext
from engine.matching.cycle import with_cycle_errors
from engine.matching.evidence import RawKeypoints
from engine.matching.plan import Plan, apply_settings
from engine.matching.predict import Matcher
from engine.matching.reader import open_reader
from engine.prompts.routes import prompt_of_match

if TYPE_CHECKING:
    from engine.session import EngineSession


def match_points(session: EngineSession, request: MatchRequest, *, cancel: CancelToken | None = None) -> MatchResult:
    """Best position of every source point in the target; see `engine.api.Engine.match`.

    The published procedure unless the settings say otherwise: kernel soft argmax on the plain cosine, one stage, no shape.

    Raises:
        UserInputError: no point, or points that are no numbers. UnreadableImageError: either image.
    """
    points = as_points(request.points_xy_image).reshape(-1, 2)
    if not len(points) or not np.isfinite(points).all():
        raise UserInputError("There is no point to match.", "Give at least one point inside the source image.")
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
    return _to_result(matcher, request, plan, raw)


def _to_result(matcher: Matcher, request: MatchRequest, plan: Plan, raw: RawKeypoints) -> MatchResult:
    confidence, present = judge(prior_calibration(request.backbone), raw.signals)
    names = matcher.schema.names
    proposals = tuple(
        KeypointProposal(
            names[k], float(raw.xy_image[k, 0]), float(raw.xy_image[k, 1]), float(confidence[k]),
            Visibility.VISIBLE if present[k] >= 0.5 else Visibility.HIDDEN, raw.signals[k], raw.peaks[k],
        )
        for k in range(len(names))
    )  # fmt: skip
    maps = similarity_maps_of(raw) if request.want_maps else ()
    spec = RunSpec(
        "match", matcher.reader.extractor.backbone.spec.id, matcher.reader.extractor.backbone.revision,
        matcher.reader.prompt.id, settings={"plan": plan.to_json()},
    )  # fmt: skip
    scores = np.array([s.peak for s in raw.signals])
    return MatchResult(request.request_id, raw.xy_image, scores, proposals, maps, spec)


def similarity_maps_of(raw: RawKeypoints) -> tuple[SimilarityMap, ...]:
    """The fused map of every keypoint with the affine matrix from its cells (index frame) to xy_image."""
    run = raw.run
    if run is None:
        return ()
    fused = run.fused()
    finite = torch.isfinite(fused)
    lowest = torch.where(finite, fused, torch.zeros_like(fused)).flatten(1).amin(dim=1)
    values = torch.where(finite, fused, lowest[:, None, None]).float().numpy()
    origin, right, down = run.parts.to_image([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    matrix = np.stack([right - origin, down - origin, origin], axis=1)
    wh = run.parts.image_wh
    return tuple(SimilarityMap(v, wh, p, matrix) for v, p in zip(values, raw.peaks, strict=True))
