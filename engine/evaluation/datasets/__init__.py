"""Readers of published correspondence archives in their real layouts (FORMATS 1, 2)."""

from engine.evaluation.datasets.base import EvaluationPair
from engine.evaluation.datasets.registry import DATASETS, read_pairs

__all__ = ["DATASETS", "EvaluationPair", "read_pairs"]
