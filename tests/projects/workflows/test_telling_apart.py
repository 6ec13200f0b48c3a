"""What a sweep leaves out because it looks like another category: said and counted, never deleted, never against a person."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from kinmark.engine.api import CategoryAnswer, TargetFailure
from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.propose import Pace, ProposeOptions, ProposeSweep, propose
from kinmark.projects.workflows.telling_apart import left_out_text
from tests.projects.workflows.test_propose import PlacingEngine

NAMES = ("cat_0", "cat_1", "cat_2", "dog_0", "dog_1", "dog_2", "both_0", "eel_0")


class KnowingEngine(PlacingEngine):
    """Knows what photos show by their names; "both" shows cat and dog."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.told = []

    def tell_apart(self, request, *, progress=None, cancel=None):
        self.told.append(request)
        names = [name for name, _ in request.categories]
        for image in request.targets:
            kind = image.path.stem.split("_")[0]
            if image.path.stem in self.fail:
                yield TargetFailure(image.image_id, UnreadableImageError("Cannot read it."))
                continue
            here = tuple(n for n in names if kind in (n, "both")) or tuple(names)
            yield CategoryAnswer(request.request_id, image.image_id, {n: float(n in here) for n in names}, here)


@pytest.fixture
def project(tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index, name in enumerate(NAMES):
        Image.new("RGB", (64, 48), (index * 20, 0, 0)).save(photos / f"{name}.png")
    with Project.create(tmp_path / "t.kinmark") as project:
        add_paths(project, [photos])
        for name in ("cat", "dog"):
            project.operations.add_category(name, KeypointSchema(("nose", "tail")))
            label(project, f"{name}_0", name)
        yield project


def label(project: Project, photo: str, category: str) -> None:
    row, kind = project.queries.image_named(f"{photo}.png"), project.queries.require_category(category)
    project.operations.add_instance(row.id, kind.id, [NewKeypoint(d, 5.0, 6.0) for d in kind.definition_ids])


def asked(engine: PlacingEngine) -> dict[str, set[str]]:
    return {r.category: {t.image.path.stem for t in r.targets} for r in engine.requests}


def test_a_sweep_asks_each_photo_about_what_it_shows(project: Project) -> None:
    engine = KnowingEngine()
    cat, dog = propose(project, engine)
    assert asked(engine) == {"cat": {"cat_1", "cat_2", "both_0", "eel_0"}, "dog": {"dog_1", "dog_2", "both_0", "eel_0"}}
    assert cat.apart == {"dog": 3} and dog.apart == {"cat": 3} and (cat.targets, cat.apart_pending) == (4, 0)
    assert all(len(request.categories) == 2 for request in engine.told)


def test_it_can_be_switched_off_and_one_photo_is_always_done(project: Project) -> None:
    for options in (
        ProposeOptions(category="dog", apart=False),
        ProposeOptions(category="dog", targets_glob="cat_1*"),
        ProposeOptions(category="dog", image_ids=(project.queries.image_named("cat_1.png").id,)),
    ):
        engine = KnowingEngine()
        [outcome] = propose(project, engine, options)
        assert "cat_1" in asked(engine)["dog"] and outcome.apart == {} and engine.told == []
    several = tuple(row.id for row in project.queries.images())
    engine = KnowingEngine()
    propose(project, engine, ProposeOptions(category="dog", image_ids=several))
    assert "cat_1" in asked(engine)["dog"], "what a person chose is done as asked"
    engine = KnowingEngine()
    propose(project, engine, ProposeOptions(category="dog", image_ids=several, other_kinds=False))
    assert "cat_1" not in asked(engine)["dog"], "a sweep in parts is a sweep"


def test_what_was_proposed_before_stays_and_is_counted(project: Project) -> None:
    propose(project, KnowingEngine(), ProposeOptions(category="dog", apart=False))
    before = {p.image_id for p in project.queries.proposals()}
    [outcome] = propose(project, KnowingEngine(), ProposeOptions(category="dog"))
    assert {p.image_id for p in project.queries.proposals()} == before
    assert outcome.apart == {"cat": 3} and outcome.apart_pending == 3
    text = left_out_text("dog", outcome.apart, outcome.apart_pending)
    assert text == "3 photos not asked for dog: 3 look like cat; 3 of them keep what was proposed before"
    assert left_out_text("dog", {"cat": 1, "eel": 1}, 1) == (
        "2 photos not asked for dog: 1 looks like cat, 1 looks like eel; 1 of them keeps what was proposed before"
    )
    assert left_out_text("dog", {}, 0) == ""


def test_one_category_alone_is_asked_everywhere(tmp_path: Path, project: Project) -> None:
    engine = KnowingEngine()
    project.undo()  # the label of the second category
    [outcome] = propose(project, engine)
    assert engine.told == [] and outcome.apart == {} and len(asked(engine)["cat"]) == len(NAMES) - 1


def test_categories_that_a_person_labelled_together_do_not_exclude_each_other(project: Project) -> None:
    label(project, "both_0", "cat")
    label(project, "both_0", "dog")
    engine = KnowingEngine()
    cat, dog = propose(project, engine)
    assert cat.apart == dog.apart == {} and "dog_1" in asked(engine)["cat"]


def test_left_and_right_are_told_apart_by_places_not_by_photos(project: Project) -> None:
    for name in ("left cat", "right cat"):
        project.operations.add_category(name, KeypointSchema(("nose", "tail")))
    label(project, "cat_1", "left cat")
    label(project, "cat_2", "right cat")
    engine = KnowingEngine()
    outcomes = {outcome.category: outcome for outcome in propose(project, engine)}
    for name in ("left cat", "right cat"):
        assert not {"left cat", "right cat"} & outcomes[name].apart.keys() and outcomes[name].apart["dog"] == 3


def test_a_photo_that_holds_the_category_is_never_left_out(project: Project) -> None:
    kind, row = project.queries.require_category("dog"), project.queries.image_named("cat_2.png")
    project.operations.add_instance(row.id, kind.id, [NewKeypoint(kind.definition_ids[0], 5.0, 6.0)])
    engine = KnowingEngine()
    _cat, dog = propose(project, engine)
    assert "cat_2" in asked(engine)["dog"] and dog.apart == {"cat": 2}


def test_a_photo_that_cannot_be_read_is_left_to_the_sweep(project: Project) -> None:
    engine = KnowingEngine(fail=("cat_1",))
    _cat, dog = propose(project, engine)
    assert "cat_1" in asked(engine)["dog"] and dog.apart == {"cat": 2}


def test_where_somebody_watches_photos_are_looked_at_a_few_ahead(project, monkeypatch):
    monkeypatch.setattr("kinmark.projects.workflows.propose.APART_AT_ONCE", 3)
    engine, ids = KnowingEngine(), tuple(project.queries.image_ids())
    options = ProposeOptions("cat", image_ids=ids, other_kinds=False)
    sweep = ProposeSweep(project, engine, options, pace=Pace(100, 2))
    sweep.step(2)
    assert len(engine.told) == 1 and len(engine.told[0].targets) <= 3
    while sweep.left:
        sweep.step(2)
    assert max(len(request.targets) for request in engine.told) <= 3
    whole = KnowingEngine()
    [at_once] = propose(project, whole, options)
    assert len(whole.told) == 1
    assert sweep.outcomes[0].apart == at_once.apart == {"dog": 3}
