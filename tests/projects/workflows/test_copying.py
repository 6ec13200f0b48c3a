"""Copying an instance to other photos: warped by the engine, scaled without one, one undo step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinmark.engine.api import MatchRequest, MatchResult
from kinmark.engine.domain.errors import OperationCancelled, UnreadableImageError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.copying import copy_instances
from tests.support.projects import SPEC, make_project


class ShiftingEngine:
    """Answers `match` with the asked points shifted; fails on one image."""

    def __init__(self, unreadable: int) -> None:
        self.unreadable = unreadable
        self.asked: list[MatchRequest] = []

    def match(self, request: MatchRequest, *, cancel: Any = None) -> MatchResult:
        self.asked.append(request)
        if request.target.image.image_id == str(self.unreadable):
            raise UnreadableImageError("Cannot read the image.", "Check it.")
        points = request.points_xy_image + np.array([5.0, 0.25])
        return MatchResult(request.request_id, points, np.ones(len(points)), (), (), SPEC)


def test_copies_are_warped_and_one_step(tmp_path: Path) -> None:
    with make_project(tmp_path / "p.kinmark") as project:
        category = project.queries.categories()[0]
        nose, ear, _, tail = category.definition_ids
        [one] = project.operations.add_instance(
            1, category.id, [NewKeypoint(nose, 10, 5), NewKeypoint(tail, 20, 6, 1), NewKeypoint(ear, None, None, 0)]
        ).ids
        engine, progress = ShiftingEngine(unreadable=3), Progress()
        outcome = copy_instances(project, engine, [one], iter([1, 2, 3, 4, 2]), progress=progress)  # type: ignore[arg-type]
        assert [request.target.image.image_id for request in engine.asked] == ["2", "3", "4"], "not onto itself"
        assert len(outcome.instance_ids) == 2 and "Cannot read" in outcome.skipped[0]
        copy = project.queries.instance(outcome.instance_ids[0])
        assert {k.definition_id: (k.x, k.y, k.visibility) for k in copy.keypoints} == {
            nose: (15, 5.25, 2),
            tail: (25, 6.25, 1),
            ear: (None, None, 0),
        }
        assert progress.snapshot().done == 3
        assert project.undo_name == "Copy the instance to 2 photos"
        project.undo()
        assert len(project.queries.instances()) == 1
        [plain] = copy_instances(project, None, [one], [2]).instance_ids
        assert project.queries.instance(plain).keypoints[0].x == 10, "same size: same place"


def test_all_of_a_photo_with_their_boxes(tmp_path: Path) -> None:
    with make_project(tmp_path / "p.kinmark") as project:
        category = project.queries.categories()[0]
        nose, ear, _, tail = category.definition_ids
        points = [NewKeypoint(nose, 10, 5), NewKeypoint(tail, 20, 6), NewKeypoint(ear, 14, 9)]
        [one] = project.operations.add_instance(1, category.id, points, box=(8, 3, 22, 11)).ids
        [two] = project.operations.add_instance(1, category.id, box=(1, 1, 6, 6)).ids
        engine: Any = ShiftingEngine(unreadable=3)
        outcome = copy_instances(project, engine, [one, two], [2])
        assert project.undo_name == "Copy 2 instances"
        warped, plain = (project.queries.instance(id_) for id_ in outcome.instance_ids)
        assert warped.box == pytest.approx((13, 3.25, 27, 11.25)), "the box goes where its keypoints go"
        assert plain.box == (1, 1, 6, 6), "nothing to match: the same place"
        assert len(engine.asked) == 1
        project.undo()
        assert len(project.queries.instances(image_id=2)) == 0
        failed = copy_instances(project, engine, [one], [3])
        assert failed.instance_ids == [] and "Cannot read" in failed.skipped[0]
        assert project.undo_name != "Copy the instance to 0 photos"


def test_cancelled_copying_leaves_nothing(tmp_path: Path) -> None:
    with make_project(tmp_path / "p.kinmark") as project:
        category = project.queries.categories()[0]
        [one] = project.operations.add_instance(1, category.id, [NewKeypoint(category.definition_ids[0], 1, 2)]).ids
        token = CancelToken()
        token.cancel()
        with pytest.raises(OperationCancelled):
            copy_instances(project, ShiftingEngine(0), [one], [2], cancel=token)  # type: ignore[arg-type]
        assert len(project.queries.instances()) == 1
        with pytest.raises(UserInputError, match="no longer"):
            copy_instances(project, None, [999], [2])
