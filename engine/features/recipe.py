"""The settings of one extraction, and with which weights its maps are joined (methods/features.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The settings of one extraction, resolved against the backbone's spec."""

    timestep: int
    up_block: int
    ensemble: int
    seed: int
    extra_blocks: tuple[tuple[int, float], ...]
    clean: bool
    extra_scales: tuple[tuple[float, float], ...] = ()


def block_weights(recipe: Recipe) -> list[float]:
    """Weight of every up-block of a recipe, the main one first."""
    weights = [weight for _, weight in recipe.extra_blocks]
    return [max(0.0, 1.0 - sum(weights)), *weights]


def scale_weights(recipe: Recipe) -> list[tuple[float, float]]:
    """(factor, weight) of every input size of a recipe, the main one first."""
    return [(1.0, max(0.0, 1.0 - sum(weight for _, weight in recipe.extra_scales))), *recipe.extra_scales]
