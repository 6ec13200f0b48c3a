"""Readers of published correspondence archives in their real layouts (methods/formats.md#spair, methods/formats.md#pf)."""

from engine.evaluation.datasets.base import EvaluationPair
from engine.evaluation.datasets.registry import DATASETS, read_pairs

__all__ = ["DATASETS", "EvaluationPair", "read_pairs"]
