"""What pyproject.toml cannot say: which packages lie in the folders, and the commit a package is built from (`resources/build.json`).

A checkout is asked for its commit when it is built; a source archive carries the file that was written when it was made.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
STAMP = Path("resources") / "build.json"
FOLDERS = ("engine", "projects", "desktop", "resources")
"""At the top of the tree, and `kinmark.FOLDER` where they are installed (`package-dir` in pyproject.toml)."""


def packages() -> list[str]:
    """`kinmark` and every folder of files below it, by its installed name."""
    found = find_namespace_packages(str(ROOT), include=[f"{folder}{end}" for folder in FOLDERS for end in ("", ".*")])
    return ["kinmark", *(f"kinmark.{name}" for name in found if "__pycache__" not in name)]


def write_stamp(folder: Path) -> None:
    """`folder/resources/build.json`: {"commit": 40 hex digits or "", "changed": files differed from that commit}."""
    carried = ROOT / STAMP
    text = carried.read_text("utf-8") if carried.is_file() else json.dumps(_from_git())
    target = folder / STAMP
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def _from_git() -> dict[str, object]:
    if not (ROOT / ".git").exists():
        return {"commit": "", "changed": False}
    try:
        commit = _git("rev-parse", "HEAD").strip()
        return {"commit": commit, "changed": bool(_git("status", "--porcelain", "--untracked-files=no").strip())}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "", "changed": False}


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


class BuildWithCommit(build_py):
    """Packages, then the stamp beside the resources."""

    def run(self) -> None:
        """Copy the packages, then write the stamp (not into the checkout of an editable installation)."""
        super().run()
        if not self.editable_mode:
            write_stamp(Path(self.build_lib) / "kinmark")


class SourceWithCommit(sdist):
    """The source archive carries the stamp, because nobody can ask git inside it."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copy the files, then write the stamp."""
        super().make_release_tree(base_dir, files)
        write_stamp(Path(base_dir))


setup(packages=packages(), cmdclass={"build_py": BuildWithCommit, "sdist": SourceWithCommit})
