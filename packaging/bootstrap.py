#!/usr/bin/env python3
"""Set up Kinmark in `.venv` and run it: `python3 packaging/bootstrap.py demo|test|app|kinmark ...`.

Standard library only. Installs what is missing, reuses what is there, says what it does and how long each step took,
and explains failures. Everything stays inside the checkout.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
TORCH = "2.13.0"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
MINIMUM_PYTHON = (3, 11)
NEEDED_BYTES = 4 << 30
INSTALL = ("install", "--no-compile")
"""Of the 20 000 modules that are installed a fifth is ever imported; Python compiles and keeps those by itself."""


class SetupError(Exception):
    """A failure that the person can do something about: what happened, and what to do."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.what, self.todo = what, todo


def say(text: str) -> None:
    """One line of progress."""
    print(f"[kinmark] {text}", flush=True)


def venv_python() -> Path:
    """The interpreter inside `.venv`."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def check_python() -> None:
    """Refuse interpreters that are too old."""
    if sys.version_info < MINIMUM_PYTHON:
        raise SetupError(
            f"Python {platform.python_version()} is too old; Kinmark needs {MINIMUM_PYTHON[0]}.{MINIMUM_PYTHON[1]} or newer.",
            "Install a newer Python and run this script with it, for instance: python3.11 packaging/bootstrap.py demo",
        )


def check_disk() -> None:
    """Refuse to start an installation that cannot fit."""
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        raise SetupError(
            f"Only {free / 2**30:.1f} GB are free on the disk of {ROOT}; the installation needs about {NEEDED_BYTES >> 30} GB.",
            "Make room, or put the checkout on a larger disk.",
        )


def make_venv() -> None:
    """Create `.venv`; a half-made one is replaced."""
    if (
        venv_python().exists()
        and subprocess.run([venv_python(), "-m", "pip", "--version"], capture_output=True).returncode == 0
    ):
        return
    say(f"making the virtual environment {VENV}")
    shutil.rmtree(VENV, ignore_errors=True)
    done = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"The virtual environment could not be made: {(done.stderr or done.stdout).strip()[-800:]}",
            f"On Debian and Ubuntu: apt-get install python{version}-venv   On Fedora: dnf install python3-pip. "
            "Also check that the folder may be written.",
        )


def wants_cuda(choice: str) -> bool:
    """Whether to take the CUDA build: asked for, or (auto) a working NVIDIA driver answers."""
    if choice != "auto":
        return choice == "cuda"
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([tool, "-L"], capture_output=True).returncode == 0


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pip inside `.venv`, keeping its output for the explanation of a failure."""
    command = [str(venv_python()), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def explain_pip(what: str, output: str) -> SetupError:
    """The likely reason of a failed pip run."""
    tail = "\n".join(output.strip().splitlines()[-15:])
    lower = output.lower()
    if "no space left" in lower:
        todo = "The disk is full: make room (about 4 GB) and run the same command again; what is installed is kept."
    elif any(
        sign in lower for sign in ("temporary failure in name resolution", "connection", "timed out", "proxy", "ssl")
    ):
        todo = "The package index cannot be reached: check the network or the proxy (pip config), then run the same command again."
    elif "permission denied" in lower:
        todo = f"The folder {VENV} may not be written: check its owner."
    else:
        todo = "Run the same command again; if it fails again, the lines above say which package is the reason."
    return SetupError(f"{what} could not be installed:\n{tail}", todo)


def install_torch(cuda: bool) -> None:
    """torch first and pinned: a later package asking for plain `torch` would pull gigabytes of CUDA libraries."""
    query = "import torch,sys; sys.stdout.write(torch.__version__)"
    have = subprocess.run([venv_python(), "-c", query], capture_output=True, text=True)
    if have.returncode == 0 and have.stdout.split("+")[0] == TORCH and (not cuda or "+cpu" not in have.stdout):
        return
    say(f"installing torch {TORCH} ({'CUDA' if cuda else 'CPU'} build)")
    plain = [*INSTALL, f"torch=={TORCH}"]
    if cuda or platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        attempts = [plain]
    else:
        # 1. a CPU wheel that is at hand already; 2. PyTorch's own CPU index; 3. whatever the default index has.
        attempts = [
            [*INSTALL, f"torch=={TORCH}+cpu"],
            [
                *INSTALL,
                f"torch=={TORCH}+cpu",
                "--extra-index-url",
                TORCH_CPU_INDEX,
                "--retries",
                "1",
                "--timeout",
                "20",
            ],
            plain,
        ]
    output = ""
    for arguments in attempts:
        done = pip(*arguments)
        output = done.stdout
        if done.returncode == 0:
            return
    raise explain_pip("torch", output)


def stamp_of(extras: tuple[str, ...]) -> str:
    """What the installation depends on, as one hash."""
    digest = hashlib.sha256(repr((sys.version_info[:3], TORCH, sorted(extras))).encode())
    for file in (ROOT / "pyproject.toml", CONSTRAINTS):
        digest.update(file.read_bytes())
    digest.update(str(ROOT).encode())
    return digest.hexdigest()


def install(extras: tuple[str, ...], cuda: bool) -> None:
    """Install Kinmark and its pinned dependencies into `.venv` unless this exact state is there already."""
    stamp_file = VENV / f".kinmark-{'-'.join(extras) or 'base'}"
    if stamp_file.exists() and stamp_file.read_text() == stamp_of(extras) and venv_python().exists():
        return
    check_disk()
    make_venv()
    started = time.monotonic()
    install_torch(cuda)
    say(
        f"installing the pinned dependencies{' and the test tools' if 'test' in extras else ''} (a few minutes the first time)"
    )
    what = f".[{','.join(extras)}]" if extras else "."
    done = pip(*INSTALL, "-c", str(CONSTRAINTS), "-e", what)
    if done.returncode != 0:
        raise explain_pip("The dependencies", done.stdout)
    stamp_file.write_text(stamp_of(extras))
    say(f"installed in {time.monotonic() - started:.0f} s")


def check_qt(platform_plugin: str = "") -> None:
    """Explain missing system libraries of Qt before the window or the tests need them.

    The tests draw with the plug-in `offscreen`; without a name the one that a window would use here is tried.
    """
    spec = importlib.util.spec_from_file_location("qt_platform", ROOT / "projects" / "qt_platform.py")
    assert spec is not None and spec.loader is not None
    qt_platform = importlib.util.module_from_spec(spec)
    sys.modules["qt_platform"] = qt_platform  # its dataclass looks itself up there
    spec.loader.exec_module(qt_platform)
    environment = {**os.environ, **({"QT_QPA_PLATFORM": platform_plugin} if platform_plugin else {})}
    problem = qt_platform.window_problem(venv_python(), environment)
    if problem is not None:
        raise SetupError(problem.what, problem.todo)
    screens = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    if sys.platform == "linux" and not screens & set(environment):
        raise SetupError(
            "There is no screen to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set).",
            "Run it in a graphical session; the commands work without one: python3 packaging/bootstrap.py kinmark --help",
        )


def run(title: str, command: list[str], environment: dict[str, str] | None = None) -> int:
    """Run one step in the checkout, its output shown as it comes; says how long it took."""
    say(title)
    started = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, **(environment or {})}, check=False).returncode
    say(f"{title}: {'ok' if code == 0 else f'failed with exit code {code}'} after {time.monotonic() - started:.0f} s")
    return code


def test(arguments: list[str]) -> int:
    """Style, format, types, import contracts, translations and tests; every part runs, the exit code tells whether all passed."""
    python = str(venv_python())
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # One torch thread per test process: two processes with two threads each on two cores slow each other down.
    environment = {"QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    steps = (
        []
        if arguments
        else [
            (
                "style, format, types, import contracts (ruff, mypy, import-linter)",
                [python, str(ROOT / "packaging" / "checks.py")],
            ),
        ]
    )
    # A file at a time, in the order of tests/conftest.py: xdist's own order puts files with few tests last, however long they take.
    parallel = ["-n", str(min(cpus, 4)), "--dist", "loadfile", "--no-loadscope-reorder"] if cpus > 1 else []
    steps.append(("tests (pytest)", [python, "-m", "pytest", *parallel, *arguments]))
    codes = [run(title, command, environment) for title, command in steps]
    return next((code for code in codes if code), 0)


def main() -> int:
    """Parse the command line, set up, run."""
    parser = argparse.ArgumentParser(description="Set up Kinmark in .venv and run it.")
    parser.add_argument(
        "--torch", choices=("auto", "cpu", "cuda"), default="auto", help="which torch build (default: auto)"
    )
    parser.add_argument(
        "command", choices=("demo", "test", "app", "kinmark", "setup"), help="what to run after setting up"
    )
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to the command")
    options = parser.parse_args()
    try:
        check_python()
        extras = ("test",) if options.command == "test" else ()
        install(extras, wants_cuda(options.torch))
        kinmark = [str(venv_python()), "-m", "kinmark.desktop.main"]
        if options.command == "test":
            check_qt("offscreen")
            return test(options.arguments)
        if options.command == "setup":
            say("ready")
            return 0
        if options.command == "app":
            check_qt()
            return subprocess.run([*kinmark, "app", *options.arguments], check=False).returncode
        prefix = ["demo"] if options.command == "demo" else []
        return subprocess.run([*kinmark, *prefix, *options.arguments], check=False).returncode
    except SetupError as error:
        print(f"[kinmark] {error.what}\n[kinmark] What to do: {error.todo}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("[kinmark] Cancelled; what is installed so far is kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
