"""Rows of proposals and what they are compared with: evidence, runs, heirs of earlier proposals, refusals."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kinmark.engine.domain.alike import REACH, SAME_FROM, place_similarity
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.several import keypoints_from_json, points_to_json, rejected_points
from kinmark.projects.store.models import Run
from kinmark.projects.store.operations.base import Op, now_text, to_json

MAX_PEAKS = 5


def evidence_of(proposal: InstanceProposal | MaskProposal) -> str:
    """What a proposal was made from: its RunSpec and exemplars. A rejection holds for the same evidence only."""
    exemplars = sorted(getattr(proposal, "exemplar_ids", ()))
    return hashlib.sha256("\n".join([proposal.spec.fingerprint(), *exemplars]).encode()).hexdigest()[:20]


def number(value: float) -> float | None:
    """A column's value: None for what is not finite."""
    return float(value) if math.isfinite(value) else None


def _detail(keypoint: KeypointProposal) -> str:
    """JSON of a keypoint's signals, peaks and source."""
    signals = {name: number(value) for name, value in vars(keypoint.signals).items()}
    peaks = [[peak.x, peak.y, peak.score] for peak in keypoint.peaks[:MAX_PEAKS]]
    source = {"source": keypoint.source} if keypoint.source else {}
    return to_json({"signals": {k: v for k, v in signals.items() if v is not None}, "peaks": peaks, **source})


def keypoint_row(keypoint: KeypointProposal, image_id: int, proposal_id: int, definition_id: int) -> dict[str, Any]:
    """Column values of one proposed keypoint."""
    placed = math.isfinite(keypoint.x) and math.isfinite(keypoint.y)
    return {
        "image_id": image_id,
        "proposal_id": proposal_id,
        "definition_id": definition_id,
        "x": number(keypoint.x),
        "y": number(keypoint.y),
        "visibility": int(keypoint.visibility) if placed else 0,
        "confidence": float(keypoint.confidence),
        "detail": _detail(keypoint),
    }


def run_id_for(op: Op, spec: RunSpec, job: str, cache: dict[str, int]) -> int:
    """The `run` row of this spec within this job."""
    fingerprint = spec.fingerprint()
    if fingerprint not in cache:
        found = op.value("SELECT id FROM run WHERE job = ? AND fingerprint = ?", (job, fingerprint)) if job else None
        row = {"fingerprint": fingerprint, "spec": spec.to_json(), "job": job, "created_at": now_text()}
        cache[fingerprint] = int(found) if found is not None else op.add(Run, [row])[0]
    return cache[fingerprint]


def _placed(rows: Iterable[tuple[int, float | None, float | None, int]], order: tuple[int, ...]) -> InstanceKeypoints:
    return keypoints_from_json(points_to_json(rows), order)


def _points_of(proposal: InstanceProposal, definitions: Mapping[str, int]) -> InstanceKeypoints:
    """`[K, 2]` in the order of the definitions' ids."""
    rows = [
        (definitions[k.name], number(k.x), number(k.y), int(k.visibility))
        for k in proposal.keypoints
        if k.name in definitions
    ]
    return replace(_placed(rows, tuple(sorted(definitions.values()))), box=proposal.box)


def heirs_of(
    op: Op, proposals: Sequence[InstanceProposal], inherited: Mapping[int, list[int]], definitions: Mapping[str, int]
) -> dict[int, int]:
    """{index of a proposal: the instance that it completes}: each instance by the most similar proposal of its image.

    The only proposal of an image completes the only instance, wherever it lies.
    """
    heirs: dict[int, int] = {}
    for image_id, instance_ids in inherited.items():
        own = [index for index, proposal in enumerate(proposals) if int(proposal.image_id) == image_id]
        if len(own) == 1 and len(instance_ids) == 1:
            heirs[own[0]] = instance_ids[0]
            continue
        for instance_id in instance_ids:
            rows = op.all("SELECT definition_id, x, y, visibility FROM keypoint WHERE instance_id = ?", (instance_id,))
            place = _placed([tuple(row) for row in rows], tuple(sorted(definitions.values())))
            alike = [
                (place_similarity(place, _points_of(proposals[index], definitions)), -index)
                for index in own
                if index not in heirs
            ]
            best = max(alike, default=(0.0, 0))
            if best[0] >= SAME_FROM:
                heirs[-best[1]] = instance_id
    return heirs


def refused_points(
    op: Op, proposal: InstanceProposal, image_id: int, category_id: int, proof: str, definitions: Mapping[str, int]
) -> set[int] | None:
    """Keypoints (definition ids) that a person rejected there on the same evidence; None: the whole instance."""
    own = _points_of(proposal, definitions)
    order = tuple(sorted(definitions.values()))
    refused: set[int] = set()
    for definition_id, x, y, visibility, side_px, detail in op.all(
        "SELECT definition_id, x, y, visibility, side_px, detail FROM decision WHERE image_id = ? AND category_id = ? "
        "AND kind = 'rejected' AND target = 'keypoints' AND evidence = ?",
        (image_id, category_id, proof),
    ):
        if definition_id is None:
            points = rejected_points(detail)
            if not points or place_similarity(keypoints_from_json(points, order), own) >= SAME_FROM:
                return None
        elif definition_id in order and _same_answer(
            own, order.index(definition_id), (x, y) if visibility else (None, None), side_px
        ):
            refused.add(definition_id)
    return refused


def _same_answer(
    own: InstanceKeypoints, index: int, place: tuple[float | None, float | None], side_px: float | None
) -> bool:
    """Whether a proposed keypoint is what was rejected: in the same place, or absent again."""
    x, y = place
    if x is None or y is None or not own.labelled[index]:
        return x is None and not own.labelled[index]
    here = np.asarray(own.xy_image)[index]
    return bool(np.hypot(here[0] - x, here[1] - y) <= REACH * max(side_px or 0.0, 1.0))
