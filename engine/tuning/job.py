"""Fine-tune a prompt on accepted instances: the job from request to saved prompt (methods/prompts.md).

Thread: the engine thread. Cancel is honoured before and after every forward pass; what was done stays in the job's
checkpoint. Every weight of the diffusion model is frozen.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kinmark.engine.backbones.memory import is_out_of_memory
from kinmark.engine.backbones.prompt import Prompt
from kinmark.engine.domain.errors import OperationCancelled
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.prompt_card import PromptCard
from kinmark.engine.domain.texts import said
from kinmark.engine.paths import data_dir
from kinmark.engine.prompts.files import make_id, save_prompt
from kinmark.engine.prompts.learners import ConditionalLearner, PromptLearner, TokenLearner
from kinmark.engine.prompts.patches import PatchSource, open_patches
from kinmark.engine.prompts.saved import assemble_prompt
from kinmark.engine.requests import TuneProgress, TuneRequest, TuneResult, exemplar_key
from kinmark.engine.tuning.checkpoint import (
    Best,
    JobState,
    checkpoint_path,
    load_checkpoint,
    save_checkpoint,
    snapshot,
)
from kinmark.engine.tuning.heldout import HeldOut, figures, gain_beyond_noise, intervals
from kinmark.engine.tuning.joint import JointScore
from kinmark.engine.tuning.material import make_material
from kinmark.engine.tuning.options import TuningOptions, default_steps, request_fingerprint
from kinmark.engine.tuning.proposals import ProposalJudge
from kinmark.engine.tuning.run import TuningRun
from kinmark.engine.tuning.start import make_learner

if TYPE_CHECKING:
    from torch import Tensor

    from kinmark.engine.backbones.backbone import Backbone
    from kinmark.engine.session import EngineSession

OnStep = Callable[[TuneProgress], None]
TuneSteps = Generator[TuneProgress, None, TuneResult]
SAVE_EVERY_S = 20.0
"""A program that is killed loses at most so much of a tuning."""


def tune_prompt(
    session: EngineSession,
    request: TuneRequest,
    *,
    on_step: OnStep | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> TuneResult:
    """All steps of `tune_steps` in a row; `on_step` is told each point of the curve."""
    steps = tune_steps(session, request, progress=progress, cancel=cancel)
    while True:
        try:
            point = next(steps)
        except StopIteration as end:
            result: TuneResult = end.value
            return result
        if on_step is not None:
            on_step(point)


def tune_steps(
    session: EngineSession, request: TuneRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> TuneSteps:
    """Tune, measure (the score alone, and what is proposed), and save the prompt if it is better (or if `keep_if_worse`).

    Yields each point of the curve as soon as it is known and returns the result; between two points the session may do
    something else. An unfinished run of the same request in `request.work_dir` is continued; the result is the one it
    would have had. Closing the iterator keeps what was tuned so far, as a cancellation does.

    Raises:
        UserInputError: fewer than three usable instances, unknown options.
        OperationCancelled, OutOfMemoryError, ModelMissingError.
    """
    TuningOptions.from_request(request)  # refuse impossible requests before a model is loaded
    extractor = session.extractor(request.backbone)
    backbone = extractor.backbone
    options = TuningOptions.from_request(request, backbone.spec)
    sizes = [session.source.size_wh(e.image) for e in request.exemplars]
    material = make_material(
        request.exemplars,
        sizes,
        request.schema,
        heldout_share=options.heldout_share,
        seed=request.seed,
        report_images=options.report_images,
    )
    split = material.split
    if request.kind == "conditional" and options.condition == "pair" and not options.sources:
        options = replace(options, sources=3)
    learner, patches = _open_learner(backbone, request, options)
    before_prompt = session.prompt("auto", backbone, request.category)
    judge = ProposalJudge(session, request, material.instances, split, before_prompt)
    with session.guarded():
        if progress is not None:
            progress.start("Preparing the labelled images", 0)
        joint = JointScore(judge.plans(cancel)) if options.through == "proposals" else None
        run = TuningRun(extractor, request, options, material, learner, patches, joint)
        run.fit_joint(before_prompt.embeds, cancel)
        total = _steps(request, len(material.pairs), options)
        before = _Measured(
            run.evaluate(split.report, embeds=before_prompt.embeds, cancel=cancel),
            judge.measure(before_prompt, split.report, cancel) if options.propose else HeldOut(()),
        )
        job = _Job(session, run, judge, request, total, backbone.revision, progress, cancel)
        state = yield from job.train()
        run.learner.load_state_dict(state.best.state)
        after = _Measured(
            run.evaluate(split.report, cancel=cancel),
            judge.measure(present_prompt(run), split.report, cancel) if options.propose else HeldOut(()),
        )
    uses_prompt = not options.propose or any(plan.fusion_weight < 1 for plan in judge.plans().values())
    result = replace(_finish(run, state, before, after, before_prompt.id), uses_prompt=uses_prompt)
    job.forget()
    return result


def _open_learner(
    backbone: Backbone, request: TuneRequest, options: TuningOptions
) -> tuple[PromptLearner, PatchSource | None]:
    """What is learned, on the backbone's device, and the patches that it looks at where it depends on the photo."""
    patches = open_patches(options.patches, backbone) if request.kind == "conditional" else None
    learner = make_learner(
        backbone,
        request.kind,
        options,
        category=request.category,
        seed=request.seed,
        patch_width=patches.width if patches else 0,
    )
    return learner.to(backbone.device), patches


@dataclass(frozen=True)
class _Measured:
    """One prompt on the held-out images: the score alone (published criterion), and what a sweep proposes."""

    score: HeldOut
    proposals: HeldOut


def _steps(request: TuneRequest, pairs: int, options: TuningOptions) -> int:
    if request.steps is not None:
        return max(1, request.steps)
    if request.epochs is not None:
        return max(1, math.ceil(request.epochs * pairs / options.batch))
    return default_steps(pairs, options.batch)


class _Job:
    """Steps, evaluations, early stopping, checkpoints and the memory ladder of one run."""

    def __init__(
        self,
        session: EngineSession,
        run: TuningRun,
        judge: ProposalJudge,
        request: TuneRequest,
        total: int,
        revision: str,
        progress: Progress | None,
        cancel: CancelToken | None,
    ) -> None:
        self.session, self.run, self.judge, self.request, self.total = session, run, judge, request, total
        self.progress, self.cancel = progress, cancel
        self.fingerprint = request_fingerprint(request, run.options, revision)
        self.path = checkpoint_path(request.work_dir, self.fingerprint) if request.work_dir else None

    def train(self) -> Generator[TuneProgress, None, JobState]:
        """Run to the end (or to the early stop), a point of the curve at a time; the state with the best prompt."""
        state = load_checkpoint(self.path, self.fingerprint, self.run) if self.path else None
        if state is None:
            score, pck = self._heldout()
            state = JobState(Best(score, pck, 0, snapshot(self.run)))
        if self.progress is not None:
            self.progress.start("Tuning the prompt", self.total)
            self.progress.step(self.run.done)
        saved = time.monotonic()
        try:
            if self._due(state):
                # Cancelled in the middle of an evaluation: it is made up for before the next step.
                yield self._timed(self._evaluate, state)
            while self.run.done < self.total and state.since < self.run.options.patience:
                yield self._timed(self._advance, state)
                due = self._due(state)
                if due:
                    yield self._timed(self._evaluate, state)
                if due or time.monotonic() - saved > SAVE_EVERY_S:
                    self._save(state)
                    saved = time.monotonic()
        except (OperationCancelled, GeneratorExit):
            # A step that was cancelled has changed nothing: the finished ones are kept for the next start.
            self._save(state)
            raise
        return state

    def _timed(self, work: Callable[[JobState], TuneProgress], state: JobState) -> TuneProgress:
        """One piece of the job; only the time of its own work counts, not what the session does in between."""
        begun = time.monotonic()
        try:
            return work(state)
        finally:
            state.seconds += time.monotonic() - begun

    def _due(self, state: JobState) -> bool:
        done = self.run.done
        return done > state.evaluated and (done % self.run.options.eval_every == 0 or done == self.total)

    def _step(self) -> float:
        while True:
            try:
                return self.run.step(self.cancel)
            except (RuntimeError, MemoryError) as error:
                self._step_down(error)

    def _step_down(self, error: BaseException) -> None:
        """Memory ladder of training: recompute activations, then fewer pairs at a time, then the CPU."""
        run = self.run
        if not is_out_of_memory(error):
            raise error
        if not run.checkpointing and run.options.checkpointing is None:
            run.checkpointing = True
            self._note("Memory is short: activations are computed twice instead of kept.")
        elif run.micro > 1:
            run.micro = (run.micro + 1) // 2
            self._note(f"Memory is short: {run.micro} pair(s) at a time.")
        else:
            device = run.backbone.device
            ladder = self.session.ladder(self.request.backbone)
            ladder.batch = 1
            ladder.step_down(error, progress=self.progress)
            if run.backbone.device != device:
                run.learner.to(run.backbone.device)
                _move_adam(run)

    def _note(self, text: str) -> None:
        if self.progress is not None:
            self.progress.note(text)

    def _heldout(self) -> tuple[float, float]:
        """(what the best step is chosen by, PCK@0.1) now."""
        options, select = self.run.options, self.run.split.select
        if options.select_by == "proposals":
            found = self.judge.measure(present_prompt(self.run), select, self.cancel)
        else:
            found = self.run.evaluate(select, views=options.select_views, cancel=self.cancel)
        return (found.pck if options.select_by == "pck" else found.soft), found.pck

    def _advance(self, state: JobState) -> TuneProgress:
        """One step and its point of the curve."""
        loss = self._step()
        state.curve.append(TuneProgress(self.run.done, self.total, loss))
        if self.progress is not None:
            self.progress.step(
                note=said("loss {0}, held-out PCK@0.1 {1}", f"{loss:.3f}", f"{100 * state.best.pck:.1f}")
            )
        return state.curve[-1]

    def _evaluate(self, state: JobState) -> TuneProgress:
        """Held-out PCK now; remembers the best prompt and how long ago it was."""
        with self.run.averaged():
            score, pck = self._heldout()
            state.evaluated = self.run.done
            if score > state.best.score or math.isnan(state.best.score):
                state.best, state.since = Best(score, pck, self.run.done, snapshot(self.run)), 0
            else:
                state.since += 1
        loss = state.curve.pop().loss if state.curve else math.nan
        state.curve.append(TuneProgress(self.run.done, self.total, loss, pck))
        return state.curve[-1]

    def _save(self, state: JobState) -> None:
        if self.path is not None:
            save_checkpoint(self.path, self.fingerprint, self.run, state)

    def forget(self) -> None:
        """Remove the checkpoint of a finished job."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _move_adam(run: TuningRun) -> None:
    for parameter, moments in run.adam.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            moments[name] = moments[name].to(parameter.device)


def _finish(run: TuningRun, state: JobState, before: _Measured, after: _Measured, before_id: str) -> TuneResult:
    request, bounds = run.request, intervals(before.score, after.score)
    better = is_better(run.options, before, after)
    keep = better or request.keep_if_worse
    folder: Path | None = None
    if keep:
        tensors = final_tensors(run)
        card = make_card(run, state, before, after, before_id)
        folder = save_prompt(request.out_dir or data_dir() / "prompts", card, tensors)
    return TuneResult(
        request_id=request.request_id,
        prompt_id=f"prompt:{folder.name}" if folder else "",
        folder=folder,
        before=before.score.pck,
        after=after.score.pck,
        before_interval=bounds["before"],
        after_interval=bounds["after"],
        kept=keep,
        steps=run.done,
        seconds=state.seconds,
        curve=tuple(state.curve),
        proposals=figures(before.proposals, after.proposals),
        better=better,
    )


def is_better(options: TuningOptions, before: _Measured, after: _Measured) -> bool:
    """Whether the figure that decides rose: of the proposals beyond noise, or (`keep_by` "score") at all, as published.

    Without a held-out figure (no shared visible keypoint there) nothing says that it is better.
    """
    if options.keep_by == "score":
        return after.score.pck - before.score.pck > options.min_gain
    return gain_beyond_noise(before.proposals, after.proposals, options.keep_errors) > options.min_gain


def present_prompt(run: TuningRun) -> Prompt:
    """What the learner holds now, exactly as it would be loaded after being saved."""
    return assemble_prompt(_draft_card(run), final_tensors(run), run.backbone)


def final_tensors(run: TuningRun) -> dict[str, Tensor]:
    """What is saved: learned parameters, and for prompts that do not depend on images the ready hidden states."""
    import torch

    learner: PromptLearner = run.learner
    tensors = snapshot(run)
    if not learner.conditional:
        with torch.no_grad():
            tensors["embeds"] = learner.embeds(run.backbone).float().cpu()
    return tensors


def _draft_card(run: TuningRun) -> PromptCard:
    """What says how to use the prompt; the id comes from its weights."""
    request, spec, patches = run.request, run.backbone.spec, run.patch_source
    tokens = run.learner.tokens.shape[1] if isinstance(run.learner, TokenLearner) else run.backbone.prompt_tokens
    module = run.learner.module.config.to_dict() if isinstance(run.learner, ConditionalLearner) else {}
    return PromptCard(
        id=make_id(request.kind, request.category, final_tensors(run)),
        kind=request.kind,
        backbone=spec.id,
        revision=run.backbone.revision,
        category="" if request.kind == "single" else request.category,
        tokens=int(tokens),
        width=run.backbone.text_dim,
        timestep=run.recipe.timestep,
        up_block=run.recipe.up_block,
        input_wh=spec.input_wh,
        module=module,
        patches=patches.name if patches else "",
        settings={
            "strength": run.options.strength,
            "direct": run.options.direct,
            "patch_option": run.options.patches,
        },
    )


def make_card(run: TuningRun, state: JobState, before: _Measured, after: _Measured, before_id: str) -> PromptCard:
    """The card of a tuned prompt."""
    request, bounds = run.request, intervals(before.score, after.score)
    keys = [run.instances[i].key for i in range(len(run.instances))]
    material = [exemplar_key(run.instances[i].exemplar) for i in run.split.train]
    draft = _draft_card(run)
    return replace(
        draft,
        source=f"tuned on {len(run.split.train)} instances of {request.category or 'all categories'}",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        pairs=tuple((keys[i], keys[j]) for i, j in run.pairs[:2000]),
        pairs_hash=hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest(),
        images=tuple(dict.fromkeys(run.instances[i].exemplar.image.image_id for i in run.split.train)),
        before=before.score.pck,
        after=after.score.pck,
        before_interval=bounds["before"],
        after_interval=bounds["after"],
        proposals=asdict(figures(before.proposals, after.proposals)),
        heldout=run.split.note,
        steps=state.best.step,
        seconds=round(state.seconds, 1),
        seed=request.seed,
        settings={
            **draft.settings,
            "before_prompt": before_id,
            "better": is_better(run.options, before, after),
            "keep_by": run.options.keep_by,
            "gain_interval": list(bounds["gain"]),
            "heldout_images": [run.instances[i].exemplar.image.image_id for i in run.split.report],
            "crop": run.crop,
            "options": run.options.to_dict(),
        },
    )
