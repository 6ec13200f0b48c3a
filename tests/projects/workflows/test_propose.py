"""The propose workflow: what is asked of the engine, what is stored, what survives a cancel.

The engine here is a small real implementation of the protocol's two methods (it puts every keypoint at a known place), so
that what the workflow does with its answers can be checked exactly; the real engine is used in tests/e2e.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    FIRST_LOOK,
    OPTIMISED,
    Calibration,
    CategoryAnswer,
    MatchSettings,
    SettingsChoice,
    TargetFailure,
)
from kinmark.engine.domain.errors import OperationCancelled, UnreadableImageError, UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import InstancePart, NewKeypoint
from kinmark.projects.workflows.kept import KeptJob, forget, kept_job, kept_jobs
from kinmark.projects.workflows.match_settings import CHOICE_KEY
from kinmark.projects.workflows.propose import Pace, ProposeSweep, options_of, propose
from kinmark.projects.workflows.propose_all import needing_proposals, sweep_outcome
from kinmark.projects.workflows.propose_options import ProposeOptions
from kinmark.projects.workflows.propose_plan import keypoint_map

CHOSEN = MatchSettings("nn", 1, 1, False, 0.5, "max", 0.0, 0.0)


class PlacingEngine:
    """Proposes keypoint i of every target at (10 + i, 20); remembers its requests."""

    def __init__(self, *, confidence: float = 0.8, fail: tuple[str, ...] = (), cancel_after: int | None = None) -> None:
        self.confidence, self.fail, self.cancel_after = confidence, fail, cancel_after
        self.requests, self.choices, self.records = [], 0, []

    def choose_settings(self, request, *, progress=None, cancel=None):
        self.choices += 1
        return SettingsChoice(CHOSEN, (("plain", 0.5, 0.1),), len(request.exemplars), "plain wins")

    def tell_apart(self, request, *, progress=None, cancel=None):
        names = tuple(name for name, _ in request.categories)
        for image in request.targets:
            yield CategoryAnswer(request.request_id, image.image_id, dict.fromkeys(names, 0.0), names)

    def calibrate(self, records):
        self.records = records
        return Calibration("project", len(records), {"bias": 1.0})

    def propose_keypoints(self, request, *, progress=None, cancel=None):
        self.requests.append(request)
        for count, target in enumerate(request.targets):
            if self.cancel_after is not None and count >= self.cancel_after:
                cancel.cancel()
            cancel.check()
            progress.step()
            if target.image.path.name in self.fail:
                yield TargetFailure(
                    target.image.image_id, UnreadableImageError(f"Cannot read {target.image.path.name}.")
                )
                continue
            keypoints = tuple(
                KeypointProposal(
                    name, 10.0 + i, 20.0, self.confidence, Visibility.VISIBLE, KeypointSignals(self.confidence, 0.1)
                )
                for i, name in enumerate(request.schema.names)
            )
            spec = RunSpec("match", "embedded", settings={"method": request.settings.method})
            yield InstanceProposal(
                request.request_id, target.image.image_id, request.category, keypoints, self.confidence, None, spec
            )


@pytest.fixture
def project(tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(6):
        pixels = np.full((48, 64, 3), index * 20, np.uint8)
        Image.fromarray(pixels).save(photos / f"p{index}.png")
    with Project.create(tmp_path / "t.kinmark") as project:
        add_paths(project, [photos])
        category = project.operations.add_category("otter", KeypointSchema(("nose", "tail", "paw"))).ids[0]
        project.category_id = category
        project.image_ids = [row.id for row in project.queries.images()]
        yield project


def _label(project, index, count=3):
    ids = project.queries.category(project.category_id).definition_ids
    keypoints = [NewKeypoint(ids[i], 5.0 + i, 6.0) for i in range(count)]
    return project.operations.add_instance(project.image_ids[index], project.category_id, keypoints).ids[0]


def test_without_an_exemplar_the_way_is_named(project):
    with pytest.raises(UserInputError, match="nothing to propose from"):
        propose(project, PlacingEngine())
    with pytest.raises(UserInputError, match="no category"):
        propose(project, PlacingEngine(), ProposeOptions(category="badger"))
    with pytest.raises(UserInputError, match="labelled yet"):
        propose(project, PlacingEngine(), ProposeOptions(category="otter"))


def test_every_other_photo_gets_a_pending_proposal_in_one_undo_step(project):
    _label(project, 0)
    before = project.undo_name
    [outcome] = propose(project, PlacingEngine())
    assert (outcome.exemplars, outcome.targets, outcome.proposals, outcome.keypoints) == (1, 5, 5, 15)
    assert project.queries.count_proposals() == 5
    assert project.undo_name == "Propose otter"
    project.undo()
    assert project.queries.count_proposals() == 0 and project.undo_name == before


def test_empty_photos_stay_empty_and_partial_instances_are_completed(project):
    _label(project, 0)
    partial = _label(project, 1, count=1)
    project.operations.mark_nothing_here([project.image_ids[2]], project.category_id)
    engine = PlacingEngine()
    propose(project, engine)
    asked = {int(t.image.image_id) for t in engine.requests[0].targets}
    assert asked == set(project.image_ids) - {project.image_ids[0], project.image_ids[2]}
    [proposal] = project.queries.proposals(image_id=project.image_ids[1])
    names = {d.id: d.name for d in project.queries.category(project.category_id).definitions}
    assert proposal.instance_id == partial
    assert {names[k.definition_id] for k in proposal.keypoints} == {"tail", "paw"}


def test_a_sweep_leaves_out_photos_that_show_another_kind_of_thing(project):
    _label(project, 0)
    badger = project.operations.add_category("badger", KeypointSchema(("nose",))).ids[0]
    [nose] = project.queries.category(badger).definition_ids
    project.operations.add_instance(project.image_ids[1], badger, [NewKeypoint(nose, 5, 5)])
    sweep, engine = ProposeOptions(category="otter", other_kinds=False), PlacingEngine()
    propose(project, engine, sweep)
    propose(project, engine, ProposeOptions(category="otter"))
    # Once both are seen together, an otter may be on any photo of a badger.
    project.operations.add_instance(project.image_ids[0], badger, [NewKeypoint(nose, 9, 9)])
    propose(project, engine, sweep)
    asked = [{t.image.path.name for t in request.targets} for request in engine.requests]
    assert asked[0] == {"p2.png", "p3.png", "p4.png", "p5.png"}
    assert asked[1] == asked[2] == asked[0] | {"p1.png"}


def test_accepted_images_are_exemplars_at_once(project):
    _label(project, 0)
    engine = PlacingEngine()
    propose(project, engine)
    project.operations.accept_proposals(image_ids=[project.image_ids[3]])
    propose(project, engine)
    assert len(engine.requests[1].exemplars) == 2
    assert project.queries.count_proposals() == 4


def test_the_choice_is_kept_until_the_exemplars_have_doubled(project):
    _label(project, 0)
    engine = PlacingEngine()
    propose(project, engine)
    propose(project, engine)
    assert engine.choices == 1
    assert engine.requests[1].settings == CHOSEN
    for index in (1, 2):
        _label(project, index)
        propose(project, engine)
    assert engine.choices == 1, "holding out one of two or three says too little"
    _label(project, 3)
    propose(project, engine)
    assert engine.choices == 2
    propose(project, engine, ProposeOptions(settings=MatchSettings(rotations=8)))
    assert engine.choices == 3


def test_few_targets_take_their_statistics_from_the_whole_collection(project, monkeypatch):
    _label(project, 0)
    project.operations.mark_nothing_here([project.image_ids[5]], project.category_id)
    engine = PlacingEngine()
    propose(project, engine, ProposeOptions(image_ids=(project.image_ids[2],)))
    [request] = engine.requests
    assert [t.image.path.name for t in request.targets] == ["p2.png"]
    assert [i.path.name for i in request.statistics_images] == ["p1.png", "p2.png", "p3.png", "p4.png"]
    monkeypatch.setattr("kinmark.projects.workflows.propose_plan.COLLECTION", 2)
    propose(project, engine, ProposeOptions(image_ids=(project.image_ids[2],)))
    assert [i.path.name for i in engine.requests[-1].collection] == ["p1.png", "p3.png"]


def test_photos_that_are_not_asked_about_say_nothing_about_the_kind(project):
    _label(project, 0)
    engine = PlacingEngine()
    propose(project, engine, ProposeOptions(targets_glob="p[23]*"))
    assert [i.path.name for i in engine.requests[-1].collection] == ["p2.png", "p3.png"]


def test_what_was_found_before_a_cancel_is_kept(project):
    _label(project, 0)
    cancel = CancelToken()
    with pytest.raises(OperationCancelled):
        propose(project, PlacingEngine(cancel_after=2), cancel=cancel)
    assert project.queries.count_proposals() == 2


def test_an_unreadable_photo_is_reported_and_the_sweep_goes_on(project):
    _label(project, 0)
    [outcome] = propose(project, PlacingEngine(fail=("p3.png",)))
    assert outcome.proposals == 4 and "p3.png" in outcome.failures[0]["error"]


def test_a_rejection_on_the_same_evidence_is_not_proposed_again(project):
    _label(project, 0)
    propose(project, PlacingEngine())
    victim = project.queries.proposals(image_id=project.image_ids[4])[0]
    project.operations.reject_proposals([victim.id])
    propose(project, PlacingEngine())
    assert not project.queries.proposals(image_id=project.image_ids[4])
    assert project.queries.proposals(image_id=project.image_ids[5])


def test_globs_ids_and_names_choose_the_work(project):
    _label(project, 0)
    engine = PlacingEngine()
    propose(project, engine, ProposeOptions(targets_glob="p[34]*"))
    assert len(engine.requests[0].targets) == 2
    order = (project.image_ids[5], project.image_ids[1])
    propose(project, engine, ProposeOptions(image_ids=order, only_keypoints=("paw",)))
    assert tuple(int(t.image.image_id) for t in engine.requests[1].targets) == order
    assert engine.requests[1].only_keypoints == (2,)
    with pytest.raises(UserInputError, match="no keypoint"):
        propose(project, engine, ProposeOptions(only_keypoints=("wing",)))


class HerdEngine(PlacingEngine):
    """Finds an otter at every 12 px of the photo that is not taken, at most `limit`; none where `limit` leaves nothing."""

    def __init__(self, *, there: int = 3, **more) -> None:
        super().__init__(**more)
        self.there = there

    def propose_keypoints(self, request, *, progress=None, cancel=None):
        self.requests.append(request)
        for target in request.targets:
            progress.step()
            if target.image.path.name in self.fail:
                yield TargetFailure(target.image.image_id, UnreadableImageError("Cannot read it."))
                continue
            taken = [float(np.nanmin(t.xy_image[:, 0])) for t in target.taken]
            places = [x for x in (5.0 + 12 * n for n in range(self.there)) if all(abs(x - t) > 4 for t in taken)]
            for x in places[: target.limit]:
                keypoints = tuple(
                    KeypointProposal(n, x + i, 6.0 + i, 0.9 - x / 100, Visibility.VISIBLE, KeypointSignals(0.9, 0.1))
                    for i, n in enumerate(request.schema.names)
                )
                yield InstanceProposal(
                    request.request_id,
                    target.image.image_id,
                    request.category,
                    keypoints,
                    0.9 - x / 100,
                    None,
                    RunSpec("match", "embedded"),
                )


def test_all_of_a_photo_are_proposed_beside_those_that_are_labelled(project):
    _label(project, 0)
    engine = HerdEngine()
    [outcome] = propose(project, engine)
    assert outcome.limit == 1 and outcome.proposals == 5, "no photo shows two yet"
    [outcome] = propose(project, engine, ProposeOptions(instances="4"))
    assert (outcome.limit, outcome.targets, outcome.proposals) == (4, 6, 17)
    [first] = [t for t in engine.requests[-1].targets if t.image.path.name == "p0.png"]
    assert first.limit == 3 and len(first.taken) == 1
    assert [len(project.queries.proposals(image_id=i)) for i in project.image_ids] == [2, 3, 3, 3, 3, 3]
    project.operations.accept_proposals(image_ids=[project.image_ids[1]])
    assert [len(project.queries.instances(image_id=i)) for i in project.image_ids[:2]] == [1, 3]
    project.operations.reject_proposals([project.queries.proposals(image_id=project.image_ids[2])[0].id])
    project.operations.set_exhaustive([project.image_ids[0]], project.category_id, True)
    [outcome] = propose(project, engine)
    assert outcome.limit == 10, "learned: a photo shows three"
    counts = [len(project.queries.proposals(image_id=i)) for i in project.image_ids]
    assert counts == [0, 0, 2, 3, 3, 3], "complete; nothing more there; one rejected; as before"
    asked = {t.image.path.name: t for t in engine.requests[-1].targets}
    assert "p0.png" not in asked and len(asked["p1.png"].taken) == 3 and len(asked["p2.png"].taken) == 1


def test_a_photo_where_nothing_is_found_any_more_waits_no_longer_and_one_that_failed_still_does(project):
    _label(project, 0)
    project.operations.set_instances(project.category_id, "3")
    propose(project, HerdEngine())
    assert project.queries.count_proposals() == 17
    propose(project, HerdEngine(there=0, fail=("p2.png",)))
    assert {p.image_id for p in project.queries.proposals()} == {project.image_ids[2]}


def test_every_incomplete_animal_of_a_photo_is_completed_in_one_sweep(project):
    _label(project, 0)
    ids = project.queries.category(project.category_id).definition_ids
    partial = [
        project.operations.add_instance(project.image_ids[1], project.category_id, [NewKeypoint(ids[0], x, 6.0)]).ids[0]
        for x in (5.0, 17.0)
    ]
    engine = HerdEngine()
    propose(project, engine, ProposeOptions(image_ids=(project.image_ids[1],)))
    assert [len(r.targets) for r in engine.requests] == [1, 1, 1]
    hosts = [p.instance_id for p in project.queries.proposals(image_id=project.image_ids[1])]
    assert hosts.count(None) == 1 and set(hosts) == {None, *partial}
    assert project.undo_name == "Propose otter"


def test_calibration_is_fitted_from_thirty_decisions(project, monkeypatch):
    monkeypatch.setattr("kinmark.projects.workflows.calibrate.MINIMUM_DECISIONS", 6)
    _label(project, 0)
    engine = PlacingEngine()
    propose(project, engine)
    assert engine.requests[0].calibration is None
    project.operations.accept_proposals(image_ids=project.image_ids[1:3])
    [outcome] = propose(project, engine)
    assert outcome.calibrated and len(engine.records) == 6 and all(r.correct for r in engine.records)
    assert engine.requests[1].calibration.data == {"bias": 1.0}


def test_decisions_say_which_keypoint_is_in_the_picture(project, monkeypatch):
    """Accepted: it is. Set absent, before or after accepting: it is not, though it had been proposed. Taken away: nobody knows."""
    monkeypatch.setattr("kinmark.projects.workflows.calibrate.MINIMUM_DECISIONS", 6)
    _label(project, 0)
    engine, category = PlacingEngine(), project.queries.category(project.category_id)
    nose, tail, *_ = category.definitions
    propose(project, engine)
    [before, after, away, *_] = project.image_ids[1:]
    [pending] = project.queries.proposals(image_id=before)
    project.operations.mark_absent(InstancePart(None, (pending.id,)), [tail.id])
    project.operations.accept_proposals(image_ids=[before, after])
    [instance] = [i for i in project.queries.iter_instances(category_id=category.id) if i.image_id == after]
    project.operations.place_keypoint(instance.id, tail.id, None, None, 0)
    [pending] = project.queries.proposals(image_id=away)
    project.operations.reject_keypoints([next(k.id for k in pending.keypoints if k.definition_id == tail.id)])
    project.operations.accept_proposals(image_ids=[away])
    propose(project, engine)
    said = [(r.keypoint, r.there) for r in engine.records if r.keypoint in (nose.name, tail.name)]
    assert [there for name, there in said if name == nose.name] == [True] * 3
    assert sorted((there for name, there in said if name == tail.name), key=str) == [False, False, None]


def test_the_engine_learns_what_was_denied(project):
    _label(project, 0)
    engine, category = PlacingEngine(), project.queries.category(project.category_id)
    names = category.schema.names
    propose(project, engine)
    [first, second, *_] = project.image_ids[1:]
    for image_id, rejected in ((first, names[0]), (second, names[1])):
        [pending] = project.queries.proposals(image_id=image_id)
        by_name = {d.name: next(k for k in pending.keypoints if k.definition_id == d.id) for d in category.definitions}
        project.operations.reject_keypoints([by_name[rejected].id])
        project.operations.accept_proposals(image_ids=[image_id])
    [instance] = [i for i in project.queries.iter_instances(category_id=category.id) if i.image_id == second]
    project.operations.place_keypoint(instance.id, category.definitions[1].id, 11.0, 20.0)
    [other] = [i for i in project.queries.iter_instances(category_id=category.id) if i.image_id == first]
    project.operations.place_keypoint(other.id, category.definitions[0].id, None, None, 0)
    propose(project, engine)
    taught = {int(e.image.image_id): e for e in engine.requests[-1].exemplars}
    assert taught[first].denied == ((0, 10.0, 20.0),) and taught[first].absent == (0,)
    assert taught[second].denied == () and taught[second].absent == ()  # placed where it had been rejected


def test_the_map_of_a_keypoint_is_asked_with_all_labels_and_the_settings_in_use(project):
    class Mapping(PlacingEngine):
        def keypoint_map(self, request, keypoint, *, cancel=None):
            self.requests.append(request)
            return keypoint

    _label(project, 0)
    _label(project, 1)
    engine, category = Mapping(), project.queries.categories()[0]
    name = category.schema.names[-1]
    assert keypoint_map(project, engine, project.image_ids[3], category.name, name) == name
    [asked] = engine.requests
    assert [t.image.path.name for t in asked.targets] == ["p3.png"]
    assert len(asked.exemplars) == 2 and asked.settings == CHOSEN
    with pytest.raises(UserInputError, match="no keypoint tusk"):
        keypoint_map(project, engine, project.image_ids[3], category.name, "tusk")


def test_a_lost_exemplar_photo_is_named(project):
    _label(project, 0)
    row = project.queries.image(project.image_ids[0])
    row.path.unlink()
    with pytest.raises(UserInputError, match="not where they were"):
        propose(project, PlacingEngine())
    assert replace(row, state="x").state == "x"


def test_a_first_look_leaves_what_waits_alone_and_does_not_calibrate(project, monkeypatch):
    monkeypatch.setattr("kinmark.projects.workflows.calibrate.MINIMUM_DECISIONS", 6)
    _label(project, 0)

    class Looking(PlacingEngine):
        def propose_keypoints(self, request, *, progress=None, cancel=None):
            for answer in super().propose_keypoints(request, progress=progress, cancel=cancel):
                yield replace(answer, spec=RunSpec(FIRST_LOOK, "toy"))

    quick = ProposeOptions(settings=MatchSettings(pipeline=FIRST_LOOK))
    propose(project, PlacingEngine(), ProposeOptions(image_ids=tuple(project.image_ids[1:3])))
    waiting = [p.id for p in project.queries.proposals()]
    engine = Looking(confidence=0.3)
    propose(project, engine, quick)
    assert [t.image.path.name for t in engine.requests[0].targets] == ["p3.png", "p4.png", "p5.png"]
    assert set(waiting) < {p.id for p in project.queries.proposals()}
    project.operations.accept_proposals(image_ids=project.image_ids[3:5])
    propose(project, engine)
    assert engine.records == [] and engine.requests[-1].calibration is None


@pytest.mark.parametrize("pipeline", [FIRST_LOOK, OPTIMISED])
@pytest.mark.parametrize("first", [True, False])
def test_a_pipeline_is_used_for_the_sweep_that_asked_for_it_and_no_other(project, pipeline, first):
    """Before, a first look of a fresh project was stored as the choice of every later sweep, and after a sweep none was made."""

    class Choosing(PlacingEngine):
        def choose_settings(self, request, *, progress=None, cancel=None):
            if request.settings.pipeline is None:
                return super().choose_settings(request, progress=progress, cancel=cancel)
            return SettingsChoice(request.settings)

    _label(project, 0)
    engine = Choosing()
    once = ProposeOptions(settings=MatchSettings(pipeline=pipeline), image_ids=tuple(project.image_ids[1:3]))
    plain = ProposeOptions(image_ids=tuple(project.image_ids[3:5]))
    for options in (once, plain) if first else (plain, once):
        propose(project, engine, options)
    used = [request.settings.pipeline for request in engine.requests]
    assert used == ([pipeline, None] if first else [None, pipeline]) and engine.choices == 1


def test_a_first_look_that_an_earlier_version_stored_is_no_choice(project):
    _label(project, 0)
    stored = {"settings": {"pipeline": FIRST_LOOK}, "table": [], "exemplars": 1, "reason": ""}
    project.operations.set_setting(
        f"{CHOICE_KEY}{project.queries.categories()[0].name}", stored | {"backbone": DEFAULT_BACKBONE, "prompt": "auto"}
    )
    engine = PlacingEngine()
    propose(project, engine)
    assert engine.choices == 1 and engine.requests[0].settings == CHOSEN


def _asked(engine):
    return [t.image.path.name for request in engine.requests for t in request.targets]


def test_a_sweep_goes_on_step_by_step_and_asks_the_engine_once(project):
    _label(project, 0)
    engine = PlacingEngine()
    sweep = ProposeSweep(project, engine)
    assert (sweep.total, sweep.left) == (6, 6)
    seen = []
    while sweep.left:
        assert sweep.step(2) == 2
        seen.append(project.queries.count_proposals())
    assert seen == [1, 3, 5] and len(engine.requests) == 1 and engine.choices == 1
    assert project.undo_name == "Propose otter" and sweep.outcomes[0].proposals == 5
    project.undo()
    assert project.queries.count_proposals() == 0


def test_what_a_person_accepts_meanwhile_is_an_exemplar_from_the_next_step_on(project):
    _label(project, 0)
    engine = PlacingEngine()
    sweep = ProposeSweep(project, engine)
    sweep.step(2)
    with Project.open(project.folder) as window:  # another thread's connection
        window.operations.accept_proposals(image_ids=[project.image_ids[1]])
    _label(project, 4)
    while sweep.left:
        sweep.step(2)
    assert [len(request.exemplars) for request in engine.requests] == [1, 3]
    assert [t.image.path.name for t in engine.requests[1].targets] == ["p2.png", "p3.png", "p5.png"]
    assert sweep.outcomes[0].targets == 4 and sweep.outcomes[0].proposals == 4


def test_the_spans_of_several_categories_take_turns(project):
    _label(project, 0)
    badger = project.operations.add_category("badger", KeypointSchema(("nose",))).ids[0]
    [nose] = project.queries.category(badger).definition_ids
    project.operations.add_instance(project.image_ids[0], badger, [NewKeypoint(nose, 5, 5)])
    order = []

    class Noting(PlacingEngine):
        def propose_keypoints(self, request, *, progress=None, cancel=None):
            for answer in super().propose_keypoints(request, progress=progress, cancel=cancel):
                order.append((request.category[0], project.image_ids.index(int(answer.image_id))))
                yield answer

    sweep = ProposeSweep(project, Noting(), pace=Pace(at_once=3, span=4))
    while sweep.left:
        sweep.step(3)
    names = {category.name[0] for category in project.queries.categories()}
    assert names == {"o", "b"}
    first, second = order[0][0], ({"o", "b"} - {order[0][0]}).pop()
    assert order == [(first, n) for n in (1, 2, 3)] + [(second, n) for n in (1, 2, 3)] + [
        (first, 4),
        (first, 5),
        (second, 4),
        (second, 5),
    ]
    assert (sweep.total, sweep.done) == (12, 12)


def test_a_sweep_that_was_cut_off_goes_on_where_it_was(project):
    _label(project, 0)
    order = needing_proposals(project)
    sweep = ProposeSweep(project, PlacingEngine(), ProposeOptions(category="otter", image_ids=order, other_kinds=False))
    sweep.keep("a")
    sweep.step(2)
    [kept] = kept_jobs(project)
    assert (kept.kind, kept.name, kept.done, kept.total, kept.image_ids) == ("propose", "otter", 2, 6, order)
    assert options_of(kept) == sweep.options.__class__(**{**vars(sweep.options), "image_ids": None})
    # The program ends here; at the next start:
    with Project.open(project.folder) as again:
        engine = PlacingEngine()
        sweep = ProposeSweep(again, engine, kept=kept_job(again, "a"))
        assert (sweep.done, sweep.left) == (2, 4)
        while sweep.left:
            sweep.step(2)
        # The labelled photo comes last: four photos of the six still lacked a proposal.
        assert len(_asked(engine)) == 3 and again.queries.count_proposals() == 5
        assert kept_jobs(again) == ()
        assert sweep_outcome(again, sweep.outcomes).proposals == 3
        again.undo()
        assert again.queries.count_proposals() == 0, "both parts are one step"


def test_what_is_cut_off_within_a_step_is_not_done_twice(project):
    _label(project, 0)
    cancel = CancelToken()
    sweep = ProposeSweep(project, PlacingEngine(cancel_after=2), ProposeOptions(category="otter"), cancel=cancel)
    sweep.keep("a")
    with pytest.raises(OperationCancelled):
        sweep.step(6)
    assert project.queries.count_proposals() == 2
    kept = kept_job(project, "a")
    assert kept.done == 3, "the labelled photo and two others"
    engine = PlacingEngine()
    sweep = ProposeSweep(project, engine, kept=kept)
    sweep.step()
    assert _asked(engine) == ["p3.png", "p4.png", "p5.png"] and project.queries.count_proposals() == 5


def test_jobs_of_one_kind_about_the_same_replace_each_other_and_are_forgotten(project):
    _label(project, 0)
    for name in ("a", "b"):
        ProposeSweep(project, PlacingEngine(), ProposeOptions(category="otter")).keep(name)
    assert [job.id for job in kept_jobs(project)] == ["b"]
    before = project.undo_name
    forget(project, "b")
    assert kept_jobs(project) == () and kept_job(project, "b") is None and project.undo_name == before
    with Project.open(project.folder, read_only=True) as looking:
        assert kept_jobs(looking) == ()
    assert KeptJob("tune", "x").id != KeptJob("tune", "x").id


def test_a_photo_that_got_more_answers_keeps_them_together():
    from types import SimpleNamespace

    from kinmark.projects.workflows.batches import Answers

    given = [SimpleNamespace(image_id=name, n=n) for n, name in enumerate(("1", "1", "3", "4", "4", "4"))]
    answers = Answers(iter(given))
    assert [[a.n for a in answers.of(image, 2)] for image in (1, 2, 3)] == [[0, 1], [], [2]]
    assert [a.n for a in answers.of(4, 2)] == [3, 4]
