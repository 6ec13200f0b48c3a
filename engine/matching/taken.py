"""What is taken already is no new proposal: answers that lie on an instance or proposal that a photo has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from kinmark.engine.domain.alike import is_taken
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.heads.frame import LONE_SHARE
from kinmark.engine.requests import ProposeRequest, Target, TargetFailure

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession


def proposed_keypoints(schema: KeypointSchema, proposal: InstanceProposal) -> InstanceKeypoints:
    """The proposal in the schema's order, absent keypoints without a place."""
    xy, visibility = np.full((len(schema), 2), np.nan), np.zeros(len(schema), int)
    order = {name: k for k, name in enumerate(schema.names)}
    for keypoint in proposal.keypoints:
        if keypoint.visibility > 0:
            xy[order[keypoint.name]] = keypoint.x, keypoint.y
            visibility[order[keypoint.name]] = keypoint.visibility
    return InstanceKeypoints(xy, visibility)


def is_new(session: EngineSession, schema: KeypointSchema, target: Target, proposal: InstanceProposal) -> bool:
    """Whether nothing that is taken lies where the proposal does."""
    if not target.taken:
        return True
    lone = LONE_SHARE * min(session.source.size_wh(target.image))
    return not is_taken(proposed_keypoints(schema, proposal), target.taken, lone_length=lone)


def only_new(
    session: EngineSession, request: ProposeRequest, answers: Iterable[InstanceProposal | TargetFailure]
) -> Iterator[InstanceProposal | TargetFailure]:
    """The answers of ways that know one instance per photo, without those that lie on something taken."""
    targets = {t.image.image_id: t for t in request.targets}
    for answer in answers:
        if isinstance(answer, TargetFailure) or is_new(session, request.schema, targets[answer.image_id], answer):
            yield answer
