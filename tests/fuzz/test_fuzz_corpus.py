"""A fixed small part of the fuzzing (`python -m tests.fuzz.run` does the 10 000 rounds): only AppErrors come out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fuzz.run import run_round
from tests.fuzz.targets import TARGETS

ROUNDS = 12
QUICK = [t for t in TARGETS if not t.slow]


@pytest.mark.parametrize("name", [t.name for t in QUICK])
def test_damaged_files_raise_app_errors_only(name: str, tmp_path: Path) -> None:
    target = next(t for t in QUICK if t.name == name)
    good = tmp_path / "good"
    target.make(good)
    rounds = max(4, round(ROUNDS * target.weight))
    outcomes = []
    started = time.monotonic()
    for seed in range(rounds):
        outcome, finding = run_round(target, good, tmp_path / "work", seed)
        if finding is not None and finding.kind == "slow":
            continue  # a busy machine is not a hang; the script measures that
        assert finding is None, f"{finding.file} with seed {seed}: {finding.kind}\n{finding.detail}"
        outcomes.append(outcome)
    assert outcomes and time.monotonic() - started < 60 * rounds
    target.open_(good)  # what is not damaged opens
