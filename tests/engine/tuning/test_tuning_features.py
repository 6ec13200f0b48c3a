"""What tuning learns through is what the app matches with: scales and blocks joined, kernel of the second descriptor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.api import Exemplar, TuneRequest
from kinmark.engine.backbones.spec import BackboneSpec, FusionSpec, ScaleWeight
from kinmark.engine.matching.reader import DESCRIPTOR, DIFFUSION
from kinmark.engine.prompts.learners import TokenLearner
from kinmark.engine.session import EngineSession
from kinmark.engine.tuning.heldout import HeldOut
from kinmark.engine.tuning.loss import cross_entropy_of_maps
from kinmark.engine.tuning.material import make_material
from kinmark.engine.tuning.options import TuningOptions
from kinmark.engine.tuning.run import TuningRun
from kinmark.engine.tuning.start import make_learner
from tests.support.labelled import SCHEMA

KERNEL = 0.05


@pytest.fixture
def card(toy_session: EngineSession, toy_pipeline_dir: Path) -> Iterator[BackboneSpec]:
    """The toy's card with a second input size and a second descriptor, as the embedded model's."""
    backbone = toy_session.backbone(str(toy_pipeline_dir))
    before = backbone.spec
    fusion = FusionSpec("dense_sift", 0.4, extra={"kernel_width": KERNEL})
    backbone.spec = replace(before, clean=True, ensemble=1, extra_scales=(ScaleWeight(0.5, 0.3),), fusion=fusion)
    yield backbone.spec
    backbone.spec = before


def make_run(session: EngineSession, exemplars: tuple[Exemplar, ...], folder: Path, **options: object) -> TuningRun:
    request = TuneRequest("t", "cat", SCHEMA, exemplars, "class", str(folder), options={"view": "whole", **options})
    extractor = session.extractor(str(folder))
    settings = TuningOptions.from_request(request)
    sizes = [session.source.size_wh(e.image) for e in exemplars]
    material = make_material(exemplars, sizes, SCHEMA, heldout_share=0.3, seed=0)
    learner = make_learner(extractor.backbone, "class", settings, category="cat", seed=0)
    return TuningRun(extractor, request, settings, material, learner, None)


def test_maps_and_scores_are_those_of_the_matching(
    toy_session: EngineSession, toy_pipeline_dir: Path, labelled: tuple[Exemplar, ...], card: BackboneSpec
) -> None:
    extractor = toy_session.extractor(str(toy_pipeline_dir))
    extractor.cache = None  # it keeps half precision, which the kernel would magnify
    run = make_run(toy_session, labelled, toy_pipeline_dir)
    keys = [(0, 0), (1, 0)]
    run.load(keys)
    prompt = toy_session.prompt("empty", run.backbone)
    with torch.no_grad():
        maps = run.maps(keys, prompt.embeds, None)
    views = [run.variant(k).view for k in keys]
    expected = extractor.compute(views, prompt, extractor.recipe())
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=1e-4)

    parts = {
        DIFFUSION: extractor.extract(views, prompt=prompt, fusion_weight=0.0),
        DESCRIPTOR: extractor.descriptor_maps(views, extractor.backbone.spec.fusion.descriptor),
    }
    points = torch.tensor([[[3.0, 4.0], [6.5, 2.0]]])
    found = run.similarity(maps[:1], maps[1:], keys[:1], keys[1:], points, fused=True)[0]

    def cosines(which: str) -> torch.Tensor:
        chosen = [m.features for m in parts[which]]
        source, target = (torch.nn.functional.normalize(m, dim=0) for m in chosen)
        at = points[0] * (source.shape[-1] - 1) / (maps.shape[-1] - 1)
        x, y = at[:, 0], at[:, 1]
        x0, y0 = x.floor().long(), y.floor().long()
        fx, fy = x - x0, y - y0
        raw = chosen[0]
        query = sum(
            w * raw[:, (y0 + dy).clamp(max=raw.shape[1] - 1), (x0 + dx).clamp(max=raw.shape[2] - 1)]
            for dx, dy, w in (
                (0, 0, (1 - fx) * (1 - fy)),
                (1, 0, fx * (1 - fy)),
                (0, 1, (1 - fx) * fy),
                (1, 1, fx * fy),
            )
        )
        query = torch.nn.functional.normalize(query, dim=0)
        return torch.einsum("cn,chw->nhw", query, target)

    described = torch.exp((cosines(DESCRIPTOR) - 1) / KERNEL)
    assert described.shape[-2:] == found.shape[-2:]
    torch.testing.assert_close(found, 0.6 * cosines(DIFFUSION) + 0.4 * described, atol=1e-4, rtol=0)


def test_every_pair_of_a_step_counts(
    toy_session: EngineSession, toy_pipeline_dir: Path, labelled: tuple[Exemplar, ...], card: BackboneSpec
) -> None:
    run = make_run(toy_session, labelled, toy_pipeline_dir, every_pair=True, both_directions=False, augment=0.0)
    keys = [(0, 0), (1, 0), (2, 0), (3, 0)]
    run.load(keys)
    with torch.no_grad():
        found = float(run._pair_loss([(keys[0], keys[2]), (keys[1], keys[3])]))
        maps = run.maps(keys, run.learner.embeds(run.backbone), None)
        cells, losses = (maps.shape[-1], maps.shape[-2]), []
        for a in range(4):
            for b in range(a + 1, 4):
                (from_xy, shown), (to_xy, seen) = run.points(keys[a], cells), run.points(keys[b], cells)
                xy, to = torch.from_numpy(from_xy)[None], torch.from_numpy(to_xy)[None]
                scores = run.similarity(maps[[a]], maps[[b]], [keys[a]], [keys[b]], xy, fused=False)
                losses.append(cross_entropy_of_maps(scores, to, torch.from_numpy(shown & seen)[None]))
    assert len(losses) == 6
    assert found == pytest.approx(float(torch.stack(losses).mean()), abs=1e-4)


def test_amplified_prompts_are_encoded_precisely(toy_session: EngineSession, toy_pipeline_dir: Path) -> None:
    """In half precision the rounding of the text encoder times the strength would drown what is learned."""
    backbone = toy_session.backbone(str(toy_pipeline_dir))
    request = TuneRequest("t", "cat", SCHEMA, (), "class", str(toy_pipeline_dir), options={"strength": 40.0})
    expected = make_learner(backbone, "class", TuningOptions.from_request(request), category="cat", seed=0)
    assert isinstance(expected, TokenLearner)
    shift = torch.randn(expected.tokens.shape, generator=torch.Generator().manual_seed(0)) * 0.01
    shifted = expected.tokens.detach() + shift
    with torch.no_grad():
        expected.tokens.copy_(shifted)
        wanted = expected.embeds(backbone) - expected.base
    dtype = backbone.dtype
    try:
        backbone.to(backbone.device, torch.bfloat16)
        learner = make_learner(backbone, "class", TuningOptions.from_request(request), category="cat", seed=0)
        assert isinstance(learner, TokenLearner)
        with torch.no_grad():
            learner.tokens.copy_(shifted)
            found = learner.embeds(backbone) - learner.base
    finally:
        backbone.to(backbone.device, dtype)
    assert float((found - wanted).norm() / wanted.norm()) < 0.2


def test_the_soft_figure_sees_what_pck_does_not() -> None:
    near, far = HeldOut((np.array([0.02, 0.11]),)), HeldOut((np.array([0.09, 0.9]),))
    assert near.pck == far.pck == 0.5
    assert near.soft == pytest.approx((1 / 1.04 + 1 / 2.21) / 2)
    assert near.soft > far.soft + 0.4
    nothing = HeldOut((np.zeros(0),))
    assert np.isnan(nothing.pck) and np.isnan(nothing.soft)


def test_average_follows_and_is_put_in_only_for_a_while(
    toy_session: EngineSession, toy_pipeline_dir: Path, labelled: tuple[Exemplar, ...]
) -> None:
    run = make_run(toy_session, labelled, toy_pipeline_dir, average=0.5, batch=1, variants=1)
    seen = []
    for _ in range(3):
        run.step()
        seen.append(run.learner.tokens.detach().clone())
    expected = seen[0]
    for step, tokens in enumerate(seen[1:], start=2):
        decay = min(0.5, step / (step + 9))
        expected = decay * expected + (1 - decay) * tokens
    with run.averaged():
        torch.testing.assert_close(run.learner.tokens.detach(), expected)
    assert torch.equal(run.learner.tokens.detach(), seen[-1])


def test_mirrored_views_of_held_out_photos_trade_left_and_right(
    toy_session: EngineSession, toy_pipeline_dir: Path, labelled: tuple[Exemplar, ...]
) -> None:
    """The keypoints of a view, taken for found, are right: whatever the view, whoever is left."""
    run = make_run(toy_session, labelled, toy_pipeline_dir, augment=1.0)
    flipped = next(v for v in range(1, 8) if run.variant((0, v)).flip)
    for number in (0, flipped):
        key = (0, number)
        run.load([key])
        with torch.no_grad():
            maps = run.maps([key], toy_session.prompt("empty", run.backbone).embeds, run._eval_noise([key]))[0]
        # Matched with itself every point is found where it is, up to half a cell.
        errors = run._errors(maps, maps, key, key, fused=False)
        assert len(errors) == int(run.points(key, (maps.shape[-1], maps.shape[-2]))[1].sum())
        assert float(errors.max()) < 0.12
