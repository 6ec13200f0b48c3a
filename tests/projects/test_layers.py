"""`projects` stays light: reading a project loads no torch, no Qt; the store knows no workflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_opening_a_project_loads_no_torch_and_no_qt(repository: Path) -> None:
    code = (
        "import sys, kinmark.projects.project, kinmark.projects.images, kinmark.projects.review, kinmark.projects.cli.project_commands;"
        "print([m for m in ('torch', 'diffusers', 'PySide6', 'alembic', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", "alembic loads only when a project is made or brought up to date"
