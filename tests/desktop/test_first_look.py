"""A first look in the window: one pass over all photos that still lack proposals, in one request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinmark.engine.api import FIRST_LOOK, MatchSettings, SettingsChoice
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewImage, NewKeypoint
from kinmark.projects.workflows.propose import Pace, ProposeSweep
from kinmark.projects.workflows.propose_all import sweep_outcome
from kinmark.projects.workflows.propose_options import ProposeOptions


class Looking:
    """Answers every target at one place and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def choose_settings(self, request: Any, **_: Any) -> SettingsChoice:
        return SettingsChoice(request.settings)

    def propose_keypoints(self, request: Any, *, progress: Progress, cancel: CancelToken) -> Any:
        self.requests.append(request)
        for target in request.targets:
            progress.step()
            nose = KeypointProposal("nose", 3.0, 4.0, 0.2, Visibility.VISIBLE, KeypointSignals(0.5, 0.1))
            yield InstanceProposal(
                request.request_id,
                target.image.image_id,
                request.category,
                (nose,),
                0.2,
                None,
                RunSpec(FIRST_LOOK, "x"),
            )


def test_a_first_look_takes_all_photos_in_one_pass_and_only_those_without_proposals(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p.kinmark") as project:
        operations = project.operations
        root = tmp_path
        for index in range(20):
            (root / f"{index}.png").touch()
        ids = operations.add_images([NewImage(root, f"{i}.png", 64, 48, sha256=f"{i:064x}") for i in range(20)]).ids
        [category] = operations.add_category("otter", KeypointSchema(("nose",))).ids
        row = project.queries.category(category)
        assert row is not None
        operations.add_instance(ids[0], category, [NewKeypoint(row.definition_ids[0], 1.0, 2.0)])
        engine = Looking()
        quick = ProposeOptions(category="otter", settings=MatchSettings(pipeline=FIRST_LOOK))

        def swept() -> int:
            sweep = ProposeSweep(project, engine, quick, pace=Pace(512, 512))  # type: ignore[arg-type]
            while sweep.left:
                sweep.step(512)
            return sweep_outcome(project, sweep.outcomes).proposals

        assert swept() == 19
        [request] = engine.requests
        assert request.settings.pipeline == FIRST_LOOK and len(request.targets) == 19
        assert swept() == 0 and len(engine.requests) == 1
