"""A short soak; the long one: `python -m tests.faults.soak --images 2000`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory and handles from /proc")
def test_a_sweep_paused_cancelled_and_reopened_leaks_nothing(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak", "--images", "120", "--sessions", "8", "--json", str(out)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert out.exists(), done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert result["integrity_problems"] == [] and result["own_labels_kept"] >= 8
    assert result["handles_last"] <= result["handles_first"]
    assert result["rss_mb_last"] - result["rss_mb_first"] < 20
