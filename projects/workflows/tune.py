"""Tune a prompt on what was accepted, keep it if it is better, propose again what is pending.

One way for the command line and the window: the window takes one step of a `Tuning` after the other, `tune()` all in a row.
The prompt's files are written by the engine into the project's `prompts/`; an interrupted job continues from there. Nothing
in the database changes before the new proposals come.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    Engine,
    Exemplar,
    TuneProgress,
    TuneRequest,
    TuneResult,
    open_prompts,
)
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.prompt_card import PromptCard
from kinmark.engine.domain.texts import said
from kinmark.projects.project import Project
from kinmark.projects.store.rows import CategoryRow
from kinmark.projects.workflows.batches import OnStored
from kinmark.projects.workflows.kept import KeptJob, forget, keep, note_progress
from kinmark.projects.workflows.propose import CategoryOutcome, ProposeSweep
from kinmark.projects.workflows.propose_options import ProposeOptions
from kinmark.projects.workflows.propose_plan import collection_of, exemplars_of

MIN_INSTANCES = 3
NOTE_EVERY_S = 0.5
"""How far a kept tuning has come is noted so often; the steps themselves are in the engine's checkpoint."""
KINDS = ("class", "single", "hidden", "conditional")


@dataclass(frozen=True)
class TuneOptions:
    """What a person may ask for.

    Attributes:
        category: by name; "" = the only one with labels (kind "single": all of them together).
        kind: "class", "single", "hidden" or "conditional".
        steps, epochs: how long; None = by the number of pairs, with early stopping.
        keep_if_worse: keep the prompt even if the held-out figure did not rise.
        propose_again: replace pending proposals of the category by ones made with the new prompt.
        settings: further tuning options by name (see `docs/guide/tuning.md`).
        undecided: a person decides afterwards (`keep`, `discard`); until then "auto" does not take the prompt.
    """

    category: str = ""
    kind: str = "class"
    backbone: str = DEFAULT_BACKBONE
    steps: int | None = None
    epochs: int | None = None
    seed: int = 0
    keep_if_worse: bool = False
    propose_again: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    undecided: bool = False


@dataclass(frozen=True)
class TuneOutcome:
    """What came out: the engine's result, the new prompt's card (None when discarded) and what was proposed again."""

    result: TuneResult
    category: str
    exemplars: int
    card: dict[str, Any] | None
    proposed: tuple[CategoryOutcome, ...] = ()


class Tuning:
    """Tuning step by step, so that a window lets urgent work in between; its thread owns it.

    Attributes:
        outcome: what came out, when `left` is False.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        options: TuneOptions | None = None,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
        on_stored: OnStored | None = None,
    ) -> None:
        """Nothing is computed yet.

        Raises:
            UserInputError: fewer than three labelled instances, unknown category or option.
        """
        self.options = options or TuneOptions()
        self.outcome: TuneOutcome | None = None
        self._project, self._engine, self._on_stored = project, engine, on_stored
        self._progress, self._cancel = progress or Progress(), cancel or CancelToken()
        self._categories = _categories(project, self.options)
        request = _request(project, self.options, self._categories)
        self._exemplars = len(request.exemplars)
        self._points = engine.tune_steps(request, progress=self._progress, cancel=self._cancel)
        self._proposing: list[ProposeSweep] | None = None
        self._kept = ""
        self._noted = 0.0

    @property
    def left(self) -> bool:
        """Whether a further step is needed."""
        return self.outcome is None

    def keep(self, job_id: str) -> None:
        """Note the tuning in the project, so that it can go on after the window was closed in the middle of it."""
        job = KeptJob("tune", self.options.category, asdict(self.options), total=self.options.steps or 0, id=job_id)
        self._kept = job_id
        keep(self._project, job)

    def step(self) -> TuneProgress | None:
        """The next point of the curve, or one photo of what is proposed again: None.

        Raises:
            OperationCancelled: what was tuned so far is kept and continued next time.
        """
        if self._proposing is not None:
            self._propose()
            return None
        try:
            point = next(self._points)
        except StopIteration as end:
            self._tuned(end.value)
            return None
        if time.monotonic() - self._noted > NOTE_EVERY_S:
            self._noted = time.monotonic()
            note_progress(self._project, self._kept, point.step, total=point.steps)
        return point

    def close(self) -> None:
        """Stop here; what was tuned so far is kept and continued next time."""
        self._points.close()

    def _tuned(self, result: TuneResult) -> None:
        forget(self._project, self._kept)
        library = open_prompts((self._project.prompts_dir,))
        if result.kept and self.options.undecided:
            library.decide(result.prompt_id, False)
        card = asdict(library.find(result.prompt_id).card) if result.kept else None
        self._result = TuneOutcome(
            result, self._categories[0].name if len(self._categories) == 1 else "", self._exemplars, card
        )
        self._proposing = []
        if result.kept and self.options.propose_again:
            self._proposing = again(
                self._project,
                self._engine,
                self._categories,
                self.options.backbone,
                result.prompt_id,
                progress=self._progress,
                cancel=self._cancel,
                on_stored=self._on_stored,
            )
        self._propose()

    def _propose(self) -> None:
        sweep = next((sweep for sweep in self._proposing or () if sweep.left), None)
        if sweep is not None:
            sweep.step(1)
        else:
            proposed = tuple(outcome for done in self._proposing or () for outcome in done.outcomes)
            self.outcome = replace(self._result, proposed=proposed)


def _request(project: Project, options: TuneOptions, categories: Sequence[CategoryRow]) -> TuneRequest:
    exemplars, schema = _material(project, categories)
    name = categories[0].name if len(categories) == 1 else ""
    if len(exemplars) < MIN_INSTANCES:
        raise UserInputError(
            said(
                "Tuning needs at least {0} accepted instances with keypoints; {1} has {2}.",
                MIN_INSTANCES,
                name or "the project",
                len(exemplars),
            ),
            "Label or accept some more, then tune again.",
        )
    settings = dict(options.settings)
    settings.setdefault("report_images", test_images(project))
    return TuneRequest(
        request_id=uuid.uuid4().hex,
        category=name,
        schema=schema,
        exemplars=exemplars,
        kind=options.kind,
        backbone=options.backbone,
        steps=options.steps,
        epochs=options.epochs,
        seed=options.seed,
        out_dir=project.prompts_dir,
        work_dir=work_dir(project),
        keep_if_worse=options.keep_if_worse,
        options=settings,
        collection=tuple(dict.fromkeys(i for c in categories for i in collection_of(project, c, ""))),
    )


def tune(
    project: Project,
    engine: Engine,
    options: TuneOptions | None = None,
    *,
    on_step: Callable[[TuneProgress], None] | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_stored: OnStored | None = None,
) -> TuneOutcome:
    """Tune, and propose again what is pending (only if the prompt was kept and is one that "auto" takes).

    All steps of a `Tuning` in a row.

    Raises:
        UserInputError: fewer than three labelled instances, unknown category or option.
        OperationCancelled: what was tuned so far is kept and continued next time.
    """
    tuning = Tuning(project, engine, options, progress=progress, cancel=cancel, on_stored=on_stored)
    try:
        while tuning.outcome is None:
            point = tuning.step()
            if point is not None and on_step is not None:
                on_step(point)
    finally:
        tuning.close()
    return tuning.outcome


def options_of(kept: KeptJob) -> TuneOptions:
    """What a tuning that was cut off was asked for."""
    return TuneOptions(**kept.asked)


def test_images(project: Project) -> tuple[str, ...]:
    """Photos of the project's test split: they measure and never teach."""
    return tuple(str(image) for image, split in sorted(project.queries.splits().items()) if split == "test")


def work_dir(project: Project) -> Path:
    """Where unfinished jobs of the project lie."""
    return project.prompts_dir / ".unfinished"


def pending_images(project: Project, category: CategoryRow) -> tuple[int, ...]:
    """Photos with pending keypoint proposals of the category, in the order in which they were proposed."""
    proposals = project.queries.proposals(category_id=category.id, kind="keypoints")
    return tuple(dict.fromkeys(p.image_id for p in proposals))


def again(
    project: Project,
    engine: Engine,
    categories: Sequence[CategoryRow],
    backbone: str,
    prompt_id: str,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_stored: OnStored | None = None,
) -> list[ProposeSweep]:
    """One sweep per category that replaces its pending proposals by ones made with a prompt."""
    sweeps = []
    for category in categories:
        pending = pending_images(project, category)
        if pending:
            options = ProposeOptions(
                category=category.name,
                backbone=backbone,
                prompt=prompt_id,
                image_ids=pending,
                step_name=said("Propose {name} with the tuned prompt", name=category.name),
            )
            sweeps.append(ProposeSweep(project, engine, options, progress=progress, cancel=cancel, on_stored=on_stored))
    return sweeps


def undecided_prompt(project: Project, backbone: str, category: str) -> PromptCard | None:
    """The newest prompt of the category (or of all together) that waits for a person's decision."""
    found = open_prompts((project.prompts_dir,)).undecided(backbone, category)
    return found.card if found is not None else None


def keep_prompt(project: Project, prompt_id: str) -> None:
    """A person's decision for a prompt: "auto" takes it from now on, whatever the measured gain."""
    open_prompts((project.prompts_dir,)).decide(prompt_id, True)


def keep_and_propose_again(
    project: Project,
    engine: Engine,
    prompt_id: str,
    *,
    category: str = "",
    backbone: str = DEFAULT_BACKBONE,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> list[ProposeSweep]:
    """`keep_prompt`, then sweeps over what is pending: of the category, or ("") of every category with labels."""
    keep_prompt(project, prompt_id)
    categories = _categories(project, TuneOptions(category=category, kind="class" if category else "single"))
    return again(project, engine, categories, backbone, prompt_id, progress=progress, cancel=cancel)


def discard(project: Project, prompt_id: str) -> None:
    """Delete a prompt of the project (the window's "discard"); pending proposals stay until proposed again."""
    open_prompts((project.prompts_dir,)).delete(prompt_id)


def _categories(project: Project, options: TuneOptions) -> tuple[CategoryRow, ...]:
    if options.kind not in KINDS:
        raise UserInputError(
            said("'{0}' is no kind of prompt.", options.kind), said("Use one of: {0}.", ", ".join(KINDS))
        )
    if options.category:
        return (project.queries.require_category(options.category),)
    counts = {c.id: len(project.queries.exemplar_instances(c.id)) for c in project.queries.categories()}
    labelled = tuple(c for c in project.queries.categories() if counts[c.id] and c.definitions)
    if not labelled:
        raise UserInputError(
            "No photo is labelled yet, so there is nothing to tune on.", "Label some photos, or import labels."
        )
    if len(labelled) > 1 and options.kind != "single":
        names = ", ".join(c.name for c in labelled)
        raise UserInputError(
            said("Which category is meant is not said; labelled are: {0}.", names), "Add --category NAME."
        )
    return labelled


def _material(project: Project, categories: Sequence[CategoryRow]) -> tuple[tuple[Exemplar, ...], KeypointSchema]:
    """Exemplars and schema; several categories share one schema side by side, so that only like meets like."""
    if len(categories) == 1:
        return exemplars_of(project, categories[0]), categories[0].schema
    names: list[str] = []
    pairs: list[tuple[int, int]] = []
    offsets = []
    for category in categories:
        offset = len(names)
        offsets.append(offset)
        names += [f"{category.name}/{name}" for name in category.schema.names]
        pairs += [(a + offset, b + offset) for a, b in category.schema.pairs]
    found: list[Exemplar] = []
    for category, offset in zip(categories, offsets, strict=True):
        for exemplar in exemplars_of(project, category):
            found.append(replace(exemplar, keypoints=_shifted(exemplar.keypoints, offset, len(names))))
    return tuple(found), KeypointSchema(tuple(names), pairs=tuple(pairs))


def _shifted(keypoints: InstanceKeypoints, offset: int, total: int) -> InstanceKeypoints:
    xy, visibility = np.full((total, 2), np.nan), np.zeros(total, dtype=np.int64)
    count = len(keypoints.visibility)
    xy[offset : offset + count] = keypoints.xy_image
    visibility[offset : offset + count] = keypoints.visibility
    # The box stays that of the instance: without one it is taken from its own keypoints alone.
    return InstanceKeypoints(xy, visibility, keypoints.box)
