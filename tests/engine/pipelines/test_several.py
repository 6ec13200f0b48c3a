"""Several of a kind in one photo: what is taken is not proposed again, and no more than asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinmark.engine.api import MAX_INSTANCES, MatchSettings, Target
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.pipelines.registry import propose_keypoints
from kinmark.engine.session import EngineSession
from tests.engine.pipelines.test_sweep import backbone_dir, request, scene  # noqa: F401


def placed(proposal: InstanceProposal) -> InstanceKeypoints:
    xy = np.array([[k.x, k.y] for k in proposal.keypoints])
    return InstanceKeypoints(xy, np.full(len(xy), 2))


def test_what_is_taken_is_not_proposed_again(toy_session: EngineSession, scene, backbone_dir) -> None:  # noqa: F811
    asked = request(scene, backbone_dir, 1)
    asked = replace(asked, targets=asked.targets[:2], settings=MatchSettings(method="nn", stages=1, rotations=8))
    for settings in (asked.settings, MatchSettings(pipeline="search")):
        plain = replace(asked, settings=settings)
        first, second = propose_keypoints(toy_session, plain)
        assert isinstance(first, InstanceProposal) and isinstance(second, InstanceProposal)
        targets = (replace(asked.targets[0], taken=(placed(first),)), asked.targets[1])
        again = list(propose_keypoints(toy_session, replace(plain, targets=targets)))
        assert [a.image_id for a in again][-1] == second.image_id
        assert all(
            np.abs(placed(a).xy_image - placed(first).xy_image).max() > 5 for a in again if a.image_id == first.image_id
        )


def test_more_than_can_be_asked_for_is_said(scene) -> None:  # noqa: F811
    image = scene[0][0]
    for limit in (0, MAX_INSTANCES + 1):
        with pytest.raises(UserInputError, match=f"{limit} instances"):
            Target(image, limit=limit)
    assert Target(image, limit=MAX_INSTANCES).limit == MAX_INSTANCES
