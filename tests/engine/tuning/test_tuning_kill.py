"""Tuning killed with SIGKILL at random moments ends with the prompt that it would have ended with.

`KINMARK_KILL_ROUNDS=50 pytest tests/engine/tuning/test_tuning_kill.py` for more kills than the test command makes.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.tuning.tune_child import tune
from tests.support.forked import Child, children

STEPS = 9


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Child]]:
    yield from children(["diffusers.models", "transformers.models.clip", "tests.engine.tuning.tune_child"])


def _finish(child: Child) -> tuple[list[int], str]:
    """(steps made, id of the prompt) of a process that is left alone."""
    lines = child.rest()
    return [int(line.split()[1]) for line in lines if line.startswith("step")], lines[-1].removeprefix("done ")


def _kill_somewhere(child: Child, rng: random.Random) -> None:
    """SIGKILL a little after a random step (or in its middle: steps take some milliseconds)."""
    for _ in range(rng.randint(1, 5)):
        if not child.line():
            break
    time.sleep(rng.uniform(0, 0.05))
    child.kill()


@pytest.mark.parametrize("through", ["score", "proposals"])
def test_killed_tuning_ends_with_the_same_prompt(
    start: Callable[..., Child], toy_pipeline_dir: Path, tmp_path: Path, through: str
) -> None:
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    whole.mkdir()
    interrupted.mkdir()
    reference = start(tune, toy_pipeline_dir, whole, 6, STEPS, through)
    rng = random.Random(4)
    for _ in range(int(os.environ.get("KINMARK_KILL_ROUNDS", "1"))):
        _kill_somewhere(start(tune, toy_pipeline_dir, interrupted, 6, STEPS, through), rng)
    steps, expected = _finish(reference)
    assert max(steps) == STEPS
    again, found = _finish(start(tune, toy_pipeline_dir, interrupted, 6, STEPS, through))
    assert found == expected and found.startswith("prompt:class-cat-")
    assert not again or max(again) == STEPS
    assert not list((interrupted / "work").iterdir())
