"""Whether a window can open is asked of the real plug-in in a child process; what is missing is named with its packages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinmark.projects import qt_platform
from kinmark.projects.diagnostics import Diagnosis, _window

linux = pytest.mark.skipif(sys.platform != "linux", reason="X11 is looked at on Linux")
GONE = ("libxcb-nowhere.so.7", "libxcb-nowhere7", "xcb-nowhere", "xcb-nowhere")


@linux
def test_a_screen_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY")}
    environment["DISPLAY"] = ":4077"
    problem = qt_platform.window_problem(environment=environment)
    assert problem is not None and "cannot open" in problem.what and "plugin" in problem.details
    for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":4077")
    report = Diagnosis()
    assert _window(report)["window"] == "does not open" and len(report.problems) == 1


@linux
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_real_screen_opens() -> None:
    if qt_platform.missing_libraries():
        pytest.skip("this system lacks Qt's libraries")
    number = f":{7300 + os.getpid() % 600}"
    with subprocess.Popen(["Xvfb", number, "-screen", "0", "800x600x24"], stderr=subprocess.DEVNULL) as screen:
        try:
            environment = {**os.environ, "DISPLAY": number}
            environment.pop("QT_QPA_PLATFORM", None)
            environment.pop("WAYLAND_DISPLAY", None)
            problem = None
            for _ in range(20):  # the server takes a moment
                problem = qt_platform.window_problem(environment=environment)
                if problem is None:
                    break
                time.sleep(0.2)
            assert problem is None
        finally:
            screen.terminate()


@linux
def test_what_is_missing_is_named_for_three_systems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(qt_platform, "LIBRARIES", (*qt_platform.LIBRARIES, GONE))
    missing = qt_platform.missing_libraries()
    assert missing[-1] == GONE
    environment = {"DISPLAY": ":1"}
    problem = qt_platform.libraries_problem(environment)
    assert problem is not None and "libxcb-nowhere.so.7" in problem.what
    for words in ("apt-get install", "libxcb-nowhere7", "dnf install", "pacman -S", "xcb-nowhere"):
        assert words in problem.todo
    assert qt_platform.libraries_problem({"DISPLAY": ":1", "WAYLAND_DISPLAY": "wayland-0"}) is None
    assert qt_platform.libraries_problem({"DISPLAY": ":1", "QT_QPA_PLATFORM": "offscreen"}) is None
    # The window itself says so instead of being aborted by Qt.
    from kinmark.desktop.main import main

    for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":1")
    assert main([]) == 3
    assert "apt-get install" in capsys.readouterr().err


@linux
def test_doctor_without_a_screen_names_the_libraries_but_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qt_platform, "LIBRARIES", (GONE,))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    report = Diagnosis()
    rows = _window(report)
    assert rows["missing for a window"] == GONE[0] and report.problems == []


@linux
def test_the_setup_script_stops_before_a_window_that_cannot_open(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("bootstrap", repository / "packaging" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'qt.qpa.plugin: Could not load the Qt platform plugin \"xcb\"' >&2\nexit 134\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(bootstrap, "venv_python", lambda: broken)
    monkeypatch.setenv("DISPLAY", ":1")
    with pytest.raises(bootstrap.SetupError, match="cannot open") as caught:
        bootstrap.check_qt()
    assert "apt-get install" in caught.value.todo and "pacman" in caught.value.todo
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setattr(bootstrap, "venv_python", lambda: Path(sys.executable))
    with pytest.raises(bootstrap.SetupError, match="no screen"):
        bootstrap.check_qt()
    bootstrap.check_qt("offscreen")


def test_every_library_has_a_package_for_each_system() -> None:
    names = [row[0] for row in qt_platform.LIBRARIES]
    assert len(set(names)) == len(names)
    assert all(all(part and " " not in part for part in row) and ".so." in row[0] for row in qt_platform.LIBRARIES)
    assert {"libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1"} <= {row[1] for row in qt_platform.LIBRARIES}
