#!/usr/bin/env python3
"""Build the wheel from the tracked files, look through it, and try it in a bare environment of its own.

    python packaging/check_wheel.py                  # build, look through, install, try: some minutes
    python packaging/check_wheel.py --only-look      # build and look through: seconds
    python packaging/check_wheel.py --torch cuda     # with torch's CUDA build instead of the CPU one

Needs the package `build` (in the test extra). The wheel is left in `dist/`. Exit code 1: something is wrong with it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
PACKAGES = ("desktop", "engine", "kinmark", "projects", "resources")
STAMP = "resources/build.json"


class WheelError(Exception):
    """A step failed; the message holds the end of its output."""


def run(
    command: list[str | Path], *, cwd: Path, environment: dict[str, str] | None = None, codes: tuple[int, ...] = (0,)
) -> str:
    """Run and return stdout; WheelError with the last lines when the exit code is none of `codes`."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in codes:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise WheelError(f"{' '.join(str(part) for part in command[:4])} ... exit code {done.returncode}:\n{tail}")
    return done.stdout


def tracked_files() -> list[str]:
    """Files of the checkout that git knows, and those it would take (not ignored)."""
    text = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    return sorted(name for name in text.split("\0") if name and (ROOT / name).is_file())


def copy_sources(folder: Path) -> None:
    """What a build needs, copied: neither leftovers of earlier builds come in, nor does the build write into the checkout."""
    for name in tracked_files():
        if name.split("/")[0] in PACKAGES or "/" not in name or name == "packaging/constraints.txt":
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    commit = run(["git", "rev-parse", "HEAD"], cwd=ROOT).strip()
    changed = bool(run(["git", "status", "--porcelain", "--untracked-files=no"], cwd=ROOT).strip())
    (folder / STAMP).write_text(json.dumps({"commit": commit, "changed": changed}), encoding="utf-8")


def build(out: Path, *, isolated: bool = True) -> Path:
    """Build the wheel into `out`; not `isolated`: with the setuptools of this environment (no network)."""
    with tempfile.TemporaryDirectory(prefix="kinmark-wheel-") as name:
        copy_sources(Path(name))
        command: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--outdir", out]
        run([*command, *([] if isolated else ["--no-isolation"]), "."], cwd=Path(name))
    return max(out.glob("kinmark-*.whl"), key=lambda file: file.stat().st_mtime)


def installed_name(name: str) -> str:
    """Where a file of the checkout lies in the wheel: everything below `kinmark/`, so that nothing else is on a path."""
    return name if name.startswith("kinmark/") else f"kinmark/{name}"


def problems_of(wheel: Path) -> list[str]:
    """What is missing in the wheel or does not belong there."""
    expected = {installed_name(name) for name in tracked_files() if name.split("/")[0] in PACKAGES}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
        stamp = json.loads(archive.read(installed_name(STAMP))) if installed_name(STAMP) in names else {}
    found = {name for name in names if not name.startswith(f"{info}/")}
    problems = [f"missing: {name}" for name in sorted(expected - found)]
    problems += [f"does not belong there: {name}" for name in sorted(found - expected - {installed_name(STAMP)})]
    if "kinmark = kinmark.desktop.main:main" not in entry_points:
        problems.append("the console script kinmark is missing")
    if len(str(stamp.get("commit", ""))) != 40:
        problems.append(f"{STAMP} names no commit")
    for part in ("Name: kinmark", "License-Expression: Apache-2.0", "Requires-Dist: torch", "Requires-Python: >=3.11"):
        if part not in metadata:
            problems.append(f"the metadata lacks {part!r}")
    return problems


def try_out(wheel: Path, torch: str, say=print) -> None:  # type: ignore[no-untyped-def]
    """Install the wheel in a bare environment outside the checkout and run what a person runs first."""
    with tempfile.TemporaryDirectory(prefix="kinmark try ") as name:  # with a space, as folders of people have
        folder = Path(name)
        started = time.monotonic()
        run([sys.executable, "-m", "venv", folder / "env"], cwd=folder)
        binaries = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        pip: list[str | Path] = [binaries / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        install_torch(pip, torch, folder)
        run([*pip, "-c", CONSTRAINTS, wheel], cwd=folder)
        say(
            f"installed in {time.monotonic() - started:.0f} s, {_megabytes(folder / 'env')} MB with everything it needs"
        )
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment.update(KINMARK_HOME=str(folder / "home"), HF_HUB_OFFLINE="1")
        kinmark = binaries / "kinmark"
        version = run([kinmark, "--version"], cwd=folder, environment=environment).strip()
        if "commit" not in version:
            raise WheelError(f"kinmark --version says no commit: {version}")
        say(version)
        for arguments in (["selfcheck", "--json"], ["demo", "--out", "demo", "--json"], ["doctor", "--json"]):
            begun = time.monotonic()
            result = json.loads(run([kinmark, *arguments], cwd=folder, environment=environment))
            say(f"kinmark {arguments[0]}: {time.monotonic() - begun:.0f} s")
            if arguments[0] == "selfcheck":
                say("\n".join(f"  {step['name']}: {step['detail']}" for step in result["steps"]))
        library = "import kinmark, sys; sys.exit('torch' in sys.modules or not kinmark.version())"
        run([binaries / "python", "-c", library], cwd=folder, environment=environment)
        # What a package does not hold is said, not half there.
        told = run([kinmark, "benchmark", "--json"], cwd=folder, environment=environment, codes=(3,))
        del told


def install_torch(pip: list[str | Path], torch: str, folder: Path) -> None:
    """The build of torch that was asked for; a CPU wheel that is at hand first, then PyTorch's own index."""
    pinned = next(
        line.split('"')[1]
        for line in (ROOT / "packaging" / "bootstrap.py").read_text("utf-8").splitlines()
        if line.startswith("TORCH =")
    )
    if torch == "cuda" or sys.platform != "linux":
        run([*pip, f"torch=={pinned}"], cwd=folder)
        return
    try:
        run([*pip, f"torch=={pinned}+cpu"], cwd=folder)
    except WheelError:
        run([*pip, f"torch=={pinned}+cpu", "--extra-index-url", "https://download.pytorch.org/whl/cpu"], cwd=folder)


def _megabytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()) >> 20


def main() -> int:
    """Parse the command line and run the steps."""
    parser = argparse.ArgumentParser(description="Build the wheel, look through it, try it in a bare environment.")
    parser.add_argument("--only-look", action="store_true", help="do not install it")
    parser.add_argument("--torch", choices=("cpu", "cuda"), default="cpu", help="which torch build to try it with")
    options = parser.parse_args()
    try:
        wheel = build(ROOT / "dist")
        print(f"{wheel.relative_to(ROOT)}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        problems = problems_of(wheel)
        if problems:
            print("\n".join(problems), file=sys.stderr)
            return 1
        if not options.only_look:
            try_out(wheel, options.torch, lambda text: print(text, flush=True))
    except WheelError as error:
        print(error, file=sys.stderr)
        return 1
    print("the wheel is fine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
