"""The numbers of the statistics page: what counts as an action of a person."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.texts import said
from kinmark.projects.figures import figures_of
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.importing import import_file
from tests.support.projects import keypoint_proposal
from tests.support.window import make_photos


def actions(project: Project) -> float:
    each = figures_of(project).actions_per_keypoint
    assert each is not None
    return pytest.approx(each * project.queries.counts().keypoints)


def test_actions_are_what_a_person_places_and_decides(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 3)
    with Project.create(tmp_path / "p.kinmark") as project:
        do = project.operations
        add_paths(project, [photos])
        [category] = do.add_category("otter", KeypointSchema(("nose", "tail"))).ids
        first, second, third = project.queries.image_ids()
        nose, tail = project.queries.require_category("otter").definition_ids
        assert figures_of(project).actions_per_keypoint is None

        [instance] = do.add_instance(first, category, [NewKeypoint(nose, 5.0, 6.0)]).ids  # the first click
        do.place_keypoint(instance, tail, 7.0, 8.0)
        assert actions(project) == 2, "the click that makes the instance is one, too"

        for job in ("sweep", ""):  # a sweep of the window, and a command
            do.add_keypoint_proposals(
                [keypoint_proposal(second, {"nose": 0.9, "tail": 0.4})],
                category,
                job=job,
                name=said("Propose {name}", name="otter"),
            )
        do.place_keypoint(instance, tail, 7.5, 8.0)
        project.undo()  # what is taken back was no action
        assert actions(project) == 2
        do.accept_proposals(image_ids=[second])
        assert actions(project) == 3

        labels = {
            "images": [{"id": 1, "file_name": project.queries.image(third).file_name, "width": 240, "height": 180}],
            "categories": [{"id": 1, "name": "otter", "keypoints": ["nose", "tail"]}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [9.5, 9.5, 2, 20.5, 30.5, 2]}],
        }
        (tmp_path / "labels.json").write_text(json.dumps(labels))
        import_file(project, tmp_path / "labels.json")
        assert actions(project) == 3, "an import places nothing by hand"
