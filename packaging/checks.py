#!/usr/bin/env python3
"""Style, format, types, import contracts and translated errors: what a commit must pass before its tests.

    .venv/bin/python packaging/checks.py                   # all of them
    .venv/bin/python packaging/checks.py types contracts   # some

mypy and import-linter follow folders, not a package's `__path__`. So they are shown the packages as they lie where they are
installed: `.packages/kinmark/engine` is a link to `engine`, and so on. Nothing else reads these links.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINKS = ROOT / ".packages"
FOLDERS = ("engine", "projects", "desktop", "resources")
"""Folders that are `kinmark.FOLDER`."""


def wanted_links() -> dict[Path, Path]:
    """{link: what it leads to}."""
    own = [path for path in (ROOT / "kinmark").iterdir() if path.name != "__pycache__"]
    below = {LINKS / "kinmark" / path.name: path for path in [*own, *(ROOT / folder for folder in FOLDERS)]}
    return {**below, LINKS / "benchmarks": ROOT / "benchmarks"}


def link_packages() -> None:
    """Make what is missing in `.packages` and take away what no longer belongs there."""
    wanted = wanted_links()
    (LINKS / "kinmark").mkdir(parents=True, exist_ok=True)
    for place in [*LINKS.iterdir(), *(LINKS / "kinmark").iterdir()]:
        if place.name.startswith(".") or place in (LINKS / "kinmark", *wanted):
            continue
        place.unlink()
    for link, target in wanted.items():
        if os.name == "nt":
            _link_on_windows(link, target)
        elif not link.exists():
            link.unlink(missing_ok=True)  # it leads nowhere
            link.symlink_to(os.path.relpath(target, link.parent))


def _link_on_windows(link: Path, target: Path) -> None:
    """Symbolic links need a privilege there: folders are joined, the few files copied each time."""
    if target.is_file():
        shutil.copyfile(target, link)
    elif not link.exists():
        subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(target)], check=True, capture_output=True)


def commands() -> dict[str, tuple[list[str], Path]]:
    """{name of a check: (command, folder to run it in)}."""
    lint_imports = Path(sys.executable).parent / "lint-imports"
    return {
        "style": ([sys.executable, "-m", "ruff", "check", "."], ROOT),
        "format": ([sys.executable, "-m", "ruff", "format", "--check", "."], ROOT),
        "types": ([sys.executable, "-m", "mypy"], ROOT),
        "errors": ([sys.executable, str(ROOT / "packaging" / "error_texts.py")], ROOT),
        "contracts": ([str(lint_imports), "--config", str(ROOT / "pyproject.toml")], LINKS),
    }


def run_all(names: Sequence[str]) -> int:
    """Run checks beside each other and show them in their order; the exit code of the first that failed."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        running = []
        for name in names:
            command, place = commands()[name]
            output = Path(folder, name)
            with output.open("wb") as stream:
                process = subprocess.Popen(command, cwd=place, stdout=stream, stderr=subprocess.STDOUT)
            running.append((name, process, output))
        codes = []
        for name, process, output in running:
            codes.append(process.wait())
            print(output.read_text("utf-8", "replace"), end="")
            state = "ok" if codes[-1] == 0 else "failed"
            print(f"[checks] {name}: {state} after {time.monotonic() - started:.0f} s", flush=True)
    return next((code for code in codes if code), 0)


def main() -> int:
    """Run what was asked for; every check runs, the exit code tells whether all passed."""
    parser = argparse.ArgumentParser(description="Style, format, types, import contracts, translated errors.")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"one of: {', '.join(commands())}; all without one")
    wanted = parser.parse_args().checks or list(commands())
    if unknown := sorted(set(wanted) - set(commands())):
        parser.error(f"there is no check {', '.join(unknown)}; there are: {', '.join(commands())}")
    link_packages()
    return run_all(wanted)


if __name__ == "__main__":
    sys.exit(main())
