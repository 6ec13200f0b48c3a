"""How much work a collection would be with Kinmark: the simulated annotator of `annotator` over a labelled data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinmark.engine.api import Engine
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import coco_read
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.several import ONE, checked_instances
from kinmark.projects.workflows.annotator import RIGHT_WITHIN, SimulateOptions, Simulation, Tally, samples_of
from kinmark.projects.workflows.simulate_several import SeveralSimulation


def simulate(
    engine: Engine,
    dataset_file: Path,
    images_root: Path,
    options: SimulateOptions | None = None,
    *,
    work_dir: Path | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """Run the simulated annotator over a labelled COCO file.

    Returns:
        `actions`, `manual_actions`, `ratio`, `correct_keypoints`, and the same per category.

    Raises:
        UserInputError: nothing to simulate. ImportFileError: damaged file.
    """
    options = options or SimulateOptions()
    if options.exemplars < 1:
        raise UserInputError("At least one instance must be labelled by hand.", "Use --exemplars 1 or more.")
    dataset, _ = coco_read.read(dataset_file, ReadOptions(images_root=images_root), progress, cancel)
    categories = [c for c in dataset.categories if c.schema.names and options.category in ("", c.name)]
    tallies = []
    for category in categories:
        samples = samples_of(dataset, category, images_root)
        samples = samples[: options.limit] if options.limit else samples
        if len(samples) > options.exemplars:
            kind = _kind_of(options)
            tallies.append(kind(engine, category, options, work_dir, progress, cancel).run(samples))
    if not tallies:
        raise UserInputError(
            said(
                "{0} has no category with more than {1} labelled instances whose photos are in {2}.",
                dataset_file,
                options.exemplars,
                images_root,
            ),
            "Use a smaller --exemplars, or check --images.",
        )
    return summary(tallies, options)


def _kind_of(options: SimulateOptions) -> type[Simulation]:
    if checked_instances(options.instances) == ONE:
        return Simulation
    return SeveralSimulation


def summary(tallies: Sequence[Tally], options: SimulateOptions) -> dict[str, Any]:
    """The public JSON of `kinmark simulate`."""
    actions, manual = sum(t.actions for t in tallies), sum(t.manual_actions for t in tallies)
    hand = sum(t.hand_actions for t in tallies)
    return {
        "actions": actions,
        "manual_actions": manual,
        "ratio": actions / manual if manual else None,
        "later_ratio": (actions - hand) / (manual - hand) if manual > hand else None,
        "correct_keypoints": sum(t.correct_keypoints for t in tallies),
        "exemplars": options.exemplars,
        "backbone": options.backbone,
        "tuned": options.tune,
        "right_within": RIGHT_WITHIN,
        "categories": [t.to_json() for t in tallies],
    }
