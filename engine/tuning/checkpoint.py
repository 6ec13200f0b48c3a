"""An unfinished tuning job on disk: one safetensors file, replaced whole, bound to exactly one job."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kinmark.engine.requests import TuneProgress
from kinmark.engine.tuning.run import TuningRun

log = logging.getLogger(__name__)


@dataclass
class Best:
    """The best prompt so far: its score and PCK on the selection images, at which step, and its weights (CPU)."""

    score: float
    pck: float
    step: int
    state: dict[str, Tensor]


@dataclass
class JobState:
    """What decides how a job goes on, beside the learner and Adam: the best, evaluations without a better one, curve.

    `evaluated` is the last step whose held-out figure is known.
    """

    best: Best
    since: int = 0
    seconds: float = 0.0
    curve: list[TuneProgress] = field(default_factory=list)
    evaluated: int = 0


def snapshot(run: TuningRun) -> dict[str, Tensor]:
    """Copy of the learner's weights on the CPU."""
    return {k: v.detach().cpu().clone() for k, v in run.learner.state_dict().items()}


def checkpoint_path(work_dir: Path, fingerprint: str) -> Path:
    """Where the job's checkpoint lies."""
    return work_dir / f"tuning-{fingerprint}.safetensors"


def save_checkpoint(path: Path, fingerprint: str, run: TuningRun, state: JobState) -> None:
    """Write the job's state; a kill at any moment leaves the old file or the new one."""
    from safetensors.torch import save_file

    tensors = {f"now.{k}": v for k, v in snapshot(run).items()}
    tensors |= {f"best.{k}": v.clone() for k, v in state.best.state.items()}
    tensors |= {f"average.{k}": v.clone() for k, v in run.average.items()}
    for index, parameter in enumerate(run.learner.parameters()):
        moments = run.adam.state.get(parameter)
        if moments:
            tensors[f"adam.{index}.exp_avg"] = moments["exp_avg"].detach().cpu().clone()
            tensors[f"adam.{index}.exp_avg_sq"] = moments["exp_avg_sq"].detach().cpu().clone()
            tensors[f"adam.{index}.step"] = torch.as_tensor(moments["step"]).detach().cpu().clone()
    data = {
        "fingerprint": fingerprint,
        "done": run.done,
        "micro": run.micro,
        "checkpointing": run.checkpointing,
        "best_score": state.best.score,
        "best_pck": state.best.pck,
        "best_step": state.best.step,
        "since": state.since,
        "evaluated": state.evaluated,
        "seconds": state.seconds,
        "curve": [asdict(p) for p in state.curve],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"job": json.dumps(data)})
    part.replace(path)


def load_checkpoint(path: Path, fingerprint: str, run: TuningRun) -> JobState | None:
    """Restore `run` and return the job's state; None (run untouched) when there is nothing usable for this job."""
    if not path.is_file():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            data: dict[str, Any] = json.loads((file.metadata() or {}).get("job", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if data.get("fingerprint") != fingerprint:
            return None
        now = {k.removeprefix("now."): v for k, v in tensors.items() if k.startswith("now.")}
        best = {k.removeprefix("best."): v for k, v in tensors.items() if k.startswith("best.")}
        curve = [TuneProgress(**point) for point in data["curve"]]
        state = JobState(
            Best(float(data["best_score"]), float(data["best_pck"]), int(data["best_step"]), best),
            int(data["since"]),
            float(data["seconds"]),
            curve,
            int(data["evaluated"]),
        )
        run.learner.load_state_dict(now)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        log.warning("the unfinished tuning job %s is damaged and starts anew: %r", path, error)
        return None
    run.average = {k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")}
    _restore_adam(run, tensors)
    run.done, run.micro = int(data["done"]), int(data["micro"])
    run.checkpointing = bool(data["checkpointing"])
    return state


def _restore_adam(run: TuningRun, tensors: dict[str, Tensor]) -> None:
    for index, parameter in enumerate(run.learner.parameters()):
        if f"adam.{index}.exp_avg" in tensors:
            run.adam.state[parameter] = {
                "step": tensors[f"adam.{index}.step"],
                "exp_avg": tensors[f"adam.{index}.exp_avg"].to(parameter.device),
                "exp_avg_sq": tensors[f"adam.{index}.exp_avg_sq"].to(parameter.device),
            }
