"""Stored proposals without a model, for tests of what happens after the engine answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, Peak
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.project import Project
from tests.support.window import figure_points

CONFIDENCE = (0.97, 0.92, 0.85, 0.40, 0.95)


SPEC = RunSpec("match", "toy", settings={"labelled": 1})


def propose_figures(
    folder: Path,
    category: str = "figure",
    *,
    exemplars: Sequence[int] = (1,),
    sources: Mapping[int, int] | None = None,
) -> None:
    """Pending keypoints at the true places (the fourth 12 px off, its second peak right) on all unlabelled photos.

    `exemplars` are ids of photos; `sources` says which of them a keypoint (by its place in the schema) comes from.
    """
    with Project.open(folder) as project:
        kind = project.queries.category(category)
        assert kind is not None
        names = [d.name for d in kind.definitions]
        proposals = []
        for index, row in enumerate(project.queries.images()):
            if row.instance_count:
                continue
            points = []
            for k, (x, y) in enumerate(figure_points(index, row.size_wh).tolist()):
                first = Peak(x - 12 if k == 3 else x, y, 0.8)
                second = Peak(x if k == 3 else x + 30, y, 0.6)
                points.append(
                    KeypointProposal(
                        names[k],
                        first.x,
                        first.y,
                        CONFIDENCE[k] - 0.01 * index,
                        Visibility.VISIBLE,
                        KeypointSignals(0.8, 0.2, 0.02, 1.0),
                        (first, second, Peak(5.0, 5.0, 0.2)),
                        str((sources or {}).get(k, "")),
                    )
                )
            proposals.append(
                InstanceProposal("r", str(row.id), category, tuple(points), 0.9, None, SPEC, tuple(map(str, exemplars)))
            )
        project.operations.add_keypoint_proposals(proposals, kind.id, job="test")
