#!/usr/bin/env python3
"""Write `constraints.txt` from what is installed in `.venv` (run after changing a dependency and testing it)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Freeze everything but Kinmark itself and torch, which bootstrap.py pins because of its builds."""
    python = ROOT / ".venv" / "bin" / "python"
    frozen = subprocess.run(
        [python, "-m", "pip", "freeze", "--exclude-editable"], capture_output=True, text=True, check=True
    )
    lines = [
        line
        for line in frozen.stdout.splitlines()
        if "@" not in line and not line.lower().startswith(("torch==", "kinmark"))
    ]
    header = "# The exact versions that the tests ran with; regenerate with packaging/lock.py"
    (ROOT / "packaging" / "constraints.txt").write_text("\n".join((header, *lines, "")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
