"""What decides about a prompt is what is proposed with it: measured as a sweep proposes, kept by it, stored with it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.api import (
    Exemplar,
    HeldOutFigures,
    MatchSettings,
    ProposeRequest,
    Target,
    TuneRequest,
    open_prompts,
)
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.prompt_card import PromptCard
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.run import SHAPE_UNIT
from kinmark.engine.matching.sampling import l2_normalise
from kinmark.engine.matching.votes import shape_penalty
from kinmark.engine.pipelines.registry import choose_settings, propose_keypoints
from kinmark.engine.prompts.files import read_card
from kinmark.engine.session import EngineSession
from kinmark.engine.tuning.heldout import HeldOut, figures, gain_beyond_noise
from kinmark.engine.tuning.job import tune_prompt
from kinmark.engine.tuning.joint import JointScore
from kinmark.engine.tuning.loss import cross_entropy_of_maps
from kinmark.engine.tuning.material import make_labelled, make_material, split_by_image
from kinmark.engine.tuning.options import TuningOptions, request_fingerprint
from kinmark.engine.tuning.proposals import ProposalJudge
from kinmark.engine.tuning.run import TuningRun
from kinmark.engine.tuning.start import make_learner
from tests.support.labelled import SCHEMA

OPTIONS = {"view": "whole", "eval_every": 3, "batch": 2, "variants": 3, "tokens": 4}


@pytest.fixture
def request_(labelled: tuple[Exemplar, ...], toy_pipeline_dir: Path, tmp_path: Path) -> TuneRequest:
    return TuneRequest(
        request_id="t1",
        category="cat",
        schema=SCHEMA,
        exemplars=labelled,
        kind="class",
        backbone=str(toy_pipeline_dir),
        steps=3,
        out_dir=tmp_path / "prompts",
        options=OPTIONS,
    )


def judge_of(session: EngineSession, request: TuneRequest) -> ProposalJudge:
    instances = make_labelled(request.exemplars, [session.source.size_wh(e.image) for e in request.exemplars])
    split = split_by_image(instances, 0.3, request.seed)
    before = session.prompt("auto", session.backbone(request.backbone), request.category)
    return ProposalJudge(session, request, instances, split, before)


def test_the_figure_is_that_of_the_proposals(toy_session: EngineSession, request_: TuneRequest) -> None:
    judge = judge_of(toy_session, request_)
    split, items = judge.split, judge.instances
    prompt = toy_session.prompt("text:something else", toy_session.backbone(request_.backbone))
    found = judge.measure(prompt, split.report)
    images = tuple(items[j].exemplar.image for j in dict.fromkeys((*split.select, *split.report)))
    teaching = tuple(items[i].exemplar for i in split.train)
    sweep = ProposeRequest(
        "s",
        "cat",
        SCHEMA,
        teaching,
        tuple(Target(i) for i in images),
        MatchSettings(),
        request_.backbone,
        "auto",
        collection=images,
    )
    settings = choose_settings(toy_session, sweep).settings
    answers = propose_keypoints(toy_session, replace(sweep, settings=settings, prompt="text:something else"))
    by_image = {a.image_id: a for a in answers}
    for j, errors in zip(split.report, found.errors, strict=True):
        item = items[j]
        truth = item.exemplar.keypoints
        placed = {k.name: (k.x, k.y) for k in by_image[item.exemplar.image.image_id].keypoints}
        expected = [
            np.hypot(*(np.array(placed[n]) - xy)) / item.length
            for n, xy, there in zip(SCHEMA.names, truth.xy_image, truth.labelled, strict=True)
            if there
        ]
        np.testing.assert_allclose(errors, expected, atol=1e-6)


def test_categories_side_by_side_are_proposed_apart(toy_session: EngineSession, request_: TuneRequest) -> None:
    """One prompt over two categories: each is proposed from its own instances, with its own keypoints."""
    names = tuple(f"{c}/{n}" for c in ("cat", "dog") for n in SCHEMA.names)
    both = KeypointSchema(names, pairs=((1, 2), (5, 6)))

    def shifted(exemplar: Exemplar, first: int) -> Exemplar:
        xy, visibility = np.full((8, 2), np.nan), np.zeros(8, dtype=int)
        xy[first : first + 4] = exemplar.keypoints.xy_image
        visibility[first : first + 4] = exemplar.keypoints.visibility
        return replace(exemplar, keypoints=InstanceKeypoints(xy, visibility, exemplar.keypoints.box))

    exemplars = tuple(shifted(e, 4 * (n % 2)) for n, e in enumerate(request_.exemplars))
    joint = judge_of(toy_session, replace(request_, category="", schema=both, exemplars=exemplars))
    assert [g.schema.names for g in joint._groups] == [names[:4], names[4:]]
    assert [g.schema.pairs for g in joint._groups] == [((1, 2),), ((1, 2),)]
    found = joint.measure(joint.before, joint.split.report)
    for half in (0, 1):
        alone = judge_of(toy_session, request_)
        alone.split = replace(joint.split, train=tuple(i for i in joint.split.train if i % 2 == half))
        alone._settings = {alone._groups[0]: joint.settings(joint._groups[half], None)}
        own = [j for j in joint.split.report if j % 2 == half]
        expected = dict(zip(own, alone.measure(joint.before, own).errors, strict=True))
        for j, errors in zip(joint.split.report, found.errors, strict=True):
            if j in expected:
                np.testing.assert_allclose(errors, expected[j], atol=1e-6)


NEAR, NEARER = np.array([0.02, 0.04, 0.06]), np.array([0.05, 0.08, 0.15])
MIDDLE, FAR = np.array([0.08, 0.12, 0.3]), np.array([0.3, 0.5, 0.8])


@pytest.mark.parametrize(
    ("keep_by", "after", "kept"),
    [
        ("proposals", (NEAR, NEAR, NEAR), True),
        ("proposals", (FAR, FAR, FAR), False),
        ("proposals", (MIDDLE, MIDDLE, MIDDLE), False),  # nothing gained
        ("proposals", (NEAR, MIDDLE, MIDDLE), False),  # one photo gained, the others did not: may be noise
        ("proposals", (NEAR, NEAR, NEARER), True),
        ("score", (FAR, FAR, FAR), True),
    ],
)
def test_a_prompt_is_kept_by_what_is_proposed_with_it(
    toy_session: EngineSession,
    request_: TuneRequest,
    monkeypatch: pytest.MonkeyPatch,
    keep_by: str,
    after: tuple[np.ndarray, ...],
    kept: bool,
) -> None:
    """The score rises in every case; only `keep_by` "score" looks at it."""

    def measured(judge: ProposalJudge, prompt, targets, cancel=None) -> HeldOut:
        return HeldOut((MIDDLE,) * 3 if prompt.id == judge.before.id else after)

    def scored(run: TuningRun, targets, *, embeds=None, **_) -> HeldOut:
        return HeldOut((FAR,) * 3 if embeds is not None or run.done == 0 else (NEAR,) * 3)

    monkeypatch.setattr(ProposalJudge, "measure", measured)
    monkeypatch.setattr(TuningRun, "evaluate", scored)
    result = tune_prompt(toy_session, replace(request_, options={**OPTIONS, "keep_by": keep_by}))
    assert (result.before, result.after) == (0.0, 1.0)
    assert (result.kept, result.better) == (kept, kept)
    assert result.proposals == figures(HeldOut((MIDDLE,) * 3), HeldOut(after))
    anyway = tune_prompt(toy_session, replace(request_, keep_if_worse=True, options={**OPTIONS, "keep_by": keep_by}))
    assert anyway.kept and anyway.better is kept
    # What was kept all the same is not what "auto" takes.
    toy_session.config = replace(toy_session.config, prompt_dirs=(request_.out_dir,))
    taken = toy_session.prompt("auto", toy_session.backbone(request_.backbone), "cat").id
    assert taken == (anyway.prompt_id if kept else "text:a photo of a cat")
    open_prompts((request_.out_dir,)).decide(anyway.prompt_id, True)
    assert toy_session.prompt("auto", toy_session.backbone(request_.backbone), "cat").id == anyway.prompt_id


def test_gain_beyond_noise_counts_photos_not_points() -> None:
    even = [np.full(20, 0.1)] * 4
    for gains in ((0.05, 0.05, 0.05, 0.05), (0.0, 0.0, 0.0, 0.1)):
        after = HeldOut(tuple(np.full(20, e - g) for e, g in zip((0.1,) * 4, gains, strict=True)))
        by_photo = np.array([1 / (1 + ((0.1 - g) / 0.1) ** 2) - 0.5 for g in gains])
        expected = by_photo.mean() - by_photo.std(ddof=1) / 2
        assert gain_beyond_noise(HeldOut(tuple(even)), after, 1.0) == pytest.approx(expected)
    nothing = HeldOut((np.zeros(0),))
    assert np.isnan(gain_beyond_noise(nothing, nothing, 1.0))
    # One photo, however much it gained, says nothing of others.
    assert np.isnan(
        gain_beyond_noise(HeldOut((np.full(9, 0.5), np.zeros(0))), HeldOut((np.zeros(9), np.zeros(0))), 1.0)
    )


def test_the_card_holds_both_figures(toy_session: EngineSession, request_: TuneRequest) -> None:
    result = tune_prompt(toy_session, replace(request_, keep_if_worse=True))
    card = read_card(result.folder)
    assert (card.before, card.after) == (result.before, result.after)
    stored = HeldOutFigures(**{k: tuple(v) if isinstance(v, list) else v for k, v in card.proposals.items()})
    assert stored == result.proposals and np.isfinite(asdict(stored)["soft_after"])
    assert card.settings["better"] is result.better and card.measured_better is result.better
    assert card.settings["keep_by"] == "proposals"
    assert PromptCard.from_json(card.to_json(), "here") == card
    # A card from before, or of a published prompt, is judged by its score.
    old = replace(card, proposals={}, settings={}, before=0.4, after=0.5)
    assert PromptCard.from_json(old.to_json(), "here").measured_better
    assert not replace(old, after=0.3).measured_better
    assert replace(old, before=float("nan")).measured_better


def make_run(session: EngineSession, request: TuneRequest, plan: Plan, **options: object) -> TuningRun:
    settings = TuningOptions.from_request(replace(request, options={**OPTIONS, "through": "proposals", **options}))
    extractor = session.extractor(request.backbone)
    sizes = [session.source.size_wh(e.image) for e in request.exemplars]
    material = make_material(request.exemplars, sizes, SCHEMA, heldout_share=0.3, seed=0)
    learner = make_learner(extractor.backbone, "class", settings, category="cat", seed=0)
    joint = JointScore(dict.fromkeys(range(len(material.instances)), plan))
    return TuningRun(extractor, request, settings, material, learner, None, joint)


@pytest.mark.parametrize("fuse", ["mean", "max"])
def test_the_joint_loss_is_that_of_the_joined_maps(
    toy_session: EngineSession, request_: TuneRequest, fuse: str
) -> None:
    plan = Plan(fusion_weight=0.0, shape=0.8, whiten=1.0, fuse=fuse)
    run = make_run(toy_session, request_, plan, every_pair=True, augment=0.0)
    empty = toy_session.prompt("empty", run.backbone).embeds
    run.fit_joint(empty)
    whitener = run.joint.whiteners[0]
    assert whitener is not None and float((whitener.projection - torch.eye(len(whitener.mean))).abs().max()) > 0.1
    keys = [(0, 0), (1, 0), (2, 0)]
    run.load(keys)
    with torch.no_grad():
        maps = run.maps(keys, empty, run._eval_noise(keys))
        found = float(run.joint.loss(run, maps, keys, [([0, 1], 2)]))
    h, w = maps.shape[-2:]
    white = torch.stack([whitener(l2_normalise(m.flatten(1).T)).T.unflatten(1, (h, w)) for m in maps])
    truth, there = run.points(keys[2], (w, h))
    scores = []
    for source in (0, 1):
        xy, seen = run.points(keys[source], (w, h))
        query = []
        for x, y in xy:
            x0, y0 = min(int(x), w - 2), min(int(y), h - 2)
            ax, ay = float(x) - x0, float(y) - y0
            m = maps[source]
            value = (1 - ay) * ((1 - ax) * m[:, y0, x0] + ax * m[:, y0, x0 + 1])
            value = value + ay * ((1 - ax) * m[:, y0 + 1, x0] + ax * m[:, y0 + 1, x0 + 1])
            query.append(whitener(value / (value.norm() + 1e-6)))
        cosine = torch.einsum("kd,dhw->khw", torch.stack(query), white[2])
        both = seen & there
        offset = truth[both].mean(axis=0) - xy[both].mean(axis=0)
        sigma = torch.tensor([max(1.0, run.length_cells(keys[source], (w, h)) * plan.slack)])
        penalty = shape_penalty(torch.from_numpy(xy + offset)[None], (w, h), sigma_cells=sigma)[0]
        masked = torch.full_like(cosine, float("nan"))
        masked[seen] = (cosine - plan.shape * SHAPE_UNIT * penalty)[seen]
        scores.append(masked)
    stacked = torch.stack(scores)
    joined = stacked.nanmean(dim=0) if fuse == "mean" else torch.nan_to_num(stacked, nan=-1e4).amax(dim=0)
    valid = torch.from_numpy(there) & torch.isfinite(stacked).any(dim=0).any(dim=-1).any(dim=-1)
    expected = cross_entropy_of_maps(
        torch.nan_to_num(joined)[None], torch.from_numpy(truth)[None], valid[None], run.options.loss
    )
    assert found == pytest.approx(float(expected), abs=1e-4)


def test_crops_follow_the_plan_and_a_target_is_no_exemplar_of_itself(
    toy_session: EngineSession, request_: TuneRequest
) -> None:
    assert not make_run(toy_session, request_, Plan(stages=1), view="auto").crop
    run = make_run(toy_session, request_, Plan(stages=2, crop_margin=0.5), view="auto", every_pair=True)
    assert run.crop
    item = run.instances[0]
    corners = run.variant((0, 0)).view.transform.from_feature(np.array([[0.0, 0.0], [1.0, 1.0]]), (2, 2))
    assert float(np.ptp(corners[:, 0])) == pytest.approx(2 * item.length, rel=0.1)
    keys = [(0, 0), (1, 0), (0, 1), (2, 0)]
    groups = {target: set(sources) for sources, target in run._groups(keys, [])}
    assert groups == {0: {1, 3}, 1: {0, 2, 3}, 2: {1, 3}, 3: {0, 1, 2}}
    run.fit_joint(toy_session.prompt("empty", run.backbone).embeds)
    before = run.learner.tokens.detach().clone()
    assert np.isfinite(run.step()) and not torch.equal(before, run.learner.tokens.detach())


@pytest.mark.parametrize("condition", ["pair", "image"])
def test_conditional_prompts_learn_through_proposals_too(
    toy_session: EngineSession, request_: TuneRequest, condition: str
) -> None:
    options = {**OPTIONS, "through": "proposals", "condition": condition}
    result = tune_prompt(toy_session, replace(request_, kind="conditional", keep_if_worse=True, options=options))
    assert all(np.isfinite(p.loss) for p in result.curve) and np.isfinite(result.proposals.after)


def test_it_is_said_where_no_prompt_changes_the_proposals(
    toy_session: EngineSession, request_: TuneRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tune_prompt(toy_session, request_).uses_prompt
    alone = Plan(fusion_weight=1.0).to_settings()
    monkeypatch.setattr(ProposalJudge, "settings", lambda *_: alone)
    result = tune_prompt(toy_session, replace(request_, keep_if_worse=True, options={**OPTIONS, "lr": 0.1}))
    assert not result.uses_prompt and not result.better
    assert result.proposals.soft_before == result.proposals.soft_after


def test_statistics_come_from_photos_without_labels(toy_session: EngineSession, request_: TuneRequest) -> None:
    """As in a sweep; the held-out photos serve where nothing else is named."""
    few, rest = request_.exemplars[:5], tuple(e.image for e in request_.exemplars[5:])
    alone = judge_of(toy_session, replace(request_, exemplars=few))
    group, report = alone._groups[0], alone.split.report
    assert alone._request(group, alone.before, report).collection == tuple(
        alone.instances[j].exemplar.image for j in report
    )
    seen = judge_of(toy_session, replace(request_, exemplars=few, collection=rest))
    assert seen._request(group, seen.before, report).statistics_images == list(rest)
    options = TuningOptions.from_request(request_)
    named = [request_fingerprint(replace(request_, collection=c), options, "r") for c in ((), rest)]
    assert named[0] == named[1], "it does not change what is learned"
    through = replace(options, through="proposals")
    assert request_fingerprint(request_, through, "r") != request_fingerprint(
        replace(request_, collection=rest), through, "r"
    )


def test_the_score_alone_can_be_measured(toy_session: EngineSession, request_: TuneRequest) -> None:
    options = {**OPTIONS, "propose": False}
    with pytest.raises(UserInputError, match="Without measuring proposals"):
        tune_prompt(toy_session, replace(request_, options=options))
    result = tune_prompt(
        toy_session, replace(request_, keep_if_worse=True, options={**options, "keep_by": "score", "min_gain": -2.0})
    )
    assert result.better and np.isfinite(result.after) and np.isnan(result.proposals.after)
    card = read_card(result.folder)
    assert card.measured_better and card.proposals["after"] is None and card.proposals["gain_interval"] == [None, None]
