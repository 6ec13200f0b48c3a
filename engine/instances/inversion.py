"""DDIM inversion and generation around one noise predictor (methods/instances.md), on plain latents.

`predict(latents, timestep)` is one U-Net call. As in the published code, an inversion step asks the network at the
timestep that it moves *to*, and the first step starts from the final alpha. Few-step (turbo) models invert the same way on a
"trailing" schedule, with fixed-point iterations that make each large step consistent with itself (Pan et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.texts import said

Predictor = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class NoiseStep:
    """One step between two noise levels: `alpha_low` (cleaner) and `alpha_high` (noisier, at `timestep`)."""

    timestep: int
    alpha_low: float
    alpha_high: float


def noise_schedule(scheduler: Any, steps: int, *, spacing: str = "leading") -> list[NoiseStep]:
    """`steps` evenly spaced noise levels from clean to noisy.

    Args:
        scheduler: any diffusers scheduler with `alphas_cumprod` (its config gives the offset and the final alpha).
        spacing: "leading" (DDIM: 1, 21, ..., 981) or "trailing" (turbo models: the last step is the noisiest of all).

    Raises:
        UserInputError: steps outside 1..number of training steps, or a scheduler without noise levels.
    """
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is None:
        raise UserInputError(said("The scheduler {0} has no noise levels to invert.", type(scheduler).__name__))
    total = len(alphas)
    if not 1 <= steps <= total:
        raise UserInputError(said("Inversion needs 1 to {0} steps, not {1}.", total, steps))
    stride = total // steps
    if spacing == "trailing":
        times = [round((i + 1) * total / steps) - 1 for i in range(steps)]
    else:
        offset = int(scheduler.config.get("steps_offset", 0) or 0)
        times = [min(i * stride + offset, total - 1) for i in range(steps)]
    one = bool(scheduler.config.get("set_alpha_to_one", True))
    final = 1.0 if one else float(alphas[0])
    # A final alpha of exactly 1 leaves no noise to divide by later; nothing below divides by it.
    low = [final if t - stride < 0 else float(alphas[t - stride]) for t in times]
    return [NoiseStep(t, a, float(alphas[t])) for t, a in zip(times, low, strict=True)]


def to_epsilon(output: Tensor, noisy: Tensor, alpha: float, prediction_type: str) -> Tensor:
    """The predicted noise for a model that predicts "epsilon", "v_prediction" or "sample"."""
    if prediction_type == "epsilon":
        return output
    if prediction_type == "v_prediction":
        return alpha**0.5 * output + (1 - alpha) ** 0.5 * noisy
    if prediction_type == "sample":
        return (noisy - alpha**0.5 * output) / (1 - alpha) ** 0.5
    raise UserInputError(said("Unknown prediction type {0} in the scheduler's configuration.", f"{prediction_type!r}"))


def move(latents: Tensor, epsilon: Tensor, alpha_from: float, alpha_to: float) -> Tensor:
    """The deterministic DDIM step between two noise levels."""
    clean = (latents - (1 - alpha_from) ** 0.5 * epsilon) / alpha_from**0.5
    return alpha_to**0.5 * clean + (1 - alpha_to) ** 0.5 * epsilon


@torch.no_grad()
def invert(
    predict: Predictor,
    latents: Tensor,
    steps: list[NoiseStep],
    *,
    prediction_type: str = "epsilon",
    fixed_point: int = 1,
    cancel: CancelToken | None = None,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Clean latents `[B, 4, h, w]` to the noise that generates them, step by step.

    Args:
        fixed_point: network calls per step; 1 is plain DDIM inversion, more make large steps self-consistent.
        on_step: called with (index, latents after that step).
    """
    x = latents
    for index, step in enumerate(steps):
        moved = x
        for _ in range(fixed_point):
            if cancel is not None:
                cancel.check()
            epsilon = to_epsilon(predict(moved, step.timestep), moved, step.alpha_high, prediction_type)
            moved = move(x, epsilon, step.alpha_low, step.alpha_high)
        x = moved
        if on_step is not None:
            on_step(index, x)
    return x


@torch.no_grad()
def generate(
    predict: Predictor,
    latents: Tensor,
    steps: list[NoiseStep],
    *,
    prediction_type: str = "epsilon",
    cancel: CancelToken | None = None,
) -> Tensor:
    """Noise back to clean latents over the same steps, noisiest first."""
    x = latents
    for step in reversed(steps):
        if cancel is not None:
            cancel.check()
        epsilon = to_epsilon(predict(x, step.timestep), x, step.alpha_high, prediction_type)
        x = move(x, epsilon, step.alpha_high, step.alpha_low)
    return x
