"""Can a window open here? Asked in a child process, because Qt ends the whole program when it cannot.

Standard library only: the setup script loads this file before anything is installed.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROBE = "from PySide6.QtGui import QGuiApplication; QGuiApplication(['kinmark']); print('opened')"
PROBE_S = 40.0
LIBRARIES: tuple[tuple[str, str, str, str], ...] = (
    ("libxcb-cursor.so.0", "libxcb-cursor0", "xcb-util-cursor", "xcb-util-cursor"),
    ("libxcb-icccm.so.4", "libxcb-icccm4", "xcb-util-wm", "xcb-util-wm"),
    ("libxcb-image.so.0", "libxcb-image0", "xcb-util-image", "xcb-util-image"),
    ("libxcb-keysyms.so.1", "libxcb-keysyms1", "xcb-util-keysyms", "xcb-util-keysyms"),
    ("libxcb-render-util.so.0", "libxcb-render-util0", "xcb-util-renderutil", "xcb-util-renderutil"),
    ("libxcb-randr.so.0", "libxcb-randr0", "libxcb", "libxcb"),
    ("libxcb-render.so.0", "libxcb-render0", "libxcb", "libxcb"),
    ("libxcb-shape.so.0", "libxcb-shape0", "libxcb", "libxcb"),
    ("libxcb-shm.so.0", "libxcb-shm0", "libxcb", "libxcb"),
    ("libxcb-sync.so.1", "libxcb-sync1", "libxcb", "libxcb"),
    ("libxcb-xfixes.so.0", "libxcb-xfixes0", "libxcb", "libxcb"),
    ("libxcb-xkb.so.1", "libxcb-xkb1", "libxcb", "libxcb"),
    ("libxcb.so.1", "libxcb1", "libxcb", "libxcb"),
    ("libX11-xcb.so.1", "libx11-xcb1", "libX11-xcb", "libx11"),
    ("libX11.so.6", "libx11-6", "libX11", "libx11"),
    ("libxkbcommon.so.0", "libxkbcommon0", "libxkbcommon", "libxkbcommon"),
    ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0", "libxkbcommon-x11", "libxkbcommon-x11"),
    ("libEGL.so.1", "libegl1", "libglvnd-egl", "libglvnd"),
    ("libGL.so.1", "libgl1", "libglvnd-glx", "libglvnd"),
    ("libfontconfig.so.1", "libfontconfig1", "fontconfig", "fontconfig"),
    ("libfreetype.so.6", "libfreetype6", "freetype", "freetype2"),
    ("libdbus-1.so.3", "libdbus-1-3", "dbus-libs", "dbus"),
    ("libglib-2.0.so.0", "libglib2.0-0", "glib2", "glib2"),
)
"""What Qt's window plug-in needs from the system: (shared library, its package on Debian and Ubuntu, Fedora, Arch)."""


@dataclass(frozen=True)
class PlatformProblem:
    """Why no window opens, what to do, and what Qt itself said."""

    what: str
    todo: str
    details: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.todo}"


def missing_libraries() -> tuple[tuple[str, str, str, str], ...]:
    """Those of `LIBRARIES` that the system does not have (none outside Linux)."""
    return tuple(row for row in LIBRARIES if not _there(row[0])) if sys.platform == "linux" else ()


def _there(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def missing_without_x11() -> tuple[tuple[str, str, str, str], ...]:
    """Those that Qt needs even where it draws on no screen."""
    return tuple(row for row in missing_libraries() if not row[0].startswith(("libxcb", "libX11", "libxkbcommon-x11")))


def install_hint(missing: Iterable[tuple[str, str, str, str]]) -> str:
    """The commands that install what is missing, for three families of systems."""
    rows = list(missing)
    debian, fedora, arch = (" ".join(dict.fromkeys(row[place] for row in rows)) for place in (1, 2, 3))
    return (
        f"Debian and Ubuntu: sudo apt-get install {debian}   Fedora: sudo dnf install {fedora}   "
        f"Arch: sudo pacman -S {arch}"
    )


def libraries_problem(environment: Mapping[str, str] | None = None) -> PlatformProblem | None:
    """What is missing for a window under X11, without trying one; None when nothing is, or another system draws."""
    env = os.environ if environment is None else environment
    if not env.get("DISPLAY") or env.get("WAYLAND_DISPLAY") or env.get("QT_QPA_PLATFORM", "xcb") != "xcb":
        return None
    return missing_problem(missing_libraries())


def missing_problem(missing: tuple[tuple[str, str, str, str], ...]) -> PlatformProblem | None:
    """The problem that these libraries are not there; None for none."""
    if not missing:
        return None
    names = ", ".join(row[0] for row in missing)
    return PlatformProblem(f"The window cannot open: the system lacks {names}.", install_hint(missing))


def window_problem(python: Path | None = None, environment: Mapping[str, str] | None = None) -> PlatformProblem | None:
    """Open Qt's real platform plug-in in a child process of `python`; None when it works or there is no screen to try."""
    env = dict(os.environ if environment is None else environment)
    if sys.platform == "linux" and not (env.get("DISPLAY") or env.get("WAYLAND_DISPLAY") or env.get("QT_QPA_PLATFORM")):
        return None
    command = [str(python or sys.executable), "-c", PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=PROBE_S, check=False)
    except subprocess.TimeoutExpired:
        return PlatformProblem("Qt did not start within a minute.", "Check that the screen answers.", "timeout")
    if done.returncode == 0 and "opened" in done.stdout:
        return None
    said = (done.stderr or done.stdout).strip()
    problem = missing_problem(missing_libraries())
    if problem is not None:
        return PlatformProblem(problem.what, problem.todo, said[-1500:])
    if "could not connect to display" in said or "connect to display" in said:
        screen = env.get("DISPLAY") or env.get("WAYLAND_DISPLAY") or ""
        return PlatformProblem(
            f"The window cannot open: the screen {screen} does not answer.",
            "Log in to a graphical session, or set DISPLAY to the right screen. The commands work without one.",
            said[-1500:],
        )
    last = said.splitlines()[-1] if said else f"exit code {done.returncode}"
    return PlatformProblem(
        f"The window cannot open: {last}",
        f"Install Qt's system libraries. {install_hint(LIBRARIES)}",
        said[-1500:],
    )
