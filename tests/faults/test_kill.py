"""A fast subset of the kill rounds; the full 500: `python -m tests.faults.kill_rounds --rounds 500`."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the rounds fork their children")


def test_nothing_acknowledged_is_lost(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "rounds.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kill_rounds", "--rounds", "12", "--seed", "7", "--json", str(out)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert result["rounds"] == 12 and result["failures"] == []
    assert result["acknowledged"] > 0 and result["power_cuts"] >= 1 and result["undone"] > 0


def test_the_rounds_would_notice_a_lost_operation(tmp_path: Path) -> None:
    """The check itself fails when an acknowledged operation is not in the database."""
    from tests.faults.kill_rounds import Model, Outcome, _check, spoil_uncommitted
    from tests.support.projects import make_project

    make_project(tmp_path / "p.kinmark").close()
    model, outcome = Model(), Outcome()
    _check(tmp_path / "p.kinmark", model, None, outcome)
    assert outcome.failures == []
    model.apply(["add", "lost", 3.0])
    _check(tmp_path / "p.kinmark", model, None, outcome)
    assert outcome.failures
    assert spoil_uncommitted(tmp_path / "no-wal", random.Random(1)) == 0


def test_cache_small_maps_and_index_recover_from_a_kill(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.derived_rounds", "--rounds", "6", "--seed", "5"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["rounds"] == 6 and result["acknowledged"] >= 6


def test_the_derived_rounds_would_notice_lost_and_exchanged_photos(tmp_path: Path) -> None:
    from kinmark.engine.features.small_maps import SmallMaps
    from tests.faults.derived_rounds import CELLS, PARTS, bases, check, maps_of

    small = SmallMaps.open(tmp_path / "small", CELLS, bases())
    small.add(["7"], {name: [maps_of(8)] for name in PARTS})
    found = check(tmp_path, {7, 9})
    assert any("lost [9]" in text for text in found) and any("photo 7 holds something else" in text for text in found)
    assert any(text.startswith("cache") for text in found) and any(text.startswith("index") for text in found)
