"""Tune a prompt on what was accepted, keep it if it is better, propose again what is pending.

One way for the command line and the window. The prompt's files are written by the engine into the project's `prompts/`;
an interrupted job continues from there. Nothing in the database changes before the new proposals come.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.api import (
    DEFAULT_BACKBONE,
    Engine,
    Exemplar,
    TuneProgress,
    TuneRequest,
    TuneResult,
    open_prompts,
)
from engine.domain.errors import UserInputError
from engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from engine.domain.progress import CancelToken, Progress
from engine.domain.prompt_card import PromptCard
from projects.project import Project
from projects.store.rows import CategoryRow
from projects.workflows.propose import CategoryOutcome, ProposeOptions, collection_of, exemplars_of, propose

MIN_INSTANCES = 3
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


def tune(
    project: Project,
    engine: Engine,
    options: TuneOptions | None = None,
    *,
    on_step: Callable[[TuneProgress], None] | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_stored: Callable[[frozenset[int]], None] | None = None,
) -> TuneOutcome:
    """Tune, and propose again what is pending (only if the prompt was kept and is one that "auto" takes).

    Raises:
        UserInputError: fewer than three labelled instances, unknown category or option.
        OperationCancelled: what was tuned so far is kept and continued next time.
    """
    options = options or TuneOptions()
    categories = _categories(project, options)
    exemplars, schema = _material(project, categories)
    name = categories[0].name if len(categories) == 1 else ""
    if len(exemplars) < MIN_INSTANCES:
        raise UserInputError(
            f"Tuning needs at least {MIN_INSTANCES} accepted instances with keypoints; "
            f"{name or 'the project'} has {len(exemplars)}.",
            "Label or accept some more, then tune again.",
        )
    settings = dict(options.settings)
    settings.setdefault("report_images", test_images(project))
    request = TuneRequest(
        request_id=uuid.uuid4().hex, category=name, schema=schema, exemplars=exemplars, kind=options.kind,
        backbone=options.backbone, steps=options.steps, epochs=options.epochs, seed=options.seed,
        out_dir=project.prompts_dir, work_dir=work_dir(project), keep_if_worse=options.keep_if_worse,
        options=settings, collection=tuple(dict.fromkeys(i for c in categories for i in collection_of(project, c, ""))),
    )  # fmt: skip
    result = engine.tune_prompt(request, on_step=on_step, progress=progress, cancel=cancel)
    library = open_prompts((project.prompts_dir,))
    if result.kept and options.undecided:
        library.decide(result.prompt_id, False)
    card = asdict(library.find(result.prompt_id).card) if result.kept else None
    outcome = TuneOutcome(result, name, len(exemplars), card)
    if not (result.kept and options.propose_again):
        return outcome
    again: list[CategoryOutcome] = []
    for category in categories:
        again += propose_again(
            project, engine, category, options, result, progress=progress, cancel=cancel, on_stored=on_stored
        )
    return replace(outcome, proposed=tuple(again))


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


def propose_again(
    project: Project, engine: Engine, category: CategoryRow, options: TuneOptions, result: TuneResult, *,
    progress: Progress | None = None, cancel: CancelToken | None = None,
    on_stored: Callable[[frozenset[int]], None] | None = None,
) -> Sequence[CategoryOutcome]:  # fmt: skip
    """Replace the pending proposals of the category by ones made with the new prompt."""
    return _propose_with(
        project, engine, category, options, result.prompt_id, progress=progress, cancel=cancel, on_stored=on_stored
    )


def _propose_with(
    project: Project, engine: Engine, category: CategoryRow, options: TuneOptions, prompt_id: str, *,
    progress: Progress | None, cancel: CancelToken | None, on_stored: Callable[[frozenset[int]], None] | None = None,
) -> Sequence[CategoryOutcome]:  # fmt: skip
    pending = pending_images(project, category)
    if not pending:
        return ()
    again = ProposeOptions(
        category=category.name, backbone=options.backbone, prompt=prompt_id, image_ids=pending,
        step_name=f"Propose {category.name} with the tuned prompt",
    )  # fmt: skip
    return propose(project, engine, again, progress=progress, cancel=cancel, on_stored=on_stored)


def undecided_prompt(project: Project, backbone: str, category: str) -> PromptCard | None:
    """The newest prompt of the category (or of all together) that waits for a person's decision."""
    found = open_prompts((project.prompts_dir,)).undecided(backbone, category)
    return found.card if found is not None else None


def keep(project: Project, prompt_id: str) -> None:
    """A person's decision for a prompt: "auto" takes it from now on, whatever the measured gain."""
    open_prompts((project.prompts_dir,)).decide(prompt_id, True)


def keep_and_propose_again(
    project: Project, engine: Engine, prompt_id: str, *, category: str = "", backbone: str = DEFAULT_BACKBONE,
    progress: Progress | None = None, cancel: CancelToken | None = None,
) -> tuple[CategoryOutcome, ...]:  # fmt: skip
    """`keep`, then new proposals for what is pending: of the category, or ("") of every category with labels."""
    keep(project, prompt_id)
    outcomes: list[CategoryOutcome] = []
    for row in _categories(project, TuneOptions(category=category, kind="class" if category else "single")):
        options = TuneOptions(category=row.name, backbone=backbone)
        outcomes += _propose_with(project, engine, row, options, prompt_id, progress=progress, cancel=cancel)
    return tuple(outcomes)


def discard(project: Project, prompt_id: str) -> None:
    """Delete a prompt of the project (the window's "discard"); pending proposals stay until proposed again."""
    open_prompts((project.prompts_dir,)).delete(prompt_id)


def _categories(project: Project, options: TuneOptions) -> tuple[CategoryRow, ...]:
    if options.kind not in KINDS:
        raise UserInputError(f"'{options.kind}' is no kind of prompt.", f"Use one of: {', '.join(KINDS)}.")
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
        raise UserInputError(f"Which category is meant is not said; labelled are: {names}.", "Add --category NAME.")
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
