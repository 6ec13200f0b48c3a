"""Tuning end to end on the toy pipeline: every kind learns, resumes bit-equal, cancels, survives a lack of memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.api import Exemplar, TuneProgress, TuneRequest
from kinmark.engine.domain.errors import OperationCancelled, OutOfMemoryError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.prompts.files import read_card, read_tensors
from kinmark.engine.session import EngineSession
from kinmark.engine.tuning import run as tuning_run
from kinmark.engine.tuning.job import tune_prompt, tune_steps
from kinmark.engine.tuning.options import TuningOptions
from kinmark.engine.tuning.start import make_learner
from tests.support.labelled import SCHEMA

OPTIONS = {"view": "whole", "eval_every": 3, "batch": 2, "variants": 3}


@pytest.fixture
def request_(labelled: tuple[Exemplar, ...], toy_pipeline_dir: Path, tmp_path: Path) -> TuneRequest:
    return TuneRequest(
        request_id="t1",
        category="cat",
        schema=SCHEMA,
        exemplars=labelled,
        kind="class",
        backbone=str(toy_pipeline_dir),
        steps=7,
        out_dir=tmp_path / "prompts",
        work_dir=tmp_path / "work",
        keep_if_worse=True,
        options=OPTIONS,
    )


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("single", {"tokens": 5}),
        ("class", {}),
        ("hidden", {}),
        ("conditional", {"condition": "pair"}),
        ("conditional", {"condition": "image"}),
    ],
)
def test_every_kind_learns_and_is_saved(
    toy_session: EngineSession, request_: TuneRequest, kind: str, extra: dict
) -> None:
    steps: list[TuneProgress] = []
    progress = Progress()
    request = replace(request_, kind=kind, options={**OPTIONS, **extra})
    result = tune_prompt(toy_session, request, on_step=steps.append, progress=progress)
    assert result.kept and result.steps == 7 and result.folder is not None
    assert 0 <= result.before <= 1 and result.after_interval[0] <= result.after <= result.after_interval[1]
    assert [p.step for p in result.curve] == list(range(1, 8))
    assert [p.step for p in result.curve if np.isfinite(p.heldout_pck)] == [3, 6, 7]
    card = read_card(result.folder)
    assert (card.kind, card.revision) == (kind, toy_session.backbone(request.backbone).revision)
    assert card.pairs and len(card.pairs_hash) == 64 and "held-out" in card.heldout
    assert set(card.images).isdisjoint(card.settings["heldout_images"])
    tensors = read_tensors(result.folder)
    assert ("embeds" in tensors) == (kind != "conditional")
    assert not list(request.work_dir.glob("*"))
    assert progress.snapshot().done == 7


def test_loss_falls_with_more_steps(toy_session: EngineSession, request_: TuneRequest) -> None:
    request = replace(request_, steps=40, options={**OPTIONS, "eval_every": 40, "augment": 0.0, "variants": 1})
    losses = [p.loss for p in tune_prompt(toy_session, request).curve]
    assert np.mean(losses[-8:]) < np.mean(losses[:8])


def _weights(session: EngineSession, request: TuneRequest) -> dict[str, torch.Tensor]:
    folder = tune_prompt(session, request).folder
    assert folder is not None
    return read_tensors(folder)


BY_PROPOSALS = {"through": "proposals", "select_by": "proposals", "every_pair": True}


@pytest.mark.parametrize(("stop_at", "extra"), [(2, {}), (3, {}), (5, {}), (2, BY_PROPOSALS), (5, BY_PROPOSALS)])
def test_an_interrupted_job_ends_as_if_it_had_not_been(
    toy_session: EngineSession, request_: TuneRequest, tmp_path: Path, stop_at: int, extra: dict
) -> None:
    options = {**OPTIONS, "tokens": 4, **extra}
    whole = _weights(toy_session, replace(request_, work_dir=tmp_path / "whole", options=options))
    request = replace(request_, options=options)
    token = CancelToken()
    with pytest.raises(OperationCancelled):
        tune_prompt(toy_session, request, cancel=token, on_step=lambda p: token.cancel() if p.step == stop_at else None)
    assert len(list(request.work_dir.glob("*.safetensors"))) == 1
    seen: list[int] = []
    result = tune_prompt(toy_session, request, on_step=lambda p: seen.append(p.step))
    assert seen[0] == stop_at + 1 or stop_at % 3 == 0
    continued = read_tensors(result.folder)
    assert whole.keys() == continued.keys()
    assert all(torch.equal(whole[k], continued[k]) for k in whole)


def test_a_killed_process_continues_from_its_last_checkpoint(
    toy_session: EngineSession, request_: TuneRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL: nothing is caught, nothing is saved on the way out."""

    def kill(point: TuneProgress) -> None:
        if point.step == 5:
            monkeypatch.setattr("kinmark.engine.tuning.job.save_checkpoint", lambda *_: None)
            raise Killed

    whole = _weights(toy_session, replace(request_, work_dir=tmp_path / "whole"))
    with pytest.raises(Killed):
        tune_prompt(toy_session, request_, on_step=kill)
    monkeypatch.undo()
    seen: list[int] = []
    result = tune_prompt(toy_session, request_, on_step=lambda p: seen.append(p.step))
    assert seen[0] == 4
    continued = read_tensors(result.folder)
    assert all(torch.equal(whole[k], continued[k]) for k in whole)


def test_steps_that_are_closed_keep_what_was_tuned(
    toy_session: EngineSession, request_: TuneRequest, tmp_path: Path
) -> None:
    whole = _weights(toy_session, replace(request_, work_dir=tmp_path / "whole"))
    steps = tune_steps(toy_session, request_)
    while next(steps).step < 5:
        pass
    steps.close()
    seen: list[int] = []
    result = tune_prompt(toy_session, request_, on_step=lambda p: seen.append(p.step))
    assert seen[0] == 6
    continued = read_tensors(result.folder)
    assert all(torch.equal(whole[k], continued[k]) for k in whole)


def test_a_checkpoint_of_another_job_or_a_damaged_one_is_not_used(
    toy_session: EngineSession, request_: TuneRequest
) -> None:
    token = CancelToken()
    with pytest.raises(OperationCancelled):
        tune_prompt(toy_session, request_, cancel=token, on_step=lambda p: token.cancel() if p.step == 4 else None)
    seen: list[int] = []
    tune_prompt(toy_session, replace(request_, seed=1), on_step=lambda p: seen.append(p.step))
    assert seen[0] == 1
    (checkpoint,) = request_.work_dir.glob("*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:200])
    seen.clear()
    tune_prompt(toy_session, request_, on_step=lambda p: seen.append(p.step))
    assert seen[0] == 1


def test_cancel_comes_within_a_step(toy_session: EngineSession, request_: TuneRequest, monkeypatch) -> None:
    token = CancelToken()
    calls = 0
    original = tuning_run.TuningRun.maps

    def counting(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if torch.is_grad_enabled():
            token.cancel()
        return original(self, *args, **kwargs)

    monkeypatch.setattr(tuning_run.TuningRun, "maps", counting)
    with pytest.raises(OperationCancelled):
        tune_prompt(toy_session, request_, cancel=token)
    after_cancel = calls
    assert after_cancel <= 6  # evaluations before and at step 0, then the one training forward that asked for it


def test_memory_ladder_keeps_the_result(toy_session: EngineSession, request_: TuneRequest, monkeypatch) -> None:
    request = replace(request_, options={**OPTIONS, "tokens": 4})
    expected = _weights(toy_session, request)
    original = tuning_run.TuningRun._pair_loss
    failures = iter([torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])

    def failing(self, pairs):
        error = next(failures, None)
        if error is not None:
            raise error
        return original(self, pairs)

    monkeypatch.setattr(tuning_run.TuningRun, "_pair_loss", failing)
    progress = Progress()
    folder = tune_prompt(toy_session, request, progress=progress).folder
    found = read_tensors(folder)
    # Fewer pairs at a time add up in another order: equal up to rounding, which Adam's first steps may amplify.
    assert (found["tokens"] - expected["tokens"]).abs().mean() < 1e-3


def test_memory_that_is_never_enough_is_an_error_for_people(
    toy_session: EngineSession, request_: TuneRequest, monkeypatch
) -> None:
    def fail(self, pairs):
        raise MemoryError

    monkeypatch.setattr(tuning_run.TuningRun, "_pair_loss", fail)
    with pytest.raises(OutOfMemoryError, match="not enough memory"):
        tune_prompt(toy_session, request_)


def test_a_worse_prompt_is_discarded(toy_session: EngineSession, request_: TuneRequest) -> None:
    request = replace(request_, steps=1, keep_if_worse=False, options={**OPTIONS, "min_gain": 2.0})
    result = tune_prompt(toy_session, request)
    assert not result.kept and result.prompt_id == "" and result.folder is None
    assert not list((request.out_dir).glob("*")) if request.out_dir.exists() else True


def test_too_little_material_is_refused(toy_session: EngineSession, request_: TuneRequest) -> None:
    with pytest.raises(UserInputError, match="at least 3"):
        tune_prompt(toy_session, replace(request_, exemplars=request_.exemplars[:2]))
    one_photo = tuple(replace(e, image=request_.exemplars[0].image) for e in request_.exemplars)
    with pytest.raises(UserInputError, match="on different photos"):
        tune_prompt(toy_session, replace(request_, exemplars=one_photo))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "magic"}, "no kind of prompt"),
        ({"options": {"learning_rate": 1}}, "no tuning option"),
        ({"options": {"batch": 0}}, "out of range"),
        ({"options": {"init": "zeros"}}, "no initial value"),
        ({"kind": "conditional", "options": {"patches": "vgg"}}, "no source of patch features"),
    ],
)
def test_impossible_requests(toy_session: EngineSession, request_: TuneRequest, change: dict, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        tune_prompt(toy_session, replace(request_, **change))


@pytest.fixture
def tuned_session(toy_session: EngineSession, request_: TuneRequest) -> EngineSession:
    toy_session.config = replace(toy_session.config, prompt_dirs=(request_.out_dir,))
    return toy_session


def test_a_kept_prompt_changes_the_features_and_is_what_auto_takes(
    tuned_session: EngineSession, request_: TuneRequest
) -> None:
    session, backbone = tuned_session, tuned_session.backbone(request_.backbone)
    extractor = session.extractor(request_.backbone)
    views = [session.whole_view(request_.exemplars[0].image, request_.backbone)]
    plain = extractor.extract(views, prompt=session.prompt("auto", backbone, "cat"))[0]
    result = tune_prompt(session, replace(request_, options={**OPTIONS, "lr": 0.1}))
    prompt = session.prompt(result.prompt_id, backbone)
    tuned = extractor.extract(views, prompt=prompt)[0]
    assert tuned.spec.prompt == result.prompt_id and tuned.spec.fingerprint() != plain.spec.fingerprint()
    assert (tuned.features - plain.features).abs().max() > 1e-3
    taken = session.prompt("auto", backbone, "cat").id
    assert taken == (result.prompt_id if result.better else "text:a photo of a cat")


@pytest.mark.parametrize("condition", ["image", "pair"])
def test_features_under_a_conditional_prompt(
    tuned_session: EngineSession, request_: TuneRequest, condition: str
) -> None:
    request = replace(request_, kind="conditional", options={**OPTIONS, "condition": condition})
    result = tune_prompt(tuned_session, request)
    backbone, extractor = tuned_session.backbone(request.backbone), tuned_session.extractor(request.backbone)
    prompt = tuned_session.prompt(result.prompt_id, backbone)
    views = [tuned_session.whole_view(e.image, request.backbone) for e in request.exemplars[:2]]
    if condition == "pair":
        with pytest.raises(UserInputError, match="pairs of images"):
            extractor.extract(views, prompt=prompt)
        source, target = extractor.pixels(views)
        prompt = prompt.for_images(source, target)
    together = extractor.extract(views, prompt=prompt)
    alone = extractor.extract(views[1:], prompt=prompt)[0]
    torch.testing.assert_close(together[1].features, alone.features, atol=1e-2, rtol=1e-2)
    assert torch.isfinite(together[0].features).all()


@pytest.mark.parametrize("kind", ["class", "conditional"])
def test_strength_amplifies_what_is_learned_and_starts_at_the_text(
    tuned_session: EngineSession, request_: TuneRequest, kind: str
) -> None:
    """With any strength the start is the card's text; afterwards the difference to it counts that many times."""
    options = {**OPTIONS, "strength": 8.0, "condition": "image"}
    folder = tune_prompt(tuned_session, replace(request_, kind=kind, steps=2, options=options)).folder
    backbone = tuned_session.backbone(request_.backbone)
    tensors, card = read_tensors(folder), read_card(folder)
    text = backbone.encode_text(["a photo of a cat"])
    assert card.settings["strength"] == 8.0
    torch.testing.assert_close(tensors["base"], text)
    if kind == "class":
        from kinmark.engine.prompts.sequence import sequence_frame

        plain = backbone.encode_tokens(sequence_frame(backbone).assemble(tensors["tokens"]))
        torch.testing.assert_close(tensors["embeds"], text + 8 * (plain - text), atol=1e-4, rtol=1e-4)
    else:
        prompt = tuned_session.prompt(f"prompt:{folder.name}", backbone)
        picture = np.zeros((64, 64, 3), np.uint8)
        assert torch.isfinite(prompt.for_images(picture).embeds).all()


def test_a_backbone_may_bring_its_own_settings(toy_session: EngineSession, request_: TuneRequest) -> None:
    spec = toy_session.backbone(request_.backbone).spec
    suited = replace(spec, extra={"tuning": {"class": {"lr": 0.5, "strength": 3.0}}})
    options = TuningOptions.from_request(replace(request_, options={"lr": 0.2}), suited)
    assert (options.lr, options.strength) == (0.2, 3.0)
    embedded = replace(spec, id="embedded")
    assert TuningOptions.from_request(replace(request_, kind="hidden"), embedded).lr == 0.3
    assert TuningOptions.from_request(request_, embedded).direct


@pytest.mark.parametrize(("kind", "extra"), [("class", {}), ("conditional", {"condition": "image", "strength": 30.0})])
def test_the_direct_variant_starts_at_the_text_and_is_used_as_it_was_learned(
    tuned_session: EngineSession, request_: TuneRequest, kind: str, extra: dict
) -> None:
    options = {**OPTIONS, **extra, "direct": True, "every_pair": True}
    backbone = tuned_session.backbone(request_.backbone)
    request = replace(request_, kind=kind, steps=3, options=options)
    settings = TuningOptions.from_request(request)
    text = backbone.encode_text(["a photo of a cat"])
    learner = make_learner(backbone, kind, settings, category="cat", seed=0, patch_width=8)
    patches = torch.randn((1, 256, 8), generator=torch.Generator().manual_seed(0))
    start = learner.embeds(backbone, patches)
    assert float((start - text).abs().max().detach()) < 1e-5
    folder = tune_prompt(tuned_session, request).folder
    tensors, card = read_tensors(folder), read_card(folder)
    assert card.settings["direct"] is True
    prompt = tuned_session.prompt(f"prompt:{folder.name}", backbone)
    if kind == "class":
        torch.testing.assert_close(tensors["embeds"][:, 1:76], text[:, 1:76] + tensors["tokens"])
        torch.testing.assert_close(prompt.embeds.float(), tensors["embeds"])
    else:
        made = prompt.for_images(np.zeros((64, 64, 3), np.uint8)).embeds
        assert float((made - text).abs().max()) > 1e-3


def test_the_average_is_kept_and_survives_an_interruption(
    toy_session: EngineSession, request_: TuneRequest, tmp_path: Path
) -> None:
    options = {**OPTIONS, "tokens": 4, "average": 0.9, "select_views": 2}
    request = replace(request_, options=options)
    plain = _weights(toy_session, replace(request_, work_dir=tmp_path / "plain", options={**OPTIONS, "tokens": 4}))
    whole = _weights(toy_session, replace(request, work_dir=tmp_path / "whole"))
    token = CancelToken()
    with pytest.raises(OperationCancelled):
        tune_prompt(toy_session, request, cancel=token, on_step=lambda p: token.cancel() if p.step == 5 else None)
    continued = _weights(toy_session, request)
    assert all(torch.equal(whole[k], continued[k]) for k in whole)
    assert not torch.equal(plain["tokens"], whole["tokens"])
