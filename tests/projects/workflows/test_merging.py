"""Two projects become one: same photos by content, names by name, conflicts by rule, one undo step, agreement figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.cli.app import run
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewInstance, NewKeypoint
from kinmark.projects.workflows.merging import merge_project, preview_merge
from tests.support.exchange import photo
from tests.support.projects import dump

Points = dict[str, tuple[float, float] | None]


def _project(folder: Path, names: tuple[str, ...], photos: Path) -> Project:
    project = Project.create(folder)
    project.operations.add_category("dog", KeypointSchema(names))
    add_paths(project, [photos])
    return project


def _label(
    project: Project,
    name: str,
    points: Points,
    box: tuple[float, float, float, float] = (10, 10, 110, 60),
    who: str = "",
) -> int:
    category = project.queries.require_category("dog")
    rows = tuple(
        NewKeypoint(category.definition(n).id, *(xy or (None, None)), 2 if xy else 0)  # type: ignore[union-attr]
        for n, xy in points.items()
    )
    image = next(i for i in project.queries.iter_images() if i.file_name.endswith(name))
    identity = None
    if who:
        known = project.queries.identity(who)
        identity = known.id if known is not None else project.operations.add_identity(who).ids[0]
    return project.operations.add_instances([NewInstance(image.id, category.id, rows, box, None, identity)]).ids[0]


@pytest.fixture
def two(tmp_path: Path):
    """Ann's and Bob's projects: the same photos in folders of their own, Bob has one more; nose and ear of both, Bob's tail."""
    for number in range(3):
        photo(tmp_path / "ann" / f"{number}.png", seed=number)
    shutil.copytree(tmp_path / "ann", tmp_path / "bob" / "deep")
    photo(tmp_path / "bob" / "deep" / "new.png", seed=9)
    ann = _project(tmp_path / "ann.kinmark", ("nose", "ear"), tmp_path / "ann")
    bob = _project(tmp_path / "bob.kinmark", ("ear", "nose", "tail"), tmp_path / "bob")
    yield ann, bob
    ann.close()
    bob.close()


def _places(project: Project, name: str) -> list[dict[str, tuple[float | None, float | None]]]:
    category = project.queries.require_category("dog")
    names = {d.id: d.name for d in category.definitions}
    image = next(i for i in project.queries.iter_images() if i.file_name.endswith(name))
    return [
        {names[k.definition_id]: (k.x, k.y) for k in row.keypoints}
        for row in project.queries.instances(image_ids=[image.id])
    ]


def test_photos_by_content_keypoints_by_name_and_one_undo_step(two: tuple[Project, Project]) -> None:
    ann, bob = two
    _label(ann, "0.png", {"nose": (20, 20), "ear": (30, 20)}, who="Rex")
    _label(bob, "0.png", {"nose": (20, 20), "ear": (30, 20), "tail": (100, 50)}, who="Rex")
    _label(bob, "1.png", {"nose": (21, 21), "ear": None}, who="Rex")
    _label(bob, "new.png", {"nose": (5, 6)}, who="Ada")
    before = dump(ann.folder / "project.sqlite")
    plan = preview_merge(ann, bob)
    assert dump(ann.folder / "project.sqlite") == before and plan.changes is None
    result = merge_project(ann, bob)
    assert (result.photos_common, result.photos_added) == (3, 1)
    assert (result.added, result.completed, result.replaced, result.conflicts) == (2, 1, 0, [])
    assert result.identities_joined == ["Rex"] and result.identities_added == ["Ada"]
    assert ann.queries.require_category("dog").schema.names == ("nose", "ear", "tail")
    assert _places(ann, "0.png") == [{"nose": (20, 20), "ear": (30, 20), "tail": (100, 50)}]
    assert _places(ann, "1.png") == [{"nose": (21, 21), "ear": (None, None)}]
    assert _places(ann, "new.png") == [{"nose": (5, 6)}]
    rex = ann.queries.identity("Rex")
    assert rex is not None and rex.instance_count == 2
    assert ann.undo_name == "Merge the project bob"
    ann.undo()
    assert dump(ann.folder / "project.sqlite") == before
    ann.redo()
    again = merge_project(ann, bob)
    assert again.changes is None and again.same == 3


@pytest.mark.parametrize(
    ("rule", "noses"), [("keep", [(20, 20)]), ("theirs", [(23, 24)]), ("both", [(20, 20), (23, 24)])]
)
def test_conflicts_are_listed_and_settled_by_the_rule(
    two: tuple[Project, Project], rule: str, noses: list[tuple[float, float]]
) -> None:
    ann, bob = two
    _label(ann, "0.png", {"nose": (20, 20), "ear": (30, 20)})
    _label(bob, "0.png", {"nose": (23, 24), "ear": None, "tail": (100, 50)})
    result = merge_project(ann, bob, rule)
    [conflict] = result.conflicts
    assert conflict.photo.endswith("0.png")
    assert set(conflict.differences) == {"nose: 5.0 px apart", "ear: absent there, placed here"}
    assert [p["nose"] for p in _places(ann, "0.png")] == noses
    assert _places(ann, "0.png")[-1]["tail"] == (100, 50)  # nobody here had looked at it


def test_other_animals_of_a_photo_are_added_and_named_ones_matched_by_name(two: tuple[Project, Project]) -> None:
    ann, bob = two
    _label(ann, "0.png", {"nose": (20, 20)}, (10, 10, 60, 60), who="Rex")
    _label(bob, "0.png", {"nose": (150, 80)}, (120, 60, 190, 95), who="Ada")
    _label(bob, "0.png", {"nose": (22, 20)}, (10, 10, 60, 60))
    result = merge_project(ann, bob)
    assert (result.added, len(result.conflicts)) == (1, 1)
    assert sorted(p["nose"] for p in _places(ann, "0.png")) == [(20, 20), (150, 80)]


def test_nothing_here_against_an_instance(two: tuple[Project, Project]) -> None:
    ann, bob = two
    image = next(i for i in ann.queries.iter_images() if i.file_name == "0.png")
    ann.operations.mark_nothing_here([image.id])
    _label(bob, "0.png", {"nose": (20, 20)})
    result = merge_project(ann, bob)
    assert result.added == 0 and result.conflicts[0].differences == ('this project says "nothing here"',)
    assert merge_project(ann, bob, "both").added == 1


def test_splits_tags_and_nothing_here_come_along_where_nothing_is_said(two: tuple[Project, Project]) -> None:
    ann, bob = two
    here = {i.file_name: i.id for i in ann.queries.iter_images()}
    there = {i.file_name.rsplit("/", 1)[-1]: i.id for i in bob.queries.iter_images()}
    ann.operations.set_split({here["0.png"]: "train"})
    bob.operations.set_split({there["0.png"]: "test", there["1.png"]: "val"})
    bob.operations.tag("night", [there["1.png"]])
    bob.operations.mark_nothing_here([there["2.png"]])
    result = merge_project(ann, bob)
    assert ann.queries.splits() == {here["0.png"]: "train", here["1.png"]: "val"}
    assert ann.queries.tags_of(here["1.png"]) == ("night",)
    assert [i for i, _ in ann.queries.nothing_here()] == [here["2.png"]]
    assert any(i.kind == "kept" and "split train here, test there" in i.reason for i in result.report.items)


def test_agreement_of_two_people(two: tuple[Project, Project]) -> None:
    ann, bob = two
    _label(ann, "0.png", {"nose": (20, 20), "ear": (30, 20)})
    _label(bob, "0.png", {"nose": (23, 24), "ear": (30, 20)})
    _label(ann, "1.png", {"nose": (40, 40), "ear": None})
    _label(bob, "1.png", {"nose": (40, 52), "ear": (50, 50)})
    _label(ann, "2.png", {"nose": (40, 40)}, (10, 10, 60, 60))
    _label(bob, "2.png", {"nose": (180, 90)}, (150, 70, 195, 95))
    figures = preview_merge(ann, bob).agreement
    assert (figures["photos"], figures["pairs"], figures["only_first"], figures["only_second"]) == (3, 2, 1, 1)
    assert figures["both_placed"] == 3 and figures["one_placed_other_absent"] == 1
    assert figures["mean_px"] == pytest.approx((5 + 0 + 12) / 3)
    # L is the longer side of Ann's box, 100 px: 5 px is within 0.05 L, 12 px within 0.2 L only.
    assert figures["pck@0.05"] == pytest.approx(2 / 3) and figures["pck@0.1"] == pytest.approx(2 / 3)
    assert figures["pck@0.2"] == 1
    table = figures["keypoints"]["dog"]
    assert table["nose"]["both_placed"] == 2 and table["ear"]["mean_px"] == 0
    import math

    def oks(d: float) -> float:
        return math.exp(-(d**2) / (2 * 100 * 50 * 0.1**2))

    assert figures["oks"] == pytest.approx(((oks(5) + 1) / 2 + oks(12)) / 2)


def test_a_project_is_not_merged_into_itself_and_rules_are_known(two: tuple[Project, Project]) -> None:
    ann, bob = two
    with pytest.raises(UserInputError, match="into itself"):
        merge_project(ann, ann)
    with pytest.raises(UserInputError, match='no rule "mine"'):
        merge_project(ann, bob, "mine")


def test_the_command_shows_the_plan_first(two: tuple[Project, Project], capsys: pytest.CaptureFixture[str]) -> None:
    ann, bob = two
    _label(ann, "0.png", {"nose": (20, 20)})
    _label(bob, "0.png", {"nose": (23, 24)})
    _label(bob, "1.png", {"nose": (21, 21)})
    folders = [str(ann.folder), str(bob.folder)]
    ann.close()
    bob.close()
    assert run(["merge", *folders, "--dry-run", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["dry_run"] and data["added"] == 1 and data["conflicts"][0]["differences"] == ["nose: 5.0 px apart"]
    assert run(["merge", *folders]) == 0
    captured = capsys.readouterr()
    assert captured.out.index("Plan: 1 instances added") < captured.out.index("Merged: 1 instances added")
    assert "Agreement on 1 photos" in captured.out and "nose: 5.0 px apart" in captured.err
    assert run(["undo", folders[0]]) == 0
    assert run(["merge", folders[0], folders[0]]) == 3
    assert run(["merge", folders[0], folders[1], "--conflicts", "mine"]) == 3
