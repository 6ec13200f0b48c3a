"""Where the review queue's crops look: asked after every step, so without reading the evidence of every keypoint."""

from __future__ import annotations

from pathlib import Path

from kinmark.projects.project import Project
from tests.support.proposals import propose_figures
from tests.support.window import make_photos, make_project


def as_read_whole(project: Project, ids: list[int]) -> list[tuple[int, object, object]]:
    """The same from whole proposals."""
    found = []
    proposals = project.queries.proposals(image_id=ids)
    for proposal in sorted(proposals, key=lambda p: min((k.confidence for k in p.keypoints), default=p.confidence)):
        there = [k for k in proposal.keypoints if k.x is not None]
        least = min(there, key=lambda k: k.confidence, default=None)
        found.append((proposal.image_id, proposal.box, (least.x, least.y) if least is not None else None))
    return found


def test_the_places_are_those_of_the_whole_proposals(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "figures.kinmark", make_photos(tmp_path / "photos", 5), labelled=1)
    propose_figures(folder)
    with Project.open(folder) as project:
        ids = list(project.queries.image_ids())
        got = [(w.image_id, w.box, w.xy) for w in project.queries.weak_places(ids)]
        assert got == as_read_whole(project, ids) and len(got) == 4
        assert any(xy is not None for _, _, xy in got)
        assert [w.image_id for w in project.queries.weak_places(ids[1:2])] == ids[1:2]
        assert project.queries.weak_places([]) == ()
        proposal = project.queries.proposals(image_id=ids[1])[0]
        project.operations.accept_proposals([proposal.id])
        assert ids[1] not in [w.image_id for w in project.queries.weak_places(ids)]


def test_a_category_knows_its_ids_and_schema_at_once(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "figures.kinmark", make_photos(tmp_path / "photos", 1))
    with Project.open(folder) as project:
        [category] = project.queries.categories()
        assert category.definition_ids is category.definition_ids and category.schema is category.schema
        before = category.definition_ids
        project.operations.retire_keypoint(before[-1])
        [after] = project.queries.categories()
        assert after.definition_ids == before[:-1] and len(after.schema) == len(before) - 1
        assert category == category and category != after
