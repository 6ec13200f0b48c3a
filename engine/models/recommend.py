"""Which model should I take? One answer by device and task, from rules that anybody can read. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.model_info import ModelRow
from kinmark.engine.domain.texts import said

Task = Literal["keypoints", "instances", "masks"]
TASKS: tuple[Task, ...] = ("keypoints", "instances", "masks")
LARGE_GB = 12.0


@dataclass(frozen=True)
class Recommendation:
    """One model and why; `command` gets it ("" = it is here); `use` says how it is used."""

    model_id: str
    why: str
    use: str
    command: str = ""


def recommend(
    task: str, device: str, memory_gb: float, rows: Iterable[ModelRow], *, commercial: bool = False
) -> Recommendation:
    """The one model for a task on a device.

    Args:
        device: "cpu", "cuda" or "mps"; memory_gb: of the device (0 = not known).
        rows: of the model list, for what is installed.
        commercial: leave out licences that restrict use.

    Raises:
        UserInputError: no such task.
    """
    if task not in TASKS:
        raise UserInputError(said("There is no task '{0}'.", task), said("Known: {0}.", ", ".join(TASKS)))
    model_id, why = _choice(task, device, memory_gb, commercial)
    row = next(r for r in rows if r.id == model_id)
    command = "" if row.installed else said("kinmark models download {0}", model_id)
    if not row.installed and model_id == "cleandift-sd21":
        command = "kinmark models download sd21, then: " + command
    use = {"masks": f"kinmark find DIR --refine {model_id}"}.get(task, f"--backbone {model_id}")
    return Recommendation(model_id, why, use, command)


def _choice(task: str, device: str, memory_gb: float, commercial: bool) -> tuple[str, str]:
    graphics = device in ("cuda", "mps")
    if task == "masks":
        why = "Exact edges from a network small enough for a processor; Apache-2.0."
        if graphics:
            why = "The finest edges of what is free to use, and a graphics card carries it."
        return "sam2.1-large" if graphics else "sam2.1-small", why
    if task == "instances":
        why = "Individuals are told apart by the shipped networks; nothing larger was measured here."
        return "embedded", why
    if device == "cuda" and not commercial and (memory_gb == 0 or memory_gb >= LARGE_GB):
        why = "The diffusion features without noise: one pass per photo, published as better than SD 2.1's own."
        return "cleandift-sd21", why
    if commercial:
        why = "Apache-2.0 without conditions; Stable Diffusion's licence restricts use."
    elif graphics:
        why = "Fits a small graphics card, and one pass per photo is quick."
    else:
        why = (
            "One pass per photo, published at 55.6 on SPair-71k; the shipped model is quicker: try both on your photos."
        )
    return "dinov2-base", why
