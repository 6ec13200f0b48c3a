"""Archives by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.evaluation.datasets.base import EvaluationPair
from kinmark.engine.evaluation.datasets.parts import read_ap10k, read_cub
from kinmark.engine.evaluation.datasets.pf import read_pfpascal, read_pfwillow
from kinmark.engine.evaluation.datasets.spair import read_spair

DATASETS: dict[str, Callable[[Path, str], Iterator[EvaluationPair]]] = {
    "spair": read_spair,
    "pfpascal": read_pfpascal,
    "pfwillow": read_pfwillow,
    "cub": read_cub,
    "ap10k": read_ap10k,
}


def read_pairs(dataset: str, root: Path, split: str = "test") -> Iterator[EvaluationPair]:
    """Pairs of a published archive; UserInputError for an unknown name or a folder that is not there."""
    if dataset not in DATASETS:
        raise UserInputError(said("There is no data set '{0}'.", dataset), said("Known: {0}.", ", ".join(DATASETS)))
    if not root.is_dir():
        raise UserInputError(said("{0} is no folder.", root), "Give the folder of the unpacked archive.")
    return DATASETS[dataset](root, split)
