"""What the entry point hands to the window, and the first paint that `kinmark selfcheck` waits for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from defusedxml import ElementTree as ET
from PySide6.QtCore import QEventLoop, QTimer

from kinmark.desktop import app
from kinmark.desktop import main as entry
from kinmark.desktop.first_paint import first_paint
from kinmark.engine.domain.errors import KnownError
from kinmark.projects import qt_platform
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
