"""A process that tunes the toy pipeline and may be killed at any moment (used by test_tuning_kill.py)."""

from __future__ import annotations

import sys
from pathlib import Path


def main(model: str, work: str, count: int, steps: int, through: str) -> None:
    """Tune on `count` drawn photos in `work`; a line per step, at the end the saved prompt's id."""
    import torch

    from kinmark.engine.api import EngineConfig, TuneRequest
    from kinmark.engine.session import EngineSession
    from kinmark.engine.tuning.job import tune_prompt
    from tests.support.labelled import SCHEMA, draw_exemplar

    torch.set_num_threads(1)
    folder = Path(work)
    (folder / "photos").mkdir(exist_ok=True)
    exemplars = tuple(draw_exemplar(folder / "photos", n) for n in range(count))
    session = EngineSession(EngineConfig(device="cpu", dtype="fp32", cache_bytes=0, threads=1))
    request = TuneRequest(
        "kill",
        "cat",
        SCHEMA,
        exemplars,
        backbone=model,
        steps=steps,
        out_dir=folder / "prompts",
        work_dir=folder / "work",
        keep_if_worse=True,
        options={"view": "whole", "eval_every": 2, "batch": 2, "variants": 3, "tokens": 4, "through": through},
    )
    result = tune_prompt(session, request, on_step=lambda point: print(f"step {point.step}", flush=True))
    print(f"done {result.prompt_id}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
