"""What the entry point hands to the window, and the first paint that `kinmark selfcheck` waits for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from defusedxml import ElementTree as ET
from PySide6.QtCore import QEventLoop, QTimer

from kinmark.desktop import app
from kinmark.desktop import main as entry
from kinmark.desktop.first_paint import first_paint
from kinmark.engine.domain.errors import KnownError
from kinmark.projects import qt_platform, selfcheck
from kinmark.projects.project import Project
from kinmark.projects.store.database import APPLICATION_ID


@pytest.mark.parametrize("how", [["app", "DB"], ["DB"], ["FOLDER"], ["app", "FOLDER", "--read-only"]])
def test_the_database_stands_for_its_project(how: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Project.create(tmp_path / "otters.kinmark").close()
    folder, seen = tmp_path / "otters.kinmark", []
    monkeypatch.setattr(app, "run_window", lambda arguments: seen.append(arguments) or 0)
    words = {"DB": str(folder / "project.sqlite"), "FOLDER": str(folder)}
    assert entry.main([words.get(part, part) for part in how]) == 0
    assert seen[0][0] == str(folder) and seen[0][1:] == how[2:]


def test_a_database_named_without_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Project.create(tmp_path / "otters.kinmark").close()
    seen: list[list[str]] = []
    monkeypatch.setattr(app, "run_window", lambda arguments: seen.append(arguments) or 0)
    monkeypatch.chdir(tmp_path / "otters.kinmark")
    entry.main(["project.sqlite"])
    assert seen == [["."]]


def test_a_request_of_the_system_opens_the_project_in_the_running_window(tmp_path: Path) -> None:
    """macOS sends it to the application object; there is one per process, so this one is a process of its own."""
    Project.create(tmp_path / "otters.kinmark").close()
    script = (
        "import sys\n"
        "from PySide6.QtGui import QFileOpenEvent\n"
        "from PySide6.QtWidgets import QApplication\n"
        "from kinmark.desktop.app import make_window\n"
        "window = make_window([])\n"
        "app = QApplication.instance()\n"
        "assert app.sendEvent(app, QFileOpenEvent(sys.argv[1]))\n"
        "print(window.workspace.folder)\n"
        "window.close()\n"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "KINMARK_HOME": str(tmp_path / "home")}
    asked = str(tmp_path / "otters.kinmark" / "project.sqlite")
    done = subprocess.run(
        [sys.executable, "-c", script, asked], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip() == str(tmp_path / "otters.kinmark"), done.stderr


def test_the_first_paint_is_seen_and_everything_is_closed_again(qapp: object) -> None:
    assert 0 < first_paint() < 60
    rang: list[bool] = []
    loop = QEventLoop()
    QTimer.singleShot(20, lambda: rang.append(True))
    QTimer.singleShot(40, loop.quit)
    loop.exec()
    assert rang, "the loops of a process that goes on still wait"


def test_the_file_type_knows_the_application_id(repository: Path) -> None:
    text = (repository / "packaging" / "linux" / "kinmark-mime.xml").read_text("utf-8")
    inner = ET.fromstring(text).findall(".//{*}match")[1]
    assert inner.get("offset") == "68" and int(inner.get("value", ""), 16) == APPLICATION_ID


@pytest.mark.skipif(sys.platform != "linux", reason="the X11 plugin is Linux's")
def test_a_library_missing_for_x11_is_named_instead_of_ending_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ("libxcb-nowhere.so.7", "libxcb-nowhere7", "xcb-nowhere", "xcb-nowhere")
    monkeypatch.setattr(qt_platform, "LIBRARIES", (*qt_platform.LIBRARIES, gone))
    monkeypatch.setenv("DISPLAY", ":99")
    for name in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(KnownError, match=r"libxcb-nowhere\.so\.7") as caught:
        first_paint()
    assert "libxcb-nowhere7" in caught.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="Qt's libraries come with it elsewhere")
def test_without_a_screen_missing_libraries_leave_the_window_out_of_the_selfcheck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = (("libEGL-nowhere.so.7", "libegl7", "egl", "egl"), ("libxcb-nowhere.so.7", "libxcb7", "xcb", "xcb"))
    monkeypatch.setattr(qt_platform, "LIBRARIES", (*qt_platform.LIBRARIES, *gone))
    monkeypatch.setattr(selfcheck, "_window_check", first_paint)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    result = selfcheck.run_selfcheck(model=False)
    step = result.steps[-1]
    assert step.skipped and result.ok
    assert "libEGL-nowhere.so.7" in step.detail and "libegl7" in step.detail and "libxcb7" not in step.detail
    monkeypatch.setenv("DISPLAY", ":99")  # where somebody could look at it, it is a failure
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    assert not selfcheck.run_selfcheck(model=False).ok
