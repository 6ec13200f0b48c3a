"""Readers of published correspondence archives in their real layouts (methods/formats.md#spair, methods/formats.md#pf)."""

from kinmark.engine.evaluation.datasets.base import EvaluationPair
from kinmark.engine.evaluation.datasets.registry import DATASETS, read_pairs

__all__ = ["DATASETS", "EvaluationPair", "read_pairs"]
