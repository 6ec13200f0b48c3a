#!/usr/bin/env python3
"""Build the wheel from the tracked files, look through it, and try it in a bare environment of its own.

    python packaging/check_wheel.py                  # build, look through, install, try: some minutes
    python packaging/check_wheel.py --only-look      # build and look through: seconds
    python packaging/check_wheel.py --torch cuda     # with torch's CUDA build instead of the CPU one
    python packaging/check_wheel.py --installer uv   # the wheel in dist/ by `uv tool install` (or pipx), as people do

Needs the package `build` (in the test extra), and uv or pipx where they are asked for. Source archive and wheel are left in
`dist/`. Exit code 1: something is wrong with them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
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
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROGRAM = "kinmark.exe" if os.name == "nt" else "kinmark"
APP_STAYS_S, APP_LEAVES_S = 20, 30


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


def build(out: Path, *, isolated: bool = True, source: bool = False) -> Path:
    """Build the wheel into `out`; not `isolated`: with the setuptools of this environment (no network).

    source: as `python -m build` does it: a source archive first, and the wheel from what is in that.
    """
    with tempfile.TemporaryDirectory(prefix="kinmark-wheel-") as name:
        copy_sources(Path(name))
        command: list[str | Path] = [sys.executable, "-m", "build", *([] if source else ["--wheel"]), "--outdir", out]
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


def try_out(wheel: Path, torch: str, installer: str = "pip", say=print) -> None:  # type: ignore[no-untyped-def]
    """Install the wheel in a bare environment outside the checkout and run what a person runs first."""
    with tempfile.TemporaryDirectory(prefix="kinmark try ") as name:  # with a space, as folders of people have
        folder = Path(name)
        started = time.monotonic()
        kinmark = INSTALLERS[installer](wheel, folder, torch)
        say(
            f"installed with {installer} in {time.monotonic() - started:.0f} s, "
            f"{_megabytes(folder)} MB with everything it needs"
        )
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment.update(KINMARK_HOME=str(folder / "home"), HF_HUB_OFFLINE="1")
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
        say(f"kinmark app: {try_app(kinmark, folder, environment)}")
        if installer == "pip":  # the others hide their interpreter
            library = "import kinmark, sys; sys.exit('torch' in sys.modules or not kinmark.version())"
            run([kinmark.parent / "python", "-c", library], cwd=folder, environment=environment)
        # What a package does not hold is said, not half there.
        told = run([kinmark, "benchmark", "--json"], cwd=folder, environment=environment, codes=(3,))
        del told


def try_app(program: Path, folder: Path, environment: dict[str, str], *options: str) -> str:
    """Start the window, let it be for a while, and tell it to end; WheelError when it does not stay or does not go."""
    if sys.platform == "linux" and not environment.get("DISPLAY"):
        environment = {**environment, "QT_QPA_PLATFORM": environment.get("QT_QPA_PLATFORM", "offscreen")}
    with (folder / "app.log").open("w+", encoding="utf-8") as log:
        command = [str(program), *options, "app"]
        window = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                window.wait(APP_STAYS_S)
                log.seek(0)
                raise WheelError(
                    f"kinmark app ended by itself with exit code {window.returncode}:\n{log.read()[-2000:]}"
                )
            window.terminate()
            try:
                code = window.wait(APP_LEAVES_S)
            except subprocess.TimeoutExpired:
                raise WheelError(f"kinmark app did not end within {APP_LEAVES_S} s when it was told to.") from None
        finally:
            window.kill()
            window.wait()
        log.seek(0)
        told = log.read()
    if (os.name != "nt" and code != 128 + signal.SIGTERM) or "Traceback" in told:
        raise WheelError(f"kinmark app ended with exit code {code}:\n{told[-2000:]}")
    return f"stayed {APP_STAYS_S} s, ended when it was told to"


def _by_pip(wheel: Path, folder: Path, torch: str) -> Path:
    """A virtual environment with the pinned versions; returns the program."""
    run([sys.executable, "-m", "venv", folder / "env"], cwd=folder)
    binaries = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    pip: list[str | Path] = [binaries / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    install_torch(pip, torch, folder)
    run([*pip, "-c", CONSTRAINTS, wheel], cwd=folder)
    return binaries / PROGRAM


def _by_uv(wheel: Path, folder: Path, torch: str) -> Path:
    """`uv tool install` as documented, with the newest versions that the wheel allows; returns the program."""
    environment = {**os.environ, "UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    command: list[str | Path] = ["uv", "tool", "install", "-q", "--python", sys.executable]
    if torch == "cuda" or sys.platform != "linux":
        attempts: list[list[str | Path]] = [["--torch-backend", "auto"]]
    else:
        attempts = [["--with", f"torch=={pinned_torch()}+cpu"], ["--torch-backend", "cpu"]]
    _first_that_works([[*command, *attempt, wheel] for attempt in attempts], folder, environment)
    return folder / "bin" / PROGRAM


def _by_pipx(wheel: Path, folder: Path, torch: str) -> Path:
    """`pipx install` as documented; returns the program."""
    places = {"PIPX_HOME": folder / "pipx", "PIPX_BIN_DIR": folder / "bin", "PIPX_MAN_DIR": folder / "man"}
    environment = {**os.environ, **{name: str(place) for name, place in places.items()}}
    command: list[str | Path] = ["pipx", "install", "--python", sys.executable, wheel]
    attempts: list[list[str | Path]] = [[]]
    if torch != "cuda" and sys.platform == "linux":
        cpu: list[str | Path] = ["--preinstall", f"torch=={pinned_torch()}+cpu"]
        attempts = [cpu, [*cpu, f"--pip-args=--extra-index-url {CPU_INDEX}"]]
    _first_that_works([[*command, *attempt] for attempt in attempts], folder, environment)
    return folder / "bin" / PROGRAM


INSTALLERS = {"pip": _by_pip, "uv": _by_uv, "pipx": _by_pipx}


def _first_that_works(
    commands: list[list[str | Path]], folder: Path, environment: dict[str, str] | None = None
) -> None:
    for number, command in enumerate(commands):
        try:
            run(command, cwd=folder, environment=environment)
            return
        except FileNotFoundError:
            raise WheelError(f"{command[0]} is not there. Install it: python -m pip install {command[0]}") from None
        except WheelError:
            if number == len(commands) - 1:
                raise


def pinned_torch() -> str:
    """The version that bootstrap.py installs."""
    text = (ROOT / "packaging" / "bootstrap.py").read_text("utf-8")
    return next(line.split('"')[1] for line in text.splitlines() if line.startswith("TORCH ="))


def install_torch(pip: list[str | Path], torch: str, folder: Path) -> None:
    """The build of torch that was asked for; a CPU wheel that is at hand first, then PyTorch's own index."""
    pinned = f"torch=={pinned_torch()}"
    attempts: list[list[str | Path]] = [
        [*pip, f"{pinned}+cpu"],
        [*pip, f"{pinned}+cpu", "--extra-index-url", CPU_INDEX],
    ]
    if torch == "cuda" or sys.platform != "linux":
        attempts = [[*pip, pinned]]
    _first_that_works(attempts, folder)


def _megabytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink()) >> 20


def main() -> int:
    """Parse the command line and run the steps."""
    parser = argparse.ArgumentParser(description="Build the wheel, look through it, try it in a bare environment.")
    parser.add_argument("--only-look", action="store_true", help="do not install it")
    parser.add_argument("--torch", choices=("cpu", "cuda"), default="cpu", help="which torch build to try it with")
    parser.add_argument(
        "--installer",
        choices=tuple(INSTALLERS),
        help="try the wheel that is in dist/, installed with this, and nothing else",
    )
    options = parser.parse_args()
    dist = ROOT / "dist"
    try:
        if options.installer:
            wheels = sorted(dist.glob("kinmark-*.whl"), key=lambda file: file.stat().st_mtime)
            if not wheels:
                raise WheelError(f"There is no wheel in {dist}. Make one: python packaging/check_wheel.py --only-look")
            try_out(wheels[-1], options.torch, options.installer, lambda text: print(text, flush=True))
            return 0
        wheel = build(dist, source=True)
        print(f"{wheel.relative_to(ROOT)}: {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        problems = problems_of(wheel)
        if problems:
            print("\n".join(problems), file=sys.stderr)
            return 1
        if not options.only_look:
            try_out(wheel, options.torch, "pip", lambda text: print(text, flush=True))
    except WheelError as error:
        print(error, file=sys.stderr)
        return 1
    print("the wheel is fine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
