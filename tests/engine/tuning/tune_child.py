"""Tuning of the toy pipeline in a process that may be killed at any moment (used by test_tuning_kill.py)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from kinmark.engine.api import EngineConfig, TuneRequest
from kinmark.engine.session import EngineSession
from kinmark.engine.tuning.job import tune_prompt
from tests.support.labelled import SCHEMA, draw_exemplar


def tune(say: Callable[[str], object], model: Path, folder: Path, count: int, steps: int, through: str) -> None:
    """Tune on `count` drawn photos in `folder`; says each step, at the end the saved prompt's id."""
    torch.set_num_threads(1)
    (folder / "photos").mkdir(exist_ok=True)
    exemplars = tuple(draw_exemplar(folder / "photos", n) for n in range(count))
    session = EngineSession(EngineConfig(device="cpu", dtype="fp32", cache_bytes=0, threads=1))
    request = TuneRequest(
        "kill",
        "cat",
        SCHEMA,
        exemplars,
        backbone=str(model),
        steps=steps,
        out_dir=folder / "prompts",
        work_dir=folder / "work",
        keep_if_worse=True,
        options={"view": "whole", "eval_every": 2, "batch": 2, "variants": 3, "tokens": 4, "through": through},
    )
    result = tune_prompt(session, request, on_step=lambda point: say(f"step {point.step}"))
    say(f"done {result.prompt_id}")
