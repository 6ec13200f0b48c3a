"""A pipeline: each keypoint where the labelled photos have it on average. For fixed cameras, and as what any other way must beat."""

from __future__ import annotations

import numpy as np

from kinmark import UnreadableImageError
from kinmark.plugins import (
    InstanceProposal,
    KeypointProposal,
    KeypointSignals,
    KeypointVisibility,
    Pipeline,
    RunSpec,
    TargetFailure,
)


def propose(session, request, *, progress=None, cancel=None):
    """One `InstanceProposal` or `TargetFailure` per target, in their order; `session.source` reads photos, `session` has the models."""
    if progress is not None:
        progress.start(f"Placing {request.category}", len(request.targets))
    shares = np.stack([e.keypoints.xy_image / session.source.size_wh(e.image) for e in request.exemplars])  # [N, K, 2]
    wanted = range(len(request.schema)) if request.only_keypoints is None else request.only_keypoints
    names = tuple(exemplar.image.image_id for exemplar in request.exemplars)
    spec = RunSpec("same-place", request.backbone, settings={"version": 1, "labelled": len(names)})
    for target in request.targets:
        if cancel is not None:
            cancel.check()
        try:
            width, height = session.source.size_wh(target.image)
        except UnreadableImageError as error:
            yield TargetFailure(target.image.image_id, error)
            continue
        keypoints = []
        for k in wanted:
            seen = shares[np.isfinite(shares[:, k]).all(axis=1), k]
            if len(seen):
                x, y = seen.mean(axis=0) * (width, height)
                sure = 0.5 / (1 + 20 * float(seen.std(axis=0).max()))  # far apart in the labelled photos: unsure
                signals = KeypointSignals(peak=sure, margin=0.0)
                keypoints.append(
                    KeypointProposal(request.schema.names[k], x, y, sure, KeypointVisibility.VISIBLE, signals)
                )
        if keypoints:
            confidence = float(np.mean([keypoint.confidence for keypoint in keypoints]))
            yield InstanceProposal(
                request.request_id,
                target.image.image_id,
                request.category,
                tuple(keypoints),
                confidence,
                None,
                spec,
                names,
            )
        if progress is not None:
            progress.step(note=target.image.path.name)


PIPELINE = Pipeline("same-place", propose)
