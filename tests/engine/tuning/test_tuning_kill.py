"""Tuning killed with SIGKILL at random moments ends with the prompt that it would have ended with.

`KINMARK_KILL_ROUNDS=50 pytest tests/engine/prompts/test_tuning_kill.py` for more kills than the test command makes.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

STEPS = 9


def _start(model: Path, work: Path, through: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.engine.tuning.tune_child", str(model), str(work), "6", str(STEPS), through]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _finish(process: subprocess.Popen[str]) -> tuple[list[int], str]:
    """(steps made, id of the prompt) of a process that is left alone."""
    output, _ = process.communicate(timeout=300)
    lines = output.splitlines()
    assert process.returncode == 0, output
    return [int(line.split()[1]) for line in lines if line.startswith("step")], lines[-1].removeprefix("done ")


def _kill_somewhere(process: subprocess.Popen[str], rng: random.Random) -> None:
    """SIGKILL a little after a random step (or in its middle: steps take some milliseconds)."""
    assert process.stdout is not None
    for _ in range(rng.randint(1, 5)):
        if not process.stdout.readline():
            break
    time.sleep(rng.uniform(0, 0.05))
    process.kill()
    process.communicate()


@pytest.mark.parametrize("through", ["score", "proposals"])
def test_killed_tuning_ends_with_the_same_prompt(toy_pipeline_dir: Path, tmp_path: Path, through: str) -> None:
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    whole.mkdir()
    interrupted.mkdir()
    reference = _start(toy_pipeline_dir, whole, through)
    rng = random.Random(4)
    for _ in range(int(os.environ.get("KINMARK_KILL_ROUNDS", "1"))):
        _kill_somewhere(_start(toy_pipeline_dir, interrupted, through), rng)
    steps, expected = _finish(reference)
    assert max(steps) == STEPS
    again, found = _finish(_start(toy_pipeline_dir, interrupted, through))
    assert found == expected and found.startswith("prompt:class-cat-")
    assert not again or max(again) == STEPS
    assert not list((interrupted / "work").iterdir())
