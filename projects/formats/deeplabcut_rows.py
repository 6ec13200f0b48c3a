"""One row of a DeepLabCut table: numbers by animal and body part, and rows that are predictions of a clip's frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kinmark.engine.domain.texts import said
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import DatasetInstance


def by_animal(
    columns: Sequence[tuple[str, str, str, str]], values: Sequence[float | None], item: Item
) -> dict[str, dict[str, dict[str, float]]]:
    """Animal -> body part -> axis -> number; ImportFileError where two columns say one of them."""
    points: dict[str, dict[str, dict[str, float]]] = {}
    by: dict[tuple[str, str, str], str] = {}
    for (scorer, animal, part, axis), value in zip(columns, values, strict=True):
        own = points.setdefault(animal, {}).setdefault(part, {})
        if value is None:
            continue
        if axis in own:
            first = by[animal, part, axis]
            who = said('by "{0}" and by "{1}"', first, scorer)
            if first == scorer:
                who = said("in two columns of the same name")
            raise item.error(
                said('"{0}" has two values of {1}, {2}', part, axis, who),
                "Leave one of the columns in the table, or give each person a file of their own.",
            )
        own[axis], by[animal, part, axis] = value, scorer
    return points


def clip_of(file: Path, text: str) -> str:
    """The clip of a table of predictions, whose rows are frame numbers (`clipDLC_resnet50...csv`); "" for labels."""
    clip, sign, _ = file.stem.partition("DLC_")
    return clip if sign and text.isascii() and text.isdigit() and len(text) < 10 else ""


def proposed(instance: DatasetInstance) -> DatasetInstance:
    """As a proposal; its confidence is the mean of its points'."""
    scores = [k.score for k in instance.keypoints.values() if k.score is not None]
    score = sum(scores) / len(scores) if scores else None
    return replace(instance, proposal=True, score=score, origin="proposal")
