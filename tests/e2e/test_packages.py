"""Desktop packages that `packaging/freeze.py` left in `dist/`, started as a person starts them; skipped where none was made.

The script itself tries what it makes, more thoroughly; here a package is tried against the present tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="the packages of other systems are started by the workflow"),
]


PATTERNS = ("frozen/kinmark/kinmark", "*.AppImage")
DIST = Path(__file__).resolve().parents[2] / "dist"
MADE = [
    max(found, key=lambda file: file.stat().st_mtime) for pattern in PATTERNS if (found := list(DIST.glob(pattern)))
]
"""The newest of each kind."""
if not MADE:
    pytest.skip("no package was made in dist/ (packaging/freeze.py)", allow_module_level=True)


def start(program: Path, home: Path, *words: str) -> str:
    """Output of a command in an environment of its own, under Xvfb where there is no screen."""
    screen = [] if os.environ.get("DISPLAY") or not shutil.which("xvfb-run") else ["xvfb-run", "-a"]
    kept = {k: os.environ[k] for k in ("PATH", "DISPLAY", "XAUTHORITY") if k in os.environ}
    environment = {**kept, "HOME": str(home), "KINMARK_HOME": str(home / "kinmark"), "HF_HUB_OFFLINE": "1"}
    if not screen and "DISPLAY" not in kept:
        environment["QT_QPA_PLATFORM"] = "offscreen"
    done = subprocess.run(
        [*screen, program, *words], cwd=home, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("program", MADE, ids=lambda program: program.name)
def test_a_package_paints_its_window_opens_the_samples_and_proposes(tmp_path: Path, program: Path) -> None:
    if program.suffix == ".AppImage" and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("this account has no FUSE to mount an AppImage with")
    assert " (commit " in start(program, tmp_path, "--version")
    steps = {step["name"]: step for step in json.loads(start(program, tmp_path, "selfcheck", "--json"))["steps"]}
    assert all(step["ok"] for step in steps.values()), steps
    assert "keypoints on 3 photos" in steps["model"]["detail"] and "first paint" in steps["window"]["detail"]
    ids = {row["id"]: row for row in json.loads(start(program, tmp_path, "models", "list", "--json"))}
    assert ids["embedded"]["installed"]
