"""The find workflow: what is asked of the engine, what is stored; denials, identities, shortlist, changes during a search.

The engine here is a small real implementation of the protocol's methods that answers with known masks; the real one is used by
`tests/projects/cli/test_instance_commands.py`.
"""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import Calibration, PhotoVectors, TargetFailure
from kinmark.engine.domain.errors import OperationCancelled, UnreadableImageError, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewInstance
from kinmark.projects.workflows import find as find_module
from kinmark.projects.workflows.find import FindSweep, find, options_of
from kinmark.projects.workflows.find_plan import FindOptions, ReferenceSpec
from kinmark.projects.workflows.identities import export_identities, split_by_images
from kinmark.projects.workflows.index import shortlist, update_index
from kinmark.projects.workflows.kept import kept_job, kept_jobs

WIDTH, HEIGHT = 40, 30


def block(x, y):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + 8, x : x + 10] = True
    return MaskRLE.encode(mask)


class KnowingEngine:
    """Scores photo `pN` with N - 3; photos below zero do not show the thing. Vector N points along axis N % 8."""

    def __init__(self, *, on_target=None, fail=()):
        self.requests, self.described, self.on_target, self.fail = [], [], on_target, fail

    def knows_word(self, word, backbone):
        return word != "xyzzy"

    def calibrate_instances(self, scores, confirmed):
        self.scores = scores
        return Calibration("prior", len(scores))

    def find_instance(self, request, *, progress=None, cancel=None):
        self.requests.append(request)
        for target in request.targets:
            cancel.check()
            if self.on_target is not None:
                self.on_target(target)
            number = int(target.path.stem[1:])
            if number in self.fail:
                yield TargetFailure(target.image_id, UnreadableImageError(f"Cannot read {target.path.name}."))
                continue
            score = number - 3.0
            mask = block(number, 5) if score >= 0 else None
            spec = RunSpec("pdm", "knowing", settings={"references": len(request.references)})
            yield MaskProposal(
                request.request_id,
                target.image_id,
                score,
                1 / (1 + np.exp(-score)),
                mask,
                mask.box if mask else None,
                spec,
            )

    def photo_vectors(self, request, *, progress=None, cancel=None):
        for target in request.targets:
            if cancel is not None:
                cancel.check()
            number = int(target.image.path.stem[1:])
            self.described.append(number)
            vector = np.zeros((1, 8), np.float32)
            vector[0, number % 8] = 1
            yield PhotoVectors(
                request.request_id, target.image.image_id, vector, RunSpec("descriptor-pooled", "knowing")
            )


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        pixels = np.full((HEIGHT, WIDTH, 3), 30 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"p{number}.png")
    with Project.create(tmp_path / "p.kinmark") as opened:
        add_paths(opened, [folder])
        yield opened


REX = FindOptions(references=(ReferenceSpec("p0.png", box=(2.0, 2.0, 12.0, 12.0)),), name="dog", identity="Rex")


def image_id(project, name):
    return project.queries.image_named(name).id


def test_results_are_ranked_and_stored_as_pending(project):
    engine = KnowingEngine(fail=(6,))
    outcome = find(project, engine, REX)
    assert [r.file_name for r in outcome.results[:4]] == ["p7.png", "p5.png", "p4.png", "p3.png"]
    assert [r.mask is None for r in outcome.results] == [False] * 4 + [True] * 2
    assert outcome.found == 4 and outcome.failures[0]["image"] == "p6.png" and outcome.category == "dog"
    identity = project.queries.identity("Rex")
    assert (identity.instance_count, identity.pending_count) == (1, 4)
    pending = project.queries.proposals(identity_id=identity.id, kind="mask")
    assert {p.mask.area for p in pending} == {80}
    assert len(project.queries.proposals(identity_id=identity.id, not_here=True)) == 6
    # The marked reference is not searched, and everything is one undo step per transaction group.
    assert image_id(project, "p0.png") not in {int(t.image_id) for t in engine.requests[0].targets}
    project.undo()
    assert project.queries.proposals(kind="mask") == ()


def test_a_kind_is_searched_by_its_word_and_an_unknown_word_leaves_nothing(project):
    engine = KnowingEngine()
    with pytest.raises(UserInputError, match="does not know the word 'xyzzy'"):
        find(project, engine, FindOptions(name="xyzzy"))
    assert project.queries.category("xyzzy") is None and not engine.requests
    outcome = find(project, engine, FindOptions(name="dog"))
    assert outcome.by_name and not outcome.identity and outcome.searched == 8 and outcome.found == 5
    assert engine.requests[0].references == () and engine.requests[0].class_name == "dog"
    assert len(project.queries.proposals(kind="mask")) > 0 and project.queries.identities() == ()
    with pytest.raises(UserInputError, match="nothing to search"):
        find(project, engine, FindOptions(name="dog", identity="Rex"))


def test_denials_become_negatives_and_are_not_searched_again(project):
    engine = KnowingEngine()
    find(project, engine, REX)
    identity = project.queries.identity("Rex")
    rejected = project.queries.proposals(image_id=image_id(project, "p7.png"))
    project.operations.reject_proposals([p.id for p in rejected])
    accepted = project.queries.proposals(image_id=image_id(project, "p6.png"))
    project.operations.accept_proposals([p.id for p in accepted])
    find(project, engine, FindOptions(identity="Rex"))
    request = engine.requests[-1]
    assert [r.box for r in request.negatives] == [block(7, 5).box]
    assert [r.mask for r in request.references] == [None, block(6, 5)]
    searched = {t.path.name for t in request.targets}
    assert searched == {"p1.png", "p2.png", "p3.png", "p4.png", "p5.png"}
    assert engine.scores == (4.0, 3.0) or set(engine.scores) == {4.0, 3.0}
    assert project.queries.identity("Rex").instance_count == 2
    assert identity.id in {p.identity_id for p in project.queries.proposals(kind="mask")}


def test_without_an_identity_nothing_is_confirmed(project):
    outcome = find(project, KnowingEngine(), FindOptions(references=REX.references, name="dog"))
    assert outcome.identity == "" and outcome.found == 5
    assert project.queries.identities() == () and project.queries.instance_counts() == {}


def test_photos_that_leave_during_the_search_are_skipped(project):
    removed = image_id(project, "p5.png")

    def remove(target):
        if target.path.name == "p4.png":
            project.operations.remove_images([removed])

    outcome = find(project, KnowingEngine(on_target=remove), REX)
    assert any("no longer" in line for line in outcome.skipped)
    assert {p.image_id for p in project.queries.proposals(kind="mask")} == {
        image_id(project, name) for name in ("p3.png", "p4.png", "p6.png", "p7.png")
    }


def test_what_was_found_before_a_cancel_is_kept(project, monkeypatch):
    monkeypatch.setattr(find_module, "BATCH_SIZE", 1)
    token = CancelToken()

    def stop(target):
        if target.path.name == "p6.png":
            token.cancel()

    stored = []
    with pytest.raises(OperationCancelled):
        find(project, KnowingEngine(on_target=stop), REX, cancel=token, on_stored=stored.append)
    assert len(project.queries.proposals(kind="mask")) >= 3 and stored


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (FindOptions(references=(ReferenceSpec("gone.png", box=(1, 1, 5, 5)),), name="dog"), "no image gone.png"),
        (FindOptions(identity="Rex", name="dog"), "nothing to search"),
        (FindOptions(references=REX.references), "class name|kind of thing"),
    ],
)
def test_bad_questions_change_nothing(project, options, text):
    before = project.undo_name
    with pytest.raises(UserInputError, match=text):
        find(project, KnowingEngine(), options)
    assert project.undo_name == before and project.queries.categories() == ()


def test_a_deleted_reference_file_is_named(project):
    path = project.queries.image_named("p0.png").path
    path.unlink()
    with pytest.raises(UserInputError, match=r"p0\.png is not where it was"):
        find(project, KnowingEngine(), REX)


def test_large_collections_are_searched_by_shortlist_unless_all_is_asked(project, monkeypatch):
    monkeypatch.setattr(find_module, "SHORTLIST_FROM", 4)
    monkeypatch.setattr(find_module, "SHORTLIST", 2)
    monkeypatch.setattr(find_module, "MAX_REFERENCES", 0)
    monkeypatch.setattr(find_module, "MAX_NEGATIVES", 0)
    engine = KnowingEngine()
    outcome = find(project, engine, FindOptions(references=REX.references, name="dog"))
    assert outcome.searched == 7 and outcome.shortlisted <= 2
    outcome = find(project, engine, FindOptions(references=REX.references, name="dog", exhaustive=True))
    assert outcome.shortlisted == 7


def test_the_index_follows_the_collection(project):
    engine = KnowingEngine()
    assert update_index(project, engine).added == 8
    assert update_index(project, engine).added == 0
    three = project.queries.image_named("p3.png")
    from kinmark.engine.api import Reference

    assert shortlist(project, engine, [Reference(three.image_input)], 1) == [three.id]
    project.operations.remove_images([three.id])
    report = update_index(project, engine)
    assert (report.added, report.removed, report.photos) == (0, 1, 7)
    assert three.id not in shortlist(project, engine, [Reference(three.image_input)], 8)


def test_export_writes_crops_cutouts_masks_and_a_table(project, tmp_path):
    find(project, KnowingEngine(), REX)
    accepted = project.queries.proposals(image_id=image_id(project, "p7.png"))
    project.operations.accept_proposals([p.id for p in accepted])
    report = export_identities(project, tmp_path / "out", suggested=True)
    assert (report.identities, report.instances) == (1, 6)
    with (tmp_path / "out" / "identities.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [r["status"] for r in rows].count("confirmed") == 2
    row = next(r for r in rows if r["image"] == "p7.png")
    mask = np.asarray(Image.open(tmp_path / "out" / row["mask"])) > 0
    assert mask.sum() == 80 == int(row["mask_area"]) and mask.shape == (HEIGHT, WIDTH)
    cut = np.asarray(Image.open(tmp_path / "out" / row["cutout"]))
    assert cut.shape[2] == 4 and (cut[..., 3] > 0).sum() == 80
    with pytest.raises(UserInputError, match="not empty"):
        export_identities(project, tmp_path / "out")
    with pytest.raises(UserInputError, match="no identity Nobody"):
        export_identities(project, tmp_path / "other", names=("Nobody",))


def test_split_by_photo(project):
    project.operations.add_category("dog")
    [identity] = project.operations.add_identity("Rex").ids
    dog = project.queries.category("dog").id
    for name in ("p1.png", "p2.png"):
        new = NewInstance(image_id(project, name), dog, box=(1.0, 1.0, 9.0, 9.0), identity_id=identity)
        project.operations.add_instances([new])
    assert split_by_images(project, "Rex", "Max", ["p2.png"]) == 1
    assert {i.name: i.instance_count for i in project.queries.identities()} == {"Rex": 1, "Max": 1}
    with pytest.raises(UserInputError, match="no confirmed"):
        split_by_images(project, "Rex", "Kim", ["p2.png"])


def test_a_search_goes_on_step_by_step_with_what_was_denied_meanwhile(project):
    engine = KnowingEngine()
    sweep = FindSweep(project, engine, REX)
    assert sweep.left and sweep.total == 7
    sweep.step(4)
    assert len(engine.requests) == 1
    [suggestion] = project.queries.proposals(image_id=image_id(project, "p4.png"))
    with Project.open(project.folder) as window:
        window.operations.reject_proposals([suggestion.id])
    while sweep.left:
        sweep.step(2)
    assert [len(request.negatives) for request in engine.requests] == [0, 1]
    assert [t.path.name for t in engine.requests[1].targets] == ["p5.png", "p6.png", "p7.png"]
    assert sweep.outcome.found == 5 and [row.file_name for row in sweep.outcome.results[:2]] == ["p7.png", "p6.png"]


def test_a_search_that_was_cut_off_goes_on_where_it_was(project):
    sweep = FindSweep(project, KnowingEngine(), REX)
    sweep.keep("a")
    sweep.step(5)
    kept = kept_job(project, "a")
    assert (kept.kind, kept.name, kept.done, kept.total) == ("find", "Rex", 5, 7)
    engine = KnowingEngine()
    sweep = FindSweep(project, engine, options_of(kept), kept=kept)
    while sweep.left:
        sweep.step(2)
    assert [t.path.name for t in engine.requests[0].targets] == ["p6.png", "p7.png"]
    assert len(engine.requests[0].references) == 1, "the box that began it is a confirmed instance"
    assert kept_jobs(project) == () and len(project.queries.proposals(kind="mask")) == 5


def test_the_index_of_a_large_collection_is_made_in_steps_too(project, monkeypatch):
    monkeypatch.setattr(find_module, "SHORTLIST_FROM", 4)
    monkeypatch.setattr(find_module, "SHORTLIST", 2)
    monkeypatch.setattr(find_module, "INDEX_STEP", 3)
    engine = KnowingEngine()
    sweep = FindSweep(project, engine, REX)
    sweep.keep("a")
    steps = 0
    while not engine.requests:
        sweep.step(1)
        steps += 1
    assert steps >= 4 and sweep.total <= 2 and kept_job(project, "a").total == sweep.total
    while sweep.left:
        sweep.step(1)
    assert sweep.outcome.searched == 7 and sweep.outcome.shortlisted == sweep.total
